"""A step's graph as a loop in place wants it: operations that can write into a given tensor, in few passes.

In: the fx graph of a step. Out: a copy that computes the same by operations that can write. What always holds: values
are the same to rounding; the graph that comes in is not touched; numbers that became tensors are used only where all
real inputs have one precision.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from namedlayers.emit.kernels import looking
from namedlayers.emit.kernels.arithmetic import lerp
from namedlayers.emit.loops.attending_steps import with_still_memory, without_ones
from namedlayers.emit.loops.fused_steps import fuse
from namedlayers.emit.loops.log_steps import with_still_factor
from namedlayers.emit.loops.packed import packed
from namedlayers.emit.loops.scaled_weights import scale_weights
from namedlayers.emit.loops.scanning import Loop
from namedlayers.emit.loops.settled_precisions import settle
from namedlayers.emit.loops.step_values import NUMBER, RELIES, is_number, is_real, is_tensor, of_given_precision, rank
from namedlayers.emit.loops.writers import INFIX, PRODUCTS, REDUCTIONS, SYMMETRIC, WRITERS, Writer
from namedlayers.emit.narrowing import add_product
from namedlayers.program.program import Kind

Written = tuple[Callable[..., Any], tuple[Any, ...]]


BEFORE = "before"
"""Marks, in a node's meta, what is computed before the first step though it takes something that is carried."""


def for_writing(graph: fx.Graph, loop: Loop, algebraic: bool) -> fx.Graph:
    """The graph with products and sums fused (`algebraic`: also where an intermediate may overflow that did not),
    numbers as tensors, and weights as they are multiplied fastest."""
    copy = fx.Graph()
    new: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        new[node] = copy.node_copy(node, new.__getitem__)
        new[node].meta = {key: value for key, value in node.meta.items() if key not in _PRINTED}
        if node.target is add_product:  # in place there is no autocast
            new[node].target = torch.addmm
    given = [node for node in copy.nodes if node.op == "placeholder" and "size" not in node.meta]
    same = {node for k, node in enumerate(given) if k >= loop.carries and not loop.scanned[k]}
    still = [node for k, node in enumerate(given) if k < loop.carries or node in same]
    for node in list(copy.nodes):
        _as_matmul(copy, node, same)
        _as_function(node)
    for node in copy.nodes:
        if node.op not in ("placeholder", "output") and all(one in same for one in node.all_input_nodes):
            same.add(node)
    for node in list(copy.nodes):
        with_still_factor(copy, node, same)
        with_still_memory(copy, node, same)
    _once(copy, same)
    for node in list(copy.nodes):
        without_ones(copy, node)
        _with_dimension(node)
    precise = of_given_precision(copy)
    like = next((node for node in still if node in precise), None)
    numbers = None if like is None else _Numbers(copy, like, same)
    if numbers is not None:
        settle(copy, numbers)
    for node in list(copy.nodes) if algebraic else ():
        scale_weights(copy, node, same)
    if numbers is not None:
        numbers.in_operations(_SUMS)
    fuse(copy, algebraic)
    if numbers is not None:
        numbers.in_operations(_WITH_NUMBERS)
    _lerp_of_one_precision(copy)
    for node in list(copy.nodes):
        _pack(copy, node, same)
        if node.target is torch.matmul and rank(node.args[0]) == rank(node.args[1]) == 2:  # which comes to this
            node.target = torch.mm
    return copy


def writer(node: fx.Node) -> Writer | None:
    """How a node's operation writes, if it can."""
    if node.op not in ("call_function", "call_method") or not is_tensor(node):
        return None
    return WRITERS.get(INFIX.get(node.target, node.target))


def written(node: fx.Node) -> Written | None:
    """The function and the arguments with which a node's operation writes into `out`; None where it cannot."""
    found, args = writer(node), node.args
    if found is None or found.into is None:
        return None
    target = INFIX.get(node.target, node.target)
    if target in SYMMETRIC and not is_tensor(args[0]):
        args = args[::-1]
    if not all(map(is_tensor, args[: found.tensors])):
        return None
    if target is torch.matmul and any(rank(one) < 2 for one in args):
        return None  # it resizes what is given for vectors
    if target is torch.matmul and rank(args[0]) != rank(args[1]) and any(rank(one) == 2 for one in args):
        return folded_product, args
    if target in REDUCTIONS and len(args) < 2 and "dim" not in node.kwargs:
        return None
    return found.into, args


def elementwise(node: fx.Node) -> bool:
    """Whether what writes may write over its own operands, if they have all axes."""
    found = writer(node)
    return found is not None and found.elementwise


def folded_product(x: Tensor, y: Tensor, *, out: Tensor) -> Tensor:
    """`torch.matmul` of a matrix and of something with more axes, which torch folds into another matrix: into memory
    that cannot be seen folded it does not write.

    >>> x, y, place = torch.ones(2, 3, 4), torch.ones(4, 5), torch.zeros(2, 7, 3, 5)[:, 0]
    >>> torch.equal(folded_product(x, y, out=place), x @ y)
    True
    """
    return torch.matmul(x, y, out=out) if out.is_contiguous() else out.copy_(torch.matmul(x, y))


def number_like(like: Tensor, number: float) -> Tensor:
    """A number as a tensor, as precise as another: what is called with it is called in half the time. Coarse numbers
    would lose digits.

    >>> number_like(torch.ones(2), 0.5)
    tensor(0.5000)
    """
    fine = like.dtype is torch.float32 or like.dtype is torch.float64
    return like.new_full((), number, dtype=like.dtype if fine else torch.float64)


