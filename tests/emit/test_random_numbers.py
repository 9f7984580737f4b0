"""Random numbers: what is drawn, from which generator, and that every draw is one of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.emit.build import build
from namedlayers.plan.planner import plan
from namedlayers.program.numbering import number
from tests.emit.harness import WAYS, program_of, run, tensors

DRAWS: dict[str, tuple[str, dict[str, str]]] = {
    "uniform": ("def f(X[i, j]) -> [i, j] = X + uniform[i, j]", {"X": "i j"}),
    "normal": ("def f(X[i, j]) -> [i, j] = X * normal[j, i]", {"X": "i j"}),
    "bernoulli": ("def f(P[i, j]) -> [i, j] = bernoulli(P)", {"P": "i j"}),
    "bernoulli over more": ("def f(P[i], X[j]) -> [i, j] = X * bernoulli[i, j](P)", {"P": "i", "X": "j"}),
    "bernoulli, a number": ("def f(X[i, j]) -> [i, j] = X * bernoulli[i, j](0.3)", {"X": "i j"}),
    "categorical": ("def f(X[i, j, k]) -> [k, i] = categorical[j](X)", {"X": "i j k"}),
    "one category": ("def f(X[i]) -> [] = categorical[i](log(X))", {"X": "i"}),
    "dropout": ("def f(X[i, j]; training = True) -> [i, j] = dropout(X; p = 0.4)", {"X": "i j"}),
    "dropout, a tensor": ("def f(X[i, j], p[]; training = True) -> [i, j] = dropout(X; p = p)", {"X": "i j", "p": ""}),
    "dropout of all": ("def f(X[i, j]; training = True) -> [i, j] = dropout(X; p = 1)", {"X": "i j"}),
    "in a scan": (
        "def f(X[t, i]; training = True) -> [t, i]:\n"
        "    scan t with h = X[t = 0]:\n"
        "        h = dropout(sin(h) + X; p = 0.5) + uniform[i] * h\n"
        "    return h",
        {"X": "t i"},
    ),
}
SIZES = {"i": 3, "j": 4, "k": 5, "t": 6}


def arrays_of(name: str) -> tuple[str, dict[str, np.ndarray]]:
    text, inputs = DRAWS[name]
    rng = np.random.default_rng(3)
    return text, {key: rng.uniform(0.2, 0.9, [SIZES[a] for a in axes.split()]) for key, axes in inputs.items()}


def made_of(name: str, way: str = "planned") -> tuple[Any, list[torch.Tensor]]:
    text, arrays = arrays_of(name)
    training = {"training": True} if "training" in text else {}
    made = WAYS[way](text, arrays, **training)
    return made, tensors(made, arrays, torch.float32)


def seeded(function: Any, *args: Any, seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    return function(*args, **options)


# --- what is drawn ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [name for name in DRAWS if name not in ("dropout, a tensor", "in a scan")])
def test_as_torch_draws(name: str, way: str) -> None:
    """The generator is torch's default one; a draw is what torch gives for the axes in their order."""
    from namedlayers.reference import evaluate

    made, args = made_of(name, way)
    given = {one.name: arg.numpy() for one, arg in zip(made.program.inputs, args, strict=True)}
    (want,) = seeded(evaluate, made.program, given, np.float32)
    (found,) = seeded(run, made, args)
    np.testing.assert_allclose(found.numpy(), want, rtol=1e-6)
    assert seeded(run, made, args)[0].equal(found)


def test_a_named_order_is_the_order_of_the_draw() -> None:
    normal = nl.compile("def f(X[i, j]) -> [i, j] = 0 * X + normal[j, i]")
    found = seeded(normal, torch.zeros(3, 4))
    assert torch.equal(found, seeded(torch.randn, 4, 3).t())


