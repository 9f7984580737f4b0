"""Under autocast products come out in half precision, whatever stands beside them stays as it is."""

from __future__ import annotations

import pytest
import torch

import namedlayers as nl

SEEN = "def f(Q[h, t, k], K[h, s, k], V[h, s, v]; g[h]) -> [h, t, v] = "
WAVES = "def f(X[n, d]) -> [m, d]:\n    |m| = |n|\n    return "
FORMULAS: dict[str, tuple[str, tuple[tuple[int, ...], ...]]] = {
    "what decays": (
        f"{SEEN}(where(s <= t, g ^ (t - s), 0) * (Q @[k] K)) @[s] V",
        ((2, 270, 3), (2, 300, 3), (2, 300, 4), (2,)),
    ),
    "what decays by gates": (
        "def f(Q[t, k], K[s, k], V[s, v], a[t]) -> [t, v]:\n    c = cumsum[t](a)\n"
        "    return (where(s <= t, exp(c[t -> s] - c), 0) * (Q @[k] K)) @[s] V",
        ((300, 3), (300, 3), (300, 4), (300,)),
    ),
    "what does not decay": (
        f"{SEEN}(where(s <= t, Q @[k] K, 0) @[s] V) * g", ((2, 270, 3), (2, 300, 3), (2, 300, 4), (2,)),
    ),
    "what decays by gates of features": (
        "def f(Q[t, k], K[s, k], V[s, v], a[t, k]) -> [t, v]:\n    c = cumsum[t](a)\n"
        "    return where(s <= t, sum[k](exp(c[t -> s] - c) * Q * K), 0) @[s] V",
        ((300, 3), (300, 3), (300, 4), (300, 3)),
    ),
    "a short transform": (f"{WAVES}sum[n](X * exp(-2j * pi * n * m / |n|))", ((6, 3),)),
    "a long transform": (f"{WAVES}sum[n](X * exp(-2j * pi * n * m / |n|))", ((200, 3),)),
    "a cosine transform": (f"{WAVES}sum[n](X * cos(pi * (n + 0.5) * m / |n|))", ((40, 60),)),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("derived", [False, True])
@pytest.mark.parametrize("name", FORMULAS)
def test_it_is_nearly_the_same(name: str, derived: bool, dtype: torch.dtype) -> None:
    text, shapes = FORMULAS[name]
    function = nl.compile(text)
    generator = torch.Generator().manual_seed(2)
    given = [torch.rand(shape, generator=generator) for shape in shapes]
    wanted = function(*given)
    if derived:
        given = [one.requires_grad_() for one in given]
    with torch.autocast("cpu", dtype):
        found = function(*given)
    assert torch.linalg.norm((found.detach() - wanted).flatten()) < 2e-2 * torch.linalg.norm(wanted.flatten())
    if derived:
        found.abs().sum().backward()
        assert all(one.grad is not None and one.grad.isfinite().all() for one in given)
