"""A step's graph as a compiler of the whole loop wants it.

In: the fx graph of a step. Out: `Split`: what is the same at all steps, and what a step does. What always holds: values
are the same to rounding; the graph that comes in is not touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from namedlayers.emit.log_products import still_factors
from namedlayers.emit.loops.scanning import Loop
from namedlayers.emit.loops.step_values import is_view, rank
from namedlayers.emit.loops.writers import PRODUCTS
from namedlayers.emit.narrowing import add_product


@dataclass(frozen=True)
class Split:
    """`before`: nodes that are the same at all steps; `within`: all others; `made`: the values that a step returns."""

    graph: fx.Graph
    inputs: tuple[fx.Node, ...]
    sizes: tuple[fx.Node, ...]
    before: tuple[fx.Node, ...]
    within: tuple[fx.Node, ...]
    made: tuple[fx.Node, ...]

    @property
    def work(self) -> int:
        """How many operations a step has beside views."""
        return sum(not is_view(node) for node in self.within)

    def own(self, number: int) -> bool:
        """Whether a value is made by a step, in memory that nothing else that the step returns has."""
        node = self.made[number]
        return node in self.within and not is_view(node) and self.made.count(node) == 1


def split(graph: fx.Graph, loop: Loop) -> Split | None:
    """None where a step runs other generated functions, which have loops of their own, or is a log product: in place
    that is prepared once for all steps."""
    if any(isinstance(one, FunctionType) and one.__module__ == _GENERATED for one in _functions(graph)):
        return None
    if any(node.target in still_factors.PRODUCTS for node in graph.nodes):
        return None
    copy = fx.Graph()
    new: dict[fx.Node, fx.Node] = {}
    copy.output(copy.graph_copy(graph, new))
    for old, node in new.items():
        node.meta = dict(old.meta)
    inputs = [node for node in copy.nodes if node.op == "placeholder" and "size" not in node.meta]
    sizes = [node for node in copy.nodes if node.op == "placeholder" and "size" in node.meta]
    same = {node for k, node in enumerate(inputs) if k >= loop.carries and not loop.scanned[k]} | set(sizes)
    for node in list(copy.nodes):
        _as_product(copy, node, same)
        node.target = _QUICKER.get(node.target, node.target)
    for node in copy.nodes:
        if node.op not in ("placeholder", "output") and all(one in same for one in node.all_input_nodes):
            same.add(node)
    for node in list(copy.nodes):
        _pack(copy, node, same)
    inner = [node for node in copy.nodes if node.op not in ("placeholder", "output")]
    (returned,) = list(copy.nodes)[-1].args
    made = tuple(returned) if isinstance(returned, (tuple, list)) else (returned,)
    if not all(isinstance(one, fx.Node) for one in made):
        return None
    before, within = ([n for n in inner if (n in same) is wanted] for wanted in (True, False))
    return Split(copy, tuple(inputs), tuple(sizes), tuple(before), tuple(within), made)


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent, of single precision by an exponential and, near 0, a polynomial: compiled, it takes half
    the time of the function that the inductor would call. It is right to 3e-7 of its value.

    >>> x = torch.tensor([-torch.inf, -1.0, -1e-6, 0.0, 0.3, 20.0])
    >>> torch.allclose(tanh(x), torch.tanh(x), rtol=3e-7, atol=0.0)
    True
    """
    if x.dtype is not torch.float32 or x.device.type != "cpu":
        return torch.tanh(x)
    size, square = x.abs(), x * x
    far = torch.copysign(1 - 2 / (torch.exp(2 * size) + 1), x)
    series = torch.full_like(x, _SERIES[0])
    for factor in _SERIES[1:]:
        series = series * square + factor
    return torch.where(size < _NEAR, x * (1 + square * series), far)


# --- helpers ----------------------------------------------------------------------------------------------------------

_GENERATED = "namedlayers.generated"

_NEAR = 0.625
_SERIES = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
"""tanh(x) is x * (1 + x**2 * p(x**2)) to single precision up to there (Moshier, Cephes)."""


_QUICKER: dict[Any, Any] = {torch.tanh: tanh, add_product: torch.addmm}
"""Inside of the operator there is no autocast, of which `add_product` has to know."""


def _functions(graph: fx.Graph) -> Sequence[Any]:
    """What a graph calls or passes on."""
    found: list[Any] = []
    for node in graph.nodes:
        found += [node.target, *node.args]
    return found


def _as_product(graph: fx.Graph, node: fx.Node, same: set[fx.Node]) -> None:
    """A linear map of rows by weights that are the same at all steps: a product with these, turned."""
    if node.target is not F.linear or node.kwargs or node.args[1] not in same or rank(node.args[0]) != 2:
        return
    x, weights, *bias = node.args
    with graph.inserting_before(node):
        turned = graph.call_method("t", (weights,))
    turned.meta = {"axes": ("", "")}
    node.target, node.args = (torch.addmm, (*bias, x, turned)) if bias else (torch.mm, (x, turned))


def _pack(graph: fx.Graph, node: fx.Node, same: set[fx.Node]) -> None:
    """Turned weights, once, as they are read: products with them are a third faster."""
    turned = node.op == "call_method" and node.target in ("t", "transpose", "permute") and node in same
    if turned and any(user.target in PRODUCTS and user not in same for user in node.users):
        with graph.inserting_after(node):
            packed = graph.call_method("contiguous", (node,))
        packed.meta = {"axes": node.meta["axes"]}
        node.replace_all_uses_with(packed, lambda user: user is not packed)
        same.add(packed)
