"""The verifier: it accepts what stages make, and names each thing that may not be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from namedlayers.program import terms
from namedlayers.program.dressed import Size
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.numbering import number
from namedlayers.program.program import Kind, Output, Program, Recipe
from namedlayers.program.size import const, symbol
from namedlayers.program.verify import InvariantError, verify_graph, verify_program
from tests.programs import INT, REAL, Builder

i, j, n = symbol("i"), symbol("j"), symbol("n")


def softmax() -> Program:
    b = Builder()
    X = b.input("X", "i j")
    norm = b.let("norm", b.logsumexp("j", X))
    b.let("Y", b.exp(b.sub(X, norm)))
    b.let(
        "P",
        b.primitive("pad", (b.ref("Y"), 0), "i j", sizes={"j": j + 1}, axis="j", before=1, after=0, mode="constant"),
    )
    return b.program("P: j i")


def change(program: Program, statement: int, **changes: Any) -> Program:
    listed = list(program.statements)
    listed[statement] = dataclasses.replace(listed[statement], **changes)
    return dataclasses.replace(program, statements=tuple(listed))


def leaf(name: str, *axes: tuple[str, Any]) -> Any:
    with terms.building():
        return terms.Leaf(name, tuple((axis, Size(size)) for axis, size in axes))


def primitive(op: str, attrs: tuple) -> Any:
    ref = terms.Ref("X", (("i", Size(i)), ("j", Size(j))))
    with terms.building():
        return terms.Primitive(op, attrs, (ref,), ref.axes, ("i", "j"))


def test_a_program_that_is_one() -> None:
    verify_program(softmax())
    verify_graph(number(softmax()))


BROKEN: dict[str, Callable[[Program], Program]] = {
    "defined twice": lambda p: change(p, 1, name="norm"),
    "an axis twice": lambda p: change(p, 0, axes=(("i", i), ("i", i))),
    "states the axes": lambda p: change(p, 0, axes=(("i", i), ("j", j))),
    r"axis `i` is \|n\|, in its term \|i\|": lambda p: change(p, 0, axes=(("i", n),)),
    "stated to be INT, but is REAL": lambda p: change(p, 0, kind=INT),
    "which is not there yet": lambda p: change(p, 0, term=leaf("Z", ("i", i))),
    "gives `X` 1 axes: it has 2": lambda p: change(p, 0, term=leaf("X", ("i", i))),
    r"axis `j` of `X` is \|j\|, but `i` here is \|i\|": lambda p: change(p, 1, term=leaf("X", ("j", i), ("i", i))),
    "no primitive nothing": lambda p: change(p, 1, term=primitive("nothing", ())),
    "sort has the attributes": lambda p: change(p, 1, term=primitive("sort", (("axis", "i"),))),
    "output `Q` is no value": lambda p: dataclasses.replace(p, outputs=(Output("Q", ()),)),
    r"output `P` has \['i', 'j'\]": lambda p: dataclasses.replace(p, outputs=(Output("P", ("i",)),)),
    "the symbols are": lambda p: dataclasses.replace(p, symbols=("i",)),
    "is there twice": lambda p: dataclasses.replace(p, recipes=(*p.recipes, p.recipes[0])),
    "uses what is not known yet": lambda p: dataclasses.replace(
        p, recipes=(Recipe("i", "X", 0, j, const(1), ()), p.recipes[1])
    ),
    "asks for `W`": lambda p: dataclasses.replace(p, recipes=(Recipe("i", "W", 0, const(0), const(1), ()),)),
    "has fewer axes": lambda p: dataclasses.replace(p, recipes=(Recipe("i", "X", 2, const(0), const(1), ()),)),
    "which no recipe finds": lambda p: dataclasses.replace(p, recipes=p.recipes[:1], symbols=("i",)),
    "option `X` has axes": lambda p: dataclasses.replace(p, inputs=(dataclasses.replace(p.inputs[0], role="option"),)),
}


@pytest.mark.parametrize("message", BROKEN)
def test_programs_that_are_none(message: str) -> None:
    with pytest.raises(InvariantError, match=message):
        verify_program(BROKEN[message](softmax()))


def test_sizes_that_meet_must_be_equal_or_checked() -> None:
    b = Builder()
    X, Y = b.input("X", "i"), b.input("Y", "i", i=n)
    with pytest.raises(InvariantError, match=r"axis `i` is \|i\| on one side, \|n\| on the other"):
        b.let("Z", b.add(X, Y))
        verify_program(b.program("Z"))
    b.check(n, "==", i)
    program = b.program("Z")
    verify_program(program)
    verify_graph(number(program), program.checks)
    with pytest.raises(InvariantError, match="at position 0"):
        verify_graph(number(program))


# --- graphs -----------------------------------------------------------------------------------------------------------


def made(op: str, axes: tuple[int, ...], space: tuple, rank: int, kind: Kind = REAL, /, **attrs: Any) -> Graph:
    """One node more, on an input X[i, j]."""
    graph = Graph()
    x = graph.node("input", (), (i, j), 2, REAL, attrs={"name": "X"}, weak=False)
    graph.node(op, (Arg(x, axes),), space, rank, kind, attrs=attrs)
    return graph


def test_a_graph_that_is_one() -> None:
    verify_graph(made("reduce", (0, 1), (i, j), 1, op="sum"))


GRAPHS: dict[str, Graph] = {
    "2 axes": made("exp", (0,), (i,), 1),
    "two axes of an operand at one position": made("exp", (0, 0), (i,), 1),
    "no position 2": made("exp", (0, 2), (i, j), 2),
    r"\|i\| at position 1, which is \|j\|": made("exp", (1, 0), (i, j), 2),
    "has an axis that no operand has": made("exp", (0, 1), (i, j, n), 3),
    "consumes an axis that no operand has": made("reduce", (0, 1), (i, j, n), 2, op="sum"),
    "consumes an axis": made("exp", (0, 1), (i, j), 1),
    "rank 3 of 2 axes": made("exp", (0, 1), (i, j), 3),
    "must be REAL": made("exp", (0, 1), (i, j), 2, INT),
    "no such operation": made("softmax", (0, 1), (i, j), 2, axes=(1,)),
    "no such reduction": made("reduce", (0, 1), (i, j), 1, op="mean"),
    "has the attributes": made("reduce", (0, 1), (i, j), 1),
    "holds a Size": made("split", (2, 1), (i, j, i), 2, axis=Size(i), into=(0,)),
    "has 1 operands": made("add", (0, 1), (i, j), 2),
}


@pytest.mark.parametrize("message", GRAPHS)
def test_graphs_that_are_none(message: str) -> None:
    with pytest.raises(InvariantError, match=message):
        verify_graph(GRAPHS[message])


def test_operations_of_rules_are_told() -> None:
    @dataclasses.dataclass(frozen=True)
    class Spec:
        attrs: tuple[str, ...]

    verify_graph(made("softmax", (0, 1), (i, j), 2, axes=(1,)), operations={"softmax": Spec(("axes",))})


def test_nodes_are_the_graphs_own() -> None:
    graph, other = made("exp", (0, 1), (i, j), 2), made("exp", (0, 1), (i, j), 2)
    graph.outputs.append(Arg(other.nodes[1], (0, 1)))
    with pytest.raises(InvariantError, match="no node of the graph"):
        verify_graph(graph)
    graph.outputs[:] = [Arg(graph.nodes[1], (0,))]
    with pytest.raises(InvariantError, match="does not order all axes"):
        verify_graph(graph)


def test_values_are_numbered_once() -> None:
    graph = made("exp", (0, 1), (i, j), 2)
    node = graph.nodes[1]
    graph.nodes.append(Node(2, *(getattr(node, f.name) for f in dataclasses.fields(node)[1:])))
    with pytest.raises(InvariantError, match="is there twice"):
        verify_graph(graph)
