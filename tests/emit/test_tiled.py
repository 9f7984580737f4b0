"""Calls in a budget of memory: cut into pieces they give what they give whole, and their gradients."""

from __future__ import annotations

import pytest
import torch

import namedlayers as nl
from namedlayers.emit.tiled import Tiled
from namedlayers.errors import SizeError
from namedlayers.plan.tiling import peak, tiles

KERNEL = "def f(X[i, d], Y[j, d]; b[j]) -> [i]:\n    return sum[j](exp(-sum[d]((X - Y) ^ 2)) * b)"

CUTTABLE = {
    "a kernel over pairs of points": (KERNEL, [(40, 3), (50, 3), (50,)], "i"),
    "attention": (
        "def f(Q[q, k], K[s, k], V[s, v]) -> [q, v] = softmax[s](Q @[k] K) @[s] V", [(30, 4), (20, 4), (20, 5)], "q",
    ),
    "a sum over what is cut": (
        "def f(X[t, i]; W[i, o]) -> [] = sum[t, o](tanh(X @[i] W))", [(60, 3), (3, 7)], "t",
    ),
    "two results": (
        "def f(X[b, i]; W[i, o]) -> [b, o], [b]:\n    Y = tanh(X @[i] W)\n    return Y, sum[o](Y)",
        [(50, 3), (3, 20)], "b",
    ),
}  # fmt: skip


def _compiled(text: str, args: list[torch.Tensor]) -> tuple[nl.Function, Tiled]:
    function = nl.compile(text)
    made = function.specialize(*args).compiled
    needed = peak(made.variants[-1].graph, dict(zip(made.program.symbols, _sizes(made, args), strict=True)), 8)
    return function, Tiled(made, max(1, needed // 5))


def _sizes(made, args):  # type: ignore[no-untyped-def]
    from namedlayers.program.sizes_at_call import solve_sizes

    shapes = {given.name: tuple(arg.shape) for given, arg in zip(made.program.inputs, args, strict=True)}
    found = solve_sizes(made.program, shapes)
    return [found[name] for name in made.program.symbols]


@pytest.mark.parametrize("name", CUTTABLE)
def test_pieces_make_the_whole(name: str) -> None:
    text, shapes, axis = CUTTABLE[name]
    args = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    function, tiled = _compiled(text, args)
    torch.testing.assert_close(tiled(*args), function(*args))
    (cut,) = tiled._cuts.values()
    assert cut is not None and cut.step < cut.size and cut.tile.symbol == axis


@pytest.mark.parametrize("name", CUTTABLE)
def test_gradients_come_in_pieces_too(name: str) -> None:
    text, shapes, _ = CUTTABLE[name]
    args = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    function, tiled = _compiled(text, args)
    results = [one if isinstance(one, tuple) else (one,) for one in (tiled(*args), function(*args))]
    ours, theirs = (torch.autograd.grad(sum(part.sin().sum() for part in one), args) for one in results)
    torch.testing.assert_close(ours, theirs)


NOT_CUT = {
    "coordinates": "def f(X[t]) -> [t] = X * t",
    "sizes": "def f(X[t]) -> [t] = X / |t|",
    "a softmax along it": "def f(X[t]) -> [t] = softmax[t](X)",
    "running": "def f(X[t]) -> [t] = cumsum[t](X)",
    "windows": "def f(X[t]) -> [t, k] = unroll[t, k = 2](X)",
    "both sides of one axis": "def f(X[t]) -> [t, t'] = X * X[t -> t']",
    "what comes after a sum": "def f(X[t]) -> [] = tanh(sum[t](X))",
    "a maximum": "def f(X[t]) -> [] = max[t](X)",
}


@pytest.mark.parametrize("name", NOT_CUT)
def test_what_depends_on_the_axis_is_not_cut(name: str) -> None:
    made = nl.compile(NOT_CUT[name]).specialize(torch.randn(9)).compiled
    assert all(not tiles(variant.graph) for variant in made.variants)


def test_what_fits_is_not_cut() -> None:
    args = [torch.randn(4, 3), torch.randn(5, 3), torch.randn(5)]
    tiled = Tiled(nl.compile(KERNEL).specialize(*args).compiled, 1 << 20)
    tiled(*args)
    assert list(tiled._cuts.values()) == [None]


def test_what_cannot_fit_is_an_error() -> None:
    x = torch.randn(1000)
    tiled = Tiled(nl.compile("def f(X[t]) -> [t] = cumsum[t](X)").specialize(x).compiled, 100)
    with pytest.raises(SizeError, match=r"NL0431.*3\.9 KiB"):
        tiled(x)
