"""Windows: an operand seen as an affine reading of the axes of something deeper, through slices, splits and padding.

In: an operand whose node is an `index`, `split` or `pad`, or a chain of them. Out: `Windows`, the deepest first: a
source whose every axis is plain, or read at `stride * position + dilation * kernel`, possibly padded by constants.
What always holds: reading the source so gives the operand's value at every coordinate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from namedlayers.plan.view import Number, Scope, constant, size_of
from namedlayers.program.graph import Arg, Node
from namedlayers.program.size import SizeExpr, const, size_expr


@dataclass(frozen=True, slots=True)
class Affine:
    """`sum(coefficient * coordinate) + offset`."""

    terms: tuple[tuple[int, SizeExpr], ...]
    offset: SizeExpr

    @property
    def plain(self) -> int | None:
        """The coordinate that this is, if it is just one."""
        if len(self.terms) == 1 and self.offset.value == 0 and self.terms[0][1].value == 1:
            return self.terms[0][0]
        return None


@dataclass(frozen=True, slots=True)
class Padding:
    """Elements of one value before and after an axis."""

    before: SizeExpr
    after: SizeExpr
    value: Number


@dataclass(frozen=True, slots=True)
class WindowAxis:
    """An axis of the source (its own number, its size) read at `terms`: two (coordinate, coefficient) pairs. The
    coordinates in `turned` count from their ends."""

    own: int
    size: SizeExpr
    terms: tuple[tuple[int, SizeExpr], ...]
    padding: Padding | None
    turned: frozenset[int] = frozenset()

    def roles(self, kernels: frozenset[int]) -> tuple[tuple[int, SizeExpr], tuple[int, SizeExpr]] | None:
        """`((position, stride), (kernel, dilation))`, if exactly one of the two coordinates is among `kernels`, and the
        other one counts upwards."""
        first, second = self.terms
        if (first[0] in kernels) == (second[0] in kernels) or not self.turned <= kernels:
            return None
        return (second, first) if first[0] in kernels else (first, second)

    def extent(self, kernel: SizeExpr, dilation: SizeExpr, stride: SizeExpr) -> SizeExpr:
        """How many windows of this shape fit."""
        return _extent(self.size, self.padding, kernel, dilation, stride)

    def apart(self, sizes: Sequence[SizeExpr]) -> bool:
        """Whether no element is in two windows, so that they are a view; `sizes` are the coordinates'."""
        return self.padding is None and any(
            (step - stride * sizes[inner]).nonnegative for (_, step), (inner, stride) in (self.terms, self.terms[::-1])
        )


@lru_cache(4096)
def _extent(
    size: SizeExpr, padding: Padding | None, kernel: SizeExpr, dilation: SizeExpr, stride: SizeExpr
) -> SizeExpr:
    padded = size if padding is None else size + padding.before + padding.after
    return (padded - dilation * (kernel - 1) - 1) // stride + 1


@dataclass(frozen=True, slots=True)
class Windows:
    """`source` with -1 at the axes in `space`; `nodes` are those that were seen through."""

    source: Arg
    space: tuple[WindowAxis, ...]
    nodes: tuple[Node, ...]


def windows(scope: Scope, arg: Arg) -> list[Windows]:
    """All ways to see `arg` as windows, the deepest source first; none if it is not."""
    found: list[Windows] = []
    node, axes = arg.node, tuple(_plain(c) for c in arg.axes)
    padding: dict[int, Padding] = {}
    nodes: list[Node] = []
    extents = dict(zip(arg.axes, arg.node.sizes, strict=True))
    while node.op in STEPS:
        step = STEPS[node.op](scope, node, axes, padding)
        if step is None:
            break
        nodes.append(node)
        axes, padding = step
        node = node.args[0].node
        view = _view(node, axes, padding, extents, tuple(nodes))
        if view is not None:
            found.append(view)
    return found[::-1]


