"""The workloads as tests: all sides agree at tiny sizes. And the page, made from figures that nobody measured."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import torch

import namedlayers as nl
from tests.benchmarks import __main__ as command
from tests.benchmarks import cells, loops
from tests.benchmarks.generated import generated
from tests.benchmarks.page import CUDA_TEMPLATE, TEMPLATE, page
from tests.benchmarks.parts import PARTS
from tests.benchmarks.records import Records, where
from tests.benchmarks.running import Effort, agreeing, check_agreement, run
from tests.benchmarks.sides import COMPILED, INDUCTOR, NAIVE, OURS, missing, sides_of
from tests.benchmarks.verdicts import ratio, verdicts
from tests.benchmarks.workload import Workload
from tests.benchmarks.workloads import WORKLOADS

BY_NAME = {one.name: one for one in WORKLOADS}
HERE = [one for one in WORKLOADS if not missing(one) and "MiniLM" not in one.name]
"""Those for which everything is installed; MiniLM's own test compares it with the original."""
ON = {"machine": "an abacus", "versions": "torch 0", "manner": "1 thread"}


@pytest.mark.parametrize("workload", HERE, ids=lambda workload: workload.name)
def test_all_sides_agree(workload: Workload) -> None:
    assert {OURS, *workload.by_hand} <= set(agreeing(workload, workload.quick))


def test_a_side_that_is_wrong_is_found() -> None:
    workload = BY_NAME["layer norm"]
    sides = sides_of(workload, compiled=False)
    functions = {name: make() for name, make in sides.made.items()}
    functions[NAIVE] = lambda x, gamma, beta: x
    with pytest.raises(AssertionError, match=r"layer norm: the value of `naive` is not that of `layer_norm`"):
        check_agreement(workload, functions, sides, workload.quick)
    functions[NAIVE] = lambda x, gamma, beta: functions["layer_norm"](x, gamma, beta.detach()) + 0 * beta
    with pytest.raises(AssertionError, match=r"layer norm: the gradient of `naive`"):
        check_agreement(workload, functions, sides, workload.quick)


def test_sides_that_torch_compiles_agree() -> None:
    torch._dynamo.reset()
    assert {INDUCTOR, f"{NAIVE}{COMPILED}"} <= set(
        agreeing(BY_NAME["(A @ B) @ x"], {"i": 3, "k": 4, "j": 5}, compiled=True)
    )


def test_workloads_are_told_apart_and_sized() -> None:
    assert len(BY_NAME) == len(WORKLOADS)
    for one in WORKLOADS:
        assert one.full.keys() == one.quick.keys(), one.name
        assert one.edges.keys() <= {*one.by_hand, NAIVE}, one.name


def test_a_quick_run_writes_figures_page_and_updates_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--quick", "--rounds", "2", "--no-plot", "--out", str(tmp_path)]
    assert command.main(["--only", "RMS norm", *options]) == 0
    assert command.main(["--only", "layer norm", "--only", "call overhead", *options]) == 0
    held = json.loads((tmp_path / "benchmarks.json").read_text())
    assert {"RMS norm", "layer norm", "library: layer norm"} <= held["rows"].keys() and "call overhead" in held["parts"]
    figures = held["rows"]["RMS norm"]["sides"][OURS]
    kinds = ("", "_low", "_high", "_bytes")
    assert figures.keys() == {"compile", *(f"{measure}{kind}" for measure in ("forward", "both") for kind in kinds)}
    assert min(figures.values()) > 0
    text = (tmp_path / "benchmarks.md").read_text()
    assert "| RMS norm<br>" in text and "tensors by position" in text and "Not measured." in text
    assert "RMS norm: " in capsys.readouterr().out


