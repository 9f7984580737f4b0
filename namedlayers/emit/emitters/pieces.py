"""Parts of a tensor that are cut from it at once, so that their gradients are put together at once.

In: a tensor, an axis, which part of it. Out: the part, a view. What always holds: what is cut alike is cut once,
whoever asks for it.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import fx

from namedlayers.emit.lowering import Lowering
from namedlayers.emit.value import Value
from namedlayers.program.size import SizeExpr


def at(lo: Lowering, x: Value, source: int, number: int) -> Value:
    """The tensor at one coordinate of the axis `source`."""
    whole = _cut(lo, x, source, None)
    axes = tuple(a for a in x.axes if a != source)
    return lo.call(operator.getitem, (whole, number), axes, kind=x.kind, weak=x.weak)


def piece(lo: Lowering, x: Value, source: int, number: int, sizes: Sequence[SizeExpr], axis: int) -> Value:
    """One of the pieces that have these sizes along the axis `source`; it is called `axis` in the piece."""
    whole = _cut(lo, x, source, sizes)
    axes = tuple(axis if a == source else a for a in x.axes)
    return lo.call(operator.getitem, (whole, number), axes, kind=x.kind, weak=x.weak)


def _cut(lo: Lowering, x: Value, source: int, sizes: Sequence[SizeExpr] | None) -> fx.Node:
    assert isinstance(x.held, fx.Node)
    made = x.held.meta.setdefault("pieces", {})
    dim = x.dim(source)
    key = dim, None if sizes is None else tuple(sizes)
    if key not in made:
        target, how = (torch.unbind, ()) if sizes is None else (torch.split, ([lo.size(one) for one in sizes],))
        made[key] = lo.raw(target, (x, *how, dim), {}, "parts")
        made[key].meta["temporary"] = True
    found = made[key]
    assert isinstance(found, fx.Node)
    return found
