"""Gradients of loops: what is derived from the graph against torch's own, step by step, to the second order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from namedlayers.emit.build import Compiled, build
from namedlayers.emit.loops.whole_loops import Whole
from namedlayers.plan.plan import Plan
from namedlayers.plan.planner import plan
from namedlayers.program.numbering import number
from tests.emit.harness import agree, program_of, run, tensors
from tests.emit.test_scan_loops import HAZARDS, SCANS

RULE = "gradient as a loop of its own"

ELEMENTWISE = (
    "exp(0.3 * h)", "expm1(h)", "log(2 + h * h)", "log1p(h * h)", "sqrt(1 + h * h)", "sin(h)", "cos(h)", "tan(0.5 * h)",
    "sinh(h)", "cosh(h)", "tanh(h)", "sigmoid(h)", "abs(h)", "relu(h)", "silu(h)", "softplus(h)", "h ^ 3", "h ^ 2",
    "h / (2 + X)", "X / (2 + h)", "where(h > X, h, 2 * X)", "maximum(h, X)", "minimum(h, 0.1)", "maximum(h, 0)", "-h",
    "h - X * 2", "softmax[k](h)", "log_softmax[k](h)", "sum[k](h) * X", "h * 3 + X", "0.2 * h + 0.8 * X",
    "(1 - sigmoid(X)) * h + sigmoid(X) * sin(h)", "floor(h) + h",
)  # fmt: skip
"""What a step may compute: after a product, and followed by one."""

NETWORKS: dict[str, tuple[str, dict[str, str]]] = {
    "minimal gated unit": (
        "def f(X[t, b, i], h0[b, h]; W[h', i], U[h', h], V[h', h], b1[h'], b2[h']) -> [t, b, h]:\n"
        "    scan t with h = h0:\n"
        "        z = sigmoid(W @[i] X + U @[h] h + b1)[h' -> h]\n"
        "        n = tanh((W @[i] X + b2)[h' -> h] + (V @[h] (z * h))[h' -> h])\n"
        "        h = (1 - z) * h + z * n\n"
        "    return h",
        {"X": "t b i", "h0": "b h", "W": "h i", "U": "h h", "V": "h h", "b1": "h", "b2": "h"},
    ),
    "four gates": (
        "def f(X[t, b, h]; A[h', h], B[h', h], C[h', h], D[h', h]) -> [t, b, h], [t, b, h]:\n"
        "    scan t reversed with h = X[t = 0], c = X[t = -1]:\n"
        "        i = sigmoid(A @[h] h + X[h -> h'])[h' -> h]\n"
        "        j = sigmoid(B @[h] h + 2 * X[h -> h'])[h' -> h]\n"
        "        g = tanh(C @[h] h - X[h -> h'])[h' -> h]\n"
        "        o = sigmoid(D @[h] h + sin(X)[h -> h'])[h' -> h]\n"
        "        c = j * c + i * g\n"
        "        h = o * tanh(c)\n"
        "    return h, c",
        {"X": "t b h", "A": "h h", "B": "h h", "C": "h h", "D": "h h"},
    ),
    "independent": (
        "def f(X[b, t, i], h0[b, h]; W[h, i], u[h]) -> [b, t, h], [b, h]:\n"
        "    scan t with h = h0:\n        h = tanh(W @[i] X + u * h)\n    return h, h[t = -1]",
        {"X": "b t i", "h0": "b h", "W": "h i", "u": "h"},
    ),
    "rectified": (
        "def f(X[t, b, h], h0[b, h]; W[h', h]) -> [t, b, h]:\n"
        "    scan t reversed with h = h0:\n        h = softplus((W @[h] h)[h' -> h] + X)\n    return h",
        {"X": "t b h", "h0": "b h", "W": "h h"},
    ),
    "what is not carried, at the last step": (
        "def f(X[t, h]; W[h', h]) -> [h], []:\n"
        "    scan t with h = X[t = 0]:\n"
        "        y = exp(-h * h)\n"
        "        h = sin(W @[h] h)[h' -> h] * X + y\n"
        "    return y[t = -1], sum[t, h](y)",
        {"X": "t h", "W": "h h"},
    ),
    "a sum over what is carried": (
        "def f(X[t, b, h]; W[h]) -> [t, b]:\n"
        "    scan t with s = 0:\n        s = sin(sum[h](W * X) + s) * cos(s)\n    return s",
        {"X": "t b h", "W": "h"},
    ),
    "weights that change": (
        "def f(X[t, h], K[t, h]; W[h', h]) -> [t, h']:\n"
        "    scan t with A = W:\n"
        "        y = A @[h] K\n"
        "        A = A + sin(X[h -> h'] - y) * K\n"
        "    return y",
        {"X": "t h", "K": "t h", "W": "h h"},
    ),
    "a count beside it": (
        "def f(X[t, h]; a[h]) -> [t, h], [t]:\n"
        "    scan t with n = 0, h = a:\n        n = n + 1\n        h = sin(h * n + X)\n    return h, n",
        {"X": "t h", "a": "h"},
    ),
}
SIZES = {"b": 2, "i": 2, "h": 3, "k": 3, "u": 2}


def given(inputs: dict[str, str], **sizes: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(len(inputs))
    known = {**SIZES, "t": 4, **sizes}
    return {key: 0.5 * rng.standard_normal([known[a] for a in axes.split()]) for key, axes in inputs.items()}


def both(text: str, arrays: dict[str, np.ndarray]) -> tuple[Compiled, Compiled]:
    """With the gradients of the plan, and with torch's."""
    program = program_of(text, arrays)
    made = plan(number(program))
    assert any(event.rule == RULE and not event.near for event in made.events), made.events
    return build(program, made), build(program, without(made))


