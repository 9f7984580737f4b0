"""Functions of whole tensors that torch computes in one pass.

In: how to find what such a function is of. Out: rules. What always holds: the tensors are real, no constants, and have
all axes of the result, so that nothing is broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

Find = Callable[[Scope, Node], tuple[Arg, ...] | None]
"""From a root to the tensors that the function is of, and numbers behind them."""


def one_pass(name: str, roots: tuple[str, ...], find: Find, op: str, tensors: int = 1, **attrs: Hashable) -> Rule:
    """The rule that puts `op` where `find` finds so many tensors."""

    def matched(scope: Scope, node: Node) -> Outcome:
        found = find(scope, node) if node.kind == Kind.REAL and node.rank else None
        return whole(found, tensors, range(node.rank)) if found is not None else None

    def build(scope: Scope, node: Node, found: tuple[Arg, ...]) -> Arg:
        return scope.build(op, found, range(node.rank), kind=node.kind, attrs=attrs)

    return Rule(name, "algebraic", roots, matched, build)


def whole(found: tuple[Arg, ...], tensors: int, axes: Sequence[int]) -> Match | None:
    """A match if the first so many are real tensors over all these axes."""
    first = found[:tensors]
    fits = all(sorted(x.axes) == sorted(axes) and x.node.kind == Kind.REAL and not x.node.weak for x in first)
    return Match(found, tuple(x.node for x in first)) if fits else None
