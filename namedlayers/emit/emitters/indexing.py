"""Reading by computed coordinates: slices where they are affine, gathers elsewhere.

In: a tensor, and where to read along some of its axes. Out: a tensor in whose layout new axes stand where the old one
was. What always holds: affine reads of one axis are views, and so are windows that tile; nothing is emitted as
`unfold`; an index that is not proved to be in range goes to a torch function that checks it.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from namedlayers.emit.attributes import listed, position, positions, size_of
from namedlayers.emit.emitters import pieces
from namedlayers.emit.emitters.elementwise import elementwise
from namedlayers.emit.emitters.numbers import arange
from namedlayers.emit.kernels.rows import rows
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.sizes import never_negative
from namedlayers.emit.value import Value, own
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, size_expr

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
    return x


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
    return read(lo, x, label, _coordinates(lo, coefficients, offset))


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
        x = lo.call("flip", (x, dim), x.axes, kind=x.kind)
    return lo.renamed(x, {label: into})


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


# --- reading by tensors -----------------------------------------------------------------------------------------------


def read(lo: Lowering, x: Value, label: int, at: Value) -> Value:
    """`x` at `label` = `at`; axes that both have are aligned. torch checks the range."""
    if any(axis in x.axes for axis in at.axes):
        return _aligned_read(lo, x, label, at)
    dim, at = x.dim(label), _readable(lo, at)
    if dim == 0 and len(x.axes) == 2 and at.axes and x.kind is Kind.REAL:
        return lo.call(torch.embedding, (x, at), (*at.axes, *x.axes[1:]), kind=x.kind, wish="row")
    flat = at if len(at.axes) == 1 else lo.call("reshape", (at, -1), (_FLAT,), kind=Kind.INT, inline=True)
    several = len(at.axes) != 1
    found = lo.call(
        torch.index_select, (x, dim, flat), (*x.axes[:dim], _FLAT, *x.axes[dim + 1 :]), kind=x.kind, inline=several,
        wish="read",
    )  # fmt: skip
    sizes = [lo.size(lo.space(a)) for a in at.axes]
    return lo.split(found, _FLAT, at.axes, sizes, inline=False)


@emits("embedding")
def emit_embedding(lo: Lowering, node: Node) -> Value:
    x, at = lo.operands(node)
    label = own(node.args[0].axes.index(-1))
    x, at = lo.filled(lo.tensor(x), (label,)), lo.tensor(at)
    x, at = lo.permuted(x, (label, *(a for a in x.axes if a != label))), _readable(lo, at)
    axes = (*at.axes, *x.axes[1:])
    return lo.call(torch.embedding, (x, at), axes, {"padding_idx": node.attr("row")}, kind=x.kind, wish="row")


def as_index(at: Tensor) -> Tensor:
    """Integers of 32 or 64 bits, which torch's kernels read by.

    >>> as_index(torch.tensor([1, 2], dtype=torch.uint8))
    tensor([1, 2])
    """
    return at if at.dtype is torch.int64 or at.dtype is torch.int32 else at.long()


def as_long(at: Tensor) -> Tensor:
    """Integers of 64 bits, which torch's other kernels want. (`.to` would ask ten times as long what there is to do.)

    >>> as_long(torch.tensor([1, 2], dtype=torch.int32))
    tensor([1, 2])
    """
    return at if at.dtype is torch.int64 else at.long()


def _readable(lo: Lowering, at: Value) -> Value:
    return lo.call(as_index, (at,), at.axes, kind=Kind.INT, weak=at.weak, inline=True)


def _aligned_read(lo: Lowering, x: Value, label: int, at: Value) -> Value:
    """Along axes that both have each coordinate reads its own row: `gather`."""
    new = tuple(a for a in at.axes if a not in x.axes)
    sizes = [lo.size(lo.space(a)) for a in new]
    shared = tuple(a for a in x.axes if a in at.axes)
    at = lo.merged(lo.permuted(at, (*shared, *new)), new, _FLAT)
    layout = tuple(_FLAT if a == label else a for a in x.axes)
    at = _with_dimensions(lo, at, layout)
    if len(at.axes) > len(shared) + 1:
        shape = [-1 if a == _FLAT or a in shared else lo.size(lo.space(a)) for a in layout]
        at = lo.call("expand", (at, *shape), layout, kind=Kind.INT, inline=True)
    at = lo.call(as_long, (at,), at.axes, kind=Kind.INT, weak=at.weak, inline=True)
    found = lo.call(torch.gather, (x, x.dim(label), at), layout, kind=x.kind, inline=len(new) != 1, wish="read")
    return lo.split(found, _FLAT, new, sizes, inline=False)


def _with_dimensions(lo: Lowering, value: Value, layout: tuple[int, ...]) -> Value:
    """Aligned, with a dimension of size 1 for each axis that it lacks, leading ones too."""
    value = lo.permuted(value, [a for a in layout if a in value.axes])
    for place, axis in enumerate(layout):
        if axis not in value.axes:
            axes = (*value.axes[:place], axis, *value.axes[place:])
            value = lo.call("unsqueeze", (value, place), axes, kind=value.kind, weak=value.weak, inline=True)
    return value


@emits("gather")
def emit_gather(lo: Lowering, node: Node) -> Value:
    axes = positions(node, "axes")
    x, *rest = lo.operands(node)
    indices = [lo.integer(lo.tensor(v)) for v in rest[: len(axes)]]
    fill = rest[len(axes)] if node.attr("fill") else None
    return _gathered(lo, x, [own(k) for k in axes], indices, fill)


@emits("take")
def emit_take(lo: Lowering, node: Node) -> Value:
    x, index = lo.operands(node)
    if node.attr("fill") and _has_rows(lo, x, index, own(position(node, "axis"))):
        return lo.call(rows, (x, _readable(lo, lo.integer(index))), (*index.axes, *x.axes[1:]), kind=x.kind, wish="row")
    fill = Value(0, (), Kind.BOOL if node.kind is Kind.BOOL else Kind.INT, True, True) if node.attr("fill") else None
    return _gathered(lo, x, [own(position(node, "axis"))], [lo.integer(lo.tensor(index))], fill)


def _has_rows(lo: Lowering, x: Value, index: Value, label: int) -> bool:
    """Whether this reads rows of a table that is not empty."""
    if len(x.axes) != 2 or x.axes[0] != label or x.kind is not Kind.REAL or x.number or not index.axes:
        return False
    return not set(index.axes) & set(x.axes) and lo.assume(lo.space(label))


def _gathered(lo: Lowering, x: Value, labels: list[int], indices: list[Value], fill: Value | None) -> Value:
    """`x` at each of `labels` = its index; `fill`, if given, where any index is out of range."""
    sizes = [lo.space(label) for label in labels]
    x = lo.filled(x, labels)
    valid = _in_range(lo, indices, sizes) if fill is not None or len(labels) > 1 else None
    at, label = indices[0], labels[0]
    if len(labels) > 1:
        label = _FLAT - 1
        x = lo.merged(x, labels, label)
        for index, size in zip(indices[1:], sizes[1:], strict=True):
            at = elementwise(lo, operator.mul, [at, Value(lo.size(size), (), Kind.INT, True, True)], kind=Kind.INT)
            at = elementwise(lo, operator.add, [at, index], kind=Kind.INT)
    if valid is None:
        return read(lo, x, label, at)
    outside = Value(-1 if fill is None else 0, (), Kind.INT, True, True)  # -1 is refused by whatever reads
    if fill is not None and not lo.assume(*sizes):
        pads = (0, 0) * (len(x.axes) - 1 - x.dim(label)) + (1, 0)  # so that there is something to read
        x = lo.call(F.pad, (x, pads), x.axes, kind=x.kind)
        at = lo.call(operator.add, (at, 1), at.axes, kind=Kind.INT)
    at = elementwise(lo, torch.where, [valid, at, outside], kind=Kind.INT)
    found = read(lo, x, label, at)
    if fill is None:
        return found
    found, fill = lo.meet([found, fill])
    if found.kind is not lo.node.kind and not fill.number:
        found, fill = lo.alike([found, fill])
    return elementwise(lo, torch.where, [valid, found, fill])


def _in_range(lo: Lowering, indices: Sequence[Value], sizes: Sequence[SizeExpr]) -> Value:
    found: Value | None = None
    for index, size in zip(indices, sizes, strict=True):
        low = lo.call(operator.ge, (index, 0), index.axes, kind=Kind.BOOL, inline=True)
        high = lo.call(operator.lt, (index, lo.size(size)), index.axes, kind=Kind.BOOL, inline=True)
        both = lo.call(operator.and_, (low, high), index.axes, kind=Kind.BOOL, wish="valid")
        found = both if found is None else elementwise(lo, operator.and_, [found, both], kind=Kind.BOOL)
    assert found is not None
    return found


# --- adding up where indices say --------------------------------------------------------------------------------------


@emits("put")
def emit_put(lo: Lowering, node: Node) -> Value:
    x, index = lo.operands(node)
    x = lo.integer(lo.tensor(x)) if node.kind is Kind.INT else lo.working(lo.tensor(x))
    index = lo.integer(lo.tensor(index))
    axis = position(node, "axis")
    gone = tuple(range(node.rank, len(node.space)))
    kept = tuple(a for a in range(node.rank) if a != axis and a in index.axes)
    length = node.space[axis]
    valid = _in_range(lo, [index], [length])
    beyond = Value(lo.size(length), (), Kind.INT, True, True)
    index = elementwise(lo, torch.where, [valid, index, beyond], kind=Kind.INT)
    x = lo.filled(x, (*gone, *kept))
    index = lo.filled(index, gone)
    return _added(lo, x, index, gone, axis, lo.size(length + 1), slice(None, lo.size(length)))


def _added(
    lo: Lowering, x: Value, index: Value, gone: tuple[int, ...], axis: int, held: fx.Node | int, part: slice
) -> Value:
    """The sum of `x` over `gone` at the coordinate that `index` gives: `part` of an axis of size `held`, as `axis`."""
    shared = tuple(a for a in x.axes if a in index.axes and a not in gone)
    rest = tuple(a for a in x.axes if a not in gone and a not in shared)
    x = lo.merged(lo.permuted(x, (*shared, *gone, *rest)), gone, _FLAT)
    index = lo.merged(lo.permuted(index, (*shared, *gone)), gone, _FLAT)
    dim = len(shared)
    shape = [lo.size(lo.space(a)) for a in (*shared, *rest)]
    shape.insert(dim, held)
    layout = (*shared, axis, *rest)
    base = lo.call("new_zeros", (x, tuple(shape)), layout, kind=x.kind, inline=True)
    if shared:
        index = _with_dimensions(lo, index, x.axes)
        index = lo.call("expand", (index, *(lo.size(lo.space(a)) if a != _FLAT else -1 for a in x.axes)), x.axes,
                        kind=Kind.INT, inline=True)  # fmt: skip
        found = lo.call("scatter_add", (base, dim, index, x), layout)
    else:
        found = lo.call("index_add", (base, dim, index, x), layout)
    return lo.call(operator.getitem, (found, (*(slice(None),) * dim, part) if dim else part), layout)


@emits("fold")
def emit_fold(lo: Lowering, node: Node) -> Value:
    x = lo.integer(lo.tensor(lo.operand(node.args[0])))
    result, kernel = position(node, "axis"), position(node, "kernel")
    source = own(node.args[0].axes.index(-1))
    padding, length = size_of(node, "padding"), size_of(node, "padding") + size_of(node, "size")
    windows, taps = lo.space(source), lo.space(kernel)
    at = lo.call(torch.arange, (lo.size(windows),), (source,), lo.device(), kind=Kind.INT, weak=True, wish="at")
    at = _times(lo, at, size_of(node, "stride"))
    tap = _times(lo, arange(lo, kernel), size_of(node, "dilation"))
    column = lo.call("unsqueeze", (at, -1), (source, kernel), kind=Kind.INT, inline=True)
    index = lo.call(operator.add, (column, tap), (source, kernel), kind=Kind.INT, wish="at")
    x = lo.filled(x, (source, kernel))
    # Windows may reach beyond the result on either side: what lies there is added too, and cut off.
    reach = windows * size_of(node, "stride") + taps * size_of(node, "dilation")
    held = lo.inline(torch.sym_max, lo.size(reach), lo.size(length))
    return _added(lo, x, index, (source, kernel), result, held, slice(lo.size(padding), lo.size(length)))


def _times(lo: Lowering, at: Value, step: SizeExpr) -> Value:
    if step == 1:
        return at
    return lo.call(operator.mul, (at, lo.size(step)), at.axes, kind=Kind.INT, weak=True, inline=True)
