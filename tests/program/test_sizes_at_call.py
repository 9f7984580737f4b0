"""Sizes of a call: solved from shapes, or an error that names the axis, both sizes and both places."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from namedlayers.errors import ArgumentError, FormulaError, SizeError
from namedlayers.program.elaborate import default_spec, elaborate
from namedlayers.program.namespace import load_text
from namedlayers.program.program import Program, Recipe
from namedlayers.program.size import const, symbol
from namedlayers.program.sizes_at_call import solve_sizes
from namedlayers.reference import evaluate
from tests.programs import BOOL, INT, REAL, Builder

heads, key, seq, kernel = map(symbol, ["heads", "key", "seq", "kernel"])


def attention() -> Program:
    b = Builder()
    b.input("Q", "key")
    K = b.input("K", "seq key")
    b.let("Y", b.sum("key", b.mul(b.leaf("Q"), K)))
    return b.program("Y")


def split(factor: object = heads, rest: object = 0) -> Program:
    """An input whose axis is `factor * key + rest`."""
    b = Builder()
    b.input("H", "heads")
    X = b.input("X", "layer", layer=factor * key + rest)  # type: ignore[operator]
    b.let("Y", b.exp(X))
    program = b.program("Y")
    recipe = Recipe("key", "X", 0, const(0) + rest, const(1) * factor, ())  # type: ignore[arg-type]
    return dataclasses.replace(program, recipes=(*program.recipes, recipe), symbols=("heads", "key"))


def test_sizes_are_solved() -> None:
    assert solve_sizes(attention(), {"Q": (3,), "K": (5, 3)}) == {"key": 3, "seq": 5}
    assert solve_sizes(split(), {"H": (4,), "X": (12,)}) == {"heads": 4, "key": 3}
    assert solve_sizes(split(rest=2), {"H": (4,), "X": (14,)}) == {"heads": 4, "key": 3}
    assert solve_sizes(split(), {"H": (4,), "X": (0,)}) == {"heads": 4, "key": 0}


@pytest.mark.parametrize(
    ("program", "shapes", "error", "message"),
    [
        (attention(), {"Q": (3,), "K": (5, 4)}, SizeError, "NL0485: axis `key` has size 3 in `Q` and size 4 in `K`"),
        (
            attention(),
            {"Q": (3,), "K": (3,)},
            ArgumentError,
            "NL0581: `K` has 2 axes [seq, key], but the tensor given has 1 axis: its shape is (3)",
        ),
        (
            attention(),
            {"Q": (2, 3), "K": (5, 3)},
            ArgumentError,
            "NL0581: `Q` has 1 axis [key], but the tensor given has 2 axes: its shape is (2, 3)",
        ),
        (
            split(),
            {"H": (4,), "X": (10,)},
            SizeError,
            "NL0481: axis `layer` of `X` has size 10, which is not a multiple of |heads| = 4",
        ),
        (
            split(rest=2),
            {"H": (4,), "X": (13,)},
            SizeError,
            "NL0481: axis `layer` of `X` has size 13, which less 2 is not a multiple of |heads| = 4",
        ),
        (
            split(rest=9),
            {"H": (1,), "X": (4,)},
            SizeError,
            "NL0483: axis `layer` of `X` has size 4, which is less than 9",
        ),
        (split(), {"H": (0,), "X": (4,)}, SizeError, "NL0482: the size |heads| that axis `layer` is divided by is 0"),
    ],
)
def test_errors_say_what_is_wrong(program: Program, shapes: dict, error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        solve_sizes(program, shapes)
    assert str(caught.value).splitlines()[0] == message


def test_both_places_are_shown() -> None:
    with pytest.raises(SizeError) as caught:
        solve_sizes(attention(), {"Q": (3,), "K": (5, 4)})
    assert [(label.span.text, label.text) for label in caught.value.labels] == [
        ("K", "axis `key` has size 4 here"),
        ("Q", "axis `key` has size 3 here"),
    ]


def test_axes_of_other_names_that_share_a_size() -> None:
    b = Builder()
    b.input("A", "rows")
    b.input("B", "columns", columns=symbol("rows"))
    with pytest.raises(
        SizeError, match="axis `columns` of `B` must be as long as axis `rows` of `A`, 2, but has size 3"
    ):
        solve_sizes(b.program(), {"A": (2,), "B": (3,)})


def test_a_fixed_size() -> None:
    b = Builder()
    b.input("X", "chans", chans=3)
    with pytest.raises(SizeError, match="NL0484: axis `chans` of `X` must have size 3, but has size 4"):
        solve_sizes(b.program(), {"X": (4,)})


def test_a_computed_size() -> None:
    b = Builder()
    b.input("X", "seq")
    b.input("W", "kernel")
    b.input("Y", "out", out=seq - kernel + 1)
    assert solve_sizes(b.program(), {"X": (5,), "W": (3,), "Y": (3,)}) == {"seq": 5, "kernel": 3}
    with pytest.raises(SizeError, match=r"`Y` must have size \|seq\| - \|kernel\| \+ 1 = 3, but has size 4"):
        solve_sizes(b.program(), {"X": (5,), "W": (3,), "Y": (4,)})


@pytest.mark.parametrize(
    ("code", "error"), [("NL0484", SizeError), ("NL0501", ArgumentError), ("NL0302", FormulaError)]
)
def test_checks_raise_by_their_code(code: str, error: type) -> None:
    b = Builder()
    b.input("X", "seq")
    b.input("W", "kernel")
    b.check(seq, ">=", kernel, code)
    assert solve_sizes(b.program(), {"X": (3,), "W": (3,)}) == {"seq": 3, "kernel": 3}
    with pytest.raises(error, match=f"{code}: 2 and 3"):
        solve_sizes(b.program(), {"X": (2,), "W": (3,)})


def test_a_check_that_divides_by_an_empty_axis() -> None:
    b = Builder()
    b.input("X", "seq")
    b.input("W", "kernel")
    b.check(seq % kernel, "==", 0)
    assert solve_sizes(b.program(), {"X": (4,), "W": (2,)}) == {"seq": 4, "kernel": 2}
    with pytest.raises(SizeError, match="NL0482"):
        solve_sizes(b.program(), {"X": (4,), "W": (0,)})


# --- the reference's own inputs ---------------------------------------------------------------------------------------


def test_inputs_must_be_those_of_the_program() -> None:
    x = np.zeros(3)
    with pytest.raises(ArgumentError, match="NL0583: `f` needs `K`"):
        evaluate(attention(), {"Q": x})
    with pytest.raises(ArgumentError, match="NL0583: `f` has no input `V`"):
        evaluate(attention(), {"Q": x, "K": x[None], "V": x})


@pytest.mark.parametrize(
    ("kind", "value", "word"),
    [(INT, [1.5], "integer"), (BOOL, [1], "boolean"), (REAL, [1j], "real"), (REAL, ["a"], "numbers")],
)
def test_inputs_must_be_of_their_kind(kind: object, value: list, word: str) -> None:
    b = Builder()
    b.let("Y", b.neg(b.input("X", "i", kind)))  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=f"NL0584.*{word}"):
        evaluate(b.program("Y"), {"X": value})


def test_a_lower_kind_is_taken_for_a_higher_one() -> None:
    b = Builder()
    b.let("Y", b.div(b.input("X", "i"), 2))
    assert evaluate(b.program("Y"), {"X": [True, False]})[0].tolist() == [0.5, 0]


# --- programs of texts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shapes", "message", "sources"),
    [
        (
            "def f[n](X[n]; k = 3) = max[w](pool[n, w = k](X))",
            {"X": (7,)},
            "|n| leaves over 1",
            ["axis `n` has size 7 here"],
        ),
        (
            'def f(X[n], Y[m]):\n    require |n| == |m|, "alike, please"\n    return X @[n] Y[m -> n]',
            {"X": (3,), "Y": (4,)},
            "alike, please: |n| is 3, |m| is 4",
            ["axis `n` has size 3 here", "axis `m` has size 4 here"],
        ),
    ],
)
def test_the_reason_is_told_rather_than_what_follows_from_it(
    text: str, shapes: dict, message: str, sources: list[str]
) -> None:
    namespace = load_text(text)
    (definition,) = namespace.definitions.values()
    with pytest.raises(SizeError) as caught:
        solve_sizes(elaborate(namespace, definition, default_spec(namespace, definition)), shapes)
    assert caught.value.code == "NL0420"
    assert caught.value.message.endswith(message)
    assert [label.text for label in caught.value.labels[1:]] == sources
