"""A program, at the end of its elaboration.

In: the context in which a definition was elaborated, and what its body returns. Out: its `Program`. What always holds:
sizes are solved before any term is built; each symbol has a recipe, or the error names what is open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from namedlayers.errors import Label
from namedlayers.program import terms
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.owned import DraftDeclared
from namedlayers.program.elaboration.results import signature_axes
from namedlayers.program.elaboration.values import DraftStatement, Environment, Evaluated, Several, Value
from namedlayers.program.owning import state_output
from namedlayers.program.program import Input, Output, Program
from namedlayers.program.solver import Dimension
from namedlayers.syntax import tree


def finish_program(
    ctx: Context, env: Environment, definition: tree.Definition, inputs: Sequence[Input],
    dimensions: Sequence[Dimension], found: Evaluated, extras: Sequence[str],
) -> Program:  # fmt: skip
    """The program. `dimensions` are those of the inputs; `found` is what the body returns, lifted over `extras`."""
    solver = ctx.solver
    owned = [_owned(one) for one in ctx.owned.in_order()]
    outputs = []
    for number, one in enumerate(found.values if isinstance(found, Several) else (found,)):
        value = ctx.value(one, one.span)
        value = ctx.materialise(value, value.virtual)
        order = _order(env, definition, value, number, extras)
        outputs.append(Output(_named(ctx, value), order))
    written = [one for one in ctx.owned.in_order() if ".".join(one.path) in ctx.owned.written]
    outputs += [state_output(ctx, one) for one in written]
    symbols, recipes, checks = solver.finish([*dimensions, *_owned_dimensions(ctx)])
    _all_determined(ctx, set(symbols))
    with terms.building():
        statements = v.build_statements(ctx.statements.values(), solver.normal)
    return Program(
        definition.name,
        tuple(replace(one, axes=tuple((a, solver.normal(s)) for a, s in one.axes)) for one in (*inputs, *owned)),
        statements,
        tuple(outputs),
        symbols,
        recipes,
        checks,
        definition.span,
        tuple(".".join(one.path) for one in written),
    )


# --- helpers ----------------------------------------------------------------------------------------------------------


def _owned(one: DraftDeclared) -> Input:
    """What the layer owns, as an input whose shape a call knows."""
    axes = tuple(one.stored.items())
    return Input(one.input, axes, one.kind, one.element, one.span, 0, one.places, ".".join(one.path))


def _owned_dimensions(ctx: Context) -> Iterator[Dimension]:
    for one in ctx.owned.in_order():
        for number, ((axis, size), place) in enumerate(zip(one.stored.items(), one.places, strict=True)):
            shown = ctx.display.get(axis, axis)
            label = Label(place, f"axis `{shown}` of `{'.'.join(one.path)}`")
            yield Dimension(one.input, number, shown, size, label)


def _all_determined(ctx: Context, known: set[str]) -> None:
    """Raises Undetermined for a size that nothing decides."""
    bodies: set[v.DraftBody] = set()
    for statement in ctx.statements.values():
        for size in (*statement.axes.values(), *v.sizes_of(statement.draft, bodies)):
            ctx.solver.undetermined(size, known)


def _named(ctx: Context, value: Value) -> str:
    """The name of a result; a literal, or a value whose axes were renamed, becomes a statement."""
    value = ctx.let(value, "result")
    if value.draft.form == "leaf":
        name, axes = value.draft.parts
        own = ctx.statements[name].axes if name in ctx.statements else ctx.sources[name].axes
        if tuple(own) == tuple(axis for axis, _ in axes):
            return name
    name = ctx.new_name("result")
    ctx.statements[name] = DraftStatement(name, value.real_axes, value.kind, value.draft, value.span, ())
    return name


def _order(
    env: Environment, definition: tree.Definition, value: Value, number: int, extras: Sequence[str]
) -> tuple[str, ...]:
    """Lifted axes first, then those that `->` states, or the signature's in order of first appearance."""
    lifted = [axis for axis in extras if axis in value.axes]
    results = definition.results
    if results is not None:
        stated = [axis for node in results[number].axes for axis in _axes(env, node.name)]
    else:
        stated = list(dict.fromkeys(axis for axes in signature_axes(definition, env) for axis in axes))
    rest = [axis for axis in stated if axis in value.axes and axis not in lifted]
    return (*lifted, *rest)


def _axes(env: Environment, name: str) -> tuple[str, ...]:
    found = env.axes[name]
    return found if isinstance(found, tuple) else (found,)
