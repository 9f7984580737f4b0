"""Reductions, statistics, softmax, order, cumulative operations, flips and transforms along axes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers import Case, Named, case

TIES = np.array([[3, 1, 3, 2], [0, 5, 5, 5], [1, 1, 1, 1]])
COMPLEX = np.array([[1 + 2j, -0.5 + 1j, 3 - 1j], [2 - 2j, 1j, 0.5 + 0.5j]])
inf = np.inf


def lse(x: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    return np.log(np.exp(x).sum(axis))


def softmax(x: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


def constant(value: object) -> object:
    return lambda *arrays: np.asarray(value)


REDUCTIONS = {
    "sum": case("def f(A[i, j]) = sum[j](A)", lambda A: A.sum(1), A=(2, 3)),
    "sum over two": case("def f(A[i, j, k]) = sum[k, i](A)", lambda A: A.sum((0, 2)), A=(2, 3, 4)),
    "sum over all": case("def f(A[i, j]) = sum[i, j](A)", lambda A: A.sum(), A=(2, 3)),
    "sum over none": case("def f(A[i]) = sum[](A)", lambda A: A, A=(3,)),
    "sum of integers": case("def f(A[i]) = sum[i](A)", lambda A: A.sum(), A=[1, 2, 3]),
    "sum of booleans counts": case("def f(A[i, j]) = sum[j](A > 1)", lambda A: np.array([1, 2]), A=[[1, 2], [2, 3]]),
    "sum of an expression": case(
        "def f(A[i], B[j]) = sum[i](A * B + B)", lambda A, B: (A[:, None] * B + B).sum(0), A=(2,), B=(3,)
    ),
    "sum of nothing": case("def f(A[i, j]) = sum[j](A)", constant([0.0, 0.0]), A=np.zeros((2, 0))),
    "sum of coordinates": case("def f(A[i, j]) = A + sum[j](j)", lambda A: A + 3, A=(2, 3)),
    "sum of a constant over an axis": case("def f(A[i, j]) -> [i] = sum[j](A * 0 + 1)", constant([3.0, 3.0]), A=(2, 3)),
    "prod": case("def f(A[i, j]) = prod[j](A)", lambda A: A.prod(1), A=(2, 3)),
    "prod with one zero": case("def f(A[i]) = prod[i](A)", lambda A: A.prod(), A=[2.0, 0.0, 3.0]),
    "prod of nothing": case("def f(A[i, j]) = prod[j](A)", constant([1.0, 1.0]), A=np.zeros((2, 0))),
    "max": case("def f(A[i, j]) = max[j](A)", lambda A: A.max(1), A=(2, 3)),
    "max over two": case("def f(A[i, j, k]) = max[i, k](A)", lambda A: A.max((0, 2)), A=(2, 3, 4)),
    "max of integers": case("def f(A[i, j]) = max[j](A)", lambda A: A.max(1), A=TIES),
    "min": case("def f(A[i, j]) = min[i](A)", lambda A: A.min(0), A=(2, 3)),
    "max with an infinity": case("def f(A[i]) = max[i](A)", constant(2.0), A=[-inf, 2.0]),
    "mean": case("def f(A[i, j]) = mean[j](A)", lambda A: A.mean(1), A=(2, 3)),
    "mean over two": case("def f(A[i, j, k]) = mean[j, k](A)", lambda A: A.mean((1, 2)), A=(2, 3, 4)),
    "mean of integers is real": case("def f(A[i]) = mean[i](A)", constant(1.5), A=[1, 2]),
    "var": case("def f(A[i, j]) = var[j](A)", lambda A: A.var(1), A=(2, 4)),
    "var with ddof": case("def f(A[i, j]) = var[j](A; ddof = 1)", lambda A: A.var(1, ddof=1), A=(2, 4)),
    "var over two": case("def f(A[i, j, k]) = var[i, j](A)", lambda A: A.var((0, 1)), A=(2, 3, 4)),
    "var of large numbers": Case(
        "def f(A[i]) = var[i](A)", constant(2 / 3), {"A": [1e8, 1e8 + 1, 1e8 + 2]}, settings={"single": False}
    ),
    "std": case("def f(A[i, j]) = std[j](A)", lambda A: A.std(1), A=(2, 4)),
    "std with ddof": case("def f(A[i, j]) = std[j](A; ddof = 1)", lambda A: A.std(1, ddof=1), A=(2, 4)),
    "norm": case("def f(A[i, j]) = norm[j](A)", lambda A: np.linalg.norm(A, axis=1), A=(2, 3)),
    "norm over two": case("def f(A[i, j]) = norm[i, j](A)", lambda A: np.linalg.norm(A), A=(2, 3)),
    "norm of complex numbers": case("def f(A[i, j]) = norm[j](A)", lambda A: np.linalg.norm(A, axis=1), A=COMPLEX),
    "logsumexp": case("def f(A[i, j]) = logsumexp[j](A)", lambda A: lse(A, 1), A=(2, 3)),
    "logsumexp over two": case("def f(A[i, j, k]) = logsumexp[i, k](A)", lambda A: lse(A, (0, 2)), A=(2, 3, 4)),
    "logsumexp far out": case(
        "def f(A[i]) = logsumexp[i](A)", lambda A: 1000 + np.log(2) + 0 * A[0], A=[1000.0, 1000.0]
    ),
    "logsumexp of -inf": case("def f(A[i, j]) = logsumexp[j](A)", constant([-inf, 1.0]), A=[[-inf, -inf], [-inf, 1.0]]),
    "logsumexp of nothing": case("def f(A[i, j]) = logsumexp[j](A)", constant([-inf, -inf]), A=np.zeros((2, 0))),
    "logsumexp of +inf": Case(
        "def f(A[i]) = logsumexp[i](A)", constant(inf), {"A": [inf, 1.0]}, settings={"gradients": False}
    ),
    "max of nothing": Case("def f(X[i, j]) = max[j](X)", constant([-inf, -inf]), {"X": np.zeros((2, 0))}),
    "min of nothing": Case("def f(X[i, j]) = min[j](X)", constant([inf, inf]), {"X": np.zeros((2, 0))}),
    "mean of nothing": Case("def f(X[i, j]) = mean[j](X)", constant([np.nan, np.nan]), {"X": np.zeros((2, 0))}),
    "softmax of nothing": Case("def f(X[i, j]) = softmax[j](X)", lambda X: X, {"X": np.zeros((2, 0))}),
    "max and min of booleans": case(
        "def f(A[i]) -> [], []:\n  return max[i](A), min[i](A)", lambda A: (A.max(), A.min()), A=[True, False, True]
    ),
    "mean, prod and var of booleans": case(
        "def f(A[i]) -> [], [], []:\n  return mean[i](A), prod[i](A), var[i](A)",
        lambda A: (A.mean(), np.array(0), A.var()),
        A=[True, False, True],
    ),
    "std of constants has gradient 0": Case(
        "def f(X[i, j]) = std[j](X)",
        constant([0.0, 0.0]),
        {"X": np.ones((2, 3))},
        settings={"gradients": {"X": np.zeros((2, 3))}, "cotangents": {0: np.ones(2)}},
    ),
    "norm of zeros has gradient 0": Case(
        "def f(X[i, j]) = norm[j](X)",
        constant([0.0, 0.0]),
        {"X": np.zeros((2, 3))},
        settings={"gradients": {"X": np.zeros((2, 3))}, "cotangents": {0: np.ones(2)}},
    ),
    "softmax of integers": case("def f(A[i]) = softmax[i](A)", lambda A: softmax(A, 0), A=[1, 2]),
    "logsumexp of integers": case("def f(A[i]) = logsumexp[i](A)", lambda A: lse(A, 0), A=[1, 2]),
    "any": case("def f(A[i, j]) = any[j](A > 2)", lambda A: (A > 2).any(1), A=TIES),
    "all": case("def f(A[i, j]) = all[i, j](A > 2)", lambda A: (A > 2).all(), A=TIES),
    "any and all of nothing": case(
        "def f(A[i]) -> [], []:\n  return any[i](A), all[i](A)",
        lambda A: (np.array(False), np.array(True)),
        A=np.zeros(0, bool),
    ),
    # --- one axis, integers, ties to the first
    "argmax": case("def f(A[i, j]) = argmax[j](A)", lambda A: A.argmax(1), A=TIES),
    "argmax of reals": case("def f(A[i, j]) = argmax[i](A)", lambda A: A.argmax(0), A=(4, 3)),
    "argmin": case("def f(A[i, j]) = argmin[j](A)", lambda A: A.argmin(1), A=TIES),
    "argmax picks": case("def f(A[i, j]) = A[j = argmax[j](A)]", lambda A: A.max(1), A=(3, 4)),
    "sort": case("def f(A[i, j]) = sort[j](A)", lambda A: np.sort(A, 1), A=(3, 4)),
    "sort the other axis": case("def f(A[i, j]) = sort[i](A)", lambda A: np.sort(A, 0), A=(3, 4)),
    "sort descending": case("def f(A[i, j]) = sort[j](A; descending = True)", lambda A: -np.sort(-A, 1), A=(3, 4)),
    "argsort": case("def f(A[i, j]) = argsort[j](A)", lambda A: np.argsort(A, 1, kind="stable"), A=TIES),
    "argsort descending, ties to the first": case(
        "def f(A[i, j]) = argsort[j](A; descending = True)", lambda A: np.argsort(-A, 1, kind="stable"), A=TIES
    ),
    "topk": case("def f[k](A[i, j]) -> [i, j] = topk[j, k = 2](A)[k -> j]", constant([[0, 2], [1, 2], [0, 1]]), A=TIES),
    "topk names its axis": case(
        "def f(A[i, j]) -> [i, best] = topk[j, best = 3](A)",
        lambda A: np.argsort(-A, 1, kind="stable")[:, :3],
        A=(3, 5),
    ),
    "the largest values": case(
        "def f(A[i, j]) -> [i, best] = A[j = topk[j, best = 2](A)]", lambda A: -np.sort(-A, 1)[:, :2], A=(3, 5)
    ),
    # --- along axes
    "softmax": case("def f(A[i, j]) = softmax[j](A)", lambda A: softmax(A, 1), A=(2, 3)),
    "softmax over the first": case("def f(A[i, j]) = softmax[i](A)", lambda A: softmax(A, 0), A=(2, 3)),
    "softmax over two": case("def f(A[i, j, k]) = softmax[i, k](A)", lambda A: softmax(A, (0, 2)), A=(2, 3, 4)),
    "softmax far out": case("def f(A[i]) = softmax[i](A)", constant([0.5, 0.5, 0.0]), A=[1000.0, 1000.0, -1000.0]),
    "log_softmax": case("def f(A[i, j]) = log_softmax[j](A)", lambda A: np.log(softmax(A, 1)), A=(2, 3)),
    "log_softmax far out": case("def f(A[i]) = log_softmax[i](A)", constant([0.0, -2000.0]), A=[1000.0, -1000.0]),
    "standardize": case(
        "def f(A[i, j]) = standardize[j](A)",
        lambda A: (A - A.mean(1, keepdims=True)) / np.sqrt(A.var(1, keepdims=True) + 1e-5),
        A=(2, 4),
    ),
    "standardize over two with eps": case(
        "def f(A[i, j, k]) = standardize[i, j](A; eps = 0.1)",
        lambda A: (A - A.mean((0, 1))) / np.sqrt(A.var((0, 1)) + 0.1),
        A=(2, 3, 4),
    ),
    "standardize with the eps of the element type": Case(
        "def f(A[i]) = standardize[i](A; eps = finfo_eps(A))", lambda A: (A - A.mean()) / A.std(), {"A": (5,)}
    ),
    "cumsum": case("def f(A[i, j]) = cumsum[j](A)", lambda A: A.cumsum(1), A=(2, 3)),
    "cumsum of integers": case("def f(A[i, j]) = cumsum[i](A)", lambda A: A.cumsum(0), A=TIES),
    "cumsum of booleans counts": case("def f(A[i]) = cumsum[i](A > 1)", constant([0, 1, 2]), A=[1, 2, 3]),
    "cumprod": case("def f(A[i, j]) = cumprod[i](A)", lambda A: A.cumprod(0), A=(2, 3)),
    "cummax": case("def f(A[i, j]) = cummax[j](A)", lambda A: np.maximum.accumulate(A, 1), A=(3, 4)),
    "cummin": case("def f(A[i, j]) = cummin[j](A)", lambda A: np.minimum.accumulate(A, 1), A=(3, 4)),
    "logcumsumexp": case("def f(A[i, j]) = logcumsumexp[j](A)", lambda A: np.log(np.exp(A).cumsum(1)), A=(3, 4)),
    "logcumsumexp from -inf": Case(
        "def f(A[i]) = logcumsumexp[i](A)",
        constant([-inf, 0.0, np.log(2)]),
        {"A": [-inf, 0.0, 0.0]},
        settings={"gradients": False},
    ),
    "flip": case("def f(A[i, j]) = flip[j](A)", lambda A: A[:, ::-1], A=(2, 3)),
    "flip two": case("def f(A[i, j]) = flip[i, j](A)", lambda A: A[::-1, ::-1], A=(2, 3)),
    "roll": case("def f(A[i, j]) = roll[j](A)", lambda A: np.roll(A, 1, 1), A=(2, 4)),
    "roll back": case("def f(A[i, j]) = roll[i](A; shift = -2)", lambda A: np.roll(A, -2, 0), A=(3, 2)),
    "roll far": case("def f(A[i]) = roll[i](A; shift = 7)", lambda A: np.roll(A, 7), A=(3,)),
    "fft": case("def f(x[time]) -> [freq] = fft[time -> freq](x)", np.fft.fft, x=(6,)),
    "fft, lifted": case(
        "def f(x[time, c]) -> [freq, c] = fft[time -> freq](x)", lambda x: np.fft.fft(x, axis=0), x=(5, 2)
    ),
    "ifft of fft": case(
        "def f(x[time]) -> [time] = real(ifft[freq -> time](fft[time -> freq](x)))", lambda x: x, x=(6,)
    ),
    "a power spectrum": case(
        "def f(x[time]) -> [freq] = abs(fft[time -> freq](x)) ^ 2", lambda x: np.abs(np.fft.fft(x)) ** 2, x=(6,)
    ),
    "a reduction of a named batch": case(
        "def f(A[i]) = sum[i](A)", lambda A: Named(A.sum(1), "b c"), A=Named((2, 3, 4), "b i c")
    ),
    "lifted over a leading dimension": case("def f(A[i, j]) = softmax[j](A)", lambda A: softmax(A, 2), A=(5, 2, 3)),
}


@pytest.mark.parametrize("row", REDUCTIONS.values(), ids=REDUCTIONS)
def test_reduction(row: Case) -> None:
    row.check()


MASKED = np.array([[-inf, -inf, -inf], [0.3, -inf, 1.2], [0.1, 0.2, 0.3]])


def masked_softmax(x: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.exp(x) / np.exp(x).sum(-1, keepdims=True), nan=0.0)


SPELLINGS = {
    "by name": "def f(A[i, j]) = softmax[j](A)",
    "as exp of a difference": "def f(A[i, j]) = exp(A - logsumexp[j](A))",
    "cut by let": "def f(A[i, j]):\n  L = logsumexp[j](A)\n  D = A - L\n  return exp(D)",
    "as a quotient": "def f(A[i, j]) = exp(A) / sum[j](exp(A))",
    "as a quotient, cut by let": "def f(A[i, j]):\n  E = exp(A)\n  Z = sum[j](E)\n  return E / Z",
    "shifted by the maximum": "def f(A[i, j]):\n  E = exp(A - max[j](A))\n  return E / sum[j](E)",
    "exp of log_softmax": "def f(A[i, j]) = exp(log_softmax[j](A))",
    "over a renamed axis": "def f(A[i, j]) = softmax[k](A[j -> k])[k -> j]",
}
"""A softmax whose row is all -inf is 0, written out or not, with clean gradients."""


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_softmax_of_a_masked_row_is_zero(text: str) -> None:
    Case(text, masked_softmax, {"A": MASKED}).check()


def test_attention_of_a_masked_row_is_zero() -> None:
    text = "def f(Q[q, d], K[k, d], V[k, v]; M[q, k]) -> [q, v] = softmax[k](Q @[d] K / sqrt(|d|) + M) @[k] V"

    def expected(Q: np.ndarray, K: np.ndarray, V: np.ndarray, M: np.ndarray) -> np.ndarray:
        return masked_softmax(Q @ K.T / np.sqrt(3) + M) @ V

    mask = np.where(np.tril(np.ones((4, 5), bool), -1), 0.0, -inf)
    Case(text, expected, {"Q": (4, 3), "K": (5, 3), "V": (5, 2), "M": mask}).check()
