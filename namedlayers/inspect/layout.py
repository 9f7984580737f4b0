"""Where boxes of different widths stand in a drawing of layers.

In: how wide each box is, and which leads to which, without circles. Out: a column in pixels and a layer for each box,
and for each edge the points at which it crosses layers. What always holds: no two boxes of a layer overlap; igraph
finds the order within layers, in which few edges cross.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from namedlayers.errors import FormulaError

SWEEPS = 12
"""How often every layer is moved towards its neighbours."""

THIN = 6.0
"""The width that an edge takes in a layer which it crosses."""


@dataclass(frozen=True, slots=True)
class Place:
    """The middle of a box, or a point of an edge."""

    x: float
    layer: int


def layered(
    widths: Sequence[float], edges: Sequence[tuple[int, int]], apart: float
) -> tuple[list[Place], list[list[Place]]]:
    """Places of boxes that are so wide and stand at least so far apart, and of the points between on every edge.

    Raises FormulaError where igraph is not installed.
    """
    layers, ways = _ways(len(widths), edges)
    sizes = [*widths, *[THIN] * (len(layers) - len(widths))]
    columns = _settled(_order(layers, ways), layers, sizes, ways, apart)
    places = [Place(x, layer) for x, layer in zip(columns, layers, strict=True)]
    return places[: len(widths)], [[places[one] for one in way[1:-1]] for way in ways]


def _ways(count: int, edges: Sequence[tuple[int, int]]) -> tuple[list[int], list[list[int]]]:
    """The layer of each box, and of a point on every layer that an edge crosses; each edge as a row of these."""
    layers, ways = _layers(count, edges), []
    for source, target in edges:
        crossed = range(layers[source] + 1, layers[target])
        ways.append([source, *range(len(layers), len(layers) + len(crossed)), target])
        layers += crossed
    return layers, ways


def _order(layers: Sequence[int], ways: Sequence[Sequence[int]]) -> list[float]:
    """Columns of which the order within a layer counts."""
    graph = _igraph().Graph(n=len(layers), edges=[pair for way in ways for pair in pairwise(way)], directed=True)
    return [float(x) for x, _ in graph.layout_sugiyama(layers=list(layers)).coords[: len(layers)]]


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Each box as late as what it leads to allows, so that values stand near their use."""
    leads: dict[int, list[int]] = {}
    for source, target in edges:
        leads.setdefault(source, []).append(target)
    ahead = [0] * count
    for number in reversed(range(count)):
        ahead[number] = max((ahead[target] + 1 for target in leads.get(number, ())), default=0)
    deepest = max(ahead, default=0)
    return [deepest - one for one in ahead]


def _igraph() -> Any:
    try:
        import igraph
    except ImportError:
        hint = 'install it: `pip install "namedlayers[svg]"`; `--as dot` does without, for Graphviz'
        raise FormulaError("NL0661", "the package igraph, which places what is drawn, is missing", hint=hint) from None
    return igraph


def _settled(
    order: Sequence[float],
    layers: Sequence[int],
    widths: Sequence[float],
    ways: Sequence[Sequence[int]],
    apart: float,
) -> list[float]:
    """Columns: each layer in its order, every point as near to the middle of its neighbours as the others allow."""
    rows: dict[int, list[int]] = {}
    for number in sorted(range(len(order)), key=lambda one: order[one]):
        rows.setdefault(layers[number], []).append(number)
    before: dict[int, list[int]] = {}
    after: dict[int, list[int]] = {}
    for way in ways:
        for source, target in pairwise(way):
            after.setdefault(source, []).append(target)
            before.setdefault(target, []).append(source)
    columns = [0.0] * len(order)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in sorted(rows, reverse=not down):
            row, neighbours = rows[layer], before if down else after
            wanted = [_middle([columns[one] for one in neighbours.get(number, ())], columns[number]) for number in row]
            columns_of = _apart(wanted, [widths[number] for number in row], apart)
            for number, x in zip(row, columns_of, strict=True):
                columns[number] = x
    least = min((x - widths[number] / 2 for number, x in enumerate(columns)), default=0.0)
    return [x - least for x in columns]


def _middle(columns: Sequence[float], otherwise: float) -> float:
    return sum(columns) / len(columns) if columns else otherwise


def _apart(wanted: Sequence[float], widths: Sequence[float], apart: float) -> list[float]:
    """The columns nearest to those wanted, in their order, with room for all: the least sum of squares.

    >>> _apart([0.0, 0.0, 100.0], [10.0, 10.0, 10.0], 2.0)
    [-6.0, 6.0, 100.0]
    """
    offsets = [0.0]
    for left, right in zip(widths, widths[1:], strict=False):
        offsets.append(offsets[-1] + (left + right) / 2 + apart)
    # Blocks of neighbours that touch: the mean of where they want to be, and how many they are.
    blocks: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        mean, count = want - offset, 1
        while blocks and blocks[-1][0] > mean:
            earlier, many = blocks.pop()
            mean, count = (mean * count + earlier * many) / (count + many), count + many
        blocks.append((mean, count))
    flat = [mean for mean, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(flat, offsets, strict=True)]
