"""Fourier transforms of reals, and back to reals; transforms that are written as sums.

In: a real tensor, or the frequencies up to n / 2 of one. Out: these frequencies, or n reals. What always holds: nothing
is empty (the guards say so); shorter precisions than single are computed in it.
"""

from __future__ import annotations

import torch

from namedlayers.emit.attributes import position
from namedlayers.emit.kernels.harmonics import harmonics
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr


@emits("harmonics")
def emit_harmonics(lo: Lowering, node: Node) -> Value:
    (x,) = lo.operands(node)
    axis, into = position(node, "axis"), position(node, "into")
    x = lo.filled(lo.working(lo.tensor(x)), (axis,))
    raised, back = lo.raised(x)
    period = node.attr("period")
    assert isinstance(period, SizeExpr)
    sizes = (raised.dim(axis), lo.size(lo.space(into)), lo.size(period))
    axes = tuple(into if a == axis else a for a in raised.axes)
    found = lo.call(harmonics, (raised, *sizes, *(node.attr(name) for name in ("wave", "sign", "moved"))), axes)
    return back(found) if node.kind is Kind.REAL else found


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
