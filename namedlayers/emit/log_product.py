"""The matrix product of the semiring `log`: log(sum of exp(A + B)), exact also where the shifted product underflows.

In: A [..., m, k] and B [..., k, n], logarithms, or, where they are `linear`, the weights themselves. Out: [..., m, n].
What always holds: each factor is shifted by its row's or column's maximum, so that one matrix product does the work; an
entry of it that is too small to have all its digits is computed again, in double precision, and what is too small there
by itself, element by element. -inf stands for nothing and has no gradient; a weight of 0 has one, and a negative weight
gives NaN, as its logarithm does. Derivatives are differentiable themselves.

What is traced (`torch.compile`, `torch.export`) sees an operator; elsewhere it is an autograd function, which
`torch.func` transforms too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_HALF = (torch.float16, torch.bfloat16)

CHUNK = 1 << 22
"""How many elements are held at once where entries are computed one by one."""


def log_product(a: Tensor, b: Tensor, a_linear: bool, b_linear: bool) -> Tensor:
    """log(sum over k of exp(a[m, k] + b[k, n])); a linear factor w stands for log(w).

    >>> a, b = torch.tensor([[0.5, 1.5]]), torch.tensor([[-500.0], [2.0]])
    >>> log_product(a, b, False, False), log_product(a, b, True, False)
    (tensor([[3.5000]]), tensor([[2.4055]]))
    """
    if a.dtype in _HALF:
        return log_product(a.float(), b.float(), a_linear, b_linear).to(a.dtype)
    if torch.compiler.is_compiling():
        return _operator(a, b, a_linear, b_linear)
    return _LogProduct.apply(a, b, a_linear, b_linear)


# --- operators --------------------------------------------------------------------------------------------------------


@torch.library.custom_op("namedlayers::log_product", mutates_args=())
def _operator(a: Tensor, b: Tensor, a_linear: bool, b_linear: bool) -> Tensor:
    return _forward(a, b, a_linear, b_linear)


@torch.library.custom_op("namedlayers::log_product_slopes", mutates_args=())
def _slopes_operator(
    a: Tensor, b: Tensor, out: Tensor, slope: Tensor, a_linear: bool, b_linear: bool
) -> tuple[Tensor, Tensor]:
    to_a, to_b = _slopes(a, b, out, slope, a_linear, b_linear)
    return to_a.contiguous(), to_b.contiguous()


@_operator.register_fake
def _shape(a: Tensor, b: Tensor, a_linear: bool, b_linear: bool) -> Tensor:
    return a.new_empty((*a.shape[:-1], b.shape[-1]))


@_slopes_operator.register_fake
def _slopes_shape(
    a: Tensor, b: Tensor, out: Tensor, slope: Tensor, a_linear: bool, b_linear: bool
) -> tuple[Tensor, Tensor]:
    return a.new_empty(a.shape), b.new_empty(b.shape)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, bool, bool], output: Tensor) -> None:
    a, b, ctx.a_linear, ctx.b_linear = inputs
    ctx.save_for_backward(a, b, output)


def _traced_slopes(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
    return *_slopes_operator(*ctx.saved_tensors, slope, ctx.a_linear, ctx.b_linear), None, None


def _keep_slopes(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.a_linear, ctx.b_linear = inputs
    ctx.save_for_backward(*tensors)


def _second_slopes(ctx: Any, to_a: Tensor, to_b: Tensor) -> tuple[Tensor | None, ...]:
    """The derivative of the derivative: differentiable operations, gone through once more."""
    with torch.enable_grad():
        a, b, out, slope = inputs = tuple(one.detach().requires_grad_() for one in ctx.saved_tensors)
        slopes = _slopes(a, b, out, slope, ctx.a_linear, ctx.b_linear)
        found = torch.autograd.grad(slopes, inputs, (to_a, to_b), allow_unused=True)
    return *found, None, None


_operator.register_autograd(_traced_slopes, setup_context=_keep)
_slopes_operator.register_autograd(_second_slopes, setup_context=_keep_slopes)


class _LogProduct(torch.autograd.Function):
    """What `log_product` is where nothing is traced."""

    @staticmethod
    def forward(a: Tensor, b: Tensor, a_linear: bool, b_linear: bool) -> Tensor:
        return _forward(a, b, a_linear, b_linear)

    setup_context = staticmethod(_keep)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        a, b, out = ctx.saved_tensors
        return *_slopes(a, b, out, slope, ctx.a_linear, ctx.b_linear), None, None

    @staticmethod
    def vmap(info: Any, dims: tuple, a: Tensor, b: Tensor, a_linear: bool, b_linear: bool) -> tuple[Tensor, int]:
        a, b = (
            x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
            for x, dim in zip((a, b), dims, strict=False)
        )
        return log_product(a, b, a_linear, b_linear), 0


# --- the computation --------------------------------------------------------------------------------------------------


def _forward(a: Tensor, b: Tensor, a_linear: bool, b_linear: bool) -> Tensor:
    left, right = _Factor(a, a_linear, -1), _Factor(b, b_linear, -2)
    product = _matmul(left.scaled, right.scaled)
    if product.numel() == 0 or product.amin() >= _least(product, a.shape[-1]):
        return product.log_().add_(left.shift).add_(right.shift)
    shift = left.shift + right.shift
    out = torch.log(product) + shift
    small = _small(product, left, right)
    if small.any():
        if product.dtype is not torch.float64:
            wide = _matmul(left.wide(), right.wide())
            out = torch.where(small, (torch.log(wide) + shift).to(out.dtype), out)
            small = small & _small(wide, left, right)
        for places in _places(small, a.shape[-1]):
            rows, columns = left.rows(places), right.columns(places)
            out[places] = torch.logsumexp(rows + columns, -1).to(out.dtype)
    return out


def _slopes(a: Tensor, b: Tensor, out: Tensor, slope: Tensor, a_linear: bool, b_linear: bool) -> tuple[Tensor, Tensor]:
    """What a slope at the result is at the factors: each weighs as its share of the sum."""
    left, right = _Factor(a, a_linear, -1), _Factor(b, b_linear, -2)
    exponent = out - left.shift - right.shift
    if out.numel() == 0 or exponent.amin() >= math.log(_least(out, max(1, a.shape[-1]))):
        lefts, rights, shares = left.scaled, right.scaled, slope * torch.exp(-exponent)
        return left.slope(_matmul(shares, rights.mT), lefts), right.slope(_matmul(lefts.mT, shares), rights)
    shift = left.shift + right.shift
    with torch.no_grad():
        small = _small(torch.exp(out - shift), left, right)
        few = bool(small.any())
        if few and out.dtype is not torch.float64:
            small = _small(torch.exp(out.double() - shift), left, right)
    if few and out.dtype is not torch.float64:
        lefts, rights, wide = left.wide(), right.wide(), out.double()
    else:
        lefts, rights, wide = left.scaled, right.scaled, out
    nothing = small | ~torch.isfinite(wide)
    shares = torch.where(nothing, 0, slope * torch.exp(shift - torch.where(nothing, shift, wide)))
    shares = shares.to(lefts.dtype)
    to_a = left.slope(_matmul(shares, rights.mT), lefts).to(a.dtype)
    to_b = right.slope(_matmul(lefts.mT, shares), rights).to(b.dtype)
    if few:
        for places in _places(small & torch.isfinite(out), a.shape[-1]):
            total = out[places].unsqueeze(-1)
            rows, columns = left.rows(places), right.columns(places)
            weigh = slope[places].unsqueeze(-1)
            row = torch.exp((columns if a_linear else rows + columns) - total) * weigh
            column = torch.exp((rows if b_linear else rows + columns) - total) * weigh
            to_a = to_a.index_put((*places[:-2], places[-2]), row.to(a.dtype), accumulate=True)
            to_b = to_b.mT.index_put((*places[:-2], places[-1]), column.to(b.dtype), accumulate=True).mT
    return to_a, to_b


class _Factor:
    """A factor with its shift along `dim`: `scaled` is between 0 and 1, and its logarithm plus `shift` the factor's."""

    def __init__(self, given: Tensor, linear: bool, dim: int) -> None:
        self.given, self.linear, self.dim = given, linear, dim
        with torch.no_grad():
            top = given.amax(dim, keepdim=True) if given.shape[dim] else given.new_zeros(given.shape).sum(dim, True)
            if linear:
                self.unit = torch.where((top > 0) & torch.isfinite(top), top, 1)
                self.shift = torch.log(self.unit)
                self.empty = top <= 0
            else:
                self.shift = torch.where(torch.isfinite(top), top, 0)
                self.empty = top == -torch.inf

    @property
    def scaled(self) -> Tensor:
        return self._scaled(self.given, self.shift)

    def wide(self) -> Tensor:
        return self._scaled(self.given.double(), self.shift.double())

    def slope(self, found: Tensor, scaled: Tensor) -> Tensor:
        """From the slope at `scaled` to that at what was given."""
        return found / self.unit.to(found.dtype) if self.linear else found * scaled

    def rows(self, places: tuple[Tensor, ...]) -> Tensor:
        return self._logarithms(self.given[(*places[:-2], places[-2])])

    def columns(self, places: tuple[Tensor, ...]) -> Tensor:
        return self._logarithms(self.given.mT[(*places[:-2], places[-1])])

    def _logarithms(self, rows: Tensor) -> Tensor:
        return torch.log(rows) if self.linear else rows

    def _scaled(self, given: Tensor, shift: Tensor) -> Tensor:
        if not self.linear:
            return torch.exp(given - shift)
        return torch.where(given < 0, torch.nan, given) / self.unit.to(given.dtype)


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    """In the precision that the factors have, whatever autocast would rather have."""
    if not torch.is_autocast_enabled(a.device.type):
        return a @ b
    with torch.autocast(a.device.type, enabled=False):
        return a @ b


def _small(product: Tensor, left: _Factor, right: _Factor) -> Tensor:
    """The entries of a product that may lack digits, but for those of nothing at all."""
    small = product < _least(product, left.given.shape[-1])
    return small & ~left.empty & ~right.empty if small.any() else small


def _least(product: Tensor, length: int) -> float:
    """From where on a sum of so many products of numbers up to 1 has all its digits."""
    info = torch.finfo(product.dtype)
    return length * info.tiny / info.eps


def _places(small: Tensor, length: int) -> Iterator[tuple[Tensor, ...]]:
    """The coordinates of what is small, some at a time, so that their rows of this length can be held."""
    found = small.nonzero()
    if len(found):
        for part in found.split(max(1, CHUNK // max(1, length))):
            yield part.unbind(1)