@pytest.mark.parametrize(
    ("name", "mean", "deviation"),
    [
        ("def f(X[i]) = uniform[i] + 0 * X", 0.5, 12**-0.5),
        ("def f(X[i]) = normal[i] + 0 * X", 0.0, 1.0),
        ("def f(X[i]) = 1 * bernoulli(X)", 0.3, 0.21**0.5),
        ("def f(X[i], L[k]) = categorical[k](L + 0 * X)", 1.3, 0.61**0.5),
        ("def f(X[i]; training = True) = dropout(X; p = 0.25)", 0.3, 0.3 * (1 / 3) ** 0.5),
        ("def f(X[i], p[]; training = True) = dropout(X; p = p)", 0.3, 0.3 * (1 / 3) ** 0.5),
    ],
    ids=["uniform", "normal", "bernoulli", "categorical", "dropout", "dropout, a tensor"],
)
def test_moments(name: str, mean: float, deviation: float) -> None:
    function = nl.compile(name)
    given = {"X": torch.full((200_000,), 0.3)}
    given |= {"L": torch.tensor([0.2, 0.3, 0.5]).log()} if "L[" in name else {}
    given |= {"p": torch.tensor(0.25)} if "p[" in name else {}
    found = seeded(function, **given).double()
    assert abs(found.mean() - mean) < 0.01 and abs(found.std() - deviation) < 0.01


@pytest.mark.parametrize("dtype", (torch.float64, torch.float32, torch.bfloat16))
@pytest.mark.parametrize("name", ("uniform", "normal", "dropout", "in a scan"))
def test_precision(name: str, dtype: torch.dtype) -> None:
    made, args = made_of(name)
    assert run(made, [arg.to(dtype) for arg in args])[0].dtype is dtype


def test_dropout_with_a_probability_that_is_a_tensor() -> None:
    made, (x, _) = made_of("dropout, a tensor")
    for p in (0.0, 0.4, 1.0):
        x = x.detach().requires_grad_()
        (found,) = seeded(run, made, [x, torch.tensor(p)])
        kept = found != 0
        torch.testing.assert_close(found[kept], (x / (1 - p))[kept])
        (gradient,) = torch.autograd.grad(found.sum(), x)
        torch.testing.assert_close(gradient, torch.where(kept, 1 / (1 - p) if p < 1 else 0.0, 0.0))
        assert kept.all() if p == 0 else not kept.any() if p == 1 else 0 < kept.sum() < kept.numel()


def test_nothing_to_draw() -> None:
    found = nl.compile("def f(X[i, k]) -> [i] = categorical[k](X)")(torch.zeros(0, 3))
    assert found.shape == (0,) and found.dtype is torch.int64
    assert nl.compile("def f(X[i]) = X + normal[i]")(torch.zeros(0)).shape == (0,)


# --- every draw is one of its own -------------------------------------------------------------------------------------


def test_sites() -> None:
    """A name is one draw; each place in the text is another, and each call."""
    twice = nl.compile("def f(X[i]) -> [i], [i]:\n    A = normal[i] + X\n    return A - A, normal[i] - normal[i]")
    same, other = twice(torch.zeros(5))
    assert (same == 0).all() and (other != 0).all()
    assert not torch.equal(twice(torch.zeros(5))[1], other)


def test_steps_and_rounds_draw_anew() -> None:
    scanned = nl.compile(
        "def f(X[i]) -> [step, i]:\n    scan step = 6 with h = X:\n        h = sin(h) + uniform[i]\n    return h"
    )
    found = scanned(torch.zeros(3))
    drawn = found - torch.cat([torch.zeros(1, 3), found[:-1]]).sin()
    assert drawn.unique().numel() == 18
    rounds = nl.compile("def f(X[i]) -> [i]:\n    repeat 3:\n        X = X - uniform[i]\n    return X")
    torch.manual_seed(5)
    total = sum(torch.rand(4) for _ in range(3))
    torch.testing.assert_close(seeded(rounds, torch.zeros(4), seed=5), -total)


def test_lifted_coordinates_draw_anew() -> None:
    noise = nl.compile("def f(X[i]) = X + normal[i]")
    assert noise(torch.zeros(4, 3)).unique().numel() == 12


