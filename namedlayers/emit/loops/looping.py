"""Scans: a loop in Python over the steps, which is one operator where torch traces it.

In: a node `scan`. Out: a call of a generated function, in which the sequences are taken apart once, each step calls the
body's function, and what is needed of all steps is stacked at the end. What always holds: outputs that nothing takes
are not collected; one that is taken at the last step only is not, either.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import fx

from namedlayers.emit.expressions import GLOBALS
from namedlayers.emit.loops import in_place, scan_operator  # noqa: F401  (saved graphs ask for the operator)
from namedlayers.emit.loops.calling import function_of, number_of, parts, passed, taken
from namedlayers.emit.loops.places import lies_as_wanted
from namedlayers.emit.loops.recorded import Record, recorded, with_gradient
from namedlayers.emit.loops.recording import differentiated
from namedlayers.emit.loops.rewritten_steps import written
from namedlayers.emit.loops.scanning import Loop, nothing, traced, unobserved, whole
from namedlayers.emit.loops.steps_by_name import register
from namedlayers.emit.loops.whole_loops import Whole
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.names import Names
from namedlayers.emit.value import Value
from namedlayers.plan.regions import region_of
from namedlayers.program.graph import Node
from namedlayers.program.program import Body
from namedlayers.program.size import SizeExpr, symbol

if TYPE_CHECKING:
    from namedlayers.emit.bodies import BodyFunction


Result = tuple[int, int]
"""Which of the values that a step returns, and the dimension along which all steps are stacked; -1: the last one."""


@emits("scan")
def emit_scan(lo: Lowering, node: Node) -> Value:
    wanted = parts(lo, node)
    step = function_of(lo, node)
    run = running(lo, node, step, tuple(_result(lo, step, part) for part in wanted), wanted, node)
    args = (*run.given, lo.size(run.size), *run.sizes)
    places = [(part, k, axes_of(part, run.loop.results[k], step)) for k, part in enumerate(wanted)]
    return taken(lo, node, run.function, args, {}, places, len(wanted))


@dataclass(frozen=True)
class Running:
    """The function of a loop, and what it is called with: operands, the number of steps, further sizes."""

    function: Callable[..., Any]
    loop: Loop
    given: list[Value]
    owned: frozenset[int]
    size: SizeExpr
    sizes: list[Any]


def running(
    lo: Lowering, node: Node, step: BodyFunction, results: tuple[Result, ...], wanted: Sequence[Node], user: Node
) -> Running:  # fmt: skip
    """`results` are those of the `wanted` parts; `user`: for which node it is that the loop runs."""
    body = region_of(node).body
    given = [passed(lo, node, k, step.orders.inputs[k], tensors=True) for k in range(len(node.args))]
    scanned = tuple(len(value.axes) > len(one.axes) for value, one in zip(given, body.inputs, strict=True))
    carries, size, reverse = node.attr("carries"), node.attr("size"), bool(node.attr("reverse"))
    assert isinstance(carries, int) and isinstance(size, SizeExpr)
    loop = Loop(lo.bodies.key(step.function), scanned, carries, reverse, results, step.draws)
    axis = next((part.names[0] for part in wanted if part.op == "part"), "steps")
    wish = f"scan_{axis}{body.name.removeprefix('step')}"
    alone = owned(lo, node, given, scanned, user)
    function, symbols = _function(lo, node, wish, loop, step, given, alone)
    return Running(function, loop, given, alone, size, [lo.size(symbol(name)) for name in symbols])


def axes_of(part: Node, result: Result, step: BodyFunction) -> tuple[int, ...]:
    """The axes of a result: those of the step as they lie, the scanned one where the steps are stacked."""
    number, dim = result
    if part.op == "final":
        return step.orders.outputs[number]
    rest = [axis + 1 for axis in step.orders.outputs[number]]
    return (*rest[:dim], 0, *rest[dim:])


def owned(
    lo: Lowering, node: Node, given: Sequence[Value], scanned: Sequence[bool], user: Node | None = None
) -> frozenset[int]:  # fmt: skip
    """The sequences, by number, that were computed for this loop alone, or for the `user` that stands for it."""
    found = []
    alone_for = [user or node]
    for number, (arg, value, is_) in enumerate(zip(node.args, given, scanned, strict=True)):
        alone = lo.users[arg.node.number] == alone_for and arg.node not in lo.results
        if is_ and alone and sum(other.node is arg.node for other in alone_for[0].args) == 1 and _is_new(value):
            found.append(number)
    return frozenset(found)


# --- helpers ----------------------------------------------------------------------------------------------------------

_UNSEEN = frozenset({F.linear, torch.matmul, torch.bmm, operator.add, operator.sub, operator.mul})
"""Operations whose own gradients do not look at their result."""


def _result(lo: Lowering, step: BodyFunction, part: Node) -> Result:
    number = step.outputs.index(number_of(part))
    if part.op == "final":
        return number, -1
    wanted = lo.wants.get(part.number, tuple(range(part.rank)))
    dim = wanted.index(0) if lies_as_wanted(lo, part) else 0
    # Rows stay whole: a product takes them turned round, and a step would write, and read, one element of many.
    return number, dim - 1 if 0 < dim == len(wanted) - 1 and part not in lo.results else dim


def _key(lo: Lowering, loop: Loop, symbols: Sequence[str], record: Record | None) -> str:
    """The same for all loops that compute the same, in every process."""
    functions = () if record is None else (record.full, record.backward, record.after)
    keys = [lo.bodies.key(one) for one in functions if one is not None]
    parts = (repr(loop), repr(record), str(len(symbols)), *keys, *["compiled"] * lo.bodies.compiled)
    return f"{loop.key}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:8]}"


def _is_new(value: Value) -> bool:
    """Whether a tensor is no view of anything that somebody else has."""
    held = _behind_views(value.held)
    return isinstance(held, fx.Node) and (held.target is F.linear or written(held) is not None)


def _behind_views(held: Any) -> Any:
    while isinstance(held, fx.Node) and held.target in ("t", "transpose", "permute", "unflatten"):
        held = held.args[0]
    return held


def _function(
    lo: Lowering, node: Node, wish: str, loop: Loop, step: BodyFunction, given: Sequence[Value], owned: frozenset[int]
) -> tuple[Callable[..., Any], tuple[str, ...]]:
    """The loop's function, and the sizes that it takes; equal loops over one body are one."""
    body = region_of(node).body
    unseen = [k for k in sorted(owned) if _behind_views(given[k].held).target in _UNSEEN]
    found = differentiated(lo, node, wish, loop, step, unseen)
    record, symbols = (found.record, found.symbols) if found else (None, step.sizes)
    quick = in_place.defined(lo, f"{wish}_in_place", step, loop, owned)
    loop = replace(loop, key=_key(lo, loop, symbols, record))
    _register(lo, step, loop, symbols, record)
    if found:
        keeping = replace(found.record.keeping, key=f"{loop.key}-keeping")
        _register(lo, found.full, keeping, symbols, record, keeps=True)
        loop = replace(loop, keeping=keeping)

    def source(name: str) -> tuple[str, Mapping[str, Any]]:
        own = {step.name: step.function, "loop": loop, "traced": traced, "whole": whole, "nothing": nothing}
        own |= {} if quick is None else {quick.__name__: quick, "unobserved": unobserved}
        own |= {} if record is None else {"record": record, "recorded": recorded, "with_gradient": with_gradient}
        return _text(name, loop, step, body, Names({name, *own}), symbols, quick, record), {**GLOBALS, **own}

    return lo.bodies.define(wish, lo.names, source), symbols


