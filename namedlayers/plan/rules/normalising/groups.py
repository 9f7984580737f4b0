"""Normalisation in groups: an axis that is split, standardized over one part and other axes, and put together again."""

from __future__ import annotations

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.view import Scope, constant
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr

Found = tuple[Arg, Arg, tuple[int, ...], SizeExpr]
"""X with the split axis at the result's, eps, the other normalised coordinates, and how many groups there are."""


def _grouped(scope: Scope, node: Node) -> Outcome:
    """merge(standardize(split(X)))"""
    (core,) = node.args
    into, merged = node.attr("into"), node.attr("axes")
    assert isinstance(into, int) and isinstance(merged, tuple)
    if core.node.op != "standardize" or core.node.attr("affine") or not scope.once(core.node) or node.kind != Kind.REAL:
        return None
    x, eps = scope.operands(core)
    if x.node.op != "split" or constant(eps.node) is None:
        return None
    split, axes = x.node.attr("into"), core.node.attr("axes")
    assert isinstance(split, tuple) and isinstance(axes, tuple)
    parts, normalised = tuple(x.axes[p] for p in split), {core.axes[p] for p in axes}
    if len(parts) != 2 or parts != merged:
        return Near("what is split is not what is put together again")
    if parts[0] in normalised or parts[1] not in normalised:
        return Near("of a group, the second part is to be normalised and the first is not")
    (whole,) = scope.operands(x)
    kept = {*core.axes} - {*parts}
    at = tuple(c if c in kept else into for c in whole.axes)
    space = tuple(sorted(normalised - {parts[1]}))
    return Match((Arg(whole.node, at), eps, space, scope.sizes[parts[0]]), (core.node, x.node))


def _build_grouped(scope: Scope, node: Node, found: Found) -> Arg:
    x, eps, space, groups = found
    attrs = {"axes": space, "channel": node.attr("into"), "groups": groups, "affine": ()}
    return scope.build("group_norm", (x, eps), range(node.rank), kind=node.kind, attrs=attrs)


RULES = (Rule("group norm", "algebraic", ("merge",), _grouped, _build_grouped),)
