"""Values put one behind the other along an axis, so that what they share is computed once.

In: values in the coordinates of a `Scope`. Out: one value, whose axis is as long as theirs together. What always
holds: sums are joined term by term and products with one value are one product; parts of one tensor, in order, are that
tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.size import SizeExpr, const

DEEPEST = 8
"""Sums nested deeper are put together as they are."""


def common(weights: Sequence[Node]) -> tuple[Node, int] | None:
    """`(whole, axis)` if the weights are what one tensor is at 0, 1, … along an axis, all of it."""
    first = weights[0]
    if first.op != "index":
        return None
    found: list[tuple[int, SizeExpr]] = []
    for one in weights:
        if one.op != "index" or one.args != first.args:
            return None
        entries = one.attr("entries")
        assert isinstance(entries, tuple)
        if len(entries) != 1 or entries[0][1]:
            return None
        found.append((entries[0][0], entries[0][2]))
    whole, axis = first.args[0].node, found[0][0]
    if {own for own, _ in found} != {axis} or whole.sizes[axis] != len(weights):
        return None
    return (whole, axis) if [offset for _, offset in found] == [const(k) for k in range(len(weights))] else None


@dataclass(slots=True)
class Joining:
    """Along the coordinate `rows`, of these sizes; the result's axis is the coordinate `axis`."""

    scope: Scope
    rows: int
    sizes: Sequence[SizeExpr]
    axis: int = field(init=False)

    def __post_init__(self) -> None:
        self.axis = self.scope.fresh(sum(self.sizes, const(0)), self.scope.names[self.rows])

    @property
    def total(self) -> SizeExpr:
        """How long the axis is."""
        return self.scope.sizes[self.axis]

    def of(self, values: Sequence[Arg], depth: int = DEEPEST) -> Arg:
        """The values joined. One that is the same for all and has no rows stays as it is."""
        first = values[0]
        if self.rows not in first.axes and all(value == first for value in values):
            return first
        op = first.node.op
        if depth and op in ("add", "sub", "neg") and all(_alike(value.node, first.node) for value in values):
            parts = zip(*(self.scope.operands(value) for value in values), strict=True)
            return self.scope.apply(op, *(self.of(part, depth - 1) for part in parts), kind=first.node.kind)
        return self._product(values) or self._parts(values) or self._joined(values)

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _product(self, values: Sequence[Arg]) -> Arg | None:
        """Sums of products with one value that has no rows."""
        found = [_factors(self.scope, value) for value in values]
        pairs = [pair for pair in found if pair is not None]
        if len(pairs) < len(values):
            return None
        for side in (0, 1):
            shared = pairs[0][side]
            if self.rows in shared.axes:
                continue
            others = [_meeting(shared, pair, self.scope) for pair in pairs]
            known = [other for other in others if other is not None and self.rows in other.axes]
            if len(known) == len(values):
                summed = [c for c in shared.axes if c not in values[0].axes]
                kind = values[0].node.kind
                return self.scope.reduce("sum", self.scope.apply("mul", shared, self.of(known)), summed, kind=kind)
        return None

    def _parts(self, values: Sequence[Arg]) -> Arg | None:
        """Values that are all that one tensor is along an axis, which becomes rows together with theirs."""
        found = common([value.node for value in values])
        first = values[0]
        if found is None or self.rows not in first.axes or any(value.axes != first.axes for value in values):
            return None
        whole, gate = found
        (arg,) = first.node.args
        count = self.scope.fresh(whole.sizes[gate], whole.names[gate])
        axes = tuple(count if k == gate else first.axes[position] for k, position in enumerate(arg.axes))
        result = sorted(c for c in (*first.axes, self.axis) if c != self.rows)
        positions = (len(result), len(result) + 1)
        return self.scope.build(
            "merge", (Arg(whole, axes),), result, (count, self.rows), kind=whole.kind, weak=whole.weak,
            attrs={"axes": positions, "into": result.index(self.axis)},
        )  # fmt: skip

    def _joined(self, values: Sequence[Arg]) -> Arg:
        """Side by side, filled along the rows where they are the same for all."""
        args = []
        for value, size in zip(values, self.sizes, strict=True):
            if self.rows not in value.axes:
                along = self.scope.fresh(size, self.scope.names[self.rows])
                result = sorted({*value.axes, along})
                value = self.scope.build(
                    "expand", (value,), result, kind=value.node.kind, attrs={"axes": (result.index(along),)}
                )
                args.append(Arg(value.node, tuple(-1 if c == along else c for c in value.axes)))
            else:
                args.append(Arg(value.node, tuple(-1 if c == self.rows else c for c in value.axes)))
        result = sorted({c for arg in args for c in arg.axes if c >= 0} | {self.axis})
        kind = max((value.node.kind for value in values), key=lambda kind: kind.value)
        return self.scope.build("concat", args, result, kind=kind, attrs={"axis": result.index(self.axis)})


def _alike(one: Node, other: Node) -> bool:
    return one.op == other.op and one.kind is other.kind


def _factors(scope: Scope, value: Arg) -> tuple[Arg, Arg] | None:
    """The two factors of a sum of products; what is summed over has coordinates of its own."""
    node = value.node
    if node.op != "reduce" or node.attr("op") != "sum" or node.args[0].node.op != "mul":
        return None
    left, right = scope.operands(scope.operands(value)[0])
    shared = set(left.axes) & set(right.axes)
    return (left, right) if shared == {*left.axes, *right.axes} - set(value.axes) else None


def _meeting(shared: Arg, pair: tuple[Arg, Arg], scope: Scope) -> Arg | None:
    """The factor beside `shared`, in its coordinates."""
    for mine, other in (pair, pair[::-1]):
        if mine.node is not shared.node:
            continue
        named = dict(zip(mine.axes, shared.axes, strict=True))
        summed = set(mine.axes) & set(other.axes)
        if all(a == b for a, b in named.items() if a not in summed):
            return Arg(other.node, tuple(named[c] if c in summed else c for c in other.axes))
    return None
