"""Sequences as a step sees them: what is a view of one step becomes a view of all of them.

In: the fx graph of a step, which may be changed, and its `Loop`. Out: further sequences, each with the operation that
makes it. What always holds: at each step the further sequence is what the step made of the first one.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import fx

from namedlayers.emit.loops.scanning import Loop
from namedlayers.emit.loops.step_values import is_number, is_view, rank


@dataclass(frozen=True)
class Seen:
    """`made`: a sequence, as an input of the step, of the sequence `of` by the method `target` with these `args`;
    `alone`: whether nothing else needs that."""

    made: fx.Node
    of: fx.Node
    target: str
    args: tuple[Any, ...]
    alone: bool


def seen(graph: fx.Graph, loop: Loop) -> list[Seen]:
    """The further sequences; in the graph they are inputs behind all others."""
    given = [node for node in graph.nodes if node.op == "placeholder" and "size" not in node.meta]
    steps = [node for node, is_ in zip(given, loop.scanned, strict=True) if is_]
    found = []
    for of in steps:
        for node in list(of.users):
            args = _of_all(node, of)
            if args is None:
                continue
            with graph.inserting_after(given[-1]):
                made = graph.placeholder(node.name)
            made.meta = {**node.meta, "rank": rank(node)}
            found.append(Seen(made, of, str(node.target), args, len(of.users) == 1))
            given.append(made)
            node.replace_all_uses_with(made)
            graph.erase_node(node)
    return found


def seen_of_all(node: fx.Node, whole: str, contiguous: bool) -> str | None:
    """The text of a view of all steps, of which each step's is what a node makes of its own; None if it may copy."""
    of = node.all_input_nodes[0] if len(node.all_input_nodes) == 1 else None
    if of is None or node.args[0] is not of:
        return None
    if not (is_view(node) or (contiguous and node.target == "flatten")):
        return None
    if node.target is operator.getitem:
        index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
        told = [":" if one == slice(None) else repr(one) for one in index if one is None or one == slice(None)]
        return f"{whole}[:, {', '.join(told)}]" if len(told) == len(index) else None
    args = _of_all(node, of)
    return None if args is None else f"{whole}.{node.target}({', '.join(map(repr, args))})"


# --- helpers ----------------------------------------------------------------------------------------------------------


def _of_all(node: fx.Node, of: fx.Node) -> tuple[Any, ...] | None:
    """The arguments of a view of all steps, of which each is this view: dimensions are counted from the step's."""
    dims = _DIMENSIONS.get(node.target) if node.op == "call_method" else None
    if dims is None or node.kwargs or node.args[0] is not of or not all(is_number(node.args[k]) for k in dims):
        return None
    args = [one + 1 if k + 1 in dims and one >= 0 else one for k, one in enumerate(node.args[1:])]  # type: ignore[operator]
    return None if any(isinstance(one, fx.Node) for one in node.all_input_nodes[1:]) else tuple(args)


_DIMENSIONS: Mapping[Any, tuple[int, ...]] = MappingProxyType({
    "flatten": (1, 2), "transpose": (1, 2), "unsqueeze": (1,), "squeeze": (1,), "select": (1,),
})  # fmt: skip
"""Methods that give views, or copy once what they would copy at each step; which of their arguments are dimensions."""
