"""The formulas that the tests of calls share, and what torch says they compute."""

from __future__ import annotations

import torch

import namedlayers as nl

TEXT = """
def attention(Q[query, key], K[seq, key], V[seq, val]; M[query, seq] = 0) -> [query, val]:
    return softmax[seq](Q @[key] K / sqrt(|key|) + M) @[seq] V

def conv(X[chans, seq]; W[chans', chans, kernel]) -> [chans', seq]:
    return W @[chans, kernel] unroll[seq, kernel](X)

def fuse(A[i, x]; w[i]) -> [x] = w @[i] A

def scale(X[seq]; b[] = 1, by = 1) -> [seq] = b * X * by

def plus(x[], y[]) -> [] = x + y

def double(X[seq]) -> [seq] = 2 * X

def two(X[a], Y[a]) -> [a], []:
    return X + Y, X @[a] Y

def act(X[seq]; g = relu) -> [seq] = g(X)

def neg(X[]) -> [] = -X

def pool2d[h, w](X[h, w]; stride = 1) = max[kh, kw](unroll[h, w, kh = 2, kw = 2](X; stride = stride))

def mode(X[]) -> []:
    if training:
        return 3 * X
    else:
        return 2 * X

def gate(X[a]; p = 0.5, flag = False) -> [a]:
    if p > 0.25:
        Y = X * p
    else:
        Y = -X
    if flag:
        return Y + 1
    return Y

def matmul(X[a, b], Y[b, c]) -> [a, c] = X @[b] Y

def power(X[a]; n) -> [a]:
    Y = 1
    repeat n as i:
        Y = Y * X
    return Y + 0 * X

def total(X[a, b]) -> [b]:
    Y = X[a = 0]
    repeat |a| - 1 as i:
        Y = Y + X[a = i + 1]
    return Y

def embed(E[vocab, d], I[n]) -> [n, d] = E[vocab = I]

def norm(X[layer]; eps = 1e-5) -> [layer] = (X - mean[layer](X)) / sqrt(var[layer](X) + eps)
"""

FORMULAS = nl.loads(TEXT)


def softmax_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | float = 0.0
) -> torch.Tensor:
    """What `attention` computes."""
    return torch.softmax(q @ k.mT / k.shape[-1] ** 0.5 + mask, -1) @ v
