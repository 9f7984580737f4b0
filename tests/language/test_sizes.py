"""Sizes: one for an axis of a signature, solved in whichever direction is exact, checked where values meet."""

from __future__ import annotations

import numpy as np
import pytest

from namedlayers.errors import FormulaError, SizeError
from tests.helpers import Case, case, check
from tests.language.test_indexing import windows

SIZES = {
    "from an input": case("def f(X[i], Y[j]) -> [i] = X * |j|", lambda X, Y: X * 4, X=(3,), Y=(4,)),
    "from a number in the signature": case("def f(X[i, c = 3]) = X * |c|", lambda X: X * 3, X=(2, 3)),
    "from a number on an axis": case("def f(X[t]) = X * sum[k](ones[k = 4])", lambda X: X * 4, X=(3,)),
    "from an equation": case(
        "def f(X[t]) -> [t, k]:\n  |k| = |t| + 1\n  return X * ones[k]", lambda X: np.stack([X] * 4, 1), X=(3,)
    ),
    "from another input's quotient": case(
        "def f(X[la]; W[heads]) -> [heads, key]:\n  |key| = |la| // |heads|\n  return X[la -> (heads, key)] * W",
        lambda X, W: X.reshape(2, 3) * W[:, None],
        X=(6,),
        W=(2,),
    ),
    "a split forwards": case("def f(X[a]) -> [b, c] = X[a -> (b = 2, c)] * |c|", lambda X: X.reshape(2, 3) * 3, X=(6,)),
    "a split backwards": case(
        "def f(X[a]; W[c]) -> [b, c] = X[a -> (b, c)] * W", lambda X, W: X.reshape(2, 3) * W, X=(6,), W=(3,)
    ),
    "a merge backwards": case(
        "def f(X[b, c], Y[a]) -> [a] = X[(b, c) -> a] * Y", lambda X, Y: X.reshape(6) * Y, X=(2, 3), Y=(6,)
    ),
    "a merge checked": case(
        "def f(X[b, c], Y[b', c']) -> [d] = X[(b, c) -> d] * Y[(b', c') -> d]",
        lambda X, Y: X.reshape(6) * Y.reshape(6),
        X=(2, 3),
        Y=(3, 2),
    ),
    "a window forwards": case(
        "def f(X[t]; W[k]) -> [t] = X[t = t + k] @[k] W", lambda X, W: windows(X, 3) @ W, X=(7,), W=(3,)
    ),
    "a pool divides": case(
        "def f(X[t]; W[k]) -> [t] = pool[t, k](X) @[k] W", lambda X, W: X.reshape(2, 3) @ W, X=(6,), W=(3,)
    ),
    "a shorter value meets another of its size": case(
        "def f(X[t], Y[s]) -> [s] = X[t = 1:][t -> s] + Y", lambda X, Y: X[1:] + Y, X=(5,), Y=(4,)
    ),
    "a computed size of its own": case(
        "def f(X[t]):\n  Y = X[t = 2:]\n  return Y * size[t](Y) * |t|", lambda X: X[2:] * 3 * 5, X=(5,)
    ),
    "a requirement that holds": case('def f(X[t]):\n  require |t| % 2 == 0, "even"\n  return X', lambda X: X, X=(4,)),
    "a requirement of an option": Case(
        'def f(X[t]; k = 2):\n  require k > 1, "more"\n  return X * k', lambda X: X * 3, {"X": (4,)}, options={"k": 3}
    ),
    "several requirements": case(
        "def f(X[t, s]):\n  require |t| >= 2 and |s| < 10 and |t| != |s|\n  return X", lambda X: X, X=(4, 3)
    ),
    "sizes compared in an if": case("def f(X[t]):\n  if |t| > 3:\n    return X\n  return -X", lambda X: X, X=(4,)),
    "sizes compared in an if, the other way": case(
        "def f(X[t]):\n  if |t| > 3:\n    return X\n  return -X", lambda X: -X, X=(2,)
    ),
    "a size as a real": case("def f(X[t]) = X * (|t| / 2) ^ 2", lambda X: X * 2.25, X=(3,)),
    "a size as a coordinate's bound": case(
        "def f(X[t]) = where(t < |t| // 2, X, 0)", lambda X: X * [1, 1, 0, 0], X=(4,)
    ),
    "size 1 does not broadcast": case(
        "def f(X[i], Y[j]) -> [i, j] = X * Y", lambda X, Y: X[:, None] * Y, X=(1,), Y=(3,)
    ),
    "an empty axis": case(
        "def f(X[i, j], Y[j]) = X @[j] Y", lambda X, Y: np.zeros(2), X=np.zeros((2, 0)), Y=np.zeros(0)
    ),
}


