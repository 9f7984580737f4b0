"""Drawn graphs: every node is there, no box lies on another, every arrow ends where it must."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import namedlayers as nl
from namedlayers.inspect.layout import THIN, layered
from namedlayers.inspect.svg import graph_svg

NAME = "{http://www.w3.org/2000/svg}"
GRAPHS = [("attention", "MultiHeadAttention"), ("recurrent", "GRU"), ("norm", "LayerNorm"), ("vision", "LeNet")]


@pytest.mark.parametrize(("module", "name"), GRAPHS)
def test_every_node_is_drawn_and_no_two_overlap(module: str, name: str) -> None:
    graph = nl.load(module)[name].graph
    drawn = ET.fromstring(graph_svg(graph))
    groups = drawn.findall(f"{NAME}g")
    assert len(groups) == 1 + len([one for _, one in graph.named_children() if hasattr(one, "graph")])
    nodes = [node for node in graph.graph.nodes if "prologue" not in node.meta]
    boxes = groups[0].findall(f"{NAME}g")
    assert [box.find(f"{NAME}text").text.split(" [")[0][:40] for box in boxes] == [node.name[:40] for node in nodes]
    frames = [[float(box.find(f"{NAME}rect").get(side)) for side in ("x", "y", "width", "height")] for box in boxes]
    width, height = (float(drawn.get(side)) for side in ("width", "height"))
    assert all(0 <= x and x + w <= width and 0 <= y and y + h <= height for x, y, w, h in frames)
    overlaps = [
        (one, other) for k, one in enumerate(frames) for other in frames[:k]
        if one[0] < other[0] + other[2] and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3] and other[1] < one[1] + one[3]
    ]  # fmt: skip
    assert not overlaps
    drawn_nodes = set(nodes)
    assert len(groups[0].findall(f"{NAME}path")) == sum(
        one in drawn_nodes for node in nodes for one in node.all_input_nodes
    )


def test_a_drawing_is_always_the_same() -> None:
    graph = nl.load("attention").MultiHeadAttention.graph
    assert graph_svg(graph) == graph_svg(graph)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[float], list[tuple[int, int]]]:
    widths = draw(st.lists(st.floats(1, 300), min_size=1, max_size=12))
    pairs = [(a, b) for b in range(len(widths)) for a in range(b)]
    return widths, draw(st.lists(st.sampled_from(pairs), unique=True, max_size=20)) if pairs else []


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_boxes_have_room_and_edges_go_down(graph: tuple[list[float], list[tuple[int, int]]]) -> None:
    widths, edges = graph
    places, bends = layered(widths, edges, 10.0)
    for k, (one, width) in enumerate(zip(places, widths, strict=True)):
        assert one.x - width / 2 >= -1e-6
        for other, its in zip(places[:k], widths[:k], strict=True):
            assert one.layer != other.layer or abs(one.x - other.x) >= (width + its) / 2 + 10 - 1e-6
        for way in bends:
            for point in way:
                assert point.layer != one.layer or abs(point.x - one.x) >= (width + THIN) / 2 + 10 - 1e-6
    for (source, target), way in zip(edges, bends, strict=True):
        layers = [places[source].layer, *(point.layer for point in way), places[target].layer]
        assert layers == list(range(layers[0], layers[-1] + 1)) and layers[0] < layers[-1]


def test_without_igraph_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(nl.FormulaError, match=r"NL0661.*igraph") as raised:
        graph_svg(nl.compile("def twice(X[i]) = 2 * X").graph)
    assert "namedlayers[svg]" in raised.value.hint
