"""Steps that attend, or take a softmax: what is asked before the loop, what is seen of all steps at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from namedlayers.emit.kernels import looking
from namedlayers.emit.kernels.still_memory import attend, still_memory
from namedlayers.emit.loops.writers import softmax_into
from tests.emit.harness import agree, compiled
from tests.emit.test_steps_in_place import in_place

LOOPS = {
    "keys as values": (
        "def f(X[t, b, h], h0[b, h]; M[b, m, h]) -> [t, b, h]:\n    scan t with h = h0:\n"
        "        a = softmax[m](sum[h](M * h) / sqrt(|h|))\n        h = tanh(X + sum[m](a * M))\n    return h"
    ),
    "values of another width": (
        "def f(X[t, b, h], h0[b, h]; M[b, m, h], V[b, m, v], W[h, v]) -> [t, b, h]:\n    scan t with h = h0:\n"
        "        a = softmax[m](sum[h](M * h))\n        h = tanh(X + W @[v] sum[m](a * V))\n    return h"
    ),
    "rows that attend to one memory": (
        "def f(X[t, b, h], h0[b, h]; M[m, h], V[m, h], beta[]) -> [t, b, h]:\n    scan t with h = h0:\n"
        "        a = softmax[m](beta * sum[h](M * h))\n        h = tanh(X + sum[m](a * V))\n"
        "        a = softmax[m](sum[h](M * h) / sqrt(|h|))\n        h = sum[m](a * V)\n    return h"
    ),
    "one that attends to a memory": (
        "def f(X[t, h], h0[h]; M[m, h]) -> [t, h]:\n    scan t with h = h0:\n"
        "        a = softmax[m](sum[h](M * h))\n        h = tanh(X + sum[m](a * M))\n    return h"
    ),
    "a mask": (
        "def f(X[t, b, h], h0[b, h]; M[b, m, h], w[b, m]) -> [t, b, h]:\n    scan t with h = h0:\n"
        "        a = softmax[m](where(w > 0, sum[h](M * h), -inf))\n        h = tanh(X + sum[m](a * M))\n    return h"
    ),
    "several heads": (
        "def f(X[t, b, k, h], h0[b, k, h]; M[b, k, m, h]) -> [t, b, k, h]:\n    scan t with h = h0:\n"
        "        a = softmax[m](sum[h](M * h))\n        h = tanh(X + sum[m](a * M))\n    return h"
    ),
    "a memory that moves": (
        "def f(X[t, b, h], h0[b, h], M0[b, m, h]) -> [t, b, h]:\n    scan t with h = h0, M = M0:\n"
        "        a = softmax[m](sum[h](M * h))\n        h = tanh(X + sum[m](a * M))\n        M = 0.9 * M + a * h\n"
        "    return h"
    ),
    "outer products": (
        "def f(X[t, b, h], h0[b, h], S0[b, h, h']) -> [t, b, h]:\n    scan t with h = h0, S = S0:\n"
        "        S = 0.5 * S + h * X[h -> h']\n        h = tanh(sum[h'](S * X[h -> h']))\n    return h"
    ),
    "backwards": (
        "def f(X[t, b, h], h0[b, h]; M[b, m, h]) -> [t, b, h]:\n    scan t reversed with h = h0:\n"
        "        a = softmax[m](sum[h](M * h))\n        h = tanh(X + sum[m](a * M))\n    return h"
    ),
    "of scores that may all be -inf": (
        "def f(X[t, b, h], p0[b, h]; w[b, h]) -> [t, b, h]:\n    scan t with p = p0:\n"
        "        p = softmax[h](where(w > X, p + X, -inf))\n    return p"
    ),
}  # fmt: skip
SIZES = {"t": 4, "b": 3, "h": 5, "h'": 5, "m": 2, "k": 2, "v": 6}


def inputs(text: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    signature = text.split("def f(")[1].split(") ->")[0].replace(";", ",")
    given = [one.strip(" ,") for one in signature.split("]") if one.strip(" ,")]
    axes = {one.split("[")[0]: [axis.strip() for axis in one.split("[")[1].split(",") if axis] for one in given}
    return {name: rng.standard_normal([SIZES[axis] for axis in of]) for name, of in axes.items()}


@pytest.mark.parametrize("name", LOOPS)
def test_loops(name: str) -> None:
    text = LOOPS[name]
    agree(compiled(text, inputs(text)), inputs(text), tolerance=1e-7)


def test_rows_that_attend_to_one_memory_are_products() -> None:
    assert not [line for line in in_place(LOOPS["rows that attend to one memory"]) if "attend" in line]


def test_a_step_takes_no_views_of_its_query() -> None:
    assert not [line for line in in_place(LOOPS["keys as values"]) if "[None" in line or "squeeze" in line]


@pytest.mark.parametrize("width", (3, 7))
@pytest.mark.parametrize("turned", (False, True))
def test_attend(width: int, turned: bool) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(1, 2, 1, 5), torch.randn(1, 2, 4, 5), torch.randn(1, 2, 4, width)
    value = value.mT.contiguous().mT if turned else value
    wanted = torch.softmax(query @ key.mT / math.sqrt(5), -1) @ value
    torch.testing.assert_close(attend(query, still_memory(key, value)), wanted)
    torch.testing.assert_close(attend(query, still_memory(key, value), scale=1 / math.sqrt(5)), wanted)


@pytest.mark.parametrize("odd", ("-inf", "inf", "nan"))
@pytest.mark.parametrize("rows", (2, 2000))
def test_softmax_into(rows: int, odd: str) -> None:
    x = torch.randn(rows, 3)
    x[1] = float(odd)
    out = torch.empty_like(x)
    assert softmax_into(x, 1, out=out) is out
    torch.testing.assert_close(out, looking.softmax(x, 1), equal_nan=True)


def test_a_flattened_place_is_seen_of_all_steps_at_once() -> None:
    text = (
        "def f(E[t, b, j, k], p0[b, j, k]; A[j, j'], B[k, k']) -> [t, b, j, k]:\n    scan t with p = p0:\n"
        "        p = tanh((A @[j] (B @[k] p))[j' -> j, k' -> k] * E)\n    return p"
    )
    assert not [line for line in in_place(text) if "flatten(" in line or "F.linear" in line]
    rng = np.random.default_rng(0)
    shapes = {"E": (4, 2, 3, 5), "p0": (2, 3, 5), "A": (3, 3), "B": (5, 5)}
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    agree(compiled(text, arrays), arrays, tolerance=1e-7)
