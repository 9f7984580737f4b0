"""What becomes of each value of a loop that runs in place: computed once, written over, stacked, or made anew.

In: the fx graph of a step, its `Loop`, the sequences that may be written over. Out: `Roles`. What always holds: memory
is written over only when nothing needs what it holds: not the rest of the step, not the next step, not the results.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import fx

from namedlayers.emit.loops.memory import Memory, behind, follows, into_sequences, shared
from namedlayers.emit.loops.rewritten_steps import BEFORE, for_writing, writer, written
from namedlayers.emit.loops.scanning import Loop
from namedlayers.emit.loops.step_values import is_view
from namedlayers.emit.loops.writers import CURVES

DEAR = 4
"""A curve takes about as long as so many products."""


@dataclass(frozen=True)
class Roles:
    """`before`: nodes that are the same at all steps; `memory`: where those lie that are written into memory which is
    there; `views`: what is seen of it, once; `stacked`: the results that have all steps, by number, and the dimension
    of the steps; `straight`: those among them that are written there at once, by node; `within`: those among these
    for which there is no room but a sequence's, by number."""

    inputs: list[fx.Node]
    sizes: list[fx.Node]
    inner: list[fx.Node]
    made: list[fx.Node]
    before: Collection[fx.Node]
    memory: Mapping[fx.Node, Memory]
    views: Collection[fx.Node]
    stacked: Mapping[int, int]
    straight: Mapping[fx.Node, int]
    within: Mapping[int, fx.Node]


def roles(
    graph: fx.Graph, loop: Loop, symbols: Sequence[str], owned: Collection[int], entire: Collection[int] = ()
) -> Roles:  # fmt: skip
    """`symbols`: the sizes that the loop takes, in order; `owned`: the numbers of sequences that nothing else needs,
    `entire`: those among them that are no part of a larger tensor."""
    nodes = list(graph.nodes)
    inputs = [node for node in nodes if node.op == "placeholder" and "size" not in node.meta]
    sizes = {node.meta["size"]: node for node in nodes if node.op == "placeholder" and "size" in node.meta}
    inner = [node for node in nodes if node.op not in ("placeholder", "output")]
    (returned,) = nodes[-1].args
    made = [n for n in (returned if isinstance(returned, tuple) else (returned,)) if isinstance(n, fx.Node)]
    same = {node for k, node in enumerate(inputs) if k >= loop.carries and not loop.scanned[k]} | set(sizes.values())
    for node in inner:
        if BEFORE in node.meta or all(one in same for one in node.all_input_nodes):
            same.add(node)
    varying = [node for node in inner if node not in same]
    stacked = {number: dim for number, dim in loop.results if dim >= 0}
    places = {made[number]: number for number in stacked if made[number] in varying and writer(made[number])}
    lasting = made[: loop.carries]
    handed_on = behind(lasting)
    apart = [node for node in varying if node in lasting and node not in places and written(node)]
    ends = {node: _last_use(node, inner, inputs, made, lasting) for node in apart}
    rolling = {node: last for node, last in ends.items() if last is not None and follows(node, last, inner.index)}
    free = [node for node in varying if node not in handed_on and writer(node)]
    memory = shared(graph, free, rolling, places, {inputs[k] for k in owned}, made)
    straight = {node: number for node, number in places.items() if node in memory}
    first = {node: number for node, number in straight.items() if not stacked[number]}
    within = into_sequences(memory, first, {inputs[k] for k in entire})
    fixed = same | {node for node, one in memory.items() if one.home == "kept" and one.known_by is node}
    views = set()
    for node in varying:
        if is_view(node) and all(one in fixed for one in node.all_input_nodes):
            fixed.add(node)
            views.add(node)
    before = {node for node in inner if node in same}
    return Roles(inputs, [sizes[one] for one in symbols], inner, made, before, memory, views, stacked, straight, within)


def calls(graph: fx.Graph, loop: Loop, algebraic: bool) -> tuple[int, int]:
    """How many calls of torch a step is, about, and how many times as long they take as their values through
    memory."""
    found = roles(for_writing(graph, loop, algebraic), loop, (), ())
    made = [node for node in found.inner if node not in found.before and not is_view(node)]
    return len(made), sum(DEAR if node.target in CURVES else 1 for node in made)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _last_use(
    node: fx.Node, inner: Sequence[fx.Node], inputs: Sequence[fx.Node], made: Sequence[fx.Node],
    lasting: Sequence[fx.Node],
) -> fx.Node | None:  # fmt: skip
    """What needs last what was handed on before, over which a value may be written that is handed on now; None where
    something else needs it."""
    if lasting.count(node) > 1:
        return None
    carry = made.index(node)
    old = inputs[carry] if carry < len(inputs) and inputs[carry].op == "placeholder" else None
    others = behind(one for one in lasting if one is not node)
    if old is None or old in made or old in others or node in others:
        return None
    users = [user for user in old.users if BEFORE not in user.meta]
    if any(written(user) is None or user not in inner for user in users):
        return None
    return max(users, key=inner.index, default=inner[0])
