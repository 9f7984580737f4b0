"""Causal linear attention, and what counts less with the distance: in which spellings nothing is held for all pairs of
places and positions, and in which it is no sum of products."""

from __future__ import annotations

import numpy as np
import pytest

from namedlayers.plan.cost import cost
from namedlayers.plan.prefixes import PREFIXES
from tests.emit.forms import inputs_of, reference, slopes, text_of
from tests.helpers import check
from tests.plan.formulas import agree, holds, planned_text

QKV = "Q[t, key], K[s, key], V[s, val]"
SIZES = {"t": 7, "s": 6, "key": 3, "val": 2, "h": 2, "b": 2, "a": 3, "d": 4}

LINEAR = {
    "a choice": (QKV, "return where(s <= t, Q @[key] K, 0) @[s] V"),
    "a factor": (QKV, "return ((s <= t) * (Q @[key] K)) @[s] V"),
    "a table of ones": (QKV, "return sum[s, key](Q * K * V * where(s > t, 0, 1))"),
    "what is forbidden": (QKV, "return where(not s <= t, 0.0, Q @[key] K) @[s] V"),
    "by places": (QKV, "S = (Q @[key] K) * (index[s] <= index[t])\nreturn V @[s] S"),
    "strictly before": (QKV, "return where(s < t, Q @[key] K, 0) @[s] V"),
    "a few more": (QKV, "return where(s <= t + 2, Q @[key] K, 0) @[s] V"),
    "all but the last": (QKV, "return where(s <= t - 3, Q @[key] K, 0) @[s] V"),
    "from the place on": (QKV, "return where(s >= t, Q @[key] K, 0) @[s] V"),
    "after the place": (QKV, "return where(s <= t, 0, Q @[key] K) @[s] V"),
    "ends aligned": (QKV, "return where(s - |s| <= t - |t|, Q @[key] K, 0) @[s] V"),
    "divided after": (QKV, "S = where(s <= t, exp(Q) @[key] exp(K), 0)\nreturn (S @[s] V) / sum[s](S)"),
    "divided before": (QKV, "S = where(s <= t, exp(Q) @[key] exp(K), 0)\nreturn (S / sum[s](S)) @[s] V"),
    "with a little more": (QKV, "S = (s <= t) * (exp(Q) @[key] exp(K))\nreturn (S @[s] V) / (1e-6 + sum[s](S))"),
    "one length": (
        "Q[t, key], K[t, key], V[t, val]",
        "|s| = |t|\nS = where(index[s] <= index[t], exp(Q) @[key] exp(K[t -> s]), 0)\n"
        "return (S @[s] V[t -> s]) / sum[s](S)",
    ),
    "heads": ("Q[b, t, h, key], K[b, s, h, key], V[h, b, s, val]", "return where(s <= t, Q @[key] K, 0) @[s] V"),
    "shared keys": ("Q[h, t, key], K[s, key], V[s, val]", "return where(s <= t, Q @[key] K, 0) @[s] V"),
    "shared queries": ("Q[t, key], K[h, s, key], V[h, s, val]", "return where(s <= t, Q @[key] K, 0) @[s] V"),
    "features of two axes": ("Q[t, key, a], K[a, s, key], V[s, val]", "return where(s <= t, Q @[key, a] K, 0) @[s] V"),
    "values of two axes": ("Q[t, key], K[s, key], V[val, s, a]", "return where(s <= t, Q @[key] K, 0) @[s] V"),
    "values of none": ("Q[t, key], K[s, key], V[s]", "return where(s <= t, Q @[key] K, 0) @[s] V"),
    "values with the keys' axes": ("Q[h, t, key], K[h, s, key], V[h, s]", "return where(s <= t, Q @[key] K, 0) @[s] V"),
    "weights": (f"{QKV}, w[s], u[t], c[val]", "return -2 * u * ((where(s <= t, Q @[key] K, 0) * w) @[s] (V * c))"),
    "divided by the positions": (f"{QKV}, m[s]", "return (where(s <= t, Q @[key] K, 0) / m) @[s] V"),
    "keys that are made": (f"{QKV}, W[key, a], U[t, a]", "return where(s <= t, U @[a] (W @[key] K), 0) @[s] V"),
    "queries and keys that are made": (
        "X[t, d], Y[s, d], A[d, key], W[d, key], V[s, val]",
        "return where(s <= t, (X @[d] A) @[key] (Y @[d] W), 0) @[s] V",
    ),
    "first degree": (QKV, "S = where(s <= t, 2 + exp(Q) @[key] exp(K), 0)\nreturn (S @[s] V) / sum[s](S)"),
    "first degree, from the end": (QKV, "S = where(s > t, 1 - Q @[key] K, 0)\nreturn S @[s] V + sum[s](S)"),
    "over the places": (QKV, "return sum[t](where(s <= t, Q @[key] K, 0)) * V"),
    "a sum of two": (f"{QKV}, A[t, d], W[s, d]", "return where(s <= t, Q @[key] K - A @[d] W, 0) @[s] V"),
}

