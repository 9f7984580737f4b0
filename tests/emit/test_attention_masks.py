"""Attention as the kernel does not take it: masks that lack the query's axis, or all axes; heads that share keys."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers import Case, case


def _attention(Q: np.ndarray, K: np.ndarray, V: np.ndarray, M: object = 0) -> np.ndarray:
    scores = K @ Q / np.sqrt(len(Q)) + M
    weights = np.exp(scores - scores.max())
    return weights / weights.sum() @ V


TEXT = """
def attention(Q[key], K[seq, key], V[seq, val]; M[{axes}] = {default}) -> [val]:
    return softmax[seq](Q @[key] K / sqrt(|key|) + M) @[seq] V
"""
SHAPES = {"Q": (3,), "K": (5, 3), "V": (5, 2)}
CASES = {
    "a mask over positions": case(TEXT.format(axes="seq", default=0), _attention, **SHAPES, M=(5,)),
    "a scalar": case(TEXT.format(axes="", default=0), _attention, **SHAPES, M=()),
    "a default": case(TEXT.format(axes="seq", default=2), _attention, **SHAPES),
    "a default that is a scalar": case(TEXT.format(axes="", default=2), _attention, **SHAPES),
}


@pytest.mark.parametrize("row", CASES.values(), ids=CASES.keys())
def test_masks(row: Case) -> None:
    row.check()


def _causal(Q: np.ndarray, K: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Queries [batch, place, head, key]; keys and values are those of a group of heads, or of all."""
    if K.ndim == 3:
        K, V = K[:, None], V[:, None]
    found = np.empty((*Q.shape[:-1], V.shape[-1]))
    share = Q.shape[2] // K.shape[1]
    for b, t, h in np.ndindex(Q.shape[:-1]):
        scores = K[b, h // share, : t + 1] @ Q[b, t, h] / np.sqrt(Q.shape[-1])
        weights = np.exp(scores - scores.max())
        found[b, t, h] = weights / weights.sum() @ V[b, h // share, : t + 1]
    return found


SHARED = {
    "one head of keys": case(
        """
        def f(Q[batch, t, head, key], K[batch, s, key], V[batch, s, val]) -> [batch, t, head, val]:
            return softmax[s](Q @[key] K / sqrt(|key|) + where(s <= t, 0, -inf)) @[s] V
        """,
        _causal, Q=(2, 4, 3, 5), K=(2, 4, 5), V=(2, 4, 6),
    ),
    "groups of heads": case(
        """
        def f(Q[batch, t, head, key], K[batch, group, s, key], V[batch, group, s, val]) -> [batch, t, head, val]:
            H = Q[head -> (group = 2, member)]
            A = softmax[s](H @[key] K / sqrt(|key|) + where(s <= t, 0, -inf))
            return (A @[s] V)[(group, member) -> head]
        """,
        _causal, Q=(3, 4, 6, 2), K=(3, 2, 4, 2), V=(3, 2, 4, 3),
    ),
    "two batches": case(
        """
        def f(Q[batch, t, head, key], K[batch, s, key], V[batch, s, val]) -> [batch, t, head, val]:
            X = Q[batch -> (a = 2, b)]
            Y = K[batch -> (a = 2, b)]
            Z = V[batch -> (a = 2, b)]
            return (softmax[s](X @[key] Y / sqrt(|key|) + where(s <= t, 0, -inf)) @[s] Z)[(a, b) -> batch]
        """,
        _causal, Q=(6, 4, 3, 5), K=(6, 4, 5), V=(6, 4, 6),
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", SHARED.values(), ids=SHARED.keys())
def test_heads_that_share_keys(row: Case) -> None:
    row.check()
