"""Axes: lifting and hygiene, names in three spaces, how names may be spelled, stars, groups, options along axes."""

from __future__ import annotations

import numpy as np
import pytest

from namedlayers.errors import AxisError, FormulaError
from tests.helpers import Case, Named, case, check

ATTENTION = """\
def attention(Q[key], K[seq, key], V[seq, val]) -> [val]:
    return softmax[seq](Q @[key] K / sqrt(|key|)) @[seq] V
"""


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


LIFTING = {
    "a leading dimension": case("def f(X[i]) = sum[i](X)", lambda X: X.sum(1), X=(4, 3)),
    "two leading dimensions": case("def f(X[i]) = X - mean[i](X)", lambda X: X - X.mean(2, keepdims=True), X=(4, 2, 3)),
    "one input of two": case("def f(X[i], Y[i]) = X @[i] Y", lambda X, Y: X @ Y, X=(4, 3), Y=(3,)),
    "both inputs, together": case("def f(X[i], Y[i]) = X @[i] Y", lambda X, Y: (X * Y).sum(1), X=(4, 3), Y=(4, 3)),
    "a parameter is shared": case("def f(X[i]; W[o, i]) -> [o] = W @[i] X", lambda X, W: X @ W.T, X=(4, 3), W=(2, 3)),
    "named axes, one for each": case(
        "def f(X[i], Y[i]) = X * Y",
        lambda X, Y: Named(X[:, None] * Y, "a b i"),
        X=Named((4, 3), "a i"),
        Y=Named((2, 3), "b i"),
    ),
    "named axes, one shared": case(
        "def f(X[i], Y[j]) -> [i, j] = X * Y",
        lambda X, Y: Named(np.einsum("ai,ja->aij", X, Y), "a i j"),
        X=Named((2, 3), "a i"),
        Y=Named((4, 2), "j a"),
    ),
    "named axes in any order": case(
        "def f(X[i, j]) = sum[i](X)", lambda X: Named(X.sum(2), "j b"), X=Named((2, 3, 4), "j b i")
    ),
    "a call inside lifts": case(
        ATTENTION + "def f(Q[h, q, key], K[h, seq, key], V[h, seq, val]) -> [h, q, val] = attention(Q, K, V)",
        lambda Q, K, V: softmax(Q @ K.transpose(0, 2, 1) / np.sqrt(3), 2) @ V,
        Q=(2, 4, 3),
        K=(2, 5, 3),
        V=(2, 5, 6),
    ),
    "a call inside lifts one argument": case(
        "def g(X[i]) = X / sum[i](X)\ndef f(X[i, j]) = g(X) + 1",
        lambda X: X / X.sum(0) + 1,
        X=np.ones((2, 3)) + np.eye(2, 3),
    ),
    "attention of several queries": case(
        ATTENTION,
        lambda Q, K, V: Named(softmax(Q @ K.T / np.sqrt(3), 1) @ V, "q val"),
        Q=Named((4, 3), "q key"),
        K=Named((5, 3), "seq key"),
        V=Named((5, 2), "seq val"),
    ),
    "through two calls": case(
        "def g(X[i]) = X ^ 2\ndef h(X[i]) = g(X) + i\ndef f(X[i, b]) -> [b, i] = h(X)",
        lambda X: (X**2).T + np.arange(3),
        X=(3, 2),
    ),
    "a definition of no axes": case("def g(x) = x * 2\ndef f(X[i, j]) = g(X)", lambda X: X * 2, X=(2, 3)),
    "a definition of no axes, at the top": case("def f(x) = x * 2", lambda X: X * 2, x=(2, 3)),
}

HYGIENE = {
    "an axis bound in a body is its own": case(
        "def g(X[i]):\n  Y = X[i -> k]\n  return sum[k](Y)\ndef f(X[i, k]) = g(X)", lambda X: X.sum(0), X=(2, 3)
    ),
    "a window's axis is its own": case(
        "def smooth(X[t]) = mean[k](unroll[t, k = 2](X))\ndef f(X[t, k]) -> [t, k] = smooth(X)",
        lambda X: (X[1:] + X[:-1]) / 2,
        X=(4, 3),
    ),
    "an axis parameter takes the caller's name": case(
        "def total[ax](X[ax]) = sum[ax](X)\ndef f(X[i, j]) = total[j](X)", lambda X: X.sum(1), X=(2, 3)
    ),
    "an axis parameter and a caller's axis of its name": case(
        "def total[ax](X[ax]) = sum[ax](X)\ndef f(X[ax, j]) = total[j](X)", lambda X: X.sum(1), X=(2, 3)
    ),
    "axis parameters swapped": case(
        "def g[a, b](X[a, b]) -> [a] = sum[b](X) + a\ndef f(X[a, b]) = g[b, a](X)",
        lambda X: X.sum(0) + np.arange(3),
        X=(2, 3),
    ),
    "a value named like a caller's": case(
        "def g(Y[i]):\n  X = Y + 1\n  return X\ndef f(X[i]) = g(X) + X", lambda X: 2 * X + 1, X=(3,)
    ),
    "inputs are not changed by a body": case(
        "def f(X[i]):\n  Y = X\n  X = X + 1\n  return X * Y", lambda X: (X + 1) * X, X=(3,)
    ),
    "a body's axis of the name of a lifted one": case(
        "def f(X[i]) -> [i]:\n  S = X * X[i -> batch]\n  return sum[batch](S)",
        lambda X: X * X.sum(1, keepdims=True),
        X=(4, 3),
    ),
}

