"""Why a call failed, in terms of the formula.

In: a program, the arguments of a call, the exception that escaped. Out: a `FormulaError` is raised, or nothing is
said. What always holds: this runs only after a call has failed; sizes are asked first, then dtypes, then indices. """

from __future__ import annotations

from typing import Any

from namedlayers.program.program import Program
from namedlayers.program.sizes_at_call import solve_sizes


def diagnose(program: Program, args: tuple, error: Exception | None) -> None:
    """Raises what is wrong with a call, if it is the call."""
    shapes = {given.name: shape_of(arg) for given, arg in zip(program.inputs, args, strict=True)}
    solve_sizes(program, shapes)


def shape_of(arg: Any) -> tuple[int, ...]:
    """Of a tensor; a number has no axes."""
    return tuple(int(n) for n in getattr(arg, "shape", ()))
