"""Integers of 8 and 16 bits read and pick as those of 64 do; torch's kernels take none of them."""

from __future__ import annotations

import pytest
import torch

import namedlayers as nl

DTYPES = (torch.uint8, torch.int8, torch.int16, torch.int32)
READS = {
    "a vector": ("def f(X[a], I[b]) -> [b] = X[a = I]", (6,), (4,)),
    "rows": ("def f(X[a, c], I[b]) -> [b, c] = X[a = I]", (6, 3), (4,)),
    "rows, aligned": ("def f(X[a, c], I[b, c]) -> [b, c] = X[a = I]", (6, 3), (4, 3)),
    "rows after": ("def f(X[a, c], I[b]) -> [b, c] = X[a = I + 1]", (6, 3), (4,)),
    "one row": ("def f(X[a, c], I[]) -> [c] = X[a = I]", (6, 3), ()),
    "two places": ("def f(X[a, c], I[b]) -> [b] = X[a = I, c = I]", (6, 5), (4,)),
    "one-hot": ("def f(X[a, c], I[b]) -> [b, c] = (index[a] == I) @[a] X", (6, 3), (4,)),
    "losses": ("def f(L[k, b], I[b]) -> [] = sum[b](-log_softmax[k](L)[k = I])", (6, 4), (4,)),
    "mean loss": ("def f(L[k, b], I[b]) -> [] = mean[b](-log_softmax[k](L)[k = I])", (6, 4), (4,)),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("text", "data", "places"), READS.values(), ids=READS.keys())
def test_reads_as_with_64_bits(
    text: str, data: tuple[int, ...], places: tuple[int, ...], dtype: torch.dtype
) -> None:  # fmt: skip
    torch.manual_seed(0)
    f = nl.compile(text)
    x, at = torch.randn(data), torch.randint(0, 5, places)
    want = f(x, at)
    torch.testing.assert_close(f(x, at.to(dtype)), want)
    torch.testing.assert_close(f.reference(x, at.to(dtype)).float(), want)


REALS = (
    "sigmoid silu softplus gelu softmax[a] log_softmax[a] standardize[a] norm[a] std[a] mean[a] logsumexp[a]".split()
)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", [*REALS, "tanh gelu"])
@pytest.mark.parametrize("numerics", ["default", "strict"])
def test_what_is_real_wraps_around_nowhere(name: str, numerics: str, dtype: torch.dtype) -> None:
    call = f"{name}(X)" if name in REALS else 'gelu(X; approximate = "tanh")'
    f = nl.compile(f"def f(X[a]) = {call}", numerics=numerics)
    x = torch.tensor([3, 100, 120, 17, 0]).to(dtype)
    torch.testing.assert_close(f(x), f(x.float()))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bounds_may_be_out_of_the_type(dtype: torch.dtype) -> None:
    f = nl.compile("def f(X[a]) = clip(X, -3 * |a|, 40000 * |a|) + minimum(X, 300) + maximum(X, 5)")
    x = torch.tensor([3, 20, 30], dtype=dtype)
    assert f(x).dtype == dtype and f(x).tolist() == [11, 60, 90]


def test_compiled_by_torch() -> None:
    f = nl.compile(READS["rows"][0])
    x, at = torch.randn(6, 3), torch.tensor([1, 4], dtype=torch.uint8)
    torch.testing.assert_close(torch.compile(f, fullgraph=True, backend="eager")(x, at), x[[1, 4]])
