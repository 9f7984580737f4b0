"""Loops in place: what lies in one memory, what is fused, and that nothing is written over too early."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.emit.log_products.still_factors import still_factor
from namedlayers.emit.loops.writers import WRITERS
from tests.emit.harness import WAYS, agree, as_written, compiled, run, tensors
from tests.emit.random_steps import loop

ODD = (np.inf, -np.inf, np.nan, 0.0, -0.0, 1e300)


def in_place(text: str) -> list[str]:
    """The lines of the loop in place of a formula, over all steps but the first."""
    code = nl.compile(text).code
    (source,) = (one for one in code.split("\ndef ") if re.match(r"scan_(t|steps)_in_place\(", one))
    again = source.split("    for ")[1].split("    return ")[0]
    return [line.split("  #")[0].strip() for line in again.splitlines()[1:]]


# --- random steps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(40))
def test_random_steps(seed: int, way: str) -> None:
    text, arrays = loop(seed)
    agree(WAYS[way](text, arrays), arrays, tolerance=1e-7)


@pytest.mark.parametrize("seed", range(40, 60))
def test_random_steps_of_odd_numbers(seed: int) -> None:
    """Fused operations are those that the text has: infinities and what is not a number come out as they went in."""
    text, arrays = loop(seed)
    rng = np.random.default_rng(seed)
    for name in ("X", "p"):
        arrays[name].flat[rng.integers(arrays[name].size, size=4)] = rng.choice(ODD, 4)
    agree(as_written(text, arrays), arrays, tolerance=1e-7)


@pytest.mark.parametrize("seed", range(60, 70))
def test_random_steps_in_several_precisions(seed: int) -> None:
    """Where inputs differ, nothing lies in a memory that is too coarse for it."""
    text, arrays = loop(seed)
    made = as_written(text, arrays)
    args = tensors(made, arrays)
    double = run(made, args)
    mixed = [one.float() if k % 3 == 1 and one.is_floating_point() else one for k, one in enumerate(args)]
    for got, want in zip(run(made, mixed), double, strict=True):
        torch.testing.assert_close(got.double(), want, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", (torch.bfloat16, torch.float16, torch.float32))
@pytest.mark.parametrize("seed", (1, 2))
def test_random_steps_in_coarse_precisions(seed: int, dtype: torch.dtype) -> None:
    """In place, values are those of the steps written out."""
    text, arrays = loop(seed)
    made = as_written(text, arrays)
    args = tensors(made, arrays, dtype)
    quick = run(made, args)
    slow = run(made, [one.requires_grad_() if one.is_floating_point() else one for one in args])
    for got, want in zip(quick, slow, strict=True):
        torch.testing.assert_close(got, want, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("seed", range(70, 90))
def test_gradients_of_random_steps(seed: int) -> None:
    """The loop that keeps what the gradient takes, and the gradient's loop, which are in place, against torch's."""
    text, arrays = loop(seed)
    found = []
    for make in (compiled, as_written):
        made = make(text, arrays)
        args = [one.requires_grad_() if one.is_floating_point() else one for one in tensors(made, arrays)]
        real = [one for one in run(made, args) if one.requires_grad]
        total = sum((one * torch.linspace(-1, 1, one.numel(), dtype=one.dtype).view_as(one)).sum() for one in real)
        free = [one for one in args if one.requires_grad]
        found.append(torch.autograd.grad(total, free, allow_unused=True, materialize_grads=True))  # type: ignore[arg-type]
    for got, want in zip(*found, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-7)


# --- what becomes of a step -------------------------------------------------------------------------------------------

STEPS = {
    "a number that is used at each step is a tensor": (
        "h = tanh(0.7 * h)", ["torch.mul(h, number, out=h_2)", "h_2.tanh_()"],
    ),
    "a multiple is added in one pass": (
        "h = tanh(X - 0.5 * h)", ["torch.add(X_2, h, alpha=-0.5, out=h_2)", "h_2.tanh_()"],
    ),
    "a product is added in one pass": ("h = X - u * h * tanh(h)", ["torch.tanh(h, out=tanh)"]),
    "a quotient is added in one pass": (
        "h = tanh(X + h / (1 + h * h))",
        ["torch.addcmul(number, h, h, out=h_2)", "torch.addcdiv(X_2, h, h_2, out=h_2)", "h_2.tanh_()"],
    ),
    "what is subtracted from a number": (
        "h = X * tanh(1 - 2 * h)",
        ["torch.add(number, h, alpha=-2.0, out=h_2)", "h_2.tanh_()", "h_2.mul_(X_2)"],
    ),
}  # fmt: skip
"""A step, and lines of its loop."""


@pytest.mark.parametrize(
    ("step", "viewed"),
    [("v = (v @[left] M)[right -> left]", False), ("v = (v @[left] M)[right -> left] + v", True)],
    ids=("a product alone", "added to what there was"),
)
def test_a_row_of_a_product_is_handed_on_as_it_is(step: str, viewed: bool) -> None:
    """Views of what is carried are taken at each step only if something else than the product needs it."""
    text = f"def f(v0[b, left], M[t, b, left, right]) -> [b, left]:\n    scan t with v = v0:\n        {step}\n"
    text += "    return v[t = -1]"
    found = in_place(text)
    assert any("unsqueeze" in line for line in found) is viewed, found
    rng = np.random.default_rng(0)
    for steps in (1, 2, 5):
        arrays = {"v0": rng.standard_normal((3, 4)), "M": rng.standard_normal((steps, 3, 4, 4))}
        agree(compiled(text, arrays), arrays, tolerance=1e-7)


@pytest.mark.parametrize("name", STEPS)
def test_lines(name: str) -> None:
    step, lines = STEPS[name]
    found = in_place(
        f"def f(X[t, b, h]; u[h], h0[b, h]) -> [t, b, h]:\n    scan t with h = h0:\n        {step}\n    return h"
    )
    assert [line for line in found if line in lines] == lines, found


def test_what_a_step_sees_of_a_sequence_is_seen_of_all_steps_at_once() -> None:
    text = (
        "def f(X[t, b, h]; W[gate = 2, h', h], U[gate, h', h], p[h], h0[b, h]) -> [t, b, h]:\n"
        "    scan t with h = h0:\n"
        "        a = (W @[h] X + U @[h] h)[h' -> h]\n"
        "        h = tanh(a[gate = 0]) * h + sin(p * a[gate = 1])\n"
        "    return h"
    )
    found = in_place(text)
    assert not [line for line in found if "flatten" in line or "unbind" in line], found
    rng = np.random.default_rng(0)
    shapes = {"X": (4, 3, 5), "W": (2, 5, 5), "U": (2, 5, 5), "p": (5,), "h0": (3, 5)}
    arrays = {name: rng.standard_normal(shape) * 0.5 for name, shape in shapes.items()}
    agree(compiled(text, arrays), arrays, tolerance=1e-7)


def test_what_is_handed_on_is_made_where_it_was() -> None:
    text = (
        "def f(X[t, b, h]; W[h', h], h0[b, h]) -> [b, h]:\n    scan t with h = h0:\n"
        "        h = (sin(h) * X)[h -> h'] + W @[h] cos(h)\n        h = h[h' -> h]\n    return h[t = -1]"
    )
    found = in_place(text)
    assert not [line for line in found if " = " in line.split("(")[0] and line != "h = h_2"], found
    rng = np.random.default_rng(0)
    arrays = {"X": rng.standard_normal((4, 3, 5)), "W": rng.standard_normal((5, 5)), "h0": rng.standard_normal((3, 5))}
    agree(compiled(text, arrays), arrays, tolerance=1e-7)


ACTIVATIONS = {
    "gelu": "gelu(Y)", "silu": "silu(Y)", "relu": "relu(Y)", "softplus": "softplus(Y)",
    "elu": "where(Y > 0, Y, expm1(Y))", "leaky_relu": "where(Y > 0, Y, 0.01 * Y)", "hardtanh": "clip(Y, -1, 1)",
    "mish": "Y * tanh(softplus(Y))", "hardswish": "Y * clip(Y + 3, 0, 6) / 6", "logsigmoid": "log(sigmoid(Y))",
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_of_what_nothing_else_needs_allocates_nothing(name: str) -> None:
    text = (
        "def f(X[t, b, h]; W[h', h], h0[b, h]) -> [t, b, h]:\n    scan t with h = h0:\n"
        f"        Y = (W @[h] h)[h' -> h] + X\n        h = 0.5 * h + {ACTIVATIONS[name]}\n    return h"
    )
    found = in_place(text)
    assert not [line for line in found if " = " in line.split("(")[0] and line != "h = h_2"], found
    rng = np.random.default_rng(0)
    arrays = {"X": rng.standard_normal((4, 3, 5)), "W": rng.standard_normal((5, 5)), "h0": rng.standard_normal((3, 5))}
    agree(compiled(text, arrays), arrays, tolerance=1e-7)


@pytest.mark.parametrize("name", [one for one in WRITERS if callable(one)], ids=lambda one: one.__name__)
def test_what_is_written_is_what_is_computed(name: object) -> None:
    """Every operation of the table, into memory of its own and over its first operand."""
    torch.manual_seed(0)
    how = WRITERS[name]
    args = [*operands(name)]
    wanted = name(*args)  # type: ignore[operator]
    if how.into is not None:
        out = torch.full_like(wanted, 3)
        how.into(*args, out=out)
        torch.testing.assert_close(out, wanted, equal_nan=True)
    if how.over is not None:
        into = args[0].clone()
        if isinstance(how.over, str):
            getattr(into, how.over)(*args[1:])
        else:
            how.over(into, *args[1:], inplace=True)
        torch.testing.assert_close(into, wanted, equal_nan=True)


def operands(function: object) -> list:
    """What an operation can be called with."""
    name = getattr(function, "__name__", "")
    x, y, z = torch.rand(3, 3) + 0.1, torch.rand(3, 3) + 0.1, torch.rand(3, 3)
    known = {
        "where": [x > 0.5, x, y], "cat": [[x, y], 0], "stack": [[x, y], 0], "clamp": [x, 0.2, 0.5],
        "_threshold": [x, 0.5, 2.0],
        "bitwise_and": [x > 0.5, y > 0.5], "bitwise_or": [x > 0.5, y > 0.5], "bitwise_not": [x > 0.5],
        "bmm": [x[None], y[None]], "lerp": [x, y, 0.3], "times": [x, still_factor(y, False, True)],
        "mv": [x, y[0]], "index_select": [x, 1, torch.tensor([2, 0])],
    }  # fmt: skip
    if name in known:
        return known[name]
    how = WRITERS[function]
    twos = ("add", "sub", "mul", "div", "pow", "lt", "le", "gt", "ge", "eq", "ne")
    if name in ("sum", "amax", "amin", "logsumexp", "softmax", "log_softmax"):
        return [x, 1]
    return [x, y, z][: 2 if name in twos else how.tensors]


WITHIN = {
    "the sequence is made for the loop": ("h = tanh(V @[i] X + u * h)", "h", True),
    "the steps are the other way": ("h = tanh(V @[i] X + u * h)", "h", True),
    "a product with what is carried": ("h = tanh((V @[i] X)[h -> h'] + W @[h] h)[h' -> h]", "h", True),
    "the result is needed twice": ("h = tanh(V @[i] X + u * h)", "h * h[t = 0]", True),
    "the sequence is needed after the loop": ("h = tanh(Y + u * h)", "h + Y", False),
    "a step needs it twice": ("y = V @[i] X\n        h = tanh(y + u * h) * y", "h", False),
    "it has fewer axes": ("h = tanh(u * h + sum[b](V @[i] X))", "h", False),
}  # fmt: skip
"""A step, what is made of its results, and whether they lie in memory of a sequence that only the loop needs."""


@pytest.mark.parametrize("steps", (1, 4))
@pytest.mark.parametrize("name", WITHIN)
def test_results_lie_in_a_sequence_that_nothing_else_needs(name: str, steps: int) -> None:
    step, result, within = WITHIN[name]
    order = "t reversed" if "other way" in name else "t"
    text = (
        "def f(X[t, b, i]; V[h, i], W[h', h], u[h], h0[b, h]) -> [t, b, h]:\n    Y = V @[i] X\n"
        f"    scan {order} with h = h0:\n        {step}\n    return {result}"
    )
    (source,) = (one for one in nl.compile(text).code.split("\ndef ") if one.startswith("scan_t_in_place("))
    assert ("begun(" not in source) == within, source
    rng = np.random.default_rng(0)
    shapes = {"X": (steps, 3, 2), "V": (5, 2), "W": (5, 5), "u": (5,), "h0": (3, 5)}
    arrays = {one: rng.standard_normal(shape) for one, shape in shapes.items()}
    agree(compiled(text, arrays), arrays, tolerance=1e-7)


def test_what_has_most_axes_says_how_a_carried_value_lies() -> None:
    """A sequence of fewer axes does not turn a product round."""
    text = (
        "def f(X[t, b, h], on[t, h], h0[b, h]; U[h', h]) -> [t, b, h]:\n    scan t with h = h0:\n"
        "        h = where(on > 0, tanh(X + (U @[h] h)[h' -> h]), h)\n    return h"
    )
    assert not [line for line in in_place(text) if ".t()" in line]
    rng = np.random.default_rng(0)
    shapes = {"X": (4, 3, 5), "on": (4, 5), "h0": (3, 5), "U": (5, 5)}
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    agree(compiled(text, arrays), arrays, tolerance=1e-7)


@pytest.mark.parametrize("size", (0, 1, 5))
def test_a_step_with_variants_runs_in_place_in_each(size: int) -> None:
    text = (
        "def f(X[t, b, h], p0[b, h]; A[h, h']) -> [t, b, h]:\n    scan t with p = p0:\n"
        "        p = max[h](p + A)[h' -> h] + X\n    return p"
    )
    assert "def scan_t_in_place_1(" in nl.compile(text).code
    rng = np.random.default_rng(0)
    shapes = {"X": (4, 3, size), "p0": (3, size), "A": (size, size)}
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    agree(compiled(text, arrays), arrays, tolerance=1e-7)


def test_orders_of_products_are_chosen_in_place() -> None:
    """What is quicker, by sizes: a product of weights first, or of what is carried."""
    text = (
        "def f(X[t, b, h], h0[b, h]; A[h', k], B[k, h]) -> [t, b, h]:\n    scan t with h = h0:\n"
        "        h = tanh(sum[k](A * sum[h](B * h))[h' -> h] + X)\n    return h"
    )
    rng = np.random.default_rng(0)
    for batch, inner in ((2, 9), (9, 2)):
        shapes = {"X": (4, batch, 5), "h0": (batch, 5), "A": (5, inner), "B": (inner, 5)}
        arrays = {name: rng.standard_normal(shape) * 0.3 for name, shape in shapes.items()}
        agree(compiled(text, arrays), arrays, tolerance=1e-7)


SCALED = {
    "a number": "tanh((U @[h] (0.5 * h))[h' -> h] + X)",
    "one of all": "tanh((U @[h] (h * s))[h' -> h] + X)",
    "one for each": "tanh((U @[h] (r * h))[h' -> h] + X)",
    "what is needed elsewhere": "tanh((U @[h] (r * h))[h' -> h] + r * h)",
    "what moves": "tanh((U @[h] (sum[h](h) * h))[h' -> h] + X)",
    "one for each, and all": "tanh((U @[h] (r * s * h))[h' -> h] + X)",
}  # fmt: skip


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
@pytest.mark.parametrize("name", SCALED)
def test_weights_are_multiplied_once(name: str, dtype: torch.dtype) -> None:
    text = (
        "def f(X[t, b, h], h0[b, h]; U[h', h], r[h], s[]) -> [t, b, h]:\n    scan t with h = h0:\n"
        f"        h = {SCALED[name]}\n    return h"
    )
    multiplied = [line for line in in_place(text) if "torch.mul(" in line or "mul_(" in line]
    assert not multiplied or name.startswith("what"), multiplied
    rng = np.random.default_rng(0)
    shapes = {"X": (4, 3, 5), "h0": (3, 5), "U": (5, 5), "r": (5,), "s": ()}
    arrays = {name: np.asarray(rng.standard_normal(shape)) for name, shape in shapes.items()}
    agree(compiled(text, arrays), arrays, dtype, tolerance=1e-7)
