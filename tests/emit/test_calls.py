"""Calls of bodies: each body one function, planned once, however often it is called."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.emit.build import Compiled, build
from namedlayers.plan.explain import explain
from namedlayers.plan.planner import plan
from namedlayers.program.numbering import number
from tests.emit.harness import WAYS, agree, program_of, run, run_with_hash_seed, tensors

BODY = """
def f(X[b, i]; W[i, j], V[j, i]) -> [b, i]:
    repeat {rounds} as block:
        Y = standardize[i](X) @[i] W
        X = X + 2 * softmax[j](Y) @[j] V
    return X
"""
ROUNDS = 12
"""So many rounds, and a block that owns nothing is a body, too."""

LAYERS = """
layer Block[layer](X[layer]; ratio = 2) -> [layer]:
    param W[hidden = ratio * |layer|, layer] ~ xavier_uniform(layer, hidden)
    param V[layer, hidden] ~ xavier_uniform(hidden, layer)
    return X + V @[hidden] tanh(W @[layer] X)

layer Net[layer](X[layer]; n = 3) -> [layer]:
    repeat n as block:
        X = Block[layer](X)
    return X
"""


def made_of(text: str = BODY, rounds: int = ROUNDS, way: str = "planned") -> tuple[Compiled, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    arrays = {"X": rng.standard_normal((2, 3)), "W": rng.standard_normal((3, 4)), "V": rng.standard_normal((4, 3))}
    return WAYS[way](text.format(rounds=rounds), arrays), arrays


def module(rounds: int) -> torch.nn.Module:
    torch.manual_seed(0)
    return nl.loads(LAYERS).Net(layer=4, n=rounds).double()


@pytest.mark.parametrize("way", WAYS)
def test_values_and_derivatives(way: str) -> None:
    made, arrays = made_of(way=way)
    agree(made, arrays)
    args = [one.requires_grad_(one.ndim > 0) for one in tensors(made, arrays)]
    assert torch.autograd.gradcheck(made.function, args, fast_mode=True)
    assert torch.autograd.gradgradcheck(made.function, args, fast_mode=True)


def test_one_function_a_body_and_one_line_a_call() -> None:
    net = module(48)
    code = net.specialize(torch.ones(2, 4, dtype=torch.float64)).code
    assert code.count("def block(") == 1
    lines = [line.strip() for line in code.split("\ndef Net(")[1].splitlines()]
    assert sum(line.split("  #")[0].split(" = ")[-1].startswith("block(") for line in lines) == 48
    assert sum("torch." in line for line in lines) == 0


def test_a_body_is_planned_once() -> None:
    made, _ = made_of()
    planned = plan(number(made.program))
    (inner,) = planned.bodies.values()
    fired = [event.rule for event in inner.events if not event.near]
    assert fired.count("softmax") == 1 and not planned.events
    report = explain(planned)
    assert report.count("  softmax (exact)") == 1 and "Inside `block`" in report


def test_results_that_nothing_takes_are_not_returned() -> None:
    made, _ = made_of()
    assert "return X" in made.code.split("\n\n")[0] and ", " not in made.code.split("return")[1].splitlines()[0]


def test_what_a_kernel_needs_of_sizes_is_asked_inside() -> None:
    text = BODY.replace("softmax[j](Y) @[j] V", "max[j](Y) * W @[j] V").replace("W @[j] V", "sum[j](V)")
    made, arrays = made_of(text)
    body, main = made.code.split("\ndef f(")
    assert "    if j >= 1:" in body and "if j >= 1:" not in main
    args = tensors(made, arrays)
    empty = args[0], torch.zeros(3, 0, dtype=torch.float64), torch.zeros(0, 3, dtype=torch.float64)
    assert made.function(*empty).shape == (2, 3)


def test_names_that_clash() -> None:
    """A body is called like the definition, an input like the body."""
    text = "def block(X[i], step[i]) -> [i]:\n    repeat 12 as block:\n        X = sin(X) + step\n    return X"
    arrays = {"X": np.ones(3), "step": np.zeros(3)}
    program = program_of(text, arrays)
    made = build(program, plan(number(program)))
    agree(made, arrays)
    assert made.function.__name__ == "block"


def test_the_same_code_for_every_hash_seed() -> None:
    script = "from tests.emit.test_calls import made_of\nprint(made_of()[0].code)"
    assert run_with_hash_seed(script) == made_of()[0].code + "\n"


# --- graphs -----------------------------------------------------------------------------------------------------------


def test_graphs_are_copied_run_and_changed() -> None:
    made, arrays = made_of()
    args = tensors(made, arrays)
    (graph,) = made.modules
    twin = copy.deepcopy(graph)
    twin.recompile()
    for function in (graph, twin, torch.fx.Interpreter(twin).run):
        torch.testing.assert_close(function(*args), run(made, args)[0])
    assert str(graph.graph).count("namedlayers.generated.block") == ROUNDS


@pytest.mark.parametrize("strict", (False, True))
def test_export(strict: bool) -> None:
    net = module(3)
    x = torch.randn(5, 4, dtype=torch.float64)
    exported = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim.AUTO},), strict=strict)
    more = torch.randn(7, 4, dtype=torch.float64)
    torch.testing.assert_close(exported.module()(more), net(more))


def test_compile() -> None:
    net = module(12)
    x = torch.randn(5, 4, dtype=torch.float64)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(net, fullgraph=True, backend="aot_eager")(x), net(x))


# --- checkpointing ----------------------------------------------------------------------------------------------------


def test_checkpointed_calls_keep_their_inputs_only() -> None:
    made, arrays = made_of()
    planned = plan(number(made.program))
    saved = build(made.program, planned, checkpoint=frozenset({"block"}))
    args = [one.requires_grad_(one.ndim > 0) for one in tensors(made, arrays)]
    kept: list[list[Any]] = [[], []]
    for function, seen in zip((made.function, saved.function), kept, strict=True):
        with torch.autograd.graph.saved_tensors_hooks(lambda one, seen=seen: seen.append(one) or one, lambda one: one):
            result = function(*args)
        seen.append(torch.autograd.grad(result.sum(), args))
    torch.testing.assert_close(kept[0][-1], kept[1][-1])
    assert len(kept[1]) < 0.6 * len(kept[0])


def test_checkpointed_calls_compile() -> None:
    made, arrays = made_of()
    saved = build(made.program, plan(number(made.program)), checkpoint=frozenset({"block"}))
    args = [one.requires_grad_(one.ndim > 0) for one in tensors(made, arrays)]
    torch._dynamo.reset()
    quick = torch.compile(saved.function, fullgraph=True, backend="aot_eager")
    for function in (quick, saved.function):
        gradients = torch.autograd.grad(function(*args).sum(), args)
        torch.testing.assert_close(gradients, torch.autograd.grad(made.function(*args).sum(), args))


def test_graphs_show_their_bodies() -> None:
    """As children, which are code of their own and show as tables."""
    from namedlayers.inspect.graph import graph_table

    made, _ = made_of()
    (graph,) = made.modules
    body = graph.get_submodule("block")
    assert isinstance(body, torch.fx.GraphModule)
    assert body.code.strip().splitlines()[1:] == made.code.split("\n\n")[0].strip().splitlines()[1:]
    table = graph_table(graph)
    assert "\n\nblock:\n" in table and table.count("scaled") == 0 and len(re.findall(r"\]  +softmax  ", table)) == 1
