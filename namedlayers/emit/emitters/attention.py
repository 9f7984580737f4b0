"""Attention: `scaled_dot_product_attention` on (batch, batch, query, feature) tensors.

In: operands with any axes in any layout. Out: a tensor (batch…, query…, value…). What always holds: the kernel sees
four dimensions and equal batches, as its fast variants need; a row that is masked entirely gives 0; nothing is scaled
that the formula does not scale.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import fx

from namedlayers.emit.attributes import listed, positions
from namedlayers.emit.emitters.bands import band
from namedlayers.emit.emitters.elementwise import elementwise
from namedlayers.emit.emitters.numbers import arange
from namedlayers.emit.kernels.attending import scaled_dot_product_attention
from namedlayers.emit.kernels.banded import banded_attention
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value, adjacent
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const

_QUERY, _POSITION, _FEATURE, _VALUE, _BATCH, _ONE, _HEADS = -101, -102, -103, -104, -105, -106, -107


@dataclass(frozen=True, slots=True)
class _Roles:
    """Which axes do what, each group in the order in which it is flattened."""

    batch: tuple[int, ...]
    query: tuple[int, ...]
    position: tuple[int, ...]
    feature: tuple[int, ...]
    value: tuple[int, ...]


@emits("attention")
def emit_attention(lo: Lowering, node: Node) -> Value:
    names = listed(node, "roles")
    given = dict(zip(names, lo.operands(node), strict=True))
    given |= dict(zip(("query", "key", "value"), lo.alike([given[r] for r in ("query", "key", "value")]), strict=True))
    roles = _roles_of(lo, node, given)
    query, options = _scaled(lo, given["query"], given.get("scale"), names, roles)
    causal = positions(node, "causal")
    seen = _seen(node, names, roles, causal)
    if seen is not None:
        place, ends = seen
        # Heads that share keys are heads like others here.
        roles = replace(roles, batch=(*roles.batch, *(a for a in roles.query if a != place)), query=(place,))
        numbers = (Value(lo.size(end), (), Kind.INT, True, True) for end in ends)
        operands = (*_four(lo, query, given["key"], given["value"], roles), *numbers)
        return _out_of_four(lo, operands, options, roles, banded_attention)
    mask = _mask(lo, given, query)
    if causal:
        if mask is None and causal[0] in roles.query and roles.position == causal[1:]:
            options["is_causal"] = True
            if len(roles.query) > 1:
                return _in_groups(lo, (query, given["key"], given["value"]), options, roles, causal[0])
        else:
            mask = _causal_mask(lo, mask, *causal)
    if mask is not None:
        mask = mask if mask.axes else lo.filled(mask, roles.position)
    elif len(roles.query) > 1 and not causal:
        options["members"] = lo.size(lo.extent(roles.query[:-1]))
    return _in_batches(lo, (query, given["key"], given["value"]), mask, options, roles)


def _seen(
    node: Node, names: tuple[str, ...], roles: _Roles, causal: tuple[int, ...]
) -> tuple[int, tuple[SizeExpr, SizeExpr]] | None:
    """The axis of the queries' places, and how far a query sees before and after its own, if nothing else is said about
    what it sees."""
    if "allow" not in names or "mask" in names or len(roles.position) != 1:
        return None
    for place in roles.query:
        found = band(node.args[names.index("allow")], place, roles.position[0])
        if found is None or found.before is None:
            continue
        if causal == (place, *roles.position) and found.after is None:
            return place, (found.before, const(0))
        if not causal and found.after is not None:
            return place, (found.before, found.after)
    return None


def _four(lo: Lowering, query: Value, key: Value, value: Value, roles: _Roles) -> tuple[Value, Value, Value]:
    """The operands as the kernel takes them."""
    return (
        _in_four(lo, query, roles, (roles.query, _QUERY), (roles.feature, _FEATURE)),
        _in_four(lo, key, roles, (roles.position, _POSITION), (roles.feature, _FEATURE)),
        _in_four(lo, value, roles, (roles.position, _POSITION), (roles.value, _VALUE)),
    )


def _out_of_four(
    lo: Lowering, operands: tuple[Value, ...], options: dict, roles: _Roles,
    kernel: Callable = scaled_dot_product_attention,
) -> Value:  # fmt: skip
    """The kernel's result with the axes that the formula has."""
    batch = roles.batch if len(roles.batch) == 2 else (_ONE, _BATCH)
    plain = len(roles.batch) == 2 and len(roles.query) == len(roles.value) == 1
    found = lo.call(kernel, operands, (*batch, _QUERY, _VALUE), options, kind=Kind.REAL, inline=not plain)
    found = _restored(lo, found, _VALUE, roles.value)
    found = _restored(lo, found, _QUERY, roles.query)
    if len(roles.batch) < 2:
        drop = 0 if roles.batch else (0, 1)
        axes = (*roles.batch, *found.axes[2:])
        found = lo.call("squeeze", (found, drop), axes, kind=Kind.REAL, inline=True)
    elif len(roles.batch) > 2:
        found = lo.call("squeeze", (found, 0), found.axes[1:], kind=Kind.REAL, inline=True)
        found = _restored(lo, found, _BATCH, roles.batch)
    assert isinstance(found.held, fx.Node)
    found.held.meta.pop("inline", None)
    return found


