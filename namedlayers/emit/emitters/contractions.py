"""Sums of products: step by step of two operands each, chains of matrices by their own order.

In: operands in any layouts, the axes that stay, an order of pairwise steps. Out: a tensor. What always holds: an axis
that one operand alone has and that does not stay is summed away first; what two steps compute alike is computed once.
"""

from __future__ import annotations

import operator
from collections.abc import Hashable, Sequence

from namedlayers.emit.attributes import listed
from namedlayers.emit.emitters.elementwise import elementwise
from namedlayers.emit.emitters.products import added, linear, onto, product, sum_away
from namedlayers.emit.emitters.sides import is_weight
from namedlayers.emit.emitters.waves import apart
from namedlayers.emit.kernels.chains import chain_product
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.plan.chains import Chain, chain, tree
from namedlayers.plan.layouts import laid
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind


@emits("contract")
def emit_contract(lo: Lowering, node: Node) -> Value:
    given = lo.operands(node)
    _fill_missing(lo, node, given)
    values = counted(lo, given)
    if len(values) == 1:
        return sum_away(lo, values[0], frozenset(range(node.rank)))
    matrices = chain(node)
    if matrices is not None:
        return _chained(lo, node, values, matrices)
    made: dict[Hashable, Value] = {}
    parts, wanted = apart(lo, node, given), lo.wanted()
    found = _step_by_step(lo, node, counted(lo, parts[0]) if parts else values, made)
    for part in parts[1:]:
        lo.wants[node.number] = wanted
        found = _step_by_step(lo, node, counted(lo, part), made, found)
    return found


def _step_by_step(
    lo: Lowering, node: Node, values: list[Value], made: dict[Hashable, Value], summand: Value | None = None
) -> Value:
    """`made`: what was computed before, by what it is. The last step is added to a summand that nobody else needs."""
    result = frozenset(range(node.rank))
    path = listed(node, "path")
    weights = frozenset(k for k, value in enumerate(values) if is_weight(lo, value))
    orders = laid(tuple(v.axes for v in values), path, result, lo.wanted(), weights).orders
    for pair, order in zip(path, orders, strict=True):
        lo.wants[node.number] = order
        taken = [values[k] for k in pair]
        values = [v for k, v in enumerate(values) if k not in pair]
        keep = result | {axis for v in values for axis in v.axes}
        key, names = _alike(taken, keep)
        if key in made:
            values.append(Value(made[key].held, tuple(names[axis] for axis in made[key].axes), node.kind, node.weak))
            continue
        while len(taken) > 1:
            left, right = taken[:2]
            now = keep | {axis for v in taken[2:] for axis in v.axes}
            if summand is not None and not values and len(taken) == 2:
                return added(lo, left, right, summand)
            taken = [product(lo, left, right, now, bool(values)), *taken[2:]]
        values.append(sum_away(lo, taken[0], keep))
        made[key] = lo.renamed(values[-1], {axis: number for number, axis in enumerate(names)})
    (found,) = values
    return found if summand is None else elementwise(lo, operator.add, [summand, found])


@emits("linear")
def emit_linear(lo: Lowering, node: Node) -> Value:
    x, w, b = counted(lo, lo.operands(node))
    inner = frozenset(range(node.rank, len(node.space)))
    keep = frozenset(range(node.rank))
    shared = set(x.axes) & set(w.axes)
    if shared == inner and shared and set(b.axes) == set(w.axes) - shared and node.kind is not Kind.INT:
        return linear(lo, x, w, tuple(a for a in x.axes if a not in shared), b)
    if shared == inner and shared and set(b.axes) == keep and node.kind is not Kind.INT:
        return onto(lo, x, w, b)
    return elementwise(lo, operator.add, [product(lo, x, w, keep), b])


def counted(lo: Lowering, values: Sequence[Value]) -> list[Value]:
    """The operands of a product as tensors of one kind and one precision; booleans count as integers."""
    values = lo.alike(list(values))
    return [lo.integer(v) for v in values]


def _alike(taken: Sequence[Value], keep: frozenset[int]) -> tuple[Hashable, list[int]]:
    """What two steps have in common that compute the same of the same tensors, and their axes in the order in which
    they are met: x @[i] V and x[i -> j] @[j] V[i -> j]."""
    names: list[int] = []
    for value in taken:
        names += [axis for axis in value.axes if axis not in names]
    key = tuple((value.held, value.kind, tuple(map(names.index, value.axes))) for value in taken)
    return (key, tuple(axis in keep for axis in names)), names


def _chained(lo: Lowering, node: Node, values: Sequence[Value], found: Chain) -> Value:
    """A chain of matrices, from the end that is wanted first."""
    wanted = lo.wanted()
    if wanted.index(found.axes[0]) > wanted.index(found.axes[-1]):
        found = Chain(found.matrices[::-1], found.axes[::-1])
    batch = tuple(axis for axis in wanted if axis not in (found.axes[0], found.axes[-1]))
    matrices = []
    for number, rows, columns in zip(found.matrices, found.axes, found.axes[1:], strict=False):
        value = lo.filled(values[number], node.args[number].axes)
        own = tuple(axis for axis in batch if axis in value.axes)
        matrices.append(lo.aligned(lo.permuted(value, (*own, rows, columns)), (*batch, rows, columns)))
    order = tree(node.attr("path"), found.matrices)  # type: ignore[arg-type]
    sizes = {} if batch else {"sizes": tuple(lo.size(lo.space(axis)) for axis in found.axes)}
    return lo.call(chain_product, (order, *matrices), (*batch, found.axes[0], found.axes[-1]), sizes)


def _fill_missing(lo: Lowering, node: Node, values: list[Value]) -> None:
    """An axis that goes and that no operand really has still counts: as often as it is long."""
    for axis in range(node.rank, len(node.space)):
        holders = [k for k, arg in enumerate(node.args) if axis in arg.axes]
        if holders and not any(axis in values[k].axes for k in holders):
            values[holders[0]] = lo.filled(values[holders[0]], (axis,))
