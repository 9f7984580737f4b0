"""The product of the semiring `log` as Triton kernels: what `shifted_product` computes, without asking the device.

In: A [..., m, k] and B [..., k, n] in float32 or float64, logarithms or, where they are `linear`, weights. Out: the
product [..., m, n], or the slopes at A and B. What always holds: nothing larger than the factors and the result is
held; float32 is multiplied with all its digits; the host never waits, so that calls can be captured as a CUDA graph.

Forward. Short sums are one kernel: each tile of the result keeps a running maximum for every row and column, and what
it has summed so far is rescaled where one grows. Long sums are left to cuBLAS, between a kernel that shifts a factor
and one that takes the logarithm. Either ends alike: a tile in which an entry is too small to have all its digits is
summed again, term by term. A float32 product costs 2·m·k·n operations and m·k + k·n exponentials and logarithms of
m·n; a tile of 32² that is summed again, 1024·k exponentials.

Backward, from the inputs and the result alone: shares of the entries that have their digits, two matrix products, and
a kernel that puts in the shift and, tile by tile, the terms of the other entries. Tiles without any are known by a
flag each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
import triton
from torch import Tensor

from namedlayers.emit.log_products import triton_kernels as kernels

SHORT = 128
"""Up to this length, writing the product down would take longer than multiplying."""

TILE = 32
"""The side of the tiles that are summed again as a whole."""


def interpreted() -> bool:
    """Whether Triton runs kernels in Python (TRITON_INTERPRET=1 was set when it was imported), and so on any device."""
    return not isinstance(kernels.whole, triton.runtime.JITFunction)


def product(a: Tensor, b: Tensor, a_linear: bool, b_linear: bool) -> Tensor:
    """log(sum over k of exp(a[m, k] + b[k, n])); a linear factor w stands for log(w)."""
    batch, (rows, inner), columns = a.shape[:-2], a.shape[-2:], b.shape[-1]
    out = a.new_empty((*batch, rows, columns))
    if out.numel() == 0:
        return out
    x, y, z = _three(a), _three(b), _three(out)
    how = {"LEAST": _least(a.dtype), "A_LINEAR": a_linear, "B_LINEAR": b_linear}
    if inner <= SHORT and a.dtype is torch.float32:
        tile = _side(rows), _side(columns)
        grid = (len(z) * triton.cdiv(rows, tile[0]) * triton.cdiv(columns, tile[1]),)
        with _on(a):
            kernels.whole[grid](x, y, z, rows, inner, columns, *x.stride(), *y.stride(), *z.stride(),
                         TILE_M=tile[0], TILE_N=tile[1], **_SHORTEST[max(tile)], **how)  # fmt: skip
        return out
    with _on(a):
        (left, left_top), (right, right_top) = _shifted(x, a_linear), _shifted(y.mT, b_linear)
        _multiply(left, right.mT, z)
        grid = (len(z) * triton.cdiv(rows, TILE) * triton.cdiv(columns, TILE),)
        kernels.finish[grid](x, y, z, left_top, right_top, rows, inner, columns, *x.stride(), *y.stride(), *z.stride(),
                      TILE_M=TILE, TILE_N=TILE, num_warps=4, **how)  # fmt: skip
    return out


def slopes(a: Tensor, b: Tensor, out: Tensor, slope: Tensor, a_linear: bool, b_linear: bool) -> tuple[Tensor, Tensor]:
    """What a slope at the result is at the factors: each weighs as its share of the sum."""
    x, y, z, g = _three(a), _three(b), _three(out), _three(slope)
    if out.numel() == 0 or a.shape[-1] == 0:
        return torch.zeros_like(a, memory_format=_PLAIN), torch.zeros_like(b, memory_format=_PLAIN)
    rows, columns = out.shape[-2:]
    tiles = triton.cdiv(rows, TILE), triton.cdiv(columns, TILE)
    least = math.log(a.shape[-1] * _least(a.dtype))
    with _on(a):
        (left, left_top), (right, right_top) = _shifted(x, a_linear), _shifted(y.mT, b_linear)
        shares, flags = torch.empty_like(z, memory_format=_PLAIN), z.new_empty((len(z), *tiles), dtype=torch.int8)
        kernels.share[(len(z) * tiles[0] * tiles[1],)](
            z, g, left_top, right_top, shares, flags, rows, columns, *z.stride(), *g.stride(), *shares.stride(), least,
            A_LINEAR=a_linear, B_LINEAR=b_linear, TILE_M=TILE, TILE_N=TILE, num_warps=4,
        )  # fmt: skip
        to_a, to_b = x.new_empty(x.shape), y.new_empty(y.shape)
        _multiply(shares, right, to_a)
        _multiply(left.mT, shares, to_b)
        _settled(to_a, x, y, z, g, left_top, right_top, flags, least, a_linear, b_linear)
        _settled(to_b.mT, y.mT, x.mT, z.mT, g.mT, right_top, left_top, flags.mT, least, b_linear, a_linear)
    return to_a.reshape(a.shape), to_b.reshape(b.shape)


# --- launching --------------------------------------------------------------------------------------------------------

_PLAIN = torch.contiguous_format
_SIDES = ((16, 16), (32, 32), (math.inf, 64))
"""Up to which size of an axis its tiles have which side."""

_SHORTEST: dict[int, dict[str, int]] = {
    16: {"TILE_K": 32, "num_warps": 4},
    32: {"TILE_K": 32, "num_warps": 4},
    64: {"TILE_K": 16, "num_warps": 8},
}
"""By the larger side of a tile of `whole`, how it is gone through: the registers of a thread hold its share."""

_precision = Lock()


def _least(dtype: torch.dtype) -> float:
    """From where on, for each of its terms, a sum of products of numbers up to 1 has all its digits."""
    return torch.finfo(dtype).tiny / torch.finfo(dtype).eps


def _side(size: int) -> int:
    return next(side for most, side in _SIDES if size <= most)


def _three(tensor: Tensor) -> Tensor:
    """The same with one axis for the batch."""
    return tensor.reshape(math.prod(tensor.shape[:-2]), *tensor.shape[-2:])


def _shifted(x: Tensor, linear: bool) -> tuple[Tensor, Tensor]:
    """Each row as shares of its maximum, and the maxima."""
    batch, rows, inner = x.shape
    # As the factor lies, so that matrix products find what they like.
    scaled = torch.empty_like(x.mT, memory_format=_PLAIN).mT if x.stride(-1) != 1 else torch.empty_like(x)
    top = x.new_empty((batch, rows))
    kernels.shift[(batch * triton.cdiv(rows, 16),)](
        x, scaled, top, rows, inner, *x.stride(), *scaled.stride(), LINEAR=linear, TILE_M=16, TILE_K=128, num_warps=4
    )
    return scaled, top


def _settled(
    found: Tensor, x: Tensor, y: Tensor, out: Tensor, slope: Tensor, x_top: Tensor, y_top: Tensor, flags: Tensor,
    least: float, x_linear: bool, y_linear: bool,
) -> None:  # fmt: skip
    """Makes of the slopes at the shares of a factor those at the factor itself, with all terms."""
    batch, rows, inner = x.shape
    kernels.settle[(batch * triton.cdiv(rows, TILE) * triton.cdiv(inner, TILE),)](
        found, x, y, out, slope, x_top, y_top, flags, rows, inner, y.shape[-1],
        *found.stride(), *x.stride(), *y.stride(), *out.stride(), *slope.stride(), *flags.stride(), least,
        X_LINEAR=x_linear, Y_LINEAR=y_linear, TILE_M=TILE, TILE_N=TILE, TILE_K=TILE, num_warps=4,
    )  # fmt: skip


def _multiply(a: Tensor, b: Tensor, out: Tensor) -> None:
    with torch.no_grad(), torch.autocast(a.device.type, enabled=False), _all_digits():
        torch.bmm(a, b, out=out)


@contextmanager
def _all_digits() -> Iterator[None]:
    """No TF32 for float32, whatever the program allows elsewhere."""
    settings: Any = torch.backends.cuda.matmul
    none: bool | str
    try:
        name, allowed, none = "allow_tf32", settings.allow_tf32, False
    except RuntimeError:  # it was set by the newer of two names, and torch answers to that one only
        name, allowed, none = "fp32_precision", settings.fp32_precision, "ieee"
    if allowed == none:
        yield
        return
    with _precision:
        setattr(settings, name, none)
        try:
            yield
        finally:
            setattr(settings, name, allowed)


@contextmanager
def _on(tensor: Tensor) -> Iterator[None]:
    """Kernels are launched on the current device."""
    if tensor.is_cuda:
        with torch.cuda.device(tensor.device):
            yield
    else:
        yield
