"""The manner in which a definition is compiled: its numerics, its precision, its semiring, its memory.

In: the keywords of `compile`. Out: a `Manner`, which goes wherever the definition goes. What always holds: what it says
is known to be possible before anything is compiled.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, get_args

from namedlayers.errors import ArgumentError, Label, near_miss
from namedlayers.program.program import Program
from namedlayers.program.semirings import SEMIRINGS
from namedlayers.program.signature import Signature
from namedlayers.program.under import under

Numerics = Literal["default", "strict", "fast"]
Backend = Literal["python", "inductor", "cudagraph"]
Precision = Literal["bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class Manner:
    """`values` are the inputs that are values of the semiring; None: the data. `max_memory` is in bytes. `backend`: the
    generated Python as it is, compiled further by torch's inductor, or recorded on a CUDA device. `precision` is that
    of products; None: that of their operands."""

    numerics: Numerics = "default"
    semiring: str = "sum-product"
    values: tuple[str, ...] | None = None
    max_memory: int | None = None
    backend: Backend = "python"
    precision: Precision | None = None

    def check(self, sign: Signature) -> None:
        """Raise ArgumentError for a value of the semiring that is no input."""
        names = [one.name for one in sign.inputs]
        for name in self.values or ():
            if name not in names:
                raise ArgumentError(
                    "NL0548", f"`{name}` is to be a value of the semiring, but `{sign.name}` has no such input",
                    Label(sign.span), hint=near_miss(str(name), names) or f"its inputs are {', '.join(names)}",
                )  # fmt: skip

    def program(self, program: Program) -> Program:
        """The program under the semiring. Raises ArgumentError for an operation that it has not."""
        if self.semiring == "sum-product":
            return program
        values: Collection[str] = self.values or ()
        if self.values is None:
            values = [given.name for given in program.inputs if given.role == "data"]
        return under(program, SEMIRINGS[self.semiring], values)


def manner_of(
    numerics: str = "default",
    semiring: str = "sum-product",
    semiring_inputs: Iterable[str] | None = None,
    max_memory: int | str | None = None,
    backend: str = "python",
    precision: str | None = None,
) -> Manner:
    """The manner that keywords ask for. Raises ArgumentError.

    >>> manner_of(semiring="log", max_memory="2GiB")
    Manner(numerics='default', semiring='log', values=None, max_memory=2147483648, backend='python', precision=None)
    """
    _choose("NL0525", "there are no numerics", numerics, get_args(Numerics))
    _choose("NL0524", "there is no semiring", semiring, ("sum-product", *SEMIRINGS))
    _choose("NL0549", "there is no back end", backend, get_args(Backend))
    if precision is not None:
        wide = "leave `precision` out for the precision of the operands" if str(precision)[-2:] in ("32", "64") else ""
        _choose("NL0573", "products cannot be in the precision", precision, get_args(Precision), wide)
    values = None if semiring_inputs is None else _names(semiring_inputs)
    budget = None if max_memory is None else _bytes(max_memory)
    return Manner(numerics, semiring, values, budget, backend, precision)  # type: ignore[arg-type]


# --- helpers ----------------------------------------------------------------------------------------------------------


def _names(given: object) -> tuple[str, ...]:
    """Names of inputs; one may stand alone."""
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Iterable):
        raise ArgumentError("NL0548", f"`semiring_inputs` are names of inputs, not {given!r}")
    return tuple(given)


def _choose(code: str, what: str, given: object, known: Collection[str], hint: str = "") -> None:
    if given not in known:
        hint = hint or near_miss(str(given), known) or f"choose one of {', '.join(known)}"
        raise ArgumentError(code, f"{what} {given!r}", hint=hint)


_UNITS = {"": 1, "B": 1} | {
    f"{prefix}{unit}": base**power
    for power, prefix in enumerate("KMGT", 1)
    for unit, base in (("B", 1000), ("iB", 1024))
}


def _bytes(given: object) -> int:
    """An amount of memory in bytes; a string may have a unit."""
    amount = 0
    with suppress(TypeError, ValueError, KeyError, OverflowError):
        if isinstance(given, str):
            number = given.strip().rstrip("".join({letter for unit in _UNITS for letter in unit})).strip()
            unit = given.strip().removeprefix(number).strip()
            amount = int(float(number) * _UNITS[unit])
        elif not isinstance(given, bool):
            amount = operator.index(given)  # type: ignore[arg-type]
    if amount > 0:
        return amount
    raise ArgumentError("NL0547", f"{given!r} is no amount of memory", hint='for example `max_memory="2GiB"`, or bytes')