@pytest.mark.parametrize("row", SIZES.values(), ids=SIZES)
def test_sizes(row: Case) -> None:
    row.check()


ERRORS = {
    "two inputs disagree": ("def f(X[i], Y[i]) = X + Y", {"X": (3,), "Y": (4,)}, ("`i`", "3", "4")),
    "one does not broadcast": ("def f(X[i], Y[i]) = X + Y", {"X": (1,), "Y": (4,)}, ("`i`", "1", "4")),
    "a number in the signature": ("def f(X[i, c = 3]) = X", {"X": (2, 4)}, ("`c`", "3", "4")),
    "values that meet": ("def f(X[i]) = X[i = 1:] + X", {"X": (4,)}, ("`i`",)),
    "an equation": (
        "def f(X[i], Y[j]) -> [i, j]:\n  |i| = 2 * |j|\n  return X * Y",
        {"X": (5,), "Y": (2,)},
        ("5", "4"),
    ),
    "an equation that is not exact": (
        "def f(X[i], Y[j]) -> [i, j]:\n  |i| = 2 * |j|\n  return X * Y",
        {"X": (4,), "Y": (3,)},
        ("`j`", "2", "3"),
    ),
    "a requirement": (
        'def f(X[t]):\n  require |t| % 2 == 0, "it must be even"\n  return X',
        {"X": (5,)},
        ("it must be even",),
    ),
    "a requirement without a text": ("def f(X[t]):\n  require |t| < 3\n  return X", {"X": (5,)}, ("|t| < 3",)),
    "an equation that no size solves": (
        "def f(X[i]) -> [i, j]:\n  |i| = 2 * |j|\n  return X * ones[j]",
        {"X": (5,)},
        ("`i`", "5", "2"),
    ),
    "a quotient by a size that is 0": (
        "def f(X[la]; W[heads]) -> [heads, key]:\n  |key| = |la| // |heads|\n  return X[la -> (heads, key)] * W",
        {"X": (0,), "W": (0,)},
        ("divided", "0"),
    ),
    "a merge": ("def f(X[b, c], Y[a]) -> [a] = X[(b, c) -> a] * Y", {"X": (2, 3), "Y": (5,)}, ("6", "5")),
    "a size that nothing determines": ("def f(X[t]) -> [t, k] = X * ones[k]", {"X": (3,)}, ("`k`",)),
    "a size that has two values": (
        "def f(X[t]) = sum[u](X[t = 1:][t -> u]) + sum[u](X[t -> u]) * |u|",
        {"X": (3,)},
        ("`u`",),
    ),
}


@pytest.mark.parametrize(("text", "inputs", "words"), ERRORS.values(), ids=ERRORS)
def test_sizes_that_disagree(text: str, inputs: dict, words: tuple[str, ...]) -> None:
    with pytest.raises(FormulaError) as error:
        check(text, {key: np.zeros(one) for key, one in inputs.items()}, np.zeros(()))
    for word in words:
        assert word in str(error.value)


def test_two_sizes_that_disagree_are_shown_at_both_places() -> None:
    with pytest.raises(SizeError) as error:
        check("def f(X[i], Y[i]) = X + Y", {"X": np.zeros(3), "Y": np.zeros(4)}, np.zeros(()))
    assert [(span.text, span.column) for span in error.value.spans] == [("i", 15), ("i", 9)]
