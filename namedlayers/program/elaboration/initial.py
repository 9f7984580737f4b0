"""Initial values: `~ kaiming_uniform(input; a = sqrt(5))`, or any expression of sizes and options.

In: the right side of `~`. Out: a `DraftInitial`. What always holds: it depends on no tensor; fans are sizes, named by
axes; what an initialiser does not take is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from namedlayers.errors import ArgumentError, AxisError, Label, UnknownNameError, near_miss
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.bodies import block, captured, output
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.expressions import CONSTANTS
from namedlayers.program.elaboration.owned import DraftInitial
from namedlayers.program.elaboration.statics import DRAWN
from namedlayers.program.elaboration.values import AxisSizes, DraftStatement, Environment, Static
from namedlayers.program.initialisers import INITIALISERS, InitialiserSpec
from namedlayers.program.kinds import kind_of
from namedlayers.program.program import Kind, Output
from namedlayers.program.size import SizeExpr, const
from namedlayers.program.spec import NeedsStatic
from namedlayers.syntax import tree


def initial(
    ctx: Context, statement: tree.Declare, stored: AxisSizes, merged: bool, env: Environment
) -> tuple[DraftInitial, Kind]:
    """How a declared tensor with these axes begins, and the kind of its elements: once, whatever scans and lifted axes
    there are around."""
    around = ctx.scans, ctx.lifted
    ctx.scans, ctx.lifted = (), {}
    try:
        return _initial(ctx, statement, stored, merged, env)
    finally:
        ctx.scans, ctx.lifted = around


def _initial(
    ctx: Context, statement: tree.Declare, stored: AxisSizes, merged: bool, env: Environment
) -> tuple[DraftInitial, Kind]:
    found = _named(statement.initial, env)
    lifted, ctx.lifted = ctx.lifted, {}  # its draws are made once, whatever the layer is applied to
    try:
        if found is not None:
            return _by_name(ctx, found[0], found[1], statement, env), Kind.REAL
        return _by_value(ctx, statement, stored, merged, env)
    finally:
        ctx.lifted = lifted


# --- by name ----------------------------------------------------------------------------------------------------------


def _named(expr: tree.Expr, env: Environment) -> tuple[str, tree.Call | None] | None:
    """The initialiser that an expression is, with its arguments; None where it is another expression."""
    call = expr if isinstance(expr, tree.Call) and expr.entries is None else None
    name = call.function if call is not None else expr
    if not isinstance(name, tree.Name) or name.name not in INITIALISERS or name.name in env.values:
        return None
    return name.name, call


def _by_name(
    ctx: Context, name: str, call: tree.Call | None, statement: tree.Declare, env: Environment
) -> DraftInitial:
    spec = INITIALISERS[name]
    fans: list[tree.Argument] = []
    values: list[tree.Argument] = []
    if call is not None:
        positional = [arg for arg in call.args if arg.name is None]
        fans = positional if spec.fans else []
        values = [*([] if spec.fans else positional), *(arg for arg in call.args if arg.name), *call.options]
    sizes = _fans(ctx, name, spec, fans, statement, env)
    given = _options(name, spec, values)
    words = tuple((option, _word(ctx, arg, env)) for option, arg in given.items() if option in spec.words)
    numbers = {option: arg for option, arg in given.items() if option not in spec.words}
    outputs: list[Output] = []
    with block(ctx) as inside:
        for option, arg in numbers.items():
            value = ctx.value(ctx.evaluate(arg.value, env), arg.value.span)
            if value.axes:
                raise ArgumentError(
                    "NL0220", f"`{option}` is a number", Label(value.span, f"this {ctx.axes_of(value)}")
                )
            outputs.append(output(ctx, value, option))
    inside = _closed(ctx, inside, statement)
    return DraftInitial(
        name, sizes, tuple(inside.values()), tuple(outputs), tuple(numbers), words, statement.initial.span
    )


def _fans(
    ctx: Context, name: str, spec: InitialiserSpec, given: Sequence[tree.Argument], statement: tree.Declare,
    env: Environment,
) -> tuple[SizeExpr, ...]:  # fmt: skip
    span = statement.initial.span
    if spec.fans and not given:
        wanted = "its fan" if spec.fans == 1 else "its fan-in and fan-out"
        example = f"`{name}(input)`" if spec.fans == 1 else f"`{name}(input, output)`"
        raise ArgumentError(
            "NL0257", f"`{name}` needs {wanted}, by the names of axes", Label(span), hint=f"for example {example}"
        )
    sizes = [_fan(ctx, arg.value, env) for arg in given]
    if spec.fans == 1:
        product = const(1)
        for size in sizes:
            product = product * size
        return (product,)
    if len(sizes) != spec.fans:
        raise ArgumentError(
            "NL0257", f"`{name}` takes two fans, in and out, not {len(sizes)}", Label(span),
            hint=f"a fan over several axes stands in parentheses: `{name}((chans, kernel), (chans', kernel))`",
        )  # fmt: skip
    return tuple(sizes)


def _fan(ctx: Context, expr: tree.Expr, env: Environment) -> SizeExpr:
    """The size of an axis, the product of a tuple of axes, or an expression of sizes."""
    if isinstance(expr, tree.Tuple):
        product = const(1)
        for item in expr.items:
            product = product * _fan(ctx, item, env)
        return product
    if isinstance(expr, tree.Name) and expr.name not in env.values:
        if expr.name not in env.axes:
            raise AxisError(
                "NL0302", f"there is no axis `{expr.name}` here", Label(expr.span), hint=near_miss(expr.name, env.axes)
            )
        starred = isinstance(env.axes[expr.name], tuple)
        return ctx.size_of(tree.Axis(expr.span, expr.name, starred), env)
    return ctx.size(expr, env, "a fan")


def _options(name: str, spec: InitialiserSpec, given: Sequence[tree.Argument]) -> dict[str, tree.Argument]:
    """The options that are given, by name; positional ones in the order of `torch.nn.init`."""
    known = list(spec.options)
    found: dict[str, tree.Argument] = {}
    for k, arg in enumerate(given):
        option = arg.name if arg.name is not None else known[k] if k < len(known) else None
        if option not in known:
            raise ArgumentError(
                "NL0219", f"`{name}` has no option `{arg.name or arg.value.span.text}`", Label(arg.span),
                hint=near_miss(arg.name or "", known)
                or (f"its options are {', '.join(known)}" if known else "it has none"),
            )  # fmt: skip
        if option in found:
            raise ArgumentError(
                "NL0224", f"`{option}` is given twice", Label(arg.span), Label(found[option].span, "first here")
            )
        found[option] = arg
    return found


def _word(ctx: Context, arg: tree.Argument, env: Environment) -> str:
    found = ctx.static(arg.value, env, f"`{arg.name}`")
    if not isinstance(found, str):
        raise ArgumentError("NL0227", f"`{arg.name}` is a string", Label(arg.value.span), hint='for example "relu"')
    return found


# --- by value ---------------------------------------------------------------------------------------------------------


def _by_value(
    ctx: Context, statement: tree.Declare, stored: AxisSizes, merged: bool, env: Environment
) -> tuple[DraftInitial, Kind]:
    expr = statement.initial
    called = expr.function if isinstance(expr, tree.Call) else expr
    alone = called is expr and isinstance(expr, tree.Name)
    if (
        isinstance(called, tree.Name)
        and _unknown(ctx, called.name, env)
        and not (alone and _is_value(called.name, env))
    ):
        raise UnknownNameError(
            "NL0258", f"there is no initialiser `{called.name}`", Label(called.span),
            hint=near_miss(called.name, INITIALISERS) or f"there are {', '.join(INITIALISERS)}",
        )  # fmt: skip
    with block(ctx) as inside:
        found = ctx.evaluate(expr, env)
        value = ctx.value(found, expr.span)
        strange = [axis for axis in value.axes if axis not in stored]
        if strange:
            hint = "a parameter that is stored merged begins with an initialiser of `torch.nn.init`" if merged else ""
            raise AxisError(
                "NL0325", f"`{statement.name}` begins with a value that has {ctx.shown(strange)}, which it has not",
                Label(expr.span, f"this {ctx.axes_of(value)}"), hint=hint,
            )  # fmt: skip
        for axis, size in value.axes.items():
            ctx.same_size(axis, stored[axis], size, statement.span, value.span)
        value = ctx.materialise(value, value.virtual)
        result = output(ctx, value, statement.name, [axis for axis in stored if axis in value.axes])
    inside = _closed(ctx, inside, statement)
    kind = kind_of(found.value) if isinstance(found, Static) and isinstance(found.value, (bool, int)) else value.kind
    drafts = tuple(inside.values())
    return DraftInitial("", (), drafts, (result,), (), (), expr.span), kind


def _unknown(ctx: Context, name: str, env: Environment) -> bool:
    return name not in env.values and env.namespace.find(name) is None and name not in ctx.builtins


def _is_value(name: str, env: Environment) -> bool:
    """Whether a name that stands alone is one of a value: coordinates, a constant, or what is not defined yet."""
    return name in env.axes or name in env.undefined or name in CONSTANTS


def _closed(ctx: Context, inside: Mapping[str, DraftStatement], statement: tree.Declare) -> dict[str, DraftStatement]:
    """With the statements around that it needs: an initial value is computed apart from them.

    It may not depend on a tensor, nor on a draw that the call makes; the numbers of options must be known.
    """
    needed: set[str] = set()
    waiting = captured(inside, set())
    while waiting:
        name = waiting.pop()
        found = ctx.find(name)
        if found is not None and name not in needed and not _draws(found):
            needed.add(name)
            waiting += captured({name: found}, set())
    around = {name: one for block in (*ctx.outer, ctx.statements) for name, one in block.items() if name in needed}
    together = {**around, **inside}
    for name in captured(together, set()):
        options, sizes = ctx.depends(v.leaf(name, {}))
        if options is not None and (options or sizes):
            raise NeedsStatic(frozenset(options), frozenset(sizes))
        raise ArgumentError(
            "NL0259", f"`{statement.name}` begins with a value that depends on the tensor `{name}`",
            Label(statement.initial.span), hint="initial values are made of sizes, options, coordinates and draws",
        )  # fmt: skip
    return together


def _draws(statement: DraftStatement) -> bool:
    draft = statement.draft
    return draft.form == "primitive" and draft.parts[0] in DRAWN
