"""Scans that torch has a kernel for: plain recurrent networks, LSTM and GRU.

In: a `Block` and its body as it was written. Out: its carried values solved by a kernel, or why it is none. What always
holds: cells are told by what they compute (`cells`); weights that lie as torch stores them are passed as they are; the
cell of an LSTM, of which the kernel tells the last one only, is not needed elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from namedlayers.plan.plan import Event
from namedlayers.plan.rule import Near
from namedlayers.plan.scans import cells
from namedlayers.plan.scans.affine import SUMMED, Affine, Affines, summands
from namedlayers.plan.scans.block import Block, ancestors
from namedlayers.plan.scans.cells import Cell
from namedlayers.plan.scans.held import Held
from namedlayers.plan.scans.network import Found, Terms, built, solve_memory
from namedlayers.plan.scans.reading import Reading
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.program import Kind


def solve(
    block: Block, body: Graph, wanted: Sequence[Arg], last: Iterable[Node], admit: Callable[[Node], bool]
) -> list[Event]:
    """Solves all that is carried if a kernel does it. `body` is the body with indices below what they read; `wanted`
    are its results that are needed, those among `last` only after the last step."""
    inner = Block(block.node, block.outside, body, block.operands, block.steps, list(block.unsolved))
    inner.values |= {carry: held for carry, held in block.values.items() if carry < block.carries}
    found = _found(inner, wanted, set(last))
    if found is None:
        return []
    spans = inner.update(inner.unsolved[0]).node.spans or block.node.spans
    if isinstance(found, Near):
        return [Event("recurrent kernel", "algebraic", found.spans or spans, found.reason)]
    node = built(inner, found)
    if not admit(node):
        reason = "its kernel needs sizes that this variant does not assume"
        return [Event(found.cell.op, "algebraic", spans, reason)]
    held = Held(node, tuple(range(1, node.rank)), 0)
    block.solve(found.state, held)
    if found.memory is not None:
        solve_memory(block, found, node)
    return [Event(found.cell.op, "algebraic", spans)]


# --- helpers ----------------------------------------------------------------------------------------------------------


def _found(block: Block, wanted: Sequence[Arg], last: set[Node]) -> Found | Near | None:
    if len(block.unsolved) > 2:
        return None
    near: Near | None = None
    for state in block.unsolved:
        others = [carry for carry in block.unsolved if carry != state]
        memory = others[0] if others else None
        found = _as_cell(block, state, memory)
        if isinstance(found, Found):
            return _fitting(block, found, wanted, last)
        near = near or found
    return near


def _as_cell(block: Block, state: int, memory: int | None) -> Found | Near | None:
    update = block.update(state)
    if any(block.inside.nodes[carry].kind is not Kind.REAL for carry in block.unsolved):
        return None
    reading = Reading(block, Affines(block.open))
    understood = reading.leaves(update)
    if not any(one.value.node.number == state for _, found in reading.gates for one in found.products):
        return None
    if not understood:
        return reading.reason
    if memory is not None and memory not in reading.states:
        return None
    if not all(_of_state(block, found, state) for _, found in reading.gates):
        return Near(
            "weights are applied to something else than the state itself (torch's GRU resets after the product)"
        )
    if any(len(found.products) != 1 for _, found in reading.gates):
        return Near("a gate is not one product of weights and the state")
    if reading.choosing and max(reading.constants, default=0) > cells.LARGEST_CONSTANT:
        return Near(f"beside a choice, constants of the update are at most {cells.LARGEST_CONSTANT}")
    if reading.states.get(state, _itself(block, state)) != _itself(block, state):
        return None
    order = reading.states[memory].axes if memory is not None else ()
    cell = _told(block, reading, state, memory, order)
    if cell is None:
        return Near("the update of the state is not that of torch's RNN, GRU or LSTM")
    gates = tuple(reading.gates[k][1].times(sign) for k, sign in zip(cell.order, cell.signs, strict=True))
    enters = tuple((s * cell.entering, a) for one in reading.entering for s, a in summands(one))
    return Found(cell, state, memory, order, gates, enters)


def _told(block: Block, reading: Reading, state: int, memory: int | None, order: tuple[int, ...]) -> Cell | None:
    """Which cell it is, by values at random points."""
    numbers = cells.points(len(reading.gates) + len(reading.entering) + 2)
    count = len(reading.gates)
    gates, entering, (old, remembered) = numbers[:count], numbers[count:-2], numbers[-2:]
    known = dict(zip([arg for arg, _ in reading.gates] + reading.entering, numbers, strict=False))
    known[_itself(block, state)] = old
    if memory is not None:
        known[reading.states[memory]] = remembered
    with np.errstate(all="ignore"):
        updated = reading.at(block.update(state), known)
        if memory is None:
            if entering:
                return cells.gated(gates, entering, old, updated)
            return cells.plain(gates, updated)
        update = block.update(memory)
        relabelled = Arg(update.node, tuple(order[position] for position in update.axes))
        if reading.entering or relabelled not in known:
            return None
        return cells.remembering(gates, remembered, updated, reading.at(relabelled, known))


def _fitting(block: Block, found: Found, wanted: Sequence[Arg], last: set[Node]) -> Found | Near | None:
    """Whether its terms are what the kernel takes, and the memory is asked for after the last step only."""
    if found.memory is not None:
        memory = block.update(found.memory).node
        if any(arg.node is memory and memory not in last for arg in wanted):
            return Near("the cell is needed at every step; torch's kernel tells the last one only")
        stop = {block.update(found.state).node.number: 0, memory.number: 0}
        needed = ancestors((arg.node for arg in wanted), stop)
        if any(node.number == found.memory for node in needed):
            return Near("the cell is needed at every step; torch's kernel tells the last one only")
    return Terms(block, found).check() or found


def _itself(block: Block, carry: int) -> Arg:
    """A carried value under its own labels."""
    node = block.inside.nodes[carry]
    return Arg(node, tuple(range(node.rank)))


def _of_state(block: Block, found: Affine, state: int) -> bool:
    """Whether the products are with the state, as it is or summed over some of its axes."""
    own = block.inside.nodes[state]
    return bool(found.products) and all(
        one.value.node is own and all(label == k or label >= SUMMED for k, label in enumerate(one.value.axes))
        for one in found.products
    )
