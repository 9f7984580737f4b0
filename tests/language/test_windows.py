"""unroll, pool and fold with all their options; concat, stack and pad."""

from __future__ import annotations

import numpy as np
import pytest

from namedlayers.errors import FormulaError
from tests.helpers import Case, case, check
from tests.language.test_indexing import windows

MODES = {"circular": "wrap", "reflect": "reflect", "replicate": "edge"}


def folded(Y: np.ndarray, stride: int = 1, dilation: int = 1, padding: int = 0, output_padding: int = 0) -> np.ndarray:
    """The adjoint of windows of (place, coordinate in the window)."""
    places, width = Y.shape
    full = np.zeros(stride * (places - 1) + dilation * (width - 1) + 1 + output_padding)
    for s in range(places):
        for k in range(width):
            full[stride * s + dilation * k] += Y[s, k]
    return full[padding : len(full) - padding]


def unrolled(given: str, expected: object, width: int = 3, size: int = 8) -> Case:
    text = f"def f(X[seq]) -> [seq, kernel] = unroll[seq, kernel = {width}](X; {given})"
    return Case(text, expected, {"X": (size,)})  # type: ignore[arg-type]


WINDOWS = {
    "unroll": case(
        "def f(X[seq, c]) -> [seq, kernel, c] = unroll[seq, kernel = 3](X)", lambda X: windows(X, 3), X=(7, 2)
    ),
    "unroll, the size from another tensor": case(
        "def f(X[seq]; W[kernel]) -> [seq] = unroll[seq, kernel](X) @[kernel] W",
        lambda X, W: windows(X, 3) @ W,
        X=(7,),
        W=(3,),
    ),
    "unroll by a stride": unrolled("stride = 2", lambda X: windows(X, 3, 2)),
    "unroll by a dilation": unrolled("dilation = 2", lambda X: windows(X, 3, 1, 2)),
    "unroll by both": unrolled("stride = 3, dilation = 2", lambda X: windows(X, 3, 3, 2), 3, 12),
    "unroll with padding": unrolled("padding = 1", lambda X: windows(np.pad(X, 1), 3)),
    "unroll with unequal padding": unrolled("padding = (2, 0)", lambda X: windows(np.pad(X, (2, 0)), 3)),
    "unroll, same": unrolled('padding = "same"', lambda X: windows(np.pad(X, 1), 3)),
    "unroll, same with an even kernel": unrolled('padding = "same"', lambda X: windows(np.pad(X, (1, 2)), 4), 4),
    "unroll, same with a kernel of two": unrolled('padding = "same"', lambda X: windows(np.pad(X, (0, 1)), 2), 2),
    "unroll, same and dilated": unrolled('padding = "same", dilation = 3', lambda X: windows(np.pad(X, 3), 3, 1, 3)),
    "unroll, valid": unrolled('padding = "valid"', lambda X: windows(X, 3)),
    "unroll filled with a value": unrolled(
        "padding = 1, value = -2.5", lambda X: windows(np.pad(X, 1, constant_values=-2.5), 3)
    ),
    "unroll filled with an infinity": unrolled(
        "padding = 1, value = -inf", lambda X: windows(np.pad(X, 1, constant_values=-np.inf), 3)
    ),
    **{
        f"unroll, {mode}": unrolled(
            f'padding = 2, mode = "{mode}"', lambda X, m=numpy: windows(np.pad(X, 2, mode=m), 3)
        )
        for mode, numpy in MODES.items()
    },
    **{
        f"unroll, same, {mode}": unrolled(
            f'padding = "same", mode = "{mode}"', lambda X, m=numpy: windows(np.pad(X, (1, 2), mode=m), 4), 4
        )
        for mode, numpy in MODES.items()
    },
    "unroll with zeros by name": unrolled('padding = 2, mode = "zeros"', lambda X: windows(np.pad(X, 2), 3)),
    "unroll by options of the definition": Case(
        "def f(X[seq]; W[kernel], stride = 1, padding = 0, dilation = 1) -> [seq] = "
        "unroll[seq, kernel](X; stride = stride, padding = padding, dilation = dilation) @[kernel] W",
        lambda X, W: windows(np.pad(X, 2), 3, 2, 2) @ W,
        {"X": (9,), "W": (3,)},
        options={"stride": 2, "padding": 2, "dilation": 2},
    ),
    "unroll, same by an option": Case(
        "def f(X[seq]; W[kernel], padding = 0) -> [seq] = unroll[seq, kernel](X; padding = padding) @[kernel] W",
        lambda X, W: windows(np.pad(X, (1, 2)), 4) @ W,
        {"X": (9,), "W": (4,)},
        options={"padding": "same"},
    ),
    "unroll along two axes, options as tuples": case(
        "def f(X[h, w]; W[a, b]) -> [h, w] = unroll[h, w, a, b](X; stride = (2, 1), padding = (1, 0)) @[a, b] W",
        lambda X, W: np.einsum("hawb,ab->hw", two_windows(np.pad(X, ((1, 1), (0, 0))), (2, 3), (2, 1)), W),
        X=(5, 6),
        W=(2, 3),
    ),
    "unroll along two axes, one option for both": case(
        "def f(X[h, w]; W[a, b]) -> [h, w] = unroll[h, w, a, b](X; padding = 1) @[a, b] W",
        lambda X, W: np.einsum("hawb,ab->hw", two_windows(np.pad(X, 1), (2, 3), (1, 1)), W),
        X=(5, 6),
        W=(2, 3),
    ),
    "unroll along two axes, each padded unequally": case(
        "def f(X[h, w]) -> [h, w] = sum[a, b](unroll[h, w, a = 2, b = 2](X; padding = ((1, 0), (0, 2))))",
        lambda X: two_windows(np.pad(X, ((1, 0), (0, 2))), (2, 2), (1, 1)).sum((1, 3)),
        X=(4, 5),
    ),
    "unroll along two axes, one the same, one padded": case(
        'def f(X[h, w]) -> [h, w] = sum[a, b](unroll[h, w, a = 3, b = 2](X; padding = ("same", 1)))',
        lambda X: two_windows(np.pad(X, 1), (3, 2), (1, 1)).sum((1, 3)),
        X=(4, 5),
    ),
    "unroll along two axes, each in its mode": case(
        "def f(X[h, w]) -> [h, w] = sum[a, b](unroll[h, w, a = 3, b = 3]("
        'X; padding = 1, mode = ("circular", "reflect")))',
        lambda X: two_windows(
            np.pad(np.pad(X, ((1, 1), (0, 0)), mode="wrap"), ((0, 0), (1, 1)), mode="reflect"), (3, 3), (1, 1)
        ).sum((1, 3)),
        X=(4, 5),
    ),
    "pad two axes, each with its value": case(
        "def f(X[i, j]) = pad[i, j](X; after = 1, value = (2, 3))",
        lambda X: np.pad(np.pad(X, ((0, 1), (0, 0)), constant_values=2), ((0, 0), (0, 1)), constant_values=3),
        X=(2, 3),
    ),
    "unroll, a stride from a size": case(
        "def f(X[t]; W[k]) -> [t] = unroll[t, k](X; stride = |k|) @[k] W",
        lambda X, W: X.reshape(3, 2) @ W,
        X=(6,),
        W=(2,),
    ),
    "unroll, lifted": case(
        "def f(X[c, seq, d]) -> [seq, kernel, c, d] = unroll[seq, kernel = 2](X)",
        lambda X: windows(X.transpose(1, 0, 2), 2),
        X=(2, 5, 3),
    ),
    "unroll the whole axis": unrolled("stride = 1", lambda X: X[None], 5, 5),
    "moving averages": case("def f(X[t]) = mean[k](unroll[t, k = 3](X))", lambda X: windows(X, 3).mean(1), X=(8,)),
    # --- pool
    "pool": case("def f(X[seq, c]) -> [seq, k, c] = pool[seq, k = 2](X)", lambda X: X.reshape(3, 2, 2), X=(6, 2)),
    "max pool": case("def f(X[seq]) = max[k](pool[seq, k = 3](X))", lambda X: X.reshape(2, 3).max(1), X=(6,)),
    "mean pool, the size an option": Case(
        "def f(X[seq]; k) = mean[kernel](pool[seq, kernel = k](X))",
        lambda X: X.reshape(3, 2).mean(1),
        {"X": (6,)},
        options={"k": 2},
    ),
    "pool, remainder dropped": case(
        'def f(X[seq]) = max[k](pool[seq, k = 3](X; remainder = "drop"))', lambda X: X[:6].reshape(2, 3).max(1), X=(8,)
    ),
    "pool, remainder padded": case(
        'def f(X[seq]) = max[k](pool[seq, k = 3](X; remainder = "pad", value = -inf))',
        lambda X: np.pad(X, (0, 1), constant_values=-np.inf).reshape(3, 3).max(1),
        X=(8,),
    ),
    "pool, remainder padded with zeros": case(
        'def f(X[seq]) = sum[k](pool[seq, k = 3](X; remainder = "pad"))',
        lambda X: np.pad(X, (0, 2)).reshape(3, 3).sum(1),
        X=(7,),
    ),
    "pool, padded where nothing remains": case(
        'def f(X[seq]) = sum[k](pool[seq, k = 3](X; remainder = "pad"))', lambda X: X.reshape(2, 3).sum(1), X=(6,)
    ),
    "pool along two axes": case(
        "def f(X[h, w]) = max[a, b](pool[h, w, a = 2, b = 3](X))", lambda X: X.reshape(2, 2, 2, 3).max((1, 3)), X=(4, 6)
    ),
    "pool along two axes, lifted": case(
        "def f(X[c, h, w]) = mean[a, b](pool[h, w, a = 2, b = 2](X))",
        lambda X: X.reshape(5, 3, 2, 2, 2, 2).mean((3, 5)),
        X=(5, 3, 4, 4),
    ),
    "pool along two axes, dropped": case(
        'def f(X[h, w]) = max[a, b](pool[h, w, a = 2, b = 3](X; remainder = "drop"))',
        lambda X: X[:4, :6].reshape(2, 2, 2, 3).max((1, 3)),
        X=(5, 8),
    ),
    # --- fold
    "fold": case("def f(Y[seq, k]) = fold[seq, k](Y)", folded, Y=(4, 3)),
    "fold with a stride": case("def f(Y[seq, k]) = fold[seq, k](Y; stride = 2)", lambda Y: folded(Y, 2), Y=(4, 3)),
    "fold with a dilation": case(
        "def f(Y[seq, k]) = fold[seq, k](Y; dilation = 2)", lambda Y: folded(Y, 1, 2), Y=(4, 3)
    ),
    "fold with padding": case(
        "def f(Y[seq, k]) = fold[seq, k](Y; stride = 2, padding = 1)", lambda Y: folded(Y, 2, 1, 1), Y=(4, 3)
    ),
    "fold with output padding": case(
        "def f(Y[seq, k]) = fold[seq, k](Y; stride = 2, padding = 1, output_padding = 1)",
        lambda Y: folded(Y, 2, 1, 1, 1),
        Y=(4, 3),
    ),
    "fold with gaps": case("def f(Y[seq, k]) = fold[seq, k](Y; stride = 5)", lambda Y: folded(Y, 5), Y=(3, 2)),
    "fold, lifted": case(
        "def f(Y[c, seq, k]) -> [c, seq] = fold[seq, k](Y)", lambda Y: np.stack([folded(y) for y in Y]), Y=(2, 4, 3)
    ),
    "fold along two axes": case(
        "def f(Y[h, w, a, b]) -> [h, w] = fold[h, w, a, b](Y; stride = (2, 1))",
        lambda Y: fold2(Y, (2, 1)),
        Y=(2, 3, 2, 2),
    ),
    "a transposed convolution": case(
        "def f(X[c, t]; W[c, c', k]) -> [c', t] = fold[t, k](X @[c] W; stride = 2)",
        lambda X, W: np.stack([folded(np.einsum("ct,ck->tk", X, W[:, o]), 2) for o in range(3)]),
        X=(2, 4),
        W=(2, 3, 3),
    ),
    # --- concat, stack, pad
    "concat": case(
        "def f(A[i, j], B[i, j]) = concat[i](A, B)", lambda A, B: np.concatenate([A, B]), A=(2, 3), B=(2, 3)
    ),
    "concat of unequal sizes": case(
        "def f(X[i, j]) = concat[i](X[i = 1:], X[i = :1], X)", lambda X: np.concatenate([X[1:], X[:1], X]), X=(3, 2)
    ),
    "concat broadcasts": case(
        "def f(A[i, j], B[i]) -> [i, j] = concat[i](A, B)",
        lambda A, B: np.concatenate([A, np.broadcast_to(B[:, None], (2, 3))]),
        A=(2, 3),
        B=(2,),
    ),
    "concat of a renamed": case(
        "def f(A[i, c], B[j, c]) -> [i, c] = concat[i](A, B[j -> i])",
        lambda A, B: np.concatenate([A, B]),
        A=(2, 3),
        B=(4, 3),
    ),
    "concat of one": case("def f(A[i]) = concat[i](A)", lambda A: A, A=(2,)),
    "stack": case("def f(A[i], B[i]) -> [k, i] = stack[k](A, B)", lambda A, B: np.stack([A, B]), A=(3,), B=(3,)),
    "stack broadcasts": case(
        "def f(A[i], B[j]) -> [k, i, j] = stack[k](A, B, 0)",
        lambda A, B: np.stack([A[:, None] + 0 * B, B + 0 * A[:, None], np.zeros((2, 3))]),
        A=(2,),
        B=(3,),
    ),
    "stack of scalars": case(
        "def f(a[], b[]) -> [k] = stack[k](a, b, 1)", lambda a, b: np.array([a, b, 1]), a=(), b=()
    ),
    "pad before and after": case("def f(X[i]) = pad[i](X; before = 1, after = 2)", lambda X: np.pad(X, (1, 2)), X=(3,)),
    "pad with a value": case(
        "def f(X[i]) = pad[i](X; before = 2, value = 7)", lambda X: np.pad(X, (2, 0), constant_values=7), X=(3,)
    ),
    **{
        f"pad, {mode}": case(
            f'def f(X[i]) = pad[i](X; before = 2, after = 1, mode = "{mode}")',
            lambda X, m=numpy: np.pad(X, (2, 1), mode=m),
            X=(4,),
        )
        for mode, numpy in MODES.items()
    },
    "pad two axes": case("def f(X[i, j]) = pad[i, j](X; before = 1)", lambda X: np.pad(X, ((1, 0), (1, 0))), X=(2, 3)),
    "pad two axes, each its own": case(
        "def f(X[i, j]) = pad[i, j](X; before = (1, 0), after = (0, 2))",
        lambda X: np.pad(X, ((1, 0), (0, 2))),
        X=(2, 3),
    ),
    "pad an integer": case("def f(X[i]) = pad[i](X; after = 1)", lambda X: np.pad(X, (0, 1)), X=[1, 2]),
    "pad by a size": case("def f(X[i]) = pad[i](X; after = |i|)", lambda X: np.pad(X, (0, 3)), X=(3,)),
    "pad by an option": Case(
        "def f(X[i]; n = 1) = pad[i](X; after = n)", lambda X: np.pad(X, (0, 4)), {"X": (3,)}, options={"n": 4}
    ),
    "pad nothing": case("def f(X[i]) = pad[i](X)", lambda X: X, X=(3,)),
    "zeros between elements": case(
        "def f(X[i]) -> [i] = fold[i, k](stack[k](X); stride = 2)", lambda X: folded(X[:, None], 2), X=(3,)
    ),
}


