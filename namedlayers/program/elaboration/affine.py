"""Affine expressions of coordinates: what makes an index a window, a slice, a selection or a diagonal.

In: the right side of an index. Out: coefficients by axis and an offset, or None where it is of another form. What
always holds: a name that nothing has is a new axis; a name that is both a value and an axis is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from namedlayers.errors import AxisError, Label, Span
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.values import Environment, Static, Value
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const
from namedlayers.syntax import tree


@dataclass(frozen=True, slots=True)
class Affine:
    """`sum(coefficient * axis) + offset`. `length`: how far it runs, where a slice says so."""

    coefficients: Mapping[str, SizeExpr]
    offset: SizeExpr
    length: SizeExpr | None = None


def affine(ctx: Context, expr: tree.Expr, env: Environment, axis: str) -> Affine | None:
    """`expr` as an affine expression of coordinates, if it is one. A name that nothing has is a new axis."""
    if isinstance(expr, tree.Name):
        return _affine_name(ctx, expr, env, axis)
    if isinstance(expr, tree.Unary) and expr.op in "+-":
        inner = affine(ctx, expr.operand, env, axis)
        return inner if inner is None or expr.op == "+" else _scaled(inner, const(-1))
    if isinstance(expr, tree.Binary) and expr.op in ("+", "-", "*"):
        left, right = affine(ctx, expr.left, env, axis), affine(ctx, expr.right, env, axis)
        if left is None or right is None:
            return None
        if expr.op == "*":
            if left.coefficients and right.coefficients:
                return None
            return _scaled(left, right.offset) if left.coefficients else _scaled(right, left.offset)
        return _sum(left, right if expr.op == "+" else _scaled(right, const(-1)))
    if isinstance(expr, (tree.Number, tree.SizeOf)) or _only_static(ctx, expr, env):
        found = ctx.evaluate(expr, env)
        if _option(ctx, found):
            return Affine({}, ctx.size(expr, env))
        if isinstance(found, Static) and isinstance(found.value, (int, SizeExpr)) and not isinstance(found.value, bool):
            return Affine({}, ctx.size(expr, env))
    return None


def coordinates_of(ctx: Context, found: Affine, sizes: Mapping[str, SizeExpr], base: Value, span: Span) -> Value:
    """The affine expression as a tensor."""
    total = v.size_value(ctx.solver.normal(found.offset), span)
    for name, c in found.coefficients.items():
        term = v.coordinates(name, sizes[name], span)
        if c != 1:
            term = ctx.binary("mul", v.size_value(ctx.solver.normal(c), span), term, span)
        total = term if total.draft == v.Draft("const", (0,)) else ctx.binary("add", total, term, span)
    return total


def _affine_name(ctx: Context, expr: tree.Name, env: Environment, axis: str) -> Affine | None:
    name = expr.name
    if name in env.values:
        found = env.values[name]
        if name in env.axes and not isinstance(found, Static):
            raise AxisError(
                "NL0311", f"`{name}` is both a value and an axis here", Label(expr.span),
                hint=f"write `index[{name}]` for the coordinates, or give the value another name",
            )  # fmt: skip
        if isinstance(found, Static) and isinstance(found.value, (int, SizeExpr)) and not isinstance(found.value, bool):
            return Affine({}, ctx.size_value(found.value, expr.span, "an index"))
        return Affine({}, ctx.size(expr, env)) if _option(ctx, found) else None
    known = env.axes.get(name)
    if isinstance(known, tuple) or any(scan.axis == known for scan in ctx.scans):  # (a step's coordinate is a value)
        return None
    return Affine({known or ctx.introduce(tree.Axis(expr.span, name), env): const(1)}, const(0))


def _option(ctx: Context, found: object) -> bool:
    """Whether this is an integer that options decide, the caller's included: it must be known while compiling."""
    return isinstance(found, Value) and found.kind is Kind.INT and not found.axes and bool(ctx.depends(found.draft)[0])


def _only_static(ctx: Context, expr: tree.Expr, env: Environment) -> bool:
    """Whether the expression has no names but options and sizes, so that evaluating it introduces nothing."""
    if isinstance(expr, tree.Name):
        found = env.values.get(expr.name)
        return isinstance(found, Static) or _option(ctx, found)
    if isinstance(expr, tree.Binary):
        return _only_static(ctx, expr.left, env) and _only_static(ctx, expr.right, env)
    if isinstance(expr, tree.Unary):
        return _only_static(ctx, expr.operand, env)
    return isinstance(expr, (tree.Number, tree.SizeOf))


def _scaled(found: Affine, by: SizeExpr) -> Affine:
    return Affine({name: c * by for name, c in found.coefficients.items()}, found.offset * by)


def _sum(left: Affine, right: Affine) -> Affine:
    total = dict(left.coefficients)
    for name, c in right.coefficients.items():
        total[name] = total[name] + c if name in total else c
    return Affine(total, left.offset + right.offset)
