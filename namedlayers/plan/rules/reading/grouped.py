"""Products with matrices that are read by number: `X @[in] W[expert = e]`, where each row has a matrix of its own.

Reading would copy a matrix for each row. Where rows have the axes of the numbers, those of one number go through one
product instead; what else is multiplied, weights of experts for instance, and what else is summed comes after it. It is
found before contractions are merged.
"""

from __future__ import annotations

from dataclasses import dataclass

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.contractions.contraction import contraction
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind


@dataclass(frozen=True, slots=True)
class _Read:
    """Rows, matrices (-1 in the place of their numbers' axis), which of them, and whether one that is out of range is a
    matrix of 0; factors besides."""

    rows: Arg
    matrices: Arg
    index: Arg
    fill: bool
    besides: tuple[Arg, ...]


def _product(scope: Scope, node: Node) -> Outcome:
    if node.kind is not Kind.REAL or len(node.args) < 2:
        return None
    for k, read in enumerate(node.args):
        found = _matrices(scope, read)
        if found is not None:
            return _rows(scope, node, read, *found, node.args[:k] + node.args[k + 1 :])
    return None


def _matrices(scope: Scope, read: Arg) -> tuple[Arg, Arg] | None:
    """The table and the numbers, if these are all that is read by, and what is out of range is an error or 0."""
    node = read.node
    if node.op not in ("gather", "take") or len(node.args) != 2 or node.kind is not Kind.REAL:
        return None
    table, index = scope.operands(read)
    apart = table.axes.count(-1) == 1 and not set(table.axes) & set(index.axes)
    distinct = len(set(index.axes)) == len(index.axes) and len(set(table.axes)) == len(table.axes)
    return (table, index) if apart and distinct and index.axes else None


def _rows(scope: Scope, node: Node, read: Arg, table: Arg, index: Arg, others: tuple[Arg, ...]) -> Outcome:
    features = set(table.axes) - {-1}
    summed = features & set(range(node.rank, len(node.space)))
    having = [one for one in others if features & set(one.axes)]
    if not summed or not features - summed or len(having) != 1 or features & set(having[0].axes) != summed:
        return None
    (rows,) = having
    if not set(rows.axes) & set(index.axes) or rows.node.kind is not Kind.REAL:
        return None
    if not scope.once(read.node):
        return Near("the matrices that are read are used elsewhere too", read.node.spans)
    besides = tuple(one for one in others if one is not rows)
    return Match(_Read(rows, table, index, bool(read.node.attr("fill")), besides), (read.node,))


def _build(scope: Scope, node: Node, found: _Read) -> Arg:
    features = set(found.matrices.axes) - {-1}
    summed = features & set(found.rows.axes)
    kept = (set(found.rows.axes) | set(found.index.axes) | features) - summed
    operands = (found.matrices, found.index, found.rows)
    made = scope.build(
        "grouped_product", operands, sorted(kept), sorted(summed), kind=node.kind, attrs={"fill": found.fill}
    )
    left = {axis for axis in range(node.rank, len(node.space)) if axis not in summed}
    return contraction(scope, [made, *found.besides], left) if left or found.besides else made


RULES = (Rule("product with matrices that are read", "algebraic", ("contract",), _product, _build),)