SPACES = {
    "a value and an axis of one name": case(
        "def f(X[seq], seq[c]) -> [seq, c] = X * seq", lambda X, s: np.multiply.outer(X, s), X=(3,), seq=(2,)
    ),
    "index of a hidden coordinate": case(
        "def f(X[seq], seq[c]) -> [seq, c] = X * seq + index[seq]",
        lambda X, s: np.multiply.outer(X, s) + np.arange(3)[:, None],
        X=(3,),
        seq=(2,),
    ),
    "a definition and an axis of one name": case(
        "def mask(X) = X + 1\ndef f(X[mask]) = mask(X) * mask", lambda X: (X + 1) * np.arange(3), X=(3,)
    ),
    "a definition and a value of one name": case(
        "def norm(X[i]) = X / 2\ndef f(X[i]):\n  norm = norm(X)\n  return norm + 1", lambda X: X / 2 + 1, X=(3,)
    ),
    "an axis named like a prelude definition": case(
        "def f(X[max, softmax]) = max[max](X) + sum[softmax](X)[max -> softmax]",
        lambda X: X.max(0) + X.sum(1),
        X=(3, 3),
    ),
    "a definition of the text hides the prelude's": case(
        "def relu(X) = maximum(X, 1)\ndef f(X[i]) = relu(X)", lambda X: np.maximum(X, 1), X=(4,)
    ),
    "an option named like an axis": Case("def f(X[k]; k = 2) = X * k", lambda X: X * 5, {"X": (3,)}, options={"k": 5}),
    **{
        f"`{word}` is an axis": case(
            f"def f(X[{word}, c]) = sum[{word}](X) + X[{word} = 0] * |{word}|", lambda X: X.sum(0) + X[0] * 3, X=(3, 2)
        )
        for word in (
            "layer",
            "state",
            "param",
            "repeat",
            "scan",
            "with",
            "as",
            "if",
            "else",
            "def",
            "return",
            "from",
            "import",
            "require",
            "reversed",
            "block",
            "training",
        )
    },
    "primes": case(
        "def f(X[seq, seq', seq'']) = X[seq'' = 0] + seq'", lambda X: X[:, :, 0] + np.arange(3), X=(2, 3, 2)
    ),
    "the typographic prime is the same": case("def f(X[seq, seq′]) = sum[seq'](X)", lambda X: X.sum(1), X=(2, 3)),
    "Unicode": case("def f(Ω[größe, 时间]) = sum[时间](Ω) * |größe|", lambda X: X.sum(1) * 2, Ω=(2, 3)),
    "names are normalised": case("def f(X[ﬁt]) = sum[fit](X)", lambda X: X.sum(), X=(3,)),
    "Greek": case("def f(X[i]; γ[i], β[i]) = γ * X + β", lambda X, g, b: g * X + b, X=(3,), γ=(3,), β=(3,)),
    "named tensors are normalised too": case("def f(X[seq′]) = X", lambda X: Named(X, "seq'"), X=Named((3,), "seq'")),
}