def _in_batches(
    lo: Lowering, operands: tuple[Value, Value, Value], mask: Value | None, options: dict, roles: _Roles
) -> Value:  # fmt: skip
    """Of many batch axes one stays as the kernel's heads, if the others lie in one piece then: windows and rows are
    merged where they are, and a mask that heads alone have is read by all of them."""
    outer: tuple[int, ...] = ()
    for heads in reversed(roles.batch if len(roles.batch) > 2 else ()):
        others = tuple(axis for axis in roles.batch if axis != heads)
        if all(adjacent(one.axes, others) for one in operands if set(others) <= set(one.axes)):
            outer, roles = others, replace(roles, batch=(_BATCH, heads))
            break
    sizes = [lo.size(lo.space(axis)) for axis in outer]
    if outer:
        query, key, value = (lo.merged(lo.filled(one, outer), outer, _BATCH) for one in operands)
        operands = (query, key, value)
        if mask is not None and set(outer) & set(mask.axes):
            mask = lo.merged(lo.filled(mask, outer), outer, _BATCH)
    if mask is not None:
        options["attn_mask"] = _in_four(lo, mask, roles, (roles.query, _QUERY), (roles.position, _POSITION), loose=True)
    found = _out_of_four(lo, _four(lo, *operands, roles), options, roles)
    return lo.split(found, _BATCH, outer, sizes, inline=False) if outer else found


def _in_groups(lo: Lowering, operands: tuple[Value, Value, Value], options: dict, roles: _Roles, place: int) -> Value:
    """The query has other axes beside its place: heads that share keys and values, which the kernel knows by their
    number: as many times as many as the heads of these, which are an axis of all three (one, if there is none)."""
    members = tuple(a for a in roles.query if a != place)
    sized = [a for a in roles.batch if (lo.space(a).value or 0) > 0]
    group = tuple(a for a in operands[0].axes if a in sized)[-1:]
    outer = tuple(a for a in roles.batch if a not in group)
    heads = (*group, *members)
    sizes = {label: [lo.size(lo.space(a)) for a in axes] for label, axes in ((_HEADS, heads), (_BATCH, outer))}
    query, key, value = (
        lo.merged(_filled_in(lo, one, (*outer, *own)), own, _HEADS)
        for one, own in zip(operands, (heads, group, group), strict=True)
    )
    if outer:
        query, key, value = (lo.merged(one, outer, _BATCH) for one in (query, key, value))
    batch = (_BATCH, _HEADS) if outer else (_HEADS,)
    inside = replace(roles, batch=batch, query=(place,))
    found = _out_of_four(lo, _four(lo, query, key, value, inside), {**options, "enable_gqa": True}, inside)
    found = lo.split(found, _HEADS, heads, sizes[_HEADS], inline=len(outer) > 1)
    return (
        lo.split(found, _BATCH, outer, sizes[_BATCH], inline=False) if len(outer) > 1 else _named_as(lo, found, outer)
    )


