"""The printer: programs as text that parses back to the same graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from namedlayers.program import spelling
from namedlayers.program.elaborate import default_spec, elaborate
from namedlayers.program.namespace import load_text
from namedlayers.program.numbering import number
from namedlayers.program.primitives import PRIMITIVES
from namedlayers.program.printed_primitives import FORMS
from namedlayers.program.printed_runs import RUNS
from namedlayers.program.printer import print_program, spec_of
from namedlayers.program.program import Kind, Program
from namedlayers.program.size import symbol
from namedlayers.program.terms import BINARY, REDUCE, UNARY
from namedlayers.program.verify import verify_graph, verify_program
from namedlayers.reference import evaluate
from tests.program.drawing import drawn
from tests.programs import INT, Builder


def program(text: str) -> Program:
    """The program of the last definition, called with exactly its axes."""
    namespace = load_text(text)
    definition = list(namespace.definitions.values())[-1]
    return elaborate(namespace, definition, default_spec(namespace, definition))


def again(text: str, first: Program) -> Program:
    """The program of a printed text."""
    namespace = load_text(text)
    *_, definition = namespace.definitions.values()
    return elaborate(namespace, definition, spec_of(first))


GOLDEN = {
    """
    def attention(Q[query, key], K[seq, key], V[seq, val]; M[query, seq] = 0) -> [query, val]:
        scores = Q @[key] K / sqrt(|key|) + M
        return softmax[seq](scores) @[seq] V
    """: """
    def attention(Q[query, key], K[seq, key], V[seq, val]) -> [query, val]:
        scores = Q @[key] K / sqrt(|key|) + 0
        result = exp(scores - logsumexp[seq](scores)) @[seq] V
        return result
    """,
    """
    def conv1d(X[chans, seq]; W[chans', chans, kernel], b[chans']) -> [chans', seq]:
        return W @[chans, kernel] unroll[seq, kernel](X; stride = 2, padding = 1) + b
    """: """
    def conv1d(X[chans, seq]; W[chans', chans, kernel], b[chans']) -> [chans', seq]:
        padded = pad[seq](X; before = 1, after = 1)
        padded_2 = padded[seq = 2 * seq + kernel]
        result = W @[chans, kernel] padded_2 + b
        return result
    """,
    """
    def maxpool1d[seq](X[seq]; k = 3) = max[kernel](pool[seq, kernel = k](X))
    """: """
    def maxpool1d[part](X[seq]) -> [seq]:
        |seq| = 3 * |part|
        |kernel| = 3
        X_2 = X[seq = 3 * seq + kernel]
        result = max[kernel](X_2)
        return result
    """,
    """
    def heads(X[seq, layer]) -> [seq, heads, key] = X[layer -> (heads = 8, key)]
    """: """
    def heads[key](X[seq, layer]) -> [seq, heads, key]:
        |layer| = 8 * |key|
        X_2 = X[layer -> (heads = 8, key = |key|)]
        return X_2
    """,
    """
    def two_windows(X[h], Y[h]) -> [h]:
        a = max[kernel](unroll[h, kernel = 3](X))
        b = max[kernel](unroll[h, kernel = 5](Y; padding = 1))
        return a + b
    """: """
    def two_windows(X[h], Y[h]) -> [h]:
        |kernel_2| = 3
        X_2 = X[h = h + kernel_2]
        a = max[kernel](X_2[kernel_2 -> kernel])
        padded = pad[h](Y; before = 1, after = 1)
        |kernel_3| = 5
        padded_2 = padded[h = h + kernel_3]
        b = max[kernel](padded_2[kernel_3 -> kernel])
        result = a + b
        return result
    """,
}


@pytest.mark.parametrize("text", GOLDEN, ids=lambda text: text.split("(")[0].split()[-1])
def test_golden(text: str) -> None:
    lines = GOLDEN[text].strip("\n").splitlines()
    assert print_program(program(text)).rstrip("\n").splitlines() == [line[4:] for line in lines[:-1]]


SCANS = [
    """
    def f(X[time, input], Wh[hidden, hidden'], Wi[input, hidden'], b[hidden'], h0[hidden]) -> [time, hidden]:
        scan time with h = h0:
            h = tanh(Wh @[hidden] h + Wi @[input] X + b)[hidden' -> hidden]
        return h
    """,
    """
    def f(X[time, i], W[i, j], h0[j]) -> [time, j], [j]:
        scan time reversed with h = h0, c = 0:
            gate = sigmoid(W @[i] X)
            c = c * gate + h
            h = tanh(c)
        return h, c[time = 0]
    """,
    """
    def f(X[time, row]) -> [time, row]:
        scan time with t = 0:
            scan row reversed with s = t:
                s = s + X
            t = max[row](s)
        return s
    """,
    """
    def f(X[time]) -> [time], [time]:
        scan time with a = 0, b = 1:
            c = a + b
            a = b
            b = c + X
        return a, b
    """,
    """
    def f(X[time]) -> [time], [time]:
        scan time with a = 0, b = 1:
            old = a
            a = b + X
            b = old
        return a, b
    """,
    """
    def f(X[time, input]) -> [time, input]:
        K = X[time -> seq]
        scan time with h = 0:
            h = h * 0.5 + softmax[seq](K @[input] X) @[seq] K
        return h
    """,
    """
    def f(X[n]):
        scan step = 10 with x = 0.5:
            x = 3.5 * x * (1 - x) + step
        return x[step = -1] + sum[n](X)
    """,
    """
    def f(X[t, i]) -> [t, i]:
        scan t with h = X[t = 0]:
            h = h + max[w](unroll[i, w = 3](X; padding = 1)) * i
        return h
    """,
    """
    def f(X[t, i]; p = 0.5) -> [i], [t]:
        Y = cumsum[i](X)
        scan i:
            m = mean[t](Y * X) * p
            k = i + |t|
        scan t with n = 0:
            n = n + |i|
        return m + k, n
    """,
    """
    def f(A[i, j], B[j, i]) -> [i, j], [j, i]:
        scan i with a = 0:
            a = a + A * B
        scan j with b = a[i = -1, j = 0]:
            b = b * A + B
        return a, b
    """,
    """
    def f(E[vocab, d], I[time]) -> [time, d]:
        scan time with h = E[vocab = 0]:
            h = (h + E[vocab = I]) / 2
        return h
    """,
    """
    def f(X[time, i]) -> [time, time', i]:
        Y = X[time -> time']
        scan time with h = 0:
            scan time' with g = h:
                g = g * 0.5 + X - Y
            h = sum[time'](g)
        return g
    """,
    """
    def f(X[t]) -> [t], [t]:
        scan t with h = 0.5:
            before = h
            h = tanh(h + X)
        return before, h
    """,
]

DRAWS = [
    """
    def f(X[t, i]) -> [t, i]:
        A = uniform[i] + normal[t, i] * bernoulli(sigmoid(X))
        B = bernoulli[t, i](0.5)
        return A + B + categorical[i](X)
    """,
    """
    def f(X[time, i]) -> [time, i]:
        scan time with h = 0:
            n = normal[i]
            h = h + n + X + normal[i]
        return h
    """,
    "def f(X[i]; p = 0.5) -> [i, n] = uniform[n = 3] * X + normal[i] * bernoulli[n = 3](p)",
]

FORMULAS = [
    *GOLDEN,
    "def f(X[h, w, c]) -> [layer] = X[(h, w, c) -> layer]",
    "def f(X[l]) -> [l] = X[l -> (h = 2, k)][(k, h) -> l]",
    "def f(E[vocab, d], I[n]) -> [n, d] = E[vocab = I]",
    "def f(E[vocab, d], I[n, vocab]) -> [n, vocab, d] = E[vocab = I]",
    "def f(X[a, b], I[b]) = X[a = I, b = b]",
    "def f(X[a, b], I[n], J[n]) -> [n] = X[a = I, b = J; fill = -inf]",
    "def f(X[a]) = X[a = a - 1; fill = 0]",
    "def f(X[a, b]) = standardize[a](X) + var[a](X; ddof = 1)",
    "def f(X[a]) = X[a = -1]",
    "def f(X[a]) = X[a = 2:8]",
    "def f(X[a]) = X[a = ::2]",
    "def f(X[a]) = X[a = 1::3]",
    "def f(X[a]) = X[a = 1:-1]",
    "def f(X[a]) = X[a = ::-1]",
    "def f(X[a]) = X[a = ::-2]",
    "def f(X[a]) = X[a = 5:1:-1]",
    "def f(X[a]) = X[a = :6:-2]",
    "def f(X[a]) = roll[a](flip[a](X); shift = 2)",
    "def f(A[i, i']) -> [i] = A[i' = i]",
    "def f(X[a, b]) -> [a, b] = X[a = b, b = a]",
    "def f(X[a]) -> [a] = X[a = a // 2]",
    "def f(X[a, b]) = gelu(silu(relu(sigmoid(softplus(X)))))",
    "def f(X[a]) = cumsum[a](X) + cumprod[a](X) + cummax[a](X) + cummin[a](X) + logcumsumexp[a](X)",
    "def f(X[a]) -> [k] = topk[a, k = 2](X)",
    "def f(X[a]) -> [k] = sort[a](X)[a -> k]",
    "def f(X[a, b]) -> [a] = argmax[b](X) + argmin[b](X)",
    "def f(X[a], Y[a]) = concat[a](X, Y, X)",
    "def f(X[a], Y[a]) -> [s, a] = stack[s](X, Y)",
    "def f(I[n]) -> [n, vocab] = one_hot[vocab = 5](I)",
    "def f(A[i, j], b[i, n]) -> [j, n] = solve[i, j](A, b)",
    "def f(A[i, j]) = det[i, j](A) + trace[i, j](inv[i, j](A))",
    "def f(X[seq]) -> [freq] = fft[seq -> freq](ifft[seq -> freq](X)[freq -> seq])",
    "def f(X[n, k]; W[k]) -> [n] = fold[n, k](X * W; stride = 2, padding = 1, output_padding = 1)",
    "def f(X[seq]) = where(seq <= 3, X, -inf)",
    "def f(X[seq]; p = 2.0) = X ^ p + finfo_eps(X)",
    'def f(X[h, w]) -> [h, w] = mean[kh, kw](pool[h, w, kh = 2, kw = 2](X; remainder = "drop"))',
    'def f(X[h]) -> [h] = max[kh](pool[h, kh = 3](X; remainder = "pad", value = -inf))',
    'def f(X[h]) -> [h, k] = unroll[h, k = 3](X; padding = "same")',
    'def f(X[h]) -> [h, k] = unroll[h, k = 3](X; padding = 1, mode = "reflect")',
    'def f(X[h]) -> [h, k] = unroll[h, k = 3](X; padding = 1, mode = "circular")',
    "def f(X[n], W[k]) -> [n] = W @[k] unroll[n, k](X; dilation = 2, padding = 4)",
    "def f(X[i]) -> [i, j] = X * X[i -> j]",
    "def f(X[i]) -> [i] = X * sum[j](X[i -> j] * X) + sum[i](X)",
    "def f(A[i], B[i], C[i]) = not (A < B and B < C) or A == C and not B >= 0",
    "def f(X[i]) = -X ^ 2 + (-X) ^ -2 - (X - (X - 1)) / (X / (X + 2))",
    "def f(X[i]) = abs(X * 1j + (1 + 2j)) * 0.1 - 1e300",
    "def f(i[n]) -> [n] = i * 2",
    "def f(seq[n]; p = 3) -> [n] = seq * p + n",
    "def f(X[t]) -> [t] = cumsum[t](X[t = 1:] - X[t = :-1])",
    "def f(X[a]) -> [a, b] = X + zeros[b = 4]",
    "def f(X[a]) -> [] = sum[a, b](X * ones[b = 4])",
    "def f(X[n], Y[m]):\n    require |n| == |m|\n    return X @[n] Y[m -> n]",
    "def f(X[n]):\n    require |n| > 2\n    return X / (|n| - 2)",
    "def f(X[a, b]) -> [a, b], []:\n    return X, norm[a, b](X)",
    "def f(X[a, b]) -> [b] = concat[b](X[a = 0], X[a = -1], pad[b](X[a = 1]; before = |a|, value = 7))",
    "def tanh(X[a]) = sum[a](exp(X))",
    "def f(X[b, t]; q = 0.5) = where(isnan(X), q, abs(X)) // 2 % 3",
    "def f(X[p, q]) -> [p, q, x, y]:\n    |x| = 2\n    |y| = 3\n    return X[p = p + x, q = 2 * q + 3 * y + 1]",
    "def f(X[p]) -> [q, r]:\n    |q| = 2\n    |r| = |p| - 1\n    return X[p = r - q + 1]",
    "def f(X[a]) -> [a] = X[a = 2:] * X[a = :-2] + logsumexp[b](X[a -> b])",
    *SCANS,
    *DRAWS,
]


@pytest.mark.parametrize("text", FORMULAS)
def test_what_is_printed_parses_back_to_the_same_graph(text: str) -> None:
    first = program(text)
    verify_program(first)
    second = again(print_program(first), first)
    verify_program(second)
    graphs = number(first), number(second)
    for graph in graphs:
        verify_graph(graph, first.checks)
    assert drawn(graphs[0]) == drawn(graphs[1])


@pytest.mark.parametrize("text", FORMULAS)
def test_what_is_printed_computes_the_same(text: str) -> None:
    first = program(text)
    second = again(print_program(first), first)
    torch.manual_seed(0)
    inputs = {given.name: _filled(given.kind, tuple(size.evaluate(_sizes(first)) for _, size in given.axes))
              for given in first.inputs}  # fmt: skip
    results = evaluate(first, inputs)
    torch.manual_seed(0)
    for one, other in zip(results, evaluate(second, inputs), strict=True):
        np.testing.assert_array_equal(one, other)


def _sizes(program: Program) -> dict[str, int]:
    """Sizes that suit all the formulas: all axes alike, but for those that multiply."""
    return dict.fromkeys(program.symbols, 9)


def _filled(kind: Kind, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(sum(shape))
    if kind is Kind.INT:
        return rng.integers(0, 9, shape)
    return rng.normal(size=shape)


# --- what the language would not write so -----------------------------------------------------------------------------


def by_hand() -> dict[str, Program]:
    """Programs that no text makes, but that later stages might."""
    n, m, k = symbol("n"), symbol("m"), symbol("k")
    made: dict[str, Program] = {}

    b = Builder()
    b.input("X", "n")
    b.let("Y", b.primitive("index", (b.ref("X"),), "n w", sizes={"n": n - k + 1, "w": k},
                           entries=(("n", (("n", 1), ("w", 1)), 0),)))  # fmt: skip
    b.input("W", "k")
    b.let("Z", b.mul(b.leaf("Y", w="k"), b.leaf("W")))
    made["windows under another name"] = b.program("Z")

    b = Builder()
    X = b.input("X", "n")
    b.let("inf", b.mul(X, float("inf")))
    b.let("Y", b.add(b.coord("n"), b.leaf("inf")))
    b.let("n", b.sum("n", b.mul(b.leaf("Y"), b.coord("n"))))
    b.let("Z", b.add(b.leaf("n"), b.sum("n", b.coord("n"))))
    made["values named like constants and axes"] = b.program("Z")

    b = Builder()
    b.input("X", "n m")
    b.input("I", "m", INT)
    b.let("Y", b.primitive("gather", (b.ref("X"), b.ref("I", m="n"), 0.5), "n m", axes=("n",), fill=True,
                           sizes={"n": m}))  # fmt: skip
    b.let("Z", b.exp(b.primitive("where", (b.ref("X"), b.ref("X"), 1), "n m", names="m n", sizes={"n": n, "m": m})))
    made["renamed operands and results"] = b.program("Y", "Z: n m")
    return made


@pytest.mark.parametrize("name", by_hand())
def test_programs_by_hand(name: str) -> None:
    first = by_hand()[name]
    verify_program(first)
    second = again(print_program(first), first)
    assert drawn(number(first)) == drawn(number(second))


# --- pieces -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [0, 7, -7, True, 0.0, -0.0, 0.1, -1e-300, 1e22, float("inf"), float("-inf"), 1j, -2.5j, 1 + 2j, -1.5 - 0.5j],
)
def test_literals_keep_their_bits(value: Any) -> None:
    b = Builder()
    b.let("Y", b.mul(b.input("X", "i", Kind.COMPLEX), value))
    first = b.program("Y")
    assert drawn(number(first)) == drawn(number(again(print_program(first), first)))


@pytest.mark.parametrize(
    ("piece", "text"),
    [
        (spelling.size(symbol("a") - symbol("b") + 1), "|a| - |b| + 1"),
        (spelling.binary("mul", spelling.Piece("a + b", spelling.SUM), spelling.Piece("c")), "(a + b) * c"),
        (spelling.binary("sub", spelling.Piece("a"), spelling.Piece("b - c", spelling.SUM)), "a - (b - c)"),
        (spelling.binary("pow", spelling.unary("neg", spelling.Piece("a")), spelling.literal(-1)), "(-a) ^ -1"),
        (spelling.unary("neg", spelling.binary("pow", spelling.Piece("a"), spelling.literal(2))), "-a ^ 2"),
        (spelling.unary("not", spelling.binary("and", spelling.Piece("a"), spelling.Piece("b"))), "not (a and b)"),
        (spelling.contraction(spelling.Piece("a * b", spelling.PRODUCT), "ij", spelling.Piece("c")), "a * b @[i, j] c"),
    ],
)
def test_brackets_stand_only_where_they_must(piece: spelling.Piece, text: str) -> None:
    assert piece.text == text


def test_every_primitive_can_be_printed() -> None:
    assert FORMS.keys() | RUNS.keys() | {"part"} == PRIMITIVES.keys()


def test_every_operation_can_be_printed() -> None:
    """All elementwise operations and reductions, each in one program."""
    b = Builder()
    X, Y = b.input("X", "i"), b.input("Y", "i")
    names = []
    for op in (*UNARY, *BINARY, *REDUCE):
        operands = (X,) if op in UNARY else (X, Y) if op in BINARY else ("i", X)
        name = f"{op}_of"
        names.append(name)
        b.let(name, getattr(b, f"{op}_")(*operands))
    first = b.program(*names)
    assert drawn(number(first)) == drawn(number(again(print_program(first), first)))
