"""Losses of targets that may be no class: by whichever way, values and slopes of any order are those of the text."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.kernels.losses_within import loss_within

SHAPES = {"rows": (6, 5), "space": (4, 5, 3), "one": (5,), "one class": (4, 1), "no targets": (0, 5)}
REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"mean": torch.mean, "sum": torch.sum, "none": lambda x: x}
Loss = Callable[[Tensor], Tensor]


def plain(x: Tensor, t: Tensor, reduction: str = "mean") -> Tensor:
    """By definition."""
    dim = min(1, x.dim() - 1)
    valid = (t >= 0) & (t < x.size(dim))
    picked = torch.log_softmax(x, dim).gather(dim, torch.where(valid, t, 0).unsqueeze(dim)).squeeze(dim)
    return REDUCTIONS[reduction](torch.where(valid, -picked, 0))


def given(shape: tuple[int, ...], *, out: bool = False) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, generator=source)
    dim = min(1, len(shape) - 1)
    t = torch.randint(0, shape[dim], shape[:dim] + shape[dim + 1 :], generator=source)
    if out and t.numel():
        t.view(-1)[:2] = torch.tensor([-100, shape[dim]])[: t.numel()]
    return x, t


def ours(t: Tensor, reduction: str = "mean") -> Loss:
    return lambda x: loss_within(x, t, logits=True, ignore_index=-(2**60), reduction=reduction)


def compiled(loss: Loss) -> Loss:
    torch._dynamo.reset()
    return torch.compile(loss, backend="aot_eager", fullgraph=True)


WAYS: dict[str, Callable[[Loss], Loss]] = {
    "as it is": lambda loss: loss,
    "compiled": compiled,
    "vmap": lambda loss: lambda x: torch.func.vmap(loss)(x[None])[0],
    "compiled, vmap": lambda loss: compiled(lambda x: torch.func.vmap(loss)(x[None])[0]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_values_and_slopes(shape: tuple[int, ...], way: str) -> None:
    for reduction in REDUCTIONS:
        x, t = given(shape)
        loss = WAYS[way](ours(t, reduction))
        for out in (False, True):
            t.copy_(given(shape, out=out)[1])
            here, there = x.clone().requires_grad_(), x.clone().requires_grad_()
            found, wanted = loss(here), plain(there, t, reduction)
            torch.testing.assert_close(found, wanted, equal_nan=True)
            weights = torch.arange(1.0, 1 + wanted.numel(), dtype=x.dtype).view(wanted.shape)
            (slope,) = torch.autograd.grad((found * weights).sum(), here)
            torch.testing.assert_close(slope, torch.autograd.grad((wanted * weights).sum(), there)[0])


@pytest.mark.parametrize("way", ["as it is", "compiled"])
@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_infinities(way: str, kind: torch.dtype) -> None:
    rows = [[0.5, -math.inf, 2.0], [-math.inf, -math.inf, 1.0], [9e3, -9e3, 8.999e3], [-math.inf] * 3, [math.inf, 0, 1]]
    x = torch.tensor(rows, dtype=torch.float64).to(kind)
    for t in ([0, 2, 2, 0, 1], [1, 0, 7, 0, -1]):
        here, there = x.clone().requires_grad_(), x.double().requires_grad_()
        found = WAYS[way](ours(torch.tensor(t), "none"))(here)
        wanted = plain(there, torch.tensor(t), "none")
        torch.testing.assert_close(found, wanted.to(kind), equal_nan=True)
        (slope,) = torch.autograd.grad(found[:3].sum(), here)
        torch.testing.assert_close(slope[:3], torch.autograd.grad(wanted[:3].sum(), there)[0][:3].to(kind))


SECOND: dict[str, Callable[[Loss], Loss]] = {
    "hessian": lambda loss: torch.func.jacrev(torch.func.grad(loss)),
    "slope of a slope": lambda loss: torch.func.grad(lambda x: (torch.func.grad(loss)(x) ** 2).sum()),
}


@pytest.mark.parametrize("way", ["as it is", "compiled"])
@pytest.mark.parametrize("twice", SECOND)
def test_second_slopes(twice: str, way: str) -> None:
    x, t = given((6, 5), out=True)
    found = WAYS[way](SECOND[twice](lambda x: ours(t)(x).exp()))(x)
    torch.testing.assert_close(found, SECOND[twice](lambda x: plain(x, t).exp())(x))


def test_a_mean_of_one_hot_losses_is_that_over_all_targets() -> None:
    f = nl.compile("def f(Z[b, c], T[b]) -> [] = -sum[b, c](one_hot[c](T) * log_softmax[c](Z)) / |b|\n")
    for out in (False, True):
        z, t = given((6, 5), out=out)
        torch.testing.assert_close(f(z, t), plain(z, t))
        torch.testing.assert_close(f(z, t), f.reference(z, t))
        torch.testing.assert_close(torch.compile(f, backend="aot_eager")(z, t), plain(z, t))