STARS = {
    "a star takes the axes given": case(
        "def norm1[*ax](X[*ax]) = X / sum[*ax](X ^ 2)\ndef f(X[i, j, k]) = norm1[i, k](X)",
        lambda X: X / (X**2).sum((0, 2), keepdims=True),
        X=(2, 3, 4),
    ),
    "a star of none": case("def g[*ax](X[*ax]) = sum[*ax](X) + |*ax|\ndef f(X[i]) = g[](X)", lambda X: X + 1, X=(3,)),
    "a star of a caller's star": case(
        "def g[*ax](X[*ax]) = softmax[*ax](X)\ndef f(X[i, j]) = g[i, j](X)",
        lambda X: np.exp(X) / np.exp(X).sum(),
        X=(2, 3),
    ),
    "the size of a star is a product": case(
        "def g[*ax](X[*ax]) = sum[*ax](X) / |*ax|\ndef f(X[i, j]) = g[i, j](X)", np.mean, X=(2, 3)
    ),
    "the largest star at the top": case("def f[*ax](X[*ax]) = X - mean[*ax](X)", lambda X: X - X.mean(), X=(2, 3)),
    "a star beside an axis": case(
        "def g[c, *space](X[c, *space]; W[c]) -> [c] = mean[*space](X) * W\ndef f(X[c, h, w]; W[c]) = g[c, h, w](X; W)",
        lambda X, W: X.mean((1, 2)) * W,
        X=(3, 2, 4),
        W=(3,),
    ),
    "a star inferred from the extra axes": case(
        "def g[c, *space](X[c, *space]; W[c]) -> [c] = mean[*space](X) * W\ndef f(X[c, h, w]; W[c]) = g[c](X; W)",
        lambda X, W: X.mean((1, 2)) * W,
        X=(3, 2, 4),
        W=(3,),
    ),
    "a star inferred, at the front": case(
        "def g[c, *rest](X[*rest, c]; W[c]) -> [*rest, c] = X / sum[c](X ^ 2) * W\n"
        "def f(X[a, b, c]; W[c]) = g[c](X; W)",
        lambda X, W: X / (X**2).sum(2, keepdims=True) * W,
        X=(2, 3, 4),
        W=(4,),
    ),
    "a star and an axis, at the top": case(
        "def f[*rest](X[*rest, c]; W[c]) -> [*rest, c] = X * W", lambda X, W: X * W, X=(2, 3, 4), W=(4,)
    ),
    "a star of none, at the top": case(
        "def f[*rest](X[*rest, c]; W[c]) -> [*rest, c] = X * W", lambda X, W: X * W, X=(4,), W=(4,)
    ),
    "one star of two inputs": case(
        "def f[*s](X[*s, a], Y[*s, b]) -> [*s, a, b] = X * Y",
        lambda X, Y: X[..., None] * Y[..., None, :],
        X=(2, 3, 4),
        Y=(2, 3, 5),
    ),
    "a star of named axes": case(
        "def f[*s](X[*s, c]) -> [*s, c] = X - mean[*s](X)",
        lambda X: Named(X - X.mean((0, 2), keepdims=True), "u c v"),
        X=Named((2, 3, 4), "u c v"),
    ),
    "two stars zip": case(
        "def g[*space, *kernel](X[*space]; W[*kernel]) -> [*space] = unroll[*space, *kernel](X) @[*kernel] W\n"
        "def f(X[h, w]; W[a, b]) -> [h, w] = g[h, w, a, b](X; W)",
        lambda X, W: sum(W[a, b] * X[a : a + 3, b : b + 4] for a in range(2) for b in range(2)),
        X=(4, 5),
        W=(2, 2),
    ),
    "an index zips stars": case(
        "def g[*ax](X[*ax]) = X[*ax = |ax| - 1 - ax]\ndef f(X[i, j]) = g[i, j](X)", lambda X: X[::-1, ::-1], X=(2, 3)
    ),
    "a rename zips stars": case(
        "def g[*a, *b](X[*a]) -> [*b] = X[*a -> *b]\ndef f(X[i, j]) -> [k, l] = g[i, j, k, l](X)", lambda X: X, X=(2, 3)
    ),
    "a merge of a star": case(
        "def flat[*ax, out](X[*ax]) -> [out] = X[(*ax) -> out]\ndef f(X[i, j, k]) -> [j, o] = flat[i, k, o](X)",
        lambda X: X.transpose(1, 0, 2).reshape(3, 8),
        X=(2, 3, 4),
    ),
    "groups say which axes belong to which star": case(
        "def g[*a, *b](X[*a, *b]) -> [*a] = sum[*b](X)\ndef f(X[i, j, k]) = g[(i), (j, k)](X)",
        lambda X: X.sum((1, 2)),
        X=(2, 3, 4),
    ),
    "a group from and a group to": case(
        "def lin[*in -> *out](X[*in]; W[*out, *in]) -> [*out] = W @[*in] X\n"
        "def f(X[i, j]; W[o, i, j]) -> [o] = lin[(i, j) -> (o)](X; W)",
        lambda X, W: np.einsum("oij,ij->o", W, X),
        X=(2, 3),
        W=(4, 2, 3),
    ),
    "from to": case(
        "def lin[a -> b](X[a]; W[b, a]) -> [b] = W @[a] X\ndef f(X[i, n]; W[o, i]) -> [o, n] = lin[i -> o](X; W)",
        lambda X, W: W @ X,
        X=(3, 2),
        W=(4, 3),
    ),
    "a tuple of strides": case(
        "def f(X[h, w]) -> [h, w] = sum[a, b](unroll[h, w, a = 2, b = 1](X; stride = (1, 2)))",
        lambda X: X[:-1, ::2] + X[1:, ::2],
        X=(3, 5),
    ),
    "a tuple given at the call": Case(
        "def f(X[h, w]; stride = (1, 1)) -> [h, w] = sum[a, b](unroll[h, w, a = 1, b = 1](X; stride = stride))",
        lambda X: X[::2, ::3],
        {"X": (4, 7)},
        options={"stride": (2, 3)},
    ),
    "a scale along a star": case(
        "def scaled[*ax](X[*ax]; s) = X[*ax = s * ax]\ndef f(X[h, w]) = scaled[h, w](X; s = (2, 3))",
        lambda X: X[::2, ::3],
        X=(4, 7),
    ),
    "a size where an axis parameter is declared": case(
        "def f[ax, k = 2](X[ax]) -> [ax] = sum[k](pool[ax, k](X))", lambda X: X.reshape(3, 2).sum(1), X=(6,)
    ),
    "a size where an axis is introduced": case(
        "def g[ax, k = 2](X[ax]) -> [ax] = max[k](pool[ax, k](X))\ndef f(X[t]) = g[t, w = 3](X)",
        lambda X: X.reshape(2, 3).max(1),
        X=(6,),
    ),
}