GATED = "Q[t, key], K[t, key], V[t, val], T[t]"
RETAINED = {
    "decay": (f"{QKV}, T[]", "return where(s <= t, T^(t - s) * (Q @[key] K), 0) @[s] V"),
    "of a number": (QKV, "return where(s <= t, 0.75^(t - s) * (Q @[key] K), 0) @[s] V"),
    "halving": (QKV, "return where(s <= t, 2.0^-(t - s) * (Q @[key] K), 0) @[s] V"),
    "of heads": (
        "Q[h, t, key], K[h, s, key], V[h, s, val], T[h]",
        "return where(s <= t, T^(t - s) * (Q @[key] K), 0) @[s] V",
    ),
    "of heads that share": (f"{QKV}, T[h]", "return where(s <= t, T^(t - s) * (Q @[key] K), 0) @[s] V"),
    "of values": (f"{QKV}, T[val]", "return where(s <= t, T^(t - s) * (Q @[key] K), 0) @[s] V"),
    "as a factor": (f"{QKV}, T[]", "return sum[s, key]((s <= t) * T^(t - s) * Q * K * V)"),
    "with the values": (f"{QKV}, T[]", "return where(s <= t, Q @[key] K, 0) @[s] (V * T^(t - s))"),
    "every other one": (f"{QKV}, T[]", "return where(s <= t, T^(2 * (t - s)) * (Q @[key] K), 0) @[s] V"),
    "strictly before": (f"{QKV}, T[]", "return where(s < t, T^(t - s - 1) * (Q @[key] K), 0) @[s] V"),
    "further back": (f"{QKV}, T[]", "return where(s <= t - 2, T^(t - s + 1) * (Q @[key] K), 0) @[s] V"),
    "some ahead": (f"{QKV}, T[]", "return where(s <= t + 2, T^(t - s) * (Q @[key] K), 0) @[s] V"),
    "from the end": (f"{QKV}, T[]", "return where(s >= t, T^(s - t) * (Q @[key] K), 0) @[s] V"),
    "after the place": (f"{QKV}, T[]", "return where(s <= t, 0, T^(s - t) * (Q @[key] K)) @[s] V"),
    "growing": (f"{QKV}, T[]", "return where(s <= t, T^(s - t) * (Q @[key] K), 0) @[s] V"),
    "a rate": (f"{QKV}, T[]", "return where(s <= t, exp(-T * (t - s)) * (Q @[key] K), 0) @[s] V"),
    "a rate divided": (f"{QKV}, T[]", "return where(s <= t, exp((s - t) / T) * (Q @[key] K), 0) @[s] V"),
    "by its logarithm": (f"{QKV}, T[]", "return where(s <= t, exp((t - s) * log(T)) * (Q @[key] K), 0) @[s] V"),
    "two of them": (f"{QKV}, T[h], m[]", "return where(s <= t, T^(t - s) * m^(t - s) * (Q @[key] K), 0) @[s] V"),
    "the same twice": (f"{QKV}, T[]", "return where(s <= t, T^(t - s) * T^(t - s) * (Q @[key] K), 0) @[s] V"),
    "of features": (f"{QKV}, T[key]", "return sum[key](where(s <= t, T^(t - s) * Q * K, 0)) @[s] V"),
    "of features of data": (
        f"{QKV}, A3[t, key], B3[s, key], m[]",
        "S = sum[key](where(s <= t, exp(A3 - B3) * m^(t - s) * exp(Q) * exp(K), 0))\nreturn (S @[s] V) / sum[s](S)",
    ),
    "of data": (
        GATED,
        "|s| = |t|\nc = cumsum[t](-T)\n"
        "return where(index[s] <= index[t], exp(c - c[t -> s]) * (Q @[key] K[t -> s]), 0) @[s] V[t -> s]",
    ),
    "of data, with a rate": (
        f"{QKV}, A[t], B2[s], m[]",
        "return where(s <= t, exp(A - B2 - (t - s) * m + 2) * (Q @[key] K), 0) @[s] V",
    ),
    "of data, normed": (
        f"{QKV}, A[t], B2[s]",
        "S = where(s <= t, exp(A + B2) * (exp(Q) @[key] exp(K)), 0)\nreturn (S @[s] V) / sum[s](S)",
    ),
    "of data, from the end": (f"{QKV}, A[t], B2[s]", "return where(s > t, exp(B2 + A) * (Q @[key] K), 0) @[s] V"),
    "normed": (f"{QKV}, T[]", "S = where(s <= t, T^(t - s) * (Q @[key] K), 0)\nreturn (S @[s] V) / sum[s](S)"),
    "over the places": (f"{QKV}, T[]", "return sum[t](where(s <= t, T^(t - s) * (Q @[key] K), 0)) * V"),
    "no products": ("V[s, val], T[val], A[t]", "return A * sum[s](where(s <= t, T^(t - s) * V, 0))"),
    "a moving mean": ("V[s, val], T[], A[t]", "return A * sum[s](where(s <= t, (1 - T) * T^(t - s) * V, 0))"),
    "either way": (f"{QKV}, T[]", "return (T^abs(t - s) * (Q @[key] K)) @[s] V"),
    "either way, of heads": (f"{QKV}, T[h]", "return ((Q @[key] K) * T^abs(s - t)) @[s] V"),
    "either way, a rate": (f"{QKV}, T[]", "return (exp(-abs(t - s) / T) * (Q @[key] K)) @[s] V"),
    "either way, as a choice": (f"{QKV}, T[]", "return (where(s <= t, T^(t - s), T^(s - t)) * (Q @[key] K)) @[s] V"),
    "either way, as the larger": (f"{QKV}, T[]", "return (T^maximum(t - s, s - t) * (Q @[key] K)) @[s] V"),
    "either way, as a span": (f"{QKV}, T[]", "return (T^(maximum(t, s) - minimum(t, s)) * (Q @[key] K)) @[s] V"),
    "either way, from another place": (f"{QKV}, T[]", "return (T^abs(t - s + 2) * (Q @[key] K)) @[s] V"),
    "either way, under a mask": (f"{QKV}, T[]", "return where(s <= t, T^abs(t - s) * (Q @[key] K), 0) @[s] V"),
    "either way, normed": (f"{QKV}, T[]", "S = T^abs(t - s) * (exp(Q) @[key] exp(K))\nreturn (S @[s] V) / sum[s](S)"),
    "either way, of features": (f"{QKV}, T[key]", "return sum[key](T^abs(t - s) * Q * K) @[s] V"),
    "either way, each its own": (f"{QKV}, T[], m[]", "return where(s > t, m^(s - t), T^(t - s)) @[s] V"),
    "either way, each its own degree": (f"{QKV}, T[]", "return where(s > t, 2 * T^(s - t), Q @[key] K) @[s] V"),
    "either way, no products": ("V[s, val], T[val], A[t]", "return A * sum[s](T^abs(t - s) * V)"),
    "either way, over the places": ("V[t, val], T[], A[s]", "return A * sum[t](exp(-T * abs(t - s)) * V)"),
    "either way, the smaller": ("V[s, val], A[t]", "return A * sum[s](minimum(t, s) * V)"),
    "something else outside": (QKV, "return where(s <= t, Q @[key] K, 1) @[s] V"),
    "a whole base": (QKV, "return where(s <= t, 2^(t - s) * (Q @[key] K), 0) @[s] V"),
    "a whole base, strictly before": (QKV, "return where(s < t, 2^(t - s - 1) * (Q @[key] K), 0) @[s] V"),
    "a whole base, from the end": (QKV, "return where(s >= t, 3^(s - t) * (Q @[key] K), 0) @[s] V"),
    "a moving mean of data": ("V[s, val], A[t], B2[s]", "return sum[s](where(s <= t, exp(A - B2) * V, 0))"),
}

