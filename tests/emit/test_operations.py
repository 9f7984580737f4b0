"""Every operation, planned and as written, against the reference: values, empty axes, axes of size 1, gradients."""

from __future__ import annotations

import warnings
import zlib
from typing import Any

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.errors import FormulaError
from tests.emit.harness import WAYS, agree, run, tensors

Q = "def f(Q[query, key], K[seq, key], V[seq, val]) = "

TABLE: dict[str, tuple[str, dict[str, Any]]] = {
    # --- elementwise
    "aligned": ("def f(A[i, j], B[j, i], C[j]) = A * B + C", {"A": (2, 3), "B": (3, 2), "C": (3,)}),
    "outer": ("def f(A[i], B[j], C[k]) -> [k, i, j] = A * B - C", {"A": (2,), "B": (3,), "C": (4,)}),
    "middle": ("def f(A[i, j, k], B[i, k], C[j]) = A / (2 + cos(B)) - C", {"A": (2, 3, 4), "B": (2, 4), "C": (3,)}),
    "numbers": ("def f(A[i]) = 2 ** A + A ** 2 - 1 / 3 + A % 2 + sqrt(3) * |i|", {"A": (3,)}),
    "inverses": ("def f(A[i], B[j]) = 1 / (2 + cos(A)) + 1 / (1 + j) + 1 / (3 + B * A)", {"A": (3,), "B": (2,)}),
    "scalars only": ("def f(A[i, j]) = |i| / |j| + sqrt(|i|) - rsqrt(|i|)", {"A": (2, 3)}),
    "coordinates": ("def f(A[i, j]) = A + i * 10 + j / 3", {"A": (2, 3)}),
    "coordinates only": ("def f(A[i, j]) = exp(i / 2) + sin(j)", {"A": (2, 3)}),
    "a literal": ("def f(A[i]) = pi", {"A": (2,)}),
    "unary": (
        "def f(A[i]) = tanh(A) + erf(A) + abs(A) + sign(A) + floor(A) + round(3 * A) + lgamma(A + 9)",
        {"A": (5,)},
    ),
    "a vector after a product": (
        "def f(A[i, j], B[j, k], C[k]) = tanh(A @[j] B) @[k] C",
        {"A": (2, 3), "B": (3, 4), "C": (4,)},
    ),
    "int": ("def f(A[i]) = int(3 * A) + int(A > 0) * int(|i| / 3) + int(2.9) + int(0.5 * i)", {"A": (5,)}),
    "an index of reals": (
        "def f(X[n, c], E[p, d]) -> [n, c, d] = E[p = int(clip((X + 1) * |p|, 0, |p| - 1))]",
        {"X": (3, 4), "E": (5, 2)},
    ),
    "of integers": ("def f(A[i]) = exp(A) + sqrt(A) / 2 + sigmoid(A)", {"A": np.array([0, 1, 2])}),
    "of booleans": ("def f(A[i], B[i]) = A + B - A * 3", {"A": np.array([True, False]), "B": np.array([True, True])}),
    "counting": ("def f(A[i]) = -A + abs(A) - A", {"A": np.array([True, False])}),
    "maximum": ("def f(A[i], B[j]) = maximum(A, 0.5) + minimum(A, B) + maximum(2, B)", {"A": (3,), "B": (2,)}),
    "logic": ("def f(A[i], B[j]) = not (A > 0 and B < 0.5) or A == 1", {"A": (4,), "B": (3,)}),
    "where": (
        "def f(A[i], B[j]) = where(A > 0, A, B) + where(B > 0, 1, -1) + where(i < 2, 0.1, 0.3)",
        {"A": (4,), "B": (3,)},
    ),
    "where, a size": ("def f(A[i, j]) = where(|i| > |j|, A, -A) * where(|i| > 2, 3, 4)", {"A": (3, 2)}),
    "a mask": ("def f(A[i, j]) = where(i <= j, A, -inf)", {"A": (3, 4)}),
    "complex": (
        "def f(A[i]) = real(A * (1 + 2j)) + imag(conj(A)) + abs(A) + angle(A)",
        {"A": np.array([1 + 2j, -1j, 0.5])},
    ),
    "complex of real": ("def f(A[i]) = exp(1j * A)", {"A": (4,)}),
    "logaddexp": ("def f(A[i], B[j]) = logaddexp(A, B) + logaddexp(B, 0)", {"A": (2,), "B": (3,)}),
    "activations": (
        'def f(A[i]) = relu(A) + silu(A) + gelu(A) + gelu(A; approximate = "tanh") + softplus(A)',
        {"A": (6,)},
    ),
    "clip": ("def f(A[i]) = clip(A, -0.5, 0.5) + atan2(A, 2)", {"A": (6,)}),
    # --- reductions
    "sums": ("def f(A[i, j, k]) = sum[i, k](A) + prod[i, k](A)", {"A": (2, 3, 4)}),
    "of everything": ("def f(A[i, j]) = sum[i, j](A) + max[i, j](A) * min[j, i](A) + prod[j, i](A)", {"A": (2, 3)}),
    "extremes": ("def f(A[i, j]) = max[j](A)", {"A": (2, 3)}),
    "smallest": ("def f(A[i, j]) = min[i](A)", {"A": (2, 3)}),
    "truth": ("def f(A[i, j]) = any[j](A > 0.5) and all[j](A < 1)", {"A": (4, 3)}),
    "count": ("def f(A[i, j]) = sum[j](A > 0)", {"A": (4, 3)}),
    "logsumexp": ("def f(A[i, j, k]) = logsumexp[i, k](A)", {"A": (2, 3, 4)}),
    "statistics": ("def f(A[i, j]) = mean[j](A) + var[j](A) + std[j](A; ddof = 1) + norm[j](A)", {"A": (2, 5)}),
    "statistics of all": ("def f(A[i, j]) = mean[i, j](A) + norm[i, j](A)", {"A": (2, 5)}),
    "sum of a literal": ("def f(A[i, j]) = sum[i](where(j > 0, 2, 3) + 0 * i)", {"A": (2, 3)}),
    "sum of the same": (
        "def f(A[i, j], B[k]) = sum[i](zeros[i, k] + B) + max[i](B + ones[i])",
        {"A": (2, 3), "B": (2,)},
    ),
    "cumulative": ("def f(A[i, j]) = cumsum[j](A) + cumprod[i](A) + cummax[j](A) + logcumsumexp[i](A)", {"A": (2, 3)}),
    "argmax": ("def f(A[i, j]) = argmax[j](A) - argmin[j](A)", {"A": (4, 3)}),
    "sorting": ("def f(A[i, j]) = sort[j](A) + argsort[j](A; descending = True)", {"A": (2, 4)}),
    "topk": ("def f(A[i, j]) -> [i, k] = topk[j, k = 2](A)", {"A": (2, 4)}),
    # --- softmax and norms
    "softmax": ("def f(A[i, j, k]) = softmax[j](A)", {"A": (2, 3, 4)}),
    "softmax over two": ("def f(A[i, j, k]) = softmax[i, k](A) + log_softmax[k, j](A)", {"A": (2, 3, 4)}),
    "standardize": ("def f(A[i, j], g[j], b[j]) = standardize[j](A) * g + b", {"A": (3, 4), "g": (4,), "b": (4,)}),
    "standardize first": ("def f(A[i, j], g[i]) = standardize[i](A) * g", {"A": (3, 4), "g": (3,)}),
    "standardize two": (
        "def f(A[b, i, j], g[j, i]) = standardize[i, j](A; eps = 0.1) * g",
        {"A": (2, 3, 4), "g": (4, 3)},
    ),
    "standardize all but one": (
        "def f(A[b, c, h], g[c], z[c]) = standardize[b, h](A; eps = 0.1) * g + z",
        {"A": (3, 2, 4), "g": (2,), "z": (2,)},
    ),
    "standardize all but the last": ("def f(A[b, h, c], g[c]) = standardize[b, h](A) * g", {"A": (3, 2, 4), "g": (4,)}),
    "standardize one in the middle": ("def f(A[b, h, c]) = standardize[h](A)", {"A": (3, 5, 4)}),
    "root mean square": ("def f(A[i, j], g[j]) = A / sqrt(mean[j](A ^ 2) + 1e-6) * g", {"A": (3, 4), "g": (4,)}),
    # --- contractions
    "product": ("def f(A[i, j], B[j, k]) = A @[j] B", {"A": (2, 3), "B": (3, 4)}),
    "product, turned": ("def f(A[i, j], B[k, j]) -> [k, i] = A @[j] B", {"A": (2, 3), "B": (4, 3)}),
    "with data": (
        "def f(X[b, s, c], W[o, c], v[o]) -> [b, s, o] = X @[c] W + v",
        {"X": (2, 3, 4), "W": (5, 4), "v": (5,)},
    ),
    "with data, turned": (
        "def f(X[b, s, c]; W[c, o], v[o]) -> [b, s, o] = X @[c] W + v",
        {"X": (2, 3, 4), "W": (4, 5), "v": (5,)},
    ),
    "heads": ("def f(X[b, s, c]; W[h, d, c]) -> [b, h, s, d] = X @[c] W", {"X": (2, 3, 4), "W": (2, 5, 4)}),
    "out of heads": (
        "def f(X[b, h, s, d]; W[h, d, c]) -> [b, s, c] = X @[h, d] W",
        {"X": (2, 3, 4, 5), "W": (3, 5, 6)},
    ),
    "channels amid": ("def f(X[b, c, h, w]; W[o, c]) -> [b, o, h, w] = X @[c] W", {"X": (2, 3, 4, 5), "W": (6, 3)}),
    "batches": ("def f(A[b, i, j], B[b, j, k]) -> [b, i, k] = A @[j] B", {"A": (2, 3, 4), "B": (2, 4, 5)}),
    "batches, turned": ("def f(A[i, b, j], B[j, k, b]) -> [i, k, b] = A @[j] B", {"A": (3, 2, 4), "B": (4, 5, 2)}),
    "batches of heads": (
        "def f(A[b, i, h, j], B[b, j, h, k]) -> [b, i, h, k] = A @[j] B",
        {"A": (2, 3, 4, 5), "B": (2, 5, 4, 3)},
    ),
    "many groups": (
        "def f(A[b, i, c, j, m], B[j, b, k, m, l, c]) -> [k, i, c, l, b] = A @[j, m] B",
        {"A": (2, 3, 2, 4, 3), "B": (4, 2, 3, 3, 2, 2)},
    ),
    "dot": ("def f(A[i], B[i]) = A @[i] B", {"A": (4,), "B": (4,)}),
    "dot of two axes": ("def f(A[i, j], B[j, i]) = A @[i, j] B", {"A": (4, 3), "B": (3, 4)}),
    "rows of dots": ("def f(A[b, i], B[i, b]) = A @[i] B", {"A": (2, 4), "B": (4, 2)}),
    "vector": ("def f(A[i, j, k], B[j]) = A @[j] B", {"A": (2, 3, 4), "B": (3,)}),
    "vector first": ("def f(A[i, j], B[i]) = A @[i] B", {"A": (2, 3), "B": (2,)}),
    "vector of batches": ("def f(A[b, j], B[b, j, k]) = A @[j] B", {"A": (2, 3), "B": (2, 3, 4)}),
    "three": ("def f(A[i, j], B[j, k], C[k, l]) = A @[j] B @[k] C", {"A": (2, 3), "B": (3, 4), "C": (4, 5)}),
    "bilinear": (
        "def f(X[i, a], Y[j, b]; W[a, b, o]) = sum[a, b](X * Y * W)",
        {"X": (2, 3), "Y": (4, 5), "W": (3, 5, 2)},
    ),
    "in one alone": ("def f(A[i, j, m], B[j, k, n]) = sum[j, m, n](A * B)", {"A": (2, 3, 4), "B": (3, 4, 2)}),
    "sum of an outer": ("def f(A[i, m], B[k, n]) = sum[m, n](A * B)", {"A": (2, 3), "B": (3, 4)}),
    "a square": ("def f(A[i, j]) -> [i, i'] = A @[j] A[i -> i']", {"A": (2, 3)}),
    "diagonal": ("def f(A[i, i']) = sum[i](A[i' = i])", {"A": (3, 3)}),
    "of integers and reals": ("def f(A[i, j], B[j, k]) = A @[j] B", {"A": np.arange(6).reshape(2, 3), "B": (3, 4)}),
    "integer product": (
        "def f(A[i, j], B[j, k]) = A @[j] B",
        {"A": np.arange(6).reshape(2, 3), "B": np.arange(12).reshape(3, 4)},
    ),
    "boolean product": ("def f(A[i, j], B[j]) = (A > 0) @[j] (B > 0)", {"A": (2, 5), "B": (5,)}),
    "complex product": ("def f(A[i], B[i, j]) = A @[i] B", {"A": np.array([1j, 2]), "B": np.array([[1, 2j], [3, 4]])}),
    "with coordinates": ("def f(A[i, j]) = A @[j] (j + 1) + (j / 2) @[j] A", {"A": (2, 3)}),
    "with the same": ("def f(A[i, j]) = A @[j] ones[j] + ones[i, j] @[j] ones[j]", {"A": (2, 3)}),
    # --- attention
    "attention": (Q + "softmax[seq](Q @[key] K / sqrt(|key|)) @[seq] V", {"Q": (3, 4), "K": (5, 4), "V": (5, 2)}),
    "attention, unscaled": (Q + "softmax[seq](Q @[key] K) @[seq] V", {"Q": (3, 4), "K": (5, 4), "V": (5, 2)}),
    "attention, scaled otherwise": (
        Q + "softmax[seq](Q @[key] K * 0.3) @[seq] V",
        {"Q": (3, 4), "K": (5, 4), "V": (5, 2)},
    ),
    "attention, causal": (
        Q + "softmax[seq](where(seq <= query, Q @[key] K / sqrt(|key|), -inf)) @[seq] V",
        {"Q": (3, 4), "K": (5, 4), "V": (5, 2)},
    ),
    "attention of heads": (
        "def f(Q[b, h, q, k], K[b, h, s, k], V[b, h, s, v], M[q, s]) -> [b, h, q, v] = "
        "softmax[s](Q @[k] K / sqrt(|k|) + M) @[s] V",
        {"Q": (2, 3, 4, 5), "K": (2, 3, 6, 5), "V": (2, 3, 6, 2), "M": (4, 6)},
    ),
    "attention, split heads": (
        "def f(Q[b, q, h, k], K[b, s, h, k], V[b, s, h, v], M[b, s]) -> [b, q, h, v] = "
        "softmax[s](Q @[k] K / sqrt(|k|) + M) @[s] V",
        {"Q": (2, 4, 3, 5), "K": (2, 6, 3, 5), "V": (2, 6, 3, 2), "M": (2, 6)},
    ),
    "attention, shared keys": (
        "def f(Q[b, h, q, k], K[b, s, k], V[b, s, v], M[h, q, s]) -> [b, h, q, v] = "
        "softmax[s](Q @[k] K / sqrt(|k|) + M) @[s] V",
        {"Q": (2, 3, 4, 5), "K": (2, 6, 5), "V": (2, 6, 2), "M": (3, 4, 6)},
    ),
    "attention over images": (
        "def f(Q[b, x, y, k], K[b, u, w, k], V[b, u, w, g, v], A[b, u, w]) -> [b, x, y, g, v] = "
        "softmax[u, w](where(A == 0, Q @[k] K / sqrt(|k|), -inf)) @[u, w] V",
        {"Q": (2, 2, 3, 4), "K": (2, 3, 2, 4), "V": (2, 3, 2, 2, 3), "A": np.arange(12).reshape(2, 3, 2) % 3},
    ),
    "attention, three batches": (
        "def f(Q[a, b, c, q, k], K[a, b, c, s, k], V[c, b, s, v], M[b, q, s]) -> [a, b, c, q, v] = "
        "softmax[s](Q @[k] K / sqrt(|k|) + M) @[s] V",
        {"Q": (2, 3, 2, 4, 5), "K": (2, 3, 2, 6, 5), "V": (2, 3, 6, 2), "M": (3, 4, 6)},
    ),
    # --- windows
    "conv1d": (
        "def f(X[c, s]; W[o, c, k], b[o]) -> [o, s] = W @[c, k] unroll[s, k](X) + b",
        {"X": (3, 8), "W": (4, 3, 3), "b": (4,)},
    ),
    "conv1d, strided": (
        "def f(X[n, c, s]; W[o, c, k]) -> [n, o, s] = W @[c, k] unroll[s, k](X; stride = 2, dilation = 2, padding = 1)",
        {"X": (2, 3, 9), "W": (4, 3, 3)},
    ),
    "conv1d, same": (
        'def f(X[n, c, s]; W[o, c, k]) -> [n, o, s] = W @[c, k] unroll[s, k](X; padding = "same")',
        {"X": (2, 3, 9), "W": (4, 3, 4)},
    ),
    "conv1d, uneven": (
        "def f(X[n, c, s]; W[o, c, k]) -> [n, o, s] = W @[c, k] unroll[s, k](X; padding = (0, 2), stride = 2)",
        {"X": (2, 3, 9), "W": (4, 3, 4)},
    ),
    "conv without channels": ("def f(X[s]; W[k]) = W @[k] unroll[s, k](X)", {"X": (9,), "W": (4,)}),
    "conv2d": (
        "def f(X[n, c, h, w]; W[o, c, i, j], b[o]) -> [n, o, h, w] = W @[c, i, j] unroll[h, w, i, j](X; padding = "
        "1) + b",
        {"X": (2, 3, 5, 6), "W": (4, 3, 3, 3), "b": (4,)},
    ),
    "conv2d, groups": (
        "def f(X[n, g, c, h, w]; W[g, o, c, i, j]) -> [n, g, o, h, w] = W @[c, i, j] unroll[h, w, i, j](X)",
        {"X": (2, 2, 3, 5, 6), "W": (2, 4, 3, 3, 2)},
    ),
    "conv2d, by depth": (
        "def f(X[n, h, w, c]; W[c, i, j]) -> [n, h, w, c] = W @[i, j] unroll[h, w, i, j](X)",
        {"X": (2, 5, 6, 3), "W": (3, 3, 2)},
    ),
    "conv3d": (
        "def f(X[c, x, y, z]; W[o, c, i, j, k]) -> [o, x, y, z] = W @[c, i, j, k] unroll[x, y, z, i, j, k](X)",
        {"X": (2, 4, 5, 3), "W": (3, 2, 2, 3, 2)},
    ),
    "conv2d, uneven": (
        "def f(X[n, c, h, w]; W[o, c, i, j], b[o]) -> [n, o, h, w] ="
        ' W @[c, i, j] unroll[h, w, i, j](X; padding = "same") + b',
        {"X": (2, 3, 5, 6), "W": (4, 3, 2, 4), "b": (4,)},
    ),
    "conv2d, rounds": (
        "def f(X[n, c, h, w]; W[o, c, i, j]) -> [n, o, h, w] = "
        'W @[c, i, j] unroll[h, w, i, j](X; padding = 1, mode = "circular", stride = 2)',
        {"X": (2, 3, 5, 6), "W": (4, 3, 3, 3)},
    ),
    "conv of split channels": (
        "def f(X[n, c, d, h]; W[o, p, d, c, i]) -> [n, o, p, h] = W @[c, d, i] unroll[h, i](X)",
        {"X": (2, 3, 2, 6), "W": (2, 3, 2, 3, 3)},
    ),
    "max pool": ("def f(X[n, c, h, w]) = max[i, j](pool[h, w, i = 2, j = 2](X))", {"X": (2, 3, 4, 6)}),
    "max pool, overlapping": ("def f(X[c, h]) = max[i](unroll[h, i = 3](X; stride = 2))", {"X": (2, 9)}),
    "mean pool": ("def f(X[n, h, w]) = mean[i, j](pool[h, w, i = 2, j = 3](X))", {"X": (2, 4, 6)}),
    "mean pool of images": ("def f(X[a, b, c, h]) = mean[i](unroll[h, i = 3](X; padding = 1))", {"X": (2, 2, 2, 6)}),
    "fold": (
        "def f(X[c, s, k]) = fold[s, k](X; stride = 2, padding = 1)",
        {"X": (2, 4, 3)},
    ),
    # --- shapes
    "merge": ("def f(X[a, b, c]) -> [m, b] = X[(a, c) -> m]", {"X": (2, 3, 4)}),
    "merge in order": ("def f(X[a, b, c]) -> [a, m] = X[(b, c) -> m]", {"X": (2, 3, 4)}),
    "split": ("def f(X[a, b]) -> [x, y, a] = X[b -> (x = 2, y)]", {"X": (3, 8)}),
    "slices": ("def f(X[a, b]) = X[a = 1:3, b = ::2]", {"X": (4, 5)}),
    "slice from the end": ("def f(X[a, b]) = X[a = -1, b = -3:]", {"X": (4, 5)}),
    "flip": ("def f(X[a, b]) = flip[b](X)", {"X": (4, 5)}),
    "roll": ("def f(X[a, b]) = roll[b](X; shift = 2)", {"X": (4, 5)}),
    "diagonal of a pair": ("def f(A[i, j]) -> [i] = A[j = i]", {"A": (3, 3)}),
    "shifted diagonal": ("def f(A[i, j]) -> [i] = A[i = i, j = 2 * i]", {"A": (3, 6)}),
    "band": ("def f(A[i, j]) -> [i, k] = A[j = i + k]", {"A": (3, 6)}),
    "every other one, backwards": ("def f(A[i, j], T[t]) = A[j = 4 - 2 * t] * T", {"A": (3, 6), "T": (3,)}),
    "two at once": ("def f(A[i, j, k]) -> [k, t] = A[i = t, j = t + 1]", {"A": (3, 4, 2)}),
    "windows, backwards": ("def f(A[j], T[t], K[k]) = A[j = 5 - t - k] * T * K", {"A": (6,), "T": (4,), "K": (3,)}),
    "windows": ("def f(X[c, s]) -> [c, s, k] = unroll[s, k = 3](X; stride = 2)", {"X": (2, 9)}),
    "tiles": ("def f(X[s, c]) -> [c, s, k] = pool[s, k = 3](X)", {"X": (9, 2)}),
    "tiles, dropped": ('def f(X[s, c]) -> [c, s, k] = pool[s, k = 3](X; remainder = "drop")', {"X": (10, 2)}),
    "pad": ("def f(X[a, b]) = pad[b](X; before = 1, after = 2, value = 0.5)", {"X": (2, 3)}),
    "pad with a tensor": (
        "def f(X[a, b], v[a]) = pad[b](X; before = 1, after = 2, value = sum[a](v))",
        {"X": (2, 3), "v": (2,)},
    ),
    "pad round": ('def f(X[a, b]) = pad[b](X; before = 2, after = 3, mode = "circular")', {"X": (2, 3)}),
    "pad mirrored": ('def f(X[a, b]) = pad[b](X; before = 2, after = 2, mode = "reflect")', {"X": (2, 3)}),
    "pad replicated": ('def f(X[a, b]) = pad[b](X; before = 2, after = 1, mode = "replicate")', {"X": (2, 3)}),
    "concat": ("def f(X[a, b], Y[c, a]) = concat[b](X, Y[c -> b], zeros[b = 3])", {"X": (2, 3), "Y": (4, 2)}),
    "concat of kinds": ("def f(X[a, b], Y[b]) = concat[b](X, Y > 0)", {"X": (2, 3), "Y": (3,)}),
    "stack": ("def f(X[a, b], Y[b]) -> [a, s, b] = stack[s](X, Y, 1)", {"X": (2, 3), "Y": (3,)}),
    "repeat": ("def f(X[a]) -> [a, r] = X + zeros[r = 3]", {"X": (2,)}),
    "eye": ("def f(X[a]) -> [j, i] = eye[i = 3, j = 4]", {"X": (2,)}),
    # --- gathers
    "embedding": ("def f(E[v, d], I[s]) = E[v = I]", {"E": (5, 3), "I": np.array([0, 4, 2, 2])}),
    "embedding of two": ("def f(E[v, d], I[b, s]) = E[v = I]", {"E": (5, 3), "I": np.array([[0, 4, 2], [2, 1, 3]])}),
    "embedding, last": ("def f(E[d, v], I[b, s]) = E[v = I]", {"E": (3, 5), "I": np.array([[0, 4, 2], [2, 1, 3]])}),
    "one row": ("def f(E[v, d], I[]) = E[v = I]", {"E": (5, 3), "I": np.array(2)}),
    "along": ("def f(X[b, v], I[b]) = X[v = I]", {"X": (3, 5), "I": np.array([0, 4, 2])}),
    "along, several": (
        "def f(X[b, v, e], I[b, t]) -> [b, t, e] = X[v = I]",
        {"X": (2, 5, 3), "I": np.array([[0, 4, 2], [2, 1, 3]])},
    ),
    "pairs": (
        "def f(X[a, b, c], I[p], J[p]) = X[a = I, b = J]",
        {"X": (3, 4, 2), "I": np.array([0, 2, 1]), "J": np.array([3, 0, 1])},
    ),
    "pairs, aligned": (
        "def f(X[b, u, v, c], I[b, p], J[p]) -> [b, p, c] = X[u = I, v = J]",
        {"X": (2, 3, 4, 2), "I": np.array([[0, 2, 1], [1, 1, 0]]), "J": np.array([3, 0, 1])},
    ),
    "pairs, filled": (
        "def f(X[u, v], I[p], J[q]) = X[u = I, v = J; fill = -1]",
        {"X": (3, 4), "I": np.array([0, 3, -1]), "J": np.array([3, 4, 1])},
    ),
    "along, filled": ("def f(X[b, v], I[b]) = X[v = I; fill = inf]", {"X": (3, 5), "I": np.array([0, 7, -2])}),
    "of the same": ("def f(X[b], I[p]) = (X + zeros[v = 4])[v = I]", {"X": (3,), "I": np.array([0, 3])}),
    "integers": ("def f(X[v, w], I[p]) = X[v = I] + 1", {"X": np.arange(6).reshape(3, 2), "I": np.array([0, 2])}),
    "filled": ("def f(X[t, c]) = X[t = t - 1; fill = 0]", {"X": (4, 2)}),
    "filled by indices": ("def f(X[t, c], I[s]) = X[t = I; fill = 7]", {"X": (4, 2), "I": np.array([-1, 0, 4, 3])}),
    "one-hot": ("def f(E[v, d], I[s]) = E @[v] one_hot[v](I)", {"E": (5, 3), "I": np.array([0, 4, 2])}),
    "index-add": (
        "def f(X[s, d], I[s], N[v]) = X @[s] one_hot[v](I) + N",
        {"X": (3, 2), "I": np.array([0, 3, 0]), "N": (4,)},
    ),
    "index-add of rows": (
        "def f(X[b, s, d], I[b, s], N[v]) = X @[s] one_hot[v](I) + N",
        {"X": (2, 3, 2), "I": np.array([[0, 3, 0], [1, 1, 9]]), "N": (4,)},
    ),
    "cross entropy": (
        "def f(X[b, v], I[b]) = -mean[b](log_softmax[v](X)[v = I])",
        {"X": (3, 5), "I": np.array([0, 4, 2])},
    ),
    # --- transforms and linear algebra
    "fft": ("def f(X[a, t]) -> [a, w] = abs(fft[t -> w](X))", {"X": (2, 5)}),
    "inverse": ("def f(A[b, i, j]) = inv[i, j](A + 5 * eye[i, j])", {"A": (2, 3, 3)}),
    "inverse, turned": ("def f(A[j, b, i]) = inv[i, j](A + 5 * eye[i, j])", {"A": (3, 2, 3)}),
    "solve": ("def f(A[b, i, j], y[i, c]) = solve[i, j](A + 5 * eye[i, j], y)", {"A": (2, 3, 3), "y": (3, 2)}),
    "solve one": ("def f(A[i, j], y[i]) = solve[i, j](A + 5 * eye[i, j], y)", {"A": (3, 3), "y": (3,)}),
    "cholesky": (
        "def f(A[i, k]) -> [i, j] = cholesky[i, j](A @[k] A[i -> j] + eye[i, j])",
        {"A": (3, 4)},
    ),
    "determinant": ("def f(A[i, j, b]) = det[i, j](A)", {"A": (3, 3, 2)}),
    "trace": ("def f(A[i, j, b]) = trace[i, j](A)", {"A": (3, 3, 2)}),
    "epsilon": ("def f(A[i]) = A + finfo_eps(A)", {"A": (3,)}),
}


