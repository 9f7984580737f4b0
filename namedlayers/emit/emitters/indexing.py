"""Reading by coordinates that are affine: slices, and gathers where there is no slice.

In: a tensor, and where to read along some of its axes. Out: a tensor in whose layout new axes stand where the old one
was. What always holds: affine reads of one axis are views, and so are windows that tile; other windows are views while
a call runs that nothing traces, and no result.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence

from torch import fx

from namedlayers.emit.attributes import listed
from namedlayers.emit.emitters import pieces
from namedlayers.emit.emitters.gathering import read
from namedlayers.emit.emitters.numbers import arange
from namedlayers.emit.kernels.windows import SHORT, in_one_piece, windows
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.sizes import never_negative
from namedlayers.emit.value import Value, own
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, size_expr, symbol
from namedlayers.program.terms import BINARY_NAMES, UNARY_NAMES

_FLAT = -201

Coefficients = Sequence[tuple[int, SizeExpr]]


@emits("index")
def emit_index(lo: Lowering, node: Node) -> Value:
    x = lo.operand(node.args[0])
    if _cut_apart(lo, node):
        ((number, _, offset),) = listed(node, "entries")
        return pieces.at(lo, lo.tensor(x), own(number), offset.value) if own(number) in x.axes else x
    for number, coefficients, offset in listed(node, "entries"):
        if own(number) in x.axes:
            x = _affine(lo, lo.tensor(x), own(number), [(a, size_expr(c)) for a, c in coefficients], size_expr(offset))
    return _taps_apart(lo, node, x)


def _taps_apart(lo: Lowering, node: Node, x: Value) -> Value:
    """Short windows that a softmax or a reduction goes through: all first places, all second ones, …, each in one
    piece. Along a few numbers that lie side by side, torch's kernels take four to nine times as long."""
    taps = _taps(lo, node)
    count = math.prod(lo.space(axis).value or 1 for axis in taps)
    if not taps or count > SHORT or not set(taps) <= set(x.axes) or node.kind is not Kind.REAL:
        return x
    space = [a for _, pairs, _ in listed(node, "entries") if len(pairs) == 2 for a, _ in pairs if a not in taps]
    others = [a for a in x.axes if a not in taps and a not in space]
    order = (*others, *taps, *(a for a in x.axes if a in space))
    places = range(len(others), len(others) + len(taps))
    return lo.call(in_one_piece, (lo.permuted(x, order), places.start, places.stop), order, kind=x.kind)


def _taps(lo: Lowering, node: Node) -> tuple[int, ...]:
    """The places within windows, if a user goes through all windows along just these."""
    pairs = [{axis for axis, _ in pair} for _, pair, _ in listed(node, "entries") if len(pair) == 2]
    for user, places in _going_through(lo, node, tuple(range(node.rank)), False) if pairs else ():
        along = user.attr("axes") if user.op in _SOFT else range(user.rank, len(user.space))
        assert isinstance(along, (tuple, range))
        taps = tuple(k for k, axis in enumerate(places) if axis in along)
        if len(taps) == len(pairs) and all(_is_tap(node, pair, pair & set(taps), user) for pair in pairs):
            return taps
    return ()


def _is_tap(node: Node, pair: set[int], chosen: set[int], user: Node) -> bool:
    """Whether the one chosen of two axes is a place within windows: it is short, or, where a call tells how long it is,
    an axis of its own, and the other one is what the windows leave of an axis."""
    if len(chosen) != 1:
        return False
    size, other = (node.sizes[k] for k in (*chosen, *(pair - chosen)))
    if size.value is not None or user.op in _SOFT:
        return size.value is not None
    return other.value is None and other not in map(symbol, other.symbols) and size in map(symbol, size.symbols)


def _going_through(
    lo: Lowering, node: Node, axes: tuple[int, ...], changed: bool
) -> Iterator[tuple[Node, tuple[int, ...]]]:
    """Who goes along axes of a value, or of what is made of it number by number, and where it has these axes. (Of what
    is not `changed`, there are kernels for sums and extremes.)"""
    for user in lo.users.get(node.number, ()):
        arg = next(one for one in user.args if one.node is node)
        places = tuple(arg.axes[k] for k in axes)
        if user.op in _SOFT or (user.op in _REDUCING and (changed or user.attr("op") == "logsumexp")):
            yield user, places
        elif user.op in _NUMBER_BY_NUMBER:
            yield from _going_through(lo, user, places, True)


_SOFT = frozenset({"softmax", "log_softmax"})
_REDUCING = frozenset({"reduce", "extreme"})
_NUMBER_BY_NUMBER = frozenset({*UNARY_NAMES, *BINARY_NAMES, "where", "relu", "sigmoid", "silu", "gelu", "softplus"})


def _cut_apart(lo: Lowering, node: Node) -> bool:
    """Whether all coordinates of the axis are read, one by one, and none of them is a result: its user might write to
    it, which torch does not allow where there are several views at once."""
    axis, _ = _single(node)
    size = node.args[0].node.sizes[axis].value if axis >= 0 else None
    if size is None or size < 2:
        return False
    parts = [one for one in lo.users.get(node.args[0].node.number, ()) if _single(one)[0] == axis]
    return {_single(one)[1] for one in parts} == set(range(size)) and not any(_is_shown(lo, one) for one in parts)


def _single(node: Node) -> tuple[int, int | None]:
    """The operand's axis of which one coordinate is read, and that; (-1, None) if it is otherwise."""
    entries = listed(node, "entries") if node.op == "index" else ()
    if len(entries) != 1 or entries[0][1] or entries[0][2].value is None:
        return -1, None
    return entries[0][0], entries[0][2].value


