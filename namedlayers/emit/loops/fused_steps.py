"""Sums and products of a step in fewer passes.

In: the fx graph of a step, which may be changed. Out: the same graph with a term that is a product, a quotient or a
multiple taken into the sum that it is a term of. What always holds: what anything else needs is still computed; values
are the same to rounding, but for rules called algebraic where an intermediate overflows, underflows or is NaN.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from namedlayers.emit.kernels.arithmetic import lerp
from namedlayers.emit.loops.step_values import RELIES, is_number, is_real, is_tensor, of_given_precision, rank


def fuse(graph: fx.Graph, algebraic: bool) -> None:
    """Changes the graph: c + a * b, c - a / b and c + 2 * a are one operation each, and a square is a product."""
    for rules in (_ALGEBRAIC if algebraic else (), _EXACT):
        for rule, targets in rules:
            for node in list(graph.nodes):
                if node.op == "call_function" and node.users and not node.kwargs and node.target in targets:
                    operands = node.all_input_nodes
                    rule(node)
                    drop([node, *operands])


def drop(nodes: Iterable[fx.Node]) -> None:
    """Erases what nothing needs any more."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if not node.users and node.op not in ("placeholder", "output") and not node._erased:
            waiting += node.all_input_nodes
            node.graph.erase_node(node)


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
    for fused in (_with_product, _with_multiple):
        for kept, term, factor in tries:
            if kept is not term and fused(node, kept, term, factor):  # type: ignore[arg-type]
                return


def _with_product(node: fx.Node, kept: fx.Node, term: fx.Node, factor: float) -> bool:
    """c + a * b, c - a / b, where nothing else needs the product."""
    found = _multiple(term)
    product, factor = found.of, factor * found.factor
    target = _FUSED.get(product.target) if product.op == "call_function" and not product.kwargs else None
    if target is None or abs(found.factor) != 1 or not _needed_once(term, product):
        return False
    first, second = product.args
    if not (is_tensor(first) and is_tensor(second)):
        return False
    if (factor != 1 or target is torch.addcdiv) and not all(map(is_real, (kept, first, second))):
        return False
    if target is torch.addcmul and is_real(kept):
        first, second, number = _with_number(first, second)  # type: ignore[arg-type]
        factor = factor * number
    elif target is torch.addcdiv and is_real(kept):
        numerator = _multiple(first)
        first, factor = numerator.of, factor * numerator.factor
    node.target, node.args = target, (kept, first, second)
    node.kwargs = {} if factor == 1 else {"value": factor}
    return True


def _with_number(first: fx.Node, second: fx.Node) -> tuple[fx.Node, fx.Node, float]:
    """The factors of a product, one of which may be a multiple: its number is multiplied in the same pass, with it."""
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
    if is_number(node.args[1]) and node.args[1] == 2 and is_real(node.args[0]):
        node.target, node.args = operator.mul, (node.args[0], node.args[0])


def _mean(node: fx.Node) -> None:
    """0.9 * a + 0.1 * b, of which one is what an activation gives: infinite values of the other become NaN."""
    left, right = node.args
    if not (is_real(left) and is_real(right)) or left is right:
        return
    first, second = _multiple(left), _multiple(right)
    if abs(first.factor + second.factor - 1) > _ROUNDING or not 0 < first.factor < 1:
        return
    if first.of.target not in _TAME and second.of.target not in _TAME:
        return
    if rank(first.of) == rank(second.of) == rank(node):
        node.target, node.args = lerp, (first.of, second.of, second.factor)


def _scaled_summand(node: fx.Node) -> None:
    """k * c + a @ b."""
    summand, *factors = node.args
    found = _multiple(summand) if is_real(summand) else None
    if found is not None and found.of is not summand and rank(found.of) == 2:
        node.args, node.kwargs = (found.of, *factors), {"beta": found.factor}


def _scaled_product(node: fx.Node) -> None:
    """c + k * (a * b) as c + (k * a) * b, which is one pass; where nothing else needs the product."""
    for term in node.args:
        found = _multiple(term) if is_real(term) else None
        if found is None or abs(found.factor) == 1 or found.of.target is not operator.mul:
            continue
        if all(map(is_real, found.of.args)) and _needed_once(term, found.of):  # type: ignore[arg-type]
            first, second = found.of.args
            with node.graph.inserting_before(found.of):
                scaled = node.graph.call_function(operator.mul, (first, found.factor))
            scaled.meta = dict(first.meta)  # type: ignore[union-attr]
            scaled.meta.setdefault("axes", ("",) * rank(first))
            found.of.args = (scaled, second)
            term.replace_all_uses_with(found.of)  # type: ignore[union-attr]


