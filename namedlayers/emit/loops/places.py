"""Whether it matters how all steps of a value lie.

In: a value of all steps, which the graph around the loop uses. Out: whether the steps should lie where its users like
them; else they come first, so that what a step makes is contiguous. What always holds: nothing but time depends on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from namedlayers.program.terms import BINARY, UNARY

if TYPE_CHECKING:
    from namedlayers.emit.lowering import Lowering
    from namedlayers.program.graph import Node


def lies_as_wanted(lo: Lowering, part: Node) -> bool:
    """Whether the value, or what is made of it element by element, is a result or goes where memory is gone through in
    order, before its steps are summed."""
    waiting, seen = [(part, 0)], set()
    while waiting:
        node, axis = waiting.pop()
        if node in lo.results:
            return True
        for user in lo.users.get(node.number, ()):
            for arg in user.args:
                at = arg.axes[axis] if arg.node is node else -1
                if not 0 <= at < user.rank or (user, at) in seen:
                    continue
                if user.op not in _BY_ELEMENTS and not _is_batch(user, at):
                    return True
                seen.add((user, at))
                waiting.append((user, at))
    return False


# --- helpers ----------------------------------------------------------------------------------------------------------


def _is_batch(user: Node, position: int) -> bool:
    """Whether an axis is one of a batch of products."""
    return user.op == "contract" and all(position in one.axes for one in user.args)


_BY_ELEMENTS = frozenset(
    {*UNARY, *BINARY, *"where lerp relu sigmoid silu gelu softplus slope slope_times reduce".split()}
)
"""Operations that go through their operands in any order."""
