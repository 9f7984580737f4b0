"""Scans are opened: what leaves the loop, what stays in it, and that the values are the same."""

from __future__ import annotations

import numpy as np
import pytest

from tests.plan import evaluate as operations
from tests.plan.formulas import random_inputs, sizes_for
from tests.plan.loops import Opened, agree, everywhere, opened, region

NETWORK = """
def f(X[time, input], h0[hidden]; W[hidden', input], U[hidden', hidden], b[hidden']) -> [time, hidden]:
    scan time with h = h0:
        h = {}[hidden' -> hidden]
    return h
"""


def network(update: str) -> Opened:
    return opened(NETWORK.format(update))


# --- what leaves the loop ---------------------------------------------------------------------------------------------


def test_products_with_the_input_are_one_product_before_the_loop() -> None:
    found = network("sin(W @[input] X + U @[hidden] h + b)")
    assert found.inner == ["add", "mul", "reduce", "sin"]
    assert found.ops == ["mul", "reduce", "add", "scan", "part"]
    everywhere(found)


@pytest.mark.parametrize(
    "update",
    [
        "sin(b + U @[hidden] h + W @[input] X)", "sin(W @[input] X - (-(U @[hidden] h)) + b)",
        "sin((b + U @[hidden] h) - (-1) * (W @[input] X))", "sin(2 + U @[hidden] h + b + W @[input] X)",
    ],
)  # fmt: skip
def test_all_summands_that_are_free_of_the_state_are_one(update: str) -> None:
    found = network(update)
    assert found.inner.count("add") + found.inner.count("sub") == 1
    (scan,) = found.scans
    assert len(scan.args) == 3, "the start, the weights of the state, one sum"
    everywhere(found)


def test_sums_stay_as_they_are_where_that_is_asked_for() -> None:
    found = opened(NETWORK.format("sin(b + U @[hidden] h + W @[input] X)"), strict=True)
    assert found.inner.count("add") == 2 and found.inner.count("reduce") == 1
    everywhere(found)


def test_a_product_that_is_larger_than_its_factors_stays() -> None:
    found = opened("""
def f(X[time, i], Y[time, j], h0[i, j]) -> [time, i, j]:
    scan time with h = h0:
        h = sin(h * h + X * Y)
    return h
""")
    assert found.inner == ["add", "mul", "mul", "sin"]
    assert found.ops == ["scan", "part"]
    everywhere(found)


def test_what_is_the_same_at_all_steps_is_computed_once() -> None:
    found = opened("""
def f(X[time, i], h0[i]; U[i', i]) -> [time, i]:
    scan time with h = h0:
        h = sin(exp(U) @[i] h)[i' -> i] + X
    return h
""")
    assert found.inner == ["add", "mul", "reduce", "sin"]
    assert found.ops == ["exp", "scan", "part"]
    everywhere(found)


def test_what_the_state_does_not_need_is_computed_after_the_loop() -> None:
    found = opened("""
def f(X[time, i], h0[i]; V[out, i]) -> [time, out], [time, i], [time, i]:
    scan time with h = h0:
        before = h
        g = exp(h)
        h = sin(g * X)
        y = V @[i] h + 1
        z = before * g
    return y, before, z
""")
    assert found.inner == ["exp", "mul", "sin"]
    assert found.ops.count("scan") == 1 and found.ops.index("scan") < found.ops.index("reduce")
    everywhere(found)


def test_reversed_scans() -> None:
    found = opened("""
def f(X[time, i], h0[i]; V[out, i]) -> [time, out], [time, i]:
    scan time reversed with h = h0:
        before = h
        h = sin(h * X + 1)
        y = V @[i] h
    return y, before
""")
    assert found.inner == ["add", "const", "mul", "sin"]
    everywhere(found)


def test_a_scan_in_which_nothing_is_carried_is_none() -> None:
    found = opened("""
def f(X[time, i]; V[out, i]) -> [time, out]:
    scan time with h = 0:
        h = V @[i] X
    return h
""")
    assert found.ops == ["mul", "reduce"]
    everywhere(found)


def test_the_step_before() -> None:
    found = opened("""
def f(X[time, i], h0[i]) -> [time, i]:
    scan time with last = h0:
        d = X - last
        last = X
    return d
""")
    assert found.scans == []
    everywhere(found)