def without(made: Plan) -> Plan:
    return replace(made, gradients={}, bodies={region: without(one) for region, one in made.bodies.items()})


def leaves(made: Compiled, arrays: dict[str, np.ndarray]) -> list[torch.Tensor]:
    return [one.requires_grad_(one.is_floating_point()) for one in tensors(made, arrays)]


def derivatives(made: Compiled, args: list[torch.Tensor]) -> list[torch.Tensor | None]:
    """First and second ones, each result and each step weighed differently."""
    found = [one for one in run(made, args) if one.requires_grad]
    total: Any = sum((one * torch.arange(1.0, one.numel() + 1).view_as(one)).sin().sum() for one in found)
    wanted = [one for one in args if one.requires_grad]
    first = torch.autograd.grad(total, wanted, retain_graph=True, allow_unused=True)
    again = torch.autograd.grad(total, wanted, create_graph=True, allow_unused=True)
    for one, other in zip(first, again, strict=True):
        alike(one, other)
    outer: Any = sum(one.sin().sum() for one in again if one is not None and one.requires_grad)
    return [*first, *torch.autograd.grad(outer, wanted, allow_unused=True)]


def same(text: str, arrays: dict[str, np.ndarray]) -> Compiled:
    made, plain = both(text, arrays)
    agree(made, arrays)
    found, expected = (derivatives(one, leaves(one, arrays)) for one in (made, plain))
    for one, other in zip(found, expected, strict=True):
        alike(one, other, rtol=1e-8, atol=1e-10)
    return made


def alike(one: torch.Tensor | None, other: torch.Tensor | None, **tolerance: float) -> None:
    """Nothing is zero."""
    found = [torch.zeros((), dtype=torch.float64) if given is None else given.detach() for given in (one, other)]
    pair = torch.broadcast_tensors(*found)
    torch.testing.assert_close(*(given.to(found[0].dtype) for given in pair), equal_nan=True, **tolerance)


def zero(one: torch.Tensor | None) -> torch.Tensor:
    """Nothing is zero."""
    return torch.zeros(()) if one is None or not one.any() else one.detach()


@pytest.mark.parametrize("body", ELEMENTWISE)
def test_each_derivative(body: str) -> None:
    text = (
        "def f(X[t, k]; W[k', k]) -> [t, k]:\n    scan t with h = X[t = 0]:\n"
        f"        y = {body}\n        h = 0.5 * (W @[k] y)[k' -> k]\n    return h"
    )
    same(text, given({"X": "t k", "W": "k k"}))