def arrays_of(text: str, inputs: dict[str, Any], shrink: int | None = None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(zlib.crc32(text.encode()))
    found = {}
    for name, one in inputs.items():
        shape = one if isinstance(one, tuple) else one.shape
        if shrink is not None:
            shape = (shrink,) * len(shape)
        if isinstance(one, tuple):
            found[name] = rng.standard_normal(shape)
        else:
            found[name] = one if shrink is None else np.zeros(shape, one.dtype)
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TABLE)
def test_values(name: str, way: str) -> None:
    text, inputs = TABLE[name]
    arrays = arrays_of(text, inputs)
    made = WAYS[way](text, arrays)
    agree(made, arrays)
    if not any(array.dtype.kind == "c" for array in arrays.values()):
        agree(made, arrays, torch.float32, 2e-4)


@pytest.mark.parametrize("size", (0, 1))
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TABLE)
def test_small_sizes(name: str, way: str, size: int) -> None:
    """Where the formula admits such sizes, empty axes and axes of size 1 give what the reference gives."""
    text, inputs = TABLE[name]
    arrays = arrays_of(text, inputs, size)
    made = WAYS[way](text, arrays_of(text, inputs))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            agree(made, arrays)
        except FormulaError as error:
            assert error.code.startswith("NL0")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TABLE)