def _filled_in(lo: Lowering, value: Value, axes: tuple[int, ...]) -> Value:
    value = lo.filled(value, axes)
    return lo.permuted(value, (*axes, *(a for a in value.axes if a not in axes)))


def _named_as(lo: Lowering, value: Value, outer: tuple[int, ...]) -> Value:
    return lo.renamed(value, {_BATCH: outer[0]}) if outer else value


def _restored(lo: Lowering, value: Value, label: int, group: tuple[int, ...]) -> Value:
    return lo.unmerged(value, label, group)


def _roles_of(lo: Lowering, node: Node, given: dict[str, Value]) -> _Roles:
    """Groups in the layouts of the operands, so that flattening is a view where it can be."""
    query, key, value = (given[name] for name in ("query", "key", "value"))
    masks = [given[name] for name in ("mask", "allow") if name in given]
    result = frozenset(range(node.rank))
    holders = dict(zip(listed(node, "roles"), node.args, strict=True))
    logical = {name: frozenset(holders[name].axes) for name in holders}
    others = frozenset().union(*(logical[name] for name in ("key", "value")))
    masking = (logical[name] for name in ("mask", "allow") if name in logical)
    spoken = frozenset().union(logical["query"], logical["key"], *masking)
    queries = (logical["query"] & result) - others
    values = (logical["value"] & result) - spoken
    gone = frozenset(range(node.rank, len(node.space)))
    features = gone & logical["query"] & logical["key"] - logical["value"]
    positions = gone - features
    batch = result - queries - values
    # In the order of one that has most of these axes: what a query lacks (as learned ones do) it is repeated along.
    holding = sorted((query, key, value, *masks), key=lambda one: -len(batch.intersection(one.axes)))
    return _Roles(
        _ordered(batch, holding),
        _ordered(queries, (query, *masks)),
        _ordered(positions, (key, value, *masks)),
        _ordered(features, (query, key)),
        _ordered(values, (value,)),
    )


def _ordered(group: frozenset[int], values: Iterable[Value]) -> tuple[int, ...]:
    found = dict.fromkeys(axis for value in values for axis in value.axes if axis in group)
    return (*found, *sorted(group - found.keys()))


def _in_four(
    lo: Lowering, value: Value, roles: _Roles, rows: tuple[tuple[int, ...], int], columns: tuple[tuple[int, ...], int],
    *, loose: bool = False,
) -> Value:  # fmt: skip
    """(batch, batch, rows, columns). `loose`: where the value is the same along an axis, size 1 will do."""
    groups = [rows, columns]
    batch = roles.batch
    for group, _ in groups:
        if not loose or (len(group) > 1 and any(a in value.axes for a in group)):
            value = lo.filled(value, group)
    if not loose or (len(batch) > 2 and any(a in value.axes for a in batch)):
        value = lo.filled(value, batch)
    order = (*(a for a in batch if a in value.axes), *(a for group, _ in groups for a in group if a in value.axes))
    value = lo.permuted(value, order)
    for group, label in groups:
        if all(a in value.axes for a in group) and group:
            value = lo.merged(value, group, label)
    if len(batch) > 2 and all(a in value.axes for a in batch):
        value = lo.merged(value, batch, _BATCH)
    leading = batch if len(batch) == 2 else (_ONE, *batch) if len(batch) == 1 else (_ONE, _BATCH)
    layout = (*leading, rows[1], columns[1])
    # The kernel takes a mask of two or of four dimensions.
    two = rows[1] in value.axes and set(value.axes) <= {rows[1], columns[1]}
    return lo.aligned(value, layout) if loose and two else _in_front(lo, value, layout)