def test_unknown_names_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--only", "no such thing", "--out", str(tmp_path)]) == 2
    assert "no such thing" in capsys.readouterr().err
    assert command.main(["--only", "conv*3x3", "--list", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "Windows: convolution 3x3\n"


# --- the page, from figures that nobody measured ----------------------------------------------------------------------


def invented() -> Records:
    """Every side of every workload takes as many milliseconds as its name is long."""
    records = Records()
    for workload in WORKLOADS:
        sides = sides_of(workload, compiled=True)
        figures = {
            name: {measure: len(name) / 1e3 for measure in ("forward", "both", "compile")}
            | {"forward_bytes": 1000 * len(name), "both_bytes": 2000 * len(name)}
            for name in sides.made
        }
        row = {"group": workload.group, "sizes": dict(workload.full), "sides": figures, "left_out": sides.left_out}
        row["bound"] = {"flops": 10**9, "bytes": 10**6, "seconds": 1e-3}
        records.rows[workload.name] = row | {"where": ON}
    for name in PARTS:
        records.parts[name] = {"head": ("way", "time"), "lines": [(name, "1 µs")], "where": ON}
    return records


@pytest.mark.parametrize("template", [TEMPLATE, CUDA_TEMPLATE], ids=["cpu", "cuda"])
def test_the_page_has_every_row_and_every_table_its_columns(template: Path) -> None:
    text = page(invented(), WORKLOADS, template.read_text("utf-8"))
    assert not re.search(r"<!--", text)
    for workload in WORKLOADS:
        assert workload.name.replace("|", r"\|").removeprefix("library: ") in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "an abacus; torch 0; 1 thread." in text


def test_pages_of_a_gpu_are_apart(tmp_path: Path) -> None:
    invented().write(tmp_path / "benchmarks-cuda.json")
    assert command.main(["--page", "--no-plot", "--device", "cuda", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "benchmarks-cuda.md").read_text()
    assert text.startswith("# What it costs on a GPU") and "formula's share" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["benchmarks-cuda.json", "benchmarks-cuda.md"]


ALL_LOOPS = (*loops.LOOPS, *cells.CELLS)


@pytest.mark.parametrize("loop", ALL_LOOPS, ids=[loop.name for loop in ALL_LOOPS])
def test_a_loop_by_hand_is_the_formula(loop: loops.Loop | cells.Cell) -> None:
    """As one writes it, hoisted, and at the floor; and its gradients."""
    tensors = [one.double() for one in loop.tensors({"time": 5, "batch": 2, "input": 3, "hidden": 4})]
    wanted = loop.by_hand(*tensors)
    formula = nl.compile(loop.text, loop.formula)
    for found in (formula(*tensors), loop.hoisted(*tensors), loop.floor(tensors), loop.floor(tensors, backward=True)):
        torch.testing.assert_close(found, wanted)
    free = [one.requires_grad_() for one in tensors]
    found, hoisted, wanted = (
        torch.autograd.grad(function(*free).square().sum(), free) for function in (formula, loop.hoisted, loop.by_hand)
    )
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(hoisted, wanted)


def test_ratios_and_verdicts() -> None:
    workload = BY_NAME["sum layer as logsumexp(X + W)"]
    row = invented().rows[workload.name]
    hand = len("shift, exp, bmm, log")
    assert ratio(workload, row, OURS, "forward") == pytest.approx(4 / hand)
    found = {(one.side, one.what, one.against): one for one in verdicts(workload, row)}
    edge = found[OURS, "time, forward", NAIVE]
    assert (edge.limit, edge.ratio, edge.met, edge.missed) == (0.1, pytest.approx(4 / 5), False, True)
    assert found[OURS, "memory, forward", "the fastest by hand"].met
    assert found[INDUCTOR, "time, with backward", "by hand, compiled"].ratio == pytest.approx(14 / (hand + 10))


def test_what_the_noise_allows_is_not_missed() -> None:
    workload = BY_NAME["RMS norm"]
    row = invented().rows["RMS norm"]
    (hand,) = workload.by_hand
    row["sides"][OURS] |= {"forward": 1.2, "forward_low": 1.0}
    row["sides"][hand] |= {"forward": 1.0, "forward_high": 1.1}
    found = {one.what: one for one in verdicts(workload, row) if one.side == OURS}["time, forward"]
    assert not found.met and not found.missed and found.low == pytest.approx(1 / 1.1)


def test_what_torch_compiles_alike_is_not_missed() -> None:
    records = invented()
    row = records.rows["RMS norm"]
    for side, code in ((INDUCTOR, "a"), ("rms_norm, compiled", "a"), (f"{NAIVE}{COMPILED}", "b")):
        row["sides"][side]["forward_code"] = code
    row["sides"][INDUCTOR]["forward"] = 50.0
    found = {one.what: one for one in verdicts(BY_NAME["RMS norm"], row) if one.side == INDUCTOR}
    assert found["time, forward"].ratio > 1.03 and found["time, forward"].met and not found["time, forward"].missed
    assert not found["time, with backward"].alike
    assert "1 of those that are met are" in page(records, WORKLOADS, "<!-- targets -->")
    row["sides"][INDUCTOR]["forward_code"] = "b"
    assert "torch.compile makes the same" not in page(records, WORKLOADS, "<!-- targets -->")


def test_what_is_compiled_is_told_apart() -> None:
    torch._dynamo.reset()
    x, y = torch.ones(3, 4), torch.ones(3, 4)
    forms = [lambda x, y: (x * y).sum(), lambda y, x: (x * y).sum(), lambda x, y: (x + y).sum()]
    compiled = [torch.compile(form, dynamic=False) for form in forms]
    one, turned, other = (generated(lambda form=form: form(x, y)) for form in compiled)
    assert one is not None and one == turned != other
    assert generated(lambda: compiled[0](x, y)) is None  # it has been


def test_misses_are_listed_the_worst_first() -> None:
    records = invented()
    records.rows["RMS norm"]["sides"][OURS]["forward"] = 3.0
    text = page(records, WORKLOADS, "<!-- targets -->")
    assert text.splitlines()[4].startswith("| RMS norm | ours | time, forward | the fastest by hand | 1.05 |")


def test_figures_are_read_back_as_written(tmp_path: Path) -> None:
    records = invented()
    records.write(tmp_path / "figures.json")
    text = page(records, WORKLOADS, TEMPLATE.read_text("utf-8"))
    assert page(Records.read(tmp_path / "figures.json"), WORKLOADS, TEMPLATE.read_text("utf-8")) == text
    assert Records.read(tmp_path / "none.json").rows == {}


def test_the_plot_is_one_file_for_equal_figures(tmp_path: Path) -> None:
    from tests.benchmarks.plot import plot

    for name in ("one.svg", "other.svg"):
        plot(invented(), WORKLOADS, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()
    drawn = (tmp_path / "one.svg").read_text()
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert "naive, torch.compile" in drawn and "RMS norm" in drawn


def test_figures_name_no_machine() -> None:
    import platform

    told = where("cpu", 2, busy=False)
    assert told["manner"] == "2 threads, time"
    assert platform.node() not in " ".join(told.values())


def test_the_bound_is_part_of_a_row() -> None:
    from namedlayers.inspect.roofline import Machine

    row = run(BY_NAME["(A @ B) @ x"], Effort(quick=True, rounds=2, compiled=False), Machine(1e9, 1e9))
    assert row["bound"]["seconds"] == pytest.approx(max(row["bound"]["flops"], row["bound"]["bytes"]) / 1e9)
