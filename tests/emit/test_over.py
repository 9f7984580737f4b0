"""Activations write over what nothing else needs, and over nothing else."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call, grad, jvp, vmap

import namedlayers as nl
from namedlayers.inspect.timing import peak_bytes

OVER = {
    "a linear map": "def f(X[b, s, i]; W[o, i], v[o]) -> [b, s, o] = relu(W @[i] X + v)",
    "a matrix product": "def f(X[b, s, i]; W[o, i], v[o]) -> [b, s, o] = relu(X @[i] W) + v",
    "a sum": "def f(X[b, s, i]; W[o, i], v[o]) -> [b, s, o] = relu(exp(X @[i] W) + v)",
}
NOT_OVER = {
    "an argument": "def f(X[b, s, i]; W[o, i], v[o]) -> [b, s, i] = relu(X)",
    "what is used again": "def f(X[b, s, i]; W[o, i], v[o]):\n    Y = W @[i] X + v\n    return relu(Y) * sigmoid(Y)",
    "a result": "def f(X[b, s, i]; W[o, i], v[o]):\n    Y = W @[i] X + v\n    return relu(Y), Y",
}


def operands() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    return tuple(torch.randn(shape, dtype=torch.float64) for shape in ((2, 3, 4), (5, 4), (5,)))


@pytest.mark.parametrize("name", [*OVER, *NOT_OVER])
def test_values_and_gradients(name: str) -> None:
    f = nl.compile({**OVER, **NOT_OVER}[name])
    given = operands()
    before = [one.clone() for one in given]
    found, wanted = f(*given), f.reference(*given)
    torch.testing.assert_close(found, wanted)
    assert ("relu_over" in f.code) == (name in OVER)
    assert all(map(torch.equal, given, before))
    if isinstance(found, torch.Tensor):
        learned = [one.requires_grad_() for one in given]
        assert torch.autograd.gradcheck(f, learned) and torch.autograd.gradgradcheck(f, learned)


def test_what_is_transformed_or_traced() -> None:
    f = nl.compile(OVER["a linear map"])
    x, w, v = operands()
    wanted = torch.relu(x @ w.T + v)
    torch.testing.assert_close(vmap(f, (0, None, None))(torch.stack([x, x]), w, v), torch.stack([wanted, wanted]))
    torch.testing.assert_close(vmap(f, (None, 0, None))(x, torch.stack([w, w]), v), torch.stack([wanted, wanted]))
    torch.testing.assert_close(grad(lambda x: f(x, w, v).sum())(x), (wanted > 0).double() @ w)
    torch.testing.assert_close(jvp(lambda x: f(x, w, v), (x,), (x,))[1], (x @ w.T) * (wanted > 0))
    torch.testing.assert_close(torch.compile(f, fullgraph=True, backend="aot_eager")(x, w, v), wanted)


SCORES = "def f(X[b, i], Y[b, j]; G[i, j, k]) -> [b, k] = sum[i, j](X * Y * G)"


def test_matrices_that_are_made_for_a_product_with_vectors_are_written_over() -> None:
    f = nl.compile(SCORES)
    assert "spare=True" in f.code
    torch.manual_seed(0)
    x, y, g = torch.randn(1024, 6), torch.randn(1024, 5), torch.randn(6, 5, 3)
    wanted = torch.einsum("bi,bj,ijk->bk", x, y, g)
    copies = [one.clone() for one in (x, y, g)]
    with torch.no_grad():
        torch.testing.assert_close(f(x, y, g), wanted)
        made = min(5, 6) * 3 * 1024 * 4
        assert peak_bytes(lambda: f(x, y, g)) < made + 2 * wanted.nbytes
    assert all(map(torch.equal, (x, y, g), copies))
    for learned in (x, y, g):
        found = torch.autograd.grad(f(*(one.requires_grad_(one is learned) for one in (x, y, g))).sum(), learned)
        expected = torch.autograd.grad(torch.einsum("bi,bj,ijk->bk", x, y, g).sum(), learned)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_matrices_that_are_needed_again_are_not() -> None:
    f = nl.compile(
        "def f(X[b, i], Y[b, j]; G[i, j, k]) -> [b, j, k], [b, k]:\n    P = X @[i] G\n    return P, P @[j] Y"
    )
    x, y, g = torch.randn(1024, 6), torch.randn(1024, 5), torch.randn(6, 5, 3)
    assert "spare" not in f.code
    torch.testing.assert_close(f(x, y, g)[0], torch.einsum("bi,ijk->bjk", x, g))


def test_one_hidden_layer_is_held_and_not_two() -> None:
    feed = nl.load("feedforward").FeedForward(layer=8, width=512).eval()
    x = torch.randn(64, 8)
    with torch.no_grad():
        feed(x)
        assert peak_bytes(lambda: feed(x)) < 1.1 * 4 * 64 * (512 + 8)
    names = dict(feed.named_parameters())
    torch.testing.assert_close(functional_call(feed, names, (x,)), feed(x))
