"""Linear recurrences `h = a * h + b` along the first dimension: a parallel scan.

In: a and b of one shape, steps first, and h before the first step. Out: h after every step. What always holds: the two
functions are each other's backward, so that derivatives of any order are right; half precisions are accumulated in
float32. What is traced (`torch.compile`, `torch.export`) sees an operator, so that a length never compiles anything, or
the steps written out, where their number is fixed in an export; elsewhere they are autograd functions, which
`torch.func` transforms too.

Few values a step run as an odd-even scan, 2 log2(n) vectorised rounds with O(n) work in all, in the memory of the
result; many values a step fill the processor by themselves, and one fused multiply-add a step moves the least memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.kernels.eager import batched_backward, without_numbers
from namedlayers.emit.loops.scanning import unobserved, whole

SHORT = 16
"""Up to so many steps are made one by one."""

WIDE = 4096
"""From so many values a step on, steps are made one by one (measured: both ways take equally long there)."""

BLOCK = 1 << 20
"""About so many values are made at once: what a scan holds besides its result is no more than that."""


def recurrence(a: Tensor, b: Tensor, h0: Tensor, reverse: bool) -> Tensor:
    """h[t] = a[t] * h[t - 1] + b[t], where h[-1] is h0; `reverse`: h[t] = a[t] * h[t + 1] + b[t] from the end.

    >>> two, one = torch.full((4, 1), 2.0), torch.ones(4, 1)
    >>> recurrence(two, one, torch.zeros(1), False).flatten().tolist()
    [1.0, 3.0, 7.0, 15.0]
    >>> recurrence(two, one, torch.zeros(1), True).flatten().tolist()
    [15.0, 7.0, 3.0, 1.0]
    """
    if torch.compiler.is_compiling():
        return _operator(a, b, h0, reverse) if whole(b.shape[0]) else _unrolled(a, b, h0, reverse)
    if unobserved(a, b, h0):
        return _computed(a, b, h0, reverse)
    return _Recurrence.apply(a, b, h0, reverse)


def lagged_recurrence(a: Tensor, b: Tensor, reverse: bool) -> Tensor:
    """h[t] = a[t - 1] * h[t - 1] + b[t], the first h being b; `reverse`: h[t] = a[t + 1] * h[t + 1] + b[t] from the
    end."""
    if torch.compiler.is_compiling():
        return _lagged_operator(a, b, reverse)
    if unobserved(a, b):
        return _lagged(a, b, reverse)
    return _LaggedRecurrence.apply(a, b, reverse)


# --- operators --------------------------------------------------------------------------------------------------------


@torch.library.custom_op("namedlayers::recurrence", mutates_args=())
def _operator(a: Tensor, b: Tensor, h0: Tensor, reverse: bool) -> Tensor:
    return _computed(a, b, h0, reverse)


@torch.library.custom_op("namedlayers::lagged_recurrence", mutates_args=())
def _lagged_operator(a: Tensor, b: Tensor, reverse: bool) -> Tensor:
    return _lagged(a, b, reverse)


@_operator.register_fake
def _shape(a: Tensor, b: Tensor, h0: Tensor, reverse: bool) -> Tensor:
    return torch.empty_like(b)


@_lagged_operator.register_fake
def _lagged_shape(a: Tensor, b: Tensor, reverse: bool) -> Tensor:
    return torch.empty_like(b)


# --- derivatives ------------------------------------------------------------------------------------------------------


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, bool], output: Tensor) -> None:
    a, _, h0, ctx.reverse = inputs
    ctx.save_for_backward(a, h0, output)
    ctx.save_for_forward(a, h0, output)


def _slopes(ctx: Any, slope: Tensor, lagged: Callable[..., Tensor]) -> tuple[Tensor | None, ...]:
    a, h0, h = ctx.saved_tensors
    conjugate = torch.conj_physical(a)
    to_b = lagged(conjugate, slope, not ctx.reverse)
    to_a = to_h0 = None
    if ctx.needs_input_grad[0]:
        start = h0.unsqueeze(0)[: h.shape[0]]
        before = [h[1:], start] if ctx.reverse else [start, h[:-1]]
        to_a = _times(to_b, [torch.conj_physical(one) for one in before])
    if ctx.needs_input_grad[2]:
        first = slice(-1, None) if ctx.reverse else slice(0, 1)
        to_h0 = (conjugate[first] * to_b[first]).sum(0)
    return to_a, to_b, to_h0, None


def _keep_lagged(ctx: Any, inputs: tuple[Tensor, Tensor, bool], output: Tensor) -> None:
    a, _, ctx.reverse = inputs
    ctx.save_for_backward(a, output)
    ctx.save_for_forward(a, output)


def _lagged_slopes(ctx: Any, slope: Tensor, plain: Callable[..., Tensor]) -> tuple[Tensor | None, ...]:
    a, h = ctx.saved_tensors
    nothing = torch.zeros_like(slope[:1].sum(0))
    to_b = plain(torch.conj_physical(a), slope, nothing, not ctx.reverse)
    if not ctx.needs_input_grad[0]:
        return None, to_b, None
    none = nothing.unsqueeze(0)[: h.shape[0]]
    after = [none, to_b[:-1]] if ctx.reverse else [to_b[1:], none]
    return _times(torch.conj_physical(h), after), to_b, None


def _times(whole: Tensor, pieces: Sequence[Tensor]) -> Tensor:
    """`whole` times the pieces one behind the other."""
    if torch.is_grad_enabled() or batched_backward(whole, *pieces):  # this product may be differentiated in turn
        return whole * torch.cat(list(pieces))
    found = torch.empty_like(whole)
    middle = pieces[0].shape[0]
    torch.mul(whole[:middle], pieces[0], out=found[:middle])
    torch.mul(whole[middle:], pieces[1], out=found[middle:])
    return found


_operator.register_autograd(lambda ctx, slope: _slopes(ctx, slope, _lagged_operator), setup_context=_keep)
_lagged_operator.register_autograd(lambda ctx, slope: _lagged_slopes(ctx, slope, _operator), setup_context=_keep_lagged)


class _Recurrence(torch.autograd.Function):
    """What `recurrence` is where nothing is traced."""

    @staticmethod
    def forward(a: Tensor, b: Tensor, h0: Tensor, reverse: bool) -> Tensor:
        return _computed(a, b, h0, reverse)

    setup_context = staticmethod(_keep)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        return _slopes(ctx, slope, lagged_recurrence)

    @staticmethod
    def jvp(ctx: Any, to_a: Tensor | None, to_b: Tensor | None, to_h0: Tensor | None, _: Any) -> Tensor:
        a, h0, h = ctx.saved_tensors
        start = h0.unsqueeze(0)[: h.shape[0]]
        before = torch.cat([h[1:], start] if ctx.reverse else [start, h[:-1]])
        moved = torch.zeros_like(h) if to_b is None else to_b
        moved = moved if to_a is None else moved + to_a * before
        return recurrence(a, moved, torch.zeros_like(h0) if to_h0 is None else to_h0, ctx.reverse)

    @staticmethod
    def vmap(info: Any, dims: tuple, a: Tensor, b: Tensor, h0: Tensor, reverse: bool) -> tuple[Tensor, int]:
        a, b = (_second(info.batch_size, x, dim) for x, dim in zip((a, b), dims, strict=False))
        h0 = _second(info.batch_size, h0.unsqueeze(0), None if dims[2] is None else dims[2] + 1).squeeze(0)
        return recurrence(a, b, h0, reverse), 1


class _LaggedRecurrence(torch.autograd.Function):
    """What `lagged_recurrence` is where nothing is traced."""

    @staticmethod
    def forward(a: Tensor, b: Tensor, reverse: bool) -> Tensor:
        return _lagged(a, b, reverse)

    setup_context = staticmethod(_keep_lagged)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        return _lagged_slopes(ctx, slope, recurrence)

    @staticmethod
    def jvp(ctx: Any, to_a: Tensor | None, to_b: Tensor | None, _: Any) -> Tensor:
        a, h = ctx.saved_tensors
        moved = torch.zeros_like(h) if to_b is None else to_b
        if to_a is not None:
            through, none = to_a * h, torch.zeros_like(h[:1])
            moved = moved + torch.cat([through[1:], none] if ctx.reverse else [none, through[:-1]])
        return lagged_recurrence(a, moved, ctx.reverse)

    @staticmethod
    def vmap(info: Any, dims: tuple, a: Tensor, b: Tensor, reverse: bool) -> tuple[Tensor, int]:
        a, b = (_second(info.batch_size, x, dim) for x, dim in zip((a, b), dims, strict=False))
        return lagged_recurrence(a, b, reverse), 1


_operator.register_vmap(_Recurrence.vmap)
_lagged_operator.register_vmap(_LaggedRecurrence.vmap)


def _second(size: int, x: Tensor, dim: int | None) -> Tensor:
    """The batch as the second dimension."""
    return x.unsqueeze(1).expand(-1, size, *x.shape[1:]) if dim is None else x.movedim(dim, 1)


def _unrolled(a: Tensor, b: Tensor, h: Tensor, reverse: bool) -> Tensor:
    """Step by step, for other back ends, where the number of steps is fixed."""
    found = []
    steps = list(zip(a.unbind(), b.unbind(), strict=True))
    for factor, summand in reversed(steps) if reverse else steps:
        h = factor * h + summand
        found.append(h)
    return torch.stack(found[::-1] if reverse else found) if found else torch.empty_like(b)


# --- computing --------------------------------------------------------------------------------------------------------


def _computed(a: Tensor, b: Tensor, h0: Tensor, reverse: bool) -> Tensor:
    if without_numbers(a, b, h0):  # a recorder takes what is only written into for dead
        return _operator(a, b, h0, reverse)
    if batched_backward(a, b, h0):  # which writes into nothing
        return _unrolled(a, b, h0, reverse)
    out = torch.empty_like(b)
    _run(a, b, h0, out, reverse)
    return out


def _lagged(a: Tensor, b: Tensor, reverse: bool) -> Tensor:
    if without_numbers(a, b):
        return _lagged_operator(a, b, reverse)
    if not len(b):
        return torch.empty_like(b)
    earlier, later = (slice(1, None), slice(None, -1)) if reverse else (slice(None, -1), slice(1, None))
    first = -1 if reverse else 0
    if batched_backward(a, b):
        rest = _unrolled(a[earlier], b[later], b[first], reverse)
        return torch.cat([rest, b[first].unsqueeze(0)] if reverse else [b[first].unsqueeze(0), rest])
    out = torch.empty_like(b)
    out[first] = b[first]
    _run(a[earlier], b[later], b[first], out[later], reverse)
    return out


def _run(a: Tensor, b: Tensor, h: Tensor, out: Tensor, reverse: bool) -> None:
    """Writes h after every step into `out`, block after block."""
    narrow = b.dtype in (torch.float16, torch.bfloat16)
    run = _widened if narrow else _one_by_one if len(b) <= SHORT or b[:1].numel() >= WIDE else _in_pairs
    block = max(SHORT, len(b) if run is _one_by_one else BLOCK // max(1, b[:1].numel()))
    for begin in range(0, len(b), block):
        at = slice(max(0, len(b) - begin - block), len(b) - begin) if reverse else slice(begin, begin + block)
        h = run(a[at], b[at], h, out[at], reverse)


def _widened(a: Tensor, b: Tensor, h: Tensor, out: Tensor, reverse: bool) -> Tensor:
    wide = torch.empty_like(b, dtype=torch.float32)
    _run(a.float(), b.float(), h.float(), wide, reverse)
    out.copy_(wide)
    return wide[0 if reverse else -1].clone()


def _one_by_one(a: Tensor, b: Tensor, h: Tensor, out: Tensor, reverse: bool) -> Tensor:
    """The last h, which may be a view of `out`."""
    steps = list(zip(a.unbind(), b.unbind(), out.unbind(), strict=True))
    for factor, summand, result in reversed(steps) if reverse else steps:
        h = torch.addcmul(summand, factor, h, out=result)
    return h


def _in_pairs(a: Tensor, b: Tensor, h: Tensor | None, out: Tensor, reverse: bool) -> Tensor:
    """Two steps at once, by recursion, give every second h; one more round gives the others. Without `h`, the first h
    is b. `b` may be `out`: what is written there is not read any more."""
    steps, odd = len(b), len(b) % 2
    if reverse:
        begin, then, rest = -1, -2, slice(None, -1)
        first, second, others, behind = slice(odd + 1, None, 2), slice(odd, None, 2), slice(1 - odd, -1, 2), 1 - odd
    else:
        begin, then, rest = 0, 1, slice(1, None)
        first, second, others, behind = slice(0, steps - odd, 2), slice(1, None, 2), slice(2, None, 2), 0
    if h is None:
        out[begin] = b[begin]
    else:
        torch.addcmul(b[begin], a[begin], h, out=out[begin])
    if steps <= SHORT:
        return _one_by_one(a[rest], b[rest], out[begin], out[rest], reverse)
    torch.addcmul(b[second], a[second], b[first], out=out[second])
    if h is not None:
        torch.addcmul(b[then], a[then], out[begin], out=out[then])
    half = out[second]
    _in_pairs(a[second] * a[first], half, None, half, reverse)
    torch.addcmul(b[others], a[others], half[behind : behind + len(b[others])], out=out[others])
    return out[0 if reverse else -1]
