"""A plan becomes something to call: a plain Python function, its source, and a module for each variant.

In: a program and its plan. Out: `Compiled`. What always holds: the function and the modules are printed by one printer
from the same fx graphs; nothing symbolic happens in a call; a call that fails its checks raises the `FormulaError`
that `solve_sizes` finds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import torch
from torch import fx

from namedlayers.emit.beside import TOLD
from namedlayers.emit.bodies import Bodies, BodyFunction
from namedlayers.emit.diagnosis import diagnose, shape_of
from namedlayers.emit.emission import lower
from namedlayers.emit.functions import execute, lowered, printable, signature
from namedlayers.emit.loops.steps_by_name import faster_of
from namedlayers.emit.names import Names
from namedlayers.emit.printer import Printer, print_function
from namedlayers.emit.prologue import Prologue
from namedlayers.plan.plan import Event, Guard, Plan, Variant
from namedlayers.program.graph import Graph
from namedlayers.program.program import Program
from namedlayers.program.sizes_at_call import solve_sizes


@dataclass(frozen=True)
class Compiled:
    """`function` takes the program's inputs by position, tensors or numbers, and returns a tensor or a tuple of them.
    `code` is its source; `variants` are those that it picks from; `bodies` are the functions that it calls, `loops` the
    keys of its loops. `unpacked` are the inputs whose numbers of axes the function finds out before all else."""

    program: Program
    plan: Plan
    variants: tuple[Variant, ...]
    graphs: tuple[fx.Graph, ...]
    code: str
    function: Callable[..., Any]
    prologue: Prologue
    bodies: tuple[BodyFunction, ...] = ()
    loops: tuple[str, ...] = ()
    unpacked: frozenset[int] = frozenset()

    @cached_property
    def modules(self) -> tuple[fx.GraphModule, ...]:
        """A module for each variant: for `torch.export`, for passes over graphs, and to look at. Bodies are children of
        it, to look at only: the graph calls their functions."""
        found = tuple(_module(graph, self.program, self.prologue) for graph in self.graphs)
        for module in found:
            for body in self.bodies:
                module.add_module(body.name, body.module)
        return found

    @property
    def failures(self) -> tuple[str, ...]:
        """What calls so far wanted compiled of loops, and could not get."""
        found = [one for key in self.loops if (one := faster_of(key)) is not None]
        return tuple(dict.fromkeys(line for one in found for line in one.failures))

    @property
    def events(self) -> tuple[Event, ...]:
        """What was done when the plan became graphs."""
        told = (node.meta[TOLD] for graph in self.graphs for node in graph.nodes if TOLD in node.meta)
        return tuple(Event("convolutions of one input", "exact", spans) for spans in dict.fromkeys(told))

    def select(self, *args: Any) -> int:
        """The number of the variant that a call with these arguments runs. Raises FormulaError as the call does."""
        return self.select_for(self.sizes(*args))

    def sizes(self, *args: Any) -> dict[str, int]:
        """The sizes of a call with these arguments, by symbol. Raises FormulaError as the call does."""
        shapes = {given.name: shape_of(arg) for given, arg in zip(self.program.inputs, args, strict=True)}
        return dict(solve_sizes(self.program, shapes))

    def select_for(self, sizes: Mapping[str, int]) -> int:
        """The number of the variant that runs for these sizes."""
        return next(k for k, variant in enumerate(self.variants) if all(holds(g, sizes) for g in variant.guards))

    def diagnose(self, args: tuple, error: Exception) -> None:
        """Raises the FormulaError that says why a call failed with an exception of torch's, if it is the formula's."""
        diagnose(self.program, args, self.variants[-1].graph, error)


def build(
    program: Program, plan: Plan, *, checkpoint: frozenset[str] = frozenset(), precision: torch.dtype | None = None,
    compiled: bool = False,
) -> Compiled:  # fmt: skip
    """The function of a program, from its plan. Calls of the bodies that `checkpoint` names keep nothing for the
    backward pass but their inputs, and are computed once more there. `precision` is that of matrix products,
    convolutions and attention; None: that of their operands. `compiled`: loops are compiled by the inductor."""
    name = Names().fresh(program.name)
    bodies = Bodies(plan, name, program.symbols, checkpoint, precision, compiled)
    prologue, names = _begin(program, bodies)
    found = lowered(plan.variants, program, prologue, names, bodies)
    code, namespace = print_function(name, prologue, printable(found, prologue, names), signature(program))
    function = execute(name, code, namespace | {"fail": _failing(program)})
    variants, graphs = zip(*found, strict=True)
    code = "\n\n".join([*bodies.sources, code])
    return Compiled(
        program, plan, variants, graphs, code, function, prologue, bodies.made(), tuple(bodies.loops), prologue.unpacked
    )


def emit(graph: Graph, program: Program) -> fx.GraphModule:
    """The module of one variant that has no guards and runs no bodies."""
    bodies = Bodies(Plan((), ()))
    prologue, names = _begin(program, bodies)
    return _module(lower(graph, program, prologue, names, bodies)[0], program, prologue)


def holds(guard: Guard, sizes: Mapping[str, int]) -> bool:
    left, right = guard.left.evaluate(sizes), guard.right.evaluate(sizes)
    return {"<=": left <= right, "<": left < right, "==": left == right, ">=": left >= right, ">": left > right}[
        guard.relation
    ]


# --- helpers ----------------------------------------------------------------------------------------------------------


def _begin(program: Program, bodies: Bodies) -> tuple[Prologue, Names]:
    names = Names(bodies.names)
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
