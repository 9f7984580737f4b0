"""Dimensions: permuting, aligning, expanding, flattening.

In: values in one layout. Out: the same values in another. What always holds: nothing is moved or copied that a view can
do; what changes nothing is not emitted.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import fx

from namedlayers.emit.precision import Precision
from namedlayers.emit.value import Value, adjacent


class Layout(Precision):
    """Values in other layouts."""

    def permuted(self, value: Value, axes: Sequence[int]) -> Value:
        """The same with its dimensions in the order `axes` (all of its axes)."""
        axes = tuple(axes)
        if axes == value.axes:
            return value
        order = [value.dim(axis) for axis in axes]
        moved = [d for d, k in enumerate(order) if d != k]
        if len(moved) == 2:
            target, args = ("t", ()) if len(axes) == 2 else ("transpose", tuple(moved))
        else:
            target, args = "permute", tuple(order)
        return self.call(target, (value, *args), axes, kind=value.kind, weak=value.weak, inline=True)

    def aligned(self, value: Value, layout: Sequence[int]) -> Value:
        """The same so that it broadcasts against a tensor with dimensions `layout`."""
        if value.number:
            return value
        value = self.permuted(value, [axis for axis in layout if axis in value.axes])
        first = next((d for d, axis in enumerate(layout) if axis in value.axes), len(layout))
        missing = [axis for axis in layout[first:] if axis not in value.axes]
        shape = tuple(layout[first:])
        if not missing:
            return value
        if len(missing) == 1:
            place = shape.index(missing[0])
            return self.call("unsqueeze", (value, place), shape, kind=value.kind, weak=value.weak, inline=True)
        index = tuple(slice(None) if axis in value.axes else None for axis in shape)
        while index[-1] == slice(None):
            index = index[:-1]
        return self.call(operator.getitem, (value, index), shape, kind=value.kind, weak=value.weak, inline=True)

    def filled(self, value: Value, axes: Iterable[int]) -> Value:
        """The same with all of `axes` among its dimensions, new ones in front."""
        value = self.tensor(value)
        missing = [axis for axis in axes if axis not in value.axes]
        if not missing:
            return value
        sizes = [self.size(self.space(axis)) for axis in missing]
        shape = (*sizes, *(-1 for _ in value.axes))
        if not value.axes:
            source = value.held
            if isinstance(source, fx.Node) and source.target is torch.full and not source.users:
                args = (shape, source.args[1])
                return self.call(torch.full, args, missing, source.kwargs, kind=value.kind, weak=value.weak)
        axes = (*missing, *value.axes)
        return self.call("expand", (value, *shape), axes, kind=value.kind, weak=value.weak, inline=True)

    def merged(self, value: Value, group: Sequence[int], label: int) -> Value:
        """The same with the axes `group`, which it has, as one called `label`, at the place of the last of them: what
        varies fastest is most often the innermost dimension already, and what uses the result wants it there.

        A group of one is renamed; an empty group becomes a new dimension of size 1 at the end.
        """
        group = tuple(group)
        if not group:
            axes = (*value.axes, label)
            return self.call("unsqueeze", (value, -1), axes, kind=value.kind, weak=value.weak, inline=True)
        if not adjacent(value.axes, group):
            rest = [axis for axis in value.axes if axis not in group]
            place = len([a for a in value.axes[: value.dim(group[-1])] if a not in group])
            value = self.permuted(value, [*rest[:place], *group, *rest[place:]])
        start = value.dim(group[0])
        axes = (*value.axes[:start], label, *value.axes[start + len(group) :])
        if len(group) == 1:
            return Value(value.held, axes, value.kind, value.weak, value.number)
        end = start + len(group) - 1
        whole = _split_there(value, start, len(group))
        if whole is not None:
            if whole.op != "placeholder" and not whole.meta.get("text"):
                whole.meta["planned"] = self.node.number  # it has no name of its own yet
            return Value(whole, axes, value.kind, value.weak, value.number)
        return self.call("flatten", (value, start, end), axes, kind=value.kind, weak=value.weak, inline=True)

    def unmerged(self, value: Value, label: int, group: Sequence[int], *, inline: bool = True) -> Value:
        """The inverse of `merged`; the sizes of `group` are those of the index space."""
        return self.split(value, label, group, [self.size(self.space(axis)) for axis in group], inline=inline)

    def split(
        self, value: Value, label: int, group: Sequence[int], sizes: Sequence[Any], *, inline: bool = True
    ) -> Value:
        """The axis `label` as the axes `group` of these sizes, the last varying fastest."""
        place = value.dim(label)
        axes = (*value.axes[:place], *group, *value.axes[place + 1 :])
        if len(group) == 1:
            return Value(value.held, axes, value.kind, value.weak, value.number)
        if not group:
            return self.call("squeeze", (value, place), axes, kind=value.kind, weak=value.weak, inline=inline)
        return self.call(
            "unflatten", (value, place, tuple(sizes)), axes, kind=value.kind, weak=value.weak, inline=inline
        )

    def renamed(self, value: Value, names: dict[int, int]) -> Value:
        """The same with axes called otherwise."""
        axes = tuple(names.get(axis, axis) for axis in value.axes)
        return Value(value.held, axes, value.kind, value.weak, value.number)


def _split_there(value: Value, start: int, count: int) -> fx.Node | None:
    """What was split into just these dimensions: putting them together again gives it back."""
    held = value.held
    if not isinstance(held, fx.Node) or held.target != "unflatten":
        return None
    whole, place, sizes = held.args
    assert isinstance(whole, fx.Node) and isinstance(sizes, tuple)
    return whole if place == start and len(sizes) == count else None
