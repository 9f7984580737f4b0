"""Cosine transforms of half places and at half frequencies: values, and each what comes back through the other."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.kernels.cosines import at_half_frequencies, of_half_places

Transform = Callable[[Tensor], Tensor]

BOTH = {"of half places": of_half_places, "at half frequencies": at_half_frequencies}
LENGTHS = (1, 2, 3, 4, 5, 8, 9, 64, 65)
FORMULA = """
def f(X[c, t]) -> [c, f]:
    |f| = |t|
    return 2 * sum[t](X * cos(pi / |t| * (index[t] + 0.5) * index[f]))
"""


def table(name: str, n: int) -> Tensor:
    at = torch.arange(n, dtype=torch.float64)
    found = torch.cos(math.pi / n * (at[:, None] + 0.5) * at)
    return found if name == "of half places" else found.mT


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("name", BOTH)
def test_values_and_what_comes_back(name: str, n: int) -> None:
    transform, x = BOTH[name], torch.randn(3, n, dtype=torch.float64)
    torch.testing.assert_close(transform(x), x @ table(name, n))
    turned = torch.randn(n, 3, dtype=torch.float64).mT  # which lies otherwise
    torch.testing.assert_close(transform(turned), turned @ table(name, n))
    x.requires_grad_()
    fast = n > 9  # the tables have shown every entry
    assert torch.autograd.gradcheck(transform, x, check_batched_grad=True, check_forward_ad=True, fast_mode=fast)
    assert torch.autograd.gradgradcheck(transform, x, check_batched_grad=True, fast_mode=fast)


@pytest.mark.parametrize("name", BOTH)
def test_transformed(name: str) -> None:
    transform, x = BOTH[name], torch.randn(2, 3, 9, dtype=torch.float64)
    wanted = x @ table(name, 9)
    torch.testing.assert_close(torch.func.vmap(transform, 1, 1)(x), wanted)
    found = torch.func.vmap(torch.func.grad(lambda one: transform(one).square().sum()))(x)
    torch.testing.assert_close(found, 2 * wanted @ table(name, 9).mT)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("n", [9, 64])
def test_traced(name: str, n: int) -> None:
    transform, x = BOTH[name], torch.randn(3, n, dtype=torch.float64)
    compiled = torch.compile(lambda x: transform(x.sin()) * 2, fullgraph=True, backend="aot_eager")
    given, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    found, wanted = compiled(given), 2 * other.sin() @ table(name, n)
    torch.testing.assert_close(found, wanted)
    slopes = (torch.autograd.grad(one.square().sum(), at)[0] for one, at in ((found, given), (wanted, other)))
    torch.testing.assert_close(*slopes)
    seen = torch.compile(torch.func.vmap(transform), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(seen(x), x @ table(name, n))


def test_exported_it_is_an_operation_of_torch() -> None:
    f, x = nl.compile(FORMULA), torch.randn(3, 300)
    program = torch.export.export(Exported(f), (x,))
    assert "namedlayers" not in str(program.graph)
    torch.testing.assert_close(program.module()(x), f(x))


def test_compiled_it_is_one_operator_with_a_gradient() -> None:
    f, x = nl.compile(FORMULA), torch.randn(3, 300, requires_grad=True)
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), f(x))
    one, other = (torch.autograd.grad(g(x).square().sum(), x)[0] for g in (compiled, f))
    torch.testing.assert_close(one, other)


class Exported(torch.nn.Module):
    def __init__(self, f: Transform) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x)
