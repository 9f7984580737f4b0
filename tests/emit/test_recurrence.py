"""The operators of linear recurrences against the loop that defines them: values, derivatives, batches, compilation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from namedlayers.emit.loops.recurrence import (
    SHORT,
    WIDE,
    _lagged_operator,
    _operator,
    lagged_recurrence,
    recurrence,
)
from namedlayers.inspect.timing import peak_bytes

LENGTHS = [0, 1, 2, 3, SHORT, SHORT + 1, 2 * SHORT + 3, 100]


def loop(a: Tensor, b: Tensor, h: Tensor, reverse: bool) -> Tensor:
    found: list[Tensor] = []
    for t in reversed(range(len(b))) if reverse else range(len(b)):
        h = a[t] * h + b[t]
        found.append(h)
    return torch.stack(found[::-1] if reverse else found) if found else torch.empty_like(b)


def lagged_loop(a: Tensor, b: Tensor, reverse: bool) -> Tensor:
    if not len(b):
        return torch.empty_like(b)
    zero = torch.zeros_like(a[:1])
    moved = torch.cat([a[1:], zero]) if reverse else torch.cat([zero, a[:-1]])
    return loop(moved, b, torch.zeros_like(b[0]), reverse)


def operands(steps: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(steps)
    a, b, h0 = (torch.randn(s, dtype=dtype) for s in ((steps, *shape), (steps, *shape), shape))
    return (a / (1 + a.abs())).requires_grad_(), b.requires_grad_(), h0.requires_grad_()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0,), (WIDE,)])
def test_it_is_the_loop(steps: int, shape: tuple[int, ...], reverse: bool) -> None:
    a, b, h0 = operands(steps, shape)
    torch.testing.assert_close(recurrence(a, b, h0, reverse), loop(a, b, h0, reverse))
    torch.testing.assert_close(lagged_recurrence(a, b, reverse), lagged_loop(a, b, reverse))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_blocks_are_the_whole(dtype: torch.dtype, reverse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    given = [one.detach().to(dtype) for one in operands(150, (2, 3))]
    expected = recurrence(*given, reverse), lagged_recurrence(*given[:2], reverse)
    monkeypatch.setattr("namedlayers.emit.loops.recurrence.BLOCK", 6 * 40)
    found = recurrence(*given, reverse), lagged_recurrence(*given[:2], reverse)
    torch.testing.assert_close(found, expected)


def test_a_scan_holds_little_besides_its_result() -> None:
    a, b, h0 = (one.detach() for one in operands(1024, (8,)))
    assert peak_bytes(lambda: recurrence(a, b, h0, False)) <= 2 * b.nbytes
    for one in (a, b, h0):
        one.requires_grad_()
    weights = torch.ones_like(b)
    # The result, what comes back to a and to b, and the scan's own.
    assert peak_bytes(lambda: torch.autograd.grad(recurrence(a, b, h0, False), (a, b), weights)) <= 3.1 * b.nbytes


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 2, SHORT + 5])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_derivatives_of_first_and_second_order(steps: int, dtype: torch.dtype, reverse: bool) -> None:
    given = operands(steps, (2,), dtype)
    assert torch.autograd.gradcheck(lambda *x: recurrence(*x, reverse), given)
    assert torch.autograd.gradgradcheck(lambda *x: recurrence(*x, reverse), given, fast_mode=True)
    assert torch.autograd.gradcheck(lambda *x: lagged_recurrence(*x, reverse), given[:2])
    assert torch.autograd.gradgradcheck(lambda *x: lagged_recurrence(*x, reverse), given[:2], fast_mode=True)


def test_derivatives_of_third_order() -> None:
    a, b, h0 = operands(SHORT + 3, (2,))

    def third(run: object) -> Tensor:
        value = run(a, b, h0, False).pow(2).sum()  # type: ignore[operator]
        for _ in range(2):
            (slope,) = torch.autograd.grad(value, a, create_graph=True)
            value = slope.pow(2).sum()
        return torch.autograd.grad(value, b)[0]

    torch.testing.assert_close(third(recurrence), third(loop))


@pytest.mark.parametrize("dims", [(0, 0, 0), (1, None, 0), (None, 2, None), (2, 0, 1)])
def test_vmap(dims: tuple[int | None, ...]) -> None:
    given = [x.detach() for x in operands(20, (3,))]
    moved = [x if dim is None else torch.stack([x, 2 * x, x - 1], dim) for x, dim in zip(given, dims, strict=True)]
    expected = torch.stack([
        loop(*(x if dim is None else x.select(dim, k) for x, dim in zip(moved, dims, strict=True)), True)
        for k in range(3)
    ])  # fmt: skip
    found = torch.vmap(lambda *x: recurrence(*x, True), in_dims=dims)(*moved)
    torch.testing.assert_close(found, expected)


def test_gradients_of_each_sample() -> None:
    a, b, h0 = (x.detach() for x in operands(20, (3,)))
    many = torch.stack([b, 2 * b])

    def score(a: Tensor, b: Tensor) -> Tensor:
        return recurrence(a, b, h0, False).pow(2).sum()

    found = torch.vmap(torch.func.grad(score), in_dims=(None, 0))(a, many)
    expected = torch.stack([torch.func.grad(score)(a, one) for one in many])
    torch.testing.assert_close(found, expected)


def test_layouts_that_are_not_contiguous_are_kept() -> None:
    a, b, h0 = (x.detach() for x in operands(40, (3, 5)))
    turned = b.permute(1, 0, 2).contiguous().permute(1, 0, 2)
    found = recurrence(a[:, :1].expand_as(b), turned, h0, False)
    assert found.stride() == turned.stride()
    torch.testing.assert_close(found, loop(a[:, :1].expand_as(b), b, h0, False))


def test_half_precision_is_accumulated_in_float32() -> None:
    a, b, h0 = (x.detach().bfloat16() for x in operands(100, (4,), torch.float32))
    exact = loop(a.float(), b.float(), h0.float(), False)
    torch.testing.assert_close(recurrence(a, b, h0, False), exact.bfloat16(), rtol=0, atol=0.02)


def test_no_length_compiles_anew() -> None:
    compiled = torch.compile(
        lambda a, b, h: recurrence(a, b, h, False), fullgraph=True, dynamic=True, backend="aot_eager"
    )
    with torch._dynamo.config.patch(error_on_recompile=True):
        for steps in (5, 40, 7):
            a, b, h0 = operands(steps, (3,))
            found, expected = compiled(a, b, h0), loop(a, b, h0, False)
            torch.testing.assert_close(found, expected)
            pairs = [torch.autograd.grad(x.sin().sum(), (a, b, h0)) for x in (found, expected)]
            torch.testing.assert_close(*pairs)


def test_operators_are_declared_well() -> None:
    torch.library.opcheck(_operator, (*operands(20, (3,)), True))
    torch.library.opcheck(_lagged_operator, (*operands(20, (3,))[:2], False))
