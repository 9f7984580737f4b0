"""A graph drawn: a box for each node, curves from values to what takes them, the bodies that it calls below it.

In: an `fx.GraphModule` as `emit` makes them. Out: SVG that stands alone, on light and on dark ground. What always
holds: the nodes are those of the graph, without the sizes that its checks compute; igraph places them, in layers; each
box says by `data-spans` which text it is of.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import fx

from namedlayers.errors import Source
from namedlayers.inspect.graph import axes_of, bodies, operation, text_of
from namedlayers.inspect.layout import Place, layered
from namedlayers.inspect.spans import spans_of

LETTER, LINE = 6.7, 15.0
"""The width of a letter and the height of a line, in pixels."""

WIDEST = 40
"""Letters in a box; what is longer is cut, and whole in its title."""

MARGIN, APART, BETWEEN = 12.0, 22.0, 34.0
"""Within and round a box, between boxes, and between layers."""


def graph_svg(module: fx.GraphModule, source: Source | None = None) -> str:
    """The drawing; boxes say which pieces of `source`, if given, they are of.

    Raises FormulaError where igraph is not installed.
    """
    drawings = [("", _drawn(module, source)), *((name, _drawn(body, source)) for name, body in bodies(module))]
    width = max(drawing.width for _, drawing in drawings)
    pieces, top = [], 0.0
    for name, drawing in drawings:
        if name:
            pieces.append(f'<text class="title" x="{MARGIN:.0f}" y="{top + LINE:.0f}">{html.escape(name)}</text>')
            top += LINE + MARGIN
        pieces.append(f'<g transform="translate({(width - drawing.width) / 2:.1f} {top:.1f})">{drawing.text}</g>')
        top += drawing.height + BETWEEN
    height = top - BETWEEN
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" class="graph"'
    return f'{head} width="{width:.0f}" height="{height:.0f}">\n<style>{STYLE}</style>\n{_ARROW}\n' + "\n".join(
        [*pieces, "</svg>"]
    )


STYLE = """
.graph { font: 11px ui-monospace, "DejaVu Sans Mono", Consolas, monospace; --ink: #1f2328; --faint: #656d76;
  --box: #f6f8fa; --edge: #8c959f; --given: #ddf4ff; --result: #dafbe1; }
@media (prefers-color-scheme: dark) { .graph { --ink: #e6edf3; --faint: #9198a1; --box: #161b22; --edge: #6e7681;
  --given: #0c2d4d; --result: #0f3320; } }
.graph text { fill: var(--ink); } .graph .name { font-weight: bold; } .graph .text { fill: var(--faint); }
.graph .title { font-weight: bold; font-size: 13px; }
.graph rect { fill: var(--box); stroke: var(--edge); } .graph .placeholder rect { fill: var(--given); }
.graph .output rect { fill: var(--result); } .graph path { fill: none; stroke: var(--edge); }
.graph marker path { fill: var(--edge); stroke: none; }
""".strip()

_ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 L8 4 L0 8 z"/></marker></defs>'
)


@dataclass(frozen=True, slots=True)
class _Drawing:
    text: str
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class _Box:
    """A node with its lines: its name and axes, its operation, what it computes."""

    node: fx.Node
    lines: tuple[tuple[str, str], ...]
    spans: str

    @property
    def width(self) -> float:
        return max(len(text) for _, text in self.lines) * LETTER + 2 * MARGIN

    @property
    def height(self) -> float:
        return len(self.lines) * LINE + MARGIN

    def svg(self, x: float, y: float) -> str:
        left, top = x - self.width / 2, y - self.height / 2
        lines = "".join(
            f'<text class="{kind}" x="{left + MARGIN:.1f}" y="{top + MARGIN / 2 + LINE * (k + 0.75):.1f}">'
            f"{html.escape(text)}</text>"
            for k, (kind, text) in enumerate(self.lines)
        )
        rule = text_of(self.node, "rule")
        title = " · ".join(one for one in (text_of(self.node, "text"), rule and f"rule: {rule}") if one)
        told = f"<title>{html.escape(title)}</title>" if title else ""
        frame = f'<rect x="{left:.1f}" y="{top:.1f}" width="{self.width:.1f}" height="{self.height:.1f}" rx="4"/>'
        return f'<g class="node {self.node.op}" data-spans="{self.spans}">{told}{frame}{lines}</g>'


def _box(node: fx.Node, source: Source | None) -> _Box:
    axes = axes_of(node)
    name = node.name if axes is None else f"{node.name} [{', '.join(axes)}]"
    lines = [("name", name)]
    if node.op not in ("placeholder", "output"):
        lines.append(("operation", operation(node)))
        lines += [("text", text)] if (text := " ".join(text_of(node, "text").split())) else []
    cut = tuple((kind, text if len(text) <= WIDEST else text[: WIDEST - 1] + "…") for kind, text in lines)
    return _Box(node, cut, spans_of(node, source))


# --- placing ----------------------------------------------------------------------------------------------------------


def _drawn(module: fx.GraphModule, source: Source | None) -> _Drawing:
    boxes = [_box(node, source) for node in module.graph.nodes if "prologue" not in node.meta]
    numbers = {box.node: number for number, box in enumerate(boxes)}
    edges = [(numbers[one], numbers[box.node]) for box in boxes for one in box.node.all_input_nodes if one in numbers]
    places, bends = layered([box.width for box in boxes], edges, APART)
    middles = _middles(boxes, places)

    def at(place: Place) -> tuple[float, float]:
        return place.x + 1, middles[place.layer]

    curves = []
    for (first, last), between in zip(edges, bends, strict=True):
        way = [at(one) for one in (places[first], *between, places[last])]
        curves.append(_curve(way, boxes[first], boxes[last]))
    drawn = [box.svg(*at(place)) for box, place in zip(boxes, places, strict=True)]
    ends = [place.x + box.width / 2 for box, place in zip(boxes, places, strict=True)]
    bottom = max(at(place)[1] + box.height / 2 for box, place in zip(boxes, places, strict=True))
    return _Drawing("".join([*curves, *drawn]), max([*ends, *(one.x for way in bends for one in way)]) + 2, bottom + 1)


def _middles(boxes: Sequence[_Box], places: Sequence[Place]) -> list[float]:
    """The middle of each layer, which is as high as its highest box."""
    highest = [0.0] * (max(place.layer for place in places) + 1)
    for box, place in zip(boxes, places, strict=True):
        highest[place.layer] = max(highest[place.layer], box.height)
    middles, top = [], 1.0
    for height in highest:
        middles.append(top + height / 2)
        top += height + BETWEEN
    return middles


def _curve(way: Sequence[tuple[float, float]], first: _Box, last: _Box) -> str:
    return f'<path d="{" ".join(_steps(way, first, last))}" marker-end="url(#arrow)"/>'


def _steps(way: Sequence[tuple[float, float]], first: _Box, last: _Box) -> Iterator[str]:
    (x, y), *middle, (end, bottom) = way
    points = [(x, y + first.height / 2), *middle, (end, bottom - last.height / 2)]
    yield f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (_, above), (x, below) in pairwise(points):
        bend = (above + below) / 2
        yield f"V{above:.1f} S{x:.1f} {bend:.1f} {x:.1f} {below:.1f}"