def test_coordinates_of_the_steps_and_slices() -> None:
    found = opened("""
def f(X[time, i], E[vocab, i], h0[i]) -> [time, i]:
    scan time with h = h0:
        k = time % 3
        first = X[i = 0]
        h = sin(h * X + k + first) + sum[vocab](E)
    return h
""")
    assert "mod" not in found.inner and "index" not in found.inner and "reduce" not in found.inner
    everywhere(found)


def test_products_with_one_state_are_packed() -> None:
    found = opened("""
def f(X[time, batch, i], h0[batch, i]; A[i', i], B[i, i'], C[i', i]) -> [time, batch, i]:
    scan time with h = h0:
        a = sin(A @[i] h)[i' -> i]
        b = exp(h @[i] B)[i' -> i]
        c = (C @[i] h)[i' -> i]
        h = a * X + b / (1 + c * c)
    return h
""")
    assert found.inner.count("reduce") == 1 and found.inner.count("piece") == 3
    assert found.ops[:4] == ["ordered", "ordered", "ordered", "concat"]
    everywhere(found)


def test_weights_that_are_parts_of_one_tensor_are_not_put_together_again() -> None:
    found = opened("""
def f(X[time, i], h0[i]; W[gate, i', i]) -> [time, i]:
    require |gate| == 2
    scan time with h = h0:
        a = sin(W[gate = 0] @[i] h)[i' -> i]
        b = (W[gate = 1] @[i] h)[i' -> i]
        h = a * X + exp(-b * b)
    return h
""")
    assert "stack" not in found.ops and found.inner.count("reduce") == 1
    everywhere(found, others={"gate": 2})


def test_gates_that_are_taken_one_by_one_are_cut_at_once() -> None:
    found = opened("""
def f(X[time, i], h0[i]; W[gate, i', i], V[gate, i']) -> [time, i], [time, i]:
    require |gate| == 3
    scan time with h = h0:
        a = (W @[i] h + V)[i' -> i]
        h = sin(a[gate = 0]) * X + exp(0.1 * a[gate = -1])
        b = a[gate = 1]
    return h, b
""")
    assert found.inner.count("piece") == 2 and "index" not in found.inner
    everywhere(found, others={"gate": 3})


# --- what needs no loop -----------------------------------------------------------------------------------------------

LINEAR = """
def f(X[time, i], a[i], d[time, i], h0[i]) -> [time, i]:
    scan time {}with h = h0:
        h = {}
    return h
"""


@pytest.mark.parametrize("backwards", ["", "reversed "])
@pytest.mark.parametrize(
    "update",
    [
        "a * h + X", "X + h * d", "h + d * (X - h)", "(1 - d) * h + d * X", "h / (1 + d * d) - X", "-h",
        "where(X > 0, h * a, X)", "where(X > 0, X, d - h)", "a * (d * (h + X) - X) + X * h", "0.9 * h + 0.1 * X",
        "exp(a * d) * h + d * X", "h * X", "h / (2 + d * d)",
    ],
)  # fmt: skip
def test_linear_recurrences(update: str, backwards: str) -> None:
    found = opened(LINEAR.format(backwards, update))
    assert set(found.ops) & {"recurrence", "cumulative"} and not found.scans
    everywhere(found)


@pytest.mark.parametrize("backwards", ["", "reversed "])
@pytest.mark.parametrize("update", ["h + X", "X - d + h", "h - a"])
def test_running_sums(update: str, backwards: str) -> None:
    found = opened(LINEAR.format(backwards, update))
    (node,) = [node for node in found.after.live() if node.op == "cumulative"]
    assert node.attr("op") == "sum" and not found.scans
    everywhere(found)


def test_a_count_of_steps() -> None:
    found = opened("""
def f(X[time, i]) -> [time]:
    scan time with n = 0:
        n = n + 1
        m = X * n
    return n
""")
    assert not found.scans and "cumulative" in found.ops
    everywhere(found)


def test_what_is_not_linear_stays_a_loop() -> None:
    for update in ("h * h + X", "maximum(h, X * h)", "sin(h) + X", "h * X + flip[i](h)"):
        found = opened(LINEAR.format("", update))
        assert len(found.scans) == 1, update
        everywhere(found)


