"""Sums and products of a step in fewer passes.

In: the fx graph of a step, which may be changed. Out: the same graph with a term that is a product, a quotient or a
multiple taken into the sum that it is a term of. What always holds: terms are added in the order in which they were, so
values are the same to rounding; what anything else needs is still computed.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import fx

from namedlayers.emit.step_values import is_number, is_real, is_tensor


def fuse(graph: fx.Graph) -> None:
    """Changes the graph: c + a * b, c - a / b and c + 2 * a are one operation each, and a square is a product."""
    for node in list(graph.nodes):
        rule = _RULES.get(node.target) if node.op == "call_function" and not node.kwargs else None
        if rule is not None:
            rule(node)
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)


# --- helpers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Multiple:
    """`factor` times `of`."""

    of: fx.Node
    factor: float


def _multiple(value: Any) -> _Multiple:
    """A tensor as a multiple of another that is there as well, of whatever it is a multiple."""
    factor = 1.0
    while value.op == "call_function":
        found = _once(value)
        if found is None:
            break
        value, factor = found.of, found.factor * factor
    return _Multiple(value, factor)


def _once(node: fx.Node) -> _Multiple | None:
    if node.target is operator.neg and is_real(node.args[0]):
        return _Multiple(node.args[0], -1.0)  # type: ignore[arg-type]
    if node.target is operator.mul:
        for number, of in (node.args, node.args[::-1]):
            if is_number(number) and is_real(of):
                return _Multiple(of, float(number))  # type: ignore[arg-type]
    return None


def _sum(node: fx.Node) -> None:
    """A sum or a difference: one side stays, the other is a product, a quotient or a multiple."""
    left, right = node.args
    sign = -1.0 if node.target is operator.sub else 1.0
    if not (is_tensor(left) and is_tensor(right)):
        return
    tries = [(left, right, sign)] if sign < 0 else [(left, right, 1.0), (right, left, 1.0)]
    for fuse in (_with_product, _with_multiple):
        for kept, term, factor in tries:
            if kept is not term and fuse(node, kept, term, factor):  # type: ignore[arg-type]
                return


def _with_product(node: fx.Node, kept: fx.Node, term: fx.Node, factor: float) -> bool:
    """c + k * (a * b), c + k * (a / b), where nothing else needs the product."""
    found = _multiple(term)
    product, factor = found.of, factor * found.factor
    target = _FUSED.get(product.target) if product.op == "call_function" and not product.kwargs else None
    if target is None or not _needed_once(term, product):
        return False
    first, second = product.args
    if not (is_tensor(first) and is_tensor(second)):
        return False
    if (factor != 1 or target is torch.addcdiv) and not all(map(is_real, (kept, first, second))):
        return False
    if target is torch.addcmul and factor == 1 and is_real(node):
        # A factor that is a multiple itself: its number is multiplied in the same pass.
        first, second, factor = _with_number(first, second)  # type: ignore[arg-type]
    node.target, node.args = target, (kept, first, second)
    node.kwargs = {} if factor == 1 else {"value": factor}
    return True


def _with_number(first: fx.Node, second: fx.Node) -> tuple[fx.Node, fx.Node, float]:
    for one, other in ((first, second), (second, first)):
        found = _multiple(one)
        if found.factor != 1 and is_real(one) and is_real(other):
            return found.of, other, found.factor
    return first, second, 1.0


def _with_multiple(node: fx.Node, kept: fx.Node, term: fx.Node, factor: float) -> bool:
    """c + k * a, whether or not anything else needs the multiple: adding it costs no more than adding `a`."""
    found = _multiple(term)
    if found.of is term or not all(map(is_real, (node, kept, term))):
        return False
    node.target, node.args = torch.add, (kept, found.of)
    node.kwargs = {} if found.factor * factor == 1 else {"alpha": found.factor * factor}
    return True


def _needed_once(node: fx.Node, last: fx.Node) -> bool:
    """Whether a value is needed once only, and so is each on the way to the last one that it is made of."""
    while node is not last:
        if len(node.users) != 1:
            return False
        node = _once(node).of  # type: ignore[union-attr]
    return len(last.users) == 1


def _power(node: fx.Node) -> None:
    if node.args[1] == 2 and is_number(node.args[1]) and is_real(node.args[0]):
        node.target, node.args = operator.mul, (node.args[0], node.args[0])


_FUSED: Mapping[Any, Callable[..., Any]] = MappingProxyType({
    operator.mul: torch.addcmul, operator.truediv: torch.addcdiv,
})  # fmt: skip

_RULES: Mapping[Any, Callable[[fx.Node], None]] = MappingProxyType({
    operator.add: _sum, operator.sub: _sum, operator.pow: _power,
})  # fmt: skip
