"""Attention within a band: in which spellings it is found, and that its blocks give what its mask gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import namedlayers as nl
from namedlayers.emit.kernels.banded import LEAST_BLOCK, banded_attention
from tests.emit.forms import inputs_of, reference, text_of
from tests.emit.harness import compiled
from tests.helpers import check

SIZES = {"t": 7, "s": 6, "key": 3, "val": 2, "h": 2, "b": 2}
PLAIN = "Q[t, key], K[s, key], V[s, val]"
HEADS = "Q[b, h, t, key], K[b, h, s, key], V[b, h, s, val]"
SHARED = "Q[b, h, t, key], K[b, s, key], V[b, s, val]"

BANDS = {
    "the last two": "where(s <= t and s > t - 2, Z, -inf)",
    "the last two by a difference": "where(t - s < 2 and t - s >= 0, Z, -inf)",
    "one condition after the other": "where(s <= t, where(t < s + 2, Z, -inf), -inf)",
    "two masks": "Z + where(s <= t, 0, -inf) + where(t - s < 2, 0, -inf)",
    "what is forbidden": "where(s > t or s + 2 <= t, -inf, Z)",
    "to both sides": "where(abs(s - t) <= 1, Z, -inf)",
    "by squares": "where((t - s)^2 < 5, Z, -inf)",
    "by squares that are written out": "where(4.5 >= (s - t - 1) * (s - t - 1), Z, -inf)",
    "by a bound between two places": "where(abs(t - s) < 1.5, Z, -inf)",
    "what is not far": "where(not (abs(t - s) > 1), Z, -inf)",
    "what is on no side": "where(not (t - s > 2 or s - t >= 2), Z, -inf)",
    "to both sides, apart": "where(t - 1 <= s and s <= t + 2, Z, -inf)",
    "only later ones": "where(s > t and s < t + 3, Z, -inf)",
    "of a part of the length": "where(s <= t and t - s < |t| // 3, Z, -inf)",
}
OTHERS = {
    "no lower end": "where(s <= t + 1, Z, -inf)",
    "twice the place": "where(s <= t and 2 * s > t, Z, -inf)",
    "cubes": "where((t - s)^3 < 8, Z, -inf)",
    "different factors": "where((t - s) * (t - s + 1) <= 2, Z, -inf)",
    "not both": "where(not (t - s > 2 and s - t > 2), Z, -inf)",
    "or": "where(s <= t or s > t - 2, Z, -inf)",
    "two upper ends": "where(s <= t and s <= t + |s| - 3 and s > t - 4, Z, -inf)",
}


def _text(logits: str, signature: str) -> str:
    return text_of(signature, f"Z = Q @[key] K / sqrt(|key|)\nreturn softmax[s]({logits}) @[s] V")


@pytest.mark.parametrize("signature", [PLAIN, HEADS, SHARED], ids=["plain", "heads", "shared"])
@pytest.mark.parametrize("name", [*BANDS, *OTHERS])
def test_what_is_a_band(name: str, signature: str) -> None:
    text = _text({**BANDS, **OTHERS}[name], signature)
    arrays = inputs_of(text, SIZES)
    assert ("banded_attention" in compiled(text, arrays).code) == (name in BANDS)
    check(text, arrays, reference(text, arrays))


@pytest.mark.parametrize("name", ["the last two", "to both sides"])
def test_with_more_to_say(name: str) -> None:
    """What else is masked is masked too."""
    text = _text(BANDS[name] + " + M", PLAIN + "; M[t, s]")
    arrays = inputs_of(text, SIZES)
    assert "banded_attention" not in compiled(text, arrays).code
    check(text, arrays, reference(text, arrays))


LENGTHS = [(512, 512), (500, 500), (300, 700), (700, 300), (257, 1000)]


@pytest.mark.parametrize("ends", [(0, 0), (5, 0), (0, 7), (30, 20), (64, 11)])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_blocks(lengths: tuple[int, int], ends: tuple[int, int]) -> None:
    """Values and slopes are those under the mask, also for queries that see nothing."""
    queries, keys = lengths
    before, after = ends
    make = torch.Generator().manual_seed(queries)
    q, k, v = (
        torch.randn((2, 3, n, 4), generator=make, dtype=torch.float64, requires_grad=True)
        for n in (queries, keys, keys)
    )
    t, s = torch.arange(queries)[:, None], torch.arange(keys)
    allow = (t <= s + before) & (s <= t + after)
    wanted = F.scaled_dot_product_attention(q, k, v, allow, scale=0.5)
    found = banded_attention(q, k, v, before, after, 0.5)
    torch.testing.assert_close(found, wanted)
    weights = torch.randn(wanted.shape, generator=make, dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad(found, (q, k, v), weights), torch.autograd.grad(wanted, (q, k, v), weights)
    )


def test_cost_is_linear() -> None:
    """The largest tensor that a call makes grows as the length does."""
    function = nl.compile(_text(BANDS["the last two"], PLAIN))
    sizes = []
    for length in (16 * LEAST_BLOCK, 32 * LEAST_BLOCK):
        x = torch.randn(length, 2)
        with torch.profiler.profile(profile_memory=True) as profile:
            function(x, x, x)
        sizes.append(max(event.cpu_memory_usage for event in profile.events()))
    assert sizes[1] <= 2.1 * sizes[0]


def test_traced() -> None:
    """What is traced gives the same, at other lengths too."""
    text = _text(BANDS["the last two"], PLAIN)
    function = nl.compile(text)
    quick = torch.compile(function, fullgraph=True, dynamic=True, backend="aot_eager")
    for length in (6, 400):
        x = torch.randn(length, 3, dtype=torch.float64)
        torch.testing.assert_close(quick(x, x, x), function(x, x, x))
    many = torch.randn(2, 400, 3, dtype=torch.float64)
    np.testing.assert_allclose(
        torch.func.vmap(function)(many, many, many).numpy(), torch.stack([function(x, x, x) for x in many]).numpy()
    )
