"""Dimensions: permuting, aligning, expanding, flattening.

In: values in one layout. Out: the same values in another. What always holds: nothing is moved or copied that a view can
do; what changes nothing is not emitted.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import fx

from namedlayers.emit.precision import Precision
from namedlayers.emit.value import Value, adjacent
from namedlayers.emit.views import SPLITS, Dimension, is_whole, seen


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
        root, dimensions = seen(value.held, len(value.axes))
        if is_whole(dimensions[start : end + 1]):
            together = [*dimensions[:start], Dimension(dimensions[start].source), *dimensions[end + 1 :]]
            return self._viewed(Value(root, (), value.kind, value.weak, value.number), together, axes)
        return self.call("flatten", (value, start, end), axes, kind=value.kind, weak=value.weak, inline=True)

    def grouped(self, value: Value, groups: Sequence[tuple[Sequence[int], int]]) -> Value:
        """The same with its axes in this order, and those of each group as one."""
        value = self.permuted(value, [axis for group, _ in groups for axis in group])
        _, dimensions = seen(value.held, len(value.axes))
        starts = accumulate((len(group) for group, _ in groups), initial=0)
        spans = {label: dimensions[k : k + len(group)] for (group, label), k in zip(groups, starts, strict=False)}
        there = [one for one in groups if len(one[0]) > 1 and is_whole(spans[one[1]])]
        rest = [one for one in groups if one not in there]
        for group, label in there:
            value = self.merged(value, group, label)
        if sum(len(group) > 1 for group, _ in rest) < 2 or self.prologue.inner or min(value.axes) < 0:
            for group, label in rest:
                value = self.merged(value, group, label)
            return value
        shape = [self.size(self.extent(group)) for group, _ in groups]
        labels = [label for _, label in groups]
        return self.call("reshape", (value, *shape), labels, kind=value.kind, weak=value.weak, inline=True)

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

    def split_all(
        self, value: Value, parts: Sequence[tuple[int, Sequence[int], Sequence[Any]]], *, inline: bool = True
    ) -> Value:
        """Several axes split: of each its label, the axes that it becomes, and their sizes."""
        of = {label: (tuple(group), tuple(sizes)) for label, group, sizes in parts if len(group) > 1}
        if len(of) < 2 or self.prologue.inner or any(axis < 0 and axis not in of for axis in value.axes):
            for k, (label, group, sizes) in enumerate(parts):
                later = any(len(one) != 1 for _, one, _ in parts[k + 1 :])
                value = self.split(value, label, group, sizes, inline=inline or later)
            return value
        parts_of = [of.get(axis, ((axis,), ())) for axis in value.axes]
        axes = [axis for group, _ in parts_of for axis in group]
        shape = [
            one
            for axis, (_, sizes) in zip(value.axes, parts_of, strict=True)
            for one in sizes or [self.size(self.space(axis))]
        ]
        found = self.call("reshape", (value, *shape), axes, kind=value.kind, weak=value.weak, inline=inline)
        found.held.meta[SPLITS] = [sizes for _, sizes in parts_of]  # type: ignore[union-attr]
        return found

    def renamed(self, value: Value, names: dict[int, int]) -> Value:
        """The same with axes called otherwise."""
        axes = tuple(names.get(axis, axis) for axis in value.axes)
        return Value(value.held, axes, value.kind, value.weak, value.number)

    def _viewed(self, root: Value, dimensions: Sequence[Dimension], axes: Sequence[int]) -> Value:
        """A tensor seen with these dimensions, which bear these axes."""
        if root.held.op != "placeholder" and not root.held.meta.get("text"):  # type: ignore[union-attr]
            root.held.meta["planned"] = self.node.number  # type: ignore[union-attr]  # it has no name of its own yet
        of = dict(zip(dimensions, axes, strict=True))
        sources = {one.source: one.sizes for one in sorted(dimensions)}
        labels = [self.fresh_label() if sizes else of[Dimension(k)] for k, sizes in sources.items()]
        value = Value(root.held, tuple(labels), root.kind, root.weak, root.number)
        for label, (k, sizes) in zip(labels, sources.items(), strict=True):
            if sizes:
                value = self.split(value, label, [of[Dimension(k, part, sizes)] for part in range(len(sizes))], sizes)
        return self.permuted(value, axes)
