"""Fourier transforms of reals, and back to reals.

In: a real tensor, or the frequencies up to n / 2 of one. Out: these frequencies, or n reals. What always holds: nothing
is empty (the guards say so); shorter precisions than single are computed in it.
"""

from __future__ import annotations

import torch

from namedlayers.emit.attributes import position
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node


@emits("rfft", "irfft")
def emit_real_fft(lo: Lowering, node: Node) -> Value:
    (x,) = lo.operands(node)
    axis, into = position(node, "axis"), position(node, "into")
    x, _ = lo.raised(lo.filled(lo.working(lo.tensor(x)), (axis,)))
    axes = tuple(into if a == axis else a for a in x.axes)
    if node.op == "rfft":
        return lo.call(torch.fft.rfft, (x,), axes, {"dim": x.dim(axis)})
    found = lo.call(torch.fft.irfft, (x,), axes, {"n": lo.size(lo.space(into)), "dim": x.dim(axis)})
    return lo.out_of_complex(found)
