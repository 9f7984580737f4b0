"""A product of a difference is one of its terms where digits may be lost, and `explain` says so where they may not."""

from __future__ import annotations

import pytest
import torch

import namedlayers as nl
from namedlayers.plan.rules.contractions.products_of_differences import NAME
from namedlayers.program.program import Kind
from tests.plan.formulas import agree, planned

KINDS = {"I": Kind.INT}
TAKEN = {
    "residuals": ("A[n, k], X[n, d]; C[k, d]", "sum[n](A * (X - C))"),
    "residuals, turned": ("A[n, k], X[d, n]; C[d, k]", "-((C - X) @[n] A)"),
    "a sum": ("A[n, k], X[n, d]; C[k, d]", "(X + C) @[n] A"),
    "three factors": ("A[n, k], X[n, d], b[n]; C[k, d]", "sum[n](A * b * (X - C))"),
    "edges": ("X[n, d], I[n, k]; W[o, d]", "W @[d] (X[n = I % |n|] - X)"),
    "edges, turned": ("X[n, d], I[k, n]; W[d, o]", "(X - X[n = I % |n|]) @[d] W"),
}
LEFT = {
    "a difference of one size": ("A[n, k], X[n, d], Y[n, d]", "A @[n] (X - Y)"),
    "a product": ("A[n, k], X[n, d]; C[k, d]", "sum[n](A * (X * C))"),
    "what is summed is not in it all": ("a[k], X[n, d]; C[k, d]", "sum[n, k](a * (X - C))"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_it_is_taken_apart(name: str) -> None:
    signature, expression = TAKEN[name]
    fast = planned(signature, expression, numerics="fast", kinds=KINDS)
    fired = [event for event in fast.plan.events if event.rule == NAME and not event.near]
    assert [event.numerics for event in fired] == ["conditioned"]
    agree(fast)
    here = [event for event in planned(signature, expression, kinds=KINDS).plan.events if event.rule == NAME]
    assert [event.spans for event in here] == [event.spans for event in fired]
    assert all('say `numerics="fast"`' in event.near for event in here)


@pytest.mark.parametrize("name", LEFT)
def test_it_is_left(name: str) -> None:
    signature, expression = LEFT[name]
    fast = planned(signature, expression, numerics="fast", kinds=KINDS)
    assert NAME not in {event.rule for event in fast.plan.events}
    agree(fast)


def test_digits_are_kept_unless_they_are_given_up() -> None:
    """Vectors near their centres, far from 0."""
    torch.manual_seed(0)
    weights, centres = torch.rand(64, 8), 1000 + torch.randn(8, 16)
    vectors = centres[torch.arange(64) % 8] + 1e-2 * torch.randn(64, 16)
    text = "def f(A[n, k], X[n, d]; C[k, d]) -> [k, d] = sum[n](A * (X - C))"
    wide = (weights.double().unsqueeze(-1) * (vectors.double().unsqueeze(1) - centres.double())).sum(0)
    errors = [
        (nl.compile(text, numerics=numerics)(weights, vectors, centres) - wide).abs().max().item()
        for numerics in ("default", "fast")
    ]
    bound = torch.finfo(torch.float32).eps * 64 * (weights.sum(0).max() * 2010).item()
    assert errors[0] < 1e-4 < errors[1] < bound
