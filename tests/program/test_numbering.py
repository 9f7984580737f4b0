"""Numbering: equal values are one node, whatever their axes are called and wherever they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.numbered import NUMBERED
from namedlayers.program.numbering import number
from namedlayers.program.primitives import PRIMITIVES
from namedlayers.program.size import symbol
from tests.programs import BOOL, COMPLEX, INT, REAL, Builder

i, j, k, n = map(symbol, "ijkn")


def outputs(b: Builder, *names: str) -> list[Node]:
    return [arg.node for arg in number(b.program(*names)).outputs]


def softmax(b: Builder, axis: str, x: Any) -> Any:
    return b.exp(b.sub(x, b.logsumexp(axis, x)))


# --- what is equal ----------------------------------------------------------------------------------------------------


def test_equal_modulo_the_names_of_axes() -> None:
    b = Builder()
    X = b.input("X", "i j")
    b.let("A", softmax(b, "i", X))
    b.let("B", softmax(b, "p", b.leaf("X", i="p", j="q")))
    b.let("C", softmax(b, "j", X))
    A, B, C = outputs(b, "A", "B", "C")
    assert A is B
    assert C is not A


def test_equal_across_statements() -> None:
    b = Builder()
    X = b.input("X", "i j")
    b.let("whole", softmax(b, "i", X))
    b.let("norm", b.logsumexp("i", X))
    b.let("shifted", b.sub(X, b.leaf("norm")))
    b.let("cut", b.exp(b.leaf("shifted")))
    whole, cut = outputs(b, "whole", "cut")
    assert whole is cut


def test_a_renaming_is_no_operation() -> None:
    b = Builder()
    b.input("X", "i j")
    b.let("Y", b.leaf("X", i="j", j="i"))
    graph = number(b.program("Y: i j"))
    assert [node.op for node in graph] == ["input"]
    assert graph.outputs == [Arg(graph.nodes[0], (1, 0))]


@pytest.mark.parametrize("op", "add mul and_ or_ eq ne maximum minimum logaddexp".split())
def test_commuting_operations_have_one_order(op: str) -> None:
    b = Builder()
    X, Y = b.input("X", "i j"), b.input("Y", "j k")
    b.let("A", getattr(b, op)(X, Y))
    b.let("B", getattr(b, op)(Y, X))
    A, B = outputs(b, "A", "B")
    assert A is B
    assert A.names == ("i", "j", "k")


@pytest.mark.parametrize("op", "sub div floordiv mod pow lt le gt ge atan2".split())
def test_others_keep_their_order(op: str) -> None:
    b = Builder()
    X, Y = b.input("X", "i"), b.input("Y", "i")
    b.let("A", getattr(b, op)(X, Y))
    b.let("B", getattr(b, op)(Y, X))
    A, B = outputs(b, "A", "B")
    assert A is not B


def test_one_value_twice_in_a_commuting_operation() -> None:
    """X[a, b, c] * X[b, c, a] is X[b, c, a] * X[a, b, c], though both operands are one node."""
    b = Builder()
    b.input("X", "i j k", j=i, k=i)
    turned = b.leaf("X", i="j", j="k", k="i")
    b.let("A", b.mul(b.leaf("X"), turned))
    b.let("B", b.mul(turned, b.leaf("X")))
    graph = number(b.program("A: i j k", "B: i j k"))
    assert graph.outputs[0] == graph.outputs[1]


def test_literals_differ_by_kind_and_sign() -> None:
    b = Builder()
    X = b.input("X", "i")
    for name, value in {"A": 1, "B": 1.0, "C": True, "D": -0.0, "E": 0.0, "F": 1}.items():
        b.let(name, b.mul(X, value))
    A, B, C, D, E, F = outputs(b, *"ABCDEF")
    assert A is F
    assert len({A, B, C, D, E}) == 5


def test_coordinates_and_sizes_are_equal_by_size() -> None:
    b = Builder()
    b.input("X", "i j")
    b.let("A", b.lt(b.coord("i"), b.size(j)))
    b.let("B", b.lt(b.coord("q", i), b.size(j)))
    b.let("C", b.lt(b.coord("j"), b.size(j)))
    A, B, C = outputs(b, "A", "B", "C")
    assert A is B
    assert A is not C


# --- the index space --------------------------------------------------------------------------------------------------


def test_a_contraction_is_a_sum_of_a_product() -> None:
    b = Builder()
    X, W = b.input("X", "i k"), b.input("W", "k j")
    b.let("Y", b.sum("k", b.mul(X, W)))
    graph = number(b.program("Y: j i"))
    x, w, product, total = graph.nodes
    assert (product.op, product.args) == ("mul", (Arg(x, (0, 1)), Arg(w, (1, 2))))
    assert (total.op, total.attr("op"), total.args) == ("reduce", "sum", (Arg(product, (0, 2, 1)),))
    assert (total.space, total.rank, total.names) == ((i, j, k), 2, ("i", "j", "k"))
    assert graph.outputs == [Arg(total, (1, 0))]


def test_axes_are_reduced_in_the_operands_order() -> None:
    b = Builder()
    X = b.input("X", "i j k n")
    b.let("Y", b.max("n i k", X))
    (Y,) = outputs(b, "Y")
    assert (Y.args[0].axes, Y.names) == ((1, 0, 2, 3), ("j", "i", "k", "n"))


def primitive(op: str, operands: tuple[Any, ...], axes: str, /, **rest: Any) -> Node:
    """The node of a primitive on inputs A[i, j, k], S[i, j] (square), I[n] and J[n, i] (integers)."""
    b = Builder()
    b.input("A", "i j k")
    b.input("S", "i j", j=i)
    b.input("I", "n", kind=INT)
    b.input("J", "n i", kind=INT)
    values = tuple(b.ref(name) if isinstance(name, str) else name for name in operands)
    b.let("Y", b.primitive(op, values, axes, **rest))
    (node,) = outputs(b, "Y")
    return node


one, zero = symbol("i").quotient(symbol("i")), symbol("i") - symbol("i")

FORMS: list[tuple[Node, tuple[tuple[int, ...], ...], dict[str, Any], tuple, int]] = [
    (primitive("where", ("I", "A", 1.0), "n i j k"), ((0,), (1, 2, 3), ()), {}, (n, i, j, k), 4),
    (primitive("expand", ("A",), "i j k n", axes=(("n", n),)), ((0, 1, 2),), {"axes": (3,)}, (i, j, k, n), 4),
    (
        primitive("index", ("A",), "j k", entries=(("i", (), 0),)),
        ((-1, 0, 1),),
        {"entries": ((0, (), zero),)},
        (j, k),
        2,
    ),
    (
        primitive("index", ("A",), "n i j k", sizes={"i": (i - n) // 2 + 1}, entries=(("i", (("i", 2), ("n", 1)), 0),)),
        ((-1, 2, 3),),
        {"entries": ((0, ((0, one + one), (1, one)), zero),)},
        ((i - n) // 2 + 1, n, j, k),
        4,
    ),
    (
        primitive("index", ("S",), "i", entries=(("j", (("i", 1),), 0),)),
        ((0, -1),),
        {"entries": ((1, ((0, one),), zero),)},
        (i,),
        1,
    ),
    (
        primitive("gather", ("A", "I"), "i n k", axes=("j",), fill=False),
        ((0, -1, 2), (1,)),
        {"axes": (1,), "fill": False},
        (i, n, k),
        3,
    ),
    (
        primitive("gather", ("A", "J", 0.0), "n i k", axes=("j",), fill=True),
        ((0, -1, 2), (1, 0), ()),
        {"axes": (1,), "fill": True},
        (i, n, k),
        3,
    ),
    (
        primitive("gather", ("A", "J", "I"), "n i", axes=("k", "j"), fill=False),
        ((0, -1, -1), (1,), (1, 0)),
        {"axes": (1, 2), "fill": False},
        (i, n),
        2,
    ),
    (
        primitive("merge", ("A",), "j m", axes=("k", "i"), into="m", sizes={"m": i * k}),
        ((3, 0, 2),),
        {"axes": (2, 3), "into": 1},
        (j, i * k, k, i),
        2,
    ),
    (
        primitive("split", ("A",), "p q j k", axis="i", into=(("p", n), ("q", i // n)), sizes={"p": n, "q": i // n}),
        ((4, 2, 3),),
        {"axis": 4, "into": (0, 1)},
        (n, i // n, j, k, i),
        4,
    ),
    (
        primitive("pad", ("A", 0.0), "i j k", axis="j", before=1, after=n, mode="constant", sizes={"j": j + n + 1}),
        ((0, -1, 2), ()),
        {"axis": 1, "before": one, "after": n, "mode": "constant"},
        (i, j + n + 1, k),
        3,
    ),
    (
        primitive("fold", ("A",), "i k", axis="i", kernel="j", stride=2, dilation=1, padding=0, size=n, sizes={"i": n}),
        ((-1, 2, 1),),
        {"axis": 0, "kernel": 2, "stride": one + one, "dilation": one, "padding": zero, "size": n},
        (n, k, j),
        2,
    ),
    (
        primitive("concat", ("A", "S"), "i j k", axis="j", sizes={"j": j + i}),
        ((0, -1, 2), (0, -1)),
        {"axis": 1},
        (i, i + j, k),
        3,
    ),
    (
        primitive("stack", ("I", "J"), "s n i", axis="s", sizes={"s": one + one}),
        ((0,), (0, 1)),
        {"axis": 2},
        (n, i, 2),
        3,
    ),
    (
        primitive("cumulative", ("A",), "i j k", axis="j", op="sum"),
        ((0, 1, 2),),
        {"axis": 1, "op": "sum"},
        (i, j, k),
        3,
    ),
    (primitive("argreduce", ("A",), "i k", axis="j", op="max"), ((0, 2, 1),), {"axis": 2, "op": "max"}, (i, k, j), 2),
    (
        primitive("sort", ("A",), "i j k", axis="k", descending=True),
        ((0, 1, 2),),
        {"axis": 2, "descending": True},
        (i, j, k),
        3,
    ),
    (
        primitive("argsort", ("A",), "i j k", axis="i", descending=False),
        ((0, 1, 2),),
        {"axis": 0, "descending": False},
        (i, j, k),
        3,
    ),
    (
        primitive("fft", ("A",), "i f k", axis="j", into="f", inverse=False, sizes={"f": j}),
        ((0, 3, 2),),
        {"axis": 3, "into": 1, "inverse": False},
        (i, j, k, j),
        3,
    ),
    (
        primitive("inv", ("S",), "i j", row="i", column="j", sizes={"j": i}),
        ((0, 1),),
        {"row": 0, "column": 1},
        (i, i),
        2,
    ),
    (
        primitive("solve", ("S", "J"), "j n", row="i", column="j", sizes={"j": i}),
        ((2, 0), (1, 2)),
        {"row": 2, "column": 0},
        (i, n, i),
        2,
    ),
    (
        primitive("cholesky", ("S",), "i j", row="j", column="i", sizes={"j": i}),
        ((0, 1),),
        {"row": 1, "column": 0},
        (i, i),
        2,
    ),
    (
        primitive("eigenvalues", ("S",), "e", row="i", column="j", into="e", sizes={"e": i}),
        ((1, 2),),
        {"row": 1, "column": 2, "into": 0},
        (i, i, i),
        1,
    ),
    (
        primitive("eigenvectors", ("S",), "i e", row="i", column="j", into="e", sizes={"e": i}),
        ((0, 2),),
        {"row": 0, "column": 2, "into": 1},
        (i, i, i),
        2,
    ),
    (primitive("det", ("S",), "", row="i", column="j"), ((0, 1),), {"row": 0, "column": 1}, (i, i), 0),
    (primitive("finfo", ("S",), "", which="eps"), ((0, 1),), {"which": "eps"}, (i, i), 0),
    (
        primitive("random", (0.5,), "k n", axes=(("k", k), ("n", n)), distribution="bernoulli", site=3),
        ((),),
        {"distribution": "bernoulli", "site": 3},
        (k, n),
        2,
    ),
    (
        primitive("categorical", ("A",), "k n i", axes=(("k", k), ("n", n), ("i", i)), axis="j", site=1),
        ((2, 3, 0),),
        {"axis": 3, "site": 1},
        (k, n, i, j),
        3,
    ),
    (primitive("dropout", ("A", 0.1), "i j k", site=2), ((0, 1, 2), ()), {"site": 2}, (i, j, k), 3),
]


@pytest.mark.parametrize(("node", "args", "attrs", "space", "rank"), FORMS, ids=[form[0].op for form in FORMS])
def test_primitives_speak_of_positions(
    node: Node, args: tuple[tuple[int, ...], ...], attrs: dict[str, Any], space: tuple, rank: int
) -> None:
    assert tuple(arg.axes for arg in node.args) == args
    assert dict(node.attrs) == attrs
    assert node.space == space
    assert node.rank == rank


def test_every_primitive_has_a_form() -> None:
    forms = {form[0].op for form in FORMS}
    assert NUMBERED.keys() == PRIMITIVES.keys() == forms | {"call", "scan", "part"}


def test_primitives_are_equal_modulo_names() -> None:
    b = Builder()
    b.input("X", "i j")
    out = {"i": i - k + 1, "j": k}
    b.let(
        "A",
        b.primitive(
            "index",
            (b.ref("X", j="b"),),
            "b i k",
            sizes={"b": j, "i": i - k + 1},
            entries=(("i", (("i", 1), ("k", 1)), 0),),
        ),
    )
    b.let("B", b.primitive("index", (b.ref("X", i="z", j="y"),), "a c y", sizes={"y": j, "c": i - k + 1, "a": k},
                           entries=(("z", (("a", 1), ("c", 1)), 0),)))  # fmt: skip
    A, B = outputs(b, "A", "B")
    assert A is B
    assert A.space == (out["i"], out["j"], j)


# --- kinds and precision ----------------------------------------------------------------------------------------------


def test_kinds_and_weakness() -> None:
    b = Builder()
    X, Z, N, M = b.input("X", "i"), b.input("Z", "i", COMPLEX), b.input("N", "i", INT), b.input("M", "i", BOOL)
    p = b.input("p", "", REAL, role="option")
    rows = {
        "real": (b.mul(X, 2), REAL, False),
        "complex": (b.mul(X, Z), COMPLEX, False),
        "weak": (b.div(N, 2), REAL, True),
        "count": (b.sum("i", M), INT, True),
        "option": (b.mul(p, 2.0), REAL, True),
        "compared": (b.lt(X, 0), BOOL, True),
        "magnitude": (b.abs(Z), REAL, False),
        "chosen": (b.primitive("where", (b.ref("M"), 1.0, 0), "i"), REAL, True),
    }
    for name, (term, _, _) in rows.items():
        b.let(name, term)
    for node, (_, kind, weak) in zip(outputs(b, *rows), rows.values(), strict=True):
        assert (node.kind, node.weak) == (kind, weak)


# --- the whole --------------------------------------------------------------------------------------------------------


def test_a_deep_program_is_numbered_in_linear_space() -> None:
    b = Builder()
    b.input("X", "i")
    for step in range(200):
        before = b.leaf("X" if step == 0 else f"Y{step - 1}")
        b.let(f"Y{step}", b.add(before, b.tanh(before)))
    assert len(number(b.program("Y199")).nodes) == 401


def test_nodes_know_their_text() -> None:
    b = Builder()
    X = b.input("X", "i")
    b.let("Y", b.exp(X))
    (Y,) = outputs(b, "Y")
    assert [span.text for span in Y.spans] == ["Y = …"]


def test_the_same_for_every_hash_seed() -> None:
    script = "from tests.program.test_numbering import whole; print(whole())"
    root = Path(__file__).parents[2]
    texts = set()
    for seed in ("0", "1", "77"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        texts.add(subprocess.run([sys.executable, "-c", script], env=env, cwd=root, capture_output=True, text=True,
                                 check=True).stdout)  # fmt: skip
    (text,) = texts
    assert "reduce" in text and "index" in text


def whole() -> str:
    """A graph with something of everything, printed."""
    b = Builder()
    X, W = b.input("X", "i j k n"), b.input("W", "k n")
    entries = (("i", (("i", 1), ("w", 1)), 0), ("j", (("j", 2), ("v", 1)), 0))
    v, w = symbol("v"), symbol("w")
    b.let("U", b.primitive("index", (b.ref("X"),), "i w j v k n", entries=entries,
                           sizes={"i": i - w + 1, "j": (j - v) // 2 + 1}))  # fmt: skip
    b.let("Y", b.max("v w i n", b.mul(b.leaf("U"), b.mul(W, b.logsumexp("i j n", X)))))
    b.let("Z", softmax(b, "j k", b.leaf("Y")))
    graph: Graph = number(b.program("Z"))
    return "\n".join(f"{node!r} {node.space} {node.kind} {node.weak}" for node in graph)