def test_extrema_so_far_need_no_loop() -> None:
    for update in (
        "maximum(h, X)", "maximum(a, maximum(minimum(X, a), h))", "minimum(X, h)", "logaddexp(X, logaddexp(h, a))",
    ):  # fmt: skip
        found = opened(LINEAR.format("", update))
        assert not found.scans and "cumulative" in found.ops, update
        everywhere(found)


def test_extrema_from_either_end_and_their_neutral_start() -> None:
    for scan, start, update in (
        ("time", "-inf", "maximum"), ("time reversed", "inf", "minimum"), ("time", "-inf", "logaddexp"),
    ):  # fmt: skip
        found = opened(f"""
def f(X[time, i]) -> [time, i]:
    scan {scan} with h = {start}:
        h = {update}(X, h)
    return h
""")
        assert not found.scans and update not in found.ops, update
        everywhere(found)


def test_strict_numerics_keep_the_order_of_sums_only() -> None:
    assert not opened(LINEAR.format("", "maximum(h, X)"), strict=True).scans
    assert opened(LINEAR.format("", "logaddexp(h, X)"), strict=True).scans


def test_linear_recurrences_may_run_in_another_order_of_operations() -> None:
    found = opened(LINEAR.format("", "a * h + X"), strict=True)
    assert len(found.scans) == 1
    everywhere(found)


def test_several_carried_values_one_after_the_other() -> None:
    """Linear ones before and after the loop around what is left, which needs the ones and is needed by the others."""
    found = opened("""
def f(X[time, i], h0[i]) -> [time, i], [time, i]:
    scan time with h = h0, s = 0, d = 0.5, g = 0, m = 0, k = 1:
        h = 0.5 * h - X
        s = s + h * d
        d = X
        g = sin(g + s)
        m = 0.9 * m + g * k
        k = g * k + m
    return m, k
""")
    assert found.ops.count("recurrence") == 1 and found.ops.count("cumulative") == 1
    (scan,) = found.scans
    assert scan.attr("carries") == 3
    everywhere(found)


def test_linear_values_that_the_loop_does_not_read_come_after_it() -> None:
    found = opened("""
def f(X[time, i], h0[i]) -> [time, i], [time, i]:
    scan time with g = h0, m = 0, s = 0:
        g = sin(g + X)
        m = 0.9 * m + g
        s = s + m * g
    return m, s
""")
    (scan,) = found.scans
    assert scan.attr("carries") == 1
    assert found.ops.count("recurrence") == 1 and found.ops.count("cumulative") == 1
    everywhere(found)


def test_a_state_space_model() -> None:
    found = opened("""
def f(X[time, chan], delta[time, chan], A[chan, state], B[time, state], C[time, state]) -> [time, chan]:
    scan time with h = 0:
        h = exp(delta * A) * h + delta * X * B
        y = sum[state](C * h)
    return y
""")
    assert "recurrence" in found.ops and not found.scans
    everywhere(found)


# --- inside of each other ---------------------------------------------------------------------------------------------


def test_what_an_inner_loop_does_not_need_leaves_both() -> None:
    found = opened("""
def f(X[time, step, i], h0[i]; W[i', i]) -> [time, i]:
    scan time with h = h0:
        scan step with g = h:
            g = sin(g + (W @[i] X)[i' -> i])
        h = g[step = -1]
    return h
""")
    assert found.ops == ["mul", "reduce", "scan", "part"]
    (inner,) = [node for node in found.body.live() if node.op == "scan"]
    assert sorted(node.op for node in region(inner).graph.live() if node.op != "input") == ["add", "sin"]
    for steps in (1, 3):
        everywhere(found, others={"step": steps})


def test_an_inner_scan_that_needs_no_outer_state_runs_for_all_steps_at_once() -> None:
    found = opened("""
def f(X[time, step, i], h0[i]; W[i', i]) -> [time, i]:
    scan time with h = h0:
        scan step with g = 0:
            g = sin(g + (W @[i] X)[i' -> i])
        h = sin(h) + sum[step](g)
    return h
""")
    outer = [node for node in found.after.live() if node.op == "scan"]
    assert len(outer) == 2 and all("scan" not in [n.op for n in region(one).graph.live()] for one in outer)
    for steps in (0, 1, 3):
        everywhere(found, others={"step": steps})


