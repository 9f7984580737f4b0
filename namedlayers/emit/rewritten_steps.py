"""A step's graph as a loop in place wants it: which operations can write into a given tensor, and which are views.

In: the fx graph of a step. Out: a copy that computes the same by operations that can write. What always holds: values
are the same to rounding; the graph that comes in is not touched.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from namedlayers.emit.elementwise import lerp
from namedlayers.emit.narrowing import add_product

Written = tuple[Callable[..., Any], tuple[Any, ...]]


def for_writing(graph: fx.Graph, fixed: frozenset[int]) -> fx.Graph:
    """The graph with products and sums fused, and weights as they are multiplied fastest. `fixed` are the numbers of
    the inputs that are the same at all steps."""
    copy = fx.Graph()
    new: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        new[node] = copy.node_copy(node, new.__getitem__)
        new[node].meta = {key: value for key, value in node.meta.items() if key not in _PRINTED}
        if node.target is add_product:  # in place there is no autocast
            new[node].target = torch.addmm
    given = [node for node in copy.nodes if node.op == "placeholder" and "size" not in node.meta]
    same = {node for k, node in enumerate(given) if k in fixed}
    for node in list(copy.nodes):
        _as_matmul(copy, node, same)
    for node in list(copy.nodes):
        if node.op not in ("placeholder", "output") and all(one in same for one in node.all_input_nodes):
            same.add(node)
    for node in list(copy.nodes):
        _fuse(copy, node)
    for node in list(copy.nodes):
        _pack(copy, node, same)
    return copy


def written(node: fx.Node) -> Written | None:
    """The function and the arguments with which a node's operation writes into `out`; None where it cannot."""
    if node.op != "call_function" or not is_tensor(node):
        return None
    target, args = _INFIX.get(node.target, node.target), node.args
    if target is lerp:
        return lerp_into, args
    if target in _TWO:
        first, second = args[:2]
        if not is_tensor(first):
            return (target, (second, first)) if target in _SYMMETRIC and is_tensor(second) else None
    if target is torch.matmul and any(_rank(one) < 2 for one in args):
        return None  # it resizes what is given for vectors
    if target is torch.where and not all(map(is_tensor, args)):
        return None
    if target in _REDUCTIONS:
        return (target, args) if len(args) > 1 or "dim" in node.kwargs else None
    return (target, args) if target in _WRITERS else None


def elementwise(node: fx.Node) -> bool:
    """Whether what writes may write over its own operands, if they have all axes."""
    target = _INFIX.get(node.target, node.target)
    return target is lerp or (target in _WRITERS and target not in _PRODUCTS and target is not torch.cat)


def is_view(node: fx.Node) -> bool:
    """Whether a node never copies, whatever it is given."""
    if node.target is operator.getitem:
        return not any(map(is_tensor, node.all_input_nodes[1:]))
    return node.target in _VIEWS


def is_tensor(value: Any) -> bool:
    """Whether an argument of a node is a tensor, and no number."""
    if not isinstance(value, fx.Node):
        return False
    return "size" not in value.meta if value.op == "placeholder" else value.meta.get("axes") is not None


def lerp_into(start: Tensor, end: Tensor, weight: Tensor | float, *, out: Tensor) -> Tensor:
    """`torch.lerp` into a given tensor, for operands of any precisions.

    >>> lerp_into(torch.zeros(2), torch.ones(2), 0.5, out=torch.empty(2))
    tensor([0.5000, 0.5000])
    """
    same = start.dtype is end.dtype and (not isinstance(weight, Tensor) or weight.dtype is start.dtype)
    return torch.lerp(start, end, weight, out=out) if same else out.copy_(start + weight * (end - start))


# --- helpers ----------------------------------------------------------------------------------------------------------

_VIEWS = frozenset({torch.split, torch.unbind, "t", "transpose", "permute", "unsqueeze", "expand"})

_PRINTED = frozenset({"inline", "temporary", "parts"})
"""Notes for the printer of the step itself."""

_INFIX: Mapping[Any, Callable[..., Any]] = MappingProxyType({
    operator.add: torch.add, operator.sub: torch.sub, operator.mul: torch.mul, operator.truediv: torch.div,
    operator.neg: torch.neg,
})  # fmt: skip

_SYMMETRIC = frozenset({torch.add, torch.mul})


def _rank(value: Any) -> int:
    return len(value.meta["axes"]) if is_tensor(value) else 0


_TWO = frozenset({torch.add, torch.sub, torch.mul, torch.div})
"""Which want a tensor first."""

_WRITERS = _TWO | frozenset({
    torch.neg, torch.exp, torch.expm1, torch.log, torch.log1p, torch.log2, torch.sqrt, torch.rsqrt, torch.sin,
    torch.cos, torch.tan, torch.asin, torch.acos, torch.atan, torch.sinh, torch.cosh, torch.tanh, torch.asinh,
    torch.acosh, torch.atanh, torch.erf, torch.abs, torch.floor, torch.ceil, torch.sigmoid, torch.sign, torch.sgn,
    torch.maximum, torch.minimum, torch.atan2, torch.addcmul, torch.addmm, torch.mm, torch.bmm, torch.matmul,
    torch.where, torch.cat,
})  # fmt: skip

_REDUCTIONS = frozenset({torch.sum, torch.amax, torch.amin, torch.logsumexp, torch.softmax, torch.log_softmax})
"""Which write if they are told over what."""


def _as_matmul(graph: fx.Graph, node: fx.Node, same: set[fx.Node]) -> None:
    """A linear map without a bias, by weights that are the same at all steps: `matmul` can write."""
    if node.target is not F.linear or len(node.args) != 2 or node.kwargs or node.args[1] not in same:
        return
    x, weights = node.args
    with graph.inserting_before(node):
        turned = graph.call_method("t", (weights,))
        turned.meta = {"axes": ("", "")}
    node.target, node.args = torch.matmul, (x, turned)


def _fuse(graph: fx.Graph, node: fx.Node) -> None:
    """c + a * b in one pass."""
    if node.target is not operator.add or node.kwargs:
        return
    for product, other in (node.args, node.args[::-1]):
        alone = isinstance(product, fx.Node) and product.target is operator.mul and len(product.users) == 1
        if alone and product is not other and all(map(is_tensor, (other, *product.args))):  # type: ignore[union-attr]
            node.target, node.args = torch.addcmul, (other, *product.args)  # type: ignore[union-attr]
            graph.erase_node(product)  # type: ignore[arg-type]
            return


def _pack(graph: fx.Graph, node: fx.Node, same: set[fx.Node]) -> None:
    """Turned weights, once, as they are read: products with them are a third faster."""
    turned = node.op == "call_method" and node.target in ("t", "transpose", "permute") and node in same
    if turned and any(user.target in _PRODUCTS and user not in same for user in node.users):
        with graph.inserting_after(node):
            packed = graph.create_node("call_method", "contiguous", (node,), name=_packed_name(node))
        packed.meta, node.meta = node.meta, {**node.meta, "inline": True}
        node.replace_all_uses_with(packed, lambda user: user is not packed)
        same.add(packed)


def _packed_name(turned: fx.Node) -> str:
    of = turned.args[0]
    return f"{of.name}_packed" if isinstance(of, fx.Node) else "packed"


_PRODUCTS = frozenset({torch.addmm, torch.mm, torch.bmm, torch.matmul})
