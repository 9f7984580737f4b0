"""What is printed for the formulas that people write most: nothing is moved that need not be."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.emit.harness import agree, body, compiled

PRINTED: dict[str, tuple[str, dict[str, tuple[int, ...]], list[str]]] = {
    "a sum by name": (
        "def f(A[i, j], b[j]) = A + b", {"A": (2, 3), "b": (3,)},
        ["result = A + b", "return result"],
    ),
    "a column": (
        "def f(A[i, j], b[i]) = A * b", {"A": (2, 3), "b": (2,)},
        ["result = A * b.unsqueeze(1)", "return result"],
    ),
    "a matrix product": (
        "def f(A[i, j], B[j, k]) = A @[j] B", {"A": (2, 3), "B": (3, 4)},
        ["result = torch.matmul(A, B)", "return result"],
    ),
    "a linear layer": (
        "def f(X[b, s, c]; W[o, c], v[o]) -> [b, s, o] = W @[c] X + v", {"X": (2, 3, 4), "W": (5, 4), "v": (5,)},
        ["result = F.linear(X, W, v)", "return result"],
    ),
    "a linear layer, stored the other way round": (
        "def f(X[b, s, c]; W[c, o], v[o]) -> [b, s, o] = X @[c] W + v", {"X": (2, 3, 4), "W": (4, 5), "v": (5,)},
        ["result = F.linear(X, W.t(), v)", "return result"],
    ),
    "heads": (
        "def f(X[b, s, c]; W[h, k, c]) -> [b, s, h, k] = W @[c] X", {"X": (2, 3, 4), "W": (2, 5, 4)},
        ["result = F.linear(X, W.flatten(0, 1)).unflatten(2, (h, k))", "return result"],
    ),
    "channels in the middle": (
        "def f(X[b, c, h, w]; W[o, c]) -> [b, o, h, w] = W @[c] X", {"X": (2, 3, 4, 5), "W": (6, 3)},
        ["result = matrix_columns(W, X.flatten(2, 3)).unflatten(2, (h, w))", "return result"],
    ),
    "weights of what lies in the middle": (
        "def f(X[b, s, c]; w[s]) -> [b, c] = sum[s](X * w)", {"X": (2, 3, 4), "w": (3,)},
        ["result = weighted_rows(w, X)", "return result"],
    ),
    "a batch of products": (
        "def f(A[b, i, j], B[b, j, k]) -> [b, i, k] = A @[j] B", {"A": (2, 3, 4), "B": (2, 4, 5)},
        ["result = torch.bmm(A, B)", "return result"],
    ),
    "attention": (
        "def f(Q[b, h, q, k], K[b, h, s, k], V[b, h, s, v]) -> [b, h, q, v] = "
        "softmax[s](Q @[k] K / sqrt(|k|)) @[s] V",
        {"Q": (2, 3, 4, 5), "K": (2, 3, 6, 5), "V": (2, 3, 6, 2)},
        ["result = scaled_dot_product_attention(Q, K, V)", "return result"],
    ),
    "causal attention": (
        "def f(Q[b, h, q, k], K[b, h, s, k], V[b, h, s, v]) -> [b, h, q, v] = "
        "softmax[s](where(s <= q, Q @[k] K / sqrt(|k|), -inf)) @[s] V",
        {"Q": (2, 3, 4, 5), "K": (2, 3, 6, 5), "V": (2, 3, 6, 2)},
        ["result = scaled_dot_product_attention(Q, K, V, is_causal=True)", "return result"],
    ),
    "attention with a scale of its own": (
        "def f(Q[b, h, q, k], K[b, h, s, k], V[b, h, s, v]) -> [b, h, q, v] = "
        "softmax[s](Q @[k] K * 0.3) @[s] V",
        {"Q": (2, 3, 4, 5), "K": (2, 3, 6, 5), "V": (2, 3, 6, 2)},
        ["result = scaled_dot_product_attention(Q, K, V, scale=0.3)", "return result"],
    ),
    "attention of learned queries, repeated along the batch": (
        "def f(Q[q, h, k], K[b, s, h, k], V[b, s, h, v]) -> [b, q, h, v] = "
        "softmax[s](Q @[k] K / sqrt(|k|)) @[s] V",
        {"Q": (4, 3, 5), "K": (2, 6, 3, 5), "V": (2, 6, 3, 2)},
        ["result = scaled_dot_product_attention(Q.expand(b, -1, -1, -1).transpose(1, 2), "
         "K.transpose(1, 2), V.transpose(1, 2))", "return result.transpose(1, 2)"],
    ),
    "a sum that would have to be moved to begin a product": (
        "def f(X[b, s, d], G[b, h, d]; W[s, h]) -> [b, s, d] = X + W @[h] G",
        {"X": (2, 3, 4), "G": (2, 5, 4), "W": (3, 5)},
        ["product = matrix_columns(W, G)", "result = product + X", "return result"],
    ),
    "layer normalisation": (
        "def f(X[b, s, d]; g[d], c[d]) = standardize[d](X) * g + c", {"X": (2, 3, 4), "g": (4,), "c": (4,)},
        ["result = torch.layer_norm(X, (d,), weight=g, bias=c, eps=1e-05)", "return result"],
    ),
    "an embedding": (
        "def f(I[b, s]; E[v, d]) -> [b, s, d] = E[v = I]", {"I": (2, 3), "E": (5, 4)},
        ["result = torch.embedding(E, as_index(I))", "return result"],
    ),
    "slices": (
        "def f(X[a, b]) = X[a = 1:3, b = ::2]", {"X": (4, 6)},
        ["part = X[1:3]", "result = part[:, ::2]", "return result"],
    ),
    "tiles": (
        "def f(X[c, s]) -> [c, s, k] = pool[s, k = 3](X)", {"X": (2, 9)},
        ["result = X.unflatten(1, (part, 3))", "return result"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PRINTED)
def test_printed(name: str) -> None:
    text, shapes, expected = PRINTED[name]
    made = compiled(text, {key: np.zeros(shape, "i8" if key == "I" else "f8") for key, shape in shapes.items()})
    lines = body(made)
    last = lines[-1].removeprefix("return ")  # what a result is called is not this test's business
    assert [re.sub(rf"\b{last}\b", "result", line) for line in lines] == expected


def test_no_needless_permutation_between_statements() -> None:
    """The heads of a transformer move once each way, as views, which is what people write by hand."""
    made = compiled(
        """
