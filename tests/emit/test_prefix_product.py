"""Products up to each place, in blocks: they give what the matrix of all products gives, in linear time and memory."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.kernels.prefix_product import LEAST_BLOCK, prefix_product, prefix_total, within_blocks
from namedlayers.emit.kernels.triangular_sums import prefix_sum
from tests.emit.forms import text_of
from tests.emit.harness import traced

QKV = "Q[t, key], K[s, key], V[s, val]"
CAUSAL = text_of(QKV, "return where(s <= t, exp(Q) @[key] exp(K), 0) @[s] V")
NORMED = text_of(QKV, "S = where(s <= t, exp(Q) @[key] exp(K), 0)\nreturn (S @[s] V) / sum[s](S)")

LENGTHS = [(0, 0), (0, 5), (5, 0), (7, 7), (64, 64), (200, 200), (300, 270), (270, 300), (257, 1000), (1000, 3)]
DIAGONALS = [0, -1, 2, -70, 70, -2000, 2000]


def _given(places: int, positions: int) -> list[Tensor]:
    make = torch.Generator().manual_seed(places)
    return [
        torch.randn(shape, generator=make, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 3, places, 4), (2, 1, positions, 4), (3, positions, 5))
    ]


def _whole(q: Tensor, k: Tensor, v: Tensor, diagonal: int) -> tuple[Tensor, Tensor]:
    products = (q @ k.mT).tril(diagonal)
    return products @ v, products.sum(-1)


def _in_blocks(q: Tensor, k: Tensor, v: Tensor, diagonal: int) -> tuple[Tensor, Tensor]:
    within = within_blocks(q, k, diagonal)
    return prefix_product(within, q, k, v, diagonal), prefix_total(within, q, k, diagonal)


@pytest.mark.parametrize("diagonal", DIAGONALS)
@pytest.mark.parametrize("lengths", LENGTHS)
def test_blocks(lengths: tuple[int, int], diagonal: int) -> None:
    """Values and slopes, however far a place sees, and whichever axes are broadcast."""
    given = _given(*lengths)
    found, wanted = _in_blocks(*given, diagonal), _whole(*given, diagonal)
    torch.testing.assert_close(found, wanted)
    weights = [torch.randn(one.shape, dtype=torch.float64) for one in wanted]
    torch.testing.assert_close(torch.autograd.grad(found, given, weights), torch.autograd.grad(wanted, given, weights))


@pytest.mark.parametrize("diagonal", DIAGONALS)
@pytest.mark.parametrize("lengths", [(7, 7), (300, 270), (0, 5), (5, 0)])
def test_transformed(lengths: tuple[int, int], diagonal: int) -> None:
    q, k, v = (one.detach() for one in _given(*lengths))
    mapped = torch.func.vmap(lambda q, k: _in_blocks(q, k, v, diagonal))(q, k)
    torch.testing.assert_close(mapped, _whole(q, k, v, diagonal))
    tangents = tuple(torch.randn_like(one) for one in (q, k, v))
    found, wanted = (
        torch.func.jvp(partial(way, diagonal=diagonal), (q, k, v), tangents)[1] for way in (_in_blocks, _whole)
    )
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("places", [0, 3, 5, 9])
@pytest.mark.parametrize("diagonal", [0, -1, 2, -20, 20])
def test_sums(places: int, diagonal: int) -> None:
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    wanted = torch.ones(places, 5, dtype=torch.float64).tril(diagonal) @ x
    torch.testing.assert_close(prefix_sum(x, 1, places, diagonal), wanted)


def test_what_is_not_seen_may_be_anything() -> None:
    for lengths in (20, 300):
        q, k, v = (torch.rand(lengths, 3) for _ in range(3))
        function = nl.compile(text_of(QKV, "return where(s <= t, Q @[key] K, 0) @[s] V"))
        before = function(q, k, v)
        k[-1], k[-2] = torch.inf, torch.nan
        assert torch.equal(function(q, k, v)[:-2], before[:-2])
        k = torch.rand(lengths, 3)
        k[0, 0] = torch.inf
        assert (function(q, k, v) == torch.inf).all()


def test_second_derivatives() -> None:
    function = nl.compile(NORMED)
    q = torch.rand(2 * LEAST_BLOCK + 3, 2, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(function(q, q, q).square().sum(), q, create_graph=True)
    along = torch.randn(q.shape, dtype=torch.float64)
    (found,) = torch.autograd.grad((slope * along).sum(), q)
    step = 1e-6

    def slope_at(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(function(x, x, x).square().sum(), x)[0]

    wanted = (slope_at(q + step * along) - slope_at(q - step * along)) / (2 * step)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backward", [False, True])
def test_memory_is_linear(backward: bool) -> None:
    """All that a call allocates grows as the length does."""
    function = nl.compile(NORMED)
    taken = []
    for length in (16 * LEAST_BLOCK, 32 * LEAST_BLOCK):
        x = torch.randn(length, 8, requires_grad=backward)
        with torch.profiler.profile(profile_memory=True) as profile:
            found = function(x, x, x)
            if backward:
                found.sum().backward()
        taken.append(sum(max(event.cpu_memory_usage, 0) for event in profile.events()))
    assert taken[1] <= 2.1 * taken[0]


@pytest.mark.parametrize("text", [CAUSAL, NORMED])
def test_traced(text: str) -> None:
    """What is traced gives the same, at other lengths too, and is made for all that have more than one block: for whole
    blocks, and for others."""
    function = nl.compile(text)
    quick, made = traced(function, dynamic=True)
    for length in (400, 129, 1000, 7, 64):
        x = torch.randn(length, 3, dtype=torch.float64)
        torch.testing.assert_close(quick(x, x, x), function(x, x, x))
    assert len(made) <= 3
    many = torch.randn(2, 400, 3, dtype=torch.float64)
    np.testing.assert_allclose(
        torch.func.vmap(function)(many, many, many).numpy(), torch.stack([function(x, x, x) for x in many]).numpy()
    )


@pytest.mark.parametrize("text", [CAUSAL, NORMED])
@pytest.mark.parametrize("fixed", [True, False])
def test_exported(text: str, fixed: bool) -> None:
    class Module(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return function(x, x, x)

    function = nl.compile(text)
    shapes = None if fixed else {"x": {0: torch.export.Dim("length", min=2, max=4096)}}
    exported = torch.export.export(Module(), (torch.rand(300, 3),), dynamic_shapes=shapes)
    assert any("cumsum" in str(node.target) for node in exported.graph.nodes) is fixed  # in blocks
    for count in [300] if fixed else [2, 300, 777]:
        x = torch.rand(count, 3)
        torch.testing.assert_close(exported.module()(x), function(x, x, x), rtol=1e-5, atol=1e-5)  # other orders


def test_the_products_are_computed_once() -> None:
    code = nl.compile(NORMED)
    x = torch.ones(3, 2)
    code(x, x, x)
    assert code.code.count("within_blocks(") == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64])
def test_precisions(dtype: torch.dtype) -> None:
    text = text_of(QKV, "return where(s <= t, Q @[key] K, 0) @[s] V")
    q = torch.rand(300, 4).to(dtype)
    wanted = _whole(q, q, q, 0)[0] if dtype.is_complex else _whole(q.float(), q.float(), q.float(), 0)[0].to(dtype)
    found = nl.compile(text)(q, q, q)
    assert found.dtype is dtype
    torch.testing.assert_close(found, wanted, rtol=2e-2, atol=1e-1)
