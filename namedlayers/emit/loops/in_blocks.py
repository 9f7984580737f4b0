"""The gradient of a loop in blocks of steps, from the last block to the first.

In: a `Record`, the tensors of its loop, all steps of what it kept, what comes back to its results. Out: what comes back
to its inputs. What always holds: it is what the gradient of all steps at once gives, up to the order of sums; values in
between are as long as a block. What comes back to a carried value before a block is what comes back to it after the
block's last step from outside of the block before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from namedlayers.emit.loops.packed import once_for

if TYPE_CHECKING:
    from namedlayers.emit.loops.recorded import Record

BLOCK = 1 << 21
"""About so many bytes of sequences a block reads: with what is made of them, they stay near the processor."""

FEWEST = 7
"""There are about so many blocks at least, so that what is made in between is short beside what is kept."""

SHORTEST = 8
"""Steps that a block has at least: what a block costs by itself is little beside them."""


def gradients(
    record: Record, tensors: Sequence[Tensor], kept: Sequence[Tensor], arriving: Sequence[Tensor], steps: int,
    sizes: Sequence[int], over: Mapping[int, Tensor], asked: Collection[int] | None = None,
) -> dict[int, Tensor]:  # fmt: skip
    """What comes back to the inputs that `record` lists; of products after the loop, nothing is made that nobody
    `asked` for. `over`: memory for what comes back to some sequences, by number; it may be that of the sequence
    itself."""
    if record.cut < 0:
        slopes = [_at(of, arriving, slice(0, steps), {}, record) for of in range(len(arriving))]
        return _of(record, [tensors[k] for k in record.given], kept, slopes, record.of(2, sizes))
    with once_for([tensors[k] for k in record.given if not record.loop.scanned[k]]):
        found = _through_blocks(record, tensors, kept, arriving, steps, sizes, over)
    if asked is not None and not set(record.after_gives) & set(asked):
        return found
    return found | _after_each(record, tensors, kept, arriving, steps, sizes, found)


def at_once(
    record: Record, tensors: Sequence[Tensor], kept: Sequence[Tensor], arriving: Sequence[Tensor], steps: int,
    sizes: Sequence[int],
) -> dict[int, Tensor]:  # fmt: skip
    """The same of all steps at once."""
    slopes = [_at(place, arriving, slice(0, steps), {}, record) for place in range(len(arriving))]
    found = _of(record, [tensors[k] for k in record.given], kept, slopes, record.of(2, sizes))
    return found | _after(record, tensors, kept, arriving, sizes, found)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _through_blocks(
    record: Record, tensors: Sequence[Tensor], kept: Sequence[Tensor], arriving: Sequence[Tensor], steps: int,
    sizes: Sequence[int], over: Mapping[int, Tensor],
) -> dict[int, Tensor]:  # fmt: skip
    """What all blocks give. (What the last one has made goes with this call, before the products that follow.)"""
    found: dict[int, Tensor] = {}
    onward: dict[int, Tensor] = {}
    own: set[int] = set()
    loop = record.loop
    for at in _blocks(steps, _length(steps, [*_sequences(record, tensors), *kept]), not loop.reverse):
        now, parts = _taken(record, tensors, kept, at, steps)
        slopes = [_at(place, arriving, at, onward, record) for place in range(len(arriving))]
        for k, part in _of(record, now, parts, slopes, record.of(2, _cut(record, sizes, at))).items():
            if k < loop.carries:
                found[k] = onward[k] = part
            elif loop.scanned[k]:
                if k not in found:
                    found[k] = _room(tensors[k], part, over.get(k), steps)
                found[k][at] = part
            elif k not in found:
                found[k] = part
            elif k in own:
                found[k] += part
            else:  # the first one may be the same for two inputs, or part of what was given
                found[k] = found[k] + part
                own.add(k)
    return found


def _of(
    record: Record, given: Sequence[Tensor], kept: Sequence[Tensor], slopes: Sequence[Tensor], sizes: Sequence[int]
) -> dict[int, Tensor]:
    found = record.backward(*given, *kept, *slopes, *sizes)
    return dict(zip(record.wanted, found if isinstance(found, tuple) else (found,), strict=record.after is None))


def _after(
    record: Record, tensors: Sequence[Tensor] | Mapping[int, Tensor], kept: Sequence[Tensor],
    arriving: Sequence[Tensor], sizes: Sequence[int], found: Mapping[int, Tensor],
) -> dict[int, Tensor]:  # fmt: skip
    """What is made of all steps at once when the loop has been gone through."""
    if record.after is None:
        return {}
    made = record.after(
        *(tensors[k] for k in record.given), *kept, *arriving, *(found[k] for k in record.after_takes),
        *record.of(3, sizes),
    )  # fmt: skip
    return dict(zip(record.after_gives, made if isinstance(made, tuple) else (made,), strict=True))


def _after_each(
    record: Record, tensors: Sequence[Tensor], kept: Sequence[Tensor], arriving: Sequence[Tensor], steps: int,
    sizes: Sequence[int], found: Mapping[int, Tensor],
) -> dict[int, Tensor]:  # fmt: skip
    """The same of the first step and of all others, so that what is one step behind the others lies there already, and
    is not copied: unless what is made twice is larger than that."""
    behind = max((kept[k].nbytes for k in record.trajectories.values()), default=0)
    if steps < 2 or sum(tensors[k].nbytes for k in record.after_gives) > behind:
        return _after(record, tensors, kept, arriving, sizes, found)
    first, others = (slice(steps - 1, steps), slice(steps - 1)) if record.loop.reverse else (slice(1), slice(1, steps))
    total: dict[int, Tensor] = {}
    for at in (others, first):
        at = slice(*at.indices(steps))
        now, parts = _taken(record, tensors, kept, at, steps)
        listed = zip(record.slopes, arriving, strict=True)
        slopes = [one if of.dim < 0 else _part(one, of.dim, at) for of, one in listed]
        along = {k: one[at] for k, one in found.items() if k in record.after_takes}
        given = {**dict(enumerate(tensors)), **dict(zip(record.given, now, strict=True))}
        made = _after(record, given, parts, slopes, _cut(record, sizes, at), along)
        total = {k: one.add_(made[k]) for k, one in total.items()} if total else made
    return total


def _taken(
    record: Record, tensors: Sequence[Tensor], kept: Sequence[Tensor], at: slice, steps: int
) -> tuple[list[Tensor], list[Tensor]]:  # fmt: skip
    """Of the inputs that are given and of what was kept, what belongs to some steps: of carried values, those before
    these steps."""
    loop, dims = record.loop, record.kept_dims
    now = [tensors[k][at] if loop.scanned[k] else tensors[k] for k in record.given]
    before = at.stop if loop.reverse else at.start - 1
    if 0 <= before < steps:
        for place, k in enumerate(record.given):
            if k < loop.carries:
                number = record.trajectories[k]
                now[place] = kept[number].select(dims[number], before)
    return now, [_part(one, dim, at) for one, dim in zip(kept, dims, strict=True)]


def _part(one: Tensor, dim: int, at: slice) -> Tensor:
    return one.narrow(dim, at.start, at.stop - at.start)


def _cut(record: Record, sizes: Sequence[int], at: slice) -> list[int]:
    """The sizes, of which one is the number of steps."""
    return [at.stop - at.start if k == record.cut else size for k, size in enumerate(sizes)]


def _sequences(record: Record, tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensors[k] for k in record.given if record.loop.scanned[k]]


def _length(steps: int, sequences: Sequence[Tensor]) -> int:
    a_step = sum(one.numel() * one.element_size() for one in sequences) // steps
    return max(SHORTEST, min(-(-steps // FEWEST), BLOCK // max(1, a_step)))


def _blocks(steps: int, length: int, backwards: bool) -> Iterator[slice]:
    """The steps in blocks, in the order in which a gradient goes through them."""
    begins = range(0, steps, length)
    for begin in reversed(begins) if backwards else begins:
        yield slice(begin, min(begin + length, steps))


def _at(place: int, arriving: Sequence[Tensor], at: slice, onward: Mapping[int, Tensor], record: Record) -> Tensor:
    """What comes back to a result of the steps of a block."""
    of, slope, reverse = record.slopes[place], arriving[place], record.loop.reverse
    if of.dim < 0:
        return onward[of.number] if of.number in onward else _from_last(place, arriving, record)
    if of.ahead:
        return _one_later(slope, of.dim, at, reverse)
    part = _part(slope, of.dim, at)
    if of.number in onward and not any(one.dim < 0 and one.number == of.number for one in record.slopes):
        part = part.clone()
        part.select(of.dim, 0 if reverse else -1).add_(onward[of.number])
    return part


def _from_last(place: int, arriving: Sequence[Tensor], record: Record) -> Tensor:
    """What comes back to the last step, with what comes back to all steps if that is asked for one step later."""
    of = record.slopes[place]
    for one, every in zip(record.slopes, arriving, strict=True):
        if of.ahead and one.number == of.number and one.dim >= 0:
            return arriving[place] + every.select(one.dim, 0 if record.loop.reverse else -1)
    return arriving[place]


def _one_later(slope: Tensor, dim: int, at: slice, reverse: bool) -> Tensor:
    """What comes back to the steps before those of a block; to the one before all there is nothing.

    >>> x = torch.arange(1.0, 5.0)
    >>> _one_later(x, 0, slice(2, 4), False), _one_later(x, 0, slice(2, 4), True)
    (tensor([2., 3.]), tensor([4., 0.]))
    """
    steps, length = slope.shape[dim], at.stop - at.start
    begin = at.start + (1 if reverse else -1)
    if 0 <= begin <= steps - length:
        return slope.narrow(dim, begin, length)
    rest = slope.narrow(dim, max(begin, 0), length - 1)
    none = torch.zeros_like(slope.narrow(dim, 0, 1))
    return torch.cat((rest, none) if reverse else (none, rest), dim)


def _room(like: Tensor, part: Tensor, over: Tensor | None, steps: int) -> Tensor:
    """Memory for all steps of a value, of which a block is there."""
    if over is not None and over.dtype is part.dtype:
        return over
    return torch.empty((steps, *part.shape[1:]), dtype=part.dtype, device=like.device)
