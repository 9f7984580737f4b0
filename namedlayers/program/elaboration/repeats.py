"""`repeat`: a block that runs several times, elaborated once where its rounds are alike.

In: a `repeat` and its environment. Out: for rounds that are alike, one body and a `call` of it for each round, with the
parameters of that round; else the rounds one after the other. What always holds: both mean the same; a body is made
only where no round depends on its number, and what goes from round to round keeps its axes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from namedlayers.errors import ArgumentError, FormulaSyntaxError, Label
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.bodies import (
    Carried,
    assigned,
    block,
    captured,
    carried_value,
    carry,
    close,
    output,
    without_return,
)
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.layers import enter_round
from namedlayers.program.elaboration.owned import DraftDeclared
from namedlayers.program.elaboration.state import Source
from namedlayers.program.elaboration.values import (
    Draft,
    DraftBody,
    Environment,
    Evaluated,
    Instance,
    Static,
    Value,
)
from namedlayers.program.program import Kind, Output
from namedlayers.program.spec import NeedsStatic
from namedlayers.syntax import tree

MOST_ROUNDS = 10_000

MOST_RUN = 200_000
"""How many statements the rounds of a block come to at most, those of the blocks inside it included."""

FEW = 8
"""Blocks that own nothing are written out for up to so many rounds, so that what spans rounds is seen."""


def repeat(ctx: Context, statement: tree.Repeat, env: Environment) -> Evaluated | None:
    """Run a repeated block; what it returns, if it does."""
    count = ctx.size(statement.count, env, "how often to repeat").value
    if count is None:
        raise NeedsStatic(axes=ctx.size(statement.count, env).symbols)
    if count < 0 or count > MOST_ROUNDS:
        raise ArgumentError(
            "NL0231", f"a block repeats 0 to {MOST_ROUNDS} times, not {count}", Label(statement.count.span)
        )
    path, order, declared, training = env.path, env.order, set(env.declares), env.values.get("training")
    try:
        if count > 1 and not ctx.modes and _may_be_alike(statement) and _as_body(ctx, statement, env, count):
            return None
        for k in range(count):
            if statement.index is not None:
                env.values[statement.index.name] = Static(k, statement.index.span)
            if training is not None:
                env.values["training"] = training  # a round may have had a mode of its own
            enter_round(ctx, statement, k, path, order, env)
            found = ctx.run_block(statement.body, env)
            if found is not None:
                return found
    finally:
        env.path, env.order = path, order
        if training is not None:
            env.values["training"] = training
        for name in env.declares.keys() - declared:  # each round had its own
            del env.declares[name]
            env.values.pop(name, None)
            env.states.pop(name, None)
    return None


# --- rounds that are alike --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Round:
    """What round 0 came to: its body and what it hands out; `prefix` is the path of what it owns."""

    body: DraftBody
    operands: tuple[Draft, ...]
    carries: tuple[Carried, ...]
    states: tuple[str, ...]
    others: tuple[str, ...]
    values: tuple[Value, ...]
    outputs: tuple[Output, ...]
    prefix: tuple[str, ...]
    place: int


def _may_be_alike(statement: tree.Repeat) -> bool:
    """Whether the text of a block leaves it open that all its rounds are alike."""
    index = None if statement.index is None else statement.index.name
    if without_return(statement.body) is not None:
        return False
    return not any(isinstance(node, tree.Name) and node.name == index for node in _nodes(statement.body))


def _as_body(ctx: Context, statement: tree.Repeat, env: Environment, count: int) -> bool:
    """Elaborates round 0 as a body, and calls it for each round; False, with nothing changed, where that cannot be."""
    before, names, statements = dict(env.values), set(ctx.names), frozenset(ctx.statements)
    owned = ctx.owned
    kept = owned.snapshot()
    around, ctx.round = ctx.round, ctx.round
    path, order = env.path, env.order
    try:
        found = _first_round(ctx, statement, env)
        if found is not None and (count > FEW or len(owned.declared) > len(kept[0])):
            ctx.round = around
            _call_rounds(ctx, statement, env, found, count, before)
            return True
    finally:
        ctx.round = around
        env.path, env.order = path, order
    env.values, ctx.names = before, names
    owned.restore(kept)
    for name in [name for name in ctx.statements if name not in statements]:
        del ctx.statements[name]
    return False


def _first_round(ctx: Context, statement: tree.Repeat, env: Environment) -> _Round | None:
    """Round 0 as a body; None where the next one would differ from it."""
    owned = ctx.owned
    before, written = dict(env.values), dict(owned.written)
    targets = {name.name for one in _nodes(statement.body) if isinstance(one, tree.Assign) for name in one.targets}
    if any(name in before and not isinstance(before[name], Value) for name in targets):
        return None  # round 0 sees a static there, later ones a value
    starts = {
        name: ctx.let(ctx.materialise(found, found.axes), name)
        for name, found in before.items()
        if name in targets and isinstance(found, Value) and name not in env.states
    }
    starts = {name: ctx.at_step(start) for name, start in starts.items()}
    carries = [carry(ctx, name, start) for name, start in starts.items()]
    declared = set(owned.declared)
    with block(ctx) as inside:
        for one in carries:
            env.values[one.name] = carried_value(one, one.start.span)
        entered = dict(env.values)
        enter_round(ctx, statement, 0, env.path, env.order, env)
        prefix = env.path or ()
        ctx.round = prefix
        ctx.run_block(statement.body, env)
        changed = assigned(entered, env)
        used = set(captured(inside, set()))
        carries = [one for one in carries if one.input in used]
        if not all(_keeps(ctx, one, env.values[one.name]) for one in carries):
            return None
        writes = [path for path, value in owned.written.items() if written.get(path) is not value]
        if any(path in declared for path in writes):
            return None  # a state of the layer around goes from round to round
        values = [_as_carried(ctx, one, env.values[one.name]) for one in carries]
        values += [owned.written[path] for path in writes]
        kept = [one.name for one in carries]
        others = [name for name in changed if name not in kept and isinstance(env.values[name], Value)]
        values += [env.values[name] for name in others]  # type: ignore[misc]
        hints = [*kept, *(path.rpartition(".")[2] for path in writes), *others]
        outputs = [output(ctx, value, hint) for value, hint in zip(values, hints, strict=True)]
    body, operands = close(ctx, prefix[-2] if prefix else "block", inside, carries, outputs, statement.span, _no_other)
    return _Round(
        body, operands, tuple(carries), tuple(writes), tuple(others), tuple(values), tuple(outputs), prefix,
        statement.span.start,
    )  # fmt: skip


def _call_rounds(
    ctx: Context, statement: tree.Repeat, env: Environment, first: _Round, count: int, before: dict[str, Evaluated]
) -> None:
    """One call of the body for each round, with what the round owns."""
    weight = first.body.weight
    if count * weight > MOST_RUN:
        raise FormulaSyntaxError(
            "NL0604", f"the block makes {weight} statements and runs {count} times: more than {MOST_RUN} in all",
            Label(statement.count.span),
        )  # fmt: skip
    owned = ctx.owned
    own = {one.input: one for one in owned.declared.values() if _under(one.path, first.prefix)}
    parts = [part for part in owned.parts.values() if _under(part.path, first.prefix)]
    carried = [one.start.draft for one in first.carries]
    rest = first.operands[len(carried) :]
    changes: dict[str, Evaluated] = {name: found for name, found in env.values.items() if not isinstance(found, Value)}
    for k in range(count):
        inputs = {name: _of_round(ctx, one, first, k) for name, one in own.items()}
        for part in parts:
            where = _at_round(part.path, first.prefix, k)
            owned.parts[".".join(where)] = replace(part, path=where, order=_order_at(part.order, first, k))
        operands = (*carried, *(_operand(draft, inputs) for draft in rest))
        call = v.primitive("call", {"body": first.body}, operands, {})
        bundle = ctx.let(Value(call, {}, Kind.REAL, statement.span), first.body.name)
        results: list[Value] = []
        for number, (value, given) in enumerate(zip(first.values, first.outputs, strict=True)):
            if number >= len(first.carries) + len(first.states) and k < count - 1:
                break  # nothing but the last round's is seen
            axes = {axis: value.axes[axis] for axis in given.axes}
            part_of = v.primitive("part", {"number": number}, (bundle.draft,), axes)
            results.append(ctx.let(Value(part_of, axes, value.kind, value.span), _hint(first, number)))
        carried = [value.draft for value in results[: len(first.carries)]]
        states = results[len(first.carries) : len(first.carries) + len(first.states)]
        for path, value in zip(first.states, states, strict=True):
            owned.written[".".join(_at_round(tuple(path.split(".")), first.prefix, k))] = value
    names = [one.name for one in first.carries]
    last = dict(zip((*names, *first.states, *first.others), results, strict=True))
    last = {name: value for name, value in last.items() if name not in first.states}
    env.values = {**before, **{name: _later(found, first, count - 1) for name, found in changes.items()}, **last}
    for name in last:
        env.undefined.pop(name, None)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _keeps(ctx: Context, one: Carried, found: Evaluated) -> bool:
    """Whether a carried name comes out of a round as it went in."""
    if not isinstance(found, Value) or found.kind is not one.kind or found.axes.keys() != one.axes.keys():
        return False
    normal = ctx.solver.normal
    return all(normal(size) == normal(one.axes[axis]) for axis, size in found.axes.items())


def _as_carried(ctx: Context, one: Carried, found: Evaluated) -> Value:
    assert isinstance(found, Value)
    value = ctx.materialise(found, found.virtual)
    return replace(value, axes={axis: value.axes[axis] for axis in one.axes})


def _of_round(ctx: Context, one: DraftDeclared, first: _Round, k: int) -> str:
    """What a round owns in the place of what round 0 declared: its input, declared here."""
    path = _at_round(one.path, first.prefix, k)
    local = path[len(ctx.round) :] if _under(path, ctx.round) else path
    name = ctx.new_name("_".join(local))
    ctx.sources[name] = Source(one.stored, one.element, "parameter")
    found = replace(one, path=path, order=_order_at(one.order, first, k), input=name)
    ctx.owned.declared[".".join(path)] = found
    return name


def _operand(draft: Draft, inputs: dict[str, str]) -> Draft:
    if draft.form == "leaf" and draft.parts[0] in inputs:
        return Draft("leaf", (inputs[draft.parts[0]], draft.parts[1]))
    return draft


def _hint(first: _Round, number: int) -> str:
    names = [one.name for one in first.carries]
    names += [path.rpartition(".")[2] for path in first.states]
    return (*names, *first.others)[number]


def _later(found: Evaluated, first: _Round, k: int) -> Evaluated:
    """An instance that round 0 assigned, as the last round has it."""
    if isinstance(found, Instance) and _under(found.path, first.prefix):
        return replace(found, path=_at_round(found.path, first.prefix, k), order=_order_at(found.order, first, k))
    return found


def _under(path: tuple[str, ...], prefix: tuple[str, ...]) -> bool:
    return bool(prefix) and path[: len(prefix)] == prefix


def _at_round(path: tuple[str, ...], prefix: tuple[str, ...], k: int) -> tuple[str, ...]:
    return (*prefix[:-1], str(k), *path[len(prefix) :])


def _order_at(order: tuple[int, ...], first: _Round, k: int) -> tuple[int, ...]:
    """The place in the text, which begins with that of the block and the round."""
    at = order.index(first.place)
    return (*order[: at + 1], k, *order[at + 2 :])


def _no_other(name: str) -> Draft | None:
    return None


def _nodes(body: tuple[tree.Statement, ...]) -> Iterator[tree.Node]:
    waiting: list[Any] = [body]
    while waiting:
        one = waiting.pop()
        if isinstance(one, tuple):
            waiting += one
        elif isinstance(one, tree.Node):
            yield one
            waiting += [getattr(one, field.name) for field in fields(one) if field.name != "span"]
