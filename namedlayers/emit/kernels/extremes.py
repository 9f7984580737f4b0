"""Matrix products whose sum is a maximum or a minimum: of the semirings max-plus, min-plus, max-product, min-product.

In: A [..., m, k] and B [..., k, n], with the same batch in front, k at least 1. Out: [..., m, n], the extreme over k of
A + B, or of A * B. What always holds: the numbers are those of the outer sum (product), to the last digit, and so is
what is no number; slopes go to all that are the extreme, in equal parts. Where that pays and the numbers are at hand,
the outer sum is never held: it is made in blocks that stay in a processor's caches, and made again for slopes. For
torch.compile it is the outer sum, which a compiler does not hold either, and an operator for its slopes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels import derivable
from namedlayers.emit.kernels.derivable import Plain, Tensors
from namedlayers.emit.kernels.eager import all_visible, batched_backward
from namedlayers.emit.kernels.in_graphs import in_graph

BLOCK = 1 << 20
"""So many entries of the outer sum are a block, about."""

FEW = 1 << 17
"""Up to so many entries torch is quicker, where slopes are wanted; where not, up to a block."""

NARROW = 32
"""Rows of fewer entries are not worth a processor's wide registers."""


def extreme_product(a: Tensor, b: Tensor, op: str, joined: str) -> Tensor:
    """`op`: "max" or "min"; `joined`: "add" or "mul".

    >>> a, b = torch.tensor([[0.0, 5.0]]), torch.tensor([[10.0, 1.0], [2.0, 3.0]])
    >>> extreme_product(a, b, "max", "add"), extreme_product(a, b, "min", "mul")
    (tensor([[10.,  8.]]), tensor([[0., 0.]]))
    """
    form = _Form(op == "max", joined == "add")
    if is_dynamo_compiling() and not is_exporting():
        return _traced(a, b, form.largest, form.sums)
    if a.numel() * b.shape[-1] <= FEW or a.dtype is not b.dtype or not all_visible(a, b):
        return form.at_once(a, b)
    if a.numel() * b.shape[-1] <= BLOCK and not (torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)):
        return form.at_once(a, b)
    return derivable.at_hand(_Product(form), a, b)[0]


# --- helpers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Form:
    """`largest`: a maximum; `sums`: of sums."""

    largest: bool
    sums: bool

    @property
    def join(self) -> Callable[..., Tensor]:
        return torch.add if self.sums else torch.mul

    @property
    def extreme(self) -> Callable[..., Tensor]:
        return torch.amax if self.largest else torch.amin

    def at_once(self, a: Tensor, b: Tensor) -> Tensor:
        """Over the axis that is innermost where columns are few, else over the middle one."""
        if b.shape[-1] < NARROW:
            return self.extreme(self.join(a.unsqueeze(-2), b.mT.contiguous().unsqueeze(-3)), -1)
        return self.extreme(self.join(a.unsqueeze(-1), b.unsqueeze(-3)), -2)


@in_graph  # it is traced from tensor to tensor, not line by line
def _traced(a: Tensor, b: Tensor, largest: bool, sums: bool) -> Tensor:
    form = _Form(largest, sums)
    plain = torch._C._functorch.peek_interpreter_stack() is not None or not a.is_cpu or a.dtype is not b.dtype
    if plain or not (torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)):
        return form.at_once(a, b)
    found: Tensor = _Traced.apply(a, b, form)
    return found


