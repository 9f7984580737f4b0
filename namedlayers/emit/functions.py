"""Generated functions: of a program, of a body, of a loop; all are lowered, printed and made to run here.

In: variants of a plan. Out: fx graphs, and Python functions with their source. What always holds: a function's source
is known to `linecache`, so that tracebacks and `inspect` show it.
"""

from __future__ import annotations

import hashlib
import linecache
import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import fx

from namedlayers.emit.emission import lower
from namedlayers.emit.names import Names
from namedlayers.emit.printer import Choice, Printable
from namedlayers.emit.prologue import Prologue
from namedlayers.plan.plan import Guard, Variant
from namedlayers.plan.planner import MOST_VARIANTS
from namedlayers.plan.scans.joint_steps import joined
from namedlayers.plan.scans.outer_sums import summed
from namedlayers.plan.scans.stretches import stretched
from namedlayers.program.program import Program
from namedlayers.program.size import SizeExpr, size_expr

if TYPE_CHECKING:
    from namedlayers.emit.bodies import Bodies

Lowered = tuple[tuple[Variant, fx.Graph], ...]

VARIANT = "variant"
"""Marks, in the meta of what a graph returns, the variant that it is."""

FOR_EMPTY = "for empty axes"
"""Why there is a variant that an emission has asked for."""

CHEAP = 8
"""So many terms are computed faster than it is found out that they were computed before."""


def lowered(
    variants: Sequence[Variant], program: Program, prologue: Prologue, names: Names, bodies: Bodies
) -> Lowered:  # fmt: skip
    """The variants with what their emission asks of sizes, and their graphs."""
    found: list[tuple[Variant, fx.Graph]] = []
    for number, variant in enumerate(variants):
        # An emission that takes some sizes not to be 0 needs one variant more, for when they are.
        optimistic = number < len(variants) - 1 or number + 1 < MOST_VARIANTS
        planned = variant.graph if prologue.inner else joined(stretched(summed(variant.graph)))
        graph, assumed = lower(planned, program, prologue, names.copy(), bodies, _floors(variant), optimistic)
        guards = tuple(Guard(size, ">=", size_expr(1)) for size in assumed)
        found.append((Variant((*variant.guards, *guards), variant.graph, variant.why), graph))
        if guards and number == len(variants) - 1:
            careful, _ = lower(planned, program, prologue, names.copy(), bodies, _floors(variant))
            found.append((Variant(variant.guards, variant.graph, FOR_EMPTY), careful))
    for variant, graph in found:
        next(reversed(graph.nodes)).meta[VARIANT] = variant
    return tuple(found)


def printable(found: Lowered, prologue: Prologue, names: Names) -> Printable:
    """The variants with their conditions; these are a function of their own where they take some arithmetic."""
    sides = [side for variant, _ in found[:-1] for guard in variant.guards for side in (guard.left, guard.right)]
    choice = None
    conditions = [_condition(variant, prologue, {}) for variant, _ in found]
    if sum(len(side.terms) for side in dict.fromkeys(sides)) > CHEAP:
        choice = _choice(found, prologue, names.copy(), sides)
        conditions = [f"{choice.name} == {number}" for number in range(len(found))]
    shown = zip(conditions, found, strict=True)
    return Printable(choice, tuple((one, variant.why, graph) for one, (variant, graph) in shown))


def signature(program: Program) -> str:
    """The program's inputs and results with their axes, in the order in which torch callers give and get them."""
    inputs = ", ".join(f"{given.name}[{', '.join(name for name, _ in given.axes)}]" for given in program.inputs)
    outputs = ", ".join(f"[{', '.join(output.axes)}]" for output in program.outputs)
    return f"{inputs} -> {outputs}"


def execute(name: str, code: str, namespace: dict[str, Any]) -> types.FunctionType:
    """The function that a piece of source defines."""
    file = f"<namedlayers {name} {hashlib.sha256(code.encode()).hexdigest()[:12]}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    exec(compile(code, file, "exec"), namespace)
    namespace[name].__module__ = "namedlayers.generated"  # torch.fx asks where a function is from when it prints one
    return namespace[name]


# --- helpers ----------------------------------------------------------------------------------------------------------


def _floors(variant: Variant) -> list[tuple[SizeExpr, SizeExpr]]:
    """What the guards say about how large sizes are at least."""
    found = []
    for guard in variant.guards:
        more = 1 if guard.relation in ("<", ">") else 0
        if guard.relation in (">=", ">", "=="):
            found.append((guard.left, guard.right + more))
        if guard.relation in ("<=", "<", "=="):
            found.append((guard.right, guard.left + more))
    return found


def _choice(found: Lowered, prologue: Prologue, names: Names, sides: Sequence[SizeExpr]) -> Choice:
    often = [side for side in dict.fromkeys(sides) if len(side.terms) > 1 and sides.count(side) > 1]
    called = {side: names.fresh("cost") for side in often}
    costs = tuple(f"{name} = {prologue.render(side)}" for side, name in called.items())
    conditions = tuple(_condition(variant, prologue, called) for variant, _ in found[:-1])
    return Choice(names.fresh("variant"), costs, conditions)


def _condition(variant: Variant, prologue: Prologue, called: Mapping[SizeExpr, str]) -> str:
    def shown(size: SizeExpr) -> str:
        return called.get(size) or prologue.render(size)

    return " and ".join(f"{shown(guard.left)} {guard.relation} {shown(guard.right)}" for guard in variant.guards)
