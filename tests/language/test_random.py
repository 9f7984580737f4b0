"""Random draws: what they are over, that each place and each coordinate draws anew, and torch's generators."""

from __future__ import annotations

import torch

import namedlayers as nl


def drawn(text: str, *args: torch.Tensor, seed: int = 0, **options: object) -> torch.Tensor:
    torch.manual_seed(seed)
    return nl.compile(text)(*args, **options)


def test_draws_are_over_the_axes_in_brackets() -> None:
    assert (
        drawn("def f(X[i, j]) -> [i, j]:\n    Z = normal[i]\n    return Z + 0 * X", torch.zeros(3, 4)).std(1).max() == 0
    )
    assert drawn("def f(X[i, j]) = uniform[i, j] + X", torch.zeros(50, 50)).unique().numel() > 2000


def test_distributions() -> None:
    x = torch.zeros(200, 200)
    uniform, normal = drawn("def f(X[i, j]) = uniform[i, j] + X", x), drawn("def f(X[i, j]) = normal[i, j] + X", x)
    assert 0 <= uniform.min() and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 0.01
    assert abs(normal.mean()) < 0.02 and abs(normal.std() - 1) < 0.02
    heads = drawn("def f(X[i, j]) = bernoulli[i, j](0.3) + X", x)
    assert set(heads.unique().tolist()) == {0.0, 1.0} and abs(heads.mean() - 0.3) < 0.01
    p = torch.tensor([0.0, 1.0])
    assert torch.equal(drawn("def f(P[i]) = bernoulli(P)", p).int(), p.int())


def test_categorical_draws_coordinates() -> None:
    logits = torch.log(torch.tensor([0.2, 0.0, 0.8])).expand(5000, 3)
    found = drawn("def f(L[n, i]) = categorical[i](L)", logits)
    assert found.dtype is torch.int64 and found.shape == (5000,)
    counts = torch.bincount(found, minlength=3) / 5000
    assert counts[1] == 0 and abs(counts[2] - 0.8) < 0.03


def test_one_seed_gives_one_result() -> None:
    text, x = "def f(X[i]) = normal[i] * X", torch.ones(20)
    assert torch.equal(drawn(text, x, seed=4), drawn(text, x, seed=4))
    assert not torch.equal(drawn(text, x, seed=4), drawn(text, x, seed=5))


def test_a_name_is_one_draw_and_each_place_another() -> None:
    x = torch.ones(20)
    assert torch.equal(drawn("def f(X[i]) -> [i]:\n    Z = normal[i]\n    return (Z - Z) * X", x), torch.zeros(20))
    assert (drawn("def f(X[i]) = (normal[i] - normal[i]) * X", x) != 0).all()


def test_a_lifted_definition_draws_for_each_coordinate() -> None:
    found = drawn("def noisy(X[i]) = X + normal[i]\ndef f(X[i, batch]) = noisy(X)", torch.zeros(30, 20))
    assert found.unique().numel() == 600
    assert drawn("def noisy(X[i]) = X + normal[i]", torch.zeros(20, 30)).unique().numel() == 600  # leading axes, too


def test_rounds_and_steps_draw_anew() -> None:
    rounds = """
def f(X[i]) -> [i]:
    repeat 12:
        X = X + normal[i]
    return X
"""
    assert 6 < drawn(rounds, torch.zeros(2000)).var() < 18  # the variances of twelve draws add up
    steps = "def f(X[t, i]) -> [t, i]:\n    scan t with h = 0:\n        h = normal[i] + 0 * X + 0 * h\n    return h"
    assert drawn(steps, torch.zeros(30, 20)).unique().numel() == 600


def test_dropout_is_for_training() -> None:
    text, x = "def f(X[i]; p = 0.25) = dropout(X; p = p)", torch.ones(4000)
    assert torch.equal(drawn(text, x), x)
    found = drawn(text, x, training=True)
    assert set(found.unique().tolist()) == {0.0, float(torch.tensor(1.0) / 0.75)}
    assert abs((found == 0).float().mean() - 0.25) < 0.03
    assert torch.equal(drawn(text, x, training=True, p=0.0), x)
    torch.manual_seed(9)
    theirs = torch.nn.functional.dropout(x, 0.25)
    assert torch.equal(drawn(text, x, seed=9, training=True), theirs)


def test_a_module_drops_while_it_trains() -> None:
    module = nl.compile("layer Drop(X[i]; p = 0.5) -> [i]:\n    return dropout(X; p = p)")(p=0.9)
    x = torch.ones(1000)
    assert (module(x) == 0).float().mean() > 0.8
    assert torch.equal(module.eval()(x), x)


def test_a_checkpointed_block_redraws_the_same() -> None:
    text = """
layer Net[a](X[a]; depth = 3) -> [a]:
    repeat depth as block:
        param g[a] ~ ones
        X = dropout(g * X; p = 0.5)
    return X
"""
    grads = []
    for checkpointed in (False, True):
        module = nl.compile(text)(a=200)
        if checkpointed:
            module.checkpoint("block")
        torch.manual_seed(1)
        module(torch.ones(200)).sum().backward()
        grads.append(torch.stack([block.g.grad for block in module.block]))
    assert torch.equal(*grads)