class _Traced(torch.autograd.Function):
    """A compiler makes the outer sum three times over for its slopes."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, form: _Form) -> Tensor:
        found = form.at_once(a, b)
        ctx.form = form
        ctx.save_for_backward(a, b, found)
        return found

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        to_a, to_b, _ = ctx.needs_input_grad
        da, db = torch.ops.namedlayers.extreme_slopes(*ctx.saved_tensors, slope, ctx.form.sums, to_a, to_b)
        return da if to_a else None, db if to_b else None, None


@dataclass(frozen=True)
class _Product:
    form: _Form
    keeps_results = True

    def __call__(self, *tensors: Tensor) -> Tensors:
        a, b = tensors
        if b.shape[-1] < NARROW <= a.shape[-2]:
            return (_by_blocks(self.form, b.mT, a.mT.contiguous()).mT,)
        return (_by_blocks(self.form, a, b),)

    def back(self, wanted: tuple[bool, ...]) -> _Slopes:
        return _Slopes(self.form, wanted[0], wanted[1])

    def along(self) -> Plain:
        def tangent(a: Tensor, b: Tensor, out: Tensor, *tangents: Tensor) -> Tensors:
            return (torch.func.jvp(self.form.at_once, (a, b), tangents)[1],)

        return Plain(tangent, 5, 1)


@dataclass(frozen=True)
class _Slopes:
    form: _Form
    to_a: bool
    to_b: bool
    keeps_results = False

    def __call__(self, *given: Tensor) -> Tensors:
        a, b, out, slope = given
        if batched_backward(slope):
            return self._at_once(a, b, out, slope)
        return _slopes(a, b, out, slope, self.form.sums, self.to_a, self.to_b)

    def _at_once(self, a: Tensor, b: Tensor, out: Tensor, slope: Tensor) -> Tensors:
        left, right = a.unsqueeze(-1), b.unsqueeze(-3)
        attained = (self.form.join(left, right) == out.unsqueeze(-2)).to(a.dtype)
        entries = attained * (slope / attained.sum(-2)).unsqueeze(-2)
        if self.form.sums:
            return entries.sum(-1), entries.sum(-3)
        return (entries * right).sum(-1), (entries * left).sum(-3)

    def back(self, wanted: tuple[bool, ...]) -> Plain:
        return self._plain().back(wanted)

    def along(self) -> Plain:
        return self._plain().along()

    def _plain(self) -> Plain:
        return Plain(self._at_once, 4, 2)


def _by_blocks(form: _Form, a: Tensor, b: Tensor) -> Tensor:
    out = a.new_empty((*a.shape[:-1], b.shape[-1]))
    held = _Held(a)
    for left, right, into in _blocks([a], [b], [out]):
        form.extreme(held.joined(form, left, right), -2, out=into)
    return out


def _slopes(
    a: Tensor, b: Tensor, out: Tensor, slope: Tensor, sums: bool, to_a: bool, to_b: bool
) -> tuple[Tensor, Tensor]:
    """What is not asked for is 0."""
    if b.shape[-1] < NARROW <= a.shape[-2]:
        db, da = _slopes_by_blocks(b.mT, a.mT.contiguous(), out.mT, slope.mT, sums, to_b, to_a)
        return da.mT.contiguous(), db.mT.contiguous()
    return _slopes_by_blocks(a, b, out, slope, sums, to_a, to_b)


def _slopes_by_blocks(
    a: Tensor, b: Tensor, out: Tensor, slope: Tensor, sums: bool, to_a: bool, to_b: bool
) -> tuple[Tensor, Tensor]:
    da, db = a.new_zeros(a.shape), b.new_zeros(b.shape)
    if not out.numel():
        return da, db
    held, turned, form = _Held(a), _Held(a), _Form(True, sums)
    for left, to_left, right, to_right, found, given in _blocks([a, da], [b, db], [out, slope]):
        entries = held.joined(form, left, right)
        torch.eq(entries, found.unsqueeze(-2), out=entries)
        count = entries.sum(-2, keepdim=True, dtype=torch.promote_types(a.dtype, torch.float32))
        entries.mul_(given.unsqueeze(-2) / count)
        if to_a:
            to_left += (entries if sums else turned.joined(form, entries, right)).sum(-1, keepdim=True)
        if to_b:
            to_right += (entries if sums else entries.mul_(left)).sum(-3, keepdim=True)
    return da, db


class _Held:
    """Memory for the entries of a block, the same for all: to have it anew for each takes longer than to fill it."""

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self.memory: Tensor | None = None

    def joined(self, form: _Form, left: Tensor, right: Tensor) -> Tensor:
        shape = (*left.shape[:-1], right.shape[-1])  # `broadcast_shapes` takes a fifth of the time of a block
        count = math.prod(shape)
        if self.memory is None or count > self.memory.numel():
            self.memory = self.like.new_empty(count)
        return form.join(left, right, out=self.memory[:count].view(shape))


def _blocks(of_a: list[Tensor], of_b: list[Tensor], of_both: list[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    """Parts of tensors [..., m, k], [..., k, n] and [..., m, n], such that all m, k and n of them are a block; the
    first two as they are joined. One of the batch has no axis of it: torch's reductions take half as long again with an
    axis of size 1 in front."""
    (m, k), n = of_a[0].shape[-2:], of_b[0].shape[-1]
    tensors = [x.flatten(0, -3) if x.dim() > 2 else x.unsqueeze(0) for x in (*of_a, *of_b, *of_both)]
    columns = min(n, max(NARROW, BLOCK // k))
    rows = min(m, max(1, BLOCK // (k * columns)))
    some = max(1, min(BLOCK // (m * k * n), tensors[0].shape[0])) if (rows, columns) == (m, n) else 1
    first, second = len(of_a), len(of_a) + len(of_b)
    for parts in zip(*(x.split(some) for x in tensors), strict=True):
        if some == 1:
            parts = tuple(x.squeeze(0) for x in parts)
        lefts = [x.unsqueeze(-1).split(rows, -3) for x in parts[:first]]
        for narrow in zip(*(x.split(columns, -1) for x in parts[first:]), strict=True):
            rights = [x.unsqueeze(-3) for x in narrow[: second - first]]
            both = [x.split(rows, -2) for x in narrow[second - first :]]
            for short in zip(*lefts, *both, strict=True):
                yield (*short[:first], *rights, *short[first:])


_operators = torch.library.Library("namedlayers", "FRAGMENT")  # (operators by `custom_op` would take longer to call)
_operators.define(
    "extreme_slopes(Tensor a, Tensor b, Tensor out, Tensor slope, bool sums, bool to_a, bool to_b) -> (Tensor, Tensor)"
)
_operators.impl("extreme_slopes", _slopes, "CompositeExplicitAutograd")


@partial(torch.library.register_fake, "namedlayers::extreme_slopes", lib=_operators)
def _like_slopes(a: Tensor, b: Tensor, *more: object) -> tuple[Tensor, Tensor]:
    return a.new_empty(a.shape), b.new_empty(b.shape)
