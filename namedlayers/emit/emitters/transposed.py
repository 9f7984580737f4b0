"""Transposed convolutions.

In: operands with any axes. Out: a tensor (batch…, channels…, space…). What always holds: the kernels get one batch
axis, input channels first in the weights, and up to three space axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F

from namedlayers.emit.attributes import listed
from namedlayers.emit.emitters.windows import IN, OUT, operands, say, together
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value, own
from namedlayers.program.graph import Node
from namedlayers.program.size import size_expr

TRANSPOSED: tuple[Callable, ...] = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


@emits("conv_transpose")
def emit_conv_transpose(lo: Lowering, node: Node) -> Value:
    space = [(own(source), *rest) for source, *rest in listed(node, "space")]
    them = operands(lo, node, tuple(axis[2] for axis in space))
    x = them.data(lo, them.x, tuple(axis[0] for axis in space))
    w = lo.permuted(them.w, (*them.groups, *them.channels, *them.outs, *them.kernels))
    w = together(lo, w, (*them.groups, *them.channels), IN, 0)
    w = together(lo, w, them.outs, OUT, 1)
    options: dict[str, Any] = {}
    for place, (name, default) in enumerate((("stride", 1), ("dilation", 1), ("padding", 0), ("output_padding", 0)), 3):
        say(lo, options, name, [size_expr(axis[place]) for axis in space], default)
    if them.groups:
        options["groups"] = lo.size(lo.extent(them.groups))
    axes = (*them.lead, OUT, *(axis[1] for axis in space))
    found = lo.call(TRANSPOSED[len(space) - 1], (x, w, *them.biases(lo)), axes, options)
    return them.restored(lo, found)