def _in_front(lo: Lowering, value: Value, layout: tuple[int, ...]) -> Value:
    """Aligned, with a dimension for every axis of the layout."""
    if set(value.axes) == set(layout):
        return lo.permuted(value, layout)
    index = tuple(slice(None) if a in value.axes else None for a in layout)
    while index and index[-1] == slice(None):
        index = index[:-1]
    if index.count(None) == 1:
        place = index.index(None)
        return lo.call("unsqueeze", (value, place), layout, kind=value.kind, weak=value.weak, inline=True)
    return lo.call(operator.getitem, (value, index), layout, kind=value.kind, weak=value.weak, inline=True)


def _scaled(
    lo: Lowering, query: Value, scale: Value | None, names: tuple[str, ...], roles: _Roles
) -> tuple[Value, dict[str, object]]:
    """The query and the kernel's `scale`, which it is left to choose where it chooses what the formula says."""
    if scale is None:
        return query, {"scale": 1.0}
    if _is_usual(lo, lo.node.args[names.index("scale")].node, lo.extent(roles.feature)):
        return query, {}
    if scale.number:
        return query, {"scale": scale}
    query, scale = lo.meet([query, scale], Kind.REAL)
    return elementwise(lo, operator.mul, [query, scale], kind=Kind.REAL), {"scale": 1.0}


def _is_usual(lo: Lowering, scale: Node, features: SizeExpr) -> bool:
    """Whether this is 1 / sqrt(features)."""
    inner = None
    if scale.op == "rsqrt":
        inner = scale.args[0].node
    elif scale.op == "div" and _is_number(scale.args[0].node, 1) and scale.args[1].node.op == "sqrt":
        inner = scale.args[1].node.args[0].node
    elif scale.op == "div" and _is_number(scale.args[0].node, 1) and _is_power(scale.args[1].node, 0.5):
        inner = scale.args[1].node.args[0].node
    elif _is_power(scale, -0.5):
        inner = scale.args[0].node
    if inner is None:
        return False
    return inner.op == "size" and inner.attr("expr") == features or _is_number(inner, features.value)


def _is_power(node: Node, exponent: float) -> bool:
    return node.op == "pow" and _is_number(node.args[1].node, exponent)


def _is_number(node: Node, value: float | None) -> bool:
    if value is None or node.op != "const":
        return False
    kind, digits = node.attr("kind"), str(node.attr("digits"))
    return (kind == "float" and float.fromhex(digits) == value) or (kind == "int" and int(digits, 16) == value)


def _mask(lo: Lowering, given: dict[str, Value], query: Value) -> Value | None:
    """What is added to the scores, or the boolean that says which count; both joined if there are both."""
    mask, allow = given.get("mask"), given.get("allow")
    if mask is not None:
        _, mask = lo.meet([query, lo.tensor(mask, like=query)], Kind.REAL)
        if mask.kind is not Kind.REAL or mask.weak:
            mask = lo.cast(mask, lo.dtype_of(query), Kind.REAL)
    if allow is None:
        return mask
    allow = lo.tensor(lo.truth(allow))
    if mask is None:
        return allow
    return elementwise(lo, torch.where, [allow, mask, Value(-math.inf, (), Kind.REAL, True, True)], kind=Kind.REAL)


def _causal_mask(lo: Lowering, mask: Value | None, query: int, position: int) -> Value:
    at, until = arange(lo, position), arange(lo, query)
    allow = elementwise(lo, operator.le, [at, until], kind=Kind.BOOL)
    if mask is None:
        return allow
    if mask.kind is Kind.BOOL:
        return elementwise(lo, operator.and_, [allow, mask], kind=Kind.BOOL)
    return elementwise(lo, torch.where, [allow, mask, Value(-math.inf, (), Kind.REAL, True, True)], kind=Kind.REAL)