QUADRATIC = {
    "an exponential": (QKV, "return where(s <= t, exp(Q @[key] K), 0) @[s] V", "a factor is no product"),
    "a square": (QKV, "return where(s <= t, (Q @[key] K) ^ 2, 0) @[s] V", "a factor is no product"),
    "a band": (QKV, "return where(s <= t and t < s + 3, Q @[key] K, 0) @[s] V", "a choice is no triangle"),
    "something of both outside": (QKV, "return where(s <= t, Q @[key] K, exp(Q @[key] K)) @[s] V", "is no product"),
    "a whole base that is divided by": (QKV, "return where(s <= t, 2^(s - t) * (Q @[key] K), 0) @[s] V", ""),
    "distances from elsewhere": (f"{QKV}, T[]", "return (T^abs(t - 2 * s) * (Q @[key] K)) @[s] V", ""),
    "two distances": (f"{QKV}, T[]", "return (T^(abs(t - s) + abs(t - s - 1)) * (Q @[key] K)) @[s] V", ""),
    "a distance that stops": (f"{QKV}, T[]", "return (T^minimum(abs(t - s), 3) * (Q @[key] K)) @[s] V", ""),
    "a bias": (f"{QKV}, A[t, s]", "return where(s <= t, Q @[key] K + A, 0) @[s] V", ""),
    "divided by pairs": (f"{QKV}, T[t, s]", "return where(s <= t, Q @[key] K / T, 0) @[s] V", "it is divided by"),
    "a decay that differs along what queries alone have": (
        f"{QKV}, T[key]",
        "return sum[key](where(s <= t, T^(t - s) * Q, 0)) @[s] V",
        "differs along key",
    ),
    "a decay of places that are scaled": (
        f"{QKV}, T[]",
        "return where(s <= t, T^(2 * t - s) * (Q @[key] K), 0) @[s] V",
        "a factor is no product",
    ),
    "a decay that stops": (
        f"{QKV}, T[]",
        "return where(s <= t, T^minimum(t - s, 3) * (Q @[key] K), 0) @[s] V",
        "a factor is no product",
    ),
    "a decay of the distance squared": (
        f"{QKV}, T[]",
        "return where(s <= t, exp(-T * (t - s)^2) * (Q @[key] K), 0) @[s] V",
        "a factor is no product",
    ),
    "twice the place": (QKV, "return where(s <= 2 * t, Q @[key] K, 0) @[s] V", ""),
}


