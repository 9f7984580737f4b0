"""Images read at places, for a compiler: one call, values and slopes those of torch, under transforms too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx

from namedlayers.emit.kernels import grids, sampling
from namedlayers.emit.kernels.grids import read_grid
from namedlayers.emit.kernels.sampling import sampled

SLOPES = {"of both": (True, True), "of the image": (True, False), "of the places": (False, True)}


def _given(n: int = 2, c: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    x = torch.randn(n, c, 5, 4, dtype=torch.float64, generator=source)
    places = torch.rand(2, n, 9, dtype=torch.float64, generator=source) * 7 - 1
    return x, places[0], places[1]


def _squares(x: Tensor, u: Tensor, v: Tensor) -> Tensor:
    return sampled(x, u, v).square().sum()


TRANSFORMED: dict[str, Callable[[Tensor, Tensor, Tensor], Any]] = {
    "vmap": lambda x, u, v: torch.func.vmap(sampled)(
        x.expand(3, -1, -1, -1, -1), u.expand(3, -1, -1), v.expand(3, 2, 9)
    ),
    "grad": torch.func.grad(_squares, (0, 1, 2)),
    "grad under vmap": lambda x, u, v: torch.func.vmap(torch.func.grad(_squares, (0, 1, 2)), (None, 0, None))(
        x, torch.stack([u, u - 0.1]), v
    ),
}


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the sizes."""
    monkeypatch.setattr(grids, "FEW", 0)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.parametrize("needed", SLOPES.values(), ids=SLOPES)
def test_values_and_slopes(needed: tuple[bool, bool], backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With few channels at a time, and with all."""
    image, places = needed
    for many, n, c in ((sampling.MANY, 2, 3), (1, 1, 16)):
        monkeypatch.setattr(sampling, "MANY", many)
        x, u, v = _given(n, c)
        x.requires_grad_(image)
        learned = [one.requires_grad_() for one, wanted in ((x, image), (u, places), (v, places)) if wanted]
        torch._dynamo.reset()
        found, expected = torch.compile(sampled, backend=backend, fullgraph=True)(x, u, v), sampled(x, u, v)
        slope = torch.randn_like(expected)
        got, want = (torch.autograd.grad(one, learned, slope) for one in (found, expected))
        torch.testing.assert_close([found, *got], [expected, *want])


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("name", TRANSFORMED)
def test_under_transforms(name: str) -> None:
    function, given = TRANSFORMED[name], _given()
    found = torch.compile(function, backend="aot_eager", fullgraph=True)(*given)
    torch.testing.assert_close(found, function(*given))


@pytest.mark.usefixtures("always")
def test_other_orders_in_memory() -> None:
    x, u, v = _given()
    compiled = torch.compile(sampled, backend="inductor", fullgraph=True)
    for image in (x.contiguous(memory_format=torch.channels_last), x.mT.contiguous().mT, x[:, :1]):
        torch.testing.assert_close(compiled(image, u, v), sampled(image, u, v))


@pytest.mark.parametrize(("count", "called"), [(grids.FEW // 8 - 1, False), (grids.FEW // 8, True)])
def test_what_is_small_is_written_out(count: int, called: bool) -> None:
    graphs: list[fx.GraphModule] = []

    def backend(graph: fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    given = torch.randn(2, 4, 5, 4), torch.rand(2, 1, count, 2)
    found = torch.compile(read_grid, backend=backend, fullgraph=True)(*given)
    torch.testing.assert_close(found, read_grid(*given))
    names = {getattr(node.target, "__name__", str(node.target)) for node in graphs[0].graph.nodes}
    assert ("_traced" in names, "grid_sampler" in names) == (called, not called)
