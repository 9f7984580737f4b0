"""What people give where a name, a size, an option or a precision is wanted: taken where it means one, else refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import namedlayers as nl

TOTAL = "def total(X[i]) = sum[i](X)"
POOL = "def pooled[seq](X[seq]; k, scale = 1) = scale * max[part](pool[seq, part = k](X))"


def kind(value: Any) -> str:
    return type(value).__name__


def attention() -> nl.Function:
    return nl.compile("def attention(Q[q, d], K[k, d], V[k, v]) -> [q, v] = softmax[k](Q @[d] K) @[k] V")


@pytest.mark.parametrize("size", ["2", None, -1, 1.5, True, [2]], ids=repr)
def test_the_cost_of_what_is_no_size(size: Any) -> None:
    with pytest.raises(nl.SizeError, match="NL0530.*`q` is an integer"):
        attention().cost(q=size, d=2, k=3, v=4)


def test_the_cost_of_numpy_sizes_is_plain_numbers() -> None:
    figures = attention().cost(q=np.int64(3), d=2, k=3, v=4)
    assert figures == attention().cost(q=3, d=2, k=3, v=4)
    assert [type(one) for one in (figures.flops, figures.bytes, figures.peak)] == [int, int, int]


@pytest.mark.parametrize("dtype", [torch.float32, np.float32, "float32"], ids=str)
def test_the_reference_in_a_precision(dtype: Any) -> None:
    assert nl.compile(TOTAL).reference(torch.ones(3), dtype=dtype).dtype == torch.float32


@pytest.mark.parametrize("dtype", [int, torch.int64, torch.bfloat16, "nothing", 3, object()], ids=kind)
def test_the_reference_in_what_is_no_precision(dtype: Any) -> None:
    with pytest.raises(nl.ArgumentError, match="NL0530"):
        nl.compile(TOTAL).reference(torch.ones(3), dtype=dtype)
    module = nl.compile("layer Scale(X[i]):\n    param by[] ~ ones\n    return by * X")()
    with pytest.raises(nl.ArgumentError, match="NL0530"):
        module.reference(torch.ones(3), dtype=dtype)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: nl.compile(TOTAL, 3),
        lambda: nl.compile(TOTAL, ("total",)),
        lambda: nl.loads(TOTAL)[3],
        lambda: nl.load(3),
        lambda: nl.load(None),
        lambda: nl.compile(TOTAL, semiring="log", semiring_inputs=3),
        lambda: nl.compile(TOTAL, semiring="log", semiring_inputs=[3]),
    ],
)
def test_what_is_no_name(wrong: Callable[[], Any]) -> None:
    with pytest.raises(nl.FormulaError, match="^NL0(242|505|548)"):
        wrong()


def test_one_input_of_a_semiring_stands_alone() -> None:
    formula = "def total(weights[i], X[i]) = sum[i](weights * X)"
    weights, x = torch.rand(3), torch.rand(3)
    alone = nl.compile(formula, semiring="max-product", semiring_inputs="weights")
    listed = nl.compile(formula, semiring="max-product", semiring_inputs=["weights"])
    torch.testing.assert_close(alone(weights, x), listed(weights, x))


def test_options_that_are_numbers_of_numpy() -> None:
    pool, x = nl.compile(POOL), torch.tensor([1.0, 3.0, 2.0, 0.0])
    want = torch.tensor([1.5, 1.0])
    torch.testing.assert_close(pool(x, k=np.int64(2), scale=np.float32(0.5)), want)
    torch.testing.assert_close(pool.with_options(k=np.int64(2), scale=np.float32(0.5))(x), want)
    torch.testing.assert_close(nl.compile(POOL, k=np.int64(2), scale=np.float32(0.5))(x), want)
    linear = nl.load("linear").Linear(input=np.int64(2), output=np.int32(3), bias=np.bool_(False))
    assert [name for name, _ in linear.named_parameters()] == ["W"]


def test_tuples_of_numbers_of_numpy() -> None:
    conv = nl.load("conv").Conv2d(input=1, output=1, kernel=1, stride=tuple(np.array([2, 1])))
    assert conv(torch.ones(1, 5, 5)).shape == (1, 3, 5)


@pytest.mark.parametrize("device", ["nowhere", 3.5, "cuda:x", object()], ids=kind)
def test_what_is_no_device(device: Any) -> None:
    with pytest.raises(nl.ArgumentError, match="NL0530: there is no device"):
        nl.load("linear").Linear(input=2, output=2, device=device)


def test_a_parameter_replaced_by_one_of_other_axes() -> None:
    module = nl.load("linear").Linear(input=2, output=3)
    module.W = torch.nn.Parameter(torch.ones(4))
    with pytest.raises(nl.SizeError, match=r"NL0484: `W` has 1 axis, and the layer computes with \[output, input\]"):
        module(torch.ones(2))


def test_what_is_required_of_a_size_is_told_without_numbers_that_are_known() -> None:
    with pytest.raises(nl.SizeError, match="the variance of one value is unknown: .batch. is 1\n"):
        nl.load("norm").BatchNorm(chans=4)(torch.randn(1, 4))
