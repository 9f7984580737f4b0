"""Values that a step puts one behind the other: each is written where it will lie.

In: the fx graph of a step, the memory of its nodes. Out: `Joined`s. What always holds: what is written there is written
nowhere else, nothing else needs it, and no view is taken of it; what cannot be written there is copied.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from namedlayers.emit.loops.memory import Memory
from namedlayers.emit.loops.rewritten_steps import elementwise


@dataclass(frozen=True)
class Joined:
    """`node` is the `parts` one behind the other, along `dim`; the memory of those `written` is a part of its own."""

    node: fx.Node
    dim: int
    parts: tuple[fx.Node, ...]
    written: frozenset[fx.Node]


def joined(
    nodes: Sequence[fx.Node], memory: Mapping[fx.Node, Memory], made: Collection[fx.Node]
) -> dict[fx.Node, Joined]:  # fmt: skip
    """Those of a step's `nodes` that lie in memory of their own, of which a part at least can be written there; `made`
    is what the step returns."""
    found = {}
    for node in nodes:
        own = memory.get(node)
        if node.target is not torch.cat or own is None or own.nodes[0] is not node or own.home not in ("kept", "place"):
            continue
        if node in made and own.home == "kept":
            continue
        (parts, dim), rank = node.args, len(node.meta["axes"])
        if not isinstance(parts, (list, tuple)) or not isinstance(dim, int) or len(set(parts)) < len(parts):
            continue
        written = frozenset(one for one in parts if _is_made_for(one, node, memory, made))  # type: ignore[arg-type]
        if written:
            found[node] = Joined(node, dim % rank, tuple(parts), written)  # type: ignore[arg-type]
    return found


def parts_of(whole: Tensor, dim: int, parts: Sequence[Tensor], along: int) -> Sequence[Tensor]:
    """The parts of a value, as long as those of its first step, or of all steps where these lie along another dimension
    (`along`; -1: there is one step).

    >>> [one.tolist() for one in parts_of(torch.arange(3), 0, [torch.ones(1), torch.ones(2)], -1)]
    [[0], [1, 2]]
    """
    return torch.split(whole, [one.shape[dim] for one in parts], dim + (0 <= along <= dim))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _is_made_for(
    part: fx.Node, node: fx.Node, memory: Mapping[fx.Node, Memory], made: Collection[fx.Node]
) -> bool:  # fmt: skip
    """Whether all that lies in a part's memory may lie in a part of the node's."""
    own = memory.get(part)
    if own is None or own.home != "kept" or own.viewed or own.nodes[-1] is not part or set(part.users) != {node}:
        return False
    return all(one not in made and elementwise(one) and one.target is not F.gelu for one in own.nodes)
