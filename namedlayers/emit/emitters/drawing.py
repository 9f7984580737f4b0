"""Random numbers: uniform, normal, bernoulli, categorical, dropout, from torch's default generator.

In: probabilities, log weights, what drops out. Out: draws over exactly the node's axes, in their order, so that
`normal[i, j]` is what `torch.randn` gives for this shape. What always holds: reals that come from nothing have the
working precision; a probability that is none is an error of torch's, which the diagnosis explains.
"""

from __future__ import annotations

import operator

import torch

from namedlayers.emit.attributes import position, positions, word
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind

SOURCES = {"uniform": torch.rand, "normal": torch.randn}


@emits("random")
def emit_random(lo: Lowering, node: Node) -> Value:
    axes = tuple(range(node.rank))
    distribution = word(node, "distribution")
    if distribution == "bernoulli":
        drawn = lo.call(torch.bernoulli, (_every(lo, lo.operands(node)[0]),), axes, kind=Kind.REAL, inline=True)
        return lo.truth(drawn)
    shape = tuple(lo.size(lo.space(axis)) for axis in axes)
    return lo.call(SOURCES[distribution], (shape,), axes, {"dtype": lo.dtype(), **lo.device()})


@emits("categorical")
def emit_categorical(lo: Lowering, node: Node) -> Value:
    axes, axis = tuple(range(node.rank)), position(node, "axis")
    x = lo.working(lo.tensor(lo.operands(node)[0]))
    x = lo.permuted(lo.filled(x, (*axes, axis)), (*axes, axis))
    weights = lo.call(torch.softmax, (x, -1), x.axes, kind=Kind.REAL, inline=True)
    row, drawn = lo.fresh_label(), lo.fresh_label()
    weights = lo.merged(weights, axes, row) if axes else weights
    drawn_axes = (row, drawn) if axes else (drawn,)
    found = lo.call(torch.multinomial, (weights, 1, True), drawn_axes, inline=True)
    found = lo.call("squeeze", (found, -1), drawn_axes[:-1], inline=len(axes) > 1)
    return lo.unmerged(found, row, axes, inline=False) if axes else found


@emits("dropout")
def emit_dropout(lo: Lowering, node: Node) -> Value:
    x, p = lo.operands(node)
    axes = tuple(range(node.rank))
    x = lo.working(lo.tensor(x))
    x = lo.permuted(lo.filled(x, axes), axes)
    if p.number and node.kind is not Kind.COMPLEX:
        return lo.call(torch.dropout, (x, p, True), axes)
    if p.number:  # torch drops no complex numbers: a real mask does
        parts = lo.call(torch.real, (x,), axes, kind=Kind.REAL, inline=True)
        ones = lo.call(torch.ones_like, (parts,), axes, kind=Kind.REAL, inline=True)
        return lo.call(operator.mul, (x, lo.call(torch.dropout, (ones, p, True), axes, kind=Kind.REAL)), axes)
    rate = lo.call(torch.rsub, (lo.working(p), 1), (), kind=Kind.REAL, wish="rate")
    rates = lo.call("expand_as", (rate, x), axes, kind=Kind.REAL, inline=True)
    kept = lo.truth(lo.call(torch.bernoulli, (rates,), axes, kind=Kind.REAL, inline=True))
    some = lo.call(operator.ne, (rate, 0), (), kind=Kind.BOOL, inline=True)
    divisor = lo.call(torch.where, (some, rate, 1.0), (), kind=Kind.REAL, inline=True)
    scaled = lo.call(torch.div, (x, divisor), axes, inline=True)
    return lo.call(torch.where, (kept, scaled, 0.0), axes)


@emits("slice_dropout")
def emit_slice_dropout(lo: Lowering, node: Node) -> Value:
    """torch's takes the first two dimensions for what drops out apart."""
    x, q = lo.operands(node)
    axes = positions(node, "axes")
    x = lo.working(lo.filled(x, tuple(range(node.rank))))
    rest = tuple(a for a in x.axes if a not in axes)
    apart = tuple(a for a in x.axes if a in axes)
    x = lo.permuted(x, (*apart, *rest))
    group, label = apart[: max(1, len(apart) - 1)], lo.fresh_label()
    if len(apart) > 2:
        x = lo.merged(x, group, label)
    elif len(apart) == 1:
        x = lo.call("unsqueeze", (x, 0), (label, *x.axes), inline=True)
    if isinstance(q.held, (int, float)):
        rate = Value(1 - q.held, (), Kind.REAL, True, True)
    else:
        rate = lo.number(operator.sub, 1, q, kind=Kind.REAL)
    found = lo.call(torch.feature_dropout, (x, rate, True), x.axes)
    if len(apart) > 2:
        return lo.unmerged(found, label, group)
    return lo.call("squeeze", (found, 0), x.axes[1:], inline=True) if len(apart) == 1 else found


# --- helpers ----------------------------------------------------------------------------------------------------------


def _every(lo: Lowering, p: Value) -> Value:
    """A probability at every coordinate, since each is drawn apart."""
    axes = tuple(range(lo.node.rank))
    return lo.permuted(lo.filled(lo.working(lo.tensor(p)), axes), axes)
