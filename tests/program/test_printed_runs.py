"""Bodies as text: what scans and calls of programs built by hand, and what layers, are printed as."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import namedlayers
from namedlayers.errors import FormulaError
from namedlayers.program.elaborate import default_program, default_spec, elaborate
from namedlayers.program.namespace import load_text
from namedlayers.program.numbering import number
from namedlayers.program.printer import print_program, spec_of
from namedlayers.program.program import Body, Kind, Output, Program
from namedlayers.program.size import symbol
from namedlayers.program.spec import Spec
from namedlayers.program.verify import verify_graph, verify_program
from namedlayers.reference import evaluate
from tests.program.drawing import drawn
from tests.programs import INT, Builder

LIBRARY = Path(namedlayers.__file__).parent / "library"

i, j, n, time = map(symbol, ("i", "j", "n", "time"))


def again(text: str, first: Program) -> Program:
    """The program of the last definition of a printed text."""
    namespace = load_text(text)
    *_, definition = namespace.definitions.values()
    return elaborate(namespace, definition, spec_of(first))


def results(program: Program) -> tuple[np.ndarray, ...]:
    """For some inputs and draws."""
    rng, sizes = np.random.default_rng(0), dict.fromkeys(program.symbols, 4)
    inputs = {}
    for given in program.inputs:
        shape = tuple(size.evaluate(sizes) for _, size in given.axes)
        inputs[given.name] = rng.integers(0, 3, shape) if given.kind is Kind.INT else rng.normal(size=shape)
    torch.manual_seed(0)
    return evaluate(program, inputs)


def check(first: Program) -> tuple[Program, Program]:
    """What is printed computes the same."""
    verify_program(first)
    second = again(print_program(first), first)
    verify_program(second)
    for program in (first, second):
        verify_graph(number(program), program.checks)
    for one, other in zip(results(first), results(second), strict=True):
        np.testing.assert_array_equal(one, other)
    return first, second


# --- scans that no text is elaborated to ------------------------------------------------------------------------------


def exchanged(reverse: bool) -> Program:
    inside = Builder()
    a, c, x = (inside.input(name, "i") for name in "acx")
    inside.let("d", inside.add(x, inside.mul(a, 0.5)))
    b = Builder()
    b.input("X", "time i")
    b.input("Y", "i")
    b.let("Z", b.neg(b.leaf("Y")))
    body = inside.body("c", "a", "d", "a", "x")
    b.scan("s", body, b.ref("Y"), b.ref("Z"), b.ref("X"), carries=2, reverse=reverse)
    for k, name in enumerate(["A", "C", "D", "old", "seen"]):
        b.part(name, "s", k, "time i")
    return b.program("A", "C", "D", "old: i time", "seen")


def asked_later() -> Program:
    """The old value is asked for after the new one is there; two carried values become the same."""
    inside = Builder()
    a, c, x = (inside.input(name) for name in "acx")
    inside.let("new", inside.tanh(inside.add(inside.leaf("a"), x)))
    inside.let("step", inside.sub(inside.leaf("new"), inside.mul(a, c)))
    b = Builder()
    b.input("X", "time")
    b.scan("s", inside.body("new", "new", "step"), 0.5, 1.5, b.ref("X"), carries=2)
    for k, name in enumerate("ABC"):
        b.part(name, "s", k, "time")
    return b.program("A", "B", "C")


def same_names() -> Program:
    """Values and axes of the body are called like others around it, and the axes of operands are turned."""
    inside = Builder()
    h, X, W = inside.input("h", "i", i=j), inside.input("X", "i", i=j), inside.input("W", "i j", i=j, j=i)
    inside.let("Z", inside.sum("j", inside.mul(W, inside.coord("j", i))))
    inside.let("Y", inside.mul(inside.add(h, inside.leaf("Z")), X))
    b = Builder()
    b.input("X", "time j")
    b.input("W", "i j")
    b.input("h", "j")
    b.let("Y", b.exp(b.leaf("h")))
    b.let("V", b.exp(b.leaf("W")), "j i")
    b.scan("s", inside.body("Y"), b.ref("Y"), b.ref("X"), b.ref("V", i="p", j="q"))
    b.part("Z", "s", 0, "time i", i=j)
    return b.program("Z: i time", "Y")


def turned() -> Program:
    """The scanned axis bears another name in each operand; one has an axis of its name that is not scanned."""
    inside = Builder()
    h, x, y = inside.input("h"), inside.input("x"), inside.input("y")
    T = inside.input("T", "time", time=n)
    inside.let("g", inside.add(inside.add(h, x), inside.mul(y, inside.sum("time", T))))
    b = Builder()
    b.input("X", "n")
    b.input("Y", "m", m=n)
    b.scan("s", inside.body("g"), 0.0, b.ref("X", n="step"), b.ref("Y", m="step"), b.ref("X"), axis="step", size=n)
    b.part("Z", "s", 0, "step", step=n)
    return b.program("Z")


def of_constants() -> Program:
    """Operands that are numbers and sizes; coordinates of an axis that only the body has; nothing is carried."""
    inside = Builder()
    x, p, q = inside.input("x"), inside.input("p", "", INT), inside.input("q")
    inside.let("y", inside.mul(inside.add(x, p), inside.mul(q, inside.coord("j"))))
    b = Builder()
    b.input("X", "time")
    b.input("J", "j")
    b.scan("s", inside.body("y"), b.ref("X"), j, 2.5, carries=0)
    b.part("Y", "s", 0, "time j")
    return b.program("Y")


SCANS: dict[str, Callable[[], Program]] = {
    "exchanged": lambda: exchanged(False),
    "exchanged, reversed": lambda: exchanged(True),
    "asked later": asked_later,
    "same names": same_names,
    "turned": turned,
    "constants": of_constants,
}


@pytest.mark.parametrize("name", SCANS)
def test_scans_by_hand(name: str) -> None:
    check(SCANS[name]())


def test_what_is_printed_of_values_that_are_exchanged() -> None:
    lines = """
    def f(X[time, i], Y[i]) -> [time, i], [time, i], [time, i], [i, time], [time, i]:
        Z = -Y
        scan time with a = Y, c = Z:
            a_2 = a
            c_2 = c
            x = X
            d = X + a * 0.5
            a = c_2
            c = a_2
        return a, c, d, a_2, x
    """.strip("\n").splitlines()[:-1]
    assert print_program(exchanged(False)).splitlines() == [line[4:] for line in lines]


# --- calls ------------------------------------------------------------------------------------------------------------


def scaled() -> Body:
    """y[i, j] = p * x[j, i] + 1 on the diagonal's way, and the sum of x along i."""
    b = Builder()
    x, p = b.input("x", "j i"), b.input("p", "", role="option")
    b.let("y", b.mul(x, p))
    b.let("total", b.sum("i", x))
    return b.body("y: i j", "total", name="exp")


