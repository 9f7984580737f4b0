"""`namedlayers bench`, the plan that it compares with, and the measures that it shares with the benchmark suite."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.cli import main
from namedlayers.emit.build import build
from namedlayers.inspect.passes import both, differentiable, forward
from namedlayers.inspect.roofline import measured
from namedlayers.inspect.timing import medians, peak_bytes, watched
from namedlayers.plan.written import written
from namedlayers.program.numbering import number

TEXT = """\
def attention(Q[query, key], K[seq, key], V[seq, val]) -> [query, val]:
    return softmax[seq](Q @[key] K / sqrt(|key|)) @[seq] V

def chain(A[i, j], B[j, k], C[k, l]) -> [i, l] = sum[j, k](A * B * C)

def rnn(X[time, i], h0[h]; W[h', i], U[h', h]) -> [time, h]:
    scan time with h = h0:
        h = tanh(W @[i] X + U @[h] h)[h' -> h]
    return h

def first(X[i]) -> [] = argmax[i](X)

def chosen(E[vocab, i], I[seq]) -> [seq, i] = E[vocab = I]

def noisy(X[i]) -> [i] = X + normal[i]

def large(X[i]) -> [i] = exp(1e4 * X) / sum[i](exp(1e4 * X))

layer Linear[input -> output](X[batch, input]) -> [batch, output]:
    param W[output, input] ~ normal
    return relu(W @[input] X)
"""
SIZES = {
    "attention": {"query": 3, "key": 4, "seq": 5, "val": 6},
    "chain": {"i": 2, "j": 3, "k": 4, "l": 5},
    "rnn": {"time": 4, "i": 3, "h": 2, "h'": 2},
    "first": {"i": 4},
    "noisy": {"i": 4},
    "chosen": {"vocab": 4, "i": 2, "seq": 3},
}


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "text.nl").write_text(TEXT)
    return str(tmp_path / "text.nl")


def sized(name: str) -> list[str]:
    return [part for axis, size in SIZES[name].items() for part in ("--size", f"{axis}={size}")]


@pytest.mark.parametrize("name", SIZES)
def test_bench_tells_every_way(name: str, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", f"{path}:{name}", *sized(name), "--rounds", "3", "--no-compile"]) == 0
    shown = capsys.readouterr().out
    rows = {line.split("  ")[0]: line for line in shown.splitlines()}
    assert {"formula", "as it is written"} <= rows.keys()
    assert "operations" in shown and "measured here" in shown
    # What is not differentiable has no second pass: its cells are empty.
    assert rows["formula"].count("µs") + rows["formula"].count("ms") == (2 if name == "first" else 3)


def test_bench_with_torch_compile(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    torch._dynamo.reset()
    assert main(["bench", f"{path}:first", *sized("first"), "--rounds", "3", "--seconds", "0.1"]) == 0
    assert "the same, torch.compile" in capsys.readouterr().out


def test_bench_of_a_layer(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--size", "batch=3", "--size", "input=4", "--size", "output=5"]
    assert main(["bench", f"{path}:Linear", *sizes, "--rounds", "3", "--no-compile", "--threads", "1"]) == 0
    assert "as it is written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("attention", "--size", "query=3", "--size", "key=4"),
            "NL0617: the size of axis `seq` of `K` is not given, nor that of `val` of `V`",
        ),
        (("attention", *sized("attention"), "--size", "keys=2"), "NL0617: no input of `attention` has an axis `keys`"),
        (("large", "--size", "i=4"), "NL0650: the formula and the way 'as it is written' give different numbers"),
        (("first", *sized("first"), "--device", "abacus"), "NL0651: torch has no device `abacus` here"),
    ],
)  # fmt: skip
def test_bench_says_what_is_wrong(
    arguments: tuple[str, ...], message: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = arguments
    assert main(["bench", f"{path}:{name}", *options, "--no-compile", "--rounds", "1"]) == 1
    assert message in capsys.readouterr().err


# --- the plan as it is written ----------------------------------------------------------------------------------------


def tensors(name: str) -> list[Tensor]:
    torch.manual_seed(0)
    definition = nl.loads(TEXT)[name]
    made = [torch.randn([SIZES[name][axis] for axis in port.axes], dtype=torch.float64) for port in definition.inputs]
    return [one.to(torch.int64).clamp(0, 1) if name == "chosen" and k else one for k, one in enumerate(made)]


@pytest.mark.parametrize("name", [name for name in SIZES if name != "noisy"])
def test_written_computes_what_the_reference_does(name: str) -> None:
    function, given = nl.loads(TEXT)[name], tensors(name)
    program = function.specialize(*given).program
    found = build(program, written(number(program))).function(*given)
    np.testing.assert_allclose(found.numpy(), function.reference(*given).numpy(), rtol=1e-10)


def test_written_recognises_nothing_and_keeps_the_order() -> None:
    graph = number(nl.loads(TEXT)["attention"].program)
    ops = {node.op for node in written(graph).variants[0].graph.live()}
    assert "contract" in ops and not ops & {"attention", "softmax"}
    (contraction,) = (
        node
        for node in written(number(nl.loads(TEXT)["chain"].program)).variants[0].graph.live()
        if node.op == "contract"
    )
    assert contraction.attr("path") == ((0, 1), (0, 1))


# --- measures ---------------------------------------------------------------------------------------------------------


def test_medians_call_every_side_in_turn() -> None:
    order: list[str] = []
    medians({name: partial(order.append, name) for name in "abc"}, rounds=40)
    rounds = [order[start : start + 3] for start in range(len(order) - 120, len(order), 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert {(*one,) for one in rounds} == set(itertools.permutations("abc"))  # none always after the same one


def test_a_slow_side_runs_in_the_first_rounds_only() -> None:
    count = {"slow": 0, "fast": 0}

    def slow() -> None:
        count["slow"] += 1
        time.sleep(0.002)

    def fast() -> None:
        count["fast"] += 1

    medians({"slow": slow, "fast": fast}, rounds=200, seconds=0.05)
    assert 5 <= count["slow"] < 200 <= count["fast"]


def test_peaks_are_of_what_is_held_at_once() -> None:
    x = torch.ones(1000)
    assert peak_bytes(lambda: x + x) == 4000
    assert peak_bytes(lambda: ((x + x) + x) + x) == 8000
    assert peak_bytes(lambda: x.view(10, 100)) == 0
    seen = watched(lambda: x.sum())
    assert seen.seconds > 0 and torch.equal(seen.result, torch.tensor(1000.0))  # type: ignore[arg-type]


def test_the_profiler_writes_nothing() -> None:
    code = "import torch; from namedlayers.inspect.timing import watched; watched(lambda: torch.ones(3) + 1)"
    environment = {**os.environ, "PYTHONPATH": str(Path(nl.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_passes() -> None:
    x, w = torch.ones(3), torch.full((3,), 2.0, requires_grad=True)
    assert not forward(lambda x: x * w, [x])().requires_grad
    backward = both(lambda x: x * w, [x], [w])
    assert [one.tolist() for one in backward()] == [[2.0] * 3, [1.0] * 3]
    assert differentiable(lambda x: x * w, [x]) and not differentiable(lambda i: i + 1, [x.long()])


def test_the_machine_is_measured() -> None:
    machine = measured()
    assert machine.bandwidth > 1e6 and machine.flops > 1e6