def two_windows(X: np.ndarray, widths: tuple[int, int], strides: tuple[int, int]) -> np.ndarray:
    """Windows along both axes: (h, a, w, b)."""
    rows = windows(X, widths[0], strides[0])
    return np.moveaxis(windows(np.moveaxis(rows, 2, 0), widths[1], strides[1]), (0, 1), (2, 3))


def fold2(Y: np.ndarray, strides: tuple[int, int]) -> np.ndarray:
    h, w, a, b = Y.shape
    full = np.zeros((strides[0] * (h - 1) + a, strides[1] * (w - 1) + b))
    for s, t, k, m in np.ndindex(h, w, a, b):
        full[strides[0] * s + k, strides[1] * t + m] += Y[s, t, k, m]
    return full


@pytest.mark.parametrize("row", WINDOWS.values(), ids=WINDOWS)
def test_windows(row: Case) -> None:
    row.check()


ERRORS = {
    "a pool that does not tile": ("def f(X[seq]) = max[k](pool[seq, k = 3](X))", {"X": (8,)}, "tile"),
    "an unknown remainder": (
        'def f(X[seq]) = max[k](pool[seq, k = 2](X; remainder = "keep"))',
        {"X": (8,)},
        "remainder",
    ),
    "an unknown mode": (
        'def f(X[seq]) = sum[k](unroll[seq, k = 2](X; padding = 1, mode = "wrap"))',
        {"X": (8,)},
        "mode",
    ),
    "an unknown option": ("def f(X[seq]) = sum[k](unroll[seq, k = 2](X; strides = 2))", {"X": (8,)}, "stride"),
    "a window longer than its axis": ("def f(X[seq]) = sum[k](unroll[seq, k = 5](X))", {"X": (3,)}, "seq"),
    "reflect further than there is": ('def f(X[i]) = pad[i](X; before = 3, mode = "reflect")', {"X": (3,)}, "reflect"),
    "circular further than there is": (
        'def f(X[i]) = pad[i](X; before = 4, mode = "circular")',
        {"X": (3,)},
        "circular",
    ),
    "concat along an axis that one lacks": ("def f(A[i], B[j]) = concat[i](A, B)", {"A": (2,), "B": (2,)}, "i"),
    "concat of sizes that disagree": (
        "def f(A[i, j], B[i, j]) = concat[i](A, B[j = 1:])",
        {"A": (2, 3), "B": (2, 3)},
        "j",
    ),
    "stack along an axis that one has": ("def f(A[i], B[i]) = stack[i](A, B)", {"A": (2,), "B": (2,)}, "i"),
    "a stride of 0": ("def f(X[seq]) = sum[k](unroll[seq, k = 2](X; stride = 0))", {"X": (8,)}, "0"),
    "a stride of a size that is 0": (
        "def f(X[seq]; W[k]) -> [seq, k] = X[seq = |k| * seq + k] * W",
        {"X": (4,), "W": (0,)},
        "step is 0",
    ),
    "a negative padding": ("def f(X[seq]) = sum[k](unroll[seq, k = 2](X; padding = -1))", {"X": (8,)}, "-1"),
    "a padding with too many numbers": (
        "def f(X[seq]) = sum[k](unroll[seq, k = 2](X; padding = (1, 2, 3)))",
        {"X": (8,)},
        "padding",
    ),
    "a window without a size": ("def f(X[seq]) -> [seq, k] = unroll[seq, k](X)", {"X": (8,)}, "k"),
}


@pytest.mark.parametrize(("text", "inputs", "word"), ERRORS.values(), ids=ERRORS)
def test_what_windows_refuse(text: str, inputs: dict, word: str) -> None:
    with pytest.raises(FormulaError, match=word):
        check(text, {key: np.zeros(one) for key, one in inputs.items()}, np.zeros(()))
