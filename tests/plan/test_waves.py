"""Cosines and sines of differences between axes that a contraction separates: which become products, and where not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import namedlayers as nl
from namedlayers.emit.kernels import wave_tables
from tests.emit.forms import inputs_of, reference, text_of
from tests.helpers import check
from tests.plan.formulas import agree, planned_text

QKV = "Q[t, key], K[s, key], V[s, val]"
AB = "A[t, d], B2[s, d], V[s, val]"
SIZES = {"t": 7, "s": 6, "key": 3, "val": 2, "h": 2, "d": 4, "m": 3}

COSFORMER = "S = (exp(Q) @[key] exp(K)) * cos(pi / 2 * (t - s) / |t|)\nreturn (S @[s] V) / sum[s](S)"
OF_PLACES = {
    "normed": (QKV, COSFORMER),
    "as products of places": (QKV, "return ((Q @[key] K) * cos(t * 0.1 - 0.1 * s)) @[s] V"),
    "of positions less places": (QKV, "return ((Q @[key] K) * cos((s - t) / 9 + 0.5)) @[s] V"),
    "of sums": (QKV, "return ((Q @[key] K) * cos(0.1 * (s + t))) @[s] V"),
    "up to each place": (QKV, "return where(s <= t, (Q @[key] K) * cos(0.1 * (t - s)), 0) @[s] V"),
    "no products": ("V[s, val], A[t]", "return A * sum[s](cos(0.2 * (t - s)) * V)"),
    "heads": ("Q[h, t, key], K[s, h, key], V[s, val]", "return ((Q @[key] K) * cos(0.1 * (t - s))) @[s] V"),
}
OF_DATA = {
    "random features": (AB, "return mean[d](cos(A - B2)) @[s] V"),
    "a kernel of them": (AB, "return sum[d](cos(A - B2)) + 0 * sum[val](V)"),
    "sums and phases": (f"{AB}, p[d]", "return sum[d](cos(p + A + B2)) @[s] V"),
    "sines": (AB, "return sum[d](sin(A - B2) * cos(B2)) @[s] V"),
    "scaled differences": (f"{AB}, w[d]", "return sum[d](sin(w * (A - B2) / 2)) @[s] V"),
    "oscillators": ("A[t], w[]", "return w + mean[s](sin(A[t -> s] - A))"),
    "frequencies": (
        "Q[t, key], K[s, key], P[t, key], R[s, key], w[key]",
        "return sum[key]((Q * K + P * R) * cos(w * (t - s)) + (Q * R - P * K) * sin(w * (t - s)))",
    ),
    "places from data": (f"{QKV}, w[]", "return ((Q @[key] K) * cos(w * (t - s))) @[s] V"),
}
NOT = {
    "a product of places": (QKV, "return ((Q @[key] K) * cos(0.1 * t * s)) @[s] V"),
    "a distance": (QKV, "return ((Q @[key] K) * cos(0.1 * abs(t - s))) @[s] V"),
    "a square": (QKV, "return ((Q @[key] K) * cos(0.1 * (t - s)^2)) @[s] V"),
    "an angle of both": (f"{QKV}, A3[t, s]", "return ((Q @[key] K) * cos(A3)) @[s] V"),
    "nothing that is summed": ("A[t], B2[s]", "return cos(A - B2)"),
    "a tangent": (QKV, "return ((Q @[key] K) * tan(0.1 * (t - s))) @[s] V"),
}


def _waves(text: str, numerics: str) -> bool:
    found = planned_text(text, numerics=numerics)  # type: ignore[arg-type]
    return any(node.op == "wave" for variant in found.plan.variants for node in variant.graph.live())


@pytest.mark.parametrize("name", OF_PLACES | OF_DATA)
def test_nothing_is_held_for_all_pairs_that_is_not_a_result(name: str) -> None:
    text = text_of(*(OF_PLACES | OF_DATA)[name])
    found = planned_text(text, numerics="fast")
    last = found.plan.variants[0].graph.live() if len(found.plan.variants) == 1 else []
    assert _waves(text, "fast") and not any(node.op in ("cos", "sin") and node.rank > 1 for node in last)
    for seed in range(3):
        agree(found, seed, inputs_of(text, SIZES), **{s: SIZES[s.split("_")[0]] for s in found.program.symbols})


@pytest.mark.parametrize("name", OF_PLACES)
def test_angles_of_places_need_no_leave(name: str) -> None:
    text = text_of(*OF_PLACES[name])
    assert _waves(text, "default") and not _waves(text, "strict")


@pytest.mark.parametrize("name", OF_DATA)
def test_angles_of_data_need_leave_to_lose_digits(name: str) -> None:
    text = text_of(*OF_DATA[name])
    assert not _waves(text, "default")
    if name != "a kernel of them":
        assert any("numerics" in reason for reason in planned_text(text).near.values())


@pytest.mark.parametrize("name", NOT)
def test_what_is_no_sum_of_angles(name: str) -> None:
    text = text_of(*NOT[name])
    assert not _waves(text, "fast")
    arrays = inputs_of(text, SIZES)
    check(text, arrays, reference(text, arrays))


@pytest.mark.parametrize("name", OF_PLACES)
@pytest.mark.parametrize("sizes", [{}, {"t": 1}, {"s": 1, "key": 1}, {"t": 0}, {"s": 0}, {"key": 0}, {"val": 0}])
def test_values_and_gradients(name: str, sizes: dict[str, int]) -> None:
    text = text_of(*OF_PLACES[name])
    arrays = inputs_of(text, {**SIZES, **sizes})
    plain = "/ sum" not in text or min(sizes.values(), default=1) > 0
    check(text, arrays, reference(text, arrays), gradients=plain)


@pytest.mark.parametrize("name", OF_DATA)
@pytest.mark.parametrize("sizes", [{}, {"t": 1, "d": 1}, {"t": 0}, {"s": 0}])
def test_values_and_gradients_of_data(name: str, sizes: dict[str, int]) -> None:
    text = text_of(*OF_DATA[name])
    sizes = {**SIZES, **sizes}
    arrays = inputs_of(text, sizes)
    if name == "oscillators" and not arrays["A"].size:
        return  # a mean of nothing
    given = [torch.from_numpy(np.asarray(one)).requires_grad_() for one in arrays.values()]
    found = nl.compile(text, numerics="fast")(*given)
    np.testing.assert_allclose(found.detach().numpy(), reference(text, arrays), rtol=1e-9, atol=1e-12)
    written = nl.compile(text, numerics="strict")(*given)
    slopes, expected = (torch.autograd.grad(one.square().sum(), given, allow_unused=True) for one in (found, written))
    for one, other in zip(slopes, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def test_places_far_away_lose_no_digits() -> None:
    """Whose angles, in single precision, are right to a thousandth only."""
    text = "def f(V[s, c], w[s]) -> [t, c]:\n    |t| = |s|\n    return sum[s](cos(3 * (index[t] - index[s])) * V)\n"
    v, w = torch.randn(20000, 2), torch.zeros(20000)
    found = nl.compile(text)
    exact = nl.compile(text)(v.double(), w.double())
    assert "wave" in found.code or "wave" in str(found.graph)
    torch.testing.assert_close(found(v, w).double(), exact, rtol=0, atol=1e-5 * float(v.abs().sum()) / 100)


@pytest.mark.parametrize("name", ["random features", "sines", "a kernel of them"])
def test_derivatives_of_every_kind(name: str) -> None:
    """What comes back through both waves of an angle is made of these, however it is asked for."""
    text = text_of(*OF_DATA[name])
    f, written = nl.compile(text, numerics="fast"), nl.compile(text, numerics="strict")
    torch.manual_seed(0)
    given = [torch.randn(one.shape, dtype=torch.float64) for one in inputs_of(text, SIZES).values()]
    learned = [one.clone().requires_grad_() for one in given]
    assert torch.autograd.gradcheck(f, learned, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(f, learned, check_batched_grad=True, fast_mode=True)
    first, *rest = given
    found, wanted = (
        torch.func.vmap(torch.func.grad(lambda a, g=g: g(a, *rest).square().sum()))(torch.stack([first, -first]))
        for g in (f, written)
    )
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(
        torch.func.jvp(f, tuple(given), tuple(given))[1], torch.func.jvp(written, tuple(given), tuple(given))[1]
    )
    with torch.no_grad():
        torch.testing.assert_close(f(*given), written(*given))
        second, *others = rest
        several = torch.func.vmap(f, (None, 0, *(None for _ in others)))(first, torch.stack([second, second]), *others)
        torch.testing.assert_close(several[0], f(*given))


SHARED = "Q[h, t, key], K[h, s, key], P[h, t, key], R[h, s, key], w[key]"
WITH_FACTORS_IN_COMMON = {
    "turned": (SHARED, "A = w * (t - s)\nreturn sum[key]((Q*K + P*R) * cos(A) + (Q*R - P*K) * sin(A))", 2),
    "turned, less": (SHARED, "A = w * (t - s)\nreturn sum[key]((P*K - Q*R) * sin(A) - (Q*K + P*R) * cos(A))", 2),
    "a factor": (SHARED, "A = w * (t - s)\nreturn sum[key](Q * K * cos(A) - Q * R * sin(A)) + 0 * sum[key](P)", 1),
    "none": (SHARED, "A = w * (t - s)\nreturn sum[key](Q * K * cos(A) + P * R * sin(A))", 2),
}


@pytest.mark.parametrize("name", WITH_FACTORS_IN_COMMON)
@pytest.mark.parametrize("sizes", [{}, {"t": 1, "s": 1}, {"key": 0}, {"h": 0}])
def test_terms_with_factors_in_common_are_one(name: str, sizes: dict[str, int]) -> None:
    signature, body, count = WITH_FACTORS_IN_COMMON[name]
    text = text_of(signature, body)
    found = planned_text(text, numerics="fast")
    long = [
        sum(node.op in ("contract", "linear") and len(node.space) > node.rank + 1 for node in variant.graph.live())
        for variant in found.plan.variants
    ]
    assert min(n for n in long if n) == count
    arrays = inputs_of(text, {**SIZES, **sizes})
    given = [torch.from_numpy(np.asarray(one)).requires_grad_() for one in arrays.values()]
    result = nl.compile(text, numerics="fast")(*given)
    np.testing.assert_allclose(result.detach().numpy(), reference(text, arrays), rtol=1e-9, atol=1e-12)
    slopes, expected = (
        torch.autograd.grad(one.square().sum(), given, allow_unused=True)
        for one in (result, nl.compile(text, numerics="strict")(*given))
    )
    torch.testing.assert_close(slopes, expected, rtol=1e-8, atol=1e-10)


def test_parts_are_summed_one_by_one_where_that_makes_nothing_large() -> None:
    """Each part of waves has a product of its own, the second added to the first; all pairs are one product."""
    f = planned_code(OF_DATA["random features"])
    linear, *rest = f.split("if variant == 1")
    assert "add_onto" in linear and "together" not in linear and all("together" in one for one in rest)
    assert linear.index("add_onto(") > linear.index("waves_(A") > linear.index("waves_(B2")  # made when it is needed


def test_waves_of_places_are_kept() -> None:
    """What is kept is no part of what is recorded or transformed, and may be kept for a gradient."""
    wave_tables._kept.cache_clear()
    text = text_of(*OF_PLACES["normed"])
    f = nl.compile(text)
    given = [torch.randn(one.shape, dtype=torch.float64) for one in inputs_of(text, SIZES).values()]
    with torch.inference_mode():
        first = f(*given)
    kept = wave_tables._kept.cache_info()
    assert kept.currsize == kept.misses > 0
    learned = [one.clone().requires_grad_() for one in given]
    f(*learned).sum().backward()
    torch.testing.assert_close(f(*given), first)
    assert wave_tables._kept.cache_info().misses == kept.misses
    many = [torch.stack([one, one]) for one in given]
    torch.testing.assert_close(torch.func.vmap(f)(*many)[1], first)
    torch.testing.assert_close(torch.func.jvp(f, tuple(given), tuple(given))[0], first)
    torch.testing.assert_close(torch.compile(f, backend="eager", fullgraph=True)(*given), first)
    torch.testing.assert_close(make_fx(f)(*given)(*given), first)
    with FakeTensorMode() as mode:
        assert f(*(mode.from_tensor(one) for one in given)).shape == first.shape
    assert wave_tables._kept.cache_info().misses == kept.misses


def test_few_tables_are_kept_and_none_is_large() -> None:
    wave_tables._kept.cache_clear()
    for places in (*range(2 * wave_tables.MOST_TABLES), wave_tables.MOST_PLACES + 1):
        cos, sin = wave_tables.wave_table(0.5, 0.25, places, torch.float32, torch.device("cpu"))
        angle = 0.5 + 0.25 * torch.arange(places).double()
        torch.testing.assert_close((cos, sin), (angle.cos().float(), angle.sin().float()), rtol=0, atol=1e-7)
    assert wave_tables._kept.cache_info().currsize == wave_tables.MOST_TABLES
    assert wave_tables._kept.cache_info().misses == 2 * wave_tables.MOST_TABLES


def planned_code(form: tuple[str, str]) -> str:
    return str(nl.compile(text_of(*form), numerics="fast").code)


def test_what_is_compiled_has_them_side_by_side() -> None:
    text = text_of(*OF_DATA["random features"])
    f = nl.compile(text, numerics="fast", backend="inductor")
    assert "together" in f.code and "add_onto" not in f.code
