"""Transposed convolutions.

In: operands with any axes. Out: a tensor (batch…, channels…, space…). What always holds: the kernels get one batch
axis, input channels first in the weights, and up to three space axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F

from namedlayers.emit.attributes import listed
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value, own
from namedlayers.emit.windows import BATCH, CHANNELS, IN, OUT, leading, ordered, restored, say
from namedlayers.program.graph import Node
from namedlayers.program.size import size_expr

TRANSPOSED: tuple[Callable, ...] = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


@emits("conv_transpose")
def emit_conv_transpose(lo: Lowering, node: Node) -> Value:
    space = [(own(source), *rest) for source, *rest in listed(node, "space")]
    values = lo.alike(lo.operands(node))
    x, w = values[0], values[1]
    sources, kernels = tuple(axis[0] for axis in space), tuple(axis[2] for axis in space)
    in_x, in_w = frozenset(node.args[0].axes), frozenset(node.args[1].axes)
    result = frozenset(range(node.rank))
    inner = frozenset(range(node.rank, len(node.space))) - frozenset(kernels)
    groups = tuple(a for a in range(node.rank) if a in in_x and a in in_w)
    batch = tuple(a for a in x.axes if a in result and a not in in_w)
    channels = ordered(inner, x, w)
    outs = ordered((in_w & result) - frozenset(groups), w)
    x = lo.filled(x, (*groups, *inner, *sources))
    w = lo.filled(w, (*groups, *outs, *inner, *kernels))
    x = lo.permuted(x, (*batch, *groups, *channels, *sources))
    x = lo.merged(x, (*groups, *channels), CHANNELS) if groups or channels else leading(lo, x, CHANNELS, len(batch))
    x = lo.merged(x, batch, BATCH) if batch else x
    w = lo.permuted(w, (*groups, *channels, *outs, *kernels))
    w = lo.merged(w, (*groups, *channels), IN) if groups or channels else leading(lo, w, IN, 0)
    w = lo.merged(w, outs, OUT) if outs else leading(lo, w, OUT, 1)
    args: tuple = (x, w)
    if node.attr("bias"):
        b = lo.permuted(lo.filled(values[2], (*groups, *outs)), (*groups, *outs))
        args = (x, w, lo.merged(b, b.axes, OUT) if b.axes else leading(lo, b, OUT, 0))
    options: dict[str, Any] = {}
    for place, (name, default) in enumerate((("stride", 1), ("dilation", 1), ("padding", 0), ("output_padding", 0)), 3):
        say(lo, options, name, [size_expr(axis[place]) for axis in space], default)
    if groups:
        options["groups"] = lo.size(lo.extent(groups))
    axes = (*((BATCH,) if batch else ()), OUT, *(axis[1] for axis in space))
    found = lo.call(TRANSPOSED[len(space) - 1], args, axes, options)
    return restored(lo, found, batch, (*groups, *outs))
