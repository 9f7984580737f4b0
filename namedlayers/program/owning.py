"""What a layer owns, at the end of its elaboration.

In: the context in which a layer was elaborated. Out: its `Structure`, and the outputs that are the states' new values.
What always holds: sizes are solved as far as the data and the given sizes go; what is left is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from namedlayers.errors import Span
from namedlayers.program import terms
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.bodies import output
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.layers import sized_names
from namedlayers.program.elaboration.owned import DraftDeclared, DraftInitial, DraftPart
from namedlayers.program.elaboration.places import axis_in_signature
from namedlayers.program.elaboration.values import Environment
from namedlayers.program.program import Input, Output, Program
from namedlayers.program.size import SizeExpr
from namedlayers.program.solver import Dimension
from namedlayers.program.structure import Declared, Initial, Part, Structure
from namedlayers.syntax import tree


def finish_structure(
    ctx: Context, env: Environment, definition: tree.Definition, inputs: tuple[Input, ...],
    dimensions: Sequence[Dimension],
) -> Structure:  # fmt: skip
    """The structure; symbols that no input determines are listed as free."""
    symbols, recipes, checks = ctx.solver.finish(dimensions, lenient=True)
    normal = ctx.solver.normal
    inputs = tuple(
        Input(i.name, tuple((a, normal(s)) for a, s in i.axes), i.role, i.kind, i.span, i.lifted, i.places)
        for i in inputs
    )
    program = Program(definition.name, inputs, (), (), symbols, recipes, checks, definition.span)
    drafts = ctx.owned.in_order()
    declared = tuple(_declared(ctx, one) for one in drafts)
    parts = tuple(_part(ctx, one) for one in sorted(ctx.owned.parts.values(), key=lambda one: one.order))
    mine = {axis for one in drafts for group in one.groups for axis, _ in group}
    stars = {name for name, axes in env.axes.items() if isinstance(axes, tuple) and mine.intersection(axes)}
    return Structure(declared, parts, program, frozenset(stars), _free(ctx, env, definition, declared, set(symbols)))


def state_output(ctx: Context, one: DraftDeclared) -> Output:
    """The new value of a state as an output, with the dimensions in which it is stored."""
    value = v.renamed(ctx.owned.written[".".join(one.path)], one.axes)
    for axis, group in zip(one.stored, one.groups, strict=True):
        if len(group) != 1:
            members = tuple(name for name, _ in group)
            axes: dict[str, SizeExpr] = {}
            for name, size in value.axes.items():
                axes |= {axis: one.stored[axis]} if name == members[0] else {} if name in members else {name: size}
            attrs = {"axes": members, "into": axis}
            value = ctx.primitive("merge", (value,), axes, value.span, attrs, hint=one.path[-1])
    return output(ctx, value, one.path[-1], tuple(one.stored))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _declared(ctx: Context, one: DraftDeclared) -> Declared:
    normal, shown = ctx.solver.normal, ctx.display
    dimensions = tuple(tuple((shown.get(axis, axis), normal(size)) for axis, size in group) for group in one.groups)
    begins = _initial(ctx, one, one.initial)
    return Declared(".".join(one.path), one.kind, dimensions, one.element, begins, one.span)


def _initial(ctx: Context, tensor: DraftDeclared, one: DraftInitial) -> Initial:
    normal = ctx.solver.normal
    program = None
    if one.outputs:
        with terms.building():
            statements = v.build_statements(one.statements, normal)
        needed = {name for s in one.statements for size in (*s.axes.values(), *v.sizes_of(s.draft))
                  for name in normal(size).symbols}  # fmt: skip
        program = Program("initial", (), statements, one.outputs, tuple(sorted(needed)), (), (), one.span)
    fans = tuple(normal(fan) for fan in one.fans)
    stored = list(tensor.stored)
    places = () if one.function else tuple(stored.index(axis) for axis in one.outputs[0].axes)
    return Initial(one.function, fans, program, one.names, one.words, one.span, places)


def _part(ctx: Context, one: DraftPart) -> Part:
    def static(value: Any) -> Any:
        if isinstance(value, SizeExpr):
            solved = ctx.solver.normal(value)
            return solved if solved.value is None else solved.value
        return tuple(map(static, value)) if isinstance(value, tuple) else value

    options = {name: static(value) for name, value in one.options.items()}
    sizes = tuple((name, ctx.solver.normal(size)) for name, size in one.sizes.items())
    return Part(".".join(one.path), one.definition, one.namespace, options, sizes, one.span)


def _free(
    ctx: Context, env: Environment, definition: tree.Definition, declared: Sequence[Declared], known: set[str]
) -> Mapping[str, tuple[str, Span]]:
    """The symbols that are left, each with an axis that the constructor takes: the layer's own, if any."""
    left = {name for one in declared for size in one.sizes for name in size.symbols} - known
    found: dict[str, tuple[str, Span]] = {}
    for name in sized_names(definition):
        axis = env.axes.get(name)
        if not isinstance(axis, str) or axis not in env.sizes:
            continue
        for symbol in ctx.solver.normal(env.sizes[axis]).symbols & left:
            found.setdefault(symbol, (name, axis_in_signature(definition, name)))
    for symbol in sorted(left - found.keys()):
        found[symbol] = (symbol, ctx.solver.origins[symbol].span)
    return found
