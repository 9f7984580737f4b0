"""Bodies in graphs: which operand's axes are whose, what is shared, what is weak, and what is drawn anew."""

from __future__ import annotations

from typing import Any

import pytest

from namedlayers.program.graph import Arg, Node, Region
from namedlayers.program.numbering import number
from namedlayers.program.program import Body, Program
from namedlayers.program.size import symbol
from namedlayers.program.verify import verify_graph, verify_program
from tests.programs import INT, Builder

i, j, time = map(symbol, ("i", "j", "time"))


def recurrence() -> Body:
    """h[i] becomes tanh(sum over j of X[j] * W[i, j] + h); X[j] is given out too."""
    b = Builder()
    h, X, W = b.input("h", "i"), b.input("X", "j"), b.input("W", "i j")
    b.let("h2", b.tanh(b.add(h, b.sum("j", b.mul(X, W)))))
    return b.body("h2", "X")


def recurrent(reverse: bool = False) -> Program:
    b = Builder()
    b.input("X", "j time")
    b.input("W", "i j")
    b.input("h0", "i")
    b.scan("s", recurrence(), b.ref("h0"), b.ref("X"), b.ref("W"), reverse=reverse)
    b.part("h", "s", 0, "time i")
    b.part("seen", "s", 1, "time j")
    return b.program("h: i time", "seen")


def region_of(node: Node) -> Region:
    found = node.attr("region")
    assert isinstance(found, Region)
    return found


def test_a_scan_is_a_bundle_of_which_parts_take_values() -> None:
    program = recurrent()
    verify_program(program)
    graph = number(program)
    verify_graph(graph, program.checks)
    X, W, h0, scan, h, seen = graph.nodes
    assert (scan.op, scan.space, scan.rank) == ("scan", (), 0)
    assert scan.args == (Arg(h0, (-1,)), Arg(X, (-1, -1)), Arg(W, (-1, -1)))
    assert scan.attr("places") == ((0,), (0, -1), (0, 1))
    assert {name: scan.attr(name) for name in ("carries", "reverse", "site", "size")} == {
        "carries": 1, "reverse": False, "site": 0, "size": time,
    }  # fmt: skip
    assert (h.op, h.args, h.attr("number"), h.space, h.names) == ("part", (Arg(scan, ()),), 0, (time, i), ("time", "i"))
    assert (seen.attr("number"), seen.space) == (1, (time, j))
    assert graph.outputs == [Arg(h, (1, 0)), Arg(seen, (0, 1))]


def test_a_region_begins_with_the_inputs_of_its_body() -> None:
    region = region_of(number(recurrent()).nodes[3])
    assert [(node.op, node.attr("name")) for node in region.graph.nodes[:3]] == [
        ("input", "h"), ("input", "X"), ("input", "W"),
    ]  # fmt: skip
    assert [(output.node.op, output.axes) for output in region.graph.outputs] == [("tanh", (0,)), ("input", (0,))]


def test_operands_are_placed_by_position_whatever_their_nodes_order_is() -> None:
    """Y[j, i] is a product whose node has the axes (i, j); the body's input is A[j, i]."""
    inside = Builder()
    A = inside.input("A", "a b", a=j, b=i)
    inside.let("B", inside.exp(A))
    b = Builder()
    X, Z = b.input("X", "i"), b.input("Z", "j")
    b.let("Y", b.mul(X, Z), "j i")
    b.call("c", inside.body("B: b a"), b.ref("Y"))
    b.part("P", "c", 0, "i j")
    graph = number(b.program("P"))
    call = next(node for node in graph if node.op == "call")
    assert call.args[0].node.sizes == (i, j)
    assert call.attr("places") == ((1, 0),)
    verify_graph(graph)


def test_literals_and_sizes_are_operands() -> None:
    inside = Builder()
    a, n = inside.input("a", "", role="option"), inside.input("n", "", INT, role="option")
    inside.let("y", inside.mul(a, n))
    b = Builder()
    b.input("X", "i")
    b.call("c", inside.body("y"), 2.0, i)
    b.part("y", "c", 0, "")
    program = b.program("y")
    verify_program(program)
    graph = number(program)
    verify_graph(graph)
    call = next(node for node in graph if node.op == "call")
    assert [arg.node.op for arg in call.args] == ["const", "size"]
    assert call.attr("places") == ((), ())


# --- what is shared ---------------------------------------------------------------------------------------------------


def doubling() -> Body:
    b = Builder()
    b.let("y", b.mul(b.input("x", "i"), 2.0))
    return b.body("y", name="double")


def calls(body: Body, *operands: Any, kind: Any = None) -> Program:
    """The body called once with each operand: an input's name, or a number that is spread over axis i."""
    b = Builder()
    for name in "XYZ":
        b.input(name, "i")
    for k, one in enumerate(operands):
        if not isinstance(one, str):
            b.let(f"c{k}", b.primitive("expand", (one,), "i", axes=(("i", i),)))
        b.call(f"b{k}", body, b.ref(one if isinstance(one, str) else f"c{k}"))
        b.part(f"p{k}", f"b{k}", 0, "i")
    return b.program(*(f"p{k}" for k in range(len(operands))))


