"""Kernels whose results are looked at: whichever way is taken, the values and all slopes are the same."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

from namedlayers.emit.kernels import looking

ROWS = {
    "ordinary": [[0.5, -1.0, 2.0], [3.0, 1.0, -2.0]],
    "some masked": [[0.5, -math.inf, 2.0], [-math.inf, 1.0, -2.0]],
    "a row of -inf": [[0.5, -math.inf, 2.0], [-math.inf, -math.inf, -math.inf]],
    "nothing but -inf": [[-math.inf] * 3, [-math.inf] * 3],
}
KERNELS = {"softmax": looking.softmax, "logsumexp": looking.logsumexp, "logcumsumexp": looking.logcumsumexp}
Kernel = Callable[[Tensor, int], Tensor]


def plain(name: str, x: Tensor) -> Tensor:
    """By definition, along the last dimension, with slopes that are numbers everywhere."""
    live = torch.isfinite(x)
    powers = torch.where(live, torch.exp(torch.where(live, x, 0)), 0)
    total = powers.cumsum(-1) if name == "logcumsumexp" else powers.sum(-1, keepdim=True)
    some = total > 0
    if name == "softmax":
        return powers / torch.where(some, total, 1)
    found = torch.where(some, torch.log(torch.where(some, total, 1)), -math.inf)
    return found if name == "logcumsumexp" else found.squeeze(-1)


def slopes(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """First and second, of a sum with unequal weights of what is finite."""
    x = x.clone().requires_grad_()
    found = function(x)
    weights = torch.arange(1, found.numel() + 1).reshape(found.shape)
    value = (torch.where(torch.isfinite(found), found, 0) * weights).sum()
    (first,) = torch.autograd.grad(value, x, create_graph=True)
    (second,) = torch.autograd.grad((first * torch.tensor([1.0, -2.0, 0.5])).sum(), x, allow_unused=True)
    return first.detach(), torch.zeros_like(x) if second is None else second


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS.keys())
@pytest.mark.parametrize("name", KERNELS)
def test_values_and_slopes(name: str, rows: list[list[float]]) -> None:
    x = torch.tensor(rows, dtype=torch.float64)
    kernel = KERNELS[name]
    torch.testing.assert_close(kernel(x, 1), plain(name, x))
    for got, wanted in zip(slopes(lambda v: kernel(v, 1), x), slopes(lambda v: plain(name, v), x), strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("name", KERNELS)
def test_many_rows(name: str) -> None:
    """More than are looked at whole; the dead one is among them, along either dimension."""
    x = torch.randn(looking.FEW, 3, dtype=torch.float64)
    x[7] = -math.inf
    wanted = plain(name, x)
    torch.testing.assert_close(KERNELS[name](x, 1), wanted)
    torch.testing.assert_close(KERNELS[name](x.mT, 0), wanted.mT if wanted.ndim == 2 else wanted)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS.keys())
def test_what_is_nan_stays_nan(kernel: Kernel) -> None:
    x = torch.tensor([[math.nan, -math.inf], [-math.inf, -math.inf]])
    found = kernel(x, 1)
    assert found[0].isnan().any() and not found[1].isnan().any()


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS.keys())
@pytest.mark.parametrize("shape", [(0, 3), (2, 1)])
def test_empty_and_single(kernel: Kernel, shape: tuple[int, int]) -> None:
    x = torch.zeros(shape)
    assert torch.isfinite(kernel(x, 1)).all()


TRANSFORMS: dict[str, Callable[[Kernel, Tensor], Tensor]] = {
    "vmap": lambda kernel, x: torch.func.vmap(lambda row: kernel(row, 0))(x),
    "grad": lambda kernel, x: torch.func.vmap(torch.func.grad(lambda row: _finite(kernel(row, 0))))(x),
    "jvp": lambda kernel, x: torch.func.jvp(lambda v: kernel(v, 1), (x,), (torch.ones_like(x),))[1],
    "forward mode": lambda kernel, x: _tangent(kernel, x),
    "compiled": lambda kernel, x: _quick(kernel)(x, 1),
    "compiled, vmap": lambda kernel, x: _quick(torch.func.vmap(lambda row: kernel(row, 0)))(x),
    "compiled, grad": lambda kernel, x: _quick(torch.func.grad(lambda v: _finite(kernel(v, 1))))(x),
    "compiled, backward": lambda kernel, x: _backward(_quick(lambda v: kernel(v, 1)), x),
    "traced": lambda kernel, x: make_fx(lambda v: kernel(v, 1))(torch.zeros(2, 3))(x),
}  # fmt: skip


def _quick(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return torch.compile(function, backend="aot_eager", fullgraph=True)


def _backward(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(_finite(function(x)), x)[0]


def _finite(found: Tensor) -> Tensor:
    return (torch.where(torch.isfinite(found), found, 0) ** 2).sum()


def _tangent(kernel: Kernel, x: Tensor) -> Tensor:
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(kernel(forward_ad.make_dual(x, torch.ones_like(x)), 1)).tangent
    assert found is not None
    return found


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", KERNELS)
def test_under_transforms(name: str, transform: str) -> None:
    """The same numbers as for rows that are alive, 0 or -inf for the dead one, and never NaN."""
    x = torch.tensor(ROWS["a row of -inf"], dtype=torch.float64)
    run = TRANSFORMS[transform]
    found = run(KERNELS[name], x)
    assert not found.isnan().any()
    torch.testing.assert_close(found[:1], run(KERNELS[name], x[:1].repeat(2, 1))[:1])
    assert set(found[1].flatten().tolist()) <= {0.0, -math.inf}