FORMS = LINEAR | RETAINED


def _given(text: str, sizes: dict[str, int]) -> dict[str, np.ndarray]:
    """Positive numbers; bases and rates of decays are a little less than 1."""
    found = {key: np.abs(value) + 0.1 for key, value in inputs_of(text, sizes).items()}
    return found | {key: 1 - value / 30 for key, value in found.items() if key in ("T", "m")}


@pytest.mark.parametrize("name", FORMS)
def test_nothing_is_held_for_all_pairs(name: str) -> None:
    signature, body = FORMS[name]
    found = planned_text(text_of(signature, body))
    assert any(not any({"t", "s"} <= _axes(node) for node in v.graph.live()) for v in found.plan.variants) or (
        "one length" in name
    )
    linear = [v for v in found.plan.variants if any(node.op in PREFIXES for node in v.graph.live())]
    assert linear and ("prefix product", "algebraic") in {(e.rule, e.numerics) for e in found.plan.events if not e.near}
    for seed in range(3):
        arrays = _given(text_of(signature, body), SIZES)
        agree(found, seed, arrays, **{symbol: SIZES[symbol.split("_")[0]] for symbol in found.program.symbols})


def _axes(node) -> set[str]:  # type: ignore[no-untyped-def]
    return {name for size in node.sizes for name in size.symbols}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("sizes", [{}, {"t": 1}, {"s": 1, "key": 1}, {"t": 0}, {"s": 0}, {"key": 0}, {"val": 0}])
