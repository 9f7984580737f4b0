"""The pools against torch's: odd sizes, strides, dilation, padding counted and not, sizes that do not divide."""

from __future__ import annotations

from typing import Any

import pytest
import torch.nn.functional as F
from alike import assert_alike

import namedlayers as nl

POOLING = nl.load("pooling")
SHAPES = {1: [(2, 3, 9), (7,)], 2: [(2, 3, 9, 8), (7, 5)], 3: [(1, 2, 6, 7, 5), (4, 5, 6)]}

MAX = [
    {}, {"kernel": 3}, {"kernel": 3, "stride": 1}, {"kernel": 3, "stride": 2, "padding": 1},
    {"kernel": 2, "stride": 1, "dilation": 2}, {"kernel": 3, "stride": 2, "padding": 1, "dilation": 1},
]  # fmt: skip
MEAN = [
    {}, {"kernel": 3}, {"kernel": 3, "stride": 1}, {"kernel": 3, "stride": 2, "padding": 1},
    {"kernel": 3, "stride": 2, "padding": 1, "count_padding": False}, {"kernel": 2, "count_padding": False},
]  # fmt: skip
MAX_ROWS = [(n, shape, options) for n in (1, 2, 3) for shape in SHAPES[n] for options in MAX]
MEAN_ROWS = [(n, shape, options) for n in (1, 2, 3) for shape in SHAPES[n] for options in MEAN]


def _lead(n: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """torch wants channels."""
    return shape if len(shape) > n else (1, *shape)


@pytest.mark.parametrize(("n", "shape", "options"), MAX_ROWS, ids=str)
def test_max(n: int, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    ours, original = POOLING[f"max_pool{n}d"], (F.max_pool1d, F.max_pool2d, F.max_pool3d)[n - 1]
    given = {"kernel_size": 2} | {("kernel_size" if k == "kernel" else k): v for k, v in options.items()}
    assert_alike(lambda x: ours(x, **options), lambda x: original(x, **given), (_lead(n, shape),), "max")


@pytest.mark.parametrize(("n", "shape", "options"), MEAN_ROWS, ids=str)
def test_mean(n: int, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    ours, original = POOLING[f"avg_pool{n}d"], (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[n - 1]
    names = {"kernel": "kernel_size", "count_padding": "count_include_pad"}
    given = {"kernel_size": 2} | {names.get(k, k): v for k, v in options.items()}
    assert_alike(lambda x: ours(x, **options), lambda x: original(x, **given), (_lead(n, shape),), "mean")


@pytest.mark.parametrize("options", [{}, {"kernel": 3}, {"kernel": 3, "stride": 2, "p": 4}], ids=str)
@pytest.mark.parametrize("n", [1, 2])
def test_lp(n: int, options: dict[str, Any]) -> None:
    ours, original = POOLING[f"lp_pool{n}d"], (F.lp_pool1d, F.lp_pool2d)[n - 1]
    stride = options.get("stride")
    given = (float(options.get("p", 2)), options.get("kernel", 2), stride)
    assert_alike(lambda x: ours(x, **options), lambda x: original(x, *given), (SHAPES[n][0],), "lp")


@pytest.mark.parametrize(("size", "n"), [(8, 4), (8, 1), (8, 8), (7, 3), (5, 4), (3, 5), (10, 7)])
def test_to_a_given_size(size: int, n: int) -> None:
    assert_alike(
        lambda x: POOLING.adaptive_avg_pool1d(x, n=n), lambda x: F.adaptive_avg_pool1d(x, n), ((2, 3, size),), "avg"
    )
    assert_alike(
        lambda x: POOLING.adaptive_max_pool1d(x, n=n), lambda x: F.adaptive_max_pool1d(x, n), ((2, 3, size),), "max"
    )
    assert_alike(
        lambda x: POOLING.adaptive_avg_pool2d(x, n=n, m=3), lambda x: F.adaptive_avg_pool2d(x, (n, 3)),
        ((2, 3, size, 7),), "avg",
    )  # fmt: skip
    assert_alike(
        lambda x: POOLING.adaptive_max_pool2d(x, n=n), lambda x: F.adaptive_max_pool2d(x, n), ((2, 3, size, 7),), "max"
    )


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 5, 4), (1, 2, 3, 1, 4)])
def test_of_all_space(shape: tuple[int, ...]) -> None:
    space = tuple(range(2, len(shape)))
    assert_alike(POOLING.global_avg_pool, lambda x: x.mean(space), (shape,), "means")
    assert_alike(POOLING.global_max_pool, lambda x: x.amax(space), (shape,), "largest")


def test_windows_of_two_shapes() -> None:
    pool = nl.compile(
        """
        from pooling import avg_pool

        def pool(X[height, width]) -> [height, width]:
            return avg_pool[height, width, kh = 3, kw = 2](X; stride = (2, 1), padding = (1, 0), count_padding = False)
        """
    )
    assert_alike(pool, lambda x: F.avg_pool2d(x, (3, 2), (2, 1), (1, 0), count_include_pad=False), ((2, 3, 7, 5),), "p")
