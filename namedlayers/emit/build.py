"""A plan becomes something to call: a plain Python function, its source, and a module for each variant.

In: a program and its plan. Out: `Compiled`. What always holds: the function and the modules are printed by one printer
from the same fx graphs; nothing symbolic happens in a call; a call that fails its checks raises the `FormulaError`
that `solve_sizes` finds.
"""

from __future__ import annotations

import hashlib
import linecache
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import torch
from torch import fx

from namedlayers.emit.diagnosis import diagnose, shape_of
from namedlayers.emit.emission import lower
from namedlayers.emit.names import Names
from namedlayers.emit.printer import Printer, print_function
from namedlayers.emit.prologue import Prologue
from namedlayers.plan.plan import Guard, Plan, Variant
from namedlayers.plan.planner import MOST_VARIANTS
from namedlayers.program.graph import Graph
from namedlayers.program.program import Program
from namedlayers.program.size import SizeExpr, size_expr
from namedlayers.program.sizes_at_call import solve_sizes


@dataclass(frozen=True)
class Compiled:
    """`function` takes the program's inputs by position, tensors or numbers, and returns a tensor or a tuple of them.
    `code` is its source; `variants` are those that it picks from."""

    program: Program
    plan: Plan
    variants: tuple[Variant, ...]
    graphs: tuple[fx.Graph, ...]
    code: str
    function: Callable[..., Any]
    prologue: Prologue

    @cached_property
    def modules(self) -> tuple[fx.GraphModule, ...]:
        """A module for each variant: for `torch.export`, for passes over graphs, and to look at."""
        return tuple(_module(graph, self.program, self.prologue) for graph in self.graphs)

    def select(self, *args: Any) -> int:
        """The number of the variant that a call with these arguments runs. Raises FormulaError as the call does."""
        shapes = {given.name: shape_of(arg) for given, arg in zip(self.program.inputs, args, strict=True)}
        return self.select_for(solve_sizes(self.program, shapes))

    def select_for(self, sizes: Mapping[str, int]) -> int:
        """The number of the variant that runs for these sizes."""
        return next(k for k, variant in enumerate(self.variants) if all(holds(g, sizes) for g in variant.guards))

    def diagnose(self, args: tuple, error: Exception) -> None:
        """Raises the FormulaError that says why a call failed with an exception of torch's, if it is the formula's."""
        diagnose(self.program, args, self.variants[-1].graph, error)


def build(program: Program, plan: Plan) -> Compiled:
    """The function of a program, from its plan."""
    prologue, names = _begin(program)
    variants: list[Variant] = []
    graphs: list[fx.Graph] = []
    for number, variant in enumerate(plan.variants):
        # An emission that takes some sizes not to be 0 needs one variant more, for when they are.
        optimistic = number < len(plan.variants) - 1 or number + 1 < MOST_VARIANTS
        graph, assumed = lower(variant.graph, program, prologue, names.copy(), _floors(variant), optimistic)
        guards = tuple(Guard(size, ">=", size_expr(1)) for size in assumed)
        variants.append(Variant((*variant.guards, *guards), variant.graph, variant.why))
        graphs.append(graph)
        if guards and number == len(plan.variants) - 1:
            careful, _ = lower(variant.graph, program, prologue, names.copy(), _floors(variant))
            variants.append(Variant(variant.guards, variant.graph, "for empty axes"))
            graphs.append(careful)
    printed = [(_condition(v, prologue), v.why, graph) for v, graph in zip(variants, graphs, strict=True)]
    name = Names().fresh(program.name)
    code, namespace = print_function(name, prologue, printed, signature(program))
    function = _execute(name, code, namespace | {"fail": _failing(program)})
    return Compiled(program, plan, tuple(variants), tuple(graphs), code, function, prologue)


def emit(graph: Graph, program: Program) -> fx.GraphModule:
    """The module of one variant that has no guards."""
    prologue, names = _begin(program)
    return _module(lower(graph, program, prologue, names)[0], program, prologue)


def holds(guard: Guard, sizes: Mapping[str, int]) -> bool:
    left, right = guard.left.evaluate(sizes), guard.right.evaluate(sizes)
    return {"<=": left <= right, "<": left < right, "==": left == right, ">=": left >= right, ">": left > right}[
        guard.relation
    ]


def signature(program: Program) -> str:
    """The program's inputs and results with their axes, in the order in which torch callers give and get them."""
    inputs = ", ".join(f"{given.name}[{', '.join(name for name, _ in given.axes)}]" for given in program.inputs)
    outputs = ", ".join(f"[{', '.join(output.axes)}]" for output in program.outputs)
    return f"{inputs} -> {outputs}"


# --- helpers ----------------------------------------------------------------------------------------------------------


def _begin(program: Program) -> tuple[Prologue, Names]:
    names = Names()
    return Prologue(program, names), names


def _module(graph: fx.Graph, program: Program, prologue: Prologue) -> fx.GraphModule:
    graph.set_codegen(Printer(prologue, _failing(program)))
    return fx.GraphModule(torch.nn.Module(), graph, class_name=Names().fresh(program.name))


def _failing(program: Program) -> Callable[..., NoReturn]:
    def fail(*args: Any) -> NoReturn:
        """Finds the fault in the sizes again, and raises it with its place in the text."""
        diagnose(program, args)
        raise AssertionError("the checks of a call and their diagnosis disagree")

    return fail


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


def _condition(variant: Variant, prologue: Prologue) -> str:
    conditions = (f"{prologue.render(g.left)} {g.relation} {prologue.render(g.right)}" for g in variant.guards)
    return " and ".join(conditions)


def _execute(name: str, code: str, namespace: dict[str, Any]) -> types.FunctionType:
    """The function; its source is known to `linecache`, so that tracebacks and `inspect` show it."""
    file = f"<namedlayers {name} {hashlib.sha256(code.encode()).hexdigest()[:12]}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    exec(compile(code, file, "exec"), namespace)
    return namespace[name]
