"""Blocks that become bodies: what they capture from outside, and what they hand out.

In: a block whose statements were elaborated apart from those around it. Out: a `DraftBody` with its operands. What
always holds: a body refers to its own inputs and statements only; operands are leaves, literals or sizes of the block
around.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from namedlayers.errors import Span
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.state import Source
from namedlayers.program.elaboration.values import (
    AxisSizes,
    Draft,
    DraftBody,
    DraftStatement,
    Environment,
    Evaluated,
    Value,
)
from namedlayers.program.program import Input, Kind, Output
from namedlayers.syntax import tree


@dataclass(frozen=True, slots=True)
class Carried:
    """A name that goes from step to step: `input` is the body's input for it, `start` its value before the first."""

    name: str
    input: str
    axes: AxisSizes
    kind: Kind
    start: Value


@contextmanager
def block(ctx: Context) -> Iterator[dict[str, DraftStatement]]:
    """Statements are collected apart, in what this gives, from those of the block around."""
    around = ctx.statements
    ctx.outer.append(around)
    inside: dict[str, DraftStatement] = {}
    ctx.statements = inside
    try:
        yield inside
    finally:
        ctx.outer.pop()
        ctx.statements = around


def carry(ctx: Context, name: str, start: Value) -> Carried:
    """A carried name that begins with `start`, and the input of the body that stands for it."""
    inner = ctx.new_name(name)
    ctx.sources[inner] = Source(start.axes, start.kind, "data")
    ctx.carried[inner] = name
    return Carried(name, inner, start.axes, start.kind, start)


def carried_value(one: Carried, span: Span) -> Value:
    """What the body sees of a carried name."""
    return Value(v.leaf(one.input, one.axes), one.axes, one.kind, span)


def assigned(before: Mapping[str, Evaluated], env: Environment) -> list[str]:
    """The names that a block has assigned, in order; what it declares is not assigned."""
    return [
        name
        for name, found in env.values.items()
        if found is not before.get(name) and (name not in env.declares or name in env.states and name in before)
    ]


def output(ctx: Context, value: Value, hint: str, axes: Sequence[str] | None = None) -> Output:
    """A value as an output of the block that is elaborated, with its axes in this order."""
    value = ctx.let(ctx.materialise(value, value.virtual), hint)
    order = tuple(axes if axes is not None else value.axes)
    if value.draft.form == "leaf":
        name, own = value.draft.parts
        known = ctx.statements.get(name)
        if known is not None and tuple(known.axes) == tuple(axis for axis, _ in own):
            return Output(name, order)
    name = ctx.new_name(hint)
    ctx.statements[name] = DraftStatement(name, value.real_axes, value.kind, value.draft, value.span, ctx.within)
    return Output(name, order)


def close(
    ctx: Context, name: str, inside: Mapping[str, DraftStatement], carries: Sequence[Carried],
    outputs: Sequence[Output], span: Span, stands_for: Callable[[str], Draft | None], scanned: str | None = None,
) -> tuple[DraftBody, tuple[Draft, ...]]:  # fmt: skip
    """The body of a block, and its operands: start values, and then what it captures, in order of appearance.

    `stands_for` says which leaf around an input of the body stands for; None: the one of the same name, all of it, so
    that an axis of it that is called like the `scanned` one is called otherwise.
    """
    starts = [ctx.operand(one.start) for one in carries]
    inputs = [Input(one.input, tuple(one.axes.items()), "data", one.kind, span) for one in carries]
    own = {one.input for one in carries}
    operands: list[Draft] = list(starts)
    for leaf in captured(inside, own):
        source = _source(ctx, leaf)
        inputs.append(Input(leaf, tuple(source.axes.items()), source.role, source.kind, span))
        whole = {_beside(axis, source.axes) if axis == scanned else axis: size for axis, size in source.axes.items()}
        operands.append(stands_for(leaf) or v.leaf(leaf, whole))
    weight = sum(v.weight(one.draft) for one in inside.values())
    return DraftBody(name, tuple(inputs), tuple(inside.values()), tuple(outputs), span, weight), tuple(operands)


def captured(inside: Mapping[str, DraftStatement], own: set[str]) -> list[str]:
    """The names outside that a block's statements refer to."""
    found: dict[str, None] = {}
    for statement in inside.values():
        waiting = [statement.draft]
        while waiting:
            one = waiting.pop()
            if one.form == "leaf":
                name = one.parts[0]
                if name not in inside and name not in own:
                    found[name] = None
            elif one.form == "primitive":
                waiting += reversed(one.parts[2])
            else:
                waiting += [part for part in reversed(one.parts) if isinstance(part, Draft)]
    return list(found)


def without_return(body: tuple[tree.Statement, ...]) -> tree.Return | None:
    """The first `return` in a block, which is not allowed in one that becomes a body; None where there is none."""
    for statement in body:
        if isinstance(statement, tree.Return):
            return statement
        inner: tuple[tree.Statement, ...] = ()
        if isinstance(statement, tree.If):
            inner = (*statement.body, *statement.otherwise)
        elif isinstance(statement, (tree.Repeat, tree.Scan)):
            inner = statement.body
        found = without_return(inner)
        if found is not None:
            return found
    return None


def cast(ctx: Context, value: Value, kind: Kind) -> Value:
    """The value as an element of a wider kind."""
    if value.kind is kind:
        return value
    zero: int | float | complex = {Kind.INT: 0, Kind.REAL: 0.0, Kind.COMPLEX: 0j}[kind]
    return ctx.binary("add", value, v.constant(zero, value.span), value.span)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _beside(axis: str, axes: AxisSizes) -> str:
    """A name like `axis` that none of `axes` has."""
    while axis in axes:
        axis += "'"
    return axis


def _source(ctx: Context, name: str) -> Source:
    """What a captured name refers to. A parameter that was split stays one."""
    statement = ctx.find(name)
    if statement is None:
        return ctx.sources[name]
    draft = statement.draft
    if draft.form == "primitive" and draft.parts[0] == "split":
        draft = draft.parts[2][0]
    own = draft.form == "leaf" and ctx.find(draft.parts[0]) is None and ctx.sources[draft.parts[0]].role == "parameter"
    return Source(statement.axes, statement.kind, "parameter" if own else "data")