@pytest.mark.parametrize("sizes", ({}, {"t": 1}, {"h": 1, "b": 1}, {"b": 0}, {"h": 0}, {"i": 0}), ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str, sizes: dict[str, int]) -> None:
    text, inputs = NETWORKS[name]
    same(text, given(inputs, **sizes))


@pytest.mark.parametrize("name", ("one carry", "backwards", "two carries", "the last step", "no sequence", "integers"))
def test_scans(name: str) -> None:
    text, inputs = SCANS[name]
    text = text.replace("max[h](h) + min[h](c)", "sum[h](h) * c")
    same(text, given(inputs))


@pytest.mark.parametrize("name", HAZARDS)
def test_hazards(name: str) -> None:
    text, inputs = HAZARDS[name]
    same(text, given(inputs))


@pytest.mark.parametrize("name", ("complex", "inside another"))
def test_where_there_is_none_torch_goes_step_by_step(name: str) -> None:
    text, inputs = SCANS[name]
    arrays = given(inputs)
    program = program_of(text, arrays)
    made = plan(number(program))
    (near,) = {event.near for event in made.events if event.rule == RULE}
    assert near
    args = leaves(build(program, made), arrays)
    assert torch.autograd.gradcheck(build(program, made).function, args, fast_mode=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_that_is_given_is_written_over(name: str) -> None:
    """Only what was computed for a loop alone may be; a second call finds all as it was."""
    text, inputs = NETWORKS[name]
    made, _ = both(text, given(inputs))
    args = tensors(made, given(inputs))
    before = [one.clone() for one in args]
    found = run(made, args)
    torch.testing.assert_close(args, before, rtol=0, atol=0)
    torch.testing.assert_close(run(made, args), found, rtol=0, atol=0)


# --- one operator -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ("minimal gated unit", "four gates", "independent", "what is not carried, at the last step")
)
def test_the_operator_has_the_same_gradient(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced, a loop is one operator for all lengths; its gradient is the derived one, too."""
    calls = []
    derived = Whole.gradients
    monkeypatch.setattr(Whole, "gradients", lambda *given: calls.append(1) or derived(*given))
    text, inputs = NETWORKS[name]
    made, plain = both(text, given(inputs))
    torch._dynamo.reset()
    quick = torch.compile(made.function, fullgraph=True, dynamic=True, backend="aot_eager")
    for steps in (4, 2, 7):
        arrays = given(inputs, t=steps)
        found = []
        for function in (quick, plain.function):
            args = leaves(made, arrays)
            results = function(*args)
            results = results if isinstance(results, tuple) else (results,)
            total: Any = sum((one * torch.arange(1.0, one.numel() + 1).view_as(one)).sin().sum() for one in results)
            found.append([*results, *torch.autograd.grad(total, args)])
        torch.testing.assert_close(*found)
    assert len(calls) == 3


# --- how torch may ask ------------------------------------------------------------------------------------------------


@pytest.fixture
def network() -> tuple[Compiled, Compiled, dict[str, np.ndarray]]:
    text, inputs = NETWORKS["minimal gated unit"]
    arrays = given(inputs)
    return *both(text, arrays), arrays


def test_it_is_one_node(network: Any) -> None:
    made, plain, arrays = network
    assert "Recorded" in made.function(*leaves(made, arrays)).grad_fn.name()
    assert "Recorded" not in plain.function(*leaves(plain, arrays)).grad_fn.name()


@pytest.mark.parametrize("wanted", range(7))
def test_of_one_argument_only(network: Any, wanted: int) -> None:
    made, plain, arrays = network
    found = []
    for one in (made, plain):
        args = tensors(one, arrays)
        args[wanted].requires_grad_()
        found.append(derivatives(one, args))
    torch.testing.assert_close(*found)


def test_one_tensor_for_two_arguments(network: Any) -> None:
    made, plain, arrays = network
    arrays["V"], found = arrays["U"], []
    for one in (made, plain):
        args = leaves(one, arrays)
        names = [given.name for given in one.program.inputs]
        args[names.index("V")] = args[names.index("U")]
        found.append(derivatives(one, args))
    torch.testing.assert_close(*found)


def test_a_third_derivative(network: Any) -> None:
    made, plain, arrays = network
    found = []
    for one in (made, plain):
        args = leaves(one, arrays)
        total = one.function(*args).sin().sum()
        for _ in range(2):
            total = sum(part.sin().sum() for part in torch.autograd.grad(total, args, create_graph=True))  # type: ignore[assignment]
        found.append(torch.autograd.grad(total, args))
    torch.testing.assert_close(*found)


def test_transforms_of_torch_func(network: Any) -> None:
    made, plain, arrays = network
    args = tuple(tensors(made, arrays))
    total = [lambda *given, one=one: one.function(*given).sin().sum() for one in (made, plain)]
    every = tuple(range(len(args)))
    torch.testing.assert_close(*(torch.func.grad(one, every)(*args) for one in total))
    many = tuple(torch.stack([one, one + 0.1]) for one in args)
    torch.testing.assert_close(*(torch.func.vmap(torch.func.grad(one, every))(*many) for one in total))
    ones = tuple(map(torch.ones_like, args))
    torch.testing.assert_close(*(torch.func.jvp(one, args, ones) for one in total))


def test_checkpoint(network: Any) -> None:
    made, plain, arrays = network
    args = leaves(made, arrays)
    found = checkpoint(made.function, *args, use_reentrant=False)
    torch.testing.assert_close(
        torch.autograd.grad(found.sin().sum(), args),
        torch.autograd.grad(plain.function(*args).sin().sum(), args),
    )


def test_half_precision_and_autocast(network: Any) -> None:
    made, plain, arrays = network
    found = []
    for one in (made, plain):
        args = [given.requires_grad_() for given in tensors(one, arrays, torch.bfloat16)]
        found.append(torch.autograd.grad(one.function(*args).float().sum(), args))
    torch.testing.assert_close(*found, rtol=0.1, atol=0.1)
    args = [given.requires_grad_() for given in tensors(made, arrays, torch.float32)]
    with torch.autocast("cpu", torch.bfloat16):
        value = made.function(*args)
    assert all(one.isfinite().all() for one in torch.autograd.grad(value.float().sum(), args))


def test_a_loop_carries_what_it_has_least_to_do_with() -> None:
    """What comes back to a sum is handed on, and not what comes back to the state: one operation less a step; and where
    that is linear, there is no loop."""
    text, inputs = NETWORKS["rectified"]
    back = same(text, given(inputs)).code.split("def step_back(")[1].split("\n\n")[0]
    assert back.count(" = ") == 2 and "add_product(" in back
    text, inputs = NETWORKS["independent"]
    text = text.replace(", [b, h]:", ":").replace("return h, h[t = -1]", "return h")
    code = same(text, given(inputs)).code
    assert "recurrence" in code.split("def step_gradient(")[1].split("\n\n")[0] and "scan_t_back" not in code


def test_what_is_the_same_at_all_steps_of_the_gradient_leaves_its_loop(network: Any) -> None:
    """One product for each weight after the loop, derivatives of activations before it."""
    made, _, _ = network
    names = ("step_back", "step_gradient", "step_gradient_after")
    back, along, after = (made.code.split(f"def {name}(")[1].split("\n\n")[0] for name in names)
    assert "1.0 -" not in back and back.count("torch.matmul") + back.count("add_product(") == 2
    assert along.count("1.0 -") == 1 and "torch.matmul" not in along and after.count("torch.matmul") == 2
    assert all(f"{one}_back" in along and f"{one}_back" not in back for one in ("sigmoid", "tanh"))


def test_gradients_of_several_weights_are_one_product_each_after_the_loop() -> None:
    """Put together they would be made step by step, and added up after that."""
    text = (
        "def f(X[t, b, h], p[b, h], q[b, h]; W[h', h], V[h', h]) -> [t, b, h]:\n    scan t with y = p, z = q:\n"
        "        a = tanh((W @[h] y + V @[h] z)[h' -> h] + X)\n        z = z - 0.1 * a\n        y = y + 0.1 * z\n"
        "    return y"
    )
    made = same(text, given({"X": "t b h", "p": "b h", "q": "b h", "W": "h h", "V": "h h"}))
    after = made.code.split("def step_gradient_after(")[1].split("\n\n")[0]
    assert after.count("torch.matmul") == 2 and "bmm" not in made.code
