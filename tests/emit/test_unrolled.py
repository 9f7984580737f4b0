"""Windows: views while a call runs, readings by number elsewhere, slopes included; kernels that channels share."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
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


LIGHTWEIGHT = {
    "within a head": ("h, c, t", "groups=c * h"), "features last": ("t, h, c", "depthwise_conv1d_("),
    "images of heads": ("c, h, t", "groups=h)"),
}  # fmt: skip
"""How the data lie, and what the kernel is asked for."""


@pytest.mark.parametrize("sizes", [{}, {"h": 1}, {"c": 1}, {"c": 0}, {"h": 0}, {"t": 1}, {"t": 0}], ids=str)
@pytest.mark.parametrize("batch", [(), (2,), (0,)], ids=str)
@pytest.mark.parametrize(("axes", "asked"), LIGHTWEIGHT.values(), ids=LIGHTWEIGHT)
def test_one_kernel_for_the_channels_of_a_head(
    axes: str, asked: str, batch: tuple[int, ...], sizes: dict[str, int]
) -> None:
    function = nl.compile(f"""
def f(X[{axes}]; W[h, i]) -> [{axes}]:
    return softmax[i](W) @[i] unroll[t, i](X; padding = 1)
""")
    every = {"h": 2, "c": 3, "t": 5, **sizes}
    x = torch.randn(*batch, *(every[axis] for axis in axes.split(", ")), requires_grad=True)
    w = torch.randn(every["h"], 3, requires_grad=True)
    found, expected = function(x, w), _lightweight(axes, x, w)
    slope = torch.randn_like(found)
    got, want = (torch.autograd.grad(one, (x, w), slope) for one in (found, expected))
    torch.testing.assert_close((found, *got), (expected, *want), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.double(), function.reference(x, w), atol=1e-5, rtol=1e-5)
    assert asked in function.code


@pytest.mark.parametrize("place", [0, 17, 29])
def test_infinities_stay_in_their_channel(place: int) -> None:
    function = nl.compile("def f(X[h, c, t]; W[h, i]) -> [h, c, t] = W @[i] unroll[t, i](X; padding = 1)")
    x, w = torch.randn(2, 3, 5), torch.randn(2, 3)
    x.view(-1)[place] = torch.inf
    found = function(x, w)
    torch.testing.assert_close(found.double(), function.reference(x, w), atol=1e-5, rtol=1e-5, equal_nan=True)
    assert found.isfinite().all(-1).sum() == 5


NOT_SHARED = {
    "a kernel for each channel": ("X[b, h, t]; W[h, i]", "[b, h, t]", "groups=h)"),
    "channels that are summed": ("X[h, c, t]; W[h, c, i]", "[h, t]", "groups=h)"),
    "results of their own": ("X[h, c, t]; W[h, o, i]", "[h, c, o, t]", "groups=h)"),
}
"""Near misses: the operands, the result, what the kernel is asked for."""


@pytest.mark.parametrize(("operands", "result", "asked"), NOT_SHARED.values(), ids=NOT_SHARED)
def test_near_misses(operands: str, result: str, asked: str) -> None:
    summed = "i" if "c" in result or "c" not in operands else "c, i"
    function = nl.compile(f"def f({operands}) -> {result} = W @[{summed}] unroll[t, i](X; padding = 1)")
    sizes = {"b": 2, "h": 2, "c": 3, "o": 4, "t": 5, "i": 3}
    given = [torch.randn([sizes[a] for a in part if a in sizes]) for part in operands.split(";")]
    torch.testing.assert_close(function(*given).double(), function.reference(*given), atol=1e-5, rtol=1e-5)
    assert asked in function.code


def _lightweight(axes: str, x: Tensor, w: Tensor) -> Tensor:
    letters = axes.replace(", ", "")
    there = [letters.index(axis) - len(letters) for axis in "hct"]
    x = F.pad(x.movedim(there, (-3, -2, -1)), (1, 1))
    parts = [x[..., i : i + x.shape[-1] - 2] * w.softmax(-1)[:, None, i, None] for i in range(3)]
    return sum(parts[1:], parts[0]).movedim((-3, -2, -1), there)