def _is_shown(lo: Lowering, node: Node) -> bool:
    """Whether it, or a view of it, is a result."""
    if node in lo.results:
        return True
    return any(one.op in _VIEWS and _is_shown(lo, one) for one in lo.users.get(node.number, ()))


_VIEWS = frozenset({"index", "split", "merge", "expand"})


def _affine(lo: Lowering, x: Value, label: int, coefficients: Coefficients, offset: SizeExpr) -> Value:
    """`x` at `label` = the sum of coefficient * axis, plus offset."""
    if not coefficients:
        left = tuple(a for a in x.axes if a != label)
        return lo.call("select", (x, x.dim(label), lo.size(offset)), left, kind=x.kind)
    if len(coefficients) == 1:
        ((axis, step),) = coefficients
        if step.value:
            if axis not in x.axes:
                return _strided(lo, x, label, axis, step.value, offset)
            x = _strided(lo, x, label, _FLAT, step.value, offset, lo.space(axis))
            left = tuple(a for a in x.axes if a not in (axis, _FLAT))
            return lo.call("diagonal", (x, 0, x.dim(axis), x.dim(_FLAT)), (*left, axis), kind=x.kind)
    order = _tiling(lo, coefficients)
    if order is not None and not any(axis in x.axes for axis in order):
        part = _strided(lo, x, label, _FLAT, 1, offset, lo.extent(order))
        return lo.unmerged(part, _FLAT, order, inline=False)
    if _are_windows(lo, x, coefficients, offset):
        (first, stride), (second, dilation) = coefficients
        axes = tuple(b for a in x.axes for b in ((first, second) if a == label else (a,)))
        sizes, steps = (tuple(map(lo.size, pair)) for pair in ((lo.space(first), lo.space(second)), (stride, dilation)))
        start = () if offset == 0 else (lo.size(offset),)
        return lo.call(windows, (x, x.dim(label), sizes, steps, *start), axes, kind=x.kind)
    return read(lo, x, label, _coordinates(lo, coefficients, offset))


def _are_windows(lo: Lowering, x: Value, coefficients: Coefficients, offset: SizeExpr) -> bool:
    """Whether two new axes go forwards along the one that is read. (What a result shares with an input, or with itself,
    its user could write to.)"""
    ahead = len(coefficients) == 2 and all((step.value or 0) > 0 for _, step in coefficients)
    free = not {axis for axis, _ in coefficients} & set(x.axes)
    return ahead and free and offset.nonnegative and not lo.prologue.inner and not _is_shown(lo, lo.node)


def _tiling(lo: Lowering, coefficients: Coefficients) -> tuple[int, ...] | None:
    """The axes from slowest to fastest if together they count every coordinate of a stretch once."""
    left, covered = dict(coefficients), size_expr(1)
    found: list[int] = []
    while left:
        axis = next((a for a, step in left.items() if step == covered), None)
        if axis is None:
            return None
        del left[axis]
        found.insert(0, axis)
        covered = covered * lo.space(axis)
    return tuple(found)


def _strided(
    lo: Lowering, x: Value, label: int, into: int, step: int, offset: SizeExpr, count: SizeExpr | None = None
) -> Value:
    """The axis `label` at offset, offset + step, …: a view, turned round by `flip` where the step is negative."""
    size = lo.space(label)
    count = lo.space(into) if count is None else count
    start = offset if step > 0 else offset + (count - 1) * step
    stop = offset + count * step if step > 0 else offset + 1
    dim = x.dim(label)
    whole = start == 0 and stop == size
    if abs(step) != 1 or not whole:
        to_end = start.nonnegative and never_negative(stop - size)
        stride = None if abs(step) == 1 else abs(step)
        part = slice(None if start == 0 else lo.size(start), None if to_end else lo.size(stop), stride)
        x = lo.call(operator.getitem, (x, (*(slice(None),) * dim, part) if dim else part), x.axes, kind=x.kind)
    if step < 0:
        x = _turned(lo, x, dim)
    return lo.renamed(x, {label: into})


def _turned(lo: Lowering, x: Value, dim: int) -> Value:
    """The same from its end, with the axes before that this node has turned round: by one call, which copies once."""
    held = x.held
    if isinstance(held, fx.Node) and held.target == "flip" and held.meta["planned"] == lo.node.number:
        inner, *dims = held.args
        return lo.call("flip", (inner, *dims, dim), x.axes, kind=x.kind)
    return lo.call("flip", (x, dim), x.axes, kind=x.kind)


def _coordinates(lo: Lowering, coefficients: Coefficients, offset: SizeExpr) -> Value:
    """The integers that an affine expression is."""
    total: Value | None = None
    for axis, step in coefficients:
        at = arange(lo, axis)
        if step != 1:
            at = lo.call(operator.mul, (at, lo.size(step)), (axis,), kind=Kind.INT, weak=True, inline=True)
        if total is None:
            total = at
        else:
            layout = (*total.axes, axis)
            column = lo.aligned(total, layout) if axis not in total.axes else total
            column = lo.call("unsqueeze", (total, -1), layout, kind=Kind.INT, weak=True, inline=True)
            total = lo.call(operator.add, (column, at), layout, kind=Kind.INT, weak=True, wish="at")
    assert total is not None
    if offset != 0:
        total = lo.call(operator.add, (total, lo.size(offset)), total.axes, kind=Kind.INT, weak=True, wish="at")
    return total