def _onto(node: fx.Node) -> None:
    """Products with weights, and then a summand: they are added onto it, one by one."""
    for product, summand in (node.args, node.args[::-1]):
        first = _first_product(product)
        if first is None or rank(summand) != 2 or summand is product:
            continue
        if not _before(summand, first) or not {summand, *first.args} <= of_given_precision(node.graph):
            continue
        first.target, first.args, first.meta[RELIES] = torch.addmm, (summand, *first.args), True
        node.replace_all_uses_with(product)  # type: ignore[arg-type]
        return


def _into_summand(node: fx.Node) -> None:
    """c + (a * b + x @ w) as (c + a * b) + x @ w, of which the sum in brackets is one pass."""
    for total, term in (node.args, node.args[::-1]):
        if not (_is_needed_once(total, torch.addmm) and is_real(term) and not total.kwargs):  # type: ignore[union-attr]
            continue
        inner = _product_in(total.args[0], rank(node))  # type: ignore[union-attr]
        if inner is not None and rank(term) == rank(node) and _before(term, inner):
            (user,) = inner.users
            with node.graph.inserting_after(inner):
                summand = node.graph.call_function(operator.add, (term, inner))
            summand.meta = {key: inner.meta[key] for key in ("axes", "kind")}
            user.replace_input_with(inner, summand)
            node.replace_all_uses_with(total)  # type: ignore[arg-type]
            return


def _product_in(node: Any, dims: int) -> fx.Node | None:
    """Of what is added up to a value, and needed for it alone, a product of tensors."""
    if _is_needed_once(node, operator.add):
        return next((found for one in node.args if (found := _product_in(one, dims)) is not None), None)
    is_product = _is_needed_once(node, operator.mul) and rank(node) == dims and all(map(is_tensor, node.args))
    return node if is_product else None


def _is_needed_once(node: Any, target: Any) -> bool:
    return isinstance(node, fx.Node) and node.target is target and len(node.users) == 1 and is_real(node)


def _first_product(node: Any) -> fx.Node | None:
    """The innermost of products that are added to each other, and that nothing else needs."""
    while isinstance(node, fx.Node) and len(node.users) == 1 and not node.kwargs:
        if node.target in (torch.matmul, torch.mm) and all(rank(one) == 2 for one in node.args):
            return node
        if node.target is not torch.addmm:
            return None
        node = node.args[0]
    return None


def _before(value: Any, node: fx.Node) -> bool:
    """Whether a value is there when a node is computed."""
    return next(one for one in node.graph.nodes if one is value or one is node) is value


def _like_terms(node: fx.Node) -> None:
    """(a + p) + k * a is p + (1 + k) * a."""
    sign = -1.0 if node.target is operator.sub else 1.0
    total, term = node.args
    if not (is_real(total) and is_real(term)) or total.target is not operator.add or len(total.users) != 1:  # type: ignore[union-attr]
        return
    found = _multiple(term)
    for one, rest in (total.args, total.args[::-1]):  # type: ignore[union-attr]
        if one is found.of and is_real(rest) and found.of is not term and rank(rest) == rank(one) == rank(node):
            with node.graph.inserting_before(node):
                multiple = node.graph.call_function(operator.mul, (one, 1 + sign * found.factor))
            multiple.meta = {"axes": node.meta["axes"], "kind": node.meta["kind"]}
            node.target, node.args = operator.add, (rest, multiple)
            return


_ROUNDING = 4e-16

_FUSED: Mapping[Any, Callable[..., Any]] = MappingProxyType({
    operator.mul: torch.addcmul, operator.truediv: torch.addcdiv,
})  # fmt: skip

_TAME = frozenset({
    torch.sigmoid, torch.tanh, torch.relu, torch.sin, torch.cos, torch.erf, F.gelu, F.silu, F.softplus, F.mish, F.elu,
    F.hardtanh, F.leaky_relu, F.hardswish, torch.softmax,
})  # fmt: skip
"""What is finite where its operand is."""

_SUMS = frozenset({operator.add, operator.sub})

Rule = tuple[Callable[[fx.Node], None], frozenset[Any]]

_EXACT: tuple[Rule, ...] = (
    (_power, frozenset({operator.pow})),
    (_sum, _SUMS),
    (_scaled_summand, frozenset({torch.addmm})),
)

_ALGEBRAIC: tuple[Rule, ...] = (
    (_mean, frozenset({operator.add})), (_onto, frozenset({operator.add})),
    (_into_summand, frozenset({operator.add})), (_like_terms, _SUMS),
    (_scaled_product, _SUMS),
)  # fmt: skip
