"""Definitions: inputs, parameters, options, defaults, several results, branches, repetition, imports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.errors import FormulaError
from tests.helpers import Case, Named, case, check

GATED = "def gated(X[i]; act = relu) = act(X) * X\n"
SEVERAL = "def halves(X[i]) -> [i], [i]:\n  return X[i = :|i| // 2], X[i = |i| // 2:]\n"


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


DEFINITIONS = {
    "an expression": case("def f(X[i]) = X + 1", lambda X: X + 1, X=(3,)),
    "a block": case("def f(X[i]):\n    Y = X + 1\n    return Y * 2", lambda X: (X + 1) * 2, X=(3,)),
    "the order of a result": case("def f(X[i, j]) -> [j, i] = X", lambda X: X.T, X=(2, 3)),
    "the order of first appearance": case(
        "def f(X[i], Y[j]) = Y * X", lambda X, Y: np.multiply.outer(X, Y), X=(2,), Y=(3,)
    ),
    "a scalar parameter": case("def f(X[i]; b[]) = X + b", lambda X, b: X + b, X=(3,), b=()),
    "a parameter": case("def f(X[i]; W[o, i]) -> [o] = W @[i] X", lambda X, W: W @ X, X=(3,), W=(2, 3)),
    "a result of other definitions": case(
        "def lin(X[i]; W[o, i]) -> [o] = W @[i] X\ndef f(X[i]; W[o, i]) -> [o] = relu(lin(X; W))",
        lambda X, W: np.maximum(W @ X, 0),
        X=(3,),
        W=(2, 3),
    ),
    "definitions in any order": Case("def f(X[i]) = g(X)\ndef g(X[i]) = X + 1", lambda X: X + 1, {"X": (3,)}, name="f"),
    "arguments by name": case(
        "def g(X[i], Y[i]) = X - Y\ndef f(X[i], Y[i]) = g(Y = X, X = Y)", lambda X, Y: Y - X, X=(3,), Y=(3,)
    ),
    "a parameter by name": case(
        "def g(X[i]; W[i]) = X * W\ndef f(X[i], Y[i]) = g(X; W = Y)", lambda X, Y: X * Y, X=(3,), Y=(3,)
    ),
    # --- options and defaults
    "an option": Case("def f(X[i]; a) = X * a", lambda X: X * 2.5, {"X": (3,)}, options={"a": 2.5}),
    "an option's default": case("def f(X[i]; a = 2) = X * a", lambda X: X * 2, X=(3,)),
    "an option overridden": Case("def f(X[i]; a = 2) = X * a", lambda X: X * 3, {"X": (3,)}, options={"a": 3}),
    "a real for an integer's default": Case(
        "def f(X[i]; a = 2) = X * a", lambda X: X * 0.5, {"X": (3,)}, options={"a": 0.5}
    ),
    "an option's default from a size": case("def f(X[i]; a = 2 * |i|) = X * a", lambda X: X * 6, X=(3,)),
    "an option's default from another": Case(
        "def f(X[i]; a = 2, b = a + 1) = X * b", lambda X: X * 6, {"X": (3,)}, options={"a": 5}
    ),
    "an option of a call": case(
        "def g(X[i]; a = 2) = X * a\ndef f(X[i]) = g(X; a = 4) + g(X)", lambda X: 6 * X, X=(3,)
    ),
    "an option in the brackets": case(
        "def g[ax](X[ax]; a = 2) = sum[ax](X) * a\ndef f(X[i]) = g[i; a = 4](X)", lambda X: 4 * X.sum(), X=(3,)
    ),
    "an option by place": case(
        "def g(X[i]; a, b = 1) = X * a + b\ndef f(X[i]) = g(X; 4, 5)", lambda X: 4 * X + 5, X=(3,)
    ),
    "an option passed on": Case(
        "def g(X[i]; a = 2) = X * a\ndef f(X[i]; a = 3) = g(X; a = a + 1)",
        lambda X: X * 8,
        {"X": (3,)},
        options={"a": 7},
    ),
    "a string": Case(
        'def f(X[i]; how = "sum"):\n  if how == "sum":\n    return sum[i](X)\n  return mean[i](X)',
        lambda X: X.mean(),
        {"X": (3,)},
        options={"how": "mean"},
    ),
    "a truth value": Case(
        "def f(X[i]; twice = False):\n  if twice:\n    X = 2 * X\n  return X",
        lambda X: 2 * X,
        {"X": (3,)},
        options={"twice": True},
    ),
    "a definition as a default": case(GATED + "def f(X[i]) = gated(X)", lambda X: np.maximum(X, 0) * X, X=(5,)),
    "a definition as an option": case(GATED + "def f(X[i]) = gated(X; act = tanh)", lambda X: np.tanh(X) * X, X=(5,)),
    "a definition of the text as an option": case(
        GATED + "def square(X) = X ^ 2\ndef f(X[i]) = gated(X; act = square)", lambda X: X**3, X=(5,)
    ),
    "a prelude definition as an option": case(
        GATED + "def f(X[i]) = gated(X; act = sigmoid)", lambda X: sigmoid(X) * X, X=(5,)
    ),
    "a definition by its name, from outside": Case(
        GATED, lambda X: sigmoid(X) * X, {"X": (5,)}, options={"act": "sigmoid"}
    ),
    "a definition passed on": case(
        GATED
        + "def twice(X[i]; act = relu) = gated(gated(X; act = act); act = act)\ndef f(X[i]) = twice(X; act = tanh)",
        lambda X: np.tanh(np.tanh(X) * X) * np.tanh(X) * X,
        X=(5,),
    ),
    "an optional input": case("def f(X[i], M[i] = 0) = X + M", lambda X: X, X=(3,)),
    "an optional input given": case("def f(X[i], M[i] = 0) = X + M", lambda X, M: X + M, X=(3,), M=(3,)),
    "an optional parameter": case("def f(X[i]; b[i] = 1) = X * b", lambda X: X, X=(3,)),
    "an optional input in a sum": case(
        "def f(X[i]; b[i] = 1) = sum[i](X * b) + sum[i](b)", lambda X: X.sum() + 3, X=(3,)
    ),
    "an optional input in a contraction": case("def f(X[i]; b[i] = 2) = X @[i] b", lambda X: 2 * X.sum(), X=(3,)),
    "a mask left out": case(
        "def f(S[q, k]; M[q, k] = 0) = softmax[k](S + M)",
        lambda S: np.exp(S) / np.exp(S).sum(1, keepdims=True),
        S=(2, 3),
    ),
    "a number for a parameter": case(
        "def g(X[i]; b[i] = 1) = X * b\ndef f(X[i]) = g(X; b = 3)", lambda X: 3 * X, X=(3,)
    ),
    # --- several results
    "two results": case("def f(X[i]) -> [i], []:\n  return X + 1, sum[i](X)", lambda X: (X + 1, X.sum()), X=(3,)),
    "two results taken apart": case(
        SEVERAL + "def f(X[i]):\n  a, b = halves(X)\n  return a - b", lambda X: X[:2] - X[2:], X=(4,)
    ),
    "two results, lifted": case(
        "def f(X[i]) -> [i], []:\n  return X + 1, sum[i](X)", lambda X: (X + 1, X.sum(1)), X=(2, 3)
    ),
    "three results, one of them an input": case(
        "def f(X[i], Y[i]) -> [i], [i], []:\n  return Y, X, X @[i] Y", lambda X, Y: (Y, X, X @ Y), X=(3,), Y=(3,)
    ),
    "the same result twice": case(
        "def f(X[i]) -> [i], [i]:\n  Y = X * 2\n  return Y, Y", lambda X: (X * 2, X * 2), X=(3,)
    ),
    "several results of named tensors": case(
        "def f(X[i]) -> [i], []:\n  return X + 1, sum[i](X)",
        lambda X: (Named(X + 1, "b i"), Named(X.sum(1), "b")),
        X=Named((2, 3), "b i"),
    ),
    "a result that is a literal": case("def f(X[i]) -> [i], []:\n  return X, 1", lambda X: (X, np.array(1)), X=(3,)),
    # --- branches
    "if": Case(
        "def f(X[i]; n = 1):\n  if n > 2:\n    Y = X\n  else:\n    Y = -X\n  return Y",
        lambda X: X,
        {"X": (3,)},
        options={"n": 3},
    ),
    "else": Case(
        "def f(X[i]; n = 1):\n  if n > 2:\n    Y = X\n  else:\n    Y = -X\n  return Y", lambda X: -X, {"X": (3,)}
    ),
    "else if": Case(
        "def f(X[i]; n = 1):\n  if n == 1:\n    return X\n  else:\n    if n == 2:\n      return 2 * X\n  return 3 * X",
        lambda X: 2 * X,
        {"X": (3,)},
        options={"n": 2},
    ),
    **{
        f"elif, {n}": Case(
            "def f(X[i]; n = 1):\n  if n == 1:\n    Y = X\n  elif n == 2:\n    Y = 2 * X\n"
            "  elif n == 3:\n    Y = 3 * X\n"
            "  else:\n    Y = 0 * X\n  return Y",
            lambda X, by=by: by * X,
            {"X": (3,)},
            options={"n": n},
        )
        for n, by in ((1, 1), (2, 2), (3, 3), (4, 0))
    },
    "a reassignment in a branch": Case(
        "def f(X[i]; on = True):\n  if on:\n    X = X + 1\n  return X", lambda X: X + 1, {"X": (3,)}
    ),
    "and, or, not of options": Case(
        "def f(X[i]; a = True, b = False):\n  if a and not b or b and not a:\n    return X\n  return -X",
        lambda X: X,
        {"X": (3,)},
    ),
    "training is False": case("def f(X[i]):\n  if training:\n    return -X\n  return X", lambda X: X, X=(3,)),
    "training given": Case(
        "def f(X[i]):\n  if training:\n    return -X\n  return X", lambda X: -X, {"X": (3,)}, options={"training": True}
    ),
    "training is passed on": Case(
        "def g(X[i]):\n  if training:\n    return -X\n  return X\ndef f(X[i]) = g(X)",
        lambda X: -X,
        {"X": (3,)},
        options={"training": True},
    ),
    # --- repetition
    "repeat": case("def f(X[i]):\n  repeat 3:\n    X = X * 2\n  return X", lambda X: X * 8, X=(3,)),
    "repeat counts": case(
        "def f(X[i]):\n  S = X\n  repeat 3 as k:\n    S = S + k * X\n  return S", lambda X: 4 * X, X=(3,)
    ),
    "repeat by an option": Case(
        "def f(X[i]; n = 1):\n  repeat n as k:\n    X = X ^ 2 + k\n  return X",
        lambda X: (X**2) ** 2 + 1,
        {"X": (3,)},
        options={"n": 2},
    ),
    "repeat never": Case(
        "def f(X[i]; n = 1):\n  repeat n:\n    X = X * 2\n  return X", lambda X: X, {"X": (3,)}, options={"n": 0}
    ),
    "repeat by a size": case("def f(X[i]):\n  repeat |i|:\n    X = X + 1\n  return X", lambda X: X + 4, X=(4,)),
    "shapes that change from round to round": case(
        "def f(X[t]):\n  repeat 3:\n    X = X[t = 1:] - X[t = :-1]\n  return X", lambda X: np.diff(X, 3), X=(7,)
    ),
    "sums of pairs, round after round": case(
        "def f(X[t]):\n  repeat 2:\n    X = sum[k](pool[t, k = 2](X))\n  return X",
        lambda X: X.reshape(2, 4).sum(1),
        X=(8,),
    ),
    "repeat in repeat": case(
        "def f(X[i]):\n  repeat 2 as a:\n    repeat 3 as b:\n      X = X + 10 * a + b\n  return X",
        lambda X: X + 36,
        X=(2,),
    ),
    "a round's index selects": case(
        "def f(X[i, c]):\n  S = X[i = 0]\n  repeat 2 as k:\n    S = S * X[i = k + 1]\n  return S",
        lambda X: X.prod(0),
        X=(3, 2),
    ),
    # --- lists
    "a list is stacked": case("def f(A[k, i]; w[k]) = w @[k] A", lambda A, w: w @ A, A=(3, 2), w=(3,)),
}


@pytest.mark.parametrize("row", DEFINITIONS.values(), ids=DEFINITIONS)
def test_definitions(row: Case) -> None:
    row.check()


def test_a_list_given_for_an_input_is_stacked() -> None:
    fusion = nl.compile("def fusion(A[operand, i, j]; w[operand]) -> [i, j] = w @[operand] A")
    parts = [torch.randn(2, 3, dtype=torch.float64) for _ in range(3)]
    weights = torch.tensor([0.5, 2.0, -1.0], dtype=torch.float64)
    expected = sum(w * part for w, part in zip(weights, parts, strict=True))
    torch.testing.assert_close(fusion(parts, w=weights), expected)
    with pytest.raises(nl.ArgumentError, match="empty"):
        fusion([], w=weights)
    with pytest.raises(nl.FormulaError):
        fusion([parts[0], parts[1][:1]], w=weights)


IMPORTS = {
    "from a file": ("from tools import double\ndef f(X[i]) = double(X)", lambda X: 2 * X),
    "two names from a file": ("from tools import double, shift\ndef f(X[i]) = shift(double(X))", lambda X: 2 * X + 1),
    "a module": ("import tools\ndef f(X[i]) = tools.double(X) + tools.shift(X)", lambda X: 3 * X + 1),
    "a module's definition as an option": (
        "import tools\n" + GATED + "def f(X[i]) = gated(X; act = tools.double)",
        lambda X: 2 * X * X,
    ),
    "what an imported definition uses": ("from tools import both\ndef f(X[i]) = both(X)", lambda X: 2 * X + 1),
    "an own definition of a name that the import uses": (
        "from tools import both\ndef double(X) = 100 * X\ndef f(X[i]) = both(X)",
        lambda X: 2 * X + 1,
    ),
    "a file that imports another": ("from more import triple\ndef f(X[i]) = triple(X)", lambda X: 3 * X),
}


@pytest.mark.parametrize(("text", "expected"), IMPORTS.values(), ids=IMPORTS)
def test_imports(text: str, expected: object, tmp_path: Path) -> None:
    (tmp_path / "tools.nl").write_text("def double(X) = 2 * X\ndef shift(X) = X + 1\ndef both(X) = shift(double(X))\n")
    (tmp_path / "more.nl").write_text("from tools import double\ndef triple(X) = double(X) + X\n")
    X = np.array([0.5, -1.0, 2.0])
    check(text, {"X": X}, expected(X), "f", folder=tmp_path)  # type: ignore[operator]


def test_a_file_beside_the_text_comes_before_the_library(tmp_path: Path) -> None:
    (tmp_path / "prelude.nl").write_text("def relu(X) = X + 100\n")
    check("import prelude\ndef f(X[i]) = prelude.relu(X)", {"X": np.ones(2)}, np.full(2, 101.0), folder=tmp_path)


def test_the_library_is_found() -> None:
    X = np.array([-1.0, 2.0])
    check("from prelude import relu\ndef f(X[i]) = relu(X)", {"X": X}, np.maximum(X, 0))


ERRORS = {
    "recursion": ("def f(X[i]) = f(X)", "itself"),
    "recursion through another": ("def g(X[i]) = f(X)\ndef f(X[i]) = g(X)", "itself"),
    "a name of one branch only": ("def f(X[i]; n = 1):\n  if n > 2:\n    Y = X\n  return Y", "`Y`"),
    "an unknown name": ("def f(X[i]) = Y", "`Y`"),
    "an unknown definition": ("def f(X[i]) = softmx[i](X)", "softmax"),
    "an unknown option": ("def f(X[i]) = standardize[i](X; epsilon = 1)", "eps"),
    "too many results": ("def f(X[i]):\n  a, b = X\n  return a", "2 names"),
    "an end without return": ("def f(X[i]):\n  Y = X", "return"),
    "an if of a tensor": ("def f(X[i]):\n  if X > 0:\n    return X\n  return -X", "known"),
    "a definition that takes parameters by place before the ;": (
        "def g(X[i]; a = 1) = X * a\ndef f(X[i]) = g(X, 2)",
        "position",
    ),
    "a name defined twice": ("def f(X[i]) = X\ndef f(X[i]) = X", "twice"),
    "a definition used as a value": ("def f(X[i]) = X + relu", "definition"),
    "a module that is not there": ("import nowhere\ndef f(X[i]) = X", "nowhere"),
    "a name that a module lacks": ("from prelude import relux\ndef f(X[i]) = X", "relu"),
}


@pytest.mark.parametrize(("text", "word"), ERRORS.values(), ids=ERRORS)
def test_what_definitions_refuse(text: str, word: str) -> None:
    with pytest.raises(FormulaError, match=word):
        check(text, {"X": np.zeros(3)}, np.zeros(3))


def test_a_requirement_is_checked_of_the_option_given() -> None:
    with pytest.raises(FormulaError, match="at least two"):
        check(
            'def f(X[t]; k = 2):\n  require k > 1, "at least two"\n  return X * k', {"X": np.zeros(3)}, np.zeros(3), k=1
        )
