"""What is done to each row that is read is done to each row there is, where more are read than there are.

`W @ X[point = near]` is `(W @ X)[point = near]`: of k neighbours of each point each would be multiplied k times. It is
so for products, for sums with what has none of the new axes, and for relu: what gives numbers for numbers, and slopes
that are numbers, since rows that nobody reads take part. Which is more is known where the size of the axis that is
read divides those of the index.
"""

from __future__ import annotations

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import count
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

Found = tuple[Arg, Arg, Arg, int]
"""The rows that are read, with -1 at their axis; the index; X with a coordinate of its own there; this coordinate."""


def _read(scope: Scope, arg: Arg) -> Found | None:
    """Rows of X by an index of one axis, more than there are, needed here alone."""
    node = arg.node
    axes = node.attr("axes") if node.op == "gather" else None
    if not isinstance(axes, tuple) or len(axes) != 1 or len(node.args) != 2 or not scope.once(node):
        return None
    x, index = scope.operands(arg)
    new = tuple(c for c in index.axes if c not in x.axes)
    size = x.node.sizes[axes[0]]
    read = count(scope, new)
    if not new or node.kind is not Kind.REAL or read == size or size == 0 or (read // size) * size != read:
        return None
    rows = scope.fresh(size, x.node.names[axes[0]])
    return x, index, Arg(x.node, tuple(rows if c < 0 else c for c in x.axes)), rows


def _operation_on_rows(scope: Scope, node: Node) -> Outcome:
    """A product, a sum or a relu of rows that are read and of what has none of the axes of the index"""
    if node.kind is not Kind.REAL or (node.op == "contract" and len(node.args) != 2):
        return None
    for k, arg in enumerate(node.args):
        found = _read(scope, arg)
        if found is None:
            continue
        others = node.args[:k] + node.args[k + 1 :]
        new = set(found[1].axes) - set(found[0].axes)
        gone = set(range(node.rank, len(node.space)))
        apart = all(new.isdisjoint(one.axes) and one.node.kind is not Kind.COMPLEX for one in others)
        if apart and gone.isdisjoint(found[1].axes):
            return Match((k, found), (arg.node,))
    return None


def _build(scope: Scope, node: Node, match: tuple[int, Found]) -> Arg:
    k, (_, index, x, rows) = match
    new = set(index.axes) - set(x.axes)
    args = (*node.args[:k], x, *node.args[k + 1 :])
    kept = [*(c for c in range(node.rank) if c not in new), rows]
    consumed = range(node.rank, len(node.space))
    made = scope.build(node.op, args, kept, consumed, kind=node.kind, attrs=dict(node.attrs), weak=node.weak)
    own = made.axes.index(rows)
    spoken = Arg(made.node, tuple(-1 if c == rows else c for c in made.axes))
    attrs = {"axes": (own,), "fill": False}
    return scope.build("gather", (spoken, index), range(node.rank), kind=node.kind, attrs=attrs, weak=node.weak)


RULES = (
    Rule(
        "operation on rows that are read", "algebraic", ("contract", "add", "sub", "relu"), _operation_on_rows, _build
    ),
)