# --- helpers ----------------------------------------------------------------------------------------------------------

_PRINTED = frozenset({"inline", "temporary", "parts"})
"""Notes for the printer of the step itself."""

_SUMS = frozenset({torch.add, torch.sub})

_KEEPING_ONE = frozenset({torch.sum, torch.amax, torch.amin, torch.logsumexp})

_WITH_NUMBERS = _SUMS | frozenset({
    torch.mul, torch.div, torch.lt, torch.le, torch.gt, torch.ge, torch.eq, torch.ne, torch.where,
})  # fmt: skip


def _as_matmul(graph: fx.Graph, node: fx.Node, same: set[fx.Node]) -> None:
    """A linear map without a bias, by weights that are the same at all steps, or of a matrix: products can write."""
    if node.target is not F.linear or len(node.args) != 2 or node.kwargs:
        return
    x, weights = node.args
    if weights not in same and not rank(x) == rank(weights) == 2:
        return
    with graph.inserting_before(node):
        turned = graph.call_method(*(("t", (weights,)) if weights in same else ("transpose", (weights, 0, 1))))
        turned.meta = {"axes": ("", ""), "kind": Kind.REAL}
    node.target, node.args = torch.matmul, (x, turned)


def _once(graph: fx.Graph, same: set[fx.Node]) -> None:
    """What is the same at all steps and is made twice is made once."""
    made: dict[str, fx.Node] = {}
    for node in list(graph.nodes):
        if node not in same or node.op not in ("call_function", "call_method"):
            continue
        first = made.setdefault(f"{node.op} {node.target} {node.args} {node.kwargs}", node)
        if first is not node:
            node.replace_all_uses_with(first)
            graph.erase_node(node)
            same.discard(node)


def _with_dimension(node: fx.Node) -> None:
    """A reduction that is seen along the axis which it has not: it keeps the dimension, which takes less time."""
    if node.target not in _KEEPING_ONE or len(node.args) != 2 or node.kwargs or not is_number(node.args[1]):
        return
    views = list(node.users)
    dim = node.args[1] % (rank(node) + 1)  # type: ignore[operator]
    if views and all(one.target == "unsqueeze" and one.args == (node, dim) for one in views):
        node.kwargs = {"keepdim": True}
        for one in views:
            one.replace_all_uses_with(node)
            node.graph.erase_node(one)
        axes = node.meta["axes"]
        node.meta = {**node.meta, "axes": (*axes[:dim], "", *axes[dim:])}


def _as_function(node: fx.Node) -> None:
    """A sum by a method: the function can write; so can torch's kernel, which differs from ours in slopes only."""
    if node.target is looking.logsumexp:
        node.target = torch.logsumexp
    if node.op == "call_method" and node.target == "sum" and is_real(node) and len(node.args) > 1:
        node.op, node.target = "call_function", torch.sum


class _Numbers:
    """Numbers of a graph that are made before the first step, as precise as `like`, a given tensor that is there."""

    def __init__(self, graph: fx.Graph, like: fx.Node, same: set[fx.Node]) -> None:
        self.graph, self.like, self.same = graph, like, same
        self.made: dict[str, fx.Node] = {}

    def __call__(self, number: float) -> fx.Node:
        if number.hex() not in self.made:
            first = next(node for node in self.graph.nodes if node.op != "placeholder")
            with self.graph.inserting_before(first):
                held = self.graph.create_node("call_function", number_like, (self.like, number), name="number")
            held.meta = {"axes": (), "kind": Kind.REAL, BEFORE: True, RELIES: True, NUMBER: True}
            self.same.add(held)
            self.made[number.hex()] = held
        return self.made[number.hex()]

    def in_operations(self, targets: Collection[Any]) -> None:
        """Those that take part in such operations at each step."""
        precise = of_given_precision(self.graph)
        for node in list(self.graph.nodes):
            operands = [one for one in node.args if is_tensor(one)]
            met = any(one in precise for one in operands)
            real = met and all(one in precise or not is_real(one) for one in operands)
            if not real or node in self.same or INFIX.get(node.target, node.target) not in targets:
                continue
            for k, one in enumerate(node.args):
                if is_number(one):
                    node.update_arg(k, self(float(one)))


def _lerp_of_one_precision(graph: fx.Graph) -> None:
    """Where precisions are known, nothing has to be asked at each step."""
    precise = of_given_precision(graph)
    for node in graph.nodes:
        if node.target is lerp and all(one in precise for one in node.args if is_tensor(one)):
            node.target = torch.lerp
            node.meta[RELIES] = True


def _pack(graph: fx.Graph, node: fx.Node, same: set[fx.Node]) -> None:
    """Turned weights, once, as they are read: products with them are a third faster."""
    turned = node.op == "call_method" and node.target in ("t", "transpose", "permute") and node in same
    if turned and any(user.target in PRODUCTS and user not in same for user in node.users):
        with graph.inserting_after(node):
            made = graph.create_node("call_function", packed, (node,), name=_packed_name(node))
        made.meta, node.meta = node.meta, {**node.meta, "inline": True}
        node.replace_all_uses_with(made, lambda user: user is not made)
        same.add(made)


def _packed_name(turned: fx.Node) -> str:
    of = turned.args[0]
    return f"{of.name}_packed" if isinstance(of, fx.Node) else "packed"
