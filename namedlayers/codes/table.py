"""What is told about an error code, and tables of codes.

In: codes. Out: tables by code. What always holds: no code stands in a table twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Code:
    """`example` is a text that raises the code when it is checked, or, where there is a `call`, when it is so called.

    `call` is Python: `f` is the last definition of the example, compiled. `told`: the example is a sentence, because it
    takes files, or is too long to show.
    """

    code: str
    title: str
    meaning: str
    example: str
    cure: str
    call: str = ""
    told: bool = False


def table(*codes: Code) -> dict[str, Code]:
    """The codes by their names, in their order."""
    found = {code.code: code for code in codes}
    assert len(found) == len(codes), "a code is listed twice"
    return found


def told(*codes: Code) -> dict[str, Code]:
    """A table of codes whose examples are sentences."""
    return table(*(replace(code, told=True) for code in codes))
