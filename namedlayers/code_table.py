"""What is told about an error code, and tables of codes.

In: codes. Out: tables by code. What always holds: no code stands in a table twice.
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


def table(*codes: Code) -> dict[str, Code]:
    """The codes by their names, in their order."""
    found = {code.code: code for code in codes}
    assert len(found) == len(codes), "a code is listed twice"
    return found
