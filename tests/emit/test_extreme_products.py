"""An extreme of an outer sum, or product, is a product of matrices of its semiring, however it is written."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

import namedlayers as nl
from namedlayers.emit.kernels import extremes
from namedlayers.emit.kernels.extremes import extreme_product
from tests.helpers import check, check_calls

R = np.random.default_rng(3)
A, B, C, D = (R.normal(size=shape) for shape in ((4, 3), (3, 5), (5, 2), (2, 6)))

FORMULAS: dict[str, tuple[str, dict[str, np.ndarray], np.ndarray | None]] = {
    "max-plus": (
        "def f(A[i, j], B[j, k]) -> [i, k] = max[j](A + B)", {"A": A, "B": B}, (A[:, :, None] + B).max(1),
    ),
    "min-plus, the other way round": (
        "def f(A[i, j], B[j, k]) -> [k, i] = min[j](B - A)", {"A": A, "B": B}, (B - A[:, :, None]).min(1).T,
    ),
    "max-product": (
        "def f(A[i, j], B[j, k]) -> [i, k] = max[j](A * B)", {"A": A, "B": B}, (A[:, :, None] * B).max(1),
    ),
    "min-product, scaled": (
        "def f(A[i, j], B[j, k]) -> [i, k] = min[j](2 * A * B)", {"A": A, "B": B}, (2 * A[:, :, None] * B).min(1),
    ),
    "axes of several, in both": (
        "def f(A[b, i, j, l], B[l, j, b, k]) -> [k, b, i] = max[j, l](A + B)",
        {"A": R.normal(size=(2, 4, 3, 2)), "B": R.normal(size=(2, 3, 2, 5))}, None,
    ),
    "terms without the axis": (
        "def f(A[i, j], B[j, k], a[i], b[k]; c[j]) -> [i, k] = max[j](a + A + (B - b) + c + 2)",
        {"A": A, "B": B, "a": A[:, 0], "b": B[0], "c": B[:, 0]}, None,
    ),
    "one side is an extreme by itself": (
        "def f(A[i, j], B[j, k], C[k, l]) -> [i, l] = max[j, k](A + B + C)", {"A": A, "B": B, "C": C}, None,
    ),
    "a chain": (
        "def f(A[i, j], B[j, k], C[k, l], D[l, m]) -> [i, m] = min[j, k, l](A + B + C + D)",
        {"A": A, "B": B, "C": C, "D": D}, None,
    ),
    "factors that are not negative": (
        "def f(A[i, j], B[j, k], C[k, l]) -> [i, l] = max[j, k](exp(A) * abs(B) * sigmoid(C))",
        {"A": A, "B": B, "C": C}, None,
    ),
    "no rows": ("def f(A[i, j], B[j, k]) -> [i, k] = max[j](A + B)", {"A": A[:0], "B": B}, np.zeros((0, 5))),
    "one of each": ("def f(A[i, j], B[j, k]) -> [i, k] = max[j](A + B)", {"A": A[:1, :1], "B": B[:1, :1]}, None),
}  # fmt: skip

APART = {
    "a term has all axes": "max[j](A + E)",
    "nothing is shared": "max[j, l](A + C)",
    "a vector": "max[j](A + b)",
    "a quotient": "max[j](A / B)",
    "it changes sign": "max[j](-A * B)",
    "a product that is less at negative factors": "max[j, k](A * B * C)",
}


@pytest.mark.parametrize("name", FORMULAS)
def test_it_is_the_same(name: str) -> None:
    check_calls("extreme_product", *FORMULAS[name])


@pytest.mark.parametrize("name", APART)
def test_what_is_none(name: str) -> None:
    text = f"def f(A[i, j], B[j, k], C[k, l], E[i, j, k], b[j]) = {APART[name]}"
    assert "extreme_product" not in nl.compile(text).code


@pytest.mark.parametrize("op", ["max", "min"])
def test_nothing_to_choose_from(op: str) -> None:
    text = f"def f(A[i, j], B[j, k]) -> [i, k] = {op}[j](A + B)"
    check(text, {"A": A[:, :0], "B": B[:0]}, np.full((4, 5), -np.inf if op == "max" else np.inf))


ALONE = {
    "an axis that one term alone has": (
        "def f(A[i, j], B[j, k], C[k]) -> [k] = max[i, j](A - B + C)", {"A": A, "B": B, "C": B[0]},
        (A[:, :, None] - B).max((0, 1)) + B[0],
    ),
    "terms with no axis in common": (
        "def f(A[i, j], C[k, l]) -> [] = min[i, j, k, l](A + C + 1)", {"A": A, "C": C}, A.min() + C.min() + 1,
    ),
    "factors that are not negative": (
        "def f(A[i, j], B[j, k]) -> [k] = max[i, j](exp(A) * exp(B))", {"A": A, "B": B},
        np.exp(A[:, :, None] + B).max((0, 1)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ALONE)
def test_what_one_term_alone_has_is_chosen_there(name: str) -> None:
    text, inputs, expected = ALONE[name]
    check(text, inputs, expected)
    assert "summed alone" in nl.compile(text).explain()


def test_a_factor_that_may_be_negative_stays_inside() -> None:
    text = "def f(A[i, j], B[j, k]) -> [k] = max[i, j](A * B)"
    check(text, {"A": A, "B": B}, (A[:, :, None] * B).max((0, 1)))


def test_strictly_as_it_is_written() -> None:
    chain = nl.compile(FORMULAS["a chain"][0], numerics="strict")
    assert "extreme_product" not in chain.code
    assert "extreme_product" in nl.compile(FORMULAS["max-plus"][0], numerics="strict").code


# --- the kernel -------------------------------------------------------------------------------------------------------

FORMS = [("max", "add"), ("min", "add"), ("max", "mul"), ("min", "mul")]
SHAPES = {
    "rows": ((7, 5), (5, 40)),
    "few columns": ((40, 5), (5, 3)),
    "few of both": ((3, 5), (5, 2)),
    "a batch": ((6, 3, 2), (6, 2, 4)),
    "long sums": ((3, 70), (70, 90)),
}


def _plain(a: Tensor, b: Tensor, op: str, join: str) -> Tensor:
    left, right = a.unsqueeze(-1), b.unsqueeze(-3)
    entries = left + right if join == "add" else left * right
    return entries.amax(-2) if op == "max" else entries.amin(-2)


@pytest.fixture(params=[1, 100])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few entries a block has."""
    monkeypatch.setattr(extremes, "BLOCK", request.param)
    monkeypatch.setattr(extremes, "FEW", -1)