def f(X[b, s, c]; Wq[h, k, c], Wk[h, k, c], Wv[h, v, c], Wo[c, h, v]) -> [b, s, c]:
    Q = Wq @[c] X
    K = Wk @[c] X
    V = Wv @[c] X
    A = softmax[s'](Q @[k] K[s -> s'] / sqrt(|k|))
    O = A @[s'] V[s -> s']
    return Wo @[h, v] O
""",
        {"X": np.zeros((2, 3, 4)), "Wq": np.zeros((2, 5, 4)), "Wk": np.zeros((2, 5, 4)), "Wv": np.zeros((2, 3, 4)),
         "Wo": np.zeros((4, 2, 3))},
    )  # fmt: skip
    assert "permute" not in made.code
    assert made.code.count(".transpose(1, 2)") == 4
    assert made.code.count("F.linear(") == 4
    assert made.code.count("scaled_dot_product_attention") == 1


@pytest.mark.parametrize(
    ("text", "axes", "line"),
    [
        ("def f(U[b, h], X[b, i]; W[i, h]) -> [b, h] = X @[i] W + U", "b h,b i,i h", "add_product(U, X, W)"),
        ("def f(U[h, b], X[b, i]; W[i, h]) -> [b, h] = U + X @[i] W", "h b,b i,i h", "add_product(U.t(), X, W)"),
        (
            "def f(U[b, g, h], X[b, i]; W[g, h, i]) -> [b, g, h] = W @[i] X + U",
            "b g h,b i,g h i",
            "add_product(U.flatten(1, 2), X, W.flatten(0, 1).t())",
        ),
    ],
)
def test_a_sum_begins_a_matrix_product(text: str, axes: str, line: str) -> None:
    sizes = {"b": 2, "g": 2, "h": 3, "i": 4}
    shapes = [[sizes[a] for a in one.split()] for one in axes.split(",")]
    arrays = {name: np.random.default_rng(0).standard_normal(s) for name, s in zip("UXW", shapes, strict=True)}
    made = compiled(text, arrays)
    agree(made, arrays)
    assert line in made.code
