"""The functions of the parts of a graph.

In: a program, its plan, a part. Out: a Python function of the program's inputs, the values that the part takes and all
sizes, which returns the values that it gives. What always holds: it is made by the emission that makes everything else;
what a program returns in the end has the precision that its callers get.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from namedlayers.emit.bodies import Bodies
from namedlayers.emit.functions import execute, lowered, printable, signature
from namedlayers.emit.names import Names
from namedlayers.emit.printer import print_function
from namedlayers.emit.prologue import Entry, Orders
from namedlayers.plan.parts import VALUE, Part
from namedlayers.plan.plan import Plan, Variant
from namedlayers.plan.scans.looping import draws
from namedlayers.program.program import Input, Output, Program


@dataclass(frozen=True, slots=True)
class PartFunction:
    """`function` takes tensors and then the sizes of `symbols`, and returns a tensor or a tuple of them. `quick` is the
    same, for calls of which no gradient is wanted. `draws`: whether it draws random numbers."""

    part: Part
    function: Callable[..., Any]
    symbols: tuple[str, ...]
    code: str
    quick: Callable[..., Any]
    draws: bool


def function_of(
    part: Part, program: Program, plan: Plan, number: int, *, checkpoint: frozenset[str] = frozenset(),
    precision: torch.dtype | None = None, compiled: bool = False,
) -> PartFunction:  # fmt: skip
    """The function of part number `number`; `checkpoint` and `precision` as in `build`. `compiled`: pieces are compiled
    further by torch where no gradient is wanted (with one, they take longer than the generated Python does)."""
    name = Names().fresh(f"{program.name}_{number}")
    symbols = (*program.symbols, *(symbol for symbol, _ in part.sizes))
    inner = _program(part, program, symbols)
    variant = Variant((), part.graph, "any sizes")
    bodies = Bodies(replace(plan, variants=(variant,), events=()), name, symbols, checkpoint, precision, compiled)
    names = Names(bodies.names)
    orders = Orders(
        tuple(tuple(range(len(one.axes))) for one in inner.inputs),
        tuple(tuple(range(len(one.axes))) for one in inner.outputs),
    )
    entry = (_Last if part.last else Entry)(inner, names, orders)
    found = lowered((variant,), inner, entry, names, bodies)
    passed = [entry.passed[symbol] for symbol in symbols]
    code, namespace = print_function(name, entry, printable(found, entry, names), signature(inner), passed)
    function = execute(name, code, namespace)
    quick = torch.compile(function, dynamic=True) if compiled and part.large else function
    whole = "\n\n".join([*bodies.sources, code])
    return PartFunction(part, function, symbols, whole, quick, draws(part.graph.live()))


# --- helpers ----------------------------------------------------------------------------------------------------------


class _Last(Entry):
    """What a part begins with whose results are the program's."""

    inner = False


def _program(part: Part, program: Program, symbols: tuple[str, ...]) -> Program:
    taken = [node for node in part.graph.nodes if node.op == "input" and str(node.attr("name")).startswith(VALUE)]
    weights = {one.name for one in program.inputs if one.role in ("parameter", "param")}
    inputs = [
        Input(
            str(node.attr("name")), tuple(zip(node.names, node.sizes, strict=True)),
            "parameter" if part.inputs[part.place(node)] in weights else "data", node.kind, program.span,
        )
        for node in taken
    ]  # fmt: skip
    outputs = program.outputs if part.last else tuple(
        Output("", tuple(arg.node.names[k] for k in range(arg.node.rank))) for arg in part.graph.outputs
    )  # fmt: skip
    return replace(
        program, inputs=(*program.inputs, *inputs), statements=(), outputs=outputs, symbols=symbols, recipes=(),
        checks=(),
    )  # fmt: skip
