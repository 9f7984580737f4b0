"""Products in less precision than everything else: matrix products, convolutions, attention.

In: an fx graph and a precision. Out: the same graph, in which operands of a product are rounded to it and the result
has the precision of what was given. What always holds: only real tensors are rounded; what a product is added to keeps
its digits, but for a bias; torch accumulates in float32.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from namedlayers.emit.kernels.eager import visible
from namedlayers.program.program import Kind

PRECISIONS: Mapping[str, torch.dtype] = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def narrow(graph: fx.Graph, dtype: torch.dtype) -> None:
    """Rounds the operands of all products in a graph.

    >>> import namedlayers as nl
    >>> f = nl.compile("def f(X[i, j]; W[j, k]) = X @[j] W", precision="bfloat16")
    >>> f(torch.full((1, 1), 1.001), torch.ones(1, 1))
    tensor([[1.]])
    """
    rounded: dict[fx.Node, fx.Node] = {}
    for node in list(graph.nodes):
        if node.op == "call_function" and getattr(node.target, "__name__", "") in _SUMMAND:
            _split(node)
    for node in list(graph.nodes):
        if _is_real(node) and getattr(node.target, "__name__", "") in _BY_THEMSELVES:
            node.kwargs = {**node.kwargs, "precision": dtype}
        product = _PRODUCTS.get(getattr(node.target, "__name__", "")) if _is_real(node) else None
        if product is not None:
            _narrow(node, product, dtype, rounded)


def add_product(summand: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """As `torch.addmm`, but the summand keeps its digits under autocast.

    >>> add_product(torch.ones(1, 1), torch.ones(1, 3), torch.ones(3, 1))
    tensor([[4.]])
    """
    device = summand.device.type
    if device != "meta" and torch.is_autocast_enabled(device):
        return summand + left @ right
    return torch.addmm(summand, left, right)


def add_onto(summand: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """As `add_product`, over a summand that nobody else needs.

    >>> x = torch.ones(1, 1)
    >>> add_onto(x, torch.ones(1, 3), torch.ones(3, 1)) is x
    True
    """
    plain = visible(summand) and visible(left) and visible(right) and not torch.is_autocast_enabled("cpu")
    if not plain or torch.is_grad_enabled() and any(x.requires_grad for x in (summand, left, right)):
        return add_product(summand, left, right)
    return summand.addmm_(left, right)


# --- helpers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Product:
    """Which arguments of a function are its operands, by number and by name."""

    places: tuple[int, ...]
    names: tuple[str, ...] = ()


_MATRICES, _WITH_BIAS = _Product((0, 1)), _Product((0, 1, 2), ("bias",))

_PRODUCTS: Mapping[str, _Product] = {
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "vector_matrix", "matrix_vector", "weighted_rows"), _MATRICES),
    "grouped_product": _MATRICES,
    **dict.fromkeys(("linear", *(f"conv{form}{n}d" for form in ("", "_transpose") for n in (1, 2, 3))), _WITH_BIAS),
    "depthwise_conv1d": _WITH_BIAS,
    "within_blocks": _MATRICES,
    "matrix_columns": _Product((0, 1, 2)),
    "chain_product": _Product(tuple(range(1, 64))),
    "scaled_dot_product_attention": _Product((0, 1, 2, 3), ("attn_mask", "mask")),
}  # fmt: skip

_BY_THEMSELVES = frozenset({"row_products"})
"""Functions that decide at the call what they multiply, and round it."""

_SUMMAND: Mapping[str, Any] = {"add_product": torch.mm, "add_onto": torch.mm, "addmm": torch.mm, "baddbmm": torch.bmm}
"""Products that begin with a summand, and those without."""


def _is_real(node: fx.Node) -> bool:
    return node.op == "call_function" and node.meta.get("kind") is Kind.REAL


def _split(node: fx.Node) -> None:
    """A product that is added to something, as a sum."""
    if node.kwargs or len(node.args) != 3:
        return
    summand, left, right = node.args
    with node.graph.inserting_before(node):
        product = node.graph.call_function(_SUMMAND[node.target.__name__], (left, right))  # type: ignore[union-attr]
    product.meta = {**node.meta, "inline": True}
    node.target, node.args = operator.add, (product, summand)


def _narrow(node: fx.Node, product: _Product, dtype: torch.dtype, rounded: dict[fx.Node, fx.Node]) -> None:
    first = node.args[product.places[0]]

    def low(given: Any) -> Any:
        if not isinstance(given, fx.Node) or given.meta.get("kind") is not Kind.REAL:
            return given
        if given not in rounded:
            with node.graph.inserting_before(node):
                rounded[given] = _inline(node, node.graph.call_method("to", (given, dtype)))
        return rounded[given]

    args = tuple(low(given) if k in product.places else given for k, given in enumerate(node.args))
    kwargs = {name: low(given) if name in product.names else given for name, given in node.kwargs.items()}
    with node.graph.inserting_before(node):
        found = _inline(node, node.graph.call_function(node.target, args, kwargs))  # type: ignore[arg-type]
        given = _inline(node, node.graph.call_function(getattr, (first, "dtype")))
    # The node itself becomes what puts the result into the precision that was given: its users need not know.
    node.op, node.target, node.args, node.kwargs = "call_method", "to", (found, given), {}
    rounded[node] = found


def _inline(like: fx.Node, node: fx.Node) -> fx.Node:
    node.meta = {key: like.meta[key] for key in ("spans", "rule", "planned", "axes", "kind") if key in like.meta}
    node.meta["inline"] = True
    return node
