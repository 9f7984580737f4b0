"""A program's value by definition, in numpy: what every fast path is checked against.

In: a program and its inputs. Out: the results as arrays, or every statement's value. What always holds: each term is
computed as it stands, its operands first; nothing is rewritten, reordered or fused. (A sum of products too large to be
held is the one thing computed without being held.) Bad data raise the FormulaError that a compiled call raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from namedlayers.errors import ArgumentError, Label
from namedlayers.program.program import Kind, Program
from namedlayers.program.sizes_at_call import solve_sizes
from namedlayers.reference.machine import Machine
from namedlayers.reference.named import Named, Precision, kind_of

Inputs = Mapping[str, Any]


def evaluate(
    program: Program, inputs: Inputs, dtype: object = np.float64, sizes: Mapping[str, int] | None = None
) -> tuple[np.ndarray, ...]:
    """The results, each with its axes in the order of the program's outputs. Reals are computed as `dtype`.

    `sizes` are those of symbols that no input determines. Raises FormulaError when the inputs do not fit the program or
    have no value under it.
    """
    return trace(program, inputs, dtype, sizes).outputs


@dataclass(frozen=True, slots=True)
class Trace:
    """`values` of all statements, axes in their order (of bundles none); `finite`: whether all that a
    statement computed was finite."""

    outputs: tuple[np.ndarray, ...]
    values: dict[str, np.ndarray]
    finite: dict[str, bool]
    sizes: dict[str, int]


def trace(
    program: Program, inputs: Inputs, dtype: object = np.float64, sizes: Mapping[str, int] | None = None
) -> Trace:
    """The results and every statement's value. Raises as `evaluate` does."""
    precision = Precision.of(dtype)
    arrays = _arrays(program, inputs, precision)
    solved = solve_sizes(program, {name: array.shape for name, array in arrays.items()}, sizes or {})
    machine = Machine(solved, precision)
    for given in program.inputs:
        names = tuple(axis for axis, _ in given.axes)
        machine.give(given.name, Named(arrays[given.name], names), names)
    finite = {statement.name: machine.statement(statement) for statement in program.statements}
    values = {
        statement.name: machine.scope[statement.name].over(machine.orders[statement.name])
        for statement in program.statements
        if statement.name not in machine.bundles
    }
    outputs = tuple(machine.scope[output.value].over(output.axes) for output in program.outputs)
    return Trace(outputs, values, finite, solved)


# --- inputs -----------------------------------------------------------------------------------------------------------


def _arrays(program: Program, inputs: Inputs, precision: Precision) -> dict[str, np.ndarray]:
    """The inputs as arrays of their kinds. Raises ArgumentError."""
    wanted = {given.name: given for given in program.inputs}
    missing, unknown = sorted(wanted.keys() - inputs.keys()), sorted(inputs.keys() - wanted.keys())
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        labels = (Label(wanted[name].span, "not given") for name in missing)
        raise ArgumentError("NL0583", f"`{program.name}` needs {names}", *labels)
    if unknown:
        names = ", ".join(f"`{name}`" for name in unknown)
        raise ArgumentError("NL0583", f"`{program.name}` has no input {names}", Label(program.span))
    arrays = {}
    for name, given in wanted.items():
        array = np.asarray(inputs[name])
        if array.dtype.kind not in "biufc":
            raise ArgumentError("NL0584", f"`{name}` must be numbers, but is {array.dtype}", Label(given.span))
        if given.kind < kind_of(array):
            raise ArgumentError(
                "NL0584", f"`{name}` is {_WORDS[given.kind]}, but {array.dtype} is given", Label(given.span)
            )
        arrays[name] = precision.cast(array, given.kind)
    return arrays


_WORDS = {Kind.BOOL: "boolean", Kind.INT: "integer", Kind.REAL: "real", Kind.COMPLEX: "complex"}
