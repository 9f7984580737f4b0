"""What formulas do, as data: the rows of the table in docs/support.md.

A row is a formula with example inputs. Each is tried in every column of `columns.py`, and is expected to work there
unless `no` says why it does not; then it is expected to fail with these words. So no cell can be wrong for long.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.examples import Given, booleans, indices, reals


@dataclass(frozen=True)
class No:
    """Why a column does not work, for the page, and what the error says (a regular expression)."""

    reason: str
    says: str


@dataclass(frozen=True)
class Feature:
    """A row. Each axis has two sizes: those of the first call, and those of a second one with nothing made anew."""

    name: str
    formula: str
    inputs: Mapping[str, Given]
    sizes: Mapping[str, tuple[int, int]]
    options: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {})
    no: Mapping[str, No] = field(default_factory=dict)

    def sizes_of(self, call: int) -> dict[str, int]:
        return {axis: sizes[call] for axis, sizes in self.sizes.items()}


# --- reasons that several rows share ----------------------------------------------------------------------------------


def not_in_onnx(operation: str) -> dict[str, No]:
    return {"onnx": No(f"torch has no ONNX translation of `{operation}`", re.escape(operation))}


NO_ORDER = {"complex": No("complex numbers have no order", "NL0211")}
NO_GRADIENT = dict.fromkeys(
    ("grad", "jvp", "double"), No("the result is a whole number or a truth value", "not real numbers")
)
NO_GROUPS = {
    "onnx": No(
        "the number of groups is a constant in ONNX: leave that dimension static, or fix it in the text (next row)",
        "Unsupported attribute type",
    )
}
ONE_SIZE = {
    "compile": No(
        "torch's gradient of `cumprod` is compiled anew for each size; without gradients it is not", "mismatch"
    )
}
CONSTANT = dict.fromkeys(
    ("export", "onnx"),
    No("a Python number is a constant of the exported program: declare a scalar tensor (next row)", "not close"),
)

TRACED_SCAN = {
    "onnx": No(
        "a scan over a dimension that is dynamic is one operator of this package, which ONNX does not know: leave that "
        "dimension static, and its steps are exported one by one (next row)",
        "namedlayers.scan",
    )
}
TRACED_NETWORK = {"onnx": replace(TRACED_SCAN["onnx"], says="namedlayers.network")}
TRACED_RECURRENCE = {"onnx": replace(TRACED_SCAN["onnx"], says="namedlayers.recurrence")}
DRAWS = {"vmap": No('`vmap` asks what random numbers are to do: `vmap(f, randomness="different")`', "randomness")}

# --- rows -------------------------------------------------------------------------------------------------------------

POSITIVE = "X @[k] conj(X)[i -> j] + eye[i, j]"
"""A positive definite matrix, Hermitian for complex X."""

A, B, C = (2, 3), (3, 4), (4, 6)
SEQ, KEY, VAL = (5, 7), (4, 6), (6, 5)

GROUPS: Mapping[str, tuple[Feature, ...]] = {
    "Elementwise": (
        Feature(
            "arithmetic, functions",
            "def f(X[a, b], y[b]) = tanh(X + y) * X ^ 2 - exp(-abs(X)) / (1 + y ^ 2)",
            {"X": reals("a b"), "y": reals("b")},
            {"a": A, "b": B},
        ),
        Feature(
            "activations",
            "def f(X[a]) = gelu(X) + silu(X) * softplus(X) - relu(X)",
            {"X": reals("a")},
            {"a": (4, 6)},
            no=NO_ORDER,
        ),
        Feature(
            "comparisons, `where`, `clip`",
            "def f(X[a], Y[a]) = where(X < Y and X > -1, minimum(X, 0.5), clip(Y, -0.5, 0.5))",
            {"X": reals("a"), "Y": reals("a")},
            {"a": (6, 9)},
            no=NO_ORDER,
        ),
    ),
    "Contractions": (
        Feature(
            "two operands",
            "def f(X[a, b, c], Y[a, c, d]) -> [a, b, d] = X @[c] Y",
            {"X": reals("a b c"), "Y": reals("a c d")},
            {"a": A, "b": B, "c": C, "d": (5, 2)},
        ),
        Feature(
            "many operands",
            "def f(W[a, b], X[b, c], Y[c, d], z[d]) -> [a] = W @[b] X @[c] Y @[d] z",
            {"W": reals("a b"), "X": reals("b c"), "Y": reals("c d"), "z": reals("d")},
            {"a": A, "b": B, "c": C, "d": (5, 2)},
        ),
        Feature(
            "a linear layer",
            "def f(X[seq, c]; W[d, c], bias[d]) -> [seq, d] = W @[c] X + bias",
            {"X": reals("seq c"), "W": reals("d c"), "bias": reals("d")},
            {"seq": SEQ, "c": C, "d": A},
        ),
    ),
    "Reductions": (
        Feature(
            "`sum`, `mean`, `prod`",
            "def f(X[a, b]) -> [a] = sum[b](X) - mean[b](X) * prod[b](X)",
            {"X": reals("a b")},
            {"a": A, "b": B},
        ),
        Feature(
            "`max`, `min`",
            "def f(X[a, b]) -> [a] = max[b](X) - 2 * min[b](X)",
            {"X": reals("a b")},
            {"a": A, "b": B},
            no=NO_ORDER,
        ),
        Feature("`logsumexp`", "def f(X[a, b]) -> [a] = logsumexp[b](X)", {"X": reals("a b")}, {"a": A, "b": B}),
        Feature(
            "`logsumexp` of an outer sum",
            "def f(X[a, b]; W[b, c]) -> [a, c] = logsumexp[b](X + W)",
            {"X": reals("a b"), "W": reals("b c")},
            {"a": A, "b": B, "c": A},
            no={
                "onnx": No(
                    "torch's exporter does not know this operator of ours; `namedlayers export` writes it out for ONNX",
                    "log_product",
                )
            },
        ),
        Feature(
            "`var`, `std`",
            "def f(X[a, b]) -> [a] = var[b](X) + std[b](X; ddof = 1)",
            {"X": reals("a b")},
            {"a": A, "b": B},
        ),
        Feature("`norm`", "def f(X[a, b]) -> [a] = norm[b](X)", {"X": reals("a b")}, {"a": A, "b": B}),
        Feature(
            "`argmax`, `argmin`",
            "def f(X[a, b]) -> [a] = argmax[b](X) + argmin[b](X)",
            {"X": reals("a b")},
            {"a": A, "b": B},
            no={**NO_ORDER, **NO_GRADIENT},
        ),
        Feature(
            "`any`, `all`",
            "def f(X[a, b]) -> [a] = any[b](X > 1) and not all[b](X > 0)",
            {"X": reals("a b")},
            {"a": A, "b": B},
            no={**NO_ORDER, **NO_GRADIENT},
        ),
    ),
    "Softmax": (
        Feature("`softmax`", "def f(X[a, b]) = softmax[b](X)", {"X": reals("a b")}, {"a": A, "b": B}),
        Feature(
            "`log_softmax`",
            "def f(X[a, b, c]) = log_softmax[a, c](X)",
            {"X": reals("a b c")},
            {"a": A, "b": B, "c": C},
        ),
        Feature(
            "cross entropy of class indices",
            "def f(X[a, b], I[a]) -> [] = -mean[a](log_softmax[b](X)[b = I])",
            {"X": reals("a b"), "I": indices("a", below="b")},
            {"a": SEQ, "b": B},
        ),
    ),
    "Attention": (
        Feature(
            "values wider than keys",
            "def f(Q[q, key], K[seq, key], V[seq, val]) -> [q, val] = softmax[seq](Q @[key] K / sqrt(|key|)) @[seq] V",
            {"Q": reals("q key"), "K": reals("seq key"), "V": reals("seq val")},
            {"q": A, "seq": SEQ, "key": KEY, "val": VAL},
        ),
        Feature(
            "values as wide as keys",
            "def f(Q[q, key], K[seq, key], V[seq, val]) -> [q, val] = softmax[seq](Q @[key] K / sqrt(|key|)) @[seq] V",
            {"Q": reals("q key"), "K": reals("seq key"), "V": reals("seq val")},
            {"q": A, "seq": SEQ, "key": KEY, "val": KEY},
        ),
        Feature(
            "masked",
            "def f(Q[h, q, key], K[h, seq, key], V[h, seq, val]; M[q, seq]) -> [h, q, val] :\n"
            "    return softmax[seq](where(M, Q @[key] K / sqrt(|key|), -inf)) @[seq] V",
            {"Q": reals("h q key"), "K": reals("h seq key"), "V": reals("h seq val"), "M": booleans("q seq")},
            {"h": A, "q": (3, 4), "seq": SEQ, "key": KEY, "val": KEY},
        ),
        Feature(
            "causal",
            "def f(Q[h, q, key], K[h, seq, key], V[h, seq, val]) -> [h, q, val] :\n"
            "    return softmax[seq](where(seq <= q, Q @[key] K / sqrt(|key|), -inf)) @[seq] V",
            {"Q": reals("h q key"), "K": reals("h seq key"), "V": reals("h seq val")},
            {"h": A, "q": (3, 4), "seq": SEQ, "key": KEY, "val": KEY},
        ),
        Feature(
            "several heads, from one projection",
            "def f(X[seq, d]; W[three = 3, heads, key, d], O[d, heads, key]) -> [seq, d]:\n"
            "    P = W @[d] X\n"
            "    Q = P[three = 0]\n"
            "    K = P[three = 1, seq -> seq']\n"
            "    V = P[three = 2, seq -> seq']\n"
            "    return O @[heads, key] (softmax[seq'](Q @[key] K / sqrt(|key|)) @[seq'] V)",
            {"X": reals("seq d"), "W": reals("three heads key d"), "O": reals("d heads key")},
            {"seq": SEQ, "d": C, "three": (3, 3), "heads": A, "key": (6, 4)},
        ),
    ),
    "Convolutions": (
        Feature(
            "one axis",
            "def f(X[c, seq]; W[d, c, k], bias[d]) -> [d, seq] = W @[c, k] unroll[seq, k](X) + bias",
            {"X": reals("c seq"), "W": reals("d c k"), "bias": reals("d")},
            {"c": A, "d": B, "seq": SEQ, "k": (4, 2)},
        ),
        Feature(
            "two axes, strided and padded",
            "def f(X[n, c, h, w]; W[d, c, kh, kw]) -> [n, d, h, w] :\n"
            "    return W @[c, kh, kw] unroll[h, w, kh, kw](X; stride = (2, 1), padding = 1)",
            {"X": reals("n c h w"), "W": reals("d c kh kw")},
            {"n": A, "c": C, "d": B, "h": (8, 9), "w": (7, 8), "kh": (5, 2), "kw": (6, 3)},
        ),
        Feature(
            '`padding = "same"`',
            'def f(X[c, seq]; W[d, c, k]) -> [d, seq] = W @[c, k] unroll[seq, k](X; padding = "same")',
            {"X": reals("c seq"), "W": reals("d c k")},
            {"c": A, "d": B, "seq": SEQ, "k": (4, 3)},
        ),
        Feature(
            "grouped",
            "def f(X[n, g, c, seq]; W[g, d, c, k]) -> [n, g, d, seq] = W @[c, k] unroll[seq, k](X; dilation = 2)",
            {"X": reals("n g c seq"), "W": reals("g d c k")},
            {"n": A, "g": (4, 2), "c": (3, 2), "d": (5, 3), "seq": (12, 9), "k": (6, 2)},
            no=NO_GROUPS,
        ),
        Feature(
            "depthwise, the channels fixed",
            "def f(X[n, c = 6, seq]; W[c, k]) -> [n, c, seq] = W @[k] unroll[seq, k](X)",
            {"X": reals("n c seq"), "W": reals("c k")},
            {"n": A, "c": (6, 6), "seq": SEQ, "k": (4, 3)},
        ),
        Feature(
            "transposed (`fold`)",
            "def f(X[c, seq]; W[c, d, k]) -> [d, seq] = fold[seq, k](W @[c] X; stride = 2)",
            {"X": reals("c seq"), "W": reals("c d k")},
            {"c": A, "d": B, "seq": SEQ, "k": (4, 3)},
        ),
    ),
    "Pools and windows": (
        Feature(
            "max pool",
            "def f(X[n, c, h, w]) -> [n, c, h, w] = max[kh, kw](pool[h, w, kh = 2, kw = 2](X))",
            {"X": reals("n c h w")},
            {"n": A, "c": B, "h": (4, 6), "w": (6, 8)},
            no=NO_ORDER,
        ),
        Feature(
            "mean pool, the rest padded",
            'def f(X[c, seq]) -> [c, seq] = mean[k](pool[seq, k = 3](X; remainder = "pad"))',
            {"X": reals("c seq")},
            {"c": A, "seq": (7, 11)},
        ),
        Feature(
            "windows that no kernel takes",
            "def f(X[c, seq]; W[c, k]) -> [c, seq] = max[k](abs(unroll[seq, k](X; stride = 2) - W))",
            {"X": reals("c seq"), "W": reals("c k")},
            {"c": A, "seq": (7, 10), "k": (3, 2)},
        ),
    ),
    "Norms": (
        Feature(
            "layer norm",
            "def f(X[seq, d]; g[d], bias[d]) = standardize[d](X) * g + bias",
            {"X": reals("seq d"), "g": reals("d"), "bias": reals("d")},
            {"seq": SEQ, "d": C},
        ),
        Feature(
            "batch norm, of the batch",
            "def f(X[n, c, seq]; g[c], bias[c]) -> [n, c, seq] = standardize[n, seq](X) * g + bias",
            {"X": reals("n c seq"), "g": reals("c"), "bias": reals("c")},
            {"n": A, "c": B, "seq": SEQ},
        ),
        Feature(
            "RMS norm",
            "def f(X[seq, d]; g[d]) -> [seq, d] = X / sqrt(mean[d](X ^ 2) + 1e-6) * g",
            {"X": reals("seq d"), "g": reals("d")},
            {"seq": SEQ, "d": C},
        ),
    ),
    "Indexing": (
        Feature(
            "embedding",
            "def f(I[seq]; E[v, d]) -> [seq, d] = E[v = I]",
            {"I": indices("seq", below="v"), "E": reals("v d")},
            {"seq": SEQ, "v": (6, 9), "d": C},
        ),
        Feature(
            "one-hot contraction",
            "def f(X[seq, d], I[seq], e[v]) -> [v, d] = X @[seq] one_hot[v](I) * e",
            {"X": reals("seq d"), "I": indices("seq", below="v"), "e": reals("v")},
            {"seq": SEQ, "v": (6, 9), "d": C},
        ),
        Feature(
            "cross entropy",
            "def f(Z[a, c], T[a]) -> [] = -mean[a](log_softmax[c](Z)[c = T])",
            {"Z": reals("a c"), "T": indices("a", below="c")},
            {"a": A, "c": B},
        ),
        Feature(
            "cross entropy, one-hot",
            "def f(Z[a, c], T[a]) -> [a] = -(one_hot[c](T) @[c] log_softmax[c](Z))",
            {"Z": reals("a c"), "T": indices("a", below="c")},
            {"a": A, "c": B},
        ),
        Feature(
            "rows by one-hot vectors",
            "def f(E[v, d], I[seq]) -> [seq, d] = one_hot[v](I) @[v] E",
            {"E": reals("v d"), "I": indices("seq", below="v")},
            {"seq": SEQ, "v": (6, 9), "d": C},
        ),
        Feature(
            "running sum by a mask",
            "def f(X[a, seq]) -> [a, seq]:\n    |t| = |seq|\n    return sum[t](where(t < seq, X[seq -> t], 0))",
            {"X": reals("a seq")},
            {"a": A, "seq": SEQ},
        ),
        Feature(
            "triangle of a matrix",
            "def f(X[i, j]) -> [i, j] = where(j <= i, X, 0)",
            {"X": reals("i j")},
            {"i": (3, 5), "j": (3, 5)},
        ),
        Feature(
            "take along an axis",
            "def f(X[a, b], I[a]) -> [a] = X[b = I]",
            {"X": reals("a b"), "I": indices("a", below="b")},
            {"a": A, "b": B},
        ),
        Feature(
            "computed index with `fill`",
            "def f(X[c, time]) -> [c, time] = X[time = time - 1; fill = 0] + X[time = 2 * time; fill = 1]",
            {"X": reals("c time")},
            {"c": A, "time": SEQ},
        ),
        Feature(
            "diagonal",
            "def f(X[i, j]) -> [i] = X[j = i]",
            {"X": reals("i j")},
            {"i": (3, 5), "j": (3, 5)},
        ),
    ),
    "Shapes": (
        Feature(
            "split, merge, rename",
            "def f(X[seq, d]) -> [e, seq] = X[d -> (h = 2, key)][(key, h) -> e]",
            {"X": reals("seq d")},
            {"seq": SEQ, "d": (4, 6)},
        ),
        Feature(
            "select, slice",
            "def f(X[a, seq]) = X[seq = 1:] - X[seq = :-1] + X[seq = -1]",
            {"X": reals("a seq")},
            {"a": A, "seq": SEQ},
        ),
        Feature(
            "`flip`, `roll`",
            "def f(X[a, seq]) = flip[seq](X) - roll[seq](X; shift = 2)",
            {"X": reals("a seq")},
            {"a": A, "seq": SEQ},
        ),
        Feature(
            "`concat`, `stack`",
            "def f(X[a, b], Y[c, b]) -> [pair, a, b] = stack[pair](concat[a](X, Y[c -> a]), concat[a](Y[c -> a], -X))",
            {"X": reals("a b"), "Y": reals("c b")},
            {"a": A, "b": B, "c": C},
        ),
        Feature(
            "`pad`, a value",
            "def f(X[a, seq]) = pad[seq](X; before = 1, after = 2, value = 0.5)",
            {"X": reals("a seq")},
            {"a": A, "seq": SEQ},
        ),
        Feature(
            '`pad`, `"circular"`, `"reflect"`, `"replicate"`',
            "def f(X[a, seq]) -> [a, seq]:\n"
            '    Y = pad[seq](X; before = 2, after = 1, mode = "circular")\n'
            '    Z = pad[seq](X; before = 1, after = 2, mode = "reflect")\n'
            '    return Y * Z + pad[seq](X; before = 3, mode = "replicate")',
            {"X": reals("a seq")},
            {"a": A, "seq": SEQ},
        ),
    ),
    "Scans and order": (
        Feature("`cumsum`", "def f(X[a, seq]) = cumsum[seq](X)", {"X": reals("a seq")}, {"a": A, "seq": SEQ}),
        Feature(
            "`cumprod`",
            "def f(X[a, seq]) = cumprod[seq](X)",
            {"X": reals("a seq")},
            {"a": A, "seq": SEQ},
            no={**ONE_SIZE, **not_in_onnx("prims.prod")},
        ),
        Feature(
            "`cummax`, `cummin`",
            "def f(X[a, seq]) = cummax[seq](X) - cummin[a](X)",
            {"X": reals("a seq")},
            {"a": A, "seq": SEQ},
            no={**NO_ORDER, **not_in_onnx("aten.cummax")},
        ),
        Feature(
            "`logcumsumexp`",
            "def f(X[a, seq]) = logcumsumexp[seq](X)",
            {"X": reals("a seq")},
            {"a": A, "seq": SEQ},
        ),
        Feature(
            "`sort`",
            "def f(X[a, seq]) = sort[seq](X; descending = True)",
            {"X": reals("a seq")},
            {"a": A, "seq": SEQ},
            no={**NO_ORDER, **not_in_onnx("aten.sort.stable")},
        ),
        Feature(
            "`argsort`, `topk`",
            "def f(X[a, seq]) -> [a, k] = topk[seq, k = 2](X) + argsort[seq](X)[seq = 0]",
            {"X": reals("a seq")},
            {"a": A, "seq": SEQ},
            no={**NO_ORDER, **NO_GRADIENT, **not_in_onnx("aten.sort.stable")},
        ),
        Feature(
            "the largest values, by their places",
            "def f(X[a, seq]) -> [a, k] = X[seq = topk[seq, k = 2](X)]",
            {"X": reals("a seq")},
            {"a": A, "seq": SEQ},
            no={**NO_ORDER, **not_in_onnx("aten.sort.stable")},
        ),
    ),
    "Blocks": (
        Feature(
            "`scan`",
            "def f(X[a, t, h]; W[h, h'], h0[h] = 0) -> [a, t, h]:\n"
            "    scan t with h = h0:\n"
            "        h = sin((W @[h] h)[h' -> h] / 8) + X\n"
            "    return h",
            {"X": reals("a t h"), "W": reals("h h")},
            {"a": A, "t": SEQ, "h": B},
            no=TRACED_SCAN,
        ),
        Feature(
            "`scan` of a fixed length",
            "def f(X[a, h]; W[h, h']) -> [a, h]:\n"
            "    scan step = 5 with h = X:\n"
            "        h = sin((W @[h] h)[h' -> h] / 8) + X\n"
            "    return h[step = -1]",
            {"X": reals("a h"), "W": reals("h h")},
            {"a": A, "h": B},
        ),
        Feature(
            "`scan reversed`, two carried values, the last step",
            "def f(X[a, t]) -> [a], [a, t]:\n"
            "    scan t reversed with c = X[t = -1], h = 1:\n"
            "        c = sigmoid(X + h) * c\n"
            "        h = sin(c / 4) * h + X\n"
            "    return c[t = 0], h",
            {"X": reals("a t")},
            {"a": A, "t": SEQ},
            no=TRACED_SCAN,
        ),
        Feature(
            "a `scan` that torch has a kernel for",
            "def f(X[a, t, i], h0[a, h], c0[a, h]; W[rows, i], U[rows, h], b[rows]) -> [a, t, h], [a, h]:\n"
            "    scan t with h = h0, c = c0:\n"
            "        g = (W @[i] X + U @[h] h + b)[rows -> (gate = 4, h)]\n"
            "        c = sigmoid(g[gate = 1]) * c + sigmoid(g[gate = 0]) * tanh(g[gate = 2])\n"
            "        h = sigmoid(g[gate = 3]) * tanh(c)\n"
            "    return h, c[t = -1]",
            {
                "X": reals("a t i"),
                "h0": reals("a h"),
                "c0": reals("a h"),
                "W": reals("rows i"),
                "U": reals("rows h"),
                "b": reals("rows"),
            },
            {"a": A, "t": SEQ, "i": (6, 8), "h": B, "rows": (12, 16)},
            no=TRACED_NETWORK,
        ),
        Feature(
            "a linear `scan`",
            "def f(X[a, t], Y[a, t], h0[a]) -> [a, t]:\n"
            "    scan t with h = h0:\n"
            "        h = X * h / 4 + Y\n"
            "    return h",
            {"X": reals("a t"), "Y": reals("a t"), "h0": reals("a")},
            {"a": A, "t": SEQ},
            no=TRACED_RECURRENCE,
        ),
        Feature(
            "`repeat`",
            "def f(X[a, b]; W[b, c]) -> [a, b]:\n"
            "    repeat 12:\n"
            "        X = X + sin(X @[b] W / 8) @[c] W / 8\n"
            "    return X",
            {"X": reals("a b"), "W": reals("b c")},
            {"a": A, "b": B, "c": C},
        ),
    ),
    "Random numbers (draws that the result does not depend on)": (
        Feature(
            "`uniform`, `normal`, `bernoulli`",
            "def f(X[a, b]) -> [a, b]:\n"
            "    U = uniform[a, b]\n"
            "    within = U >= 0 and U <= 1\n"
            "    return where(within or bernoulli(U), X, nan) + 0 * normal[a, b]",
            {"X": reals("a b")},
            {"a": A, "b": C},
            no=DRAWS,
        ),
        Feature(
            "`categorical`",
            "def f(X[a, b]) -> [a] = X[b = categorical[b](where(b == 1, 0, -inf) + 0 * abs(X))]",
            {"X": reals("a b")},
            {"a": A, "b": C},
            no=DRAWS,
        ),
        Feature(
            "`dropout` while training",
            "def f(X[a, b]; training = True) -> [a, b]:\n"
            "    Y = dropout(X; p = 0.5)\n"
            "    return where(Y == 0, X, Y / 2)",
            {"X": reals("a b")},
            {"a": A, "b": C},
            no=DRAWS,
        ),
        Feature(
            "draws in a scan",
            "def f(X[t, h]) -> [t, h]:\n"
            "    scan t with h = X[t = 0]:\n"
            "        U = uniform[h] * exp(-abs(h))\n"
            "        h = where(bernoulli(U) or U >= 0, sin(h) + X, nan)\n"
            "    return h",
            {"X": reals("t h")},
            {"t": SEQ, "h": B},
            no={**DRAWS, **TRACED_SCAN},
        ),
    ),
    "Fourier and linear algebra": (
        Feature(
            "`fft`, `ifft`",
            "def f(X[a, t]) -> [a, t] = real(ifft[w -> t](fft[t -> w](X) ^ 2))",
            {"X": reals("a t")},
            {"a": A, "t": SEQ},
            no=not_in_onnx("aten.pow"),
        ),
        Feature(
            "`inv`, `det`",
            f"def f(X[a, i, k]) -> [a, i, j]:\n    S = {POSITIVE}\n    return inv[i, j](S) * det[i, j](S)",
            {"X": reals("a i k")},
            {"a": C, "i": (2, 3), "k": (3, 3)},
            no=not_in_onnx("aten.linalg_inv_ex"),
        ),
        Feature(
            "`solve`",
            f"def f(X[a, i, k], b[a, i]) -> [a, j] = solve[i, j]({POSITIVE}, b)",
            {"X": reals("a i k"), "b": reals("a i")},
            {"a": C, "i": (2, 3), "k": (3, 3)},
            no=not_in_onnx("aten._linalg_solve_ex"),
        ),
        Feature(
            "`cholesky`",
            f"def f(X[a, i, k]) -> [a, i, j] = cholesky[i, j]({POSITIVE})",
            {"X": reals("a i k")},
            {"a": C, "i": (2, 3), "k": (3, 3)},
            no=not_in_onnx("aten.linalg_cholesky_ex"),
        ),
        Feature(
            "`eigh`",
            "def f(X[a, i, k]) -> [a, e], [a, i, e]:\n"
            f"    values, vectors = eigh[i, j -> e]({POSITIVE})\n"
            "    return values, abs(vectors)",
            {"X": reals("a i k")},
            {"a": C, "i": (2, 3), "k": (3, 3)},
            no=not_in_onnx("aten._linalg_eigh"),
        ),
        Feature(
            "`inv_sqrt`",
            f"def f(X[a, i, k]) -> [a, i, j] = inv_sqrt[i, j]({POSITIVE})",
            {"X": reals("a i k")},
            {"a": C, "i": (2, 3), "k": (3, 3)},
            no=not_in_onnx("aten._linalg_eigh"),
        ),
    ),
    "Coordinates": (
        Feature("a triangular mask", "def f(X[i, j]) = where(j <= i, X, 0)", {"X": reals("i j")}, {"i": A, "j": B}),
        Feature(
            "positions",
            "def f(X[seq, d]) -> [seq, d] = X + sin(seq / 100 ^ (d / |d|))",
            {"X": reals("seq d")},
            {"seq": SEQ, "d": C},
        ),
    ),
    "Calls": (
        Feature(
            "number at run time",
            "def f(X[a]; by = 1.0) = X * by",
            {"X": reals("a")},
            {"a": A},
            ({"by": 2.5}, {"by": 3.5}),
            no=CONSTANT,
        ),
        Feature("scalar tensor", "def f(X[a]; by[] = 1) = X * by", {"X": reals("a"), "by": reals("")}, {"a": A}),
        Feature(
            "static option",
            "def f(X[a]; n = 1, act = tanh) -> [a]:\n"
            "    Y = X\n"
            "    repeat n as i:\n"
            "        Y = act(Y + i) * 2\n"
            "    return Y",
            {"X": reals("a")},
            {"a": A},
            ({"n": 3}, {"n": 3}),
        ),
        Feature(
            "several results",
            "def f(X[a], Y[a]) -> [a], []:\n    return X + Y, X @[a] Y",
            {"X": reals("a"), "Y": reals("a")},
            {"a": A},
        ),
        Feature(
            "leading dimensions",
            "def f(X[a, b]) -> [b, a] = softmax[a](X)",
            {"X": reals("n a b")},
            {"n": (5, 4), "a": A, "b": B},
        ),
    ),
}

FEATURES: tuple[Feature, ...] = tuple(feature for group in GROUPS.values() for feature in group)
