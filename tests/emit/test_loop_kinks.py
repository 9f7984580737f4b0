"""Derivatives in loops where they are a matter of convention: kinks, ties, zeros, infinities, short axes, draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from namedlayers.emit.build import build
from namedlayers.plan.planner import plan
from namedlayers.program.numbering import number
from tests.emit.harness import program_of, run
from tests.emit.test_loop_derivatives import CASES, INPUTS, STEP, step
from tests.emit.test_scan_gradients import RULE, both, given, leaves, same, without

SPECIAL = np.array([-np.inf, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 0.5, 1.0, 3.0, np.inf, np.nan])

KINKS = (
    "abs", "relu", "maximum", "minimum", "where", "clip", "relu6", "hardsigmoid", "hardswish", "leaky_relu", "elu",
    "celu", "selu", "softshrink", "hardshrink", "threshold", "gelu", "mish", "softplus", "log_sigmoid", "silu",
    "softsign", "tanhshrink", "logaddexp", "reduce max", "extreme", "reduce logsumexp", "softmax", "log_softmax",
    "statistic", "deviation", "standardize", "rms_norm", "reduce prod", "products so far", "largest so far", "sort",
    "sqrt", "log", "log1p", "erf", "atan2", "mod", "sign", "floor", "prelu", "chosen", "pow",
)  # fmt: skip
ZEROS = (
    "abs(h) ^ X", "X * h ^ 0", "h ^ 1", "h ^ 2", "h ^ 0.5", "0 ^ h", "2 ^ h", "atan2(h, 0 * X)", "maximum(h, h)",
    "h / X", "logaddexp(h, h)", "X * logsumexp[k](h)", "X * norm[k](h)", "X * std[k](h)", "1 / h", "maximum(0, h)",
    "minimum(h, 0.5)", "logaddexp(h, -inf)", "X * prod[k](h)", "where(h == 0, 1, sin(h) / h)",
)  # fmt: skip


VALUES = {
    "special": SPECIAL[1:-2], "ties": np.array([0.5, 0.5, -0.5, 0.5]), "nothing but -inf": np.full(3, -np.inf),
    "one zero": np.array([2.0, 0.0, 3.0]), "one value": np.array([0.25]),
}  # fmt: skip


@pytest.mark.parametrize("body", [*(CASES[name] for name in KINKS), *ZEROS])
def test_kinks_ties_and_infinities(body: str) -> None:
    """The first derivatives at these values, of one step that begins with them."""
    pair = both(STEP.format(body), at_one_step(VALUES["ties"]))
    for name, values in VALUES.items():
        arrays, found = at_one_step(values), []
        for made in pair:
            args = leaves(made, arrays)
            (result,) = run(made, args)
            slope = torch.linspace(0.5, 1.5, result.numel(), dtype=result.dtype).view_as(result)
            real = [one for one in args if one.requires_grad]
            found.append(torch.autograd.grad(result, real, slope, materialize_grads=True)[0])
        torch.testing.assert_close(*found, equal_nan=True, msg=lambda said, name=name: f"{name}: {said}")


def at_one_step(values: np.ndarray) -> dict[str, np.ndarray]:
    size = len(values)
    arrays = given(INPUTS, k=size, w=3, t=1) | {"I": np.arange(size)[::-1].copy(), "X": values[None, :].copy()}
    return arrays | {"W": np.eye(size)}


LONGER = {"merge", "split", "halves", "every other", "index"}
FILLED = {"chosen", "concat"}


@pytest.mark.parametrize(
    ("name", "size"),
    [(name, size) for name in CASES for size in (1, 0) if name not in (LONGER if size else LONGER | FILLED)],
)
def test_axes_of_one_and_of_none(name: str, size: int) -> None:
    arrays = given(INPUTS, k=size, w=3) | {"I": np.zeros(size, dtype=np.int64)}
    same(STEP.format(CASES[name]), arrays)


# --- draws ------------------------------------------------------------------------------------------------------------


def test_what_drops_out_of_a_state_is_drawn_before_the_loop() -> None:
    """The draw is a constant of the gradient; the loop itself draws nothing."""
    text, arrays = step("dropout(h; p = 0.4)")
    program = program_of(text.replace("Q[w])", "Q[w], training = True)"), arrays, training=True)
    derived = plan(number(program))
    assert derived.gradients
    found = []
    for made in (build(program, derived), build(program, without(derived))):
        found.append([])
        for seed in (3, 4):
            torch.manual_seed(seed)
            args = leaves(made, arrays)
            (result,) = run(made, args)
            real = [one for one in args if one.requires_grad]
            found[-1] += [result, *torch.autograd.grad(result.sin().sum(), real, materialize_grads=True)]
        assert "dropout" in made.code and "dropout" not in made.code.split("def step(")[1].split("return")[0]
    torch.testing.assert_close(*found)
    assert not torch.equal(found[0][0], found[0][len(found[0]) // 2])


def test_what_is_drawn_by_a_state_is_left_to_torch() -> None:
    text, arrays = step("where(bernoulli(sigmoid(h)), h, X)")
    (near,) = {event.near for event in plan(number(program_of(text, arrays))).events if event.rule == RULE}
    assert "random" in near