def _register(
    lo: Lowering, step: BodyFunction, loop: Loop, symbols: Sequence[str], record: Record | None, *,
    keeps: bool = False,
) -> None:  # fmt: skip
    """Makes a loop known to the operator; what of it is compiled is shown among the sources."""
    found = Whole(step, loop, tuple(symbols.index(one) for one in step.sizes), record, lo.bodies.compiled, keeps)
    register(loop.key, found.function, found)
    lo.bodies.loops.append(loop.key)
    if found.source and found.source not in lo.bodies.sources:
        lo.bodies.sources.append(found.source)


def _text(
    name: str, loop: Loop, step: BodyFunction, body: Body, names: Names, symbols: Sequence[str],
    quick: Callable[..., Any] | None, record: Record | None,
) -> str:  # fmt: skip
    given = [names.fresh(one.name) for one in body.inputs]
    count, *every_size = [names.fresh(wish) for wish in ("steps", *symbols)]
    passed_on = [every_size[symbols.index(one)] for one in step.sizes]
    now = [names.fresh(f"{one}_now") if is_ else one for one, is_ in zip(given, loop.scanned, strict=True)]
    made = _made(loop, step, body, given, names)
    stacks = {k: names.fresh(f"{made[k]}_all") for k, dim in loop.results if dim >= 0}
    everything, extra = f"[{', '.join(given)}]", f"[{', '.join(every_size)}]"
    returned = [f"torch.stack({stacks[k]}, {dim})" if dim >= 0 else made[k] for k, dim in loop.results]
    lines = [
        f"if whole({count}):",
        f"    return traced(loop, {everything}, {count}, {extra})",
        f"if {count} == 0:",
        f"    return nothing(loop, {everything}, {extra})",
    ]
    if record is not None:
        lines += [
            f"if recorded({', '.join(given)}){f' and record.holds({extra})' if record.guards else ''}:",
            f"    return with_gradient(record, {everything}, {count}, {extra})",
        ]
    if quick is not None:
        found = names.fresh("found")
        lines += [
            f"if unobserved({', '.join(given)}):",
            f"    {found} = {quick.__name__}({', '.join((*given, count, *passed_on))})",
            f"    if {found} is not None:",
            f"        return {found}",
        ]
    lines += [
        *(f"{stack} = []" for stack in stacks.values()),
        f"{_over(given, now, loop, count)}:",
        f"    {', '.join(made)} = {step.name}({', '.join((*now, *passed_on))})",
        *(f"    {stack}.append({made[k]})" for k, stack in stacks.items()),
        *(f"{stack}.reverse()" for stack in stacks.values() if loop.reverse),
        f"return {', '.join(returned)}",
    ]
    header = f"def {name}({', '.join((*given, count, *every_size))}):"
    return "\n".join([header, *(f"    {line}" for line in lines), ""])


def _made(loop: Loop, step: BodyFunction, body: Body, given: list[str], names: Names) -> list[str]:
    """What a step's results are called: a carried one as its input is."""
    used = {k for k, _ in loop.results}
    return [
        given[number] if number < loop.carries else names.fresh(body.outputs[number].value) if k in used else "_"
        for k, number in enumerate(step.outputs)
    ]


def _over(given: list[str], now: list[str], loop: Loop, count: str) -> str:
    """The head of the loop: the sequences, taken apart along their first dimension, side by side."""
    pairs = [(one, at) for one, at, is_ in zip(given, now, loop.scanned, strict=True) if is_]
    taken_apart = [f"{one}.unbind()" for one, _ in pairs]
    if loop.reverse:
        taken_apart = [f"reversed({one})" for one in taken_apart]
    if not pairs:
        return f"for _ in range({count})"
    if len(pairs) == 1:
        return f"for {pairs[0][1]} in {taken_apart[0]}"
    return f"for {', '.join(at for _, at in pairs)} in zip({', '.join(taken_apart)})"
