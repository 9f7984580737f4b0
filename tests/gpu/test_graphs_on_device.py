"""Calls recorded as CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.errors import ArgumentError

pytestmark = pytest.mark.gpu

TEXT = """
def act(X[i, j]; W[j, k], scale = 1.0) -> [i, k], [k]:
    Y = tanh(X @[j] W) * scale
    return Y, sum[i](Y)
"""


@pytest.fixture
def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 3, generator=generator).cuda(), torch.randn(3, 2, generator=generator).cuda()


def test_sizes_and_options(data: tuple[Tensor, Tensor]) -> None:
    x, w = data
    plain, recorded = nl.compile(TEXT), nl.compile(TEXT, backend="cudagraph")
    for rows in (4, 2, 4, 1):
        for scale in (1.0, 3.0):
            torch.testing.assert_close(
                recorded(x[:rows] * scale, w, scale=scale), plain(x[:rows] * scale, w, scale=scale)
            )


def test_results_stay(data: tuple[Tensor, Tensor]) -> None:
    x, w = data
    recorded = nl.compile(TEXT, backend="cudagraph")
    first = recorded(x, w)
    kept = [one.clone() for one in first]
    recorded(-x, w)
    torch.testing.assert_close(list(first), kept)


def test_gradients_in_any_order(data: tuple[Tensor, Tensor]) -> None:
    x, w = data[0], data[1].requires_grad_()
    plain, recorded = nl.compile(TEXT), nl.compile(TEXT, backend="cudagraph")

    def gradients(function: Callable[..., tuple[Tensor, Tensor]]) -> list[Tensor]:
        first, second = function(x, w)[0], function(x + 1, w)[0]
        found = list(torch.autograd.grad((first * second).sum(), w))
        third = function(x - 1, w)[1].sum()
        third.backward(retain_graph=True)
        third.backward()
        assert w.grad is not None
        found.append(w.grad)
        w.grad = None
        return found

    for _ in range(2):
        torch.testing.assert_close(gradients(recorded), gradients(plain))


def test_random_numbers_are_new_at_every_call() -> None:
    noise = nl.compile("def f(X[i]) = X + normal[i]", backend="cudagraph")
    x = torch.zeros(1000, device="cuda")
    first, second = noise(x), noise(x)
    assert not torch.equal(first, second)
    assert abs(float(first.mean())) < 0.2 and abs(float(second.std()) - 1) < 0.2


def test_autocast(data: tuple[Tensor, Tensor]) -> None:
    x, w = data[0], data[1].requires_grad_()
    plain, recorded = nl.compile(TEXT), nl.compile(TEXT, backend="cudagraph")
    for _ in range(2):
        with torch.autocast("cuda", torch.bfloat16):
            found, wanted = recorded(x, w), plain(x, w)
        assert found[0].dtype is wanted[0].dtype
        torch.testing.assert_close(list(found), list(wanted))
        ours, theirs = (torch.autograd.grad(one[0].float().sum(), w)[0] for one in (found, wanted))
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-2)


def test_within_a_budget() -> None:
    text = "def smooth(X[i, d], Y[j, d]; b[j]) -> [i]:\n    return sum[j](exp(-sum[d]((X - Y) ^ 2)) * b)"
    recorded = nl.compile(text, backend="cudagraph", max_memory="8MiB")
    x, y, b = (torch.randn(size, device="cuda") for size in ((2000, 3), (2000, 3), (2000,)))
    torch.testing.assert_close(recorded(x, y, b), nl.compile(text)(x, y, b), rtol=1e-4, atol=1e-4)


def test_tensors_of_the_host_are_an_error(data: tuple[Tensor, Tensor]) -> None:
    recorded = nl.compile(TEXT, backend="cudagraph")
    with pytest.raises(ArgumentError) as caught:
        recorded(data[0].cpu(), data[1].cpu())
    assert caught.value.code == "NL0571"
    with pytest.raises(ArgumentError):
        recorded(data[0].cpu(), data[1])
