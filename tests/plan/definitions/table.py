"""What a table of definitions is made of.

A `Case` is one definition and what must be left of it, in every spelling. Each subject has a module with `CASES`; the
tests take all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from namedlayers.program.program import Kind


@dataclass(frozen=True, eq=False)
class Case:
    """`body` is an expression, or statements with a `return`. `ops`: what the plan's first variant computes.

    `sizes` fixes those of axes, where kernels need long ones. `lifts` lists inputs ("Q K V") that may have an axis more
    together. `without` are laws under which this is not recognised, or means something else, each with the reason.
    `share`: of the spellings that are usually made, where planning takes long.
    """

    name: str
    signature: str
    body: str
    ops: tuple[str, ...]
    lifts: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    without: Mapping[str, str] = field(default_factory=dict)
    share: float = 1.0

    @property
    def text(self) -> str:
        lines = self.body.splitlines()
        if len(lines) == 1:
            lines = [f"return {lines[0]}"]
        return "\n".join([f"def f({self.signature}):", *(f"    {line}" for line in lines)]) + "\n"
