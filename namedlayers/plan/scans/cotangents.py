"""Reverse-mode derivatives on a graph: for each operation, what comes back to its operands.

In: a graph, some of its values with what comes back to them (their cotangents), and the inputs to be reached. Out: the
cotangents of those, as nodes of the same graph; or the operation that has no derivative here. What always holds: only
real values have cotangents; a cotangent may lack axes along which it is the same; what is zero is not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from namedlayers.plan.view import Scope, constant
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr


@dataclass(frozen=True, slots=True)
class Missing:
    """An operation on the way that has no derivative in the table."""

    node: Node


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

Back = Callable[[Scope, Node, Arg], "Sequence[Arg | None] | None"]
"""For each operand its cotangent in the coordinates of the node; axes that the operand lacks are summed over later."""


@dataclass(slots=True)
class _Backwards:
    graph: Graph
    wanted: set[Node]
    found: dict[Node, list[Arg]] = field(default_factory=dict)
    pieces: dict[Node, list[tuple[Node, Arg]]] = field(default_factory=dict)
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
            elif node.op == "piece":
                self.pieces.setdefault(node.args[0].node, []).append((node, arg))
            elif any(self._reaches(one.node) for one in node.args) and not self._pass_on(node, arg):
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
                    through = one.kind is Kind.REAL and one.op not in _STOPS
                    self._reaching[one.number] = one in self.wanted or (
                        through and any(self._reaching[arg.node.number] for arg in one.args)
                    )
        return self._reaching[node.number]

    def _total(self, node: Node) -> Arg | None:
        listed = list(self.found.get(node, ()))
        scope = self._scope(node)
        if node in self.pieces:
            listed.append(_joined(scope, node, self.pieces[node]))
        if not listed:
            return None
        total = listed[0]
        for one in listed[1:]:
            total = scope.apply("add", total, one)
        return total

    def _pass_on(self, node: Node, arg: Arg) -> bool:
        rule = _BACK.get(node.op if node.op != "reduce" else f"reduce {node.attr('op')}")
        plain = all(len(set(one.axes)) == len(one.axes) and -1 not in one.axes for one in node.args)
        if rule is None or not plain:
            return False
        scope = self._scope(node)
        parts = rule(scope, node, arg)
        if parts is None:
            return False
        for operand, part in zip(node.args, parts, strict=True):
            if part is not None and self._reaches(operand.node):
                part = _summed(scope, part, operand, node)
                axes = tuple(operand.axes.index(c) for c in part.axes)
                self.found.setdefault(operand.node, []).append(Arg(part.node, axes))
        return True

    def _scope(self, node: Node) -> Scope:
        return Scope(self.graph, node, lambda _: 2)


_STOPS = frozenset({"detach", "sign", "floor", "ceil", "round", "floordiv"})
"""Operations that nothing comes back through."""


def _summed(scope: Scope, part: Arg, operand: Arg, node: Node) -> Arg:
    """Over the axes that the operand lacks; along one that the cotangent lacks as well, it counts as often."""
    gone = [c for c in part.axes if c not in operand.axes]
    implied = [c for c in range(node.rank) if c not in operand.axes and c not in part.axes]
    part = scope.reduce("sum", part, gone)
    for c in implied:
        part = scope.apply("mul", part, scope.size(scope.sizes[c]))
    return part


def _joined(scope: Scope, whole: Node, pieces: Sequence[tuple[Node, Arg]]) -> Arg:
    """The cotangent of what was cut into pieces: theirs, one behind the other."""
    first = pieces[0][0]
    sizes = first.attr("sizes")
    assert isinstance(sizes, tuple)
    own = first.args[0].axes.index(-1)
    single = first.attr("axis") == -1
    by_number: dict[int, Arg] = {}
    for piece, arg in pieces:
        back = {position: k for k, position in enumerate(piece.args[0].axes) if position >= 0}
        if not single:
            back[_position(piece)] = own
        axes = tuple(back[c] for c in arg.axes)
        number = piece.attr("number")
        assert isinstance(number, int)
        by_number[number] = Arg(arg.node, axes)
    rest = tuple(k for k in range(whole.rank) if k != own)
    args = []
    for number, size in enumerate(sizes):
        arg = full(scope, by_number.get(number), rest if single else (*rest, own), {own: size})
        args.append(arg if single else Arg(arg.node, tuple(-1 if c == own else c for c in arg.axes)))
    return scope.build(
        "stack" if single else "concat", args, range(whole.rank), kind=Kind.REAL, attrs={"axis": own}, weak=False
    )


def _position(piece: Node) -> int:
    axis = piece.attr("axis")
    assert isinstance(axis, int)
    return axis


# --- the table --------------------------------------------------------------------------------------------------------


def _out(node: Node) -> Arg:
    return Arg(node, tuple(range(node.rank)))


def _one_minus(scope: Scope, x: Arg) -> Arg:
    return scope.apply("sub", scope.number(1.0), x)


def _plus_one(scope: Scope, x: Arg) -> Arg:
    return scope.apply("add", x, scope.number(1.0))


def _square(scope: Scope, x: Arg) -> Arg:
    return scope.apply("mul", x, x)


def _unary(factor: Callable[[Scope, Arg, Arg], Arg]) -> Back:
    """g times a factor of the operand x and the result y."""

    def back(scope: Scope, node: Node, g: Arg) -> Sequence[Arg]:
        return (scope.apply("mul", g, factor(scope, node.args[0], _out(node))),)

    return back


def _mul(scope: Scope, node: Node, g: Arg) -> Sequence[Arg]:
    x, y = node.args
    return scope.apply("mul", g, y), scope.apply("mul", g, x)


def _div(scope: Scope, node: Node, g: Arg) -> Sequence[Arg]:
    y = node.args[1]
    to_x = scope.apply("div", g, y)
    slope = scope.apply("div", _out(node), y)
    return to_x, scope.apply("neg", scope.apply("mul", g, slope))


def _power(scope: Scope, node: Node, g: Arg) -> Sequence[Arg | None] | None:
    x, exponent = node.args
    n = constant(exponent.node)
    if not isinstance(n, (int, float)) or n in (0, 1):
        return None
    slope = x if n == 2 else scope.apply("pow", x, scope.number(n - 1))
    return scope.apply("mul", g, scope.apply("mul", slope, scope.number(float(n)))), None


def _larger(scope: Scope, node: Node, g: Arg) -> Sequence[Arg]:
    """Of two equal values each gets half; beside a number the value gets all, as torch has it."""
    less = "lt" if node.op == "maximum" else "gt"
    zero, (x, y) = scope.number(0.0), node.args
    if constant(x.node) is not None or constant(y.node) is not None:
        even = g
    else:
        equal = scope.apply("eq", x, y)
        even = scope.apply("where", equal, scope.apply("mul", g, scope.number(0.5)), g, kind=Kind.REAL)
    pairs = ((x, y), (y, x))
    return [scope.apply("where", scope.apply(less, one, other), zero, even, kind=Kind.REAL) for one, other in pairs]


def _where(scope: Scope, node: Node, g: Arg) -> Sequence[Arg | None]:
    condition, zero = node.args[0], scope.number(0.0)
    return (
        None,
        scope.apply("where", condition, g, zero, kind=Kind.REAL),
        scope.apply("where", condition, zero, g, kind=Kind.REAL),
    )


def _lerp(scope: Scope, node: Node, g: Arg) -> Sequence[Arg]:
    start, end, weight = node.args
    to_weight = scope.apply("mul", g, scope.apply("sub", end, start))
    return scope.apply("mul", g, _one_minus(scope, weight)), scope.apply("mul", g, weight), to_weight


def _contract(scope: Scope, node: Node, g: Arg) -> Sequence[Arg]:
    found = []
    for k in range(len(node.args)):
        others = [arg for j, arg in enumerate(node.args) if j != k]
        product = g
        for other in others:
            product = scope.apply("mul", product, other)
        found.append(product)
    return found


def _linear(scope: Scope, node: Node, g: Arg) -> Sequence[Arg]:
    x, w, _ = node.args
    return scope.apply("mul", g, w), scope.apply("mul", g, x), g


def _softmax(scope: Scope, node: Node, g: Arg) -> Sequence[Arg]:
    y, axes = _out(node), _axes(node)
    product = scope.apply("mul", g, y)
    total = _over(scope, product, axes)
    return (scope.apply("sub", product, scope.apply("mul", y, total)),)


def _log_softmax(scope: Scope, node: Node, g: Arg) -> Sequence[Arg]:
    y, axes = _out(node), _axes(node)
    total = _over(scope, full(scope, g, {*g.axes, *axes}), axes)
    return (scope.apply("sub", g, scope.apply("mul", scope.apply("exp", y), total)),)


def _over(scope: Scope, x: Arg, axes: Sequence[int]) -> Arg:
    """The sum over axes that stay in the index space: through coordinates of its own."""
    fresh = {c: scope.fresh(scope.sizes[c], scope.names[c]) for c in axes}
    return scope.reduce("sum", Arg(x.node, tuple(fresh.get(c, c) for c in x.axes)), fresh.values())


def _axes(node: Node) -> tuple[int, ...]:
    axes = node.attr("axes")
    assert isinstance(axes, tuple)
    return axes


def _silu(scope: Scope, x: Arg, y: Arg) -> Arg:
    s = scope.apply("sigmoid", x, kind=Kind.REAL)
    return scope.apply("add", s, scope.apply("mul", y, _one_minus(scope, s)))


def _step(scope: Scope, x: Arg, y: Arg) -> Arg:
    above = scope.apply("gt", y, scope.number(0.0))
    return scope.apply("where", above, scope.number(1.0), scope.number(0.0), kind=Kind.REAL)


_BACK: Mapping[str, Back] = {
    "add": lambda scope, node, g: (g, g),
    "sub": lambda scope, node, g: (g, scope.apply("neg", g)),
    "neg": lambda scope, node, g: (scope.apply("neg", g),),
    "mul": _mul,
    "div": _div,
    "pow": _power,
    "maximum": _larger,
    "minimum": _larger,
    "where": _where,
    "lerp": _lerp,
    "contract": _contract,
    "linear": _linear,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "reduce sum": lambda scope, node, g: (g,),
    "expand": lambda scope, node, g: (g,),
    "ordered": lambda scope, node, g: (g,),
    "real": lambda scope, node, g: (g,),
    "exp": _unary(lambda scope, x, y: y),
    "expm1": _unary(lambda scope, x, y: _plus_one(scope, y)),
    "log": _unary(lambda scope, x, y: scope.apply("div", scope.number(1.0), x)),
    "log1p": _unary(lambda scope, x, y: scope.apply("div", scope.number(1.0), _plus_one(scope, x))),
    "sqrt": _unary(lambda scope, x, y: scope.apply("div", scope.number(0.5), y)),
    "sin": _unary(lambda scope, x, y: scope.apply("cos", x)),
    "cos": _unary(lambda scope, x, y: scope.apply("neg", scope.apply("sin", x))),
    "tan": _unary(lambda scope, x, y: _plus_one(scope, _square(scope, y))),
    "sinh": _unary(lambda scope, x, y: scope.apply("cosh", x)),
    "cosh": _unary(lambda scope, x, y: scope.apply("sinh", x)),
    "tanh": _unary(lambda scope, x, y: _one_minus(scope, _square(scope, y))),
    "sigmoid": _unary(lambda scope, x, y: scope.apply("mul", y, _one_minus(scope, y))),
    "abs": _unary(lambda scope, x, y: scope.apply("sign", x)),
    "relu": _unary(_step),
    "silu": _unary(_silu),
    "softplus": _unary(lambda scope, x, y: scope.apply("sigmoid", x, kind=Kind.REAL)),
}
"""What has a derivative here."""
