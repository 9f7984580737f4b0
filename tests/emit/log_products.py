"""Factors of log products, and what comes of them by a computation in double precision that holds the outer sum."""

from __future__ import annotations

import torch
from torch import Tensor


def factors(
    shape: tuple[int, ...], dtype: torch.dtype, scale: float, a_linear: bool, b_linear: bool = False
) -> tuple[Tensor, Tensor]:
    """Of a shape (batch…, rows, inner, columns): logarithms of this spread, some of them -inf; or weights, some 0."""
    *batch, rows, inner, columns = shape
    generator = torch.Generator().manual_seed(sum(shape) + int(scale))

    def one(linear: bool, *size: int) -> Tensor:
        if linear:
            return torch.rand(*size, generator=generator, dtype=dtype).mul(5).floor() / 5
        some = torch.randn(*size, generator=generator, dtype=dtype) * scale
        return some.masked_fill(torch.rand(*size, generator=generator) < 0.1, -torch.inf)

    return one(a_linear, *batch, rows, inner), one(b_linear, *batch, inner, columns)


def expected(
    a: Tensor, b: Tensor, slope: Tensor, a_linear: bool, b_linear: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The product and its derivatives, each term by its share."""
    x, y = (torch.log(one.double()) if linear else one.double() for one, linear in ((a, a_linear), (b, b_linear)))
    x, y = x.unsqueeze(-1), y.unsqueeze(-3)
    out = torch.logsumexp(x + y, -2)
    total = torch.where(torch.isfinite(out), out, 0).unsqueeze(-2)
    weigh = torch.where(torch.isfinite(out), slope.double(), 0).unsqueeze(-2)
    each = (torch.exp((one if linear else x + y) - total) for one, linear in ((y, a_linear), (x, b_linear)))
    to_a, to_b = (torch.where(weigh == 0, 0, one * weigh) for one in each)
    return out, to_a.sum(-1), to_b.sum(-3)


def agree(found: Tensor, wanted: Tensor, digits: float, *, finite: bool = False) -> None:
    """To so many digits; with `finite`, what comes near the largest number of the precision is not compared."""
    reached = (wanted.abs() < torch.finfo(found.dtype).max / 1000) | (not finite)
    torch.testing.assert_close(found.double()[reached], wanted[reached], rtol=digits, atol=digits)


def slopes_agree(
    found: tuple[Tensor, Tensor], a: Tensor, b: Tensor, slope: Tensor, linear: tuple[bool, bool], digits: float
) -> None:
    """Slopes to so many digits of what their terms amount to, signs aside."""
    _, *wanted = expected(a, b, slope, *linear)
    _, *sizes = expected(a, b, slope.abs(), *linear)
    for one, want, size in zip(found, wanted, sizes, strict=True):
        reached = size < torch.finfo(one.dtype).max / 1000
        wrong = ((one.cpu().double() - want).abs() <= digits * (1 + size)).logical_not() & reached
        assert not wrong.any(), (one.cpu()[wrong], want[wrong])
