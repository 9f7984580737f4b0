"""Functions under semirings, and within budgets of memory: what runs is what the definition says, with gradients."""

from __future__ import annotations

import pickle

import pytest
import torch

import namedlayers as nl

HMM = """
def likelihood(E[time, state]; A[state, state'], p[state]) -> []:
    scan time with a = p:
        a = (A @[state] a)[state' -> state] * E
    return sum[state](a[time = -1])
"""
CIRCUIT = """
def circuit(X[variable, unit]; W[unit, out], V[out, root]) -> [root]:
    leaves = X @[unit] W
    return prod[variable](leaves) @[out] V
"""
FORMULAS = {"a hidden Markov model": (HMM, [(6, 3), (3, 3), (3,)]), "a circuit": (CIRCUIT, [(4, 3), (3, 5), (5, 2)])}


def _args(shapes: list[tuple[int, ...]]) -> list[torch.Tensor]:
    return [torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape) + 7 * shape[0]))
            .requires_grad_() for shape in shapes]  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_logarithms_with_gradients(name: str) -> None:
    text, shapes = FORMULAS[name]
    plain, log = nl.compile(text), nl.compile(text, semiring="log")
    x, *rest = _args(shapes)
    expected = torch.log(plain(x, *rest))
    found = log(torch.log(x), *rest)
    torch.testing.assert_close(found, expected)
    ours, theirs = (torch.autograd.grad(one.sum(), (x, *rest), retain_graph=True) for one in (found, expected))
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(found, log.reference(torch.log(x), *rest))


@pytest.mark.parametrize("semiring", ["max-plus", "min-plus", "max-product", "min-product"])
@pytest.mark.parametrize("name", FORMULAS)
def test_extremes(name: str, semiring: str) -> None:
    text, shapes = FORMULAS[name]
    function, args = nl.compile(text, semiring=semiring), _args(shapes)
    torch.testing.assert_close(function(*args), function.reference(*args))


def test_the_most_probable_path_is_the_gradient_under_max_plus() -> None:
    x, a, p = (torch.log(one.detach()) for one in _args([(6, 3), (3, 3), (3,)]))
    x.requires_grad_()
    viterbi = nl.compile(HMM, semiring="max-plus")
    (path,) = torch.autograd.grad(viterbi(x, a, p), x)
    assert torch.equal(path.sum(1), torch.ones(6, dtype=torch.float64))
    scores = p.clone()
    for row in x.detach():
        scores = (scores[:, None] + a).amax(0) + row
    torch.testing.assert_close(viterbi(x, a, p).detach(), scores.max())


def test_weights_of_zero_have_gradients() -> None:
    mix = nl.compile("def mix(X[i]; W[i, o]) -> [o] = X @[i] W", semiring="log")
    w = torch.tensor([[0.0, 1.0], [1.0, 0.0]], requires_grad=True)
    mix(torch.tensor([[0.0, 2.0], [1.0, 3.0]]), w).sum().backward()
    assert w.grad is not None and torch.isfinite(w.grad).all() and (w.grad > 0).all()


def test_which_inputs_are_values() -> None:
    text = "def product(X[a, i]; Y[i, b]) -> [a, b] = X @[i] Y"
    x, y = _args([(4, 3), (3, 2)])
    both = nl.compile(text, semiring="log", semiring_inputs=["X", "Y"])
    torch.testing.assert_close(both(x, y), torch.logsumexp(x[:, :, None] + y, 1))
    torch.testing.assert_close(nl.compile(text).under("log", ["Y"])(x, y), torch.log(x @ y.exp()))


def test_a_layer_under_a_semiring() -> None:
    mix = nl.compile("layer Mix[i](X[i]) -> [o]:\n    param W[i, o = 2] ~ uniform\n    return X @[i] softmax[i](W)",
                     semiring="log")(i=3)  # fmt: skip
    x = torch.randn(5, 3)
    torch.testing.assert_close(mix(x), torch.log(x.exp() @ mix.W.softmax(0)))


def test_it_goes_where_the_function_goes() -> None:
    log = nl.compile(CIRCUIT, semiring="log").within("1GiB")
    args = _args([(4, 3), (3, 5), (5, 2)])
    torch.testing.assert_close(pickle.loads(pickle.dumps(log))(*args), log(*args))
    compiled = torch.compile(log, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*args), log(*args))


def test_a_call_in_pieces() -> None:
    text = "def f(X[i, d], Y[j, d]; b[j]) -> [i]:\n    return sum[j](exp(-sum[d]((X - Y) ^ 2)) * b)"
    x, y, b = _args([(300, 3), (200, 3), (200,)])
    whole, pieces = nl.compile(text), nl.compile(text, max_memory="300 KiB")
    torch.testing.assert_close(pieces(x, y, b), whole(x, y, b))
    ours, theirs = (torch.autograd.grad(one(x, y, b).sum(), (x, y, b)) for one in (pieces, whole))
    torch.testing.assert_close(ours, theirs)
    with pytest.raises(nl.SizeError, match="NL0431"):
        nl.compile("def g(X[t]) = cumsum[t](X)", max_memory=100)(torch.randn(100))


def test_a_power_under_boolean_is_a_truth_value() -> None:
    power = nl.compile("def power(X[i]) -> [i] = X ^ 2", semiring="boolean")
    x = torch.tensor([0.0, 2.0])
    assert power(x).tolist() == power.reference(x).tolist() == [False, True]
