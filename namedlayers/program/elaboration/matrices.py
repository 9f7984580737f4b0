"""Linear algebra on a pair of axes, rows and columns, lifted over all others.

In: calls. Out: values. What always holds: the pair is square, which is proved or checked at the call.
"""

from __future__ import annotations

from dataclasses import replace

from namedlayers.errors import AxisError, Label
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.arguments import (
    along,
    flat,
    free,
    take,
    wrong_count,
)
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.places import brackets
from namedlayers.program.elaboration.values import Callee, Environment, Evaluated, Value
from namedlayers.program.elaboration.wording import missing_axis
from namedlayers.program.program import Check, Kind
from namedlayers.syntax import tree


def matrix(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    """`inv`, `cholesky`, `det`."""
    (value,), _ = take(ctx, callee, call, env, 1)
    row, column = _pair(ctx, callee, call, env, value)
    value = ctx.materialise(value, [row, column])
    axes = {a: s for a, s in value.axes.items() if callee.name != "det" or a not in (row, column)}
    kind = max(value.kind, Kind.REAL, key=lambda kind: kind.value)
    return ctx.primitive(callee.name, (value,), axes, call.span, {"row": row, "column": column}, kind=kind)


def solve(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    (matrix, right), _ = take(ctx, callee, call, env, 2)
    row, column = _pair(ctx, callee, call, env, matrix)
    if row not in right.axes:
        raise missing_axis(ctx, "`solve` needs the rows", row, right, call.span)
    if column in right.axes:
        raise AxisError(
            "NL0304", f"the right-hand side has the columns {ctx.shown([column])}", Label(right.span),
            Label(call.span, "these are the unknown's"),
        )  # fmt: skip
    matrix, right = ctx.materialise(matrix, [row, column]), ctx.materialise(right, [row])
    axes = {a: s for a, s in ctx.meet((matrix, right)).items() if a != row}
    kind = max(matrix.kind, right.kind, Kind.REAL, key=lambda kind: kind.value)
    return ctx.primitive("solve", (matrix, right), axes, call.span, {"row": row, "column": column}, kind=kind)


def eigh(ctx: Context, callee: Callee, call: tree.Call, env: Environment) -> Evaluated:
    (value,), _ = take(ctx, callee, call, env, 1)
    nodes = flat(call) if call.entries is not None else []
    if len(nodes) != 3:
        raise wrong_count(callee, call, len(nodes), 3)
    head = replace(call, entries=call.entries and tuple(tree.Entry(n.span, n) for n in nodes[:2]))
    row, column = _pair(ctx, callee, head, env, value)
    value = ctx.materialise(value, [row, column])
    size = value.axes[row]
    into = ctx.introduce(nodes[2], env)
    free(ctx, into, value, nodes[2])
    ctx.record(into, size, env)
    rest = {a: s for a, s in value.axes.items() if a not in (row, column)}
    attrs = {"row": row, "column": column, "into": into}
    kind = max(value.kind, Kind.REAL, key=lambda kind: kind.value)
    return v.Several(
        (
            ctx.primitive(
                "eigenvalues", (value,), rest | {into: size}, call.span, attrs, kind=Kind.REAL, hint="eigenvalues"
            ),
            ctx.primitive(
                "eigenvectors",
                (value,),
                rest | {row: size, into: size},
                call.span,
                attrs,
                kind=kind,
                hint="eigenvectors",
            ),
        ),
        call.span,
    )


def _pair(ctx: Context, callee: Callee, call: tree.Call, env: Environment, value: Value) -> tuple[str, str]:
    """Rows and columns, which must be of one size."""
    row, column = along(ctx, callee, call, env, value, 2)
    told = [label for axis in (row, column) for label in ctx.known_size(axis, value.axes[axis])]
    ctx.solver.require(
        Check(
            value.axes[row], "==", value.axes[column], "NL0418",
            f"the matrix of {ctx.shown([row, column])} is not square: it is {{left}} by {{right}}",
            (Label(brackets(call)), *told),
        )
    )  # fmt: skip
    return row, column