def affine(scope: Scope, index: Arg) -> Affine | None:
    """An index as an affine function of the coordinates, or None."""
    total = scope.sum(index)
    if not isinstance(total.number, int):
        return None
    offset = const(total.number)
    terms: dict[int, SizeExpr] = {}
    for sign, term in total.terms:
        product = scope.product(term)
        factor = const(sign)
        coordinate: int | None = None
        for part in product.top:
            size = size_of(part.node)
            if size is not None:
                factor = factor * size
            elif part.node.op == "coord" and coordinate is None:
                coordinate = part.axes[0]
            else:
                return None
        if product.bottom or not isinstance(product.number, int):
            return None
        factor = factor * product.number
        if coordinate is None:
            offset = offset + factor
        else:
            terms[coordinate] = terms.get(coordinate, _ZERO) + factor
    return Affine(tuple(sorted(terms.items(), key=lambda t: t[0])), offset)


# --- one step deeper --------------------------------------------------------------------------------------------------

_State = tuple[tuple[Affine, ...], dict[int, Padding]]


def _through_index(scope: Scope, node: Node, axes: tuple[Affine, ...], padding: dict[int, Padding]) -> _State | None:
    entries = {own: (terms, offset) for own, terms, offset in node.attr("entries")}  # type: ignore[attr-defined]
    inner: list[Affine] = []
    at: dict[int, int] = {}
    for own, position in enumerate(node.args[0].axes):
        if own in entries:
            terms, offset = entries[own]
            if any(p in padding for p, _ in terms):
                return None
            inner.append(_combined([(axes[p], size_expr(c)) for p, c in terms], size_expr(offset)))
        else:
            inner.append(axes[position])
            at[position] = own
    return tuple(inner), {at[p]: pad for p, pad in padding.items()}


def _through_split(scope: Scope, node: Node, axes: tuple[Affine, ...], padding: dict[int, Padding]) -> _State | None:
    axis, into = node.attr("axis"), node.attr("into")
    assert isinstance(axis, int) and isinstance(into, tuple)
    own_axes = node.args[0].axes
    if any(p in padding for p in into):
        return None
    parts: list[tuple[Affine, SizeExpr]] = []
    step = const(1)
    for position in reversed(into):
        parts.append((axes[position], step))
        step = step * node.sizes[position]
    at = {position: own for own, position in enumerate(own_axes)}
    inner = [_combined(parts, const(0)) if position == axis else axes[position] for position in own_axes]
    return tuple(inner), {at[p]: pad for p, pad in padding.items()}


def _through_pad(scope: Scope, node: Node, axes: tuple[Affine, ...], padding: dict[int, Padding]) -> _State | None:
    position = node.attr("axis")
    assert isinstance(position, int)
    value = constant(node.args[1].node)
    if node.attr("mode") != "constant" or value is None or position in padding or axes[position].plain is not None:
        return None
    own_axes = tuple(position if p < 0 else p for p in node.args[0].axes)
    at = {p: own for own, p in enumerate(own_axes)}
    inner = tuple(axes[p] for p in own_axes)
    before, after = node.attr("before"), node.attr("after")
    assert isinstance(before, SizeExpr) and isinstance(after, SizeExpr)
    return inner, {at[p]: pad for p, pad in (padding | {position: Padding(before, after, value)}).items()}


