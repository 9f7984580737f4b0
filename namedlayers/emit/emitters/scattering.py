"""Adding up where indices say: what is scattered, and windows that overlap.

In: values, and the coordinates at which each is added. Out: their sums. What always holds: what windows add beyond the
result is added to a place that is cut off, so that nothing has to be left out before.
"""

from __future__ import annotations

import operator

import torch
from torch import fx

from namedlayers.emit.attributes import position, size_of
from namedlayers.emit.emitters.gathering import with_dimensions
from namedlayers.emit.emitters.numbers import arange
from namedlayers.emit.kernels.adding import added, counted
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value, own
from namedlayers.plan.view import constant
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr

_FLAT = -201


@emits("put")
def emit_put(lo: Lowering, node: Node) -> Value:
    x, index = lo.operands(node)
    index = lo.integer(lo.tensor(index))
    axis = position(node, "axis")
    gone = tuple(range(node.rank, len(node.space)))
    batch = tuple(a for a in lo.wanted() if a != axis and a in index.axes)
    index = lo.filled(index, gone)
    index = lo.merged(lo.permuted(index, (*batch, *gone)), gone, _FLAT)
    count = lo.size(node.space[axis])
    if constant(node.args[0].node) == 1:
        dtype = torch.int64 if node.kind is Kind.INT else lo.dtype()
        return lo.call(counted, (index, count, dtype), (*batch, axis))
    x = lo.integer(lo.tensor(x)) if node.kind is Kind.INT else lo.working(lo.tensor(x))
    x = lo.filled(x, (*batch, *gone))
    rest = tuple(a for a in x.axes if a not in batch and a not in gone)
    x = lo.merged(lo.permuted(x, (*batch, *gone, *rest)), gone, _FLAT)
    return lo.call(added, (x, index, count), (*batch, axis, *rest))


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
        index = with_dimensions(lo, index, x.axes)
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
