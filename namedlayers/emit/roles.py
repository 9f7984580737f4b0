"""What becomes of each value of a loop that runs in place: computed once, written over, stacked, or made anew.

In: the fx graph of a step, its `Loop`, the sequences that may be written over. Out: `Roles`. What always holds: memory
is written over only when nothing needs what it holds: not the rest of the step, not the next step, not the results.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import fx

from namedlayers.emit.rewritten_steps import elementwise, is_view, written
from namedlayers.emit.scanning import Loop


@dataclass(frozen=True)
class Roles:
    """`before`: nodes that are the same at all steps; `kept`: what each step writes anew into the first one's tensor;
    `onto`: products that are added to a tensor which nothing else needs; `views`: what is seen of the kept ones, once;
    `stacked`: the results that have all steps, by number, and the dimension of the steps; `straight`: those among them
    that are written there at once, by node."""

    inputs: list[fx.Node]
    sizes: list[fx.Node]
    inner: list[fx.Node]
    made: list[fx.Node]
    before: Collection[fx.Node]
    kept: Collection[fx.Node]
    onto: Mapping[fx.Node, fx.Node]
    views: Collection[fx.Node]
    stacked: Mapping[int, int]
    straight: Mapping[fx.Node, int]


def roles(graph: fx.Graph, loop: Loop, symbols: Sequence[str], owned: Collection[int]) -> Roles:
    """`symbols`: the sizes that the loop takes, in order; `owned`: the numbers of sequences that nothing else needs."""
    nodes = list(graph.nodes)
    inputs = [node for node in nodes if node.op == "placeholder" and "size" not in node.meta]
    sizes = {node.meta["size"]: node for node in nodes if node.op == "placeholder" and "size" in node.meta}
    inner = [node for node in nodes if node.op not in ("placeholder", "output")]
    (returned,) = nodes[-1].args
    made = [n for n in (returned if isinstance(returned, tuple) else (returned,)) if isinstance(n, fx.Node)]
    same = {node for k, node in enumerate(inputs) if k >= loop.carries and not loop.scanned[k]} | set(sizes.values())
    for node in inner:
        if all(one in same for one in node.all_input_nodes):
            same.add(node)
    varying = [node for node in inner if node not in same]
    stacked = {number: dim for number, dim in loop.results if dim >= 0}
    straight = {made[number]: number for number in stacked if made[number] in varying and written(made[number])}
    free = [node for node in varying if node not in straight and written(node)]
    lasting = made[: loop.carries]
    over = {inputs[k] for k in owned}
    onto = {node: summand for node in free if (summand := _summand(node, {*free, *over}, made, over)) is not None}
    kept = {node for node in free if node not in _behind(lasting) and onto.get(node) not in over}
    rolling = [node for node in free if node in lasting and onto.get(node) not in over]
    kept |= {node for node in rolling if _rolls(node, inner, inputs, made, lasting, onto)}
    # A summand lies in the memory of what is added to it.
    onto = {node: summand for node, summand in onto.items() if summand in over or {node, summand} <= kept}
    fixed = same | kept
    for node in inner:
        if is_view(node) and all(one in fixed for one in node.all_input_nodes):
            fixed.add(node)
    before = {node for node in inner if node in same}
    return Roles(
        inputs, [sizes[one] for one in symbols], inner, made, before, kept, onto, fixed - same - kept, stacked, straight
    )  # fmt: skip


# --- helpers ----------------------------------------------------------------------------------------------------------


def _summand(
    node: fx.Node, memory: Collection[fx.Node], made: Sequence[fx.Node], over: Collection[fx.Node]
) -> fx.Node | None:
    """What a product is added to, if that is a whole tensor which nothing else needs."""
    summand = node.args[0] if node.target is torch.addmm and not node.kwargs else None
    if not isinstance(summand, fx.Node) or summand not in memory or summand in made or set(summand.users) != {node}:
        return None
    if summand in node.args[1:] or (summand in over and any(is_view(user) for user in node.users)):
        return None  # views of a sequence would have to be taken at each step
    return summand if len(summand.meta.get("axes") or ()) == 2 else None


def _rolls(
    node: fx.Node, inner: Sequence[fx.Node], inputs: Sequence[fx.Node], made: Sequence[fx.Node],
    lasting: Sequence[fx.Node], onto: Mapping[fx.Node, fx.Node],
) -> bool:  # fmt: skip
    """Whether a value that is handed on may be written over what was handed on before: by then that is not needed."""
    if lasting.count(node) > 1:
        return False
    carry = made.index(node)
    old = inputs[carry] if carry < len(inputs) and inputs[carry].op == "placeholder" else None
    others = _behind(one for one in lasting if one is not node)
    if old is None or old in made or old in others or node in others:
        return False
    first = onto.get(node, node)
    place = inner.index(first)
    for user in old.users:
        at = inner.index(user) if user in inner else len(inner)
        if written(user) is None or at > place or (at == place and not elementwise(first)):
            return False
    return True


def _behind(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    """The nodes whose memory these values may be: what goes through anything but a computation may be a view."""
    found: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            if written(node) is None:
                waiting += node.all_input_nodes
    return found