def test_values_and_gradients(name: str, sizes: dict[str, int]) -> None:
    """Also where all variants but the linear one are not there."""
    signature, body = FORMS[name]
    text = text_of(signature, body)
    if "|s| = |t|" in body and "s" in sizes:
        sizes = {"t": sizes["s"], **sizes}
    arrays = _given(text, {**SIZES, **sizes})
    check(text, arrays, reference(text, arrays), gradients="/" not in body or min(sizes.values(), default=1) > 0)


SOME = ["a choice", "a factor", "divided after", "heads", "from the place on", "first degree"]
SOME += ["decay", "of heads that share", "strictly before", "from the end", "a rate", "two of them", "of data, normed"]
SOME += ["normed", "a moving mean", "a moving mean of data", "either way, as a choice", "either way, normed"]
SOME += ["either way, each its own degree", "either way, no products", "either way, the smaller"]


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("lengths", [(300, 300), (257, 300), (300, 200)])
def test_of_many_blocks(name: str, lengths: tuple[int, int]) -> None:
    signature, body = FORMS[name]
    text = text_of(signature, body)
    arrays = _given(text, {**SIZES, "t": lengths[0], "s": lengths[1]})
    found, slope = slopes(text, arrays)
    np.testing.assert_allclose(found.detach().numpy(), reference(text, arrays), rtol=1e-9)
    assert all(one.isfinite().all() for one in slope)


@pytest.mark.parametrize("name", QUADRATIC)
def test_what_is_no_product(name: str) -> None:
    signature, body, reason = QUADRATIC[name]
    text = text_of(signature, body)
    found = planned_text(text)
    assert not any(node.op == "prefix_product" for v in found.plan.variants for node in v.graph.live())
    assert reason in found.near.get("prefix product", "")
    arrays = inputs_of(text, SIZES)
    check(text, arrays, reference(text, arrays))


def test_only_where_algebra_is_allowed() -> None:
    text = text_of(*LINEAR["a choice"])
    assert "prefix_product" not in planned_text(text, numerics="strict").ops


def test_the_cost_is_linear() -> None:
    found = planned_text(text_of(*LINEAR["divided after"]))
    sizes = dict.fromkeys(found.program.symbols, 64)
    once, twice = (cost(found.plan).at({**sizes, "t": n, "s": n}) for n in (4096, 8192))
    assert twice.flops == 2 * once.flops and twice.peak <= 2 * once.peak


def test_what_is_held_anyway_is_used() -> None:
    """The products are a result: where the length is not great, they are what values are multiplied by."""
    found = planned_text(f"def f({QKV}):\n    S = where(s <= t, Q @[key] K, 0)\n    return S @[s] V, S\n")
    assert not any(node.op == "prefix_product" for node in found.plan.variants[-1].graph.live())
    agree(found)


MIX = ("V[s, val], T[], A[t]", "return A * sum[s](T^abs(t - s) * V)")
COSINE = "S = where(s <= t, (exp(Q) @[key] exp(K)) * cos(pi / 2 * (t - s) / |t|), 0)\nreturn (S @[s] V) / sum[s](S)"


@pytest.mark.parametrize("form", [RETAINED["either way"], MIX, (QKV, COSINE)])
@pytest.mark.parametrize(("length", "in_blocks"), [(100, False), (256, False), (1024, True), (4096, True)])
def test_short_axes_are_taken_whole(form: tuple[str, str], length: int, in_blocks: bool) -> None:
    found = planned_text(text_of(*form))
    sizes = {one: length if one in ("t", "s") else 64 for one in found.program.symbols}
    chosen = next(one for one in found.plan.variants if all(holds(guard, sizes) for guard in one.guards))
    assert any(node.op in PREFIXES for node in chosen.graph.live()) == in_blocks
