"""Constants over axes, one-hot contractions, and linear algebra, lifted over the rest."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers import Case, case

IDS = np.array([[0, 3, 1], [4, 4, 2]])
SQUARE = np.array([[4.0, 1.0, 0.5], [0.3, 3.0, -1.0], [0.2, 0.4, 5.0]])
SEVERAL = np.stack([SQUARE, SQUARE.T + np.eye(3)])
HERMITIAN = np.array([[3.0, 1 - 1j], [1 + 1j, 2.0]])


def inverse_root(A: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(A)
    return (vectors / np.sqrt(values)) @ vectors.conj().T


CONSTANTS = {
    "zeros": case("def f(A[i, j]) -> [i, j] = A + zeros[i, j]", lambda A: A, A=(2, 3)),
    "zeros alone": case("def f(A[i, j]) -> [j, i] = zeros[j, i]", lambda A: np.zeros((3, 2)), A=(2, 3)),
    "ones": case("def f(A[i]) -> [i] = A * ones[i] + 1", lambda A: A + 1, A=(3,)),
    "ones of a size given": case("def f(A[i]) -> [i, k] = A * ones[k = 2]", lambda A: np.stack([A, A], 1), A=(3,)),
    "zeros over none": case("def f(A[i]) = A + zeros[]", lambda A: A, A=(3,)),
    "a sum over ones is a size": case("def f(A[i, j]) = A * sum[j](ones[j])", lambda A: A * 3, A=(2, 3)),
    "ones bring an axis": case(
        "def f(A[i], B[j]) -> [i, j] = A * ones[j]", lambda A, B: np.stack([A] * 3, 1), A=(2,), B=(3,)
    ),
    "expand": case("def f(A[i]) -> [i, k] = expand[k = 2](A)", lambda A: np.stack([A, A], 1), A=(3,)),
    "expand over two": case(
        "def f(A[i], B[j]) -> [i, j, k] = expand[j, k = 2](A)",
        lambda A, B: np.broadcast_to(A[:, None, None], (3, 4, 2)),
        A=(3,),
        B=(4,),
    ),
    "a sum over what is expanded": case("def f(A[i]) = sum[k](expand[k = 4](A))", lambda A: 4 * A, A=(3,)),
    "eye": case("def f(A[i, j]) -> [i, j] = A + eye[i, j]", lambda A: A + np.eye(3), A=(3, 3)),
    "eye need not be square": case("def f(A[i, j]) -> [i, j] = eye[i, j]", lambda A: np.eye(2, 4), A=(2, 4)),
    "eye contracts to a rename": case("def f(A[i, c]) -> [j, c] = eye[i, j = 3] @[i] A", lambda A: A, A=(3, 2)),
    "one_hot": case(
        "def f(I[s], E[vocab]) -> [s, vocab] = one_hot[vocab](I)", lambda ids, E: np.eye(5)[ids], I=[0, 4, 1], E=(5,)
    ),
    "one_hot of a size given": case(
        "def f(I[s]) -> [s, v] = one_hot[v = 4](I)", lambda ids: np.eye(4)[ids], I=[0, 3, 1]
    ),
    "one_hot contracted is an embedding": case(
        "def f(E[vocab, d], I[b, s]) -> [b, s, d] = E @[vocab] one_hot[vocab](I)",
        lambda E, ids: E[ids],
        E=(5, 3),
        I=IDS,
    ),
    "one_hot contracted over its data adds up": case(
        "def f(X[s, d], I[s], E[vocab]) -> [vocab, d] = X @[s] one_hot[vocab](I) + 0 * E",
        lambda X, ids, E: np.eye(5)[ids].T @ X,
        X=(4, 2),
        I=[0, 3, 0, 4],
        E=(5,),
    ),
    "one_hot counts": case(
        "def f(I[s], E[vocab]) -> [vocab] = sum[s](one_hot[vocab](I)) + 0 * E",
        lambda ids, E: np.bincount(ids, minlength=5) * 1.0,
        I=[0, 3, 0, 4],
        E=(5,),
    ),
    "cross entropy by one_hot": case(
        "def f(X[b, c], I[b]) = -mean[b](one_hot[c](I) @[c] log_softmax[c](X))",
        lambda X, ids: -np.mean([np.log(np.exp(x) / np.exp(x).sum())[i] for x, i in zip(X, ids, strict=True)]),
        X=(3, 4),
        I=[0, 3, 1],
    ),
    "a triangle from coordinates": case("def f(A[i, j]) = A * (i >= j)", lambda A: np.tril(A), A=(3, 3)),
}


@pytest.mark.parametrize("row", CONSTANTS.values(), ids=CONSTANTS)
def test_constants(row: Case) -> None:
    row.check()


ALGEBRA = {
    "inv": case("def f(A[i, j]) -> [i, j] = inv[i, j](A)", np.linalg.inv, A=SQUARE),
    "inv has rows and columns in place": case("def f(A[i, j]) -> [i, j] = inv[j, i](A)", np.linalg.inv, A=SQUARE),
    "inv, lifted": case("def f(A[b, i, j]) -> [b, i, j] = inv[i, j](A)", np.linalg.inv, A=SEVERAL),
    "inv, lifted over an axis in the middle": case(
        "def f(A[i, b, j]) -> [b, i, j] = inv[i, j](A)",
        lambda A: np.linalg.inv(A.transpose(1, 0, 2)),
        A=SEVERAL.transpose(1, 0, 2),
    ),
    "solve": case("def f(A[i, j], b[i]) -> [j] = solve[i, j](A, b)", np.linalg.solve, A=SQUARE, b=(3,)),
    "solve for several": case(
        "def f(A[i, j], B[i, k]) -> [j, k] = solve[i, j](A, B)", np.linalg.solve, A=SQUARE, B=(3, 2)
    ),
    "solve, both lifted": case(
        "def f(A[b, i, j], B[b, i]) -> [b, j] = solve[i, j](A, B)",
        lambda A, B: np.linalg.solve(A, B[..., None])[..., 0],
        A=SEVERAL,
        B=(2, 3),
    ),
    "solve, the matrix transposed by name": case(
        "def f(A[i, j], b[j]) -> [i] = solve[j, i](A, b)", lambda A, b: np.linalg.solve(A.T, b), A=SQUARE, b=(3,)
    ),
    "cholesky": case(
        "def f(B[i, k]) -> [i, j] = cholesky[i, j](B @[k] B[i -> j])", lambda B: np.linalg.cholesky(B @ B.T), B=SQUARE
    ),
    "det": case("def f(A[i, j]) = det[i, j](A)", np.linalg.det, A=SQUARE),
    "det, lifted": case("def f(A[b, i, j]) = det[i, j](A)", np.linalg.det, A=SEVERAL),
    "trace": case("def f(A[i, j]) = trace[i, j](A)", np.trace, A=SQUARE),
    "trace, lifted": case("def f(A[b, i, j]) = trace[i, j](A)", lambda A: np.einsum("bii->b", A), A=SEVERAL),
    "eigenvalues": case(
        "def f(B[i, k]) -> [e]:\n  l, U = eigh[i, j -> e](B @[k] B[i -> j])\n  return l",
        lambda B: np.linalg.eigvalsh(B @ B.T),
        B=SQUARE,
    ),
    "eigenvectors restore the matrix": case(
        "def f(B[i, k]) -> [i, j]:\n  l, U = eigh[i, j -> e](B @[k] B[i -> j])\n  return (U * l) @[e] U[i -> j]",
        lambda B: B @ B.T,
        B=SQUARE,
    ),
    "eigh of a Hermitian matrix": Case(
        "def f(A[i, j]) -> [e]:\n  l, U = eigh[i, j -> e](A)\n  return l", np.linalg.eigvalsh, {"A": HERMITIAN}
    ),
    "inv_sqrt": case(
        "def f(B[i, k]) -> [i, j] = inv_sqrt[i, j](B @[k] B[i -> j])", lambda B: inverse_root(B @ B.T), B=SQUARE
    ),
    "inv_sqrt, lifted": case(
        "def f(B[b, i, k]) -> [b, i, j] = inv_sqrt[i, j](B @[k] B[i -> j])",
        lambda B: np.stack([inverse_root(one @ one.T) for one in B]),
        B=SEVERAL,
    ),
    "inv of an integer matrix is real": Case(
        "def f(A[i, j]) -> [i, j] = inv[i, j](A)",
        lambda A: np.array([[0.5, 0.0], [0.0, 0.25]]),
        {"A": [[2, 0], [0, 4]]},
    ),
    "inv of a complex matrix": case("def f(A[i, j]) -> [i, j] = inv[i, j](A)", np.linalg.inv, A=HERMITIAN),
    "least squares": case(
        "def f(X[n, d], y[n]) -> [d] = solve[d', d](X[d -> d'] @[n] X, X[d -> d'] @[n] y)",
        lambda X, y: np.linalg.lstsq(X, y, rcond=None)[0],
        X=(7, 3),
        y=(7,),
    ),
}


@pytest.mark.parametrize("row", ALGEBRA.values(), ids=ALGEBRA)
def test_linear_algebra(row: Case) -> None:
    row.check()
