"""A node seen with what lies below it: its operands in its own coordinates, sums and products flattened.

In: a node of a graph. Out: `Arg`s whose axes are *coordinates*: the positions of the root's index space, followed by
fresh numbers for what deeper nodes consume; so that two operands are the same value exactly if they are equal as
`Arg`s. What always holds: looking changes nothing; `apply`, `reduce` and `build` add nodes, and never copy what is
there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from namedlayers.errors import Span
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.kinds import result_kind
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const
from namedlayers.program.terms import literal_key

Number = bool | int | float | complex

LONGEST = 32
"""Sums and products are flattened up to this many operands, so that a long chain costs linear time."""


@dataclass(frozen=True, slots=True)
class Product:
    """`number * product(top) / product(bottom)`; `nodes` are the nodes that were flattened."""

    number: Number
    top: tuple[Arg, ...]
    bottom: tuple[Arg, ...]
    nodes: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Sum:
    """`number + sum(sign * term)`; `nodes` are the nodes that were flattened."""

    number: Number
    terms: tuple[tuple[int, Arg], ...]
    nodes: tuple[Node, ...] = ()


def _anywhere(node: Node) -> bool:
    return True


def _nowhere(node: Node) -> bool:
    return False


@dataclass(slots=True)
class Scope:
    """The coordinates around `root`. `uses` says how many nodes and results need a node; `rule` makes the nodes."""

    graph: Graph
    root: Node
    uses: Callable[[Node], int]
    sizes: list[SizeExpr] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    spans: tuple[Span, ...] = ()
    rule: str = ""
    _operands: dict[tuple[Node, tuple[int, ...]], tuple[Arg, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sizes = list(self.root.space)
        self.names = list(self.root.names)
        self.spans = self.spans or self.root.spans

    # --- looking ------------------------------------------------------------------------------------------------------

    def whole(self) -> Arg:
        """The root itself."""
        return Arg(self.root, tuple(range(self.root.rank)))

    def operands(self, arg: Arg) -> tuple[Arg, ...]:
        """The operands of `arg.node` in coordinates; what it consumes gets fresh ones, the same when asked again."""
        if arg.node is self.root and arg.axes == tuple(range(self.root.rank)):
            return self.root.args
        node = arg.node
        if node.rank == len(node.space):
            return tuple(Arg(a.node, tuple([arg.axes[p] if p >= 0 else -1 for p in a.axes])) for a in node.args)
        key = (node, arg.axes)
        if key not in self._operands:
            where = list(arg.axes) + [
                self.fresh(size, name)
                for size, name in zip(node.space[node.rank :], node.names[node.rank :], strict=True)
            ]
            self._operands[key] = tuple(
                Arg(a.node, tuple([where[p] if p >= 0 else -1 for p in a.axes])) for a in node.args
            )
        return self._operands[key]

    def consumed(self, arg: Arg) -> tuple[int, ...]:
        """The coordinates that `arg.node` consumes, in its order."""
        if arg.node is self.root:
            return tuple(range(self.root.rank, len(self.root.space)))
        node = arg.node
        found: dict[int, int] = {}
        for inner, outer in zip(node.args, self.operands(arg), strict=True):
            for position, coordinate in zip(inner.axes, outer.axes, strict=True):
                if position >= node.rank:
                    found[position] = coordinate
        return tuple(found[p] for p in sorted(found))

    def fresh(self, size: SizeExpr, name: str) -> int:
        """A new coordinate."""
        self.sizes.append(size)
        self.names.append(name)
        return len(self.sizes) - 1

    def product(self, arg: Arg, through: Callable[[Node], bool] = _anywhere) -> Product:
        """`arg` as a product; below its top node, only nodes that `through` admits are taken apart."""
        number: Number = 1
        sides: tuple[list[Arg], list[Arg]] = ([], [])
        nodes: list[Node] = []
        waiting = [(arg, 0, True)]
        while waiting:
            part, side, top = waiting.pop()
            node = part.node
            value = constant(node)
            if value is not None and (side == 0 or value != 0) and not isinstance(value, bool):
                number = number * value if side == 0 else number / value
            elif node.op in _PRODUCTS and (top or through(node)) and len(waiting) + sum(map(len, sides)) < LONGEST:
                nodes.append(node)
                inner = self.operands(part)
                if node.op == "neg":
                    number = -number
                    waiting.append((inner[0], side, False))
                else:
                    other = 1 - side if node.op == "div" else side
                    waiting += [(inner[1], other, False), (inner[0], side, False)]
            else:
                sides[side].append(part)
        return Product(number, tuple(sides[0]), tuple(sides[1]), tuple(nodes))

    def sum(self, arg: Arg, through: Callable[[Node], bool] = _anywhere) -> Sum:
        """`arg` as a sum; below its top node, only nodes that `through` admits are taken apart."""
        number: Number = 0
        terms: list[tuple[int, Arg]] = []
        nodes: list[Node] = []
        waiting = [(arg, 1, True)]
        while waiting:
            part, sign, top = waiting.pop()
            node = part.node
            value = constant(node)
            if value is not None and not isinstance(value, bool):
                number = number + sign * value
            elif node.op in _SUMS and (top or through(node)) and len(waiting) + len(terms) < LONGEST:
                nodes.append(node)
                inner = self.operands(part)
                if node.op == "neg":
                    waiting.append((inner[0], -sign, False))
                else:
                    other = -sign if node.op == "sub" else sign
                    waiting += [(inner[1], other, False), (inner[0], sign, False)]
            else:
                terms.append((sign, part))
        return Sum(number, tuple(terms), tuple(nodes))

    def once(self, node: Node) -> bool:
        """Whether one other node alone needs this one."""
        return self.uses(node) <= 1

    def own_sum(self, arg: Arg) -> Sum:
        """`arg` as a sum of its own operands."""
        return self.sum(arg, _nowhere)

    def own_product(self, arg: Arg) -> Product:
        """`arg` as a product of its own operands."""
        return self.product(arg, _nowhere)

    def sums(self, arg: Arg) -> Iterator[Sum]:
        """`arg` as a sum of its own operands, then taken apart as far as it goes."""
        own = self.own_sum(arg)
        yield own
        if any(term.node.op in _SUMS for _, term in own.terms):
            yield self.sum(arg)

    def products(self, arg: Arg) -> Iterator[Product]:
        """`arg` as a product of its own operands, then taken apart as far as it goes."""
        own = self.own_product(arg)
        yield own
        if any(factor.node.op in _PRODUCTS for factor in (*own.top, *own.bottom)):
            yield self.product(arg)

    # --- adding -------------------------------------------------------------------------------------------------------

    def build(
        self,
        op: str,
        args: Iterable[Arg],
        result: Iterable[int],
        consumed: Iterable[int] = (),
        *,
        kind: Kind,
        attrs: Mapping[str, Hashable] | None = None,
        weak: bool | None = None,
        sizes: Mapping[int, SizeExpr] | None = None,
    ) -> Arg:
        """A node with the given result and consumed coordinates, in this order. Attributes are in its own positions."""
        result = tuple(result)
        space = result + tuple(consumed)
        at = {coordinate: position for position, coordinate in enumerate(space)} | {-1: -1}
        node = self.graph.node(
            op,
            tuple(Arg(a.node, tuple([at[c] for c in a.axes])) for a in args),
            tuple([self.sizes[c] for c in space]),
            len(result),
            kind,
            attrs=attrs,
            weak=weak,
            names=tuple([self.names[c] for c in space]),
            spans=self.spans,
            rule=self.rule,
        )
        return Arg(node, result)

    def apply(self, op: str, *args: Arg, kind: Kind | None = None) -> Arg:
        """An elementwise node over all axes of its operands; in the root's order where they are the root's."""
        axes = sorted({c for a in args for c in a.axes})
        return self.build(op, args, axes, kind=kind or result_kind(op, [a.node.kind for a in args]))

    def reduce(self, op: str, arg: Arg, consumed: Iterable[int], kind: Kind | None = None) -> Arg:
        """A reduction of `arg`; the operand itself when there is nothing to reduce over."""
        gone = tuple(c for c in dict.fromkeys(consumed) if c in arg.axes)
        if not gone:
            return arg
        kept = sorted(set(arg.axes) - set(gone))
        kind = kind or result_kind(op, [arg.node.kind])
        return self.build("reduce", (arg,), kept, gone, kind=kind, attrs={"op": op})

    def number(self, value: Number) -> Arg:
        """A constant."""
        kind = {bool: Kind.BOOL, int: Kind.INT, float: Kind.REAL, complex: Kind.COMPLEX}[type(value)]
        form, digits = literal_key(value)
        return self.build("const", (), (), kind=kind, attrs={"kind": form, "digits": digits}, weak=True)

    def size(self, value: SizeExpr) -> Arg:
        """A size as a number."""
        if value.value is not None:
            return self.number(value.value)
        return self.build("size", (), (), kind=Kind.INT, attrs={"expr": value}, weak=True)

    def coordinate(self, c: int) -> Arg:
        """The coordinates along an axis."""
        return self.build("coord", (), (c,), kind=Kind.INT)

    def multiply(self, product: Product) -> Arg:
        """The node of a product; factors without axes are put together first, so that they are one scalar."""
        scalars, tensors = _halves(product.top)
        under, over = _halves(product.bottom)
        scalar = self._scalar(product.number, scalars, under)
        result: Arg | None = None
        for factor in tensors:
            result = factor if result is None else self.apply("mul", result, factor)
        for divisor in over:
            result = self.apply("div", result if result is not None else self.number(1), divisor)
        if result is None:
            return scalar or self.number(1)
        if scalar is None:
            return result
        flipped = self._flip(scalar)
        return self.apply("mul", result, scalar) if flipped is None else self.apply("div", result, flipped)

    def _scalar(self, number: Number, top: list[Arg], bottom: list[Arg]) -> Arg | None:
        result = None if number == 1 and (top or not bottom) else self.number(number)
        for factor in top:
            result = factor if result is None else self.apply("mul", result, factor)
        for divisor in bottom:
            result = self.apply("div", result if result is not None else self.number(1), divisor)
        return result

    def _flip(self, scalar: Arg) -> Arg | None:
        """`d` if the scalar is `1 / d`: a division by it is what the text says, and rounds once."""
        if scalar.node.op == "div" and constant(scalar.node.args[0].node) == 1:
            return self.operands(scalar)[1]
        return None


def constant(node: Node) -> Number | None:
    """The number that a node is, if it is a literal."""
    if node.op != "const":
        return None
    return number_of(str(node.attr("kind")), str(node.attr("digits")))


def size_of(node: Node) -> SizeExpr | None:
    """The size that a node is, if it is one (or a whole number)."""
    if node.op == "size":
        value = node.attr("expr")
        assert isinstance(value, SizeExpr)
        return value
    number = constant(node)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return const(number) if isinstance(number, int) and not isinstance(number, bool) else None


def is_number(arg: Arg, value: Number) -> bool:
    """Whether `arg` is a literal of this value."""
    found = constant(arg.node)
    return found is not None and found == value


def number_of(form: str, digits: str) -> Number:
    """The number that `literal_key` took apart."""
    if form == "bool":
        return digits == "True"
    if form == "int":
        return int(digits, 16)
    if form == "float":
        return float.fromhex(digits)
    return complex(*map(float.fromhex, digits.split()))


# --- helpers ----------------------------------------------------------------------------------------------------------

_PRODUCTS = frozenset({"mul", "div", "neg"})
_SUMS = frozenset({"add", "sub", "neg"})


def _halves(factors: tuple[Arg, ...]) -> tuple[list[Arg], list[Arg]]:
    return [f for f in factors if not f.node.rank], [f for f in factors if f.node.rank]
