"""Attention in its forms: planned as the kernel where it may be, and equal to the definition, gradients included.

The definition of each is the formula itself, evaluated by the reference; the near misses are equal too, but are
computed as they are written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.emit.kernels import attending
from namedlayers.plan.explain import explain
from tests.emit.forms import inputs_of, reference, slopes, text_of
from tests.emit.harness import compiled, program_of
from tests.helpers import check

PLAIN = "Q[t, key], K[s, key], V[s, val]"
HEADS = "Q[h, t, key], K[h, s, key], V[h, s, val]"
SIZES = {"t": 4, "s": 5, "key": 3, "val": 2, "h": 2, "g": 2, "b": 2, "x": 2, "y": 3, "v": 2, "p": 4}

FORMS: dict[str, tuple[str, str]] = {
    "no scale": (PLAIN, "return softmax[s](Q @[key] K) @[s] V"),
    "a scale of the queries": (PLAIN, "return softmax[s]((Q / |key| ^ 0.25) @[key] (K / |key| ^ 0.25)) @[s] V"),
    "a negative scale": (PLAIN, "return softmax[s](-(Q @[key] K)) @[s] V"),
    "a temperature": (PLAIN + ", T[]", "return softmax[s](Q @[key] K / T) @[s] V"),
    "a temperature for each head": (HEADS + ", T[h]", "return softmax[s](T * (Q @[key] K)) @[s] V"),
    "a temperature for each query": (PLAIN + ", T[t]", "return softmax[s](Q @[key] K / T) @[s] V"),
    "a factor for each position": (PLAIN + ", T[s]", "return softmax[s](T * (Q @[key] K)) @[s] V"),
    "by cosines": (HEADS + ", T[h]",
        """
        dots = Q @[key] K
        return softmax[s](T * dots / sqrt(sum[key](Q ^ 2)) / sqrt(sum[key](K ^ 2))) @[s] V
        """),
    "a mask that is added": (HEADS + "; M[t, s]", "return softmax[s](Q @[key] K / sqrt(|key|) + M) @[s] V"),
    "a mask that is subtracted": (PLAIN + "; M[s, t]", "return softmax[s](Q @[key] K - M) @[s] V"),
    "a mask for each head": ("Q[b, h, t, key], K[b, h, s, key], V[b, h, s, val]; M[h, t, s]",
        "return softmax[s](Q @[key] K + M) @[s] V"),
    "a mask for each batch": ("Q[b, h, t, key], K[b, h, s, key], V[b, h, s, val]; M[b, s]",
        "return softmax[s](Q @[key] K + M) @[s] V"),
    "windows, a mask for each head": ("Q[b, x, t, h, key], K[b, x, s, h, key], V[b, x, s, h, val]; M[h, t, s]",
        "return softmax[s](Q @[key] K + M) @[s] V"),
    "windows, a mask for each": ("Q[b, x, t, h, key], K[b, x, s, h, key], V[b, x, s, h, val]; M[x, t, s]",
        "return softmax[s](Q @[key] K / sqrt(|key|) + M) @[s] V"),
    "columns of pixels": ("Q[b, t, x, h, key], K[b, s, x, h, key], V[b, s, x, h, val]",
        "return softmax[s](Q @[key] K / sqrt(|key|)) @[s] V"),
    "windows that share their keys": ("Q[b, x, t, h, key], K[b, s, h, key], V[b, s, h, val]; B[x, t, s]",
        "return softmax[s](where(B, Q @[key] K, -inf)) @[s] V"),
    "a condition": (HEADS + "; B[t, s]", "return softmax[s](where(B, Q @[key] K, -inf)) @[s] V"),
    "a condition the other way": (HEADS + "; B[h, s]", "return softmax[s](where(not B, -inf, Q @[key] K)) @[s] V"),
    "a condition as a mask": (PLAIN + "; B[t, s]", "return softmax[s](Q @[key] K + where(B, 0, -inf)) @[s] V"),
    "the logarithm of a condition": (PLAIN + "; B[t, s]", "return softmax[s](Q @[key] K + log(B)) @[s] V"),
    "a condition and a mask": (PLAIN + "; B[s], M[t, s]", "return softmax[s](where(B, Q @[key] K + M, -inf)) @[s] V"),
    "powers left out": (PLAIN + "; B[t, s]",
        """
        A = where(B, exp(Q @[key] K), 0)
        return (A / sum[s](A)) @[s] V
        """),
    "powers times a condition": (PLAIN + "; B[t, s]",
        """
        A = exp(Q @[key] K) * B
        return A @[s] V / sum[s](A)
        """),
    "powers below the maximum": (PLAIN,
        """
        Z = Q @[key] K
        A = where(s <= t, exp(Z - max[s](Z)), 0)
        return (A / sum[s](A)) @[s] V
        """),
    "causal": (HEADS, "return softmax[s](where(s <= t, Q @[key] K / sqrt(|key|), -inf)) @[s] V"),
    "causal by a difference": (PLAIN, "return softmax[s](where(t - s < 0, -inf, Q @[key] K)) @[s] V"),
    "causal from the end": (PLAIN, "return softmax[s](where(s - |s| <= t - |t|, Q @[key] K, -inf)) @[s] V"),
    "strictly causal": (PLAIN, "return softmax[s](where(s < t, Q @[key] K, -inf)) @[s] V"),
    "only what comes later": (PLAIN, "return softmax[s](where(s > t, Q @[key] K, -inf)) @[s] V"),
    "causal with a condition": (HEADS + "; B[h, s]", "return softmax[s](where(s <= t and B, Q @[key] K, -inf)) @[s] V"),
    "a window": (PLAIN, "return softmax[s](where(s <= t and s > t - 2, Q @[key] K, -inf)) @[s] V"),
    "a window to both sides": (PLAIN, "return softmax[s](where(abs(s - t) <= 1, Q @[key] K, -inf)) @[s] V"),
    "slopes for each head": (HEADS,
        """
        slope = 2 ^ (-8 * (h + 1) / |h|)
        return softmax[s](where(s <= t, Q @[key] K / sqrt(|key|) + slope * (s - t), -inf)) @[s] V
        """),
    "biases of distances": (HEADS + "; m[h]", "return softmax[s](Q @[key] K - m * abs(t - s)) @[s] V"),
    "grouped queries": ("Q[g, h, t, key], K[g, s, key], V[g, s, val]",
        "return softmax[s](where(s <= t, Q @[key] K, -inf)) @[s] V"),
    "queries in groups of two": ("Q[p, t, key], K[g, s, key], V[g, s, val]",
        "return (softmax[s](Q[p -> (g, m = 2)] @[key] K) @[s] V)[(g, m) -> p]"),
    "one head of keys, values for each": ("Q[h, t, key], K[s, key], V[h, s, val]",
        "return softmax[s](Q @[key] K) @[s] V"),
    "one query": ("Q[h, key], K[h, s, key], V[h, s, val]; B[s]",
        "return softmax[s](where(B, Q @[key] K, -inf)) @[s] V"),
    "one query alone": ("Q[key], K[s, key], V[s, val]", "return softmax[s](Q @[key] K) @[s] V"),
    "values without an axis": ("Q[t, key], K[s, key], V[s]", "return softmax[s](Q @[key] K) @[s] V"),
    "two axes of values": ("Q[t, key], K[s, key], V[s, val, v]", "return softmax[s](Q @[key] K) @[s] V"),
    "two axes of keys": ("Q[t, key, x], K[s, key, x], V[s, val]", "return softmax[s](Q @[key, x] K) @[s] V"),
    "over an image": ("Q[x, y, key], K[x', y', key], V[x', y', val]",
        "return softmax[x', y'](Q @[key] K) @[x', y'] V"),
    "heads in any order": ("Q[b, t, h, key], K[s, b, key, h], V[h, s, val, b]",
        "return softmax[s](Q @[key] K) @[s] V"),
    "positions by a table": (PLAIN + ", R[t, s, key]", "return softmax[s](Q @[key] K + Q @[key] R) @[s] V"),
}  # fmt: skip

NEAR: dict[str, tuple[str, str, str]] = {
    "capped scores": (PLAIN, "return softmax[s](5 * tanh(Q @[key] K / 5)) @[s] V", "another operation"),
    "capped scores, causal": (PLAIN,
        "return softmax[s](where(s <= t, 5 * tanh(Q @[key] K / 5), -inf)) @[s] V", "another operation"),
    "a mask of a large number": (PLAIN + "; B[t, s]",
        "return softmax[s](where(B, Q @[key] K, -1e9)) @[s] V", "not -inf"),
    "weights left out": (PLAIN + "; B[t, s]", "return (softmax[s](Q @[key] K) * B) @[s] V", ""),
    "a factor for each score": (PLAIN + ", T[t, s]",
        "return softmax[s](T * (Q @[key] K)) @[s] V", "along axes of both"),
    "weights used again": (PLAIN,
        """
        A = softmax[s](Q @[key] K)
        return A @[s] V + sum[s](A ^ 2)
        """, "used elsewhere"),
    "one more in the sum": (PLAIN,
        """
        A = exp(Q @[key] K)
        return A @[s] V / (sum[s](A) + 1)
        """, ""),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_kernel_and_definition(form: str) -> None:
    text = text_of(*FORMS[form])
    arrays = inputs_of(text, SIZES)
    assert "_attention(" in compiled(text, arrays).code
    check(text, arrays, reference(text, arrays))


@pytest.mark.parametrize("form", NEAR)
def test_near_misses(form: str) -> None:
    signature, body, reason = NEAR[form]
    text = text_of(signature, body)
    arrays = inputs_of(text, SIZES)
    made = compiled(text, arrays)
    assert "scaled_dot_product_attention" not in made.code
    assert reason in str(explain(made.plan))
    check(text, arrays, reference(text, arrays))


MASKED = {name: one for name, one in FORMS.items() if "; B[t, s]" in one[0]}


@pytest.mark.parametrize("form", MASKED)
def test_rows_without_positions(form: str) -> None:
    """A query that sees nothing gets 0, and gives no slopes."""
    text = text_of(*MASKED[form])
    arrays = inputs_of(text, SIZES)
    arrays["B"][..., 1, :] = False
    found, made = slopes(text, arrays)
    assert not found.isnan().any() and not found[..., 1, :].any()
    assert not any(slope.isnan().any() for slope in made)
    assert not made[0][..., 1, :].any()


SOME = ("no scale", "a condition", "causal by a difference", "a temperature for each head", "grouped queries")


@pytest.mark.parametrize("empty", ["t", "s", "key", "val"])
@pytest.mark.parametrize("form", SOME)
def test_empty_axes(form: str, empty: str) -> None:
    text = text_of(*FORMS[form])
    arrays = inputs_of(text, {**SIZES, empty: 0})
    found, made = slopes(text, arrays)
    np.testing.assert_allclose(found.detach().numpy(), reference(text, arrays), atol=1e-12)
    assert not any(slope.isnan().any() for slope in made)


@pytest.mark.parametrize("widths", [(3, 7), (7, 3), (1, 30)])
def test_values_as_wide_as_they_like(widths: tuple[int, int]) -> None:
    """Zeros make both sides of one width, or neither."""
    for form in ("no scale", "causal", "a mask for each head"):
        text = text_of(*FORMS[form])
        arrays = inputs_of(text, {**SIZES, "key": widths[0], "val": widths[1]})
        check(text, arrays, reference(text, arrays))


@pytest.mark.parametrize("form", ["no scale", "a temperature for each head", "by cosines", "a mask for each head"])
def test_channels_that_attend_to_each_other(form: str) -> None:
    """Few keys of long features are two products."""
    text = text_of(*FORMS[form])
    arrays = inputs_of(text, {**SIZES, "key": attending.LONG, "val": attending.LONG + 3})
    check(text, arrays, reference(text, arrays))
    q, k, v = (torch.randn(2, 3, n, 300, dtype=torch.float64, requires_grad=True) for n in (9, 7, 7))
    found = attending.scaled_dot_product_attention(q, k, v, scale=0.1)
    torch.testing.assert_close(found, torch.softmax(0.1 * q @ k.mT, -1) @ v)


TURNED = {
    "side by side": ("Q[b, h, t, d], K[b, h, t, e], V[b, h, t, e]", "return softmax[e](Q @[t] K) @[e] V"),
    "heads between": ("Q[b, t, h, d], K[b, t, h, e], V[b, t, h, e]", "return softmax[e](Q @[t] K / sqrt(|t|)) @[e] V"),
    "values as they are": ("Q[h, t, d], K[h, t, e], V[h, e, u]", "return softmax[e](Q @[t] K) @[e] V"),
}


@pytest.mark.parametrize("sizes", [(4, 3, 9), (4, 20, 9), (1, 1, 5), (3, 2, 1), (0, 3, 4), (3, 0, 4), (3, 2, 0)])
@pytest.mark.parametrize("form", TURNED)
def test_features_that_lie_apart(form: str, sizes: tuple[int, int, int]) -> None:
    """Which are not copied where scores are few."""
    text = text_of(*TURNED[form])
    arrays = inputs_of(text, {"b": 2, "h": 2, "u": 3, **dict(zip(("d", "e", "t"), sizes, strict=True))})
    check(text, arrays, reference(text, arrays), gradients=min(sizes) > 0)


@pytest.mark.parametrize("features", [3, 40])
def test_features_that_lie_apart_give_all_derivatives(features: int) -> None:
    q, k, v = (torch.randn(1, 2, features, 4, dtype=torch.float64).mT.requires_grad_() for _ in range(3))
    assert torch.autograd.gradcheck(attending.scaled_dot_product_attention, (q, k, v))
    assert torch.autograd.gradgradcheck(attending.scaled_dot_product_attention, (q, k, v), fast_mode=True)
    q = q.detach().index_fill(2, torch.tensor(1), torch.nan)
    found = attending.scaled_dot_product_attention(q.mT.contiguous().mT, k, v)
    assert features < 4 or (found[:, :, 1].isnan().all() and not found[:, :, 0].isnan().any())


def test_factors_of_a_query_are_multiplied_first() -> None:
    """What no feature has is small beside what has them."""
    head = "def f(Q[h, t, key], K[h, s, key], V[h, s, val], T[h]) -> [h, t, val] ="
    f = nl.compile(f"{head} softmax[s](T * (Q / norm[key](Q)) @[key] (K / norm[key](K))) @[s] V")
    given = [torch.randn(shape, dtype=torch.float64) for shape in ((2, 4, 5), (2, 6, 5), (2, 6, 3), (2,))]
    torch.testing.assert_close(f(*given), f.reference(*given))
    assert "Q * " in f.code or "* Q" in f.code


TWICE = ("causal", "a condition", "grouped queries", "heads in any order", "a temperature for each head", "one query")


@pytest.mark.parametrize("form", TWICE)
def test_second_derivatives(form: str) -> None:
    """By autograd, of the kernel: against finite differences of the first ones."""
    text = text_of(*FORMS[form])
    arrays = inputs_of(text, SIZES)
    function = nl.compile(text)
    given = [torch.tensor(arrays[one.name]) for one in program_of(text, arrays).inputs]
    reals = [one.requires_grad_() for one in given if one.is_floating_point()]
    assert torch.autograd.gradgradcheck(lambda *_: function(*given), reals, atol=1e-6, fast_mode=True)


@pytest.mark.parametrize("transform", ["hessian", "grad of grad", "grad, then backward", "jvp"])
@pytest.mark.parametrize("form", ["causal", "a condition", "a mask that is added", "grouped queries"])
def test_under_transforms(form: str, transform: str) -> None:
    """Second derivatives by transforms are those by autograd; a query that sees nothing has none."""
    text = text_of(*FORMS[form])
    arrays = inputs_of(text, SIZES)
    if "B" in arrays:
        arrays["B"][..., 1, :] = False
    function, strict = nl.compile(text), nl.compile(text, numerics="strict")
    q, *others = (torch.tensor(arrays[one.name]) for one in program_of(text, arrays).inputs)
    run = _TRANSFORMS[transform]
    torch.testing.assert_close(run(lambda one: function(one, *others), q), run(lambda one: strict(one, *others), q))


def test_one_tensor_for_all() -> None:
    """Queries, keys and values may be one tensor, whose slopes add up, the second ones too."""
    function = nl.compile(text_of(*FORMS["no scale"]))
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: function(x, x, x), x)
    assert torch.autograd.gradgradcheck(lambda x: function(x, x, x), x, fast_mode=True)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _squares(function: Any) -> Any:
    return lambda one: (function(one) ** 2).sum()


def _backward_of_a_gradient(function: Any, q: torch.Tensor) -> torch.Tensor:
    q = q.clone().requires_grad_()
    (torch.func.grad(_squares(function))(q) ** 2).sum().backward()
    assert q.grad is not None
    return q.grad


_TRANSFORMS: dict[str, Any] = {
    "hessian": lambda function, q: torch.func.hessian(_squares(function))(q),
    "grad of grad": lambda function, q: torch.func.grad(_squares(torch.func.grad(_squares(function))))(q),
    "grad, then backward": _backward_of_a_gradient,
    "jvp": lambda function, q: torch.func.jvp(function, (q,), (torch.ones_like(q),))[1],
}


GROUPED = nl.compile(
    "def f(Q[g, m, t, key], K[g, s, key], V[g, s, val]) -> [g, m, t, val] = softmax[s](Q @[key] K) @[s] V"
)


def _in_parts(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return torch.softmax(q @ k[:, None].mT, -1) @ v[:, None]


@pytest.mark.parametrize("sizes", [(2, 3, 192), (2, 3, 191), (1, 1, 192), (2, 0, 192), (0, 3, 192), (2, 3, 0)])
def test_sets_of_queries_that_share_keys(sizes: tuple[int, int, int]) -> None:
    """As many and as long as the kernel likes them, or not: the same, with slopes of slopes."""
    g, m, t = sizes
    source = torch.Generator().manual_seed(0)
    shapes = ((g, m, t, 4), (g, 5, 4), (g, 5, 4))
    given = [torch.randn(shape, dtype=torch.float64, generator=source, requires_grad=True) for shape in shapes]
    found = [function(*given) for function in (GROUPED, _in_parts)]
    torch.testing.assert_close(*found)
    first = [torch.autograd.grad(one.sin().sum(), given, create_graph=True) for one in found]
    torch.testing.assert_close(*first)
    torch.testing.assert_close(*[torch.autograd.grad(sum((s**2).sum() for s in slopes), given) for slopes in first])
