"""Back ends: what the inductor makes of a formula gives what the generated Python gives."""

from __future__ import annotations

import pickle

import torch

import namedlayers as nl

TEXT = "def act(X[i, j]; W[j, k]) -> [i, k]:\n    Y = X @[j] W\n    return tanh(Y) * sigmoid(Y) + exp(-Y ^ 2)"


def test_the_inductor_gives_the_same() -> None:
    plain, compiled = nl.compile(TEXT), nl.compile(TEXT, backend="inductor")
    x, w = torch.randn(4, 3, requires_grad=True), torch.randn(3, 5, requires_grad=True)
    torch.testing.assert_close(compiled(x, w), plain(x, w))
    ours, theirs = (torch.autograd.grad(one(x, w).sum(), (x, w)) for one in (compiled, plain))
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(compiled(torch.ones(7, 3), w), plain(torch.ones(7, 3), w))  # another size


def test_what_is_compiled_asks_for_modes_at_each_call() -> None:
    """No call asks for names of the generated code, which never change; for what a user may turn on, each does."""
    compiled = nl.compile("def f(X[i, j]; W[j, k]) -> [i, k] = tanh(X @[j] W)", backend="inductor")
    third = nl.compile("def third(n[i]) -> [i] = n / 3", backend="inductor")
    x, w, n = torch.randn(4, 3), torch.randn(3, 5, requires_grad=True), torch.arange(4)
    with torch.no_grad():
        assert not compiled(x, w).requires_grad
    assert compiled(x, w).requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        assert compiled(x, w).dtype is torch.bfloat16
    assert compiled(x, w).dtype is torch.float32
    assert third(n).dtype is torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert third(n).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_it_goes_where_the_function_goes() -> None:
    copy = pickle.loads(pickle.dumps(nl.compile(TEXT, backend="inductor")))
    assert copy.manner.backend == "inductor"


def test_a_layer() -> None:
    text = "layer Scale(X[i]) -> [i]:\n    param g[i] ~ normal\n    return tanh(g * X) + X"
    torch.manual_seed(0)
    plain = nl.compile(text)(i=3)
    torch.manual_seed(0)
    compiled = nl.compile(text, backend="inductor")(i=3)
    x = torch.randn(6, 3)
    torch.testing.assert_close(compiled(x), plain(x))


def test_pieces() -> None:
    """Compiled once for pieces of all lengths; with a gradient, too, they give the same."""
    text = "def f(X[i, d], Y[j, d]; b[j]) -> [i] = sum[j](tanh(sum[d](abs(X - Y))) * b)"
    plain, compiled = nl.compile(text), nl.compile(text, backend="inductor", max_memory="100KiB")
    args = [torch.randn(s, requires_grad=True) for s in [(300, 3), (280, 3), (280,)]]
    with torch.no_grad():
        torch.testing.assert_close(compiled(*args), plain(*args))
    tiled = compiled.specialize(*args).compiled.function
    (found,) = tiled.known.values()
    assert any(stage.cuts and stage.made.quick is not stage.made.function for stage in found.stages)
    ours, theirs = (torch.autograd.grad(one(*args).sum(), args) for one in (compiled, plain))
    torch.testing.assert_close(ours, theirs)
