"""What is known of the values of a step: which are tensors, reals, views, and as precise as what is given.

In: nodes of the fx graph of a step; at the call, the inputs. Out: answers. What always holds: a value is said to be as
precise as the inputs only if torch's rules of promotion make it so, whatever the one precision of the inputs is.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from namedlayers.emit.emitters.slopes import BACKS, norm_slope
from namedlayers.emit.kernels.attending import scaled_dot_product_attention
from namedlayers.emit.kernels.still_memory import attend, scaled_keys
from namedlayers.emit.loops.packed import packed
from namedlayers.emit.loops.writers import INFIX, WRITERS
from namedlayers.emit.narrowing import add_product
from namedlayers.program.program import Kind


def is_tensor(value: Any) -> bool:
    """Whether an argument of a node is a tensor, and no number."""
    if not isinstance(value, fx.Node):
        return False
    return "size" not in value.meta if value.op == "placeholder" else value.meta.get("axes") is not None


def is_real(value: Any) -> bool:
    """Whether an argument of a node is a tensor of reals."""
    return is_tensor(value) and value.meta.get("kind") is Kind.REAL


def is_number(value: Any) -> bool:
    """Whether an argument of a node is a real number that is known."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def rank(value: Any) -> int:
    """How many dimensions an argument has."""
    if not is_tensor(value):
        return 0
    return value.meta.get("rank", 0) if value.op == "placeholder" else len(value.meta["axes"])


def is_view(node: fx.Node) -> bool:
    """Whether a node never copies, whatever it is given."""
    if node.target is operator.getitem:
        return not any(map(is_tensor, node.all_input_nodes[1:]))
    return node.target in _VIEWS


def of_given_precision(graph: fx.Graph) -> set[fx.Node]:
    """The tensors with dimensions, and the numbers if they are, that are as precise as all real inputs are."""
    found: set[fx.Node] = set()
    fine = next(reversed(graph.nodes)).meta.get(RELIES) is FINE
    for node in graph.nodes:
        if node.op == "placeholder":
            known = is_real(node) and rank(node) > 0
        elif NUMBER in node.meta:
            known = fine
        elif is_view(node):
            known = bool(node.all_input_nodes) and node.all_input_nodes[0] in found
        else:
            known = is_real(node) and INFIX.get(node.target, node.target) in _KEEPING and _met(node, found)
        if known:
            found.add(node)
    return found


def given_precision(graph: fx.Graph) -> list[fx.Node]:
    """The inputs that are asked for their precision."""
    return [node for node in graph.nodes if node.op == "placeholder" and is_real(node) and rank(node) > 0]


def of_one_precision(*tensors: Tensor) -> bool:
    """Whether inputs are equally precise.

    >>> of_one_precision(torch.ones(2), torch.ones(3)), of_one_precision(torch.ones(2), torch.ones(2).double())
    (True, False)
    """
    first = tensors[0].dtype
    return all(one.dtype is first for one in tensors)


def of_one_fine_precision(*tensors: Tensor) -> bool:
    """Whether inputs are equally precise, and not coarse.

    >>> of_one_fine_precision(torch.ones(2)), of_one_fine_precision(torch.ones(2).half())
    (True, False)
    """
    return tensors[0].dtype in (torch.float32, torch.float64) and of_one_precision(*tensors)


RELIES = "relies"
"""Marks, in a node's meta, what is computed as if all real inputs had one precision."""

FINE = "fine"
"""The mark of what a step returns, if it is computed as if this were single or double precision."""

NUMBER = "number"
"""Marks, in a node's meta, a number that is made before the first step, as precise as the inputs unless coarse."""

FRESH = frozenset({torch.layer_norm, torch.rms_norm, F.linear, add_product, attend, scaled_dot_product_attention})
"""What allocates its result and is as precise as its operands."""


# --- helpers ----------------------------------------------------------------------------------------------------------

_VIEWS = frozenset({
    torch.split, torch.unbind, "t", "transpose", "permute", "unsqueeze", "squeeze", "expand", "select", "unflatten",
})  # fmt: skip

_KEEPING = (
    frozenset(WRITERS) | FRESH | frozenset(BACKS.values())
    | frozenset({norm_slope, scaled_keys, packed, "contiguous", "flatten", "reshape", "sum", "mean"})
)  # fmt: skip
"""What is as precise as its operands, if these are reals of one precision."""


def _met(node: fx.Node, found: set[fx.Node]) -> bool:
    """Whether operands are of the one precision, but for what does not count beside them: numbers, conditions."""
    tensors = [one for one in node.all_input_nodes if is_tensor(one)]
    bent = [one for one in tensors if one not in found and is_real(one) and rank(one) > 0]
    odd = [one for one in tensors if one not in found and one.meta.get("kind") not in _PLAIN]
    return not bent and not odd and any(one in found for one in tensors)


_PLAIN = frozenset({Kind.REAL, Kind.INT, Kind.BOOL})
