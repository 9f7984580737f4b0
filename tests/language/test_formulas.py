"""Whole formulas: what each row of the language means when it stands among the others."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from tests.helpers import Case, Named, case

RNG = np.random.default_rng(5)
inf = np.inf


def softmax(x: np.ndarray) -> np.ndarray:
    """Along the last axis; a row of -inf is 0."""
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x.max(-1, keepdims=True))
        return np.nan_to_num(e / e.sum(-1, keepdims=True))


def self_attention(X: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray, o: np.ndarray) -> np.ndarray:
    scores = np.einsum("hkl,sl,hkm,tm->hst", q, X, k, X) / np.sqrt(3)
    mask = np.where(np.tril(np.ones((5, 5))) > 0, 0, -inf)
    return np.einsum("lhv,hst,hvm,tm->sl", o, softmax(scores + mask), v, X)


def residual(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    return x + np.maximum(w @ x, 0)


def routed(X: np.ndarray, W: np.ndarray, V: np.ndarray) -> np.ndarray:
    gates = softmax(X @ W.T)
    best = gates.argmax(1)
    return np.stack([g[b] * (V[b] @ x) for g, b, x in zip(gates, best, X, strict=True)])


def causal_conv(X: np.ndarray, W: np.ndarray, dilation: int = 1) -> np.ndarray:
    padded = np.pad(X, ((0, 0), (2 * dilation, 0)))
    places = [padded[:, t : t + 2 * dilation + 1 : dilation] for t in range(X.shape[1])]
    return np.stack([np.einsum("ock,ck->o", W, place) for place in places], 1)


def grouped_norm(X: np.ndarray, g: np.ndarray, b: np.ndarray) -> np.ndarray:
    Y = X.reshape(2, 2, 3, 3)
    Y = (Y - Y.mean((1, 2, 3), keepdims=True)) / np.sqrt(Y.var((1, 2, 3), keepdims=True) + 1e-5)
    return Y.reshape(4, 3, 3) * g[:, None, None] + b[:, None, None]


FORMULAS = {
    "multi-head self-attention": case(
        """
        def attention(Q[key], K[seq, key], V[seq, val]; M[seq] = 0) -> [val]:
            return softmax[seq](Q @[key] K / sqrt(|key|) + M) @[seq] V

        def self_attention(
            X[seq, layer];
            Wq[heads, key, layer], Wk[heads, key, layer], Wv[heads, val, layer], Wo[layer, heads, val]
        ) -> [seq, layer]:
            Q = (Wq @[layer] X)[seq -> seq']
            K = Wk @[layer] X
            V = Wv @[layer] X
            Y = attention(Q, K, V; M = where(seq <= seq', 0, -inf))
            return (Wo @[heads, val] Y)[seq' -> seq]
        """,
        self_attention,
        X=(5, 4),
        Wq=(2, 3, 4),
        Wk=(2, 3, 4),
        Wv=(2, 6, 4),
        Wo=(4, 2, 6),
    ),
    "attention under a boolean mask, some rows empty": case(
        "def f(Q[q, d], K[k, d], V[k, v], M[q, k]) -> [q, v] = softmax[k](where(M, Q @[d] K, -inf)) @[k] V",
        lambda Q, K, V, M: softmax(np.where(M, Q @ K.transpose(0, 2, 1), -inf)) @ V,
        Q=(2, 3, 4),
        K=(2, 5, 4),
        V=(2, 5, 3),
        M=RNG.random((2, 3, 5)) < 0.3,
    ),
    "a convolution along three axes by stars": case(
        """
        def conv[*s, *k](X[*s]; W[*k]) -> [*s] = unroll[*s, *k](X; padding = 1) @[*k] W
        def f(X[a, b, c]; W[i, j, k]) -> [a, b, c] = conv[a, b, c, i, j, k](X; W)
        """,
        lambda X, W: sum(np.pad(X, 1)[i : i + 4, j : j + 5, k : k + 6] * W[i, j, k] for i, j, k in np.ndindex(3, 3, 3)),
        X=(4, 5, 6),
        W=(3, 3, 3),
    ),
    "a causal convolution": case(
        "def f(X[c, t]; W[o, c, k]) -> [o, t] = W @[c, k] unroll[t, k](X; padding = (|k| - 1, 0))",
        causal_conv,
        X=(2, 6),
        W=(4, 2, 3),
    ),
    "a dilated causal convolution": Case(
        """
        def f(X[c, t]; W[o, c, k], dilation = 1) -> [o, t]:
            return W @[c, k] unroll[t, k](X; dilation = dilation, padding = (dilation * (|k| - 1), 0))
        """,
        lambda X, W: causal_conv(X, W, 2),
        {"X": (2, 6), "W": (4, 2, 3)},
        options={"dilation": 2},
    ),
    "residual blocks": case(
        """
        def block(X[d]; W[d', d]) -> [d] = X + relu(W @[d] X)[d' -> d]
        def f(X[d]; W[layers, d', d]) -> [d]:
            repeat 3 as i:
                X = block(X; W[layers = i])
            return X
        """,
        lambda X, W: reduce(residual, W, X),
        X=(4,),
        W=(3, 4, 4),
    ),
    "as many blocks as there are weights": case(
        """
        def f(X[d]; W[layers, d', d]) -> [d]:
            repeat |layers| as i:
                X = X + relu(W[layers = i] @[d] X)[d' -> d]
            return X
        """,
        lambda X, W: reduce(residual, W, X),
        X=(4,),
        W=(2, 4, 4),
    ),
    "a recurrence, step by step": case(
        """
        def f(X[time, input], h0[hidden]; Wh[hidden', hidden], Wi[hidden', input]) -> [hidden]:
            h = h0
            repeat |time| as t:
                h = tanh(Wh @[hidden] h + Wi @[input] X[time = t])[hidden' -> hidden]
            return h
        """,
        lambda X, h, Wh, Wi: reduce(lambda h, x: np.tanh(Wh @ h + Wi @ x), X, h),
        X=(4, 3),
        h0=(2,),
        Wh=(2, 2),
        Wi=(2, 3),
    ),
    "a mixture of normals": case(
        """
        def f(X[n, d], M[k, d]; S[k]):
            squares = sum[d]((X - M) ^ 2)
            return logsumexp[k](-squares / (2 * S ^ 2) - |d| * log(S))
        """,
        lambda X, M, S: np.log(np.exp(-((X[:, None] - M) ** 2).sum(-1) / (2 * S**2) - 2 * np.log(S)).sum(1)),
        X=(4, 2),
        M=(3, 2),
        S=[0.5, 1.0, 2.0],
    ),
    "the nearest centre": case(
        "def f(X[n, d], M[k, d]) -> [n] = argmin[k](norm[d](X - M))",
        lambda X, M: np.linalg.norm(X[:, None] - M, axis=-1).argmin(1),
        X=(6, 2),
        M=(3, 2),
    ),
    "a chain of products": case(
        "def f(A[i, j], B[j, k], C[k, l], D[l, m], E[m, n]) -> [i, n] = A @[j] B @[k] C @[l] D @[m] E",
        lambda *M: np.linalg.multi_dot(M),
        A=(2, 3),
        B=(3, 4),
        C=(4, 2),
        D=(2, 5),
        E=(5, 3),
    ),
    "a trilinear form": case(
        "def f(X[a], Y[b]; T[a, b, c]) -> [c] = X @[a] T @[b] Y",
        lambda X, Y, T: np.einsum("a,abc,b", X, T, Y),
        X=(2,),
        Y=(3,),
        T=(2, 3, 4),
    ),
    "a mean of what a mask keeps": case(
        "def f(X[i, j], M[i, j]) = sum[j](where(M, X, 0)) / maximum(sum[j](M), 1)",
        lambda X, M: np.where(M, X, 0).sum(1) / np.maximum(M.sum(1), 1),
        X=(3, 4),
        M=RNG.random((3, 4)) < 0.4,
    ),
    "a median": case("def f(X[i, j]) = sort[j](X)[j = |j| // 2]", lambda X: np.median(X, 1), X=(3, 5)),
    "a covariance": case(
        "def f(X[n, d]) -> [d, d']:\n  C = X - mean[n](X)\n  return C @[n] C[d -> d'] / (|n| - 1)",
        lambda X: np.cov(X.T),
        X=(6, 3),
    ),
    "a Mahalanobis distance": case(
        "def f(X[n, d], S[d, d']) = X @[d] inv[d, d'](S) @[d'] X[d -> d']",
        lambda X, S: np.einsum("nd,de,ne->n", X, np.linalg.inv(S), X),
        X=(4, 2),
        S=[[2, 0.3], [0.3, 1.0]],
    ),
    "a Fourier transform written out": case(
        "def f(X[t]) -> [k] = X @[t] exp(-2j * pi * t * index[k] / |t|) * ones[k = 5]", np.fft.fft, X=(5,)
    ),
    "positions by sines": Case(
        """
        def f(X[seq, d]; base = 10000) -> [seq, d]:
            angle = seq / base ^ ((d - d % 2) / |d|)
            return X + where(d % 2 == 0, sin(angle), cos(angle))
        """,
        lambda X: (
            X
            + np.where(
                np.arange(4) % 2 == 0,
                np.sin(np.arange(3)[:, None] / 100 ** ((np.arange(4) // 2 * 2) / 4)),
                np.cos(np.arange(3)[:, None] / 100 ** ((np.arange(4) // 2 * 2) / 4)),
            )
        ),
        {"X": (3, 4)},
        options={"base": 100},
    ),
    "a bias of relative positions": case(
        "def f(S[q, k]; B[d]) -> [q, k] = S + B[d = clip(q - k + 2, 0, |d| - 1)]",
        lambda S, B: S + B[np.clip(np.arange(4)[:, None] - np.arange(5) + 2, 0, 4)],
        S=(4, 5),
        B=(5,),
    ),
    "each token to its best expert": case(
        """
        def f(X[n, d]; W[e, d], V[e, o, d]) -> [n, o]:
            g = softmax[e](W @[d] X)
            best = argmax[e](g)
            return g[e = best] * (V[e = best] @[d] X)
        """,
        routed,
        X=(4, 3),
        W=(2, 3),
        V=(2, 5, 3),
    ),
    "a mean for each label": case(
        """
        def f(X[n, d], I[n]; C[k]) -> [k, d]:
            H = one_hot[k](I)
            return H @[n] X / maximum(sum[n](H), 1) * C
        """,
        lambda X, labels, C: (
            np.stack([X[labels == k].sum(0) / max((labels == k).sum(), 1) for k in range(4)]) * C[:, None]
        ),
        X=(5, 2),
        I=[0, 2, 2, 0, 1],
        C=(4,),
    ),
    "group norm written out": case(
        "def f(X[c, h, w]; g[c], b[c]) -> [c, h, w]:\n"
        "  return standardize[k, h, w](X[c -> (group = 2, k)])[(group, k) -> c] * g + b",
        grouped_norm,
        X=(4, 3, 3),
        g=(4,),
        b=(4,),
    ),
    "weights of their own for each of a batch, by name": case(
        "def f(X[i]; W[o, i]) -> [o] = W @[i] X",
        lambda X, W: Named(np.einsum("bi,boi->bo", X, W), "b o"),
        X=Named((4, 3), "b i"),
        W=Named((4, 2, 3), "b o i"),
    ),
    "some of several results": case(
        "def g(X[i]) -> [i], [], []:\n  return X, sum[i](X), max[i](X)\n"
        "def f(X[i, b]) -> [b]:\n  a, s, m = g(X)\n  return a[i = 0] + s - m",
        lambda X: X[0] + X.sum(0) - X.max(0),
        X=(3, 2),
    ),
}


@pytest.mark.parametrize("row", FORMULAS.values(), ids=FORMULAS)
def test_formula(row: Case) -> None:
    row.check()
