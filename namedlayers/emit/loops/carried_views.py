"""What a step hands on, and the next one looks at, as a value of more dimensions.

In: the `Roles` of a step. Out: for a value that is handed on as what is left of another without a dimension, and is
put back into that one by whoever takes it, the node that puts it back. What always holds: nothing else takes the old
value, and nothing but the end of the loop the new one, so that both views may be left out between two steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from namedlayers.emit.loops.roles import Roles
from namedlayers.emit.loops.step_values import is_number, rank


@dataclass(frozen=True, slots=True)
class CarriedView:
    """`taken` is what a step makes of the old value; `left` the new one, a view of `of`, which is the next `taken`."""

    taken: fx.Node
    of: fx.Node
    left: fx.Node


def carried_views(roles: Roles, carries: int) -> dict[str, CarriedView]:
    """By the names of carried values."""
    found = {}
    for number, (old, new) in enumerate(zip(roles.inputs[:carries], roles.made, strict=False)):
        taken = next(iter(old.users)) if len(old.users) == 1 else old
        if old in roles.made or roles.made.count(new) > 1 or number in roles.stacked or new in roles.views:
            continue
        if any(user.op != "output" for user in new.users) or taken.op == "output" or taken in roles.views:
            continue
        dim = _dim(taken, "unsqueeze", rank(old) + 1)
        of = new.args[0] if dim is not None and _dim(new, "squeeze", rank(old) + 1) == dim else None
        if isinstance(of, fx.Node) and of not in roles.memory and of.op not in ("placeholder", "output"):
            found[old.name] = CarriedView(taken, of, new)
    return found


# --- helpers ----------------------------------------------------------------------------------------------------------


def _dim(node: fx.Node, target: str, dimensions: int) -> int | None:
    """The dimension, of so many, that a view makes or leaves out; None if it is no such view."""
    if node.op != "call_method" or node.target != target or node.kwargs or len(node.args) != 2:
        return None
    dim = node.args[1]
    return int(dim) % dimensions if is_number(dim) else None  # type: ignore[arg-type]
