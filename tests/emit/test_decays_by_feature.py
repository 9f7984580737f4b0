"""Decays of which each feature has its own: in blocks as by all pairs, and no less sound than that."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.kernels import decays_by_feature
from namedlayers.emit.kernels.decays_by_feature import BLOCK, prefix_product_by_feature
from tests.emit.forms import text_of

GATED = text_of(
    "Q[t, key], K[s, key], V[s, val], A[t, key], B[s, key]",
    "return sum[key](where(s <= t, exp(A - B) * Q * K, 0)) @[s] V",
)
STEADY = text_of(
    "Q[t, key], K[s, key], V[s, val], g[key]", "return sum[key](where(s <= t, g^(t - s) * Q * K, 0)) @[s] V"
)


def _weights(decays: Any, places: int, positions: int, diagonal: int) -> Tensor:
    """[..., feature, place, position]"""
    far = (torch.arange(places).unsqueeze(1) + diagonal - torch.arange(positions)).double()
    seen, far = far >= 0, far.clamp(min=0)
    found: Tensor = seen.double()
    for name, *parts in decays:
        if name == "between":
            a, b = parts
            found = found * (a.unsqueeze(-1) - b.unsqueeze(-2)).masked_fill(~seen, -math.inf).exp()
        else:
            of = parts[0][..., None, None]
            found = found * (of**far if name == "power" else (of * far).exp())
    return found


def _by_pairs(decays: Any, q: Tensor, k: Tensor, v: Tensor | None, diagonal: int) -> Tensor:
    weights = _weights(decays, q.shape[-2], k.shape[-2], diagonal)
    products = torch.einsum("...tf,...sf,...fts->...ts", q, k, weights)
    return products.sum(-1) if v is None else products @ v


def _made(places: int, positions: int) -> list[Tensor]:
    make = torch.Generator().manual_seed(places)
    shapes = (2, places, 3), (2, positions, 3), (2, positions, 4)
    return [torch.randn(one, generator=make, dtype=torch.float64, requires_grad=True) for one in shapes]


def _decays(name: str, places: int, positions: int, step: float) -> list[tuple[Any, ...]]:
    make = torch.Generator().manual_seed(1)
    gates = (torch.rand(2, 3, max(places, positions), generator=make, dtype=torch.float64) * step).cumsum(-1)
    a, b = gates[..., :places].clone().requires_grad_(), gates[..., :positions].clone().requires_grad_()
    base = torch.tensor([0.0, 0.9, -0.5], dtype=torch.float64, requires_grad=True)
    rate = torch.tensor([-0.1, 0.0, -3.0], dtype=torch.float64, requires_grad=True)
    every: dict[str, list[tuple[Any, ...]]] = {
        "between": [("between", a, b)],
        "power": [("power", base)],
        "rate": [("rate", rate)],
        "several": [("between", a, b), ("power", base), ("rate", rate)],
    }
    return every[name]


@pytest.mark.parametrize("name", ["between", "power", "rate", "several"])
@pytest.mark.parametrize("diagonal", [0, -1, 3, -70, 70])
@pytest.mark.parametrize("lengths", [(0, 0), (0, 5), (5, 0), (7, 7), (100, 100), (100, 70), (70, 100)])
@pytest.mark.parametrize("valued", [True, False])
def test_blocks(lengths: tuple[int, int], diagonal: int, name: str, valued: bool) -> None:
    (q, k, values), decays = _made(*lengths), _decays(name, *lengths, -0.3)
    v = values if valued else None
    found, wanted = prefix_product_by_feature(q, k, v, diagonal, decays), _by_pairs(decays, q, k, v, diagonal)
    torch.testing.assert_close(found, wanted)
    slope = torch.randn(wanted.shape, dtype=torch.float64)
    given = [q, k, *([values] if valued else []), *(part for _, *parts in decays for part in parts)]
    slopes = [torch.autograd.grad(one, given, slope, materialize_grads=True) for one in (found, wanted)]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("step", [-40.0, -1.0, -0.01, 0.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gates_that_close_or_open(step: float, dtype: torch.dtype) -> None:
    """Nothing overflows and nothing is lost, whether weights can be shared out or not."""
    q, k, v = (one.detach().abs().to(dtype) for one in _made(150, 150))
    gates = _decays("between", 150, 150, step)[0][1].detach().to(dtype).requires_grad_()
    found = nl.compile(GATED)(q, k, v, gates.mT, gates.mT)
    exact = gates.detach().double()
    wanted = _by_pairs([("between", exact, exact)], q.double(), k.double(), v.double(), 0)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-6)
    assert torch.autograd.grad((found / wanted).sum(), gates)[0].isfinite().all()


@pytest.mark.parametrize("text", [GATED, STEADY])
@pytest.mark.parametrize("infinity", [torch.inf, torch.nan])
@pytest.mark.parametrize("way", ["here", "mapped", "traced"])
def test_what_is_not_seen_is_not_looked_at(text: str, infinity: float, way: str) -> None:
    length, at = 150, 50
    q, k, v = (one.detach() for one in _made(length, length))
    gates = _decays("between", length, length, -0.1)[0][1].detach().mT
    given = [q, k, v, *((gates, gates) if text is GATED else (torch.tensor([0.9, 0.5, 1.0]).double(),))]
    function = nl.compile(text)
    wanted = function(*given)
    k[:, at, 0] = infinity
    torch._dynamo.reset()
    if way == "mapped" and text is GATED:
        found = torch.func.vmap(function)(*given)
    else:
        found = (torch.compile(function, fullgraph=True, backend="aot_eager") if way == "traced" else function)(*given)
    torch.testing.assert_close(found[:, :at], wanted[:, :at])
    assert not found[:, at].isfinite().any()


def test_transformed() -> None:
    q, k, v = (one.detach() for one in _made(70, 70))
    decays = [("between", *(part.detach() for part in _decays("between", 70, 70, -0.3)[0][1:]))]
    tangents = tuple(torch.randn_like(one) for one in (q, k, v))
    found, wanted = (
        torch.func.jvp(lambda q, k, v, way=way: way(decays, q, k, v), (q, k, v), tangents)[1]
        for way in (
            lambda decays, q, k, v: prefix_product_by_feature(q, k, v, 0, decays),
            lambda decays, q, k, v: _by_pairs(decays, q, k, v, 0),
        )
    )
    torch.testing.assert_close(found, wanted)


def test_weights_are_shared_out_where_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    shared: list[bool] = []
    share = decays_by_feature._shared_out

    def seen(*given: Any) -> Any:
        found = share(*given)
        shared.append(found is not None)
        return found

    monkeypatch.setattr(decays_by_feature, "_shared_out", seen)
    q, k, v = (one.detach().float() for one in _made(100, 100))
    for step in (-0.5, -30.0):
        gates = _decays("between", 100, 100, step)[0][1].detach().float()
        prefix_product_by_feature(q, k, v, 0, [("between", gates, gates)])
    assert shared == [True, False]


@pytest.mark.parametrize("fixed", [True, False])
def test_exported(fixed: bool) -> None:
    class Module(torch.nn.Module):
        def forward(self, x: Tensor, gates: Tensor) -> Tensor:
            return function(x, x, x, gates, gates)

    function = nl.compile(GATED)
    length = torch.export.Dim("length", min=2, max=4096)
    shapes = None if fixed else {"x": {0: length}, "gates": {0: length}}
    exported = torch.export.export(Module(), (torch.rand(90, 3), torch.rand(90, 3)), dynamic_shapes=shapes)
    for count in [90] if fixed else [2, 90, 200]:
        x, gates = torch.rand(count, 3), -torch.rand(count, 3).cumsum(0)
        torch.testing.assert_close(exported.module()(x, gates), function(x, x, x, gates, gates))


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("text", [GATED, STEADY])
def test_memory_is_linear(text: str, backward: bool) -> None:
    function = nl.compile(text)
    taken = []
    for length in (256 * BLOCK, 512 * BLOCK):  # from 128 blocks on their sums are summed in blocks, too
        x = torch.randn(length, 2, requires_grad=backward)
        gates = -torch.rand(length, 2).cumsum(0)
        with torch.profiler.profile(profile_memory=True) as profile:
            found = function(x, x, x, *((gates, gates) if text is GATED else (torch.rand(2),)))
            if backward:
                found.sum().backward()
        taken.append(sum(max(event.cpu_memory_usage, 0) for event in profile.events()))
    assert taken[1] <= 2.1 * taken[0]
