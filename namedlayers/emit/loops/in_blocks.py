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

if TYPE_CHECKING:
    from namedlayers.emit.loops.recorded import Record, Slope

BLOCK = 1 << 20
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
        return _of(record, [tensors[k] for k in record.given], kept, arriving, record.of(2, sizes))
    found: dict[int, Tensor] = {}
    onward: dict[int, Tensor] = {}
    own: set[int] = set()
    loop, dims = record.loop, record.kept_dims
    starts = [(place, record.trajectories[k]) for place, k in enumerate(record.given) if k < loop.carries]
    for at in _blocks(steps, _length(steps, [*_sequences(record, tensors), *kept]), not loop.reverse):
        length = at.stop - at.start
        now = [tensors[k][at] if loop.scanned[k] else tensors[k] for k in record.given]
        before = at.stop if loop.reverse else at.start - 1
        if 0 <= before < steps:
            for place, number in starts:
                now[place] = kept[number].select(dims[number], before)
        parts = [one.narrow(dim, at.start, length) for one, dim in zip(kept, dims, strict=True)]
        slopes = [_at(of, one, at, onward, record) for of, one in zip(record.slopes, arriving, strict=True)]
        lengths = [length if k == record.cut else size for k, size in enumerate(sizes)]
        for k, part in _of(record, now, parts, slopes, record.of(2, lengths)).items():
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
    if asked is not None and not set(record.after_gives) & set(asked):
        return found
    return found | _after(record, tensors, kept, arriving, sizes, found)


def at_once(
    record: Record, tensors: Sequence[Tensor], kept: Sequence[Tensor], arriving: Sequence[Tensor], sizes: Sequence[int]
) -> dict[int, Tensor]:  # fmt: skip
    """The same of all steps at once."""
    found = _of(record, [tensors[k] for k in record.given], kept, arriving, record.of(2, sizes))
    return found | _after(record, tensors, kept, arriving, sizes, found)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _of(
    record: Record, given: Sequence[Tensor], kept: Sequence[Tensor], slopes: Sequence[Tensor], sizes: Sequence[int]
) -> dict[int, Tensor]:
    found = record.backward(*given, *kept, *slopes, *sizes)
    return dict(zip(record.wanted, found if isinstance(found, tuple) else (found,), strict=record.after is None))


def _after(
    record: Record, tensors: Sequence[Tensor], kept: Sequence[Tensor], arriving: Sequence[Tensor], sizes: Sequence[int],
    found: Mapping[int, Tensor],
) -> dict[int, Tensor]:  # fmt: skip
    """What is made of all steps at once when the loop has been gone through."""
    if record.after is None:
        return {}
    made = record.after(
        *(tensors[k] for k in record.given), *kept, *arriving, *(found[k] for k in record.after_takes),
        *record.of(3, sizes),
    )  # fmt: skip
    return dict(zip(record.after_gives, made if isinstance(made, tuple) else (made,), strict=True))


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


def _at(of: Slope, slope: Tensor, at: slice, onward: Mapping[int, Tensor], record: Record) -> Tensor:
    """What comes back to a result of the steps of a block."""
    if of.dim < 0:
        return onward.get(of.number, slope)
    part = slope.narrow(of.dim, at.start, at.stop - at.start)
    if of.number in onward and not any(one.dim < 0 and one.number == of.number for one in record.slopes):
        part = part.clone()
        part.select(of.dim, 0 if record.loop.reverse else -1).add_(onward[of.number])
    return part


def _room(like: Tensor, part: Tensor, over: Tensor | None, steps: int) -> Tensor:
    """Memory for all steps of a value, of which a block is there."""
    if over is not None and over.dtype is part.dtype:
        return over
    return torch.empty((steps, *part.shape[1:]), dtype=part.dtype, device=like.device)