def test_gradients(name: str, way: str) -> None:
    """Of real inputs, against finite differences, in float64."""
    text, inputs = TABLE[name]
    arrays = arrays_of(text, inputs)
    made = WAYS[way](text, arrays)
    args = [t.requires_grad_() if t.is_floating_point() else t for t in tensors(made, arrays)]
    if any(one.requires_grad for one in run(made, args)):
        assert torch.autograd.gradcheck(lambda *given: finite(run(made, list(given))), args, fast_mode=True)


def finite(found: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """The results that have gradients, without infinities, whose finite differences are NaN."""
    real = (torch.view_as_real(one) if one.is_complex() else one for one in found if one.requires_grad)
    return tuple(one.nan_to_num(posinf=0.0, neginf=0.0) for one in real)


@pytest.mark.parametrize("text", ["A // 3", "A // B", "7 // A", "A // 2 % 3 + A % B"])
def test_floors_of_quotients_have_gradients(text: str) -> None:
    function = nl.compile(f"def f(A[i], B[i]) = {text}\n")
    A, B = torch.tensor([2.5, -7.5, 4.25]).double(), torch.tensor([0.7, 2.0, -1.5]).double()
    torch.testing.assert_close(function(A, B), function.reference(A, B))
    assert torch.autograd.gradcheck(function, (A.requires_grad_(), B.requires_grad_()), eps=1e-7)
    torch.testing.assert_close(torch.compile(function, backend="aot_eager", fullgraph=True)(A, B), function(A, B))
