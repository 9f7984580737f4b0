"""The nearest points are those that all differences tell, and how far they are has all its slopes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.emitters.nearest import least, nearest
from namedlayers.emit.kernels import nearest as kernel
from tests.helpers import check_calls

R = np.random.default_rng(8)
X, Y = R.normal(size=(70, 24)), R.normal(size=(40, 24))
PLANES = R.normal(size=(2, 24, 7, 5))
GROUPS, CODES = R.normal(size=(60, 3, 8)), R.normal(size=(3, 45, 8))
SQUARES = "sum[d]((X - E) ^ 2)"

FORMULAS: dict[str, tuple[str, dict[str, Any]]] = {
    "a number": (f"def f(X[n, d], E[k, d]) -> [n] = argmin[k]({SQUARES})", {"X": X, "E": Y}),
    "of roots": ("def f(X[d, n], E[k, d]) -> [n] = argmin[k](norm[d](E - X))", {"X": X.T.copy(), "E": Y}),
    "of what is less": (f"def f(X[n, d], E[k, d]) -> [n] = argmax[k](-{SQUARES} / 3)", {"X": X, "E": Y}),
    "taken apart": (
        "def f(X[n, d], E[k, d]) -> [n] = argmin[k](sum[d](X ^ 2) - 2 * X @[d] E + sum[d](E ^ 2))", {"X": X, "E": Y},
    ),
    "half of it": ("def f(X[n, d], E[k, d]) -> [n] = argmax[k](X @[d] E - sum[d](E * E) / 2)", {"X": X, "E": Y}),
    "a row": (f"def f(X[b, d, y, x], E[k, d]) -> [b, d, y, x] = E[k = argmin[k]({SQUARES})]", {"X": PLANES, "E": Y}),
    "in groups": (f"def f(X[n, g, d], E[g, k, d]) -> [n, g] = argmin[k]({SQUARES})", {"X": GROUPS, "E": CODES}),
    "how far": (f"def f(X[n, d], E[k, d]) -> [n] = min[k]({SQUARES})", {"X": X, "E": Y}),
    "how far, of roots": ("def f(X[n, d], E[k, d]) -> [n] = -max[k](-norm[d](X - E))", {"X": X, "E": Y}),
    "how far, in groups": (f"def f(X[n, g, d], E[g, k, d]) -> [g, n] = min[k]({SQUARES})", {"X": GROUPS, "E": CODES}),
    "either way": (
        "def f(X[n, d], E[k, d]):\n    D = sum[d]((X - E) ^ 2)\n    return mean[n](min[k](D)) + mean[k](min[n](D))",
        {"X": X, "E": Y},
    ),
    "few": (f"def f(X[n, d], E[k, d]) -> [n] = argmin[k]({SQUARES})", {"X": X[:2], "E": Y[:3]}),
    "nothing": (f"def f(X[n, d], E[k, d]) -> [n] = min[k]({SQUARES})", {"X": X, "E": Y[:0]}),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_it_is_the_same(name: str) -> None:
    text, inputs = FORMULAS[name]
    check_calls("least" if "how far" in name or name in ("either way", "nothing") else "nearest", text, inputs, None)


def _brute(x: Tensor, y: Tensor) -> Tensor:
    return (x.unsqueeze(-2) - y.unsqueeze(-3)).square().sum(-1)


GIVEN: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "anywhere": lambda x, y: (x, y),
    "far from 0 and close together": lambda x, y: (1e4 + 1e-1 * x, 1e4 + 1e-1 * y),
    "on a grid, with ties": lambda x, y: (x.round(), y.round()),
    "each twice": lambda x, y: (x, torch.cat([y, y])),
    "all the same": lambda x, y: (x, y[:1].expand_as(y).contiguous()),
    "with an infinity": lambda x, y: (x, y.index_fill(0, torch.tensor([3]), torch.inf)),
    "very small": lambda x, y: (1e-24 * x, 1e-24 * y),
    "very large": lambda x, y: (1e19 * x, 1e18 * y),
}


@pytest.mark.parametrize("block", [kernel.BLOCK, 1 << 14])
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)])
@pytest.mark.parametrize("wide", [2, 30])
@pytest.mark.parametrize("name", GIVEN)
def test_the_first_of_the_nearest(
    name: str, wide: int, batch: tuple[int, ...], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "BLOCK", block)
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(*batch, 400, wide, generator=generator), torch.randn(*batch, 150, wide, generator=generator)
    made = GIVEN[name]
    x, y = made(x, y) if not batch else (torch.stack(one).view(*batch, *one[0].shape) for one in zip(
        *(made(a, b) for a, b in zip(x.flatten(0, -3), y.flatten(0, -3), strict=True)), strict=True
    ))  # fmt: skip
    assert kernel.is_taken(x, y)
    plain = name in ("very small", "very large")  # squares of single precision are 0, or infinite
    squares = _brute(x, y) if plain else _brute(x.double(), y.double())
    number = nearest(x, y)
    far = squares.gather(-1, number.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(far, squares.amin(-1), rtol=1e-5, atol=1e-40)
    if name in ("on a grid, with ties", "each twice", "all the same"):
        assert torch.equal(number, squares.min(-1)[1])
    torch.testing.assert_close(least(x, y, False).double(), squares.float().amin(-1).double(), rtol=1e-5, atol=1e-40)


@pytest.mark.parametrize("count", [1, 2, 3, 200])
def test_what_is_no_number_is_the_nearest(count: int) -> None:
    x, y = torch.randn(1200, 60), torch.randn(count, 60)
    x[5, 3], x[9, 2] = torch.nan, torch.inf
    assert kernel.is_taken(x, y)
    assert torch.equal(nearest(x, y), _brute(x, y).min(-1)[1])
    assert torch.equal(nearest(x[10:], y), _brute(x[10:], y).min(-1)[1])


@pytest.mark.parametrize("root", [False, True])
@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("block", [kernel.BLOCK, 1 << 12])
def test_slopes_are_shared_at_ties(
    root: bool, batch: tuple[int, ...], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "BLOCK", block)
    x, y = torch.randn(*batch, 60, 6).round().double(), torch.randn(*batch, 300, 6).round().double()
    given, wanted = ([one.clone().requires_grad_() for one in (x, y)] for _ in range(2))
    assert kernel.is_taken(*given)
    squares = _brute(*wanted)
    distance = torch.where(squares == 0, 0, torch.where(squares == 0, 1, squares).sqrt()) if root else squares
    found, right = least(*given, root), distance.amin(-1)
    torch.testing.assert_close(found, right)
    weights = torch.randn_like(right)
    for one, other in zip(torch.autograd.grad(found, given, weights), torch.autograd.grad(right, wanted, weights),
                          strict=True):  # fmt: skip
        torch.testing.assert_close(one, other)


def test_slopes_of_slopes_and_transforms() -> None:
    x = torch.randn(64, 20, dtype=torch.float64, requires_grad=True)
    y = torch.randn(60, 20, dtype=torch.float64, requires_grad=True)
    cubes: Callable[[Tensor, Tensor], Tensor] = lambda x, y: least(x, y, False) ** 3  # noqa: E731
    assert kernel.is_taken(x, y)
    assert torch.autograd.gradcheck(cubes, (x, y), fast_mode=True)
    assert torch.autograd.gradgradcheck(cubes, (x, y), fast_mode=True)
    several = torch.stack([x, 2 * x]).detach()
    lifted = torch.func.vmap(nearest, (0, None))(several, y.detach())
    torch.testing.assert_close(lifted, torch.stack([nearest(one, y) for one in several]))


def test_slopes_of_few_ties_in_many_rows() -> None:
    x, y = (torch.randn(n, 40, dtype=torch.float64) for n in (300, 70))
    y[33] = y[5]
    given, wanted = ([one.clone().requires_grad_() for one in (x, y)] for _ in range(2))
    found, right = least(*given, False), _brute(*wanted).amin(-1)
    for one, other in zip(torch.autograd.grad(found.sum(), given), torch.autograd.grad(right.sum(), wanted),
                          strict=True):  # fmt: skip
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("numerics", ["default", "strict", "fast"])
def test_compiled(numerics: str) -> None:
    text = f"def f(X[n, d], E[k, d]) -> [n, d] = E[k = argmin[k]({SQUARES})] * min[k]({SQUARES})"
    function = nl.compile(text, numerics=numerics)  # type: ignore[arg-type]
    given = torch.tensor(X), torch.tensor(Y)
    torch._dynamo.reset()
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(*given), function(*given))


def test_compiled_it_is_one_operator() -> None:
    x, y = torch.randn(3, 90, 24), torch.randn(3, 80, 24)
    y[:, 40] = y[:, 3]
    graphs: list[str] = []

    def keep(graph: torch.fx.GraphModule, _: object) -> Callable[..., Any]:
        graphs.append(graph.code)
        return graph

    torch._dynamo.reset()
    compiled = torch.compile(nearest, backend=keep, fullgraph=True)
    assert torch.equal(compiled(x, y), _brute(x, y).min(-1)[1])
    assert torch.equal(compiled(x[:, :2], y), _brute(x[:, :2], y).min(-1)[1])
    assert ["namedlayers.nearest" in code for code in graphs] == [True, False]
    each = torch.compile(torch.func.vmap(nearest, (0, None)), backend="aot_eager", fullgraph=True)
    assert torch.equal(each(x, y[0]), _brute(x, y[:1]).min(-1)[1])


@pytest.mark.parametrize("name", GIVEN)
def test_compiled_all_pairs_are_told_in_one_pass(name: str) -> None:
    generator = torch.Generator().manual_seed(2)
    x, y = GIVEN[name](*(torch.randn(n, 30, generator=generator) for n in (400, 150)))
    torch._dynamo.reset()
    compiled = torch.compile(nearest, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(x, y), nearest(x, y))
    each = torch.compile(torch.func.vmap(nearest, (0, None)), backend="aot_eager", fullgraph=True)
    assert torch.equal(each(torch.stack([x, x]), y)[1], nearest(x, y))


@pytest.mark.parametrize(("times", "asked"), [(1, False), (2, False), (3, True)])
def test_compiled_an_operator_is_asked_where_more_than_two_are_near(
    times: int, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled, calls = kernel.settled, list[int]()

    def asked_for(*given: Tensor) -> Tensor | None:
        calls.append(len(given))
        return settled(*given)

    monkeypatch.setattr(kernel, "settled", asked_for)
    generator = torch.Generator().manual_seed(2)
    x, y = (torch.randn(n, 30, generator=generator).round() for n in (400, 150))
    y = torch.cat([y, *(times - 1) * [y[:1]]])
    x, y = x + 0.25 * torch.rand(400, 30, generator=generator), y + 0.25 * torch.rand(1, 30, generator=generator)
    x[7] = y[0]
    torch._dynamo.reset()
    assert torch.equal(torch.compile(nearest, backend="aot_eager", fullgraph=True)(x, y), _brute(x, y).min(-1)[1])
    assert bool(calls) == asked


@pytest.fixture(params=["medium", "high", "autocast"])
def fewer_digits(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("fewer_digits")
def test_products_of_fewer_digits_do_not_decide() -> None:
    some = torch.Generator().manual_seed(1)
    x, y = (3 + torch.randn(n, 64, generator=some) for n in (500, 300))
    squares = _brute(x.double(), y.double())
    assert torch.equal(nearest(x, y), squares.argmin(-1))
    torch.testing.assert_close(least(x, y, False).double(), squares.amin(-1), rtol=1e-5, atol=0)