def test_a_linear_scan_inside_a_linear_scan() -> None:
    found = opened("""
def f(X[time, step, i], h0[i]) -> [time, i]:
    scan time with h = h0:
        scan step reversed with g = 0:
            g = 0.5 * g + X
        h = 0.9 * h + sum[step](g)
    return h
""")
    assert found.ops.count("recurrence") == 2 and not found.scans
    for steps in (0, 1, 3):
        everywhere(found, others={"step": steps})


# --- random numbers ---------------------------------------------------------------------------------------------------


def test_draws_of_each_step_are_drawn_at_once() -> None:
    found = opened("""
def f(X[time, i], h0[i]) -> [time, i]:
    scan time with h = h0:
        h = sin(h + uniform[i] + X)
    return h
""")
    assert found.inner == ["add", "sin"] and "random" in found.ops
    (node,) = [node for node in found.after.live() if node.op == "random"]
    assert node.rank == 2
    (scan,) = found.scans
    assert scan.attr("site") == 0, "nothing is drawn inside any more"


def test_two_draws_stay_two() -> None:
    found = opened("""
def f(X[time, i], h0[i]) -> [time, i]:
    scan time with h = h0:
        h = sin(h + normal[i] * normal[i] + dropout(X; p = 0.5))
    return h
""")
    assert found.ops.count("random") == 2
    assert len({node.attr("site") for node in found.after.live() if node.op in ("random", "dropout")}) >= 2


def test_draws_that_depend_on_the_state_stay_inside() -> None:
    found = opened("""
def f(X[time, i], h0[i]) -> [time, i]:
    scan time with h = h0:
        h = where(bernoulli(sigmoid(h)), X, h)
    return h
""")
    assert "random" in found.inner
    (scan,) = found.scans
    assert scan.attr("site") != 0


# --- by chance --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_blocks_by_chance(seed: int) -> None:
    """Carried values, assignments and results by chance: whatever leaves the loop, the values are the same."""
    found = opened(_block(np.random.default_rng(seed)))
    agree(found, seed, tolerance=1e-7, time=3)
    agree(found, seed, tolerance=1e-7, time=1, i=1)
    sizes = sizes_for(found.program, time=0)
    operations.evaluate(found.after, random_inputs(found.program, sizes), sizes)


def _block(source: np.random.Generator) -> str:
    carried = [f"c{k}" for k in range(source.integers(1, 4))]
    known = ["X", "a", *carried]
    lines = []
    forms = (
        "0.5 * {} + {}", "sin({}) * {}", "{} - {} * 0.3", "tanh({} + {})", "({} + {}) / 2", "where({} > 0, {}, 0.1)",
        "(W @[i] {})[i' -> i] + {}", "0.1 * {}[i = |i| - 1 - i] + {}", "(V @[i] {})[i' -> i] * a + {}",
    )  # fmt: skip
    for k in range(source.integers(1, 5)):
        name = str(source.choice([f"t{k}", *carried]))
        lines.append(f"{name} = {_filled(source, forms, known)}")
        known.append(name)
    lines += [f"{name} = {_filled(source, forms, known)}" for name in carried]
    assigned = dict.fromkeys(line.split(" = ")[0] for line in lines)
    results = list(source.choice(list(assigned), size=min(2, len(assigned)), replace=False))
    starts = ", ".join(f"{name} = {source.choice(['h0', 'zeros[i]', 'a'])}" for name in carried)
    reverse = "reversed " if source.random() < 0.3 else ""
    return "\n".join([
        f"def f(X[time, i], h0[i]; a[i], W[i', i], V[i', i]) -> {', '.join('[time, i]' for _ in results)}:",
        f"    scan time {reverse}with {starts}:",
        *(f"        {line}" for line in lines),
        f"    return {', '.join(results)}",
        "",
    ])  # fmt: skip


def _filled(source: np.random.Generator, forms: tuple[str, ...], known: list[str]) -> str:
    form = str(source.choice(forms))
    return form.format(*source.choice(known, size=form.count("{}")))
