"""Grids that are those of torch's `interpolate` are told by their places, however these were computed."""

from __future__ import annotations

import math

import pytest
import torch

import namedlayers as nl
from namedlayers.emit.kernels import sampling
from namedlayers.emit.kernels.interpolating import ends_of_grid
from namedlayers.emit.kernels.sampling import sampled_on_grid

LINES = {
    "twice": "(index[p] + 0.5) / 2 - 0.5",
    "twice, otherwise": "(2 * index[p] - 1) / 4",
    "by sizes": "(index[p] + 0.5) * |i| / |p| - 0.5",
    "from end to end": "index[p] * (|i| - 1) / (|p| - 1)",
    "from end to end, in shares": "(|i| - 1) * (index[p] / (|p| - 1))",
}
READ = """
def read(X[c, i]) -> [c, p]:
    |p| = 2 * |i|
    u = clip({}, 0, |i| - 1)
    return sum[i](X * relu(1 - abs(u - i)))
"""


def half_steps(size: int, points: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return ((torch.arange(points, dtype=dtype) + 0.5) * size / points - 0.5).clamp(0, size - 1)


def end_to_end(size: int, points: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.arange(points, dtype=dtype) * (size - 1) / max(points - 1, 1)


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_spellings(line: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(sampling, "interpolated", _noted(sampling.interpolated, asked))
    function = nl.compile(READ.format(line))
    x = torch.randn(16, 600, dtype=dtype, requires_grad=True)
    found, wanted = function(x), function.reference(x)
    assert asked
    torch.testing.assert_close(found, wanted.to(dtype), atol=1e-3 if dtype is torch.float32 else 1e-9, rtol=0)
    (slope,) = torch.autograd.grad(found.sum(), x)
    torch.testing.assert_close(slope.sum(), torch.tensor(16.0 * 1200, dtype=dtype))


@pytest.mark.parametrize("line", [half_steps, end_to_end])
@pytest.mark.parametrize(
    ("sizes", "counts"),
    [((700,), (1400,)), ((700,), (31,)), ((80, 90), (200, 110)), ((1, 500), (3, 1000)), ((9, 64, 70), (5, 128, 140))],
)
def test_as_by_weights(line, sizes: tuple[int, ...], counts: tuple[int, ...]) -> None:
    """Larger and smaller, along one to three axes, with their slopes."""
    x = torch.randn(1, 12, *sizes, dtype=torch.float64, requires_grad=True)
    places = [line(*both, torch.float64) for both in zip(sizes, counts, strict=True)]
    wanted = x
    for k, place in enumerate(places):
        weights = torch.relu(1 - (place[:, None] - torch.arange(sizes[k])).abs())
        wanted = torch.tensordot(wanted, weights.double(), ([2], [1]))
    found = sampled_on_grid(x, *places)
    torch.testing.assert_close(found, wanted)
    slopes = [torch.autograd.grad(one.square().sum(), x)[0] for one in (found, wanted)]
    torch.testing.assert_close(*slopes)


X = torch.zeros(1, 64, 64, 64)
MISSES = {
    "not clipped": [(torch.arange(128) + 0.5) / 2 - 0.5] * 2,
    "shifted": [half_steps(64, 128) + 1e-3] * 2,
    "one place off": [half_steps(64, 128).index_fill(0, torch.tensor(5), 1.0)] * 2,
    "no number": [half_steps(64, 128).index_fill(0, torch.tensor(5), math.nan)] * 2,
    "of two kinds": [half_steps(64, 128), end_to_end(64, 128)],
    "with slopes": [half_steps(64, 128).requires_grad_(), half_steps(64, 128)],
    "few": [half_steps(64, 15)] * 2,
    "none": [half_steps(64, 128), torch.zeros(0)],
    "backwards": [half_steps(64, 128).flip(0)] * 2,
}


@pytest.mark.parametrize("places", MISSES.values(), ids=MISSES)
def test_other_places(places: list[torch.Tensor]) -> None:
    assert ends_of_grid(X, places) is None


def test_transforms_and_modes() -> None:
    """What is mapped is compared by nobody; half precision is read as it was."""
    place = half_steps(64, 128)
    x = torch.randn(3, 1, 8, 64, 64)
    found = torch.vmap(lambda one: sampled_on_grid(one, place, place))(x)
    torch.testing.assert_close(found, sampled_on_grid(x.flatten(0, 2)[None], place, place).view(3, 1, 8, 128, 128))
    assert ends_of_grid(X.half(), [place.half()] * 2) is None
    with torch.inference_mode():
        assert ends_of_grid(X, [place, place]) is False


def _noted(function, asked: list):
    def run(*args, **options):
        asked.append(args)
        return function(*args, **options)

    return run
