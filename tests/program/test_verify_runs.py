"""What runs a body that does not fit is found: in programs and in graphs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.numbering import number
from namedlayers.program.program import Body, Input, Program
from namedlayers.program.size import symbol
from namedlayers.program.verify import InvariantError, verify_graph, verify_program
from tests.programs import BOOL, INT, REAL, Builder

i, j, n = symbol("i"), symbol("j"), symbol("n")


def inside(**changes: Any) -> Builder:
    b = Builder()
    h, x = b.input("h", "i", changes.get("h", REAL)), b.input("x", "j", changes.get("x", REAL))
    b.let("h2", b.add(h, b.sum("j", x)))
    b.let("flag", b.lt(h, 0))
    return b


def scanned(body: Body | None = None, *, x: str = "X", h: str = "H", **changes: Any) -> Program:
    """A scan of a body on `H[i]`, `X[time, j]`, other inputs being at hand, and one of its parts."""
    b = Builder()
    for name, axes in {"H": "i", "X": "time j", "T": "time i", "N": "n"}.items():
        b.input(name, axes)
    b.input("K", "i", INT)
    operands = (b.ref(h), b.ref(x), *([b.ref("H")] if changes.pop("more", False) else []))
    number, axes, sizes = (changes.pop(key, other) for key, other in (("number", 0), ("axes", "time i"), ("sizes", {})))
    b.scan("s", body or inside().body("h2", "x"), *operands, **changes)
    b.part("p", "s", number, axes, **sizes)
    return b.program("p")


def test_a_scan_that_is_one() -> None:
    program = scanned()
    verify_program(program)
    verify_graph(number(program))


def open_body() -> Body:
    b = inside()
    body = b.body("h2")
    return dataclasses.replace(body, inputs=body.inputs[:1])


def of_a_bundle() -> Program:
    b = Builder()
    b.input("X", "i")
    body = Builder()
    body.input("x", "i")
    b.call("c", body.body("x"), b.ref("X"))
    b.let("Y", b.exp(b.leaf("c")))
    return b.program("Y")


def part_of_a_value() -> Program:
    b = Builder()
    b.input("X", "")
    b.input("I", "i")
    b.bodies["X"] = inside().body("h2")
    b.part("Y", "X", 0, "i")
    return b.program("Y")


PROGRAMS: dict[str, Callable[[], Program]] = {
    "refers to `x`, which is not there yet": lambda: scanned(open_body()),
    "3 operands for 2": lambda: scanned(more=True),
    "carries 3": lambda: scanned(carries=3),
    r"input `h`: an axis is \|n\|, not \|i\|": lambda: scanned(h="N"),
    "input `x` has 2 axes, not 1": lambda: scanned(axis="other", size=n),
    "`h` begins with the scanned axis": lambda: scanned(h="T"),
    r"scans \|n\| and \|time\|": lambda: scanned(size=n),
    "input `x` is INT, but REAL is given": lambda: scanned(inside(x=INT).body("h2")),
    r"`h` has \('i',\), but becomes \('j',\)": lambda: scanned(inside().body("x")),
    "`h` is REAL, becomes BOOL": lambda: scanned(inside().body("flag")),
    "takes part 2 of 2": lambda: renumbered(scanned(), 2),
    r"`p`: an axis is \|i\|, not \|time\|": lambda: scanned(axes="i time"),
    "`p` has 1 axes, not 2": lambda: scanned(axes="i"),
    "computes with the bundle `c`": of_a_bundle,
    "takes a part of no bundle": part_of_a_value,
}


def renumbered(program: Program, part: int) -> Program:
    """The part of another number, of the same kind."""
    b = Builder()
    b.inputs = list(program.inputs)
    b.statements = list(program.statements[:1])
    term = b.primitive("part", (b.ref("s"),), "time i", number=part)
    last = dataclasses.replace(program.statements[1], term=term)
    return dataclasses.replace(program, statements=(program.statements[0], last))


@pytest.mark.parametrize("message", PROGRAMS)
def test_programs_that_are_none(message: str) -> None:
    with pytest.raises(InvariantError, match=message):
        verify_program(PROGRAMS[message]())


# --- what a layer owns ------------------------------------------------------------------------------------------------


def layer(**changes: Any) -> Program:
    b = Builder()
    X = b.input("X", "i")
    b.let("mean", b.add(b.leaf("X"), X))
    b.let("flag", b.lt(X, 0))
    span = b.span("W")
    state = Input("mean_0", (("i", i),), "state", changes.get("kind", REAL), span, path="mean")
    weight = Input("W", (("i", i),), "param", REAL, span, path=changes.get("path", "W"))
    program = b.program("mean", changes.get("written", "mean"))
    return dataclasses.replace(
        program, inputs=(*program.inputs, weight, state), writes=changes.get("writes", ("mean",))
    )


def test_a_layer_that_is_one() -> None:
    verify_program(layer())


LAYERS: dict[str, Callable[[], Program]] = {
    "`W` is written, but no state": lambda: layer(writes=("W",)),
    "are more than the outputs": lambda: layer(writes=("mean",) * 3),
    "`mean` is BOOL, but REAL is written": lambda: layer(kind=BOOL),
    "the paths of owned inputs": lambda: layer(path="mean"),
    "an owned input stands before another one": lambda: dataclasses.replace(
        layer(), inputs=(*reversed(layer().inputs[1:]), layer().inputs[0])
    ),
}


@pytest.mark.parametrize("message", LAYERS)
def test_layers_that_are_none(message: str) -> None:
    with pytest.raises(InvariantError, match=message):
        verify_program(LAYERS[message]())


def test_symbols_may_be_known() -> None:
    b = Builder()
    b.let("Y", b.coord("i"))
    verify_program(b.program("Y"), {"i"})
    with pytest.raises(InvariantError, match="which no recipe finds"):
        verify_program(b.program("Y"))


# --- graphs -----------------------------------------------------------------------------------------------------------


def graph(part: dict[str, Any] | None = None, /, *, args: Any = None, inside: Any = None, **attrs: Any) -> Graph:
    """The graph of a scan, its node or its part made otherwise."""
    old, new = number(scanned()), Graph()
    for node in old.nodes:
        changed: dict[str, Any] = {name: getattr(node, name) for name in ("space", "rank", "kind", "weak", "names")}
        found = dict(node.attrs)
        listed = [(arg.node, arg.axes) for arg in node.args]
        if node.op == "scan":
            found |= attrs
            if inside is not None:
                found["region"] = Region(found["region"].body, inside(found["region"].graph))  # type: ignore[attr-defined]
            listed = args(old, listed) if args else listed
        if node.op == "part":
            changed |= part or {}
            found |= changed.pop("attrs", {})
        new.node(
            node.op, tuple(Arg(new.nodes[one.number], axes) for one, axes in listed), changed.pop("space"),
            changed.pop("rank"), changed.pop("kind"), attrs=found, **changed,
        )  # fmt: skip
    return new


def other_region(
    old: Graph, *, first: str = "", weak: bool = False, update: Callable[[Graph], Node] | None = None
) -> Graph:
    new = Graph()
    h, x = old.nodes[:2]
    if first == "late":
        new.node("const", (), (), 0, INT, attrs={"kind": "int", "digits": "0x1"})
    for node in (h, x):
        new.node("input", (), node.space, node.rank, node.kind, attrs=dict(node.attrs), weak=weak, names=node.names)
    changed = update(new) if update else new.nodes[-2]
    new.outputs += [Arg(changed, tuple(range(changed.rank))), Arg(new.nodes[1], (0,))]
    return new


GRAPHS: dict[str, Callable[[], Graph]] = {
    "has no region": lambda: graph(region=None),
    "no position 0": lambda: graph(args=lambda g, args: [(args[0][0], (-1,)), (args[1][0], (0, -1))]),
    "has 1 operands": lambda: graph(args=lambda g, args: args[:1]),
    "input 0: places": lambda: graph(places=((1,), (-1, 0))),
    "input 1: places": lambda: graph(places=((0,), (-1, -1))),
    "input 0 is scanned": lambda: graph(
        args=lambda g, args: [(g.nodes[2], (-1, -1)), args[1]], places=((-1, 0), (-1, 0))
    ),
    r"input 1: \|time\| where \|n\| is wanted": lambda: graph(size=n),
    r"input 1: \|time\| where \|j\| is wanted": lambda: graph(places=((0,), (0, -1))),
    "do not stand first": lambda: graph(inside=lambda g: other_region(g, first="late")),
    "carried input 0: an axis is": lambda: graph(inside=lambda g: other_region(g, update=lambda new: new.nodes[1])),
    "carried input 0 is REAL, becomes BOOL": lambda: graph(
        inside=lambda g: other_region(
            g, update=lambda new: new.node("isnan", (Arg(new.nodes[0], (0,)),), new.nodes[0].space, 1, BOOL)
        )
    ),
    "carries 3": lambda: graph(carries=3),
    "an axis is": lambda: graph({"space": (i, i)}),
    "takes part 2 of 2": lambda: graph({"attrs": {"number": 2}}),
    "is INT, weak: False": lambda: graph({"kind": INT}),
    "has the attributes": lambda: graph(site=0, more=1),
}  # fmt: skip


@pytest.mark.parametrize("message", GRAPHS)
def test_graphs_that_are_none(message: str) -> None:
    with pytest.raises(InvariantError, match=message):
        verify_graph(GRAPHS[message]())


def test_graphs_made_again_are_as_they_were() -> None:
    verify_graph(graph())
    verify_graph(graph(inside=other_region))


def test_what_is_carried_is_not_weak_while_its_update_is_strong() -> None:
    def strong(new: Graph) -> Node:
        return new.node("exp", (Arg(new.nodes[0], (0,)),), new.nodes[0].space, 1, REAL, weak=False)

    with pytest.raises(InvariantError, match="is weak, but not what it becomes"):
        verify_graph(graph(inside=lambda g: other_region(g, weak=True, update=strong)))


def test_regions_are_verified_too() -> None:
    def wrong(new: Graph) -> Node:
        return new.node("exp", (Arg(new.nodes[0], (0,)),), (n,), 1, REAL)

    with pytest.raises(InvariantError, match="at position 0"):
        verify_graph(graph(inside=lambda g: other_region(g, update=wrong)))
