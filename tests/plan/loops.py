"""Scans as text, opened and checked: what the tests of opening share.

`opened(text)` gives the graph before and after; `agree` evaluates both with operations by their definitions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from namedlayers.plan.operations import OPERATIONS
from namedlayers.plan.plan import Event
from namedlayers.plan.scans import open_scans
from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.numbering import number
from namedlayers.program.program import Program
from namedlayers.program.verify import verify_graph
from namedlayers.reference.interpreter import evaluate as by_definition
from tests.plan import evaluate as operations
from tests.plan.evaluate import Sizes, aligned, sigmoid
from tests.plan.formulas import program_of, random_inputs, sizes_for


@dataclass(frozen=True)
class Opened:
    program: Program
    before: Graph
    after: Graph
    events: tuple[Event, ...]

    @property
    def scans(self) -> list[Node]:
        return [node for node in self.after.live() if node.op == "scan"]

    @property
    def body(self) -> Graph:
        """The body of the one scan that is left."""
        (scan,) = self.scans
        return region(scan).graph

    @property
    def ops(self) -> list[str]:
        """The operations outside of the loop."""
        return [node.op for node in self.after.live() if node.op != "input"]

    @property
    def inner(self) -> list[str]:
        """The operations that the loop computes at each step."""
        return sorted(node.op for node in self.body.live() if node.op != "input")


def opened(text: str, strict: bool = False) -> Opened:
    program = program_of(text)
    graph = number(program)
    before = [repr(node) for node in graph.nodes]
    found = open_scans(graph, ("exact",) if strict else ("exact", "algebraic"))
    assert [repr(node) for node in graph.nodes] == before, "opening leaves the graph alone"
    for one in graphs(found.graph):
        verify_graph(one, program.checks, OPERATIONS)
    again = open_scans(found.graph, ("exact",) if strict else ("exact", "algebraic"))
    assert again.graph is found.graph, "opening again changes nothing"
    return Opened(program, graph, found.graph, found.events)


def agree(found: Opened, seed: int = 0, tolerance: float = 1e-9, **given: int) -> None:
    """Both graphs and the definition give the same values."""
    sizes = sizes_for(found.program, **given)
    inputs = random_inputs(found.program, sizes, seed)
    wanted = by_definition(found.program, inputs)
    for graph in (found.before, found.after):
        results = operations.evaluate(graph, inputs, sizes)
        for result, want in zip(results, wanted, strict=True):
            np.testing.assert_allclose(result, want, rtol=tolerance, atol=tolerance)


def everywhere(found: Opened, axis: str = "time", others: Mapping[str, int] | None = None) -> None:
    """The same for several lengths, none and one among them."""
    for seed, steps in enumerate((3, 1, 0, 7)):
        agree(found, seed, **{axis: steps, **(others or {})})


def region(node: Node) -> Region:
    found = node.attr("region")
    assert isinstance(found, Region)
    return found


def graphs(graph: Graph) -> Iterator[Graph]:
    """A graph and those of the regions in it."""
    yield graph
    for node in graph.nodes:
        if node.op in ("scan", "call"):
            yield from graphs(region(node).graph)


# --- what runs bodies, and recurrences, by definition -----------------------------------------------------------------


def _scan(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    body, carries, places = region(node), node.attr("carries"), node.attr("places")
    size = node.attr("size").evaluate(sizes)  # type: ignore[attr-defined]
    names = [str(one.attr("name")) for one in body.graph.nodes[: len(body.body.inputs)]]
    assert names == [given.name for given in body.body.inputs]

    def seen(number: int, step: int) -> np.ndarray:
        value, listed = args[number], list(places[number])  # type: ignore[index]
        if -1 in listed:
            value = value.take(step, axis=listed.index(-1))
            listed.remove(-1)
        return np.asarray(value).transpose(np.argsort(listed)) if listed else value

    carried = [seen(number, 0) for number in range(carries)]  # type: ignore[call-overload]
    rows: dict[int, list[np.ndarray]] = {}
    for step in reversed(range(size)) if node.attr("reverse") else range(size):
        values = [*carried, *(seen(number, step) for number in range(len(carried), len(args)))]
        rows[step] = operations.evaluate(body.graph, dict(zip(names, values, strict=True)), sizes)
        carried = rows[step][: len(carried)]
    found = np.empty((), dtype=object)
    shapes = [[arg.node.sizes[arg.axes.index(p)].evaluate(sizes) for p in range(arg.node.rank)]
              for arg in body.graph.outputs]  # fmt: skip
    found[()] = tuple(
        np.stack([rows[step][k] for step in range(size)]) if size else np.empty((0, *shape))
        for k, shape in enumerate(shapes)
    )
    return found


def _recurrence(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    axis = node.attr("axis")
    assert isinstance(axis, int) and axis not in node.args[2].axes
    a, b, h = (aligned(arg, value, len(space)) for arg, value in zip(node.args, args, strict=True))
    a, b = (np.moveaxis(np.broadcast_to(value, space), axis, 0) for value in (a, b))
    h, found = np.moveaxis(h, axis, 0)[0], np.empty(b.shape)
    for step in reversed(range(len(b))) if node.attr("reverse") else range(len(b)):
        h = found[step] = a[step] * h + b[step]
    return np.moveaxis(found, 0, axis)


def _piece(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    (arg,) = node.args
    axis, number, lengths = node.attr("axis"), node.attr("number"), node.attr("sizes")
    assert isinstance(axis, int) and isinstance(number, int) and isinstance(lengths, tuple)
    cut = arg.axes.index(-1)
    ends = np.cumsum([size.evaluate(sizes) for size in lengths])
    assert ends[-1] == args[0].shape[cut] and (axis >= 0 or len(lengths) == ends[-1])
    piece = np.split(args[0], ends[:-1], axis=cut)[number]
    if axis < 0:
        return aligned(Arg(arg.node, tuple(p for p in arg.axes if p >= 0)), piece.squeeze(cut), node.rank)
    return aligned(Arg(arg.node, tuple(axis if p < 0 else p for p in arg.axes)), piece, node.rank)


def _concat(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    axis = node.attr("axis")
    assert isinstance(axis, int)
    pieces = []
    for arg, value in zip(node.args, args, strict=True):
        one = aligned(Arg(arg.node, tuple(axis if p < 0 else p for p in arg.axes)), value, node.rank)
        pieces.append(np.broadcast_to(one, [one.shape[k] if k == axis else n for k, n in enumerate(space)]))
    return np.concatenate(pieces, axis=axis)


def _stack(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    axis = node.attr("axis")
    assert axis == node.rank - 1
    pieces = [np.broadcast_to(aligned(arg, v, node.rank)[..., 0], space[:-1]) for arg, v in
              zip(node.args, args, strict=True)]  # fmt: skip
    return np.stack(pieces, axis=-1)


operations._SPECIAL |= {
    "scan": _scan,
    "part": lambda node, args, space, sizes: args[0].item()[node.attr("number")],
    "recurrence": _recurrence,
    "piece": _piece,
    "ordered": lambda node, args, space, sizes: aligned(node.args[0], args[0], node.rank),
    "concat": _concat,
    "stack": _stack,
}
operations._ELEMENTWISE["sin"] = np.sin


def _kernel(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    """Step by step, as torch documents its cells."""
    memory = node.op == "lstm"
    count = 3 if memory else 2
    axis, hidden, inner = node.attr("axis"), node.attr("hidden"), node.attr("inner")
    assert axis == 0 and isinstance(hidden, tuple) and isinstance(inner, tuple)
    batch = [p for p in range(1, node.rank) if p not in hidden]
    features = [p for p in range(node.rank, len(space)) if p not in inner]
    states = [_filled(node.args[k], args[k], (*batch, *hidden), space) for k in range(1, count)]
    shape = states[0].shape
    x = _filled(node.args[0], args[0], (0, *batch, *features), space)
    x = x.reshape(*x.shape[: 1 + len(batch)], int(np.prod(x.shape[1 + len(batch) :])))
    h, *c = (one.reshape(*shape[: len(batch)], -1) for one in states)
    w = _filled(node.args[count], args[count], (-1, *features), space)
    w = w.reshape(len(w), x.shape[-1])
    u = _filled(node.args[count + 1], args[count + 1], (-1, *inner), space).reshape(-1, h.shape[-1])
    b, d = args[count + 2 :] or (np.zeros(len(w)), np.zeros(len(w)))
    found = np.empty((space[0], *shape))
    for step in reversed(range(space[0])) if node.attr("reverse") else range(space[0]):
        left, right = x[step] @ w.T + b, h @ u.T + d
        h, c = _cells(node, left, right, h, c)
        found[step] = h.reshape(shape)
    _LAST[node.number] = c[0].reshape(shape) if c else h
    order = [0, *batch, *hidden]
    _ORDER[node.number] = [p - 1 for p in order[1:]]
    return found.transpose(np.argsort(order))


def _cells(node: Node, left: np.ndarray, right: np.ndarray, h: np.ndarray, c: list[np.ndarray]) -> Any:
    if node.op == "rnn":
        a = left + right
        return (np.tanh(a) if node.attr("act") == "tanh" else np.maximum(a, 0)), c
    if node.op == "gru":
        (r, z, n), (hr, hz, hn) = np.split(left, 3, -1), np.split(right, 3, -1)
        r, z = sigmoid(r + hr), sigmoid(z + hz)
        return (1 - z) * np.tanh(n + r * hn) + z * h, c
    i, f, g, o = np.split(left + right, 4, -1)
    c = [sigmoid(f) * c[0] + sigmoid(i) * np.tanh(g)]
    return sigmoid(o) * np.tanh(c[0]), c


def _filled(arg: Arg, value: np.ndarray, order: tuple[int, ...], space: list[int]) -> np.ndarray:
    """The value with its axes in this order; those that it lacks are the same all along."""
    value = np.asarray(value).transpose([arg.axes.index(p) for p in order if p in arg.axes])
    index = tuple(slice(None) if p in arg.axes else None for p in order)
    return np.broadcast_to(
        value[index], [n if p < 0 else space[p] for p, n in zip(order, value[index].shape, strict=True)]
    )


_LAST: dict[int, np.ndarray] = {}
_ORDER: dict[int, list[int]] = {}


def _cell(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    number = node.args[0].node.number
    return _LAST[number].transpose(np.argsort(_ORDER[number]))


operations._SPECIAL |= {"rnn": _kernel, "gru": _kernel, "lstm": _kernel, "cell": _cell}
