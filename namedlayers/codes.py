"""Every error code: what it means, an example that causes it, and its cure.

`namedlayers explain NL0301` and docs/errors.md are made from this table. Ranges: NL01 syntax, NL02 names, NL03 axes,
NL04 sizes, NL05 arguments of a call, NL06 limits and files. A code is never reused for another meaning.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """`example` is a text that raises the code when it is checked, or a sentence where only a call can."""

    code: str
    title: str
    meaning: str
    example: str
    cure: str


def _table(*codes: Code) -> dict[str, Code]:
    table = {code.code: code for code in codes}
    assert len(table) == len(codes), "a code is listed twice"
    return table


# One table a range; whoever raises a code lists it here.
SYNTAX = _table()
NAMES = _table()
AXES = _table()
SIZES = _table()
ARGUMENTS = _table()
LIMITS = _table()

CODES: dict[str, Code] = {**SYNTAX, **NAMES, **AXES, **SIZES, **ARGUMENTS, **LIMITS}
