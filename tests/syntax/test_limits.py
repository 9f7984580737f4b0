"""Hostile texts: an error in reasonable time, never a crash; what is permitted passes through everything."""

from __future__ import annotations

import copy
import random

import pytest

from namedlayers.codes import CODES
from namedlayers.errors import FormulaError
from namedlayers.syntax import format_module, parse
from namedlayers.syntax.limits import DEEPEST, LONGEST_NUMBER, LONGEST_TEXT

HEAD = "def f(X) = "
# The nodes around an expression: the module, the definition and its return.
AROUND = 3


def garbage(signs: str, count: int) -> str:
    rng = random.Random(0)
    return "".join(rng.choice(signs) for _ in range(1000)) * (count // 1000)


HOSTILE = {
    "parentheses": ("NL0602", HEAD + "(" * 20_000 + "X" + ")" * 20_000),
    "calls": ("NL0602", HEAD + "f(" * 5_000 + "X" + ")" * 5_000),
    "indices": ("NL0602", HEAD + "X[a = " * 5_000 + "X" + "]" * 5_000),
    "open": ("NL0602", HEAD + "(" * 5_000),
    "signs": ("NL0602", HEAD + "-" * 5_000 + "X"),
    "nots": ("NL0602", HEAD + "not " * 5_000 + "X"),
    "sum": ("NL0602", HEAD + " + ".join(["X"] * 5_000)),
    "powers": ("NL0602", HEAD + "^".join(["X"] * 5_000)),
    "postfixes": ("NL0602", HEAD + "X" + "[a = 0]" * 5_000),
    "attributes": ("NL0602", HEAD + "X" + ".a" * 5_000),
    "blocks": ("NL0602", "def f(X):\n" + "".join(" " * n + "if X:\n" for n in range(1, 300)) + " " * 300 + "return X"),
    "choices": ("NL0602", "def f(X):\n if X:\n  X = 1\n" + " elif X:\n  X = 1\n" * 5_000),
    "digits": ("NL0603", HEAD + "1" * 100_000),
    "fraction": ("NL0603", HEAD + "0." + "1" * 100_000),
    "hexadecimal": ("NL0603", HEAD + "0x" + "f" * 100_000),
    "exponent": ("NL0105", HEAD + "1e" + "9" * 90),
    "garbage": ("NL0601", garbage("ab(){}[]^&* \n'\"", 10_000_000)),
    "less garbage": ("NL0129", garbage("ab()[]^* \n", 100_000)),
    "nothing but lines": ("NL0101", "\n" * 100_000),
    "nothing but comments": ("NL0101", "#\n" * 100_000),
    "nul": ("NL0102", "\0" * 1000),
    "nul in a formula": ("NL0102", HEAD + "X\0"),
    "lone surrogate": ("NL0102", HEAD + "X\ud800"),
    "lone surrogate in a string": ("NL0102", HEAD + "f('\udc00')"),
    "quotes": ("NL0136", "def f():\n " + "'" * 100_000),
    "bars": ("NL0126", HEAD + "|" * 100_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text(name: str) -> None:
    code, text = HOSTILE[name]
    with pytest.raises(FormulaError) as caught:
        parse(text)
    report = str(caught.value)
    assert caught.value.code == code
    assert code in CODES
    assert len(report) < 3_000
    assert report.encode()


def test_a_lone_surrogate_in_a_comment_is_the_users_affair() -> None:
    assert parse("# \ud800\n" + HEAD + "X").comments == ((1, 1, "# \ud800"),)


LEVELS = DEEPEST - AROUND
DEEPEST_PERMITTED = {
    "signs": HEAD + "-" * (LEVELS - 1) + "X",
    "sum": HEAD + "+".join(["X"] * LEVELS),
    "powers": HEAD + "^".join(["X"] * LEVELS),
    "calls": HEAD + "f(" * ((LEVELS - 1) // 2) + "X" + ")" * ((LEVELS - 1) // 2),
    "parentheses": HEAD + "(" * DEEPEST + "X" + ")" * DEEPEST,
    "choices": "def f(X):\n if X:\n  X = 1\n" + " elif X:\n  X = 1\n" * (LEVELS - 3),
}


@pytest.mark.parametrize("name", DEEPEST_PERMITTED)
def test_what_is_permitted_is_formatted_compared_hashed_and_printed(name: str) -> None:
    module = parse(DEEPEST_PERMITTED[name])
    assert parse(format_module(module)) == module
    assert hash(module) == hash(parse(DEEPEST_PERMITTED[name]))
    assert len(repr(module)) > LEVELS
    assert copy.copy(module) == module


def test_one_level_more_is_too_deep() -> None:
    with pytest.raises(FormulaError, match="NL0602"):
        parse(HEAD + "-" * LEVELS + "X")
    with pytest.raises(FormulaError, match="NL0602"):
        parse(HEAD + "(" * (DEEPEST + 1) + "X" + ")" * (DEEPEST + 1))


def test_the_longest_number_and_text_are_read() -> None:
    digits = "1" * LONGEST_NUMBER
    assert parse(HEAD + digits).items[0].body[0].values[0].value == int(digits)
    assert parse((HEAD + "X").ljust(LONGEST_TEXT)).items
    with pytest.raises(FormulaError, match="NL0601"):
        parse((HEAD + "X").ljust(LONGEST_TEXT + 1))