@pytest.mark.parametrize("row", LIFTING.values(), ids=LIFTING)
def test_lifting(row: Case) -> None:
    row.check()


@pytest.mark.parametrize("row", HYGIENE.values(), ids=HYGIENE)
def test_hygiene(row: Case) -> None:
    row.check()


@pytest.mark.parametrize("row", SPACES.values(), ids=SPACES)
def test_names(row: Case) -> None:
    row.check()


@pytest.mark.parametrize("row", STARS.values(), ids=STARS)
def test_stars(row: Case) -> None:
    row.check()


ERRORS = {
    "an extra axis named like another input's": (
        "def g(X[i], Y[j]) -> [i, j] = X * Y\ndef f(X[i, j], Y[j]) = g(X, Y)",
        {"X": (2, 3), "Y": (3,)},
        "j",
    ),
    "an extra axis named like the result's": (
        "def g(X[i]; W[i, o]) -> [o] = W @[i] X\ndef f(X[i, o]; W[i, o]) = g(X; W)",
        {"X": (2, 3), "W": (2, 3)},
        "o",
    ),
    "an axis that reaches the result unannounced": (
        "def g(X[i]) = X * X[i -> j]\ndef f(X[i]) = g(X)",
        {"X": (3,)},
        "j",
    ),
    "an axis that the result lacks": ("def f(X[i, j]) -> [i, j] = sum[j](X)", {"X": (2, 3)}, "j"),
    "a result with an axis unstated": ("def f(X[i, j]) -> [i] = X", {"X": (2, 3)}, "j"),
    "an unknown axis": ("def f(X[i]) = sum[j](X)", {"X": (2,)}, "j"),
    "a reduction over an axis that is elsewhere": ("def f(X[i], Y[j]) = sum[j](X) + Y", {"X": (2,), "Y": (3,)}, "j"),
    "a contraction over an axis of one side": ("def f(X[i], Y[j]) = X @[i] Y", {"X": (2,), "Y": (3,)}, "i"),
    "a reduction without axes": ("def f(X[i]) = sum(X)", {"X": (2,)}, "sum"),
    "an axis parameter that is not used": (
        "def g[a, b](X[a]) = sum[a](X)\ndef f(X[i, j]) = g[i, j](X)",
        {"X": (2, 3)},
        "b",
    ),
    "too few axes": ("def g[a, b](X[a, b]) = sum[a, b](X)\ndef f(X[i, j]) = g[i](X)", {"X": (2, 3)}, "b"),
    "a hidden coordinate": ("def f(X[seq], seq[c]) -> [seq] = X[seq = seq]", {"X": (3,), "seq": (2,)}, "index"),
    "stars of unequal lengths": (
        "def g[*a, *b](X[*a]) -> [*b] = X[*a -> *b]\ndef f(X[i, j]) = g[i, j, k](X)",
        {"X": (2, 3)},
        "axes",
    ),
}


@pytest.mark.parametrize(("text", "inputs", "word"), ERRORS.values(), ids=ERRORS)
def test_what_axes_refuse(text: str, inputs: dict, word: str) -> None:
    with pytest.raises(FormulaError, match=word):
        check(text, {key: np.zeros(one) for key, one in inputs.items()}, np.zeros(()), "f")


def test_a_clash_names_the_axis_and_offers_the_rename() -> None:
    text = "def g(X[i], Y[j]) -> [i, j] = X * Y\ndef f(X[i, j], Y[j]) = g(X, Y)"
    with pytest.raises(AxisError) as error:
        check(text, {"X": np.zeros((2, 3)), "Y": np.zeros(3)}, np.zeros(()))
    assert "`j`" in str(error.value) and "->" in str(error.value)