# --- transformed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRAWS)
def test_compiled(name: str) -> None:
    """The same draws as a plain call, but for scans, which are seeded as a whole; and others at the next call."""
    made, args = made_of(name)
    quick = torch.compile(made.function, fullgraph=True, backend="aot_eager")
    found = seeded(quick, *args)
    assert torch.equal(seeded(quick, *args), found)
    if name != "in a scan":
        torch.testing.assert_close(found, seeded(made.function, *args))
    if name not in ("dropout of all", "one category"):
        assert not torch.equal(quick(*args), found)


@pytest.mark.parametrize("name", [name for name in DRAWS if name != "dropout of all"])
def test_vmap(name: str) -> None:
    made, args = made_of(name)
    many = [torch.stack([arg] * 8) for arg in args]
    found = torch.func.vmap(made.function, randomness="different")(*many)
    assert len(found.unique(dim=0)) > 1
    with pytest.raises(RuntimeError, match="randomness"):
        torch.func.vmap(made.function)(*many)


def test_vmap_of_a_traced_scan() -> None:
    made, (x,) = made_of("in a scan")
    many = torch.stack([x] * 4)
    for randomness, different in (("different", 4), ("same", 1)):
        lifted = torch.func.vmap(made.function, randomness=randomness)
        found = torch.compile(lifted, fullgraph=True, backend="aot_eager")(many)
        assert len(found.unique(dim=0)) == different


def test_the_backward_pass_of_a_traced_scan_redraws_the_same() -> None:
    made, (x,) = made_of("in a scan")
    quick = torch.compile(made.function, fullgraph=True, backend="aot_eager")
    x = x.double().requires_grad_()
    (gradient,) = torch.autograd.grad(seeded(quick, x).sum(), x)
    direction = torch.randn(x.shape, dtype=x.dtype)
    ends = [seeded(quick, x.detach() + sign * 1e-6 * direction).sum() for sign in (1, -1)]
    torch.testing.assert_close((gradient * direction).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-6)


def test_a_traced_scan_leaves_the_generator_as_one_draw_does() -> None:
    """What it draws inside follows from one number, so that what is drawn afterwards does not depend on its length."""
    made, (x,) = made_of("in a scan", "as written")
    quick = torch.compile(made.function, fullgraph=True, dynamic=True, backend="aot_eager")
    after = []
    for steps in (3, 5):
        seeded(quick, x[:steps])
        after.append(torch.rand(2))
    assert torch.equal(*after)


# --- bad probabilities ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", (-0.1, 1.5, float("nan")))
@pytest.mark.parametrize(
    "text",
    (
        "def f(X[i]; p, training = True) = dropout(X; p = p)",
        "def f(X[i]; p) = X * bernoulli[i](p)",
    ),
)
@pytest.mark.parametrize("size", (3, 2_000_000))
def test_a_probability_that_is_none(text: str, p: float, size: int) -> None:
    with pytest.raises(nl.FormulaError) as caught:
        nl.compile(text)(torch.ones(size), p=p)
    assert caught.value.code == "NL0588" and str(p) in str(caught.value)


def test_weights_that_are_none() -> None:
    with pytest.raises(nl.FormulaError) as caught:
        nl.compile("def f(X[i]) -> [] = categorical[i](X)")(torch.full((3,), float("nan")))
    assert caught.value.code == "NL0588"


def test_a_checkpointed_body_redraws_the_same() -> None:
    text = "def f(X[i]) -> [i]:\n    repeat 40 as block:\n        X = sin(X + uniform[i])\n    return X"
    program = program_of(text, {"X": np.ones(4)})
    planned = plan(number(program))
    (name,) = {region.body.name for region in planned.bodies}
    plain, saved = build(program, planned), build(program, planned, checkpoint=frozenset({name}))
    x = torch.ones(4, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(*(torch.autograd.grad(seeded(made.function, x).sum(), x)[0] for made in (plain, saved)))
    assert "checkpoint(" in saved.code and "checkpoint(" not in plain.code
