"""What counts less the further back it lies: in blocks as in the matrix of all pairs, and no less sound than that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.kernels.carried_states import states_before
from namedlayers.emit.kernels.decays import Decays
from namedlayers.emit.kernels.prefix_product import decayed_sum, prefix_product, prefix_total, within_blocks
from tests.emit.forms import text_of
from tests.emit.harness import traced

LENGTHS = [(0, 0), (0, 5), (5, 0), (7, 7), (200, 200), (300, 270), (270, 300), (257, 1000), (1000, 3)]
DIAGONALS = [0, -1, 2, -70, 70, -2000, 2000]

RETENTION = text_of("Q[t, key], K[s, key], V[s, val], g[]", "return where(s <= t, g^(t - s) * (Q @[key] K), 0) @[s] V")
GATED = text_of(
    "Q[t, key], K[s, key], V[s, val], A[t], B[s]", "return where(s <= t, exp(A - B) * (Q @[key] K), 0) @[s] V"
)


def _made(places: int, positions: int) -> list[Tensor]:
    make = torch.Generator().manual_seed(places)
    return [
        torch.randn(shape, generator=make, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 3, places, 4), (2, 1, positions, 4), (3, positions, 5))
    ]


def _decays(places: int, positions: int) -> dict[str, list[tuple[Any, ...]]]:
    base = torch.tensor([0.9, 0.99, 0.5], dtype=torch.float64, requires_grad=True)
    rate = torch.tensor([[-0.1], [-0.01]], dtype=torch.float64, requires_grad=True)
    gates = -torch.rand(2, 1, max(places, positions), dtype=torch.float64).cumsum(-1)
    a, b = gates[..., :places].clone().requires_grad_(), gates[..., :positions].clone().requires_grad_()
    return {
        "power": [("power", base)],
        "rate": [("rate", rate)],
        "between": [("between", a, b)],
        "several": [("power", 0.9), ("between", a, b), ("rate", rate)],
    }


def _weights(decays: Sequence[tuple[Any, ...]], places: int, positions: int, diagonal: int) -> Tensor:
    far = (torch.arange(places).unsqueeze(1) + diagonal - torch.arange(positions)).double()
    seen, far = far >= 0, far.clamp(min=0)
    found: Tensor = seen.double()
    for name, *parts in decays:
        if name == "between":
            a, b = parts
            found = found * (a.unsqueeze(-1) - b.unsqueeze(-2)).masked_fill(~seen, 0).exp()
        else:
            of = torch.as_tensor(parts[0], dtype=torch.float64)[..., None, None]
            found = found * (of**far if name == "power" else (of * far).exp())
    return found


def _whole(decays: Any, q: Tensor, k: Tensor, v: Tensor, diagonal: int) -> tuple[Tensor, ...]:
    weights = _weights(decays, q.shape[-2], k.shape[-2], diagonal)
    products = (q @ k.mT) * weights
    return products @ v, products.sum(-1), weights @ k


def _in_blocks(decays: Any, q: Tensor, k: Tensor, v: Tensor, diagonal: int) -> tuple[Tensor, ...]:
    within = within_blocks(q, k, diagonal, decays)
    return (
        prefix_product(within, q, k, v, diagonal, decays),
        prefix_total(within, q, k, diagonal, decays),
        decayed_sum(k, q.shape[-2], diagonal, decays),
    )


@pytest.mark.parametrize("name", ["power", "rate", "between", "several"])
@pytest.mark.parametrize("diagonal", DIAGONALS)
@pytest.mark.parametrize("lengths", LENGTHS)
def test_blocks(lengths: tuple[int, int], diagonal: int, name: str) -> None:
    given, decays = _made(*lengths), _decays(*lengths)[name]
    found, wanted = (way(decays, *given, diagonal) for way in (_in_blocks, _whole))
    torch.testing.assert_close(found, wanted)
    weights = [torch.randn(one.shape, dtype=torch.float64) for one in wanted]
    given += [part for _, *parts in decays for part in parts if isinstance(part, Tensor)]
    slopes = [torch.autograd.grad(one, given, weights, materialize_grads=True) for one in (found, wanted)]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("name", ["power", "rate", "between"])
def test_of_blocks_of_blocks(name: str) -> None:
    length = 9000
    q, v = torch.randn(length, 2, dtype=torch.float64), torch.randn(length, 1, dtype=torch.float64)
    gates = -torch.rand(length, dtype=torch.float64).cumsum(-1) * 1e-2
    decay = {"power": ("power", 0.999), "rate": ("rate", -1e-3), "between": ("between", gates, gates)}[name]
    found, _, sums = _in_blocks([decay], q, q, v, 0)
    for at in (0, 4500, 8800):
        few = slice(at, at + 200)
        weights = _weights([("between", gates[few], gates) if name == "between" else decay], 200, length, at)
        torch.testing.assert_close(sums[few], weights @ q)
        torch.testing.assert_close(found[few], (q[few] @ q.mT).mul_(weights) @ v)


@pytest.mark.parametrize("name", ["power", "rate", "between"])
def test_of_wide_states(name: str) -> None:
    """What blocks hand on is summed in blocks itself; a gate that closes altogether lets nothing through."""
    length, wide = 64 * 37 + 5, 32
    q, k, v = (torch.randn(length, wide, dtype=torch.float64, requires_grad=True) for _ in range(3))
    gates = -torch.rand(length, dtype=torch.float64).cumsum(-1) * 1e-3
    gates[length // 2 :] -= 1e4
    decay = {"power": ("power", 0.999), "rate": ("rate", -1e-3), "between": ("between", gates, gates)}[name]
    found = _in_blocks([decay], q, k, v, 0)[0]
    wanted = (q @ k.mT).mul(_weights([decay], length, length, 0)) @ v
    torch.testing.assert_close(found, wanted)
    slopes = [torch.autograd.grad(one.square().sum(), (q, k, v)) for one in (found, wanted)]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("name", ["power", "rate", "between", "several"])
def test_transformed(name: str) -> None:
    lengths = (300, 270)
    q, k, v = (one.detach() for one in _made(*lengths))
    decays = [
        (name, *(part.detach() if isinstance(part, Tensor) else part for part in parts))
        for name, *parts in _decays(*lengths)[name]
    ]
    ways: list[Callable[..., Any]] = [partial(way, diagonal=-1) for way in (_in_blocks, _whole)]
    tangents = tuple(torch.randn_like(one) for one in (q, k, v))
    torch.testing.assert_close(*[torch.func.jvp(partial(way, decays), (q, k, v), tangents)[1] for way in ways])
    inner = [
        (name, *(part[0] if isinstance(part, Tensor) and part.dim() > 1 else part for part in parts))
        for name, *parts in decays
    ]
    mapped, wanted = (torch.func.vmap(lambda q, k, way=way: way(inner, q, k, v))(q, k) for way in ways)
    torch.testing.assert_close(mapped, wanted)


@pytest.mark.parametrize("step", [-30.0, -0.5, 0.5])
@pytest.mark.parametrize("length", [50, 400])
def test_gates_that_close_or_open(step: float, length: int) -> None:
    """Nothing overflows and nothing is lost where the powers of the gates themselves are 0 or infinite."""
    make = torch.Generator().manual_seed(1)
    q, k, v = (torch.rand(length, 3, generator=make) for _ in range(3))
    gates = (torch.rand(length, generator=make) * step).cumsum(0).requires_grad_()
    if step > 0:
        gates = (gates.detach() * 0.3).requires_grad_()
    found = nl.compile(GATED)(q, k, v, gates, gates)
    exact = gates.detach().double()
    wanted = ((q @ k.mT).double() * _weights([("between", exact, exact)], length, length, 0)) @ v.double()
    assert found.isfinite().all()
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-5)
    assert torch.autograd.grad((found / wanted).sum(), gates)[0].isfinite().all()


@pytest.mark.parametrize("base", [0.0, -0.5, 1.0])
@pytest.mark.parametrize("length", [10, 300])
def test_bases_that_have_no_logarithm(base: float, length: int) -> None:
    q, k, v = (torch.rand(length, 2, dtype=torch.float64) for _ in range(3))
    g = torch.tensor(base, dtype=torch.float64, requires_grad=True)
    found = nl.compile(RETENTION)(q, k, v, g)
    wanted = ((q @ k.mT) * _weights([("power", g)], length, length, 0)) @ v
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(*(torch.autograd.grad(one.sum(), g) for one in (found, wanted)))


@pytest.mark.parametrize("length", [20, 300, 9000])
@pytest.mark.parametrize("infinity", [torch.inf, torch.nan])
def test_what_is_not_seen_is_not_looked_at(length: int, infinity: float) -> None:
    """Wherever it stands, be it traced or not."""
    q, k, v = (torch.rand(length, 2) for _ in range(3))
    function, sums = (
        nl.compile(RETENTION),
        nl.compile(text_of("X[s], A[t], g[]", "return A * sum[s](where(s <= t, g^(t - s) * X, 0))")),
    )
    g, at = torch.tensor(0.9), length // 3
    given = (q, k, v, g), (k[:, 0], q[:, 0], g)
    before = [one(*args) for one, args in zip((function, sums), given, strict=True)]
    k[at, 0] = infinity
    for mapped in (False, True):
        for one, args, wanted in zip((function, sums), given, before, strict=True):
            found = torch.func.vmap(one)(*(x.unsqueeze(0) for x in args))[0] if mapped else one(*args)
            torch.testing.assert_close(found[:at], wanted[:at])
            assert not found[at:].isfinite().any()


@pytest.mark.parametrize("dynamic, features", [(True, 2), (False, 2), (False, 32)])
def test_what_is_not_seen_is_not_looked_at_by_what_is_traced(dynamic: bool, features: int) -> None:
    """Nor does it take part in what comes back from places before it."""
    length, at = 330, 200
    function = nl.compile(RETENTION)
    quick = torch.compile(function, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for infinity in (torch.inf, torch.nan):
        q, k, v = (torch.rand(length, features, requires_grad=True) for _ in range(3))
        g = torch.tensor(0.9, requires_grad=True)
        with torch.no_grad():
            k[at, 0] = infinity
        found, wanted = quick(q, k, v, g), function(q, k, v, g)
        torch.testing.assert_close(found, wanted, equal_nan=True)
        assert found[:at].isfinite().all()
        slopes = [torch.autograd.grad(one[:at].sum(), (q, k, v, g)) for one in (found, wanted)]
        torch.testing.assert_close(slopes[0], slopes[1], equal_nan=True, rtol=1e-4, atol=1e-4)


def test_what_is_not_seen_may_be_anything() -> None:
    for length in (20, 300):
        q, k, v = (torch.rand(length, 3) for _ in range(3))
        gates = -torch.rand(length).cumsum(0)
        function = nl.compile(GATED)
        before = function(q, k, v, gates, gates)
        k[-1], k[-2] = torch.inf, torch.nan
        other = gates.clone()
        other[-1], other[-2] = torch.inf, torch.nan
        torch.testing.assert_close(function(q, k, v, gates, other)[:-2], before[:-2])


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("text", [RETENTION, GATED])
def test_exported(text: str, fixed: bool) -> None:
    class Module(torch.nn.Module):
        def forward(self, x: Tensor, g: Tensor) -> Tensor:
            return function(x, x, x, *((g[0],) if text is RETENTION else (g, g)))

    function = nl.compile(text)
    length = torch.export.Dim("length", min=2, max=4096)
    shapes = None if fixed else {"x": {0: length}, "g": {0: length}}
    exported = torch.export.export(Module(), (torch.rand(300, 3), torch.rand(300)), dynamic_shapes=shapes)
    for count in [300] if fixed else [2, 300, 777]:
        x, g = torch.rand(count, 3), -torch.rand(count).cumsum(0)
        torch.testing.assert_close(exported.module()(x, g), Module()(x, g))


@pytest.mark.parametrize("text", [RETENTION, GATED])
def test_traced(text: str) -> None:
    function = nl.compile(text)
    quick, made = traced(function, dynamic=True)
    for length in (400, 129, 1000, 7, 64):
        x, g = torch.randn(length, 3, dtype=torch.float64), -torch.rand(length, dtype=torch.float64).cumsum(0)
        given = (x, x, x, *((g[0].exp(),) if text is RETENTION else (g, g)))
        torch.testing.assert_close(quick(*given), function(*given))
    assert len(made) <= 3


@pytest.mark.parametrize("which", ["power", "rate", "between", "several"])
@pytest.mark.parametrize("length", [2, 3, 9, 10, 64, 65])
def test_states_written_out(length: int, which: str) -> None:
    """Their values and slopes, and none of what is not seen."""
    decays = _decays(length, length)[which]
    x = torch.randn(2, 3, length, 5, dtype=torch.float64, requires_grad=True)
    found = states_before(x, Decays.of(decays, x))
    wanted = _weights(decays, length, length, -1) @ x
    torch.testing.assert_close(found, wanted)
    given = [x, *(one for _, *parts in decays for one in parts if isinstance(one, Tensor))]
    slopes = torch.randn_like(wanted)
    torch.testing.assert_close(*(torch.autograd.grad(one, given, slopes) for one in (found, wanted)))
    with torch.no_grad():
        x[..., -1, :] = torch.nan
        torch.testing.assert_close(states_before(x, Decays.of(decays, x)), wanted)


@pytest.mark.parametrize("slopes", [False, True])
def test_wide_states_are_written_out_where_sizes_are_known(slopes: bool) -> None:
    """And only there: one graph is for all lengths elsewhere."""
    given = [torch.randn(300, 32, dtype=torch.float64, requires_grad=slopes) for _ in range(3)]
    gates = -torch.rand(300, dtype=torch.float64).cumsum(0)
    function = nl.compile(GATED)
    wanted = function(*given, gates, gates)
    for dynamic in (False, True):
        torch._dynamo.reset()
        quick, made = traced(function, dynamic=dynamic)
        found = quick(*given, gates, gates)
        torch.testing.assert_close(found, wanted)
        if slopes:
            torch.testing.assert_close(
                *(torch.autograd.grad(one.sum(), given, retain_graph=True) for one in (found, wanted))
            )
        assert ("unbind" in made[0].code) is not dynamic


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("length", [20, 300])
def test_precisions(dtype: torch.dtype, length: int) -> None:
    q = torch.rand(length, 4).to(dtype)
    g = torch.tensor(0.9).to(dtype if not dtype.is_complex else torch.float32)
    found = nl.compile(RETENTION)(q, q, q, g)
    assert found.dtype is dtype
    exact = q.to(torch.complex128)
    wanted = ((exact @ exact.mT) * _weights([("power", g.double())], length, length, 0)) @ exact
    torch.testing.assert_close(found.to(torch.complex128), wanted, rtol=3e-2, atol=3e-1)


@pytest.mark.parametrize("backward", [False, True])
def test_memory_is_linear(backward: bool) -> None:
    function = nl.compile(RETENTION)
    taken = []
    for length in (1024, 2048):
        x, g = torch.randn(length, 8, requires_grad=backward), torch.tensor(0.99, requires_grad=backward)
        with torch.profiler.profile(profile_memory=True) as profile:
            found = function(x, x, x, g)
            if backward:
                found.sum().backward()
        taken.append(sum(max(event.cpu_memory_usage, 0) for event in profile.events()))
    assert taken[1] <= 2.1 * taken[0]


def test_second_derivatives() -> None:
    function = nl.compile(GATED)
    q = torch.rand(140, 2, dtype=torch.float64, requires_grad=True)
    gates = -torch.rand(140, dtype=torch.float64).cumsum(0)
    (slope,) = torch.autograd.grad(function(q, q, q, gates, gates).square().sum(), q, create_graph=True)
    along = torch.randn(q.shape, dtype=torch.float64)
    (found,) = torch.autograd.grad((slope * along).sum(), q)
    step = 1e-6

    def slope_at(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(function(x, x, x, gates, gates).square().sum(), x)[0]

    wanted = (slope_at(q + step * along) - slope_at(q - step * along)) / (2 * step)
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-4)
