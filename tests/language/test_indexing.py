"""What may stand between brackets after a value: renames, merges, splits, selections, slices, indices of all forms."""

from __future__ import annotations

import numpy as np
import pytest

from namedlayers.errors import FormulaError
from tests.helpers import Case, case, check

IDS = np.array([[0, 3, 1], [4, 4, 2]])


def windows(x: np.ndarray, width: int, stride: int = 1, dilation: int = 1) -> np.ndarray:
    """Windows along the first axis: (place, coordinate in the window, …)."""
    count = (len(x) - 1 - dilation * (width - 1)) // stride + 1
    return np.stack([x[stride * k : stride * k + dilation * (width - 1) + 1 : dilation] for k in range(count)])


INDICES = {
    # --- names
    "rename": case("def f(X[seq, c]) -> [c, seq'] = X[seq -> seq']", lambda X: X.T, X=(3, 2)),
    "rename two at once": case("def f(X[a, b]) -> [a, b] = X[a -> b, b -> a]", lambda X: X.T, X=(3, 2)),
    "rename in a circle": case(
        "def f(X[a, b, c]) -> [a, b, c] = X[a -> b, b -> c, c -> a]", lambda X: X.transpose(2, 0, 1), X=(3, 2, 4)
    ),
    "rename an expression": case("def f(X[a], Y[a]) -> [b] = (X + Y)[a -> b]", lambda X, Y: X + Y, X=(3,), Y=(3,)),
    "an outer product of a tensor with itself": case(
        "def f(X[a]) -> [a, a'] = X * X[a -> a']", lambda X: np.multiply.outer(X, X), X=(3,)
    ),
    # --- merges and splits
    "merge, the last fastest": case("def f(X[a, b]) -> [c] = X[(a, b) -> c]", lambda X: X.reshape(6), X=(2, 3)),
    "merge in another order": case("def f(X[a, b]) -> [c] = X[(b, a) -> c]", lambda X: X.T.reshape(6), X=(2, 3)),
    "merge three": case(
        "def f(X[h, w, c]) -> [layer] = X[(c, h, w) -> layer]", lambda X: X.transpose(2, 0, 1).reshape(24), X=(2, 3, 4)
    ),
    "merge into one of its own names": case(
        "def f(X[a, b, c]) -> [a, c] = X[(a, b) -> a]", lambda X: X.reshape(6, 2), X=(2, 3, 2)
    ),
    "merge, lifted": case(
        "def f(X[a, b, c]) -> [d, b] = X[(c, a) -> d]", lambda X: X.transpose(2, 0, 1).reshape(8, 3), X=(2, 3, 4)
    ),
    "split, a size given": case(
        "def f(X[layer]) -> [heads, key] = X[layer -> (heads = 2, key)]", lambda X: X.reshape(2, 3), X=(6,)
    ),
    "split, the last size given": case(
        "def f(X[layer]) -> [heads, key] = X[layer -> (heads, key = 2)]", lambda X: X.reshape(3, 2), X=(6,)
    ),
    "split, all sizes given": case(
        "def f(X[layer]) -> [a, b, c] = X[layer -> (a = 2, b = 3, c = 2)]", lambda X: X.reshape(2, 3, 2), X=(12,)
    ),
    "split in a stated size": case(
        "def f(X[layer], W[heads]) -> [heads, key] = X[layer -> (heads, key)] * W[heads -> heads]",
        lambda X, W: X.reshape(2, 3) * W[:, None],
        X=(6,),
        W=(2,),
    ),
    "split by a size of another axis": case(
        "def f(X[layer], W[h]) -> [k, m] = X[layer -> (k = |h|, m)] + 0 * sum[h](W)",
        lambda X, W: X.reshape(3, 2),
        X=(6,),
        W=(3,),
    ),
    "split keeps the name": case("def f(X[a]) -> [a, b] = X[a -> (a = 2, b)]", lambda X: X.reshape(2, 3), X=(6,)),
    "split, the rest keeps the name": case(
        "def f(X[a]) -> [b, a] = X[a -> (b = 2, a)]", lambda X: X.reshape(2, 3), X=(6,)
    ),
    "split and merge back": case("def f(X[a]) -> [a] = X[a -> (b = 2, c)][(b, c) -> a]", lambda X: X, X=(6,)),
    "split and merge the other way": case(
        "def f(X[a]) -> [a] = X[a -> (b = 2, c)][(c, b) -> a]", lambda X: X.reshape(2, 3).T.reshape(6), X=(6,)
    ),
    "merge into a split": case(
        "def f(X[a, b]) -> [c, d] = X[(a, b) -> (c = 3, d)]", lambda X: X.reshape(3, 2), X=(2, 3)
    ),
    "split one and merge others at once": case(
        "def f(X[a, b, c]) -> [d, b, e] = X[a -> (d = 2, e), (b, c) -> b]",
        lambda X: X.reshape(2, 2, 6).transpose(0, 2, 1),
        X=(4, 2, 3),
    ),
    "split a size 1": case("def f(X[a]) -> [b, c] = X[a -> (b = 1, c)]", lambda X: X.reshape(1, 3), X=(3,)),
    # --- selections
    "select the first": case("def f(X[seq, c]) = X[seq = 0]", lambda X: X[0], X=(3, 2)),
    "select the last": case("def f(X[seq, c]) = X[seq = -1]", lambda X: X[-1], X=(3, 2)),
    "select from the end": case("def f(X[seq, c]) = X[seq = -3]", lambda X: X[-3], X=(3, 2)),
    "select two": case("def f(X[i, j, k]) = X[i = 1, k = -1]", lambda X: X[1, :, -1], X=(2, 3, 4)),
    "select by an option": Case(
        "def f(X[seq, c]; at = 0) = X[seq = at]", lambda X: X[2], {"X": (3, 2)}, options={"at": 2}
    ),
    "select by an option, from the end": Case(
        "def f(X[seq, c]; at = 0) = X[seq = at]", lambda X: X[-2], {"X": (3, 2)}, options={"at": -2}
    ),
    "select by a size": case("def f(X[seq, c]) = X[seq = |seq| // 2]", lambda X: X[2], X=(5, 2)),
    "select the last by its size": case("def f(X[seq, c]) = X[seq = |seq| - 1]", lambda X: X[-1], X=(5, 2)),
    # --- slices
    "slice": case("def f(X[seq, c]) = X[seq = 2:5]", lambda X: X[2:5], X=(8, 2)),
    "slice from the start": case("def f(X[seq]) = X[seq = :5]", lambda X: X[:5], X=(8,)),
    "slice to the end": case("def f(X[seq]) = X[seq = 3:]", lambda X: X[3:], X=(8,)),
    "slice from the end": case("def f(X[seq]) = X[seq = -3:]", lambda X: X[-3:], X=(8,)),
    "slice up to the end": case("def f(X[seq]) = X[seq = 1:-2]", lambda X: X[1:-2], X=(8,)),
    "slice with a step": case("def f(X[seq]) = X[seq = ::2]", lambda X: X[::2], X=(7,)),
    "slice with a step and ends": case("def f(X[seq]) = X[seq = 1:7:3]", lambda X: X[1:7:3], X=(8,)),
    "slice backwards": case("def f(X[seq]) = X[seq = ::-1]", lambda X: X[::-1], X=(5,)),
    "slice backwards with ends": case("def f(X[seq]) = X[seq = 6:1:-2]", lambda X: X[6:1:-2], X=(8,)),
    "slice everything": case("def f(X[seq]) = X[seq = :]", lambda X: X, X=(5,)),
    "slice by an option": Case("def f(X[seq]; n = 1) = X[seq = :n]", lambda X: X[:3], {"X": (5,)}, options={"n": 3}),
    "slice by a negative option": Case(
        "def f(X[seq]; n = 1) = X[seq = n:]", lambda X: X[-2:], {"X": (5,)}, options={"n": -2}
    ),
    "slice to half": case("def f(X[seq]) = X[seq = :|seq| // 2]", lambda X: X[:3], X=(7,)),
    "slice two axes": case("def f(X[i, j]) = X[i = 1:, j = :-1]", lambda X: X[1:, :-1], X=(3, 4)),
    "differences of neighbours": case("def f(X[t]) = X[t = 1:] - X[t = :-1]", lambda X: np.diff(X), X=(6,)),
    "slice and select": case("def f(X[i, j]) = X[i = -1, j = ::2]", lambda X: X[-1, ::2], X=(3, 5)),
    "halves swapped": case(
        "def f(X[d]) = concat[d](-X[d = |d| // 2:], X[d = :|d| // 2])",
        lambda X: np.concatenate([-X[3:], X[:3]]),
        X=(6,),
    ),
    # --- by coordinates
    "windows": case(
        "def f(X[seq, c]; W[kernel]) -> [seq, kernel, c] = X[seq = seq + kernel] + 0 * W",
        lambda X, W: windows(X, 3),
        X=(7, 2),
        W=(3,),
    ),
    "windows, their size given on the right": case(
        "def f(X[seq]) -> [seq, kernel]:\n  |kernel| = 3\n  return X[seq = seq + kernel]",
        lambda X: windows(X, 3),
        X=(7,),
    ),
    "strided windows": case(
        "def f(X[seq]; W[kernel]) -> [seq, kernel] = X[seq = 2 * seq + kernel] * W",
        lambda X, W: windows(X, 3, 2) * W,
        X=(8,),
        W=(3,),
    ),
    "dilated windows": case(
        "def f(X[seq]; W[kernel]) -> [seq, kernel] = X[seq = seq + 2 * kernel] * W",
        lambda X, W: windows(X, 3, 1, 2) * W,
        X=(8,),
        W=(3,),
    ),
    "windows by options": Case(
        "def f(X[seq]; W[kernel], s = 1, d = 1) -> [seq] = X[seq = s * seq + d * kernel] @[kernel] W",
        lambda X, W: windows(X, 3, 3, 2) @ W,
        {"X": (12,), "W": (3,)},
        options={"s": 3, "d": 2},
    ),
    "a convolution written out": case(
        "def f(X[c, seq]; W[c', c, k]) -> [c', seq] = W @[c, k] X[seq = seq + k]",
        lambda X, W: np.einsum("ock,skc->os", W, windows(X.T, 3)),
        X=(2, 7),
        W=(4, 2, 3),
    ),
    "windows of two axes": case(
        "def f(X[h, w]; W[a, b]) -> [h, w] = W @[a, b] X[h = h + a, w = 2 * w + b]",
        lambda X, W: np.einsum(
            "hawb,ab->hw", np.moveaxis(windows(windows(X, 2).transpose(2, 0, 1), 3, 2), (0, 1), (2, 3)), W
        ),
        X=(4, 7),
        W=(2, 3),
    ),
    "an offset": case("def f(X[seq]) = X[seq = seq + 2]", lambda X: X[2:], X=(6,)),
    "an offset and a stride": case("def f(X[seq]) = X[seq = 2 * seq + 1]", lambda X: X[1::2], X=(6,)),
    "every third": case("def f(X[seq]) = X[seq = 3 * seq]", lambda X: X[::3], X=(8,)),
    "a stride of a size": case(
        "def f(X[seq]; W[k]) -> [seq, k] = X[seq = |k| * seq + k] * W",
        lambda X, W: X[:6].reshape(2, 3) * W,
        X=(7,),
        W=(3,),
    ),
    "backwards": case("def f(X[seq]) = X[seq = |seq| - 1 - seq]", lambda X: X[::-1], X=(5,)),
    "each element k times": case("def f(X[seq]) = X[seq = seq // 3]", lambda X: np.repeat(X, 3), X=(4,)),
    "each element k times, by an option": Case(
        "def f(X[seq]; k = 1) = X[seq = seq // k]", lambda X: np.repeat(X, 2), {"X": (4,)}, options={"k": 2}
    ),
    "upsampling an image": case(
        "def f(X[h, w]) = X[h = h // 2, w = w // 3]", lambda X: np.repeat(np.repeat(X, 2, 0), 3, 1), X=(2, 2)
    ),
    "the diagonal": case("def f(A[i, i']) = A[i' = i]", lambda A: np.diagonal(A), A=(3, 3)),
    "the diagonal, lifted": case("def f(A[i, i', c]) = A[i' = i]", lambda A: np.einsum("iic->ic", A), A=(3, 3, 2)),
    "a trace": case("def f(A[i, i']) = sum[i](A[i' = i])", lambda A: np.trace(A), A=(3, 3)),
    "next to the diagonal": Case(
        "def f(A[i, j]) -> [i] = A[j = i + 1]", lambda A: np.array([A[k, k + 1] for k in range(3)]), {"A": (3, 4)}
    ),
    "differences of coordinates": case(
        "def f(B[d], X[i, j]) -> [i, j] = X + B[d = i - j + |j| - 1]",
        lambda B, X: X + np.array([[B[i - j + 3] for j in range(4)] for i in range(3)]),
        B=(6,),
        X=(3, 4),
    ),
    "a transposition": case("def f(X[i, j]) -> [i, j] = X[i = j, j = i]", lambda X: X.T, X=(3, 3)),
    "a skew": case(
        "def f(X[i, j]) -> [i, j] = X[i = i + j]",
        lambda X: np.array([[X[i + j, j] for j in range(3)] for i in range(3)]),
        X=(5, 3),
    ),
    "from the other end": case("def f(X[i]) = X[i = 5 - i]", lambda X: X[::-1], X=(6,)),
    "a Toeplitz matrix": case(
        "def f(X[t], W[k]) -> [t, k] = X[t = t - k; fill = 0] * W",
        lambda X, W: np.array([[X[t - k] if t >= k else 0 for k in range(3)] for t in range(5)]) * W,
        X=(5,),
        W=(3,),
    ),
    "a shift of two axes": case(
        "def f(X[h, w]) = X[h = h - 1, w = w + 1; fill = 0]",
        lambda X: np.pad(X, ((1, 0), (0, 1)))[:-1, 1:],
        X=(3, 4),
    ),
    "another axis's coordinates": case(
        "def f(E[pos, c], X[seq, c]) -> [seq, c] = X + E[pos = seq]", lambda E, X: X + E[:4], E=(6, 3), X=(4, 3)
    ),
    "computed coordinates": case("def f(X[seq]) = X[seq = (seq + 2) % |seq|]", lambda X: np.roll(X, -2), X=(5,)),
    "squares": case(
        "def f(X[i], Y[j]) -> [j] = Y * X[i = j * j]", lambda X, Y: Y * X[np.arange(3) ** 2], X=(5,), Y=(3,)
    ),
    # --- by integers
    "embedding": case(
        "def f(E[vocab, d], I[seq]) -> [seq, d] = E[vocab = I]", lambda E, ids: E[ids], E=(5, 3), I=IDS[0]
    ),
    "embedding of a batch": case(
        "def f(E[vocab, d], I[b, s]) -> [b, s, d] = E[vocab = I]", lambda E, ids: E[ids], E=(5, 3), I=IDS
    ),
    "gather": case("def f(X[i, c], I[k]) -> [k, c] = X[i = I]", lambda X, ids: X[ids], X=(5, 2), I=[4, 0, 0]),
    "take along an axis": case(
        "def f(X[b, i], I[b, k]) -> [b, k] = X[i = I]", lambda X, ids: np.take_along_axis(X, ids, 1), X=(2, 5), I=IDS
    ),
    "take along, into the same axis": case(
        "def f(X[b, i], I[b, i]) -> [b, i] = X[i = I]",
        lambda X, ids: np.take_along_axis(X, ids, 1),
        X=(2, 3),
        I=IDS % 3,
    ),
    "take one of each row": case("def f(X[b, c], I[b]) = X[c = I]", lambda X, ids: X[[0, 1], ids], X=(2, 5), I=[3, 1]),
    "two indices at once": case(
        "def f(X[i, j, c], I[k], J[k]) -> [k, c] = X[i = I, j = J]",
        lambda X, ids, J: X[ids, J],
        X=(3, 4, 2),
        I=[0, 2],
        J=[3, 1],
    ),
    "two indices, outer": case(
        "def f(X[i, j], I[a], J[b]) -> [a, b] = X[i = I, j = J]",
        lambda X, ids, J: X[np.ix_(ids, J)],
        X=(3, 4),
        I=[0, 2],
        J=[3, 1, 1],
    ),
    "an index and a slice": case(
        "def f(X[i, j], I[a]) -> [a, j] = X[i = I, j = 1:3]", lambda X, ids: X[ids][:, 1:3], X=(3, 4), I=[2, 0]
    ),
    "an index by an expression": case(
        "def f(X[i], I[k]) -> [k] = X[i = (I + k) % |i|]",
        lambda X, ids: X[(ids + np.arange(3)) % 5],
        X=(5,),
        I=[4, 0, 2],
    ),
    "a scalar index": case("def f(X[i, c], n[]) = X[i = n]", lambda X, n: X[2], X=(4, 2), n=np.array(2)),
    "integers gathered stay integers": case(
        "def f(X[i], I[k]) -> [k] = X[i = I]", lambda X, ids: X[ids], X=[5, 6, 7], I=[2, 0]
    ),
    "an index and a rename": case(
        "def f(X[i, j], I[a]) -> [a, k] = X[i = I, j -> k]", lambda X, ids: X[ids], X=(3, 2), I=[2, 0, 1]
    ),
    # --- fill
    "a shift": case("def f(X[t, c]) = X[t = t - 1; fill = 0]", lambda X: np.vstack([0 * X[:1], X[:-1]]), X=(4, 2)),
    "a shift the other way": case(
        "def f(X[t]) = X[t = t + 2; fill = -1]", lambda X: np.concatenate([X[2:], [-1, -1]]), X=(5,)
    ),
    "a shift by an option": Case(
        "def f(X[t]; n = 1) = X[t = t - n; fill = 0]",
        lambda X: np.concatenate([[0, 0], X[:-2]]),
        {"X": (5,)},
        options={"n": 2},
    ),
    "a quotient, filled, where the size stays": case(
        "def f(X[t]) = X[t = t // 2; fill = 0]", lambda X: X[np.arange(5) // 2], X=(5,)
    ),
    "a shift filled with an infinity": case(
        "def f(X[t]) = X[t = t - 1; fill = -inf]", lambda X: np.concatenate([[-np.inf], X[:-1]]), X=(4,)
    ),
    "a gather with a fill": case(
        "def f(X[i], I[k]) -> [k] = X[i = I; fill = 9]",
        lambda X, ids: np.array([X[0], 9, 9, X[2]]),
        X=(3,),
        I=[0, 3, -1, 2],
    ),
    "a fill by an option": Case(
        "def f(X[i], I[k]; v = 0) -> [k] = X[i = I; fill = v]",
        lambda X, ids: np.array([1.5, X[1]]),
        {"X": (3,), "I": [7, 1]},
        options={"v": 1.5},
    ),
    "neighbours in a window, filled": case(
        "def f(X[t]; W[k]) -> [t] = W @[k] X[t = t + k - 1; fill = 0]",
        lambda X, W: np.convolve(np.pad(X, 1), W[::-1], "valid"),
        X=(5,),
        W=(3,),
    ),
    # --- sizes 0 and 1
    "slice to nothing": case("def f(X[i, c]) = X[i = 2:2]", lambda X: X[2:2], X=(3, 2)),
    "gather of nothing": case("def f(X[i], I[k]) -> [k] = X[i = I]", lambda X, ids: X[ids], X=(3,), I=np.zeros(0, int)),
    "select of size 1": case("def f(X[i, c]) = X[i = -1]", lambda X: X[0], X=(1, 2)),
    "lifted": case("def f(X[i]) -> [j] = X[i = 1:][i -> j]", lambda X: X[:, 1:], X=(2, 4)),
}


@pytest.mark.parametrize("row", INDICES.values(), ids=INDICES)
def test_index(row: Case) -> None:
    row.check()


ERRORS = {
    "no such axis to rename": ("def f(X[seq]) = X[sec -> t]", {"X": (3,)}, "seq"),
    "a rename onto an axis of the value": ("def f(X[a, b]) = X[a -> b]", {"X": (3, 2)}, "b"),
    "no such axis to index": ("def f(X[seq], Y[c]) = X[c = 0] + Y", {"X": (3,), "Y": (2,)}, "c"),
    "an axis indexed twice": ("def f(X[a]) = X[a = 0, a = 1]", {"X": (3,)}, "a"),
    "a split without sizes": ("def f(X[a]) -> [b, c] = X[a -> (b, c)]", {"X": (6,)}, "a"),
    "a split that does not divide": ("def f(X[a]) -> [b, c] = X[a -> (b = 4, c)]", {"X": (6,)}, "a"),
    "a split whose sizes disagree": ("def f(X[a]) -> [b, c] = X[a -> (b = 4, c = 2)]", {"X": (6,)}, "a"),
    "a selection out of range": ("def f(X[a]) = X[a = 3]", {"X": (3,)}, "a"),
    "a selection before the start": ("def f(X[a]) = X[a = -4]", {"X": (3,)}, "a"),
    "two new axes without a size": ("def f(X[a]) -> [a, k] = X[a = a + k]", {"X": (6,)}, "k"),
    "a shift out of range": ("def f(X[t]) = X[t = t - 1]", {"X": (6,)}, "t"),
    "an index that is real": ("def f(X[a]) -> [b] = X[a = 0.5 * b]", {"X": (6,)}, "integer"),
    "an index that leaves the axis": ("def f(X[a]) = X[a = 5 - a]", {"X": (5,)}, "a"),
    "a gather out of range": ("def f(X[a], I[k]) -> [k] = X[a = I]", {"X": (3,), "I": [0, 3]}, "a"),
    "a gather before the start": ("def f(X[a], I[k]) -> [k] = X[a = I]", {"X": (3,), "I": [0, -1]}, "a"),
    "an index that is rounded, not an integer": (
        "def f(X[a], Y[b]) -> [b] = X[a = floor(Y / 2)]",
        {"X": (6,), "Y": (2,)},
        "integer",
    ),
    "a coordinate that is rounded": ("def f(X[a]) -> [b] = X[a = round(0.5 * index[b = 3])]", {"X": (3,)}, r"int\(…\)"),
    "a window longer than its axis": ("def f(X[a]; W[k]) -> [a] = W @[k] X[a = a + k]", {"X": (3,), "W": (5,)}, "a"),
}


@pytest.mark.parametrize(("text", "inputs", "word"), ERRORS.values(), ids=ERRORS)
def test_what_an_index_refuses(text: str, inputs: dict, word: str) -> None:
    arrays = {key: np.zeros(one) if isinstance(one, tuple) else np.asarray(one) for key, one in inputs.items()}
    with pytest.raises(FormulaError, match=word):
        check(text, arrays, np.zeros(()))
