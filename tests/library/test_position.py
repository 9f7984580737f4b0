"""Positions against the papers' code."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import namedlayers as nl

POSITION = nl.load("position")


@pytest.mark.parametrize("shape", [(1, 2), (5, 6), (0, 4), (7, 2), (2, 3, 5, 8)])
def test_sinusoids_are_those_of_the_paper(shape: tuple[int, ...]) -> None:
    """PE(pos, 2 i) = sin(pos / 10000^(2 i / d)), PE(pos, 2 i + 1) = cos(…)"""
    X = torch.randn(shape, dtype=torch.float64)
    wanted = torch.empty(shape[-2:], dtype=torch.float64)
    for pos in range(shape[-2]):
        for i in range(0, shape[-1], 2):
            wanted[pos, i] = math.sin(pos / 10000 ** (i / shape[-1]))
            wanted[pos, i + 1] = math.cos(pos / 10000 ** (i / shape[-1]))
    torch.testing.assert_close(POSITION.SinePositions()(X), X + wanted)


def test_sines_and_cosines_stand_in_pairs() -> None:
    with pytest.raises(nl.SizeError, match="in pairs"):
        POSITION.SinePositions()(torch.randn(4, 5))


def test_learned_positions_are_rows_of_a_table() -> None:
    layer = POSITION.LearnedPositions(longest=9).double()
    X = torch.randn(2, 4, 3, dtype=torch.float64)
    Y = layer(X)
    assert layer.P.shape == (9, 3)
    torch.testing.assert_close(Y, X + layer.P[:4])
    with pytest.raises(nl.FormulaError):
        layer(torch.randn(2, 10, 3, dtype=torch.float64))


def rotate_pairs(X: Tensor, base: float, offset: int) -> Tensor:
    """RoFormer, equation 34: each pair is a complex number, times e^(i m theta)."""
    seq, key = X.shape[-2:]
    theta = base ** (-torch.arange(0, key, 2, dtype=X.dtype) / key)
    angle = (torch.arange(seq, dtype=X.dtype) + offset)[:, None] * theta
    turned = torch.view_as_complex(X.unflatten(-1, (-1, 2)).contiguous()) * torch.polar(torch.ones_like(angle), angle)
    return torch.view_as_real(turned).flatten(-2)


def rotate_halves(X: Tensor, base: float, offset: int) -> Tensor:
    """As transformers' Llama does: X cos + rotate_half(X) sin."""
    seq, key = X.shape[-2:]
    theta = base ** (-torch.arange(0, key, 2, dtype=X.dtype) / key)
    angle = (torch.arange(seq, dtype=X.dtype) + offset)[:, None] * theta.repeat(2)
    low, high = X.chunk(2, -1)
    return X * angle.cos() + torch.cat([-high, low], -1) * angle.sin()


@pytest.mark.parametrize(("layout", "original"), [("pairs", rotate_pairs), ("halves", rotate_halves)])
@pytest.mark.parametrize("shape", [(1, 2), (5, 6), (0, 4), (2, 3, 7, 8)])
@pytest.mark.parametrize(("base", "offset"), [(10000, 0), (500000.0, 3)])
def test_rotary(layout: str, original, shape: tuple[int, ...], base: float, offset: int) -> None:  # type: ignore[no-untyped-def]
    X = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    found, wanted = POSITION.rotary(X, base=base, offset=offset, layout=layout), original(X, base, offset)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-10)
    weights = torch.randn_like(wanted)
    (one,), (other,) = (torch.autograd.grad(Y, X, weights) for Y in (found, wanted))
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def test_rotary_needs_pairs() -> None:
    with pytest.raises(nl.SizeError):
        POSITION.rotary(torch.randn(4, 5))
    with pytest.raises(nl.FormulaError, match="layout"):
        POSITION.rotary(torch.randn(4, 6), layout="thirds")


def slopes(n: int) -> list[float]:
    """`get_slopes` of the authors (ofirpress/attention_with_linear_biases)."""
    if math.log2(n).is_integer():
        start = 2 ** (-(2 ** -(math.log2(n) - 3)))
        return [start * start**i for i in range(n)]
    closest = 2 ** math.floor(math.log2(n))
    return slopes(closest) + slopes(2 * closest)[0::2][: n - closest]


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 6, 8, 12, 16, 20, 31, 64])
def test_alibi(heads: int) -> None:
    bias = nl.compile(
        """
        from position import alibi

        def bias(Q[heads, query, key], K[heads, seq, key]) -> [heads, query, seq]:
            return alibi[heads, query, seq]() + 0 * (Q @[key] K)
        """
    )
    found = bias(torch.zeros(heads, 5, 2, dtype=torch.float64), torch.zeros(heads, 7, 2, dtype=torch.float64))
    distance = (torch.arange(7) - torch.arange(5)[:, None]).abs()
    wanted = -torch.tensor(slopes(heads), dtype=torch.float64)[:, None, None] * distance
    torch.testing.assert_close(found, wanted)
