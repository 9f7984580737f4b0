"""Neighbours that are read by floors of places, and weighed by what is left, are read by the kernel that samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.kernels import sampling
from namedlayers.emit.kernels.sampling import sampled_inside, sampled_up_to_ends, sampled_within
from tests.helpers import check, check_calls

R = np.random.default_rng(9)
SIGNAL, IMAGE = R.normal(size=(3, 5)), R.normal(size=(2, 3, 5, 4))
U, V = R.uniform(-1.6, 5.6, 9), R.uniform(-1.6, 4.6, 9)
LINE = "def f(X[c, i], u[p]) -> [c, p]:\n    k = int(floor(u))\n    t = u - k\n    return "
ZEROS, ENDS = "k; fill = 0", "clip(k, 0, |i| - 1)"


def _line(first: str, second: str) -> str:
    return f"{LINE}(1 - t) * X[i = {first}] + t * X[i = {second}]"


def _square(index: Callable[[str, str, str], str]) -> str:
    """All four, by lines; `index` of an axis, of a floor and of what is added."""
    rows = [
        f"(X[{index('i', 'k', row)}, {index('j', 'l', '0')}{{0}}] * (1 - t)"
        f" + X[{index('i', 'k', row)}, {index('j', 'l', '1')}{{0}}] * t)"
        for row in "01"
    ]
    return (
        "def f(X[b, c, i, j], u[p, b], v[p, b]) -> [b, p, c]:\n    k = int(floor(u))\n    l = int(floor(v))\n"
        f"    s = u - floor(u)\n    t = v % 1\n    return (1 - s) * {rows[0]} + s * {rows[1]}\n"
    )


def _plain(axis: str, floor: str, more: str) -> str:
    return f"{axis} = {floor} + {more}"


def _clipped(axis: str, floor: str, more: str) -> str:
    return f"{axis} = clip({floor} + {more}, 0, |{axis}| - 1)"


def _floor_or_ceil(axis: str, floor: str, more: str) -> str:
    return f"{axis} = int({('floor', 'ceil')[int(more)]}({'uv'[axis == 'j']}))"


def _hats(u: np.ndarray, size: int) -> np.ndarray:
    return np.maximum(0, 1 - abs(u[..., None] - np.arange(size)))


PAIRS = {"u": R.uniform(-1.6, 5.6, (9, 2)), "v": R.uniform(-1.6, 4.6, (9, 2))}
INSIDE = {"u": R.uniform(0, 4, (9, 2)), "v": R.uniform(0, 3, (9, 2))}
FORMULAS: dict[str, tuple[str, str, dict[str, Any], Any]] = {
    "zeros": (
        "sampled", _line(ZEROS, "k + 1; fill = 0"), {"X": SIGNAL, "u": U}, SIGNAL @ _hats(U, 5).T,
    ),
    "ends": (
        "sampled_up_to_ends", _line(ENDS, "clip(k + 1, 0, |i| - 1)"), {"X": SIGNAL, "u": U},
        SIGNAL @ _hats(np.clip(U, 0, 4), 5).T,
    ),
    "inside": (
        "sampled_inside", _line("k", "k + 1"), {"X": SIGNAL, "u": U % 3.9}, SIGNAL @ _hats(U % 3.9, 5).T,
    ),
    "the one above": (
        "sampled", _line(ZEROS, "int(ceil(u)); fill = 0"), {"X": SIGNAL, "u": U}, SIGNAL @ _hats(U, 5).T,
    ),
    "the one above, inside": (
        "sampled_within", _line("k", "int(ceil(u))"), {"X": SIGNAL, "u": U % 3.9}, SIGNAL @ _hats(U % 3.9, 5).T,
    ),
    "the one above, clipped": (
        "sampled_up_to_ends", _line(ENDS, "clip(int(ceil(u)), 0, |i| - 1)"), {"X": SIGNAL, "u": U},
        SIGNAL @ _hats(np.clip(U, 0, 4), 5).T,
    ),
    "a step from one to the other": (
        "sampled", f"{LINE}X[i = {ZEROS}] - (X[i = {ZEROS}] - X[i = k + 1; fill = 0]) * t", {"X": SIGNAL, "u": U},
        SIGNAL @ _hats(U, 5).T,
    ),
    "squares, zeros": ("sampled", _square(_plain).format("; fill = 0"), {"X": IMAGE, **PAIRS}, None),
    "squares, ends": ("sampled_up_to_ends", _square(_clipped).format(""), {"X": IMAGE, **PAIRS}, None),
    "squares, the ones above": (
        "sampled_within", _square(_floor_or_ceil).format(""), {"X": IMAGE, **INSIDE}, None,
    ),
    "squares, inside": ("sampled_inside", _square(_plain).format(""), {"X": IMAGE, **INSIDE}, None),
    "and a summand": (
        "sampled", _line(ZEROS, "k + 1; fill = 0") + " + X[i = 0]", {"X": SIGNAL, "u": U},
        SIGNAL @ _hats(U, 5).T + SIGNAL[:, :1],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_it_is_the_same(name: str) -> None:
    check_calls(*FORMULAS[name])


NOT = {
    "the one below": _line(ZEROS, "k - 1; fill = 0"),
    "weights that are turned": _line("k + 1; fill = 0", ZEROS),
    "weights that do not add up to 1": f"{LINE}(1 - t) * X[i = {ZEROS}] + t * t * X[i = k + 1; fill = 0]",
    "something else outside": _line("k; fill = 1", "k + 1; fill = 1"),
    "two kinds of ends": _line(ENDS, "k + 1; fill = 0"),
    "clipped too early": _line("clip(k, 0, |i| - 2)", "clip(k + 1, 0, |i| - 1)"),
    "no weight at whole numbers": f"{LINE}(ceil(u) - u) * X[i = {ZEROS}] + t * X[i = k + 1; fill = 0]",
    "rounded": _line("int(round(u)); fill = 0", "int(round(u)) + 1; fill = 0"),
    "below the one above": f"{LINE}(1 - t) * X[i = int(ceil(u)) - 1; fill = 0] + t * X[i = int(ceil(u)); fill = 0]",
    "one neighbour": f"{LINE}(1 - t) * X[i = {ZEROS}] + t * 2",
}


@pytest.mark.parametrize("name", NOT)
def test_what_is_none(name: str) -> None:
    function = nl.compile(NOT[name])
    assert isinstance(function, nl.Function)
    assert "sampled" not in function.code, function.code
    given = {"X": SIGNAL, "u": U}
    check(NOT[name], given, function.reference(**given).numpy())


@pytest.mark.parametrize("weight", ["inf", "nan", "-inf"])
def test_what_is_no_number_is_no_weight_and_nothing_is_computed_with_it(weight: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        code = nl.compile(_line("k; fill = 0", "k + 1; fill = 0") + f" * {weight}").code
    assert "sampled" not in code


@pytest.mark.parametrize("wrong", [-0.5, 4.0, 4.5, 1e30])
@pytest.mark.parametrize("derived", [False, True])
def test_what_is_outside_is_refused(wrong: float, derived: bool) -> None:
    """The last coordinate has none behind it."""
    function = nl.compile(_line("k", "k + 1"))
    place = torch.tensor([1.0, wrong, 2.5], requires_grad=derived)
    with pytest.raises(nl.FormulaError, match="NL0582"):
        function(torch.tensor(SIGNAL, dtype=torch.float32), place)


@pytest.mark.parametrize("wrong", [-0.5, 4.5, 1e30])
@pytest.mark.parametrize("derived", [False, True])
def test_what_is_outside_has_none_above(wrong: float, derived: bool) -> None:
    function = nl.compile(_line("k", "int(ceil(u))"))
    place = torch.tensor([1.0, 4.0, wrong, 2.5], requires_grad=derived)
    with pytest.raises(nl.FormulaError, match="NL0582"):
        function(torch.tensor(SIGNAL, dtype=torch.float32), place)


@pytest.mark.parametrize("derived", [False, True])
def test_the_last_has_itself_above(derived: bool) -> None:
    text = _line("k", "int(ceil(u))")
    place = torch.tensor([0.0, 1.0, 3.25, 4.0], dtype=torch.float64, requires_grad=derived)
    found = nl.compile(text)(torch.tensor(SIGNAL), place)
    torch.testing.assert_close(found.detach(), torch.tensor(SIGNAL @ _hats(place.detach().numpy(), 5).T))


EDGES = {"ends": sampled_up_to_ends, "inside": sampled_inside, "within": sampled_within}


def _given(dims: int, edge: str) -> list[Tensor]:
    torch.manual_seed(dims)
    sizes = (5, 4, 6)[:dims]
    around = 1.0 if edge == "ends" else 0.0
    places = [torch.rand(2, 9, dtype=torch.float64) * (size - 1 + 2 * around) - around for size in sizes]
    return [one.requires_grad_() for one in (torch.randn(2, 3, *sizes, dtype=torch.float64), *places)]


def _read(x: Tensor, *places: Tensor) -> Tensor:
    """Corner by corner, indices clipped."""
    found = torch.zeros(())
    for corner in product((0, 1), repeat=len(places)):
        flat, weight = torch.zeros((), dtype=torch.long), torch.ones(())
        for more, place, size in zip(corner, places, x.shape[2:], strict=True):
            below = place.detach().floor()
            flat = flat * size + (below.long() + more).clamp(0, size - 1)
            weight = weight * (place - below if more else 1 - place + below)
        index = flat.unsqueeze(1).expand(-1, x.shape[1], -1)
        found = found + x.flatten(2).gather(2, index) * weight.unsqueeze(1)
    return found


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_by_the_kernel_and_by_reading(edge: str, dims: int, monkeypatch: pytest.MonkeyPatch) -> None:
    function, given = EDGES[edge], _given(dims, edge)
    wanted = _read(*given)
    slope = torch.randn_like(wanted)
    slopes = torch.autograd.grad(wanted, given, slope)
    for rounding in (sampling.ROUNDING, 0.0):
        monkeypatch.setattr(sampling, "ROUNDING", rounding)
        found = function(*given)
        torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(torch.autograd.grad(found, given, slope), slopes)
    assert torch.autograd.gradgradcheck(function, given, fast_mode=True)


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_transforms(edge: str, dims: int) -> None:
    function, plain = EDGES[edge], [one.detach() for one in _given(dims, edge)]
    ones = [torch.ones_like(one) for one in plain]
    tangent = torch.func.jvp(function, tuple(plain), tuple(ones))[1]
    slope = torch.randn_like(tangent)
    back = torch.func.vjp(function, *plain)[1](slope)
    torch.testing.assert_close((tangent * slope).sum(), torch.stack([one.sum() for one in back]).sum())
    lifted = torch.func.vmap(function)(*(torch.stack([one, one]) for one in plain))
    torch.testing.assert_close(lifted[1], function(*plain))
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(*plain), function(*plain))


def test_ends() -> None:
    """Beyond them nothing changes, nor at them; NaN stays."""
    x = torch.tensor([[[1.0, 3.0, 4.0]]])
    place = torch.tensor([[-torch.inf, -1.0, 0.0, 0.5, 1.0, 2.0, 2.5, torch.inf, torch.nan]], requires_grad=True)
    found = sampled_up_to_ends(x, place)
    wanted = torch.tensor([[[1.0, 1.0, 1.0, 2.0, 3.0, 4.0, 4.0, 4.0, torch.nan]]])
    torch.testing.assert_close(found, wanted, equal_nan=True)
    (slope,) = torch.autograd.grad(found[..., :-1].sum(), place)
    assert slope[0, :-1].tolist() == [0.0, 0.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0]
    assert sampled_up_to_ends(x[..., :1], place.detach())[0, 0, :-1].tolist() == [1.0] * 8
