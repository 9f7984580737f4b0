"""Recurrent networks, linear recurrences and what is left of scans, compiled: values, derivatives, every way to run
them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.loops import network_operator
from namedlayers.emit.loops.network_operator import KERNELS, network
from tests.plan import networks
from tests.plan.formulas import program_of

RNN = """
def f(X[time, input], h0[hidden]; W[hidden', input], U[hidden', hidden], b[hidden'], d[hidden']) -> [time, hidden]:
    scan time with h = h0:
        h = tanh(W @[input] X + b + U @[hidden] h + d)[hidden' -> hidden]
    return h
"""
GRU = """
def f(X[time, input], h0[hidden]; W[rows, input], U[rows, hidden], b[rows], d[rows]) -> [time, hidden]:
    scan time reversed with h = h0:
        a = (W @[input] X + b)[rows -> (gate = 3, hidden)]
        s = (U @[hidden] h + d)[rows -> (gate = 3, hidden)]
        r = sigmoid(a[gate = 0] + s[gate = 0])
        z = sigmoid(a[gate = 1] + s[gate = 1])
        n = tanh(a[gate = 2] + r * s[gate = 2])
        h = (1 - z) * n + z * h
    return h
"""
LSTM = """
def f(
    X[time, input], h0[hidden], c0[hidden]; W[rows, input], U[rows, hidden], b[rows], d[rows]
) -> [time, hidden], [hidden]:
    scan time with h = h0, c = c0:
        a = (W @[input] X + b + U @[hidden] h + d)[rows -> (gate = 4, hidden)]
        c = sigmoid(a[gate = 1]) * c + sigmoid(a[gate = 0]) * tanh(a[gate = 2])
        h = sigmoid(a[gate = 3]) * tanh(c)
    return h, c[time = -1]
"""
OTHERWISE = """
def f(
    X[time, input], h0[hidden], c0[hidden]; W[rows, input], U[rows, hidden], b[rows], d[rows]
) -> [time, hidden], [hidden]:
    scan time with h = h0, c = c0:
        a = (W @[input] X + b + U @[hidden] h + d)[rows -> (gate = 4, hidden)]
        c = sigmoid(a[gate = 0]) * c + sigmoid(a[gate = 1]) * tanh(a[gate = 3])
        h = sigmoid(a[gate = 2]) * tanh(c)
    return h, c[time = -1]
"""
LEFT = """
def f(X[time, input], h0[hidden]; W[hidden', input], U[hidden', hidden], b[hidden']) -> [time, hidden]:
    scan time with h = h0:
        h = sin(W @[input] X + U @[hidden] h + b)[hidden' -> hidden]
    return h
"""
LINEAR = """
def f(X[time, input], a[time, input], h0[input]) -> [time, input]:
    scan time with h = h0:
        h = sigmoid(a) * h + X
    return h
"""
TEXTS = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM, "LSTM otherwise": OTHERWISE, "left": LEFT, "linear": LINEAR}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4, "LSTM otherwise": 4, "left": 1}


def operands(name: str, steps: int = 5, batch: tuple[int, ...] = (), hidden: int = 3, inputs: int = 2) -> list[Tensor]:
    """X, the starts, the weights; data has the axes `batch` in front."""
    torch.manual_seed(steps)
    if name == "linear":
        shapes = [(*batch, steps, inputs), (*batch, steps, inputs), (*batch, inputs)]
    else:
        rows = GATES[name] * hidden
        starts = [(*batch, hidden)] * (2 if name.startswith("LSTM") else 1)
        biases = [(rows,)] * (1 if name == "left" else 2)
        shapes = [(*batch, steps, inputs), *starts, (rows, inputs), (rows, hidden), *biases]
    return [torch.randn(shape, dtype=torch.float64).mul_(0.7).requires_grad_() for shape in shapes]


def together(found: object) -> Tensor:
    """All results in one tensor."""
    listed = found if isinstance(found, tuple) else (found,)
    return torch.cat([one.flatten() for one in listed])


def same(found: object, wanted: object) -> None:
    for got, want in zip(*(x if isinstance(x, tuple) else (x,) for x in (found, wanted)), strict=True):
        torch.testing.assert_close(got, torch.as_tensor(np.array(want.detach())), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("name", TEXTS)
def test_values_and_derivatives(name: str, steps: int) -> None:
    function = nl.compile(TEXTS[name])
    given = operands(name, steps)
    same(function(*given), function.reference(*given))
    assert torch.autograd.gradcheck(lambda *x: together(function(*x)), given)
    assert torch.autograd.gradgradcheck(lambda *x: together(function(*x)), given, fast_mode=True)


@pytest.mark.parametrize("batch", [(3,), (1,), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize("name", TEXTS)
def test_lifted_over_further_axes(name: str, batch: tuple[int, ...]) -> None:
    function = nl.compile(TEXTS[name])
    given = operands(name, 4, batch)
    same(function(*given), function.reference(*given))


def test_lifted_where_only_the_start_has_the_further_axis() -> None:
    """An update that does not depend on what is lifted is the same along it."""
    function = nl.compile("""
def f(X[time, i], h0[i]; a[i]) -> [time, i], [time, i]:
    scan time with c = h0, d = h0:
        d = c * X
        c = 0.5 * a + 1
    return c, d
""")
    x, h0, a = (torch.randn(size, dtype=torch.float64) for size in ((2, 4, 3), (2, 3), (3,)))
    same(function(x, h0, a), function.reference(x, h0, a))
    assert function(x, h0, a)[0].shape == (2, 4, 3)


@pytest.mark.parametrize("name", [name for name in TEXTS if not name.startswith("LSTM")])
def test_without_steps(name: str) -> None:
    function = nl.compile(TEXTS[name])
    given = operands(name, 0, (2,))
    assert function(*given).shape == (2, 0, 2 if name == "linear" else 3)
    same(function(*given), function.reference(*given))


@pytest.mark.parametrize("sizes", [{"hidden": 1}, {"inputs": 1}, {"hidden": 1, "inputs": 1}, {"inputs": 0}])
@pytest.mark.parametrize("name", TEXTS)
def test_axes_of_one_and_of_none(name: str, sizes: dict[str, int]) -> None:
    function = nl.compile(TEXTS[name])
    given = operands(name, 3, **sizes)  # type: ignore[arg-type]
    same(function(*given), function.reference(*given))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_spellings_in_float32(kind: str, seed: int) -> None:
    """Weights apart and packed, biases or none, batches in several axes: whatever the kernel gets, its values."""
    text = getattr(networks, kind)(Random(f"{kind}{seed}"))
    program = program_of(text)
    sizes = {name: 2 + k % 3 for k, name in enumerate(program.symbols)} | {"gate": {"gru": 3, "lstm": 4}.get(kind, 1)}
    torch.manual_seed(seed)
    given = [torch.randn([size.evaluate(sizes) for _, size in one.axes]) for one in program.inputs]
    function = nl.compile(text)
    assert "network(" in _code(function, given)
    found = function(*given)
    for got, want in zip(
        *(x if isinstance(x, tuple) else (x,) for x in (found, function.reference(*given))), strict=True
    ):
        torch.testing.assert_close(got, torch.as_tensor(np.array(want)).to(got.dtype), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TEXTS)
def test_one_compilation_for_all_lengths(name: str) -> None:
    function = nl.compile(TEXTS[name])
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend="aot_eager")
    with torch._dynamo.config.patch(error_on_recompile=True):
        for steps in (6, 9, 5):
            given = operands(name, steps, (4,))
            found, wanted = together(compiled(*given)), together(function(*given))
            torch.testing.assert_close(found, wanted)
            pairs = [torch.autograd.grad(one.sin().sum(), given) for one in (found, wanted)]
            torch.testing.assert_close(*pairs)


@pytest.mark.parametrize("name", TEXTS)
def test_exported_for_all_lengths(name: str) -> None:
    function = nl.compile(TEXTS[name])
    given = [one.detach() for one in operands(name, 5, (4,))]
    function(*given)
    steps = torch.export.Dim("steps", min=2)
    moving = 2 if name == "linear" else 1
    shapes = tuple({1: steps} if k < moving else {} for k in range(len(given)))

    class Wrapped(torch.nn.Module):
        def forward(self, *x: Tensor) -> object:
            return function(*x)

    exported = torch.export.export(Wrapped(), tuple(given), dynamic_shapes={"x": shapes}).module()
    for count in (5, 8):
        given = [one.detach() for one in operands(name, count, (4,))]
        torch.testing.assert_close(together(exported(*given)), together(function(*given)))


@pytest.mark.parametrize("name", TEXTS)
def test_functions_of_functions(name: str) -> None:
    """`vmap`, gradients of each sample, with and without batched weights."""
    function = nl.compile(TEXTS[name])
    given = [one.detach() for one in operands(name, 4)]
    data = {"linear": 3, "LSTM": 3, "LSTM otherwise": 3}.get(name, 2)

    def score(*x: Tensor) -> Tensor:
        return together(function(*x)).pow(2).sum()

    for batched in (range(data), range(len(given)), range(data, len(given))):
        if not batched:
            continue
        many = [torch.stack([one, 2 * one, one - 1]) if k in batched else one for k, one in enumerate(given)]
        dims = tuple(0 if k in batched else None for k in range(len(given)))
        for run in (lambda *x: together(function(*x)), torch.func.grad(score, argnums=tuple(range(len(given))))):
            found = torch.vmap(run, in_dims=dims)(*many)
            rows = [run(*(one[k] if dim == 0 else one for one, dim in zip(many, dims, strict=True))) for k in range(3)]
            wanted = (
                torch.stack(rows) if isinstance(found, Tensor) else tuple(map(torch.stack, zip(*rows, strict=True)))
            )
            torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", TEXTS)
def test_derivatives_of_functions(name: str) -> None:
    """Forwards, backwards, and one over the other."""
    function = nl.compile(TEXTS[name])
    given = [one.detach() for one in operands(name, 3, hidden=2)]
    every = tuple(range(len(given)))

    def score(*x: Tensor) -> Tensor:
        return together(function(*x)).sin().sum()

    slopes = torch.func.jacrev(score, argnums=every)(*given)
    torch.testing.assert_close(torch.func.jacfwd(score, argnums=every)(*given), slopes)
    wanted = torch.autograd.functional.hessian(lambda x, w: score(x, *given[1:-1], w), (given[0], given[-1]))
    both = (0, len(given) - 1)
    torch.testing.assert_close(torch.func.jacrev(torch.func.jacrev(score, argnums=both), argnums=both)(*given), wanted)
    torch.testing.assert_close(torch.func.hessian(score, argnums=both)(*given), wanted)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("op", KERNELS)
def test_the_operator_and_its_gradients_are_the_kernel(op: str, reverse: bool) -> None:
    """Where torch traces, an operator stands for the kernel, with derivatives of second order."""
    name = {"gru": "GRU", "lstm": "LSTM"}.get(op, "RNN")
    x, *rest = operands(name, 4, (2,))
    states = [one.unsqueeze(0).detach().requires_grad_() for one in rest[: 2 if name == "LSTM" else 1]]
    given = [x.transpose(0, 1).detach().requires_grad_(), *states, *rest[len(states) :]]

    def run(call: Callable[..., object]) -> Callable[..., Tensor]:
        def of(*tensors: Tensor) -> Tensor:
            return together(
                tuple(
                    call(op, tensors[0], list(tensors[1 : 1 + len(states)]), list(tensors[1 + len(states) :]), reverse)
                )  # type: ignore[arg-type]
            )

        return of

    operator = run(torch.ops.namedlayers.network)
    torch.testing.assert_close(operator(*given), run(network)(*given))
    assert torch.autograd.gradcheck(operator, given)
    assert torch.autograd.gradgradcheck(operator, given, fast_mode=True)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_an_lstm_under_autocast_where_the_processor_refuses_it(
    dtype: torch.dtype, reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch itself hands it to a kernel that fails there."""
    monkeypatch.setattr(network_operator, "_is_refused", lambda x: True)
    x, h, c, *weights = operands("LSTM", 4, (2,))
    given = [x.transpose(0, 1), h.unsqueeze(0), c.unsqueeze(0), *weights]
    given = [one.detach().float().requires_grad_() for one in given]
    expected = network("lstm", given[0], given[1:3], given[3:], reverse)
    with torch.autocast("cpu", dtype):
        found = network("lstm", given[0], given[1:3], given[3:], reverse)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype is dtype
        torch.testing.assert_close(one.float(), other, rtol=0.05, atol=0.05)
    slopes = torch.autograd.grad(found[0].float().square().sum(), given)
    for one, other in zip(slopes, torch.autograd.grad(expected[0].square().sum(), given), strict=True):
        assert one.dtype is torch.float32
        torch.testing.assert_close(one, other, rtol=0.1, atol=0.1)


def _code(function: object, given: list[Tensor]) -> str:
    function(*given)  # type: ignore[operator]
    return str(function.code)  # type: ignore[attr-defined]
