"""Masks of attention that lack the query's axis, or all axes, as the kernel does not take them."""

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
