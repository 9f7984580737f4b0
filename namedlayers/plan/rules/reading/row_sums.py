"""Sums and means of rows that are read: no row is held.

`mean[k](X[point = near])`, the neighbours of each point taken together, reads k rows for each and needs their sum only.
Axes that rows and numbers share are batches; each row may have a weight, or a condition. It is found before
contractions are merged, and once more when what is done to rows has become something done to the table.
"""

from __future__ import annotations

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.view import Scope, is_number
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind


def _sum_of_rows(scope: Scope, node: Node) -> Outcome:
    (read,) = node.args
    return _checked(scope, node, read)


def _chosen_sum_of_rows(scope: Scope, node: Node) -> Outcome:
    """sum(where(B, X[n = I], 0)), where B has axes of I only"""
    (body,) = node.args
    if body.node.op != "where" or not scope.once(body.node):
        return None
    condition, *sides = scope.operands(body)
    for turned, (read, other) in enumerate((sides, sides[::-1])):
        found = _checked(scope, node, read) if is_number(other, 0) else None
        if isinstance(found, Match) and condition.axes:
            if not set(condition.axes) <= set(found.found[1].axes):
                return Near("rows are left out in part: the condition has axes that the index lacks", body.node.spans)
            return Match((*found.found, condition, bool(turned)), (body.node, *found.parts))
    return None


def _build_chosen(scope: Scope, node: Node, found: tuple[Arg, Arg, Arg, bool]) -> Arg:
    x, index, condition, turned = found
    chosen = scope.apply("not", condition, kind=Kind.BOOL) if turned else condition
    attrs = {"axis": x.axes.index(-1)}
    consumed = range(node.rank, len(node.space))
    return scope.build("chosen_row_sums", (x, index, chosen), range(node.rank), consumed, kind=node.kind, attrs=attrs)


def _weighted_sum_of_rows(scope: Scope, node: Node) -> Outcome:
    """w @[k] X[n = I], where w has axes of I only"""
    if len(node.args) != 2:
        return None
    for read, weights in (node.args, node.args[::-1]):
        found = _checked(scope, node, read)
        if isinstance(found, Match) and weights.node.kind is not Kind.COMPLEX and weights.axes:
            if set(weights.axes) <= set(found.found[1].axes):
                return Match((*found.found, weights), found.parts)
    return None


def _checked(scope: Scope, node: Node, read: Arg) -> Outcome:
    axes = read.node.attr("axes") if read.node.op == "gather" else None
    if not isinstance(axes, tuple) or len(axes) != 1 or node.kind is not Kind.REAL or read.node.attr("fill"):
        return None
    if node.op == "statistic" and node.attr("op") != "mean":
        return None
    x, index = scope.operands(read)
    new = set(index.axes) - set(x.axes)
    rest = set(x.axes) - set(index.axes) - {-1}
    consumed = set(range(node.rank, len(node.space)))
    if x.node.kind is not Kind.REAL or not rest or len(set(index.axes)) < len(index.axes) or x.axes.count(-1) != 1:
        return None
    if not consumed <= new:
        return Near("what is summed is not what the index has and the table lacks", node.spans)
    if not scope.once(read.node):
        return Near("the rows are used elsewhere too, so they have to be read", read.node.spans)
    return Match((x, index), (read.node,))


def _build(scope: Scope, node: Node, found: tuple[Arg, ...]) -> Arg:
    x = found[0]
    attrs = {"axis": x.axes.index(-1), "op": "mean" if node.op == "statistic" else "sum"}
    return scope.build(
        "row_sums", found, range(node.rank), range(node.rank, len(node.space)), kind=node.kind, attrs=attrs
    )


def _product_of_sums(scope: Scope, node: Node) -> Outcome:
    """W @ sum(X[n = I])"""
    if len(node.args) != 2:
        return None
    for sums, matrix in (node.args, node.args[::-1]):
        if sums.node.op == "row_sums" and scope.once(sums.node):
            x, index, *weights = scope.operands(sums)
            gone = set(scope.consumed(scope.whole()))
            if _is_mapped(x, index, matrix, gone):
                return Match((x, index, matrix, *weights, sums.node, scope.consumed(sums)), (sums.node,))
    return None


def _sums_of_product(scope: Scope, node: Node) -> Outcome:
    """sum((W @ X)[n = I])"""
    product, index, *weights = node.args
    if product.node.op != "contract" or len(product.node.args) != 2 or not scope.once(product.node):
        return None
    gone = set(scope.consumed(product))
    for x, matrix in (scope.operands(product), scope.operands(product)[::-1]):
        if -1 in x.axes and -1 not in matrix.axes and _is_mapped(x, index, matrix, gone):
            read = tuple(range(node.rank, len(node.space)))
            return Match((x, index, matrix, *weights, node, read), (product.node,))
    return None


def _is_mapped(x: Arg, index: Arg, matrix: Arg, gone: set[int]) -> bool:
    """Whether all of a row goes into the product, and nothing of its number."""
    features = set(x.axes) - {-1}
    apart = not features & set(index.axes) and not set(matrix.axes) & set(index.axes)
    return apart and features == gone and gone < set(matrix.axes) and matrix.node.kind is Kind.REAL


def _build_mapped(scope: Scope, node: Node, found: tuple) -> Arg:
    x, index, matrix, *weights, sums, read = found
    attrs = {"axis": x.axes.index(-1), "op": sums.attr("op")}
    consumed = (*read, *(c for c in x.axes if c >= 0))
    operands = (x, index, matrix, *weights)
    return scope.build("row_products", operands, range(node.rank), consumed, kind=node.kind, attrs=attrs)


LAST = (
    Rule("product of sums of rows", "algebraic", ("contract",), _product_of_sums, _build_mapped),
    Rule("product of rows before their sums", "algebraic", ("row_sums",), _sums_of_product, _build_mapped),
)
"""In which order, the call decides. (What joins a sum, as a bias does, is done by then.)"""

RULES = (
    Rule("sum of rows that are read", "exact", ("reduce sum", "statistic"), _sum_of_rows, _build),
    Rule("sum of chosen rows that are read", "exact", ("reduce sum",), _chosen_sum_of_rows, _build_chosen),
    Rule("weighted sum of rows that are read", "exact", ("contract",), _weighted_sum_of_rows, _build),
)
