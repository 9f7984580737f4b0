"""What a rule is: data that says which part of a graph it recognises, and what to put in its place.

In: nothing; rules are listed by the modules of `plan/rules/`. Out: `Rule`s, tried by `rewrite` at every node whose
operation is among their `roots`. What always holds: a rule only reads the nodes that are there and adds new ones;
what it returns has the axes of the root in their order, so that it can stand wherever the root stood.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from namedlayers.errors import Span
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node

Numerics = Literal["exact", "algebraic", "conditioned"]
"""How a rule changes numbers.

exact: every result stays the same to rounding. algebraic: results may differ where an intermediate of the text or of
the plan overflows, underflows or is NaN, or where the text loses digits by cancellation that the plan keeps.
conditioned: digits may be lost by cancellation.
"""


@dataclass(frozen=True, slots=True)
class Match:
    """The rule applies: `found` is what `build` needs, `parts` the nodes below the root that it takes in."""

    found: Any
    parts: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Near:
    """The rule nearly applies: `reason` says in words what is missing, `spans` where."""

    reason: str
    spans: tuple[Span, ...] = ()


Outcome = Match | Near | None


@dataclass(frozen=True, slots=True)
class Rule:
    """`roots` are operations, reductions as `sum`, `max`, …; `match` recognises, `build` makes the replacement.
    `loses`, of a conditioned rule: what costs digits."""

    name: str
    numerics: Numerics
    roots: tuple[str, ...]
    match: Callable[[Scope, Node], Outcome]
    build: Callable[[Scope, Node, Any], Arg]
    loses: str = ""

    @property
    def refusal(self) -> str:
        """What is said of a conditioned rule where digits may not be lost."""
        return f'it is conditioned, as {self.loses}: say `numerics="fast"`'


def root_key(node: Node) -> str:
    """The name under which rules find a node: its operation, or what it reduces by."""
    return f"reduce {node.attr('op')}" if node.op == "reduce" else node.op