def _given(shapes: tuple[tuple[int, ...], ...], ties: bool = False) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    found = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return [(one.round() if ties else one).requires_grad_() for one in found]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SHAPES)
def test_values_and_slopes(block: None, name: str, form: tuple[str, str], ties: bool) -> None:
    a, b = _given(SHAPES[name], ties)
    sides = [one(a, b, *form) for one in (extreme_product, _plain)]
    assert torch.equal(*sides)
    slope = torch.randn_like(sides[0])
    slopes = [torch.autograd.grad(side, (a, b), slope) for side in sides]
    torch.testing.assert_close(*slopes)
    for which in (a, b):
        alone = extreme_product(*(one if one is which else one.detach() for one in (a, b)), *form)
        torch.testing.assert_close(torch.autograd.grad(alone, which, slope)[0], slopes[1][which is b])


@pytest.mark.parametrize("form", FORMS)
def test_slopes_of_slopes(block: None, form: tuple[str, str]) -> None:
    given = _given(((3, 2), (2, 4)))
    cubes = lambda a, b: extreme_product(a, b, *form) ** 3  # noqa: E731
    assert torch.autograd.gradcheck(cubes, given, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(cubes, given)


def test_transforms(block: None) -> None:
    a, b = (one.detach() for one in _given(((3, 4), (4, 5))))
    several = torch.stack([a, -a])
    ours, plain = ((lambda x, run=run: run(x, b, "max", "add").sin().sum()) for run in (extreme_product, _plain))
    torch.testing.assert_close(vmap(grad(ours))(several), vmap(grad(plain))(several))
    torch.testing.assert_close(jvp(ours, (a,), (a,)), jvp(plain, (a,), (a,)))


@pytest.mark.parametrize("form", FORMS)
def test_what_is_not_finite(block: None, form: tuple[str, str]) -> None:
    a, b = (one.detach().clone() for one in _given(SHAPES["rows"]))
    a[0, 0], a[1], b[1, 2], b[:, 3] = torch.nan, -torch.inf, torch.inf, -torch.inf
    sides = [one(a, b, *form) for one in (extreme_product, _plain)]
    torch.testing.assert_close(*sides, equal_nan=True)
    a.requires_grad_(), b.requires_grad_()
    slopes = [torch.autograd.grad(one(a, b, *form).sum(), (a, b)) for one in (extreme_product, _plain)]
    torch.testing.assert_close(*slopes, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_precisions(block: None, dtype: torch.dtype) -> None:
    a, b = (one.detach().to(dtype).requires_grad_() for one in _given(SHAPES["long sums"]))
    sides = [one(a, b, "max", "add") for one in (extreme_product, _plain)]
    assert torch.equal(*sides) and sides[0].dtype is dtype
    slopes = [torch.autograd.grad(side.float().square().sum(), (a, b)) for side in sides]
    torch.testing.assert_close(*slopes, rtol=3e-2, atol=3e-2)


def test_of_two_precisions(block: None) -> None:
    """One of which came out of a region of autocast."""
    a, b = (one.detach() for one in _given(SHAPES["rows"]))
    found = extreme_product(a.bfloat16(), b.float(), "max", "add")
    assert found.dtype is torch.float32 and torch.equal(found, _plain(a.bfloat16(), b.float(), "max", "add"))


def test_the_outer_sum_is_never_held() -> None:
    a, b = torch.randn(256, 64, requires_grad=True), torch.randn(64, 512, requires_grad=True)
    with torch.profiler.profile(profile_memory=True) as profile:
        extreme_product(a, b, "max", "add").sum().backward()
    assert max(event.self_cpu_memory_usage for event in profile.events()) <= 4 * extremes.BLOCK < 4 * 256 * 64 * 512


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("form", FORMS[::3])
@pytest.mark.parametrize("name", ["few columns", "a batch"])
def test_traced(name: str, form: tuple[str, str], dynamic: bool) -> None:
    """Its slopes are an operator."""
    quick = torch.compile(extreme_product, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    given = _given(SHAPES[name], ties=True)
    found, wanted = quick(*given, *form), extreme_product(*given, *form)
    assert torch.equal(found, wanted)
    slope = torch.randn_like(found)
    for which in (given, given[:1], given[1:]):
        ours, theirs = (torch.autograd.grad(one, which, slope, retain_graph=True) for one in (found, wanted))
        torch.testing.assert_close(ours, theirs)
    with torch.no_grad():
        assert torch.equal(quick(*given, *form), wanted)


def test_a_chain_is_traced_in_one_graph() -> None:
    function = nl.compile(FORMULAS["one side is an extreme by itself"][0])
    given = _given(((4, 3), (3, 5), (5, 2)))
    found, wanted = torch.compile(function, backend="aot_eager", fullgraph=True)(*given), function(*given)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(*(torch.autograd.grad(one.sum(), given) for one in (found, wanted)))