def called() -> Program:
    b = Builder()
    b.input("X", "i j")
    b.input("q", "", role="option")
    b.let("T", b.exp(b.leaf("X")), "j i")
    b.call("one", scaled(), b.ref("T"), b.ref("q"))
    b.part("Y", "one", 0, "i j")
    b.part("S", "one", 1, "j")
    return b.program("Y", "S")


def called_twice() -> Program:
    """One body on values whose axes are called otherwise; each gives one definition and two applications."""
    body = scaled()
    b = Builder()
    b.input("X", "j i")
    b.input("Y", "p q", p=j, q=i)
    for name, given in {"one": "X", "two": "Y"}.items():
        b.call(name, body, b.ref(given), 0.5)
        b.part(f"{name}_y", name, 0, "a b", a=i, b=j)
    b.let("Z", b.sub(b.leaf("one_y"), b.leaf("two_y")))
    return b.program("Z", "two_y: b a")


def of_other_sizes() -> Program:
    """An axis of one name has two sizes in the body, and one of these is the size of no axis of its inputs."""
    inside = Builder()
    x = inside.input("x", "i", i=2 * n)
    inside.input("w", "i", i=n + 1)
    inside.let("y", inside.sum("k", inside.leaf("w", i="k")))
    inside.let("z", inside.mul(x, inside.leaf("y")))
    b = Builder()
    b.input("N", "n")
    b.input("X", "i", i=2 * n)
    b.input("W", "k", k=n + 1)
    b.call("c", inside.body("z"), b.ref("X"), b.ref("W"))
    b.part("Z", "c", 0, "i", i=2 * n)
    return b.program("Z", "N")


