"""Products with windows that no convolution takes, tap by tap: no window is held.

In: data x, of which some axes are read at stride * place + dilation * tap, and factors w, [*taps, *axes], with the axes
of x in its order, each of size 1 where it lacks one. Out: the sum over some taps and axes of w times the windows of x,
without what is summed over. What always holds: the sum over everything of w, the windows of x, and slopes is linear in
each of the three; so whichever is made of the two others is made in one way, and so are all derivatives. Half precision
is added up in single precision. Where anything but autograd records or transforms what is done, and where there is
little to do, all taps are read at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels.eager import batched_backward, visible
from namedlayers.emit.kernels.windows import windows

FEW = 2**11
"""Of fewer numbers a tap, calls are what takes time."""
MOST_TAPS = 64
"""So many are written out for torch.compile, which makes one loop of them."""

_HALF = (torch.float16, torch.bfloat16)
_X, _W, _OUT = range(3)
"""The roles: data, factors, and the result or a slope at it."""


@dataclass(frozen=True)
class Form:
    """For each of some axes of x: which it is, how many taps and places it has, and the steps between them."""

    dims: tuple[int, ...]
    taps: tuple[int, ...]
    places: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]


def window_product(
    x: Tensor, w: Tensor, form: Sequence[tuple[int, int, int, int, int]], gone: Sequence[int], left: Sequence[int]
) -> Tensor:  # fmt: skip
    """`form`: for each axis read in windows (axis of x, taps, places, stride, dilation). Of [*taps, *axes], `gone` are
    summed over, and `left` are the result's, in the order in which they lie.

    >>> x, w = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([[1.0, 1.0], [0.0, 2.0]])
    >>> window_product(x, w, [(0, 2, 2, 1, 1)], [0], [1])
    tensor([ 1., 10.])
    """
    dtype = torch.promote_types(x.dtype, w.dtype)
    exact = torch.float32 if dtype in _HALF else dtype
    if not (x.dtype is w.dtype is exact):
        return window_product(x.to(exact), w.to(exact), form, gone, left).to(dtype)
    read = Form(*(tuple(column) for column in zip(*form, strict=True)))
    sizes = [a if b == 1 else b for a, b in zip(_whole(x, _X, read), _whole(w, _W, read), strict=True)]
    shape = tuple(1 if k in gone else size for k, size in enumerate((*read.taps, *sizes)))
    order = (*gone, *left)
    return _third(_OUT, shape, order, read, x, w).permute(order).squeeze(tuple(range(len(gone))))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _third(
    role: int, shape: Sequence[int], order: tuple[int, ...], form: Form, first: Tensor, second: Tensor
) -> Tensor:  # fmt: skip
    """What is linear in `first` and `second`, the two others of x, w and the result, each with all axes."""
    if not _is_worth_it(role, shape, form, first, second):
        return _at_once(role, shape, form, first, second)
    if torch.is_grad_enabled() and (first.requires_grad or second.requires_grad):
        found: Tensor = _Third.apply(role, shape, order, form, first, second)
        return found
    return _tap_by_tap(role, shape, order, form, first, second)


class _Third(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, role: int, shape: Sequence[int], order: tuple[int, ...], form: Form, first: Tensor, second: Tensor
    ) -> Tensor:  # fmt: skip
        ctx.role, ctx.form = role, form
        ctx.save_for_backward(first, second)
        return _tap_by_tap(role, shape, order, form, first, second)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        given = list(ctx.saved_tensors)
        given.insert(ctx.role, slope)
        found: list[Tensor | None] = []
        for role in sorted({_X, _W, _OUT} - {ctx.role}):
            one, others = given[role], [x for k, x in enumerate(given) if k != role]
            wanted = ctx.needs_input_grad[4 + len(found)]
            found.append(_third(role, one.shape, _order(one), ctx.form, *others) if wanted else None)
        return None, None, None, None, *found


def _tap_by_tap(
    role: int, shape: Sequence[int], order: tuple[int, ...], form: Form, first: Tensor, second: Tensor
) -> Tensor:  # fmt: skip
    found = torch.empty_permuted(tuple(shape), order, dtype=first.dtype)
    views = [_Views(one, k, form) for k, one in zip(sorted({_X, _W, _OUT} - {role}), (first, second), strict=True)]
    target, (left, right) = _Views(found, role, form), views
    sizes = [a if b == 1 else b for a, b in zip(left.sizes, right.sizes, strict=True)]
    gone = [dim for dim, size in enumerate(target.sizes) if size != sizes[dim]]
    room = first.new_empty(sizes) if gone else None
    begun = role == _X or 0 in form.taps
    if begun:
        found.zero_()
    for goal, a, b in zip(target.at_taps(), left.at_taps(), right.at_taps(), strict=True):
        if room is None:
            goal.addcmul_(a, b) if begun else torch.mul(a, b, out=goal)
        elif begun:
            goal.add_(torch.mul(a, b, out=room).sum(gone, keepdim=True))
        else:
            torch.sum(torch.mul(a, b, out=room), gone, keepdim=True, out=goal)
        begun = begun or target.is_still
    return found


class _Views:
    """What is read of one of the three, or written to it, at each tap."""

    def __init__(self, x: Tensor, role: int, form: Form) -> None:
        self.x, self.start, self.sizes, self.taps = x, x.storage_offset(), _whole(x, role, form), form.taps
        strides, lead = list(x.stride()), len(form.taps)
        if role == _X:
            self.steps = [strides[dim] * dilation for dim, dilation in zip(form.dims, form.dilations, strict=True)]
            for dim, stride in zip(form.dims, form.strides, strict=True):
                strides[dim] *= stride
        else:
            self.steps = [0 if x.size(k) == 1 else strides[k] for k in range(lead)]
        self.strides = strides if role == _X else strides[lead:]
        self.is_still = not any(self.steps)

    def at_taps(self) -> list[Tensor]:
        """A view for each tap, one for all if that is the same."""
        starts = [self.start]
        for count, step in zip(self.taps, self.steps, strict=True):
            starts = [start + k * step for start in starts for k in range(count)]
        if self.is_still:
            return [self.x.as_strided(self.sizes, self.strides, self.start)] * len(starts)
        return [self.x.as_strided(self.sizes, self.strides, start) for start in starts]


def _at_once(role: int, shape: Sequence[int], form: Form, first: Tensor, second: Tensor) -> Tensor:
    """The same in operations that torch knows all about."""
    if role == _X:
        return _put_back(shape, form, first * second)
    if role == _OUT and is_dynamo_compiling() and not is_exporting() and 0 < math.prod(form.taps) <= MOST_TAPS:
        return _written_out(shape, form, first, second)
    product = _read(first, form) * second
    gone = [dim for dim, size in enumerate(shape) if size != product.size(dim)]
    return product.sum(gone, keepdim=True) if gone else product


def _written_out(shape: Sequence[int], form: Form, x: Tensor, w: Tensor) -> Tensor:
    """Each tap by itself, for a compiler that makes one loop of all."""
    lead, found = len(form.taps), []
    for tap in itertools.product(*map(range, form.taps)):
        part = x
        for k, dim in enumerate(form.dims):
            start, stride = tap[k] * form.dilations[k], form.strides[k]
            part = part[(slice(None),) * dim + (slice(start, start + stride * form.places[k], stride),)]
        product = part * w[tuple(k if w.size(axis) > 1 else 0 for axis, k in enumerate(tap))]
        gone = [dim for dim, size in enumerate(shape[lead:]) if size != product.size(dim)]
        found.append(product.sum(gone, keepdim=True) if gone else product)
    are_summed = all(size == 1 for size in shape[:lead])
    return (sum(found[1:], found[0]) if are_summed else torch.stack(found)).view(tuple(shape))


def _read(x: Tensor, form: Form) -> Tensor:
    """The windows of x, [*taps, *axes]."""
    for k, dim in enumerate(form.dims):  # of which k taps stand in front by then
        sizes, steps = (form.places[k], form.taps[k]), (form.strides[k], form.dilations[k])
        x = windows(x, dim + k, sizes, steps).movedim(dim + k + 1, k)
    return x


def _put_back(shape: Sequence[int], form: Form, x: Tensor) -> Tensor:
    """What lies in windows, added up where they read."""
    lead = len(form.taps)
    x = x.expand(*form.taps, *x.shape[lead:])
    gone = [dim + lead for dim, size in enumerate(shape) if dim not in form.dims and size != x.size(dim + lead)]
    x = x.sum(gone, keepdim=True) if gone else x
    for k in reversed(range(lead)):
        dim = form.dims[k] + k
        places, taps = (torch.arange(count, device=x.device) for count in (form.places[k], form.taps[k]))
        at = (places * form.strides[k]).unsqueeze(-1) + taps * form.dilations[k]
        x = x.movedim(k, dim + 1)
        x = x.reshape(*x.shape[:dim], at.numel(), *x.shape[dim + 2 :])
        room = x.new_zeros((*x.shape[:dim], shape[form.dims[k]], *x.shape[dim + 1 :]))
        x = torch.index_add(room, dim, at.flatten(), x)
    return x


def _whole(x: Tensor, role: int, form: Form) -> list[int]:
    """The sizes of all axes, with places for what is read in windows."""
    if role != _X:
        return list(x.shape[len(form.taps) :])
    sizes = list(x.shape)
    for dim, count in zip(form.dims, form.places, strict=True):
        sizes[dim] = count
    return sizes


def _is_worth_it(role: int, shape: Sequence[int], form: Form, first: Tensor, second: Tensor) -> bool:
    """Whether taps may go one by one, and each has enough to do."""
    if not (visible(first) and visible(second)) or batched_backward(first, second):
        return False
    found = math.prod(shape) if role == _X else math.prod(_whole(first, _X, form))
    return found >= FEW or second.numel() >= FEW * math.prod(form.taps)


def _order(x: Tensor) -> tuple[int, ...]:
    """The order in which its axes lie in memory."""
    strides = x.stride()
    return tuple(sorted(range(x.dim()), key=lambda dim: -strides[dim]))
