"""Convolutions of sequences with long kernels of their own.

In: a sequence, its weights, perhaps a bias, with any axes. Out: a tensor (batch…, channels…, places). What always
holds: the kernel gets one batch axis, one channel axis and the places last; weights that are read from their end are
read so by the kernel.
"""

from __future__ import annotations

from namedlayers.emit.attributes import listed
from namedlayers.emit.emitters.windows import OUT, operands, together
from namedlayers.emit.kernels.long_convolution import long_convolution
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value, own
from namedlayers.program.graph import Node
from namedlayers.program.size import size_expr


@emits("long_conv")
def emit_long_conv(lo: Lowering, node: Node) -> Value:
    ((axis, position, kernel, _, _, *padding),) = listed(node, "space")
    source = own(axis)
    them = operands(lo, node, (kernel,))
    x = them.data(lo, them.x, (source,))
    w = together(lo, lo.permuted(them.w, (*them.groups, *them.outs, kernel)), (*them.groups, *them.outs), OUT, 0)
    bias = them.biases(lo) or (None,)
    sizes = (*(lo.size(size_expr(more)) for more in padding), lo.size(lo.extent(them.groups)))
    options = {name: True for name in ("around", "turned") if node.attr(name)}
    found = lo.call(long_convolution, (x, w, *bias, *sizes), (*them.lead, OUT, position), options)
    return them.restored(lo, found)
