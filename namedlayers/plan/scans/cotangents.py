"""Reverse-mode derivatives on a graph: for each operation, what comes back to its operands.

In: a graph, some of its values with what comes back to them (their cotangents), and the inputs to be reached. Out: the
cotangents of those, as nodes of the same graph; or the operation that has no derivative here. What always holds: only
real values have cotangents; a cotangent may lack axes along which it is the same; what is zero is not computed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from namedlayers.plan.scans.derivatives import LEFT, STOPS, TABLE, WHOLE, name_of
from namedlayers.plan.scans.derivatives.ranges import Range, range_of, together
from namedlayers.plan.scans.derivatives.term import Term
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr


@dataclass(frozen=True, slots=True)
class Missing:
    """An operation on the way that has no derivative in the table."""

    node: Node

    @property
    def reason(self) -> str:
        """Why only torch differentiates it, for people."""
        name = name_of(self.node)
        if self.node.kind is Kind.COMPLEX and name not in LEFT:
            return "numbers are complex"
        return f"only torch has a derivative of `{name}`" + (f": {LEFT[name]}" if name in LEFT else "")


def cotangents(graph: Graph, ends: Mapping[Node, Sequence[Arg]], wanted: Collection[Node]) -> dict[Node, Arg] | Missing:
    """What comes back to the inputs `wanted` (those that anything comes back to) from the cotangents of `ends`, which
    are Args whose axes are positions of the end."""
    return _Backwards(graph, set(wanted)).run(ends)


def full(
    scope: Scope, arg: Arg | None, coordinates: Iterable[int], sizes: Mapping[int, SizeExpr] = MappingProxyType({})
) -> Arg:
    """With all of these coordinates; zero where there is nothing. `sizes` are those that are not the scope's."""
    coordinates = tuple(coordinates)
    arg = scope.number(0.0) if arg is None else arg
    missing = [c for c in coordinates if c not in arg.axes]
    if not missing:
        return arg
    result = tuple(sorted(coordinates))
    space = tuple(sizes.get(c, scope.sizes[c]) for c in result)
    made = scope.graph.node(
        "expand", (Arg(arg.node, tuple(result.index(c) for c in arg.axes)),), space, len(result), arg.node.kind,
        attrs={"axes": tuple(result.index(c) for c in sorted(missing))}, names=tuple(scope.names[c] for c in result),
        spans=scope.spans,
    )  # fmt: skip
    return Arg(made, result)


# --- helpers ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Backwards:
    graph: Graph
    wanted: set[Node]
    found: dict[Node, list[Arg]] = field(default_factory=dict)
    ranges: dict[Node, list[Range]] = field(default_factory=dict)
    _reaching: dict[int, bool] = field(default_factory=dict)

    def run(self, ends: Mapping[Node, Sequence[Arg]]) -> dict[Node, Arg] | Missing:
        for node, listed in ends.items():
            self.found.setdefault(node, []).extend(listed)
        result: dict[Node, Arg] = {}
        below = self._below(ends)
        odd = next((node for node in below if node.kind is Kind.COMPLEX), None)
        if odd is not None:
            return Missing(odd)
        for node in reversed(below):
            arg = self._total(node)
            if arg is None or node.kind is not Kind.REAL:
                continue
            if node in self.wanted:
                result[node] = arg
            elif any(self._reaches(one.node) for one in node.args):
                part = range_of(node, arg)
                if part is not None:
                    self.ranges.setdefault(node.args[0].node, []).append(part)
                elif not self._pass_on(node, arg):
                    return Missing(node)
        return result

    def _below(self, ends: Mapping[Node, Sequence[Arg]]) -> list[Node]:
        """The nodes that the ends need, in order."""
        seen: dict[int, Node] = {}
        waiting = list(ends)
        while waiting:
            node = waiting.pop()
            if node.number not in seen:
                seen[node.number] = node
                waiting += [arg.node for arg in node.args]
        return [seen[number] for number in sorted(seen)]

    def _reaches(self, node: Node) -> bool:
        """Whether anything that comes back to a node comes back to an input that is wanted."""
        if node.number not in self._reaching:
            for one in self._below({node: ()}):
                if one.number not in self._reaching:
                    through = one.kind is Kind.REAL and one.op not in STOPS
                    self._reaching[one.number] = one in self.wanted or (
                        through and any(self._reaching[arg.node.number] for arg in one.args)
                    )
        return self._reaching[node.number]

    def _total(self, node: Node) -> Arg | None:
        listed = list(self.found.get(node, ()))
        scope = self._scope(node)
        listed += together(scope, node, self.ranges.get(node, ()))
        if not listed:
            return None
        total = listed[0]
        for one in listed[1:]:
            total = scope.apply("add", total, one)
        return total

    def _pass_on(self, node: Node, arg: Arg) -> bool:
        name = name_of(node)
        rule = TABLE.get(name)
        if rule is None:
            return False
        scope = self._scope(node)
        seen = [_seen(scope, one) for one in node.args]
        if name in WHOLE:
            arg = full(scope, arg, range(node.rank))
        parts = rule(node, Term(scope, arg), tuple(Term(scope, one) for one in seen))
        if parts is None:
            return False
        for operand, part in zip(seen, parts, strict=True):
            if not self._reaches(operand.node):
                continue
            if part is None:
                return False
            found = _summed(scope, part.arg, operand, () if name in WHOLE else range(node.rank))
            axes = tuple(operand.axes.index(c) for c in found.axes)
            self.found.setdefault(operand.node, []).append(Arg(found.node, axes))
        return True

    def _scope(self, node: Node) -> Scope:
        return Scope(self.graph, node, lambda _: 2)


def _seen(scope: Scope, arg: Arg) -> Arg:
    """An operand of which the axes that an attribute speaks of have coordinates of their own."""
    sizes, names = arg.node.sizes, arg.node.names
    return Arg(arg.node, tuple(scope.fresh(sizes[k], names[k]) if c < 0 else c for k, c in enumerate(arg.axes)))


def _summed(scope: Scope, part: Arg, operand: Arg, along: Iterable[int]) -> Arg:
    """Over the axes that the operand lacks; along one of those `along` that the cotangent lacks as well, it counts as
    often."""
    gone = [c for c in part.axes if c not in operand.axes]
    implied = [c for c in along if c not in operand.axes and c not in part.axes]
    part = scope.reduce("sum", part, gone)
    for c in implied:
        part = scope.apply("mul", part, scope.size(scope.sizes[c]))
    return part