def in_a_scan() -> Program:
    """A scan whose steps call a body that scans."""
    row = Builder()
    s, x = row.input("s"), row.input("x")
    row.let("t", row.add(s, x))
    sums = Builder()
    sums.input("v", "i")
    sums.input("start")
    sums.scan("rows", row.body("t"), sums.ref("start"), sums.ref("v"), axis="i", reverse=True)
    sums.part("r", "rows", 0, "i")
    step = Builder()
    step.input("h")
    step.input("X", "i")
    step.call("c", sums.body("r", name="sums"), step.ref("X"), step.ref("h"))
    r = step.part("r", "c", 0, "i")
    step.let("g", step.max("i", r))
    b = Builder()
    b.input("X", "time i")
    b.scan("s", step.body("g", "r"), 0.0, b.ref("X"))
    b.part("G", "s", 0, "time")
    b.part("R", "s", 1, "time i")
    return b.program("G", "R")


def drawing() -> Program:
    """Each call draws anew."""
    inside = Builder()
    inside.input("x", "i")
    inside.let("y", inside.primitive("dropout", (inside.ref("x"), 0.5), "i", site=0))
    body = inside.body("y")
    b = Builder()
    b.input("X", "i")
    for name in "pq":
        b.call(f"c{name}", body, b.ref("X"))
        b.part(name, f"c{name}", 0, "i")
    return b.program("p", "q")


CALLS = {one.__name__: one for one in (called, called_twice, of_other_sizes, in_a_scan, drawing)}


@pytest.mark.parametrize("name", CALLS)
def test_calls_by_hand(name: str) -> None:
    check(CALLS[name]())


def test_a_body_is_printed_once() -> None:
    text = print_program(called_twice())
    assert text.count("def ") == 2
    assert text.count("exp(") == 3


# --- layers -----------------------------------------------------------------------------------------------------------

LAYERS = {
    "blocks": """
    layer Linear[input -> output](X[input]) -> [output]:
        param W[output, input] ~ kaiming_uniform(input)
        param b[output] ~ zeros
        return W @[input] X + b

    layer Net[layer](X[layer]; depth = 3) -> [layer]:
        repeat depth as block:
            up = Linear[layer -> hidden = 4 * |layer|]
            down = Linear[hidden -> layer]
            X = X + dropout(down(relu(up(X))); p = 0.25)
        return X
    """,
    "states": """
    layer Norm[chans](X[batch, chans]; momentum = 0.1) -> [batch, chans]:
        param w[chans] ~ ones
        state m[chans] ~ zeros
        if training:
            m = (1 - momentum) * m + momentum * mean[batch](X)
        return (X - m) * w
    """,
    "recurrences": """
    layer Deep[layer](X[time, layer]) -> [time, layer]:
        repeat 2 as rnn:
            param W[layer, layer'] ~ orthogonal
            scan time with h = zeros[layer]:
                h = tanh(h @[layer] W + X[layer -> layer'])[layer' -> layer]
            X = h + X
        return X
    """,
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, training: bool) -> None:
    namespace = load_text(LAYERS[name])
    *_, definition = namespace.definitions.values()
    spec = default_spec(namespace, definition, (("training", training),))
    check(elaborate(namespace, definition, spec))


def test_scans_by_hand_are_printed_alike_again() -> None:
    """The graph of what is printed is that of its own text."""
    for make in SCANS.values():
        _, second = check(make())
        third = again(print_program(second), second)
        assert drawn(number(second)) == drawn(number(third))


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*.nl")), ids=lambda path: path.stem)
def test_what_is_printed_of_the_library_parses_back(path: Path) -> None:
    """With results of the same axes and kinds."""
    namespace, printed = load_text(path.read_text(encoding="utf-8"), folder=path.parent), 0
    for definition in namespace.definitions.values():
        try:
            _, first = default_program(namespace, definition, Spec(options=(("training", True),)))
        except FormulaError:
            continue  # needs an option, or a size that no input determines
        if first is not None:
            printed += 1
            second = again(print_program(first), first)
            verify_program(second)
            assert [_told(second, output) for output in second.outputs] == [_told(first, o) for o in first.outputs]
    assert printed


def _told(program: Program, output: Output) -> tuple[tuple[str, ...], Kind]:
    return output.axes, next(value.kind for value in program.values if value.name == output.value)
