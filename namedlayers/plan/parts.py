"""A graph in parts that run one after the other, so that those with the large values can be run in pieces.

In: a planned graph and the numbers of the nodes whose values are large. Out: `Part`s, each a graph of its own, whose
inputs are values that earlier parts give. What always holds: no large value goes from part to part, unless it is a
result; numbers, and values that take the precision they meet, are computed anew wherever they are needed; in a part of
large values every axis has a symbol of its own, although the text may give two axes one size.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from namedlayers.plan.counted_means import as_quotient, is_counted
from namedlayers.plan.search import Path
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, size_expr, symbol
from namedlayers.program.terms import literal_key

Group = frozenset[int]
"""The numbers of nodes that are computed together."""


@dataclass(frozen=True, slots=True)
class Part:
    """`graph` takes the program's options and then the values `taken`, by number of their nodes; it gives `given`, the
    program's results if `last`, and so many `more`. `sizes`: the symbols of its own and what they stand for. `large`:
    whether it may be run in pieces. `inputs`: of each value taken, which input of the program it is, "" for none."""

    graph: Graph
    taken: tuple[int, ...]
    given: tuple[int, ...]
    sizes: tuple[tuple[str, SizeExpr], ...]
    large: bool
    last: bool
    more: int = 0
    inputs: tuple[str, ...] = ()

    @staticmethod
    def place(node: Node) -> int:
        """Which of the values taken an input of the graph is."""
        return int(str(node.attr("name")).removeprefix(VALUE))


VALUE = "value "
"""What the names of values that a part takes begin with; inputs of programs have no blanks in their names."""


def taken_apart(graph: Graph) -> Graph:
    """The same graph, in which contractions have two operands, triangles are masks made of coordinates, and means of
    what counts quotients of sums, so that all values are there to see."""
    found = Graph(states=graph.states, stored=graph.stored)
    new: dict[int, Node] = {}
    for node in graph.live():
        args = tuple(Arg(new[arg.node.number], arg.axes) for arg in node.args)
        make = next((how for asked, how in _APART if asked(node)), _copied)
        new[node.number] = make(found, node, args)
    found.outputs = [Arg(new[arg.node.number], arg.axes) for arg in graph.outputs]
    return found


def groups(graph: Graph, large: Collection[int], alone: Collection[int] = ()) -> tuple[Group, ...]:
    """Large values with all that is computed of them, in the order in which they can be run; of those `alone` only what
    is made on the way to them is large."""
    nodes = {node.number: node for node in graph.live()}
    users = {number: [one.number for one in found] for number, found in graph.users().items()}
    args = {number: [arg.node.number for arg in node.args] for number, node in nodes.items()}
    found = [_whole({n, *users.get(n, ())}, nodes, users, args) for n in sorted(large)]
    found += [_whole({n}, nodes, users, args) for n in sorted(alone)]
    merged = True
    while merged:
        merged = False
        for k, one in enumerate(found):
            after = _reached(one, users)
            for other in found[k + 1 :]:
                if one & other or (after & other and _reached(other, users) & one):
                    found.remove(one)
                    found.remove(other)
                    found.append(_whole(one | other, nodes, users, args))
                    merged = True
                    break
            if merged:
                break
    ordered: list[Group] = []
    while found:
        first = min(
            (one for one in found if not any(o is not one and _reached(o, users) & one for o in found)), key=min
        )
        found.remove(first)
        ordered.append(first)
    return tuple(ordered)


def parts(graph: Graph, large: Sequence[Group], options: Collection[str]) -> tuple[Part, ...]:
    """The graph with these groups as parts, in their order. `options` are the inputs that are numbers."""
    inside = frozenset(number for group in large for number in group)
    done = {node.number for node in graph.live() if node.op == "input"}
    found: list[tuple[set[int], bool]] = []
    for group in large:
        before = _needed_for(graph, group, done, options) - inside
        if before:
            found.append((before, False))
        found.append((set(group), True))
        done |= before | group
    rest = {node.number for node in graph.live() if node.op != "input" or _anew(node, options)} - done
    found.append((rest | {arg.node.number for arg in graph.outputs if _anew(arg.node, options)}, False))
    return tuple(_made(graph, found, options))


# --- contractions in pairs --------------------------------------------------------------------------------------------


def _is_long(node: Node) -> bool:
    return node.op == "contract" and len(node.args) > 2


def _in_pairs(graph: Graph, node: Node, args: tuple[Arg, ...]) -> Node:
    path = node.attr("path")
    assert isinstance(path, tuple)
    return _contracted(graph, node, list(args), path)


def _contracted(graph: Graph, node: Node, operands: list[Arg], path: Path) -> Node:
    result = frozenset(range(node.rank))
    for number, pair in enumerate(path):
        taken = [operands[k] for k in pair]
        operands = [one for k, one in enumerate(operands) if k not in pair]
        touched = frozenset(axis for one in taken for axis in one.axes)
        kept = sorted(touched & result.union(*(one.axes for one in operands)))
        kept = list(range(node.rank)) if number == len(path) - 1 else kept
        space = kept + sorted(touched - set(kept))
        at = {axis: place for place, axis in enumerate(space)}
        made = graph.node(
            "contract",
            tuple(Arg(one.node, tuple(at[axis] for axis in one.axes)) for one in taken),
            tuple(node.space[axis] for axis in space),
            len(kept),
            node.kind,
            attrs={"path": ((0, 1),) if len(taken) == 2 else ()},
            names=tuple(node.names[axis] for axis in space),
            spans=node.spans,
            rule=node.rule,
        )
        operands.append(Arg(made, tuple(kept)))
    return operands[-1].node


def _masked(graph: Graph, node: Node, args: tuple[Arg, ...]) -> Node:
    """A triangle, which keeps what is in a column of at most the row plus `diagonal`, as a mask."""
    row, column, diagonal = (node.attr(name) for name in ("row", "column", "diagonal"))
    assert isinstance(row, int) and isinstance(column, int)
    sizes, names = (node.space[row], node.space[column]), (node.names[row], node.names[column])
    at, beside = (
        graph.node("coord", (), (size,), 1, Kind.INT, weak=True, names=(name,), spans=node.spans)
        for size, name in zip(sizes, names, strict=True)
    )
    more = graph.node("size", (), (), 0, Kind.INT, attrs={"expr": size_expr(diagonal)}, weak=True)  # type: ignore[arg-type]
    least = graph.node("add", (Arg(at, (0,)), Arg(more, ())), sizes[:1], 1, Kind.INT, names=names[:1])
    kept = graph.node("le", (Arg(beside, (1,)), Arg(least, (0,))), sizes, 2, Kind.BOOL, names=names, spans=node.spans)
    form, digits = literal_key(0)
    nothing = graph.node("const", (), (), 0, Kind.INT, attrs={"kind": form, "digits": digits}, weak=True)
    operands = (Arg(kept, (row, column)), *args, Arg(nothing, ()))
    return graph.node(
        "where", operands, node.space, node.rank, node.kind, weak=node.weak, names=node.names, spans=node.spans,
        rule=node.rule,
    )  # fmt: skip


def _copied(
    graph: Graph, node: Node, args: tuple[Arg, ...], space: tuple[SizeExpr, ...] | None = None
) -> Node:  # fmt: skip
    return graph.node(
        node.op, args, node.space if space is None else space, node.rank, node.kind, attrs=dict(node.attrs),
        weak=node.weak, names=node.names, spans=node.spans, rule=node.rule,
    )  # fmt: skip


_APART: tuple[tuple[Callable[[Node], bool], Callable[[Graph, Node, tuple[Arg, ...]], Node]], ...] = (
    (_is_long, _in_pairs),
    (lambda node: node.op == "triangle", _masked),
    (is_counted, as_quotient),
)


# --- groups -----------------------------------------------------------------------------------------------------------

GLUED = frozenset({"part", "final", "cell", "running"})
"""What is taken of another operation as it is computed, and belongs to it."""


def _whole(
    group: Iterable[int], nodes: Mapping[int, Node], users: Mapping[int, Sequence[int]],
    args: Mapping[int, Sequence[int]],
) -> Group:  # fmt: skip
    """With all that lies between its nodes, and what is glued to them."""
    found = frozenset(group)
    while True:
        more = found | (_reached(found, users) & _reached(found, args))
        more |= {user for n in more for user in users.get(n, ()) if nodes[user].op in GLUED}
        more |= {args[n][0] for n in more if nodes[n].op in GLUED}
        if more == found:
            return found
        found = more


def _reached(group: Iterable[int], ways: Mapping[int, Sequence[int]]) -> set[int]:
    """All that lies behind the nodes of a group."""
    found: set[int] = set()
    waiting = list(group)
    while waiting:
        for number in ways.get(waiting.pop(), ()):
            if number not in found:
                found.add(number)
                waiting.append(number)
    return found


def _needed_for(graph: Graph, group: Group, done: set[int], options: Collection[str]) -> set[int]:
    """What has to be computed before a group, and is not yet."""
    args = {node.number: [arg.node.number for arg in node.args] for node in graph.live()}
    nodes = {node.number: node for node in graph.live()}
    users = graph.users()
    found = _reached(group, args) - group - done
    found |= {user.number for n in found for user in users.get(n, ()) if user.op in GLUED}
    return {number for number in found if not _anew(nodes[number], options)}


# --- parts ------------------------------------------------------------------------------------------------------------


def _anew(node: Node, options: Collection[str]) -> bool:
    """Whether a value is computed wherever it is needed: numbers, and reals that take the precision they meet."""
    if node.op == "input":
        return node.attr("name") in options
    return node.op in ("const", "size") or (node.weak and (node.rank == 0 or node.kind in (Kind.REAL, Kind.COMPLEX)))


def _made(graph: Graph, found: Sequence[tuple[set[int], bool]], options: Collection[str]) -> Iterator[Part]:
    live = graph.live()
    results = {arg.node.number for arg in graph.outputs}
    members = [_with_what_is_made_anew(live, numbers, options) for numbers, _ in found]
    for k, (numbers, large) in enumerate(found):
        later = {arg.node.number for node in live for other in members[k + 1 :] if node.number in other
                 for arg in node.args if arg.node.number not in other} | results  # fmt: skip
        last = k == len(found) - 1
        given = () if last else tuple(n for n in sorted(numbers) if n in later)
        if given or last:
            yield _Extraction(graph, members[k], options, own=large).part(given, large, last)


def _with_what_is_made_anew(live: Sequence[Node], numbers: set[int], options: Collection[str]) -> set[int]:
    found = set(numbers)
    for node in reversed(live):
        if node.number in found:
            found |= {arg.node.number for arg in node.args if _anew(arg.node, options)}
    return found


@dataclass(slots=True)
class _Extraction:
    """Copies nodes into a graph of their own. `own`: with symbols of its own, one for each axis."""

    graph: Graph
    numbers: set[int]
    options: Collection[str]
    own: bool
    target: Graph = field(default_factory=Graph)
    taken: list[int] = field(default_factory=list)
    classes: dict[Hashable, Hashable] = field(default_factory=dict)
    symbols: dict[Hashable, tuple[str, SizeExpr]] = field(default_factory=dict)
    _inputs: dict[Hashable, Node] = field(default_factory=dict)

    def part(self, given: tuple[int, ...], large: bool, last: bool) -> Part:
        nodes = [node for node in self.graph.live() if node.number in self.numbers]
        if self.own:
            self._join(nodes)
        new: dict[int, Node] = {}
        for node in nodes:
            args = tuple(Arg(self._operand(new, node, arg), arg.axes) for arg in node.args)
            new[node.number] = _copied(self.target, node, args, self._space(node))
        if last:
            self.target.outputs = [Arg(self._operand(new, None, arg), arg.axes) for arg in self.graph.outputs]
        else:
            self.target.outputs = [Arg(new[number], tuple(range(new[number].rank))) for number in given]
        nodes_taken = (self.graph.nodes[number] for number in self.taken)
        inputs = tuple(str(node.attr("name")) if node.op == "input" else "" for node in nodes_taken)
        return Part(self.target, tuple(self.taken), given, tuple(self.symbols.values()), large, last, inputs=inputs)

    def _operand(self, new: Mapping[int, Node], user: Node | None, arg: Arg) -> Node:
        """The operand's copy; what is computed elsewhere is an input, one for each way in which its axes are used."""
        if arg.node.number in new:
            return new[arg.node.number]
        node = arg.node
        own = self.own and user is not None
        axes = [self._axis(user, arg, k) for k in range(node.rank)] if own else []
        key = (node.number, tuple(axes))
        if key not in self._inputs:
            space = tuple(map(self._symbol, axes, node.sizes)) if own else node.sizes
            attrs = {"name": f"{VALUE}{len(self.taken)}"}
            self._inputs[key] = self.target.node(
                "input", (), space, node.rank, node.kind, attrs=attrs, weak=False, names=node.names[: node.rank],
                spans=node.spans,
            )  # fmt: skip
            self.taken.append(node.number)
        return self._inputs[key]

    # Axes are the same where an operand's is its user's.

    def _join(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            for arg in node.args:
                for k, place in enumerate(arg.axes):
                    if place >= 0 and arg.node.number in self.numbers:
                        self.classes[self._class((arg.node.number, k))] = self._class((node.number, place))

    def _class(self, axis: Hashable) -> Hashable:
        while axis in self.classes and self.classes[axis] != axis:
            axis = self.classes[axis]
        return axis

    def _axis(self, user: Node | None, arg: Arg, k: int) -> Hashable:
        place = arg.axes[k]
        assert user is not None
        return self._class((user.number, place)) if place >= 0 else ("own", user.number, arg.node.number, k)

    def _space(self, node: Node) -> tuple[SizeExpr, ...]:
        if not self.own:
            return node.space
        return tuple(self._symbol(self._class((node.number, p)), size) for p, size in enumerate(node.space))

    def _symbol(self, axis: Hashable, size: SizeExpr) -> SizeExpr:
        name, _ = self.symbols.setdefault(axis, (f"part {len(self.symbols)}", size))
        return symbol(name)