def test_a_body_is_one_region_however_often_it_is_called() -> None:
    graph = number(calls(doubling(), "X", "Y", "Z"))
    first, *others = (node for node in graph if node.op == "call")
    assert len(others) == 2
    assert all(region_of(one) is region_of(first) for one in others)


def test_equal_calls_are_one_value() -> None:
    one, other = number(calls(doubling(), "X", "X")).outputs
    assert one == other


def test_two_bodies_are_two_regions_though_they_are_alike() -> None:
    b = Builder()
    b.input("X", "i")
    b.call("one", doubling(), b.ref("X"))
    b.call("other", doubling(), b.ref("X"))
    b.part("p", "one", 0, "i")
    b.part("q", "other", 0, "i")
    one, other = number(b.program("p", "q")).outputs
    assert one.node is not other.node


def test_a_body_is_a_region_for_each_precision_of_its_inputs() -> None:
    graph = number(calls(doubling(), "X", 1.5))
    verify_graph(graph)
    strong, weak = (region_of(node) for node in graph if node.op == "call")
    assert (strong.graph.nodes[0].weak, weak.graph.nodes[0].weak) == (False, True)
    assert [arg.node.weak for arg in graph.outputs] == [False, True]


# --- what is drawn anew -----------------------------------------------------------------------------------------------


def noisy(nested: bool = False) -> Body:
    b = Builder()
    b.input("x", "i")
    if nested:
        b.call("c", noisy(), b.ref("x"))
        b.part("y", "c", 0, "i")
    else:
        b.let("y", b.primitive("dropout", (b.ref("x"), 0.5), "i", site=0))
    return b.body("y")


@pytest.mark.parametrize("nested", [False, True])
def test_a_body_that_draws_is_run_anew_and_still_one_region(nested: bool) -> None:
    graph = number(calls(noisy(nested), "X", "X", "X"))
    verify_graph(graph)
    runs = [node for node in graph if node.op == "call"]
    assert len(runs) == 3
    assert len({region_of(node) for node in runs}) == 1
    assert len({node.attr("site") for node in runs}) == 3
    assert len({arg.node for arg in graph.outputs}) == 3


def test_draws_at_two_places_are_two_values() -> None:
    b = Builder()
    X = b.input("X", "i")
    draw = {"axes": (("i", i),), "distribution": "normal"}
    for name, site in {"A": 0, "B": 1, "C": 0}.items():
        b.let(name, b.add(X, b.primitive("random", (), "i", site=site, **draw)))
    A, B, C = (arg.node for arg in number(b.program("A", "B", "C")).outputs)
    assert A is C
    assert A is not B


# --- what is weak -----------------------------------------------------------------------------------------------------


def carried(start: Any, update: Any, second: str = "") -> list[bool]:
    """Whether the carried input of a scan is weak in its body, the first of a sum with what `update` makes of it."""
    inside = Builder()
    h = inside.input("h", "")
    g = inside.input("g", "") if second else None
    x = inside.input("x", "")
    inside.let("h2", update(inside, h, x, g))
    if second:
        inside.let("g2", inside.mul(g, x))
    b = Builder()
    b.input("X", "time")
    starts = (start, 0.5) if second else (start,)
    b.scan("s", inside.body("h2", *(["g2"] if second else [])), *starts, b.ref("X"), carries=len(starts))
    b.part("p", "s", 0, "time")
    program = b.program("p")
    verify_program(program)
    graph = number(program)
    verify_graph(graph)
    return [node.weak for node in region_of(graph.nodes[-2]).graph.nodes[: len(starts)]]


def test_what_is_carried_is_weak_only_if_its_start_and_its_update_are() -> None:
    assert carried(1.0, lambda b, h, x, g: b.mul(h, 0.5)) == [True]
    assert carried(1.0, lambda b, h, x, g: b.mul(h, x)) == [False]
    assert carried(1.0, lambda b, h, x, g: b.add(h, g), second="g") == [False, False]


def test_regions_nest() -> None:
    """A scan over rows inside a scan over time."""
    inner = Builder()
    s, x = inner.input("s"), inner.input("x")
    inner.let("s2", inner.add(s, x))
    outer = Builder()
    outer.input("t")
    outer.input("X", "i")
    outer.scan("rows", inner.body("s2", name="row"), outer.ref("t"), outer.ref("X"), axis="i", reverse=True)
    sums = outer.part("sums", "rows", 0, "i")
    outer.let("t2", outer.max("i", sums))
    b = Builder()
    b.input("X", "time i")
    b.scan("steps", outer.body("t2", "sums"), 0.0, b.ref("X"))
    b.part("t", "steps", 0, "time")
    b.part("all", "steps", 1, "time i")
    program = b.program("t", "all")
    verify_program(program)
    graph = number(program)
    verify_graph(graph)
    outside = region_of(next(node for node in graph if node.op == "scan"))
    inside = region_of(next(node for node in outside.graph if node.op == "scan"))
    assert inside.body.name == "row"
    assert not outside.graph.nodes[0].weak and not inside.graph.nodes[0].weak
