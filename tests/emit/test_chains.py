"""Chains of matrices: multiplied in the order that is the cheapest for the sizes of the call."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

import namedlayers as nl
from namedlayers.emit.kernels.chains import chain_product
from namedlayers.plan.chains import Tree, chain, cheapest
from namedlayers.plan.search import HELD
from tests.emit.forms import inputs_of, reference, text_of
from tests.emit.harness import traced
from tests.helpers import check
from tests.plan.formulas import agree, planned_text

CHAINS = {
    "four": ("A[a, b], B[b, c], C[c, d], D[d, e]", "return A @[b] B @[c] C @[d] D"),
    "six": (
        "A[a, b], B[b, c], C[c, d], D[d, e], E[e, f], F[f, g]",
        "return sum[b, c, d, e, f](F * E * A * C * D * B)",
    ),
    "transposed": ("A[b, a], B[b, c], C[d, c], D[d, e]", "return (A @[b] B) @[c] (C @[d] D)"),
    "in batches": ("A[n, a, b], B[b, c], C[n, c, d], D[d, e]", "return A @[b] B @[c] C @[d] D"),
    "scaled": ("A[a, b], B[b, c], C[c, d], D[d, e]", "return tanh(2 * (A @[b] B) @[c] C @[d] (-D)) "),
}
OTHERS = {
    "three": ("A[a, b], B[b, c], C[c, d]", "return A @[b] B @[c] C"),
    "a ring": ("A[a, b], B[b, c], C[c, d], D[d, a]", "return sum[a, b, c, d](A * B * C * D)"),
    "a star": ("G[a, b, c], A[i, a], B[j, b], C[k, c]", "return sum[a, b, c](G * A * B * C)"),
    "an end that is summed": ("A[a, b], B[b, c], C[c, d], D[d, e], x[e]", "return A @[b] B @[c] C @[d] D @[e] x"),
    "two axes between": ("A[a, b, x], B[b, c, x], C[c, d], D[d, e]", "return A @[b, x] B @[c] C @[d] D"),
    "an end of two axes": ("A[a, b], B[b, c], C[c, d], D[d, e, m]", "return A @[b] B @[c] C @[d] D"),
    "an axis at both ends": ("A[a, b], B[b, c], C[c, d], D[d, a]", "return sum[b, c, d](A * B * C * D)"),
    "sizes that are known": (
        "A[a = 9, b = 2], B[b, c = 8], C[c, d = 3], D[d, e = 7]", "return A @[b] B @[c] C @[d] D"
    ),
}  # fmt: skip
SIZES = {"a": 3, "b": 4, "c": 2, "d": 5, "e": 3, "f": 2, "g": 4, "n": 2, "m": 2}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("sizes", [{}, {"b": 1, "d": 1}, {"a": 1}, {"c": 0}, {"a": 0}, {"a": 40, "c": 1, "e": 30}])
def test_values_and_gradients(name: str, sizes: dict[str, int]) -> None:
    text = text_of(*CHAINS[name])
    arrays = inputs_of(text, {**SIZES, **sizes})
    check(text, arrays, reference(text, arrays))


@pytest.mark.parametrize("name", CHAINS)
def test_one_variant_serves_all_sizes(name: str) -> None:
    found = planned_text(text_of(*CHAINS[name]))
    (variant,) = found.plan.variants
    (node,) = [one for one in variant.graph.live() if one.op == "contract"]
    assert chain(node) is not None
    agree(found)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_chain(name: str) -> None:
    text = text_of(*OTHERS[name])
    for variant in planned_text(text).plan.variants:
        assert not any(chain(node) for node in variant.graph.live())


def test_the_order_is_the_cheapest() -> None:
    """Beside all orders there are."""
    source = random.Random(0)
    for _ in range(200):
        count = source.randint(2, 6)
        ends = [source.choice([0, 1, 2, 7, 64, 900]) for _ in range(count + 1)]
        found = cheapest(tuple(zip(ends, ends[1:], strict=False)))
        assert _cost(found, ends)[0] == min(_cost(one, ends)[0] for one in _orders(0, count))


def _orders(start: int, stop: int) -> list[Tree]:
    if stop - start == 1:
        return [start]
    return [
        (left, right)
        for at in range(start + 1, stop)
        for left in _orders(start, at)
        for right in _orders(at, stop)
    ]  # fmt: skip


def _cost(order: Tree, ends: list[int]) -> tuple[int, int, int]:
    """With the first and the last axis of what is made."""
    if isinstance(order, int):
        return 0, order, order + 1
    (one, start, middle), (other, _, stop) = (_cost(side, ends) for side in order)
    return one + other + ends[start] * ends[stop] * (2 * ends[middle] + HELD), start, stop


def test_shared_batches_count() -> None:
    """What has no batch is multiplied first, if that saves more."""
    assert cheapest(((100, 4, 4), (4, 4), (4, 4))) == (0, (1, 2))
    assert cheapest(((4, 4), (4, 4), (100, 4, 4))) == ((0, 1), 2)


def test_traced_and_transformed() -> None:
    function = nl.compile(text_of(*CHAINS["four"]))
    quick = torch.compile(function, fullgraph=True, dynamic=True, backend="aot_eager")
    for ends in ([3, 4, 5, 6, 7], [30, 2, 40, 3, 20]):
        args = [torch.randn(pair, dtype=torch.float64) for pair in zip(ends, ends[1:], strict=False)]
        wanted = torch.linalg.multi_dot(args)
        torch.testing.assert_close(quick(*args), wanted)
        many = [torch.stack([one, 2 * one]) for one in args]
        torch.testing.assert_close(torch.func.vmap(function)(*many), torch.stack([wanted, 16 * wanted]))


@pytest.mark.parametrize("ends", [[9, 9, 9, 9, 1], [1, 9, 9, 9, 9]])
def test_traced_for_sizes_that_are_known(ends: list[int]) -> None:
    """The cheapest order, and nothing in the graph but products."""
    args = [torch.randn(pair, dtype=torch.float64) for pair in zip(ends, ends[1:], strict=False)]
    quick, graphs = traced(nl.compile(text_of(*CHAINS["four"])), dynamic=False)
    torch.testing.assert_close(quick(*args), torch.linalg.multi_dot(args))
    products = [node for node in graphs[0].graph.nodes if node.op.startswith("call")]
    assert len(products) == 3 and all(1 in node.meta["example_value"].shape for node in products)


def test_more_matrices_than_python_nests_parentheses() -> None:
    many = [torch.full((1, 1), 2.0)] + [torch.ones(1, 1)] * 110
    torch.testing.assert_close(chain_product(0, *many, sizes=(1,) * 112), many[0])
    torch.testing.assert_close(chain_product(0, *many), many[0])


def test_less_precision() -> None:
    args = [torch.randn(4, 4) for _ in range(4)]
    rough = nl.compile(text_of(*CHAINS["four"]), precision="bfloat16")(*args)
    assert rough.dtype is torch.float32 and not torch.equal(rough, torch.linalg.multi_dot(args))
    np.testing.assert_allclose(rough.numpy(), torch.linalg.multi_dot(args).numpy(), rtol=0.1, atol=0.3)


def test_sizes_that_are_symbols() -> None:
    product = nl.compile("def f(A[a, b], B[b, c], C[c, d], D[d, e]) -> [a, e] = A @[b] B @[c] C @[d] D")
    given = [torch.randn(shape, dtype=torch.float64) for shape in ((4, 3), (3, 5), (5, 2), (2, 6))]
    traced = make_fx(product, tracing_mode="symbolic")(*given)
    larger = [torch.randn(shape, dtype=torch.float64) for shape in ((7, 9), (9, 3), (3, 8), (8, 5))]
    torch.testing.assert_close(traced(*larger), torch.linalg.multi_dot(larger))
