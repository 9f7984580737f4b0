"""Windows that no kernel takes: views while a call runs, readings by number elsewhere; equal, slopes included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.kernels.windows import Pair, windows

CASES: dict[str, tuple[int, Pair, Pair, int]] = {
    "side by side": (9, (7, 3), (1, 1), 0), "with steps": (9, (3, 3), (3, 1), 0), "dilated": (9, (2, 3), (1, 3), 1),
    "from within": (9, (3, 2), (2, 1), 2), "of one place": (5, (5, 1), (1, 1), 0), "none": (2, (0, 3), (1, 1), 0),
    "of no place": (2, (3, 0), (1, 1), 0),
}  # fmt: skip
"""The size of the axis, the arguments."""


def _by_number(x: Tensor, sizes: Pair, steps: Pair, start: int) -> Tensor:
    at = torch.arange(sizes[0])[:, None] * steps[0] + torch.arange(sizes[1]) * steps[1] + start
    return x[:, at]


@pytest.mark.parametrize(("size", "sizes", "steps", "start"), CASES.values(), ids=CASES)
def test_values_and_slopes(size: int, sizes: Pair, steps: Pair, start: int) -> None:
    x = torch.randn(2, size, 3, requires_grad=True)
    found, expected = windows(x, 1, sizes, steps, start), _by_number(x, sizes, steps, start)
    slope = torch.randn_like(expected)
    got, want = (torch.autograd.grad(one, x, slope)[0] for one in (found, expected))
    torch.testing.assert_close((found, got), (expected, want))
    under_vmap = torch.func.vmap(lambda x: windows(x, 0, sizes, steps, start))(x)
    torch.testing.assert_close(under_vmap, expected)


INVOLUTION = """
def f(X[c, h, w], K[i, j, h, w]) -> [c, h, w] = K @[i, j] unroll[h, w, i, j](X; padding = 1)
"""


def test_kernels_of_each_place() -> None:
    function = nl.compile(INVOLUTION)
    given = [torch.randn(2, 3, 5, 6), torch.randn(2, 3, 3, 5, 6)]
    torch.testing.assert_close(function(*given).double(), function.reference(*given), atol=1e-5, rtol=1e-5)
    assert "index_select" not in function.code
    compiled = torch.compile(lambda *given: function(*given), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*given), function(*given))


def test_a_result_shares_nothing_with_itself() -> None:
    function = nl.compile("def f(X[t]) -> [t, k] = unroll[t, k = 3](X)")
    x = torch.arange(5.0)
    function(x).zero_()
    assert x.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("channels", [0, 1, 4])
def test_one_kernel_for_all_channels(channels: int) -> None:
    function = nl.compile("def f(X[c, h, w]; K[i, j]) -> [c, h, w] = K @[i, j] unroll[h, w, i, j](X; padding = 1)")
    given = [torch.randn(2, channels, 5, 6), torch.randn(3, 3)]
    torch.testing.assert_close(function(*given).double(), function.reference(*given), atol=1e-5, rtol=1e-5)
    assert "groups=" in function.code
