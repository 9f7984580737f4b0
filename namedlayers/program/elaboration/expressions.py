"""Expressions: what each form of the language evaluates to.

In: expressions of the tree, and the environment that they stand in. Out: values (or statics, or definitions not yet
applied). What always holds: static arithmetic on integers and sizes is exact; nothing is looked up by its text alone
but by where it stands (axes in brackets, definitions before parentheses, values elsewhere).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from namedlayers.errors import (
    ArgumentError,
    AxisError,
    Label,
    Span,
    UnknownNameError,
    near_miss,
)
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.apply import apply_definition, apply_instance
from namedlayers.program.elaboration.builtins import BUILTINS
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.folding import fold
from namedlayers.program.elaboration.foreign import FOREIGN
from namedlayers.program.elaboration.indexing import index
from namedlayers.program.elaboration.layers import instance
from namedlayers.program.elaboration.places import also
from namedlayers.program.elaboration.values import Callee, Environment, Evaluated, Instance, Static, Value
from namedlayers.program.elaboration.wording import missing_axis, renamed_from
from namedlayers.program.namespace import library_module_of, library_modules
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const
from namedlayers.syntax import tree

CONSTANTS: dict[str, bool | float] = {
    "inf": math.inf, "nan": math.nan, "pi": math.pi, "True": True, "False": False,
}  # fmt: skip

OPERATIONS = {
    "+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floordiv", "%": "mod", "^": "pow", "and": "and", "or": "or",
    "<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne",
}  # fmt: skip


def evaluate(ctx: Context, expr: tree.Expr, env: Environment) -> Evaluated:
    """What `expr` means in `env`."""
    return _FORMS[type(expr)](ctx, expr, env)


# --- leaves -----------------------------------------------------------------------------------------------------------


def _number(ctx: Context, expr: tree.Number, env: Environment) -> Evaluated:
    return Static(expr.value, expr.span)


def _string(ctx: Context, expr: tree.String, env: Environment) -> Evaluated:
    return Static(expr.value, expr.span)


def _tuple(ctx: Context, expr: tree.Tuple, env: Environment) -> Evaluated:
    return Static(tuple(ctx.static(item, env, "an item of a tuple") for item in expr.items), expr.span)


def _name(ctx: Context, expr: tree.Name, env: Environment) -> Evaluated:
    name = expr.name
    if name in env.values:
        found = env.values[name]
        if isinstance(found, Value):
            found = ctx.at_step(found)
        # In a definition that ships with the package, an argument keeps its place in the user's text.
        own = expr.span.source.shipped and isinstance(found, (Value, Static)) and not found.span.source.shipped
        return found.at(expr.span) if isinstance(found, (Value, Static)) and not own else found
    if name in env.undefined:
        raise UnknownNameError(
            "NL0207", f"`{name}` may not be defined here", Label(expr.span),
            *also(env.undefined[name], "only one branch of this `if` assigns it"),
            hint="assign it in the other branch too, or before the `if`",
        )  # fmt: skip
    if name in CONSTANTS:
        return Static(CONSTANTS[name], expr.span)
    if name in env.axes:
        axis = env.axes[name]
        if isinstance(axis, tuple):
            raise AxisError("NL0309", f"`{name}` stands for several axes and has no coordinates", Label(expr.span))
        size = ctx.size_of(tree.Axis(expr.span, name), env)
        return ctx.coordinates(axis, size, expr.span)
    callee = find_callee(name, env, expr.span)
    if callee is None:
        raise UnknownNameError("NL0201", f"`{name}` is not defined", Label(expr.span), hint=_instead(name, env))
    return callee


def _instead(name: str, env: Environment) -> str:
    """What to write for a name that nothing has."""
    if "·" in name:  # Unicode counts it among the letters
        return f"a product is written with `*`: `{name.replace('·', ' * ')}`"
    for statement in env.definition.body:
        if isinstance(statement, tree.Assign) and any(target.name == name for target in statement.targets):
            return f"it is assigned further down, in line {statement.span.line}"
        if isinstance(statement, tree.Declare) and statement.name == name:
            return f"it is declared further down, in line {statement.span.line}"
    stem = renamed_from(name, env.definition) or name.rstrip("'")
    if stem != name and stem in env.axes:  # an axis that is made only further on
        return f"the coordinates of a new axis are `index[{name} = |{stem}|]`"
    values = {*env.values, *env.axes} - {"training"}
    known = _elsewhere(name) if name in FOREIGN else near_miss(name, values) or _elsewhere(name)
    known = known or near_miss(name, {*env.namespace.names(), *BUILTINS, *CONSTANTS})
    return known or "an input stands in the signature; a value is assigned on a line before"


def find_callee(name: str, env: Environment, span: Span) -> Callee | None:
    """The definition or builtin of a name: the text's own, imported ones, the prelude's, then builtins."""
    found = env.namespace.find(name)
    if found is not None:
        return Callee(name, span, *found)
    return Callee(name, span) if name in BUILTINS else None


def _import(name: str) -> str:
    return f"begin the text with `import {name}`" if name in library_modules() else ""


def _elsewhere(name: str) -> str | None:
    """What other tools call it, or the module of the library that has it."""
    module = library_module_of(name)
    shipped = f"the library has it: begin the text with `from {module} import {name}`" if module else None
    return FOREIGN.get(name) or shipped


def _attribute(ctx: Context, expr: tree.Attribute, env: Environment) -> Evaluated:
    base = expr.base
    space = env.namespace.modules.get(base.name) if isinstance(base, tree.Name) else None
    if space is None:
        hint = near_miss(base.span.text, env.namespace.modules) or _import(base.span.text) or _alone(expr, env)
        raise UnknownNameError(
            "NL0203", f"`{base.span.text}` is not a module that this text imports", Label(base.span), hint=hint
        )
    definition = space.definitions.get(expr.name)
    if definition is None:
        raise UnknownNameError(
            "NL0204", f"module `{base.span.text}` has no definition `{expr.name}`", Label(expr.span),
            hint=near_miss(expr.name, space.definitions) or f"it has {', '.join(sorted(space.definitions))}",
        )  # fmt: skip
    return Callee(expr.name, expr.span, definition, space)


def _alone(expr: tree.Attribute, env: Environment) -> str:
    """What an attribute is called here, where it stands without what it is read of."""
    name = expr.name
    if name in CONSTANTS:
        return f"write `{name}` alone"
    if isinstance(expr.base, tree.Name) and isinstance(env.values.get(expr.base.name), Instance):
        return "parameters are seen in their own layer only; declare what several layers share where both are used"
    if name in env.axes and isinstance(expr.base, tree.Name) and expr.base.name in env.values:
        return f"an axis is indexed in brackets: `{expr.base.name}[{name} = 0]`; its size is `|{name}|`"
    if name not in _READ and find_callee(name, env, expr.span):
        return f"write `{name}` alone: definitions stand before what they are applied to, `{name}(…)`"
    return _elsewhere(name) or near_miss(name, {*env.namespace.names(), *BUILTINS})


_READ = frozenset({"size", "shape"})
"""Read of tensors in torch, where a size is written `|axis|` here."""


def _size_of(ctx: Context, expr: tree.SizeOf, env: Environment) -> Evaluated:
    product = const(1)
    for axis in expr.axes:
        product = product * ctx.size_of(axis, env)
    return Static(product, expr.span)


# --- operators --------------------------------------------------------------------------------------------------------


def _unary(ctx: Context, expr: tree.Unary, env: Environment) -> Evaluated:
    found = ctx.evaluate(expr.operand, env)
    if isinstance(found, Static) and isinstance(found.value, (int, float, complex, SizeExpr)):
        if expr.op == "not" and not isinstance(found.value, (SizeExpr, complex)):
            return Static(not found.value, expr.span)
        if expr.op != "not":
            return Static(-found.value if expr.op == "-" else +found.value, expr.span)  # type: ignore[operator]
    value = ctx.value(found, expr.operand.span)
    if expr.op == "+":
        return value
    return ctx.unary({"-": "neg", "not": "not"}[expr.op], value, expr.span)


def _binary(ctx: Context, expr: tree.Binary, env: Environment) -> Evaluated:
    # Long chains lean to the left: they are walked in a loop, not by recursion.
    chain: list[tree.Binary] = []
    left_expr: tree.Expr = expr
    while isinstance(left_expr, tree.Binary):
        chain.append(left_expr)
        left_expr = left_expr.left
    left = ctx.evaluate(left_expr, env)
    for one in reversed(chain):
        left = _operate(ctx, one.op, left, ctx.evaluate(one.right, env), one.left.span, one.right.span, one.span)
    return left


def _operate(
    ctx: Context, op: str, left: Evaluated, right: Evaluated, left_span: Span, right_span: Span, span: Span
) -> Evaluated:
    if isinstance(left, Static) and isinstance(right, Static):
        found = fold(ctx, op, left.value, right.value, span)
        if found is not None:
            return Static(found, span)
    base, other = ctx.value(left, left_span), ctx.value(right, right_span)
    if op == "^" and base.kind in (Kind.BOOL, Kind.INT) and _is_negative_integer(right):
        other = v.constant(float(right.value), right_span)  # type: ignore[union-attr]
    return ctx.binary(OPERATIONS[op], base, other, span)


def _is_negative_integer(found: Evaluated) -> bool:
    """`n ^ -1` is 1 / n, as in Python: a real."""
    return isinstance(found, Static) and isinstance(found.value, int) and found.value < 0


def _compare(ctx: Context, expr: tree.Compare, env: Environment) -> Evaluated:
    operands = [ctx.evaluate(operand, env) for operand in expr.operands]
    spans = [operand.span for operand in expr.operands]
    total: Evaluated | None = None
    for k, op in enumerate(expr.ops):
        one = _operate(ctx, op, operands[k], operands[k + 1], spans[k], spans[k + 1], spans[k].to(spans[k + 1]))
        total = one if total is None else _operate(ctx, "and", total, one, expr.span, expr.span, expr.span)
    assert total is not None
    return total


def _contract(ctx: Context, expr: tree.Contract, env: Environment) -> Evaluated:
    left = ctx.value(ctx.evaluate(expr.left, env), expr.left.span)
    right = ctx.value(ctx.evaluate(expr.right, env), expr.right.span)
    axes: list[str] = []
    for node in expr.axes:
        for axis in ctx.axis(node, env):
            for side in (left, right):
                if axis not in side.axes:
                    raise missing_axis(ctx, "this contracts over", axis, side, node.span)
            if axis in axes:
                raise AxisError("NL0303", f"`{node.name}` is named twice", Label(node.span))
            axes.append(axis)
    left, right = ctx.materialise(left, axes), ctx.materialise(right, axes)
    return ctx.reduce("sum", ctx.binary("mul", left, right, expr.span), axes, expr.span)


# --- brackets and calls -----------------------------------------------------------------------------------------------


def _index(ctx: Context, expr: tree.Index, env: Environment) -> Evaluated:
    base = expr.base
    known = env.values.get(base.name) if isinstance(base, tree.Name) else None
    if isinstance(base, (tree.Name, tree.Attribute)) and (known is None or isinstance(known, Callee)):
        found: Evaluated | None = known
        if known is None:
            attribute = isinstance(base, tree.Attribute)
            found = ctx.evaluate(base, env) if attribute else find_callee(base.name, env, base.span)
        if isinstance(found, Callee) and found.definition is not None and found.definition.kind == "layer":
            return instance(ctx, found, tree.Call(expr.span, base, expr.entries, expr.options, (), ()), env)
        if isinstance(found, Callee):
            # `zeros[i, j]`, `index[seq]`: brackets after a definition are a call without arguments.
            return _call(ctx, tree.Call(expr.span, base, expr.entries, expr.options, (), ()), env)
    return index(ctx, ctx.value(ctx.evaluate(base, env), base.span), expr, env)


def _call(ctx: Context, expr: tree.Call, env: Environment) -> Evaluated:
    callee = _callee(ctx, expr.function, env)
    if isinstance(callee, Instance):
        return apply_instance(ctx, callee, expr, env)
    if callee.definition is None:
        return BUILTINS[callee.name](ctx, callee, expr, env)
    if callee.definition.kind == "layer":
        return apply_instance(ctx, instance(ctx, callee, expr, env), expr, env)
    return apply_definition(ctx, callee, expr, env)


def _callee(ctx: Context, function: tree.Expr, env: Environment) -> Callee | Instance:
    """What stands before `(…)`: an option that holds a definition, or a definition; never a tensor."""
    if isinstance(function, tree.Name):
        found: Evaluated | None = env.values.get(function.name)
        if not isinstance(found, (Callee, Instance)):
            # A value may have the name of a definition: before parentheses the definition is meant.
            found = find_callee(function.name, env, function.span) or found
        if found is None:
            raise UnknownNameError(
                "NL0208", f"there is no definition `{function.name}`", Label(function.span),
                hint=_elsewhere(function.name) or near_miss(function.name, {*env.namespace.names(), *BUILTINS}),
            )  # fmt: skip
    else:
        found = ctx.evaluate(function, env)
    if isinstance(found, Instance):
        return found
    if not isinstance(found, Callee):
        raise ArgumentError(
            "NL0217", "this is a value, not a definition that could be applied", Label(function.span),
            hint="to multiply, write `*`",
        )  # fmt: skip
    return Callee(found.name, function.span, found.definition, found.namespace)


_FORMS: dict[type, Callable[..., Evaluated]] = {
    tree.Number: _number,
    tree.String: _string,
    tree.Tuple: _tuple,
    tree.Name: _name,
    tree.Attribute: _attribute,
    tree.SizeOf: _size_of,
    tree.Unary: _unary,
    tree.Binary: _binary,
    tree.Compare: _compare,
    tree.Contract: _contract,
    tree.Index: _index,
    tree.Call: _call,
}