def _through_gather(scope: Scope, node: Node, axes: tuple[Affine, ...], padding: dict[int, Padding]) -> _State | None:
    """Reading at computed indices, with a value for what is out of range: a pad, where the indices are affine.

    How far they reach beyond the ends are sizes, of which a guard has to say that they are not negative.
    """
    spoken = node.attr("axes")
    assert isinstance(spoken, tuple)
    value = constant(node.args[-1].node)
    if not node.attr("fill") or value is None or len(node.args) != len(spoken) + 2:
        return None
    read: dict[int, tuple[Affine, SizeExpr, Padding]] = {}
    for own, index in zip(spoken, node.args[1:-1], strict=True):
        reading = affine(scope, index)
        if reading is None or not signed(reading) or any(p in padding for p in index.axes):
            return None
        first, last = reached(reading, node.sizes)
        read[own] = reading, first, Padding(-first, last - node.args[0].node.sizes[own] + 1, value)
    inner: list[Affine] = []
    at: dict[int, int] = {}
    for number, position in enumerate(node.args[0].axes):
        if number in read:
            reading, first, _ = read[number]
            inner.append(_combined([(axes[p], c) for p, c in reading.terms], reading.offset - first))
        else:
            inner.append(axes[position])
            at[position] = number
    if any(p not in at for p in padding):
        return None
    pads = {own: pad for own, (_, _, pad) in read.items()}
    return tuple(inner), {at[p]: one for p, one in padding.items()} | pads


def reached(reading: Affine, sizes: Sequence[SizeExpr]) -> tuple[SizeExpr, SizeExpr]:
    """The first and the last index that are read, where each coefficient has a sign; `sizes` are the coordinates'."""
    first = last = reading.offset
    for position, c in reading.terms:
        reach = c * (sizes[position] - 1)
        first, last = (first, last + reach) if c.nonnegative else (first + reach, last)
    return first, last


STEPS = {"index": _through_index, "split": _through_split, "pad": _through_pad, "gather": _through_gather}


def _view(
    node: Node,
    axes: tuple[Affine, ...],
    padding: Mapping[int, Padding],
    extents: Mapping[int, SizeExpr],
    nodes: tuple[Node, ...],
) -> Windows | None:
    """`extents` are the sizes of the coordinates: a plain axis is read as a whole, not in part as by a slice."""
    space: list[WindowAxis] = []
    own_axes: list[int] = []
    for own, affine in enumerate(axes):
        plain = affine.plain
        if plain is not None and own not in padding:
            if extents[plain] != node.sizes[own]:
                return None
            own_axes.append(plain)
            continue
        forwards = _forwards(affine, extents)
        if forwards is None or len(affine.terms) != 2:
            return None
        own_axes.append(-1)
        turned = frozenset(c for c, k in affine.terms if not k.nonnegative)
        space.append(WindowAxis(own, node.sizes[own], forwards.terms, padding.get(own), turned))
    used = [c for axis in space for c, _ in axis.terms] + [c for c in own_axes if c >= 0]
    if not space or len(set(used)) < len(used):
        return None
    return Windows(Arg(node, tuple(own_axes)), tuple(space), nodes)


def signed(affine: Affine) -> bool:
    """Whether each coefficient is known to be negative or not to be."""
    return all(c.nonnegative or (-c).nonnegative for _, c in affine.terms)


def _forwards(affine: Affine, extents: Mapping[int, SizeExpr]) -> Affine | None:
    """The same reading with coordinates of negative coefficients counted from their ends; None unless it starts at the
    first element then."""
    if not signed(affine):
        return None
    offset = affine.offset
    for coordinate, c in affine.terms:
        if not c.nonnegative:
            offset = offset + c * (extents[coordinate] - 1)
    turned = tuple((coordinate, c if c.nonnegative else -c) for coordinate, c in affine.terms)
    return Affine(turned, offset) if offset.value == 0 else None


_ZERO, _ONE = const(0), const(1)


def _plain(coordinate: int) -> Affine:
    return Affine(((coordinate, _ONE),), _ZERO)


def _combined(parts: list[tuple[Affine, SizeExpr]], offset: SizeExpr) -> Affine:
    terms: dict[int, SizeExpr] = {}
    for affine, coefficient in parts:
        if affine.offset.value != 0:
            offset = offset + affine.offset * coefficient
        for coordinate, c in affine.terms:
            step = coefficient if c.value == 1 else c * coefficient
            terms[coordinate] = terms[coordinate] + step if coordinate in terms else step
    return Affine(tuple(sorted((t for t in terms.items() if t[1].value != 0), key=lambda t: t[0])), offset)
