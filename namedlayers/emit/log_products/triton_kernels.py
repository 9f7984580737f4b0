"""Triton kernels of the product of the semiring `log`, each of one tile; `triton_log_product` launches them.

In: pointers, sizes, strides, and as constants what decides the code. Out: what they store. What always holds: a program
finds its tile by its number; places are counted in int64, since a batch may be larger than int32 counts; float32 is
multiplied with all its digits; masked places read what adds nothing.
"""

# mypy: disable-error-code="no-untyped-def"
# Triton has types of its own, and reads annotations as these.

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def whole(
    a, b, out, rows, inner, columns, a_batch, a_row, a_inner, b_batch, b_inner, b_column, out_batch, out_row,
    out_column,
    LEAST: tl.constexpr, A_LINEAR: tl.constexpr, B_LINEAR: tl.constexpr,
    TILE_M: tl.constexpr, TILE_N: tl.constexpr, TILE_K: tl.constexpr,
):  # fmt: skip
    """One tile of the product, online: the maxima of rows and columns are those of what was read so far."""
    batch, i, j = _tile(rows, columns, TILE_M, TILE_N)
    a, b, out = a + batch * a_batch + i * a_row, b + batch * b_batch + j * b_column, out + batch * out_batch
    total = tl.zeros((TILE_M, TILE_N), tl.float32)
    a_top, b_top = tl.full((TILE_M,), float("-inf"), tl.float32), tl.full((TILE_N,), float("-inf"), tl.float32)
    for start in range(0, inner, TILE_K):
        k = start + tl.arange(0, TILE_K)
        x = tl.load(a[:, None] + k[None, :] * a_inner, (i < rows)[:, None] & (k < inner)[None, :], _nothing(A_LINEAR))
        y = tl.load(b[None, :] + k[:, None] * b_inner, (k < inner)[:, None] & (j < columns)[None, :],
                    _nothing(B_LINEAR))  # fmt: skip
        a_new, b_new = tl.maximum(a_top, tl.max(x, 1)), tl.maximum(b_top, tl.max(y, 0))
        total *= _rescaling(a_top, a_new, A_LINEAR)[:, None] * _rescaling(b_top, b_new, B_LINEAR)[None, :]
        a_top, b_top = a_new, b_new
        x, y = _scaled(x, a_top[:, None], A_LINEAR), _scaled(y, b_top[None, :], B_LINEAR)
        total = tl.dot(x, y, total, input_precision="ieee")
    found = _logarithm(
        total, a, b, a_top, b_top, i, j, rows, inner, columns, a_inner, b_inner, LEAST, A_LINEAR, B_LINEAR
    )
    where = out + i[:, None] * out_row + j[None, :] * out_column
    tl.store(where, found, (i < rows)[:, None] & (j < columns)[None, :])


@triton.jit
def finish(
    a, b, out, a_top, b_top, rows, inner, columns, a_batch, a_row, a_inner, b_batch, b_inner, b_column, out_batch,
    out_row, out_column,
    LEAST: tl.constexpr, A_LINEAR: tl.constexpr, B_LINEAR: tl.constexpr, TILE_M: tl.constexpr, TILE_N: tl.constexpr,
):  # fmt: skip
    """One tile of the product of shifted factors becomes one of the product."""
    batch, i, j = _tile(rows, columns, TILE_M, TILE_N)
    a, b, out = a + batch * a_batch + i * a_row, b + batch * b_batch + j * b_column, out + batch * out_batch
    inside = (i < rows)[:, None] & (j < columns)[None, :]
    where = out + i[:, None] * out_row + j[None, :] * out_column
    total = tl.load(where, inside, 0.0)
    top_i = tl.load(a_top + batch * rows + i, i < rows, _nothing(A_LINEAR))
    top_j = tl.load(b_top + batch * columns + j, j < columns, _nothing(B_LINEAR))
    found = _logarithm(
        total, a, b, top_i, top_j, i, j, rows, inner, columns, a_inner, b_inner, LEAST, A_LINEAR, B_LINEAR
    )
    tl.store(where, found, inside)


@triton.jit
def shift(
    x, scaled, top, rows, inner, x_batch, x_row, x_inner, s_batch, s_row, s_inner,
    LINEAR: tl.constexpr, TILE_M: tl.constexpr, TILE_K: tl.constexpr,
):  # fmt: skip
    """Some rows and their maxima."""
    tiles = tl.cdiv(rows, TILE_M)
    batch = (tl.program_id(0) // tiles).to(tl.int64)
    i = (tl.program_id(0) % tiles).to(tl.int64) * TILE_M + tl.arange(0, TILE_M)
    x, scaled = x + batch * x_batch + i * x_row, scaled + batch * s_batch + i * s_row
    most = tl.full((TILE_M,), float("-inf"), x.dtype.element_ty)
    for start in range(0, inner, TILE_K):
        k = tl.arange(0, TILE_K).to(tl.int64) + start
        inside = (i < rows)[:, None] & (k < inner)[None, :]
        most = tl.maximum(most, tl.max(tl.load(x[:, None] + k[None, :] * x_inner, inside, float("-inf")), 1))
    for start in range(0, inner, TILE_K):
        k = tl.arange(0, TILE_K).to(tl.int64) + start
        inside = (i < rows)[:, None] & (k < inner)[None, :]
        given = tl.load(x[:, None] + k[None, :] * x_inner, inside, 0.0)
        tl.store(scaled[:, None] + k[None, :] * s_inner, _scaled(given, most[:, None], LINEAR), inside)
    tl.store(top + batch * rows + i, most, i < rows)


@triton.jit
def share(
    out, slope, a_top, b_top, shares, flags, rows, columns, out_batch, out_row, out_column, g_batch, g_row, g_column,
    s_batch, s_row, s_column, least,
    A_LINEAR: tl.constexpr, B_LINEAR: tl.constexpr, TILE_M: tl.constexpr, TILE_N: tl.constexpr,
):  # fmt: skip
    """What a slope is at the product of the shifted factors, where this has its digits; and whether it has them all."""
    batch, i, j = _tile(rows, columns, TILE_M, TILE_N)
    inside = (i < rows)[:, None] & (j < columns)[None, :]
    total = tl.load(out + batch * out_batch + i[:, None] * out_row + j[None, :] * out_column, inside, float("-inf"))
    weight = tl.load(slope + batch * g_batch + i[:, None] * g_row + j[None, :] * g_column, inside, 0.0)
    shift_i = _shift_of(tl.load(a_top + batch * rows + i, i < rows, 1.0), A_LINEAR)
    shift_j = _shift_of(tl.load(b_top + batch * columns + j, j < columns, 1.0), B_LINEAR)
    exponent = total - (shift_i[:, None] + shift_j[None, :])
    small = ~(exponent >= least)
    finite = _finite(total)
    share = tl.where(small | ~finite, 0.0, weight * _exp(tl.where(small | ~finite, 0.0, -exponent)))
    tl.store(shares + batch * s_batch + i[:, None] * s_row + j[None, :] * s_column, share, inside)
    tl.store(flags + tl.program_id(0), tl.max(tl.max((small & finite).to(tl.int8), 1), 0))


@triton.jit
def settle(
    found, x, y, out, slope, x_top, y_top, flags, rows, inner, columns,
    f_batch, f_row, f_inner, x_batch, x_row, x_inner, y_batch, y_inner, y_column,
    out_batch, out_row, out_column, g_batch, g_row, g_column, flag_batch, flag_row, flag_column, least,
    X_LINEAR: tl.constexpr, Y_LINEAR: tl.constexpr, TILE_M: tl.constexpr, TILE_N: tl.constexpr, TILE_K: tl.constexpr,
):  # fmt: skip
    """One tile of the slopes at `x`: the shift put in, and the terms of entries that were left out."""
    batch, i, k = _tile(rows, inner, TILE_M, TILE_K)
    inside = (i < rows)[:, None] & (k < inner)[None, :]
    given = tl.load(x + batch * x_batch + i[:, None] * x_row + k[None, :] * x_inner, inside, 0.0)
    top = tl.load(x_top + batch * rows + i, i < rows, 1.0)
    where = found + batch * f_batch + i[:, None] * f_row + k[None, :] * f_inner
    result = tl.load(where, inside, 0.0)
    if X_LINEAR:
        result = result / _unit(top)[:, None]
    else:
        result = result * _scaled(given, top[:, None], X_LINEAR)
    shift = _shift_of(top, X_LINEAR)
    row = (tl.program_id(0) % (tl.cdiv(rows, TILE_M) * tl.cdiv(inner, TILE_K))) // tl.cdiv(inner, TILE_K)
    flags += batch * flag_batch + row * flag_row
    y += batch * y_batch + k * y_inner
    y_top += batch * columns
    out += batch * out_batch + i * out_row
    slope += batch * g_batch + i * g_row
    for tile in range(0, tl.cdiv(columns, TILE_N)):
        if tl.load(flags + tile * flag_column) != 0:
            ys, tops, outs, slopes = y, y_top, out, slope
            for _ in range(0, tl.minimum(TILE_N, columns - tile * TILE_N)):
                total = tl.load(outs, i < rows, float("-inf"))
                weight = tl.load(slopes, i < rows, 0.0)
                other = _log_of(tl.load(ys, k < inner, 0.0), Y_LINEAR)[None, :]
                exponent = total - (shift + _shift_of(tl.load(tops), Y_LINEAR))
                left_out = ~(exponent >= least) & _finite(total) & (weight != 0)
                power = (other if X_LINEAR else given + other) - tl.where(left_out, total, 0.0)[:, None]
                power = tl.where(left_out[:, None], power, float("-inf"))
                result += tl.exp(power) * tl.where(left_out, weight, 0.0)[:, None]
                ys, tops, outs, slopes = ys + y_column, tops + 1, outs + out_column, slopes + g_column
        y, y_top, out, slope = (
            y + TILE_N * y_column,
            y_top + TILE_N,
            out + TILE_N * out_column,
            slope + TILE_N * g_column,
        )
    tl.store(where, result, inside)


# --- parts of kernels -------------------------------------------------------------------------------------------------


@triton.jit
def _tile(rows, columns, TILE_M: tl.constexpr, TILE_N: tl.constexpr):
    """Which matrix of the batch, which rows and which columns a program has."""
    across = tl.cdiv(columns, TILE_N)
    tiles = tl.cdiv(rows, TILE_M) * across
    place = tl.program_id(0) % tiles
    batch = (tl.program_id(0) // tiles).to(tl.int64)
    i = (place // across).to(tl.int64) * TILE_M + tl.arange(0, TILE_M)
    j = (place % across).to(tl.int64) * TILE_N + tl.arange(0, TILE_N)
    return batch, i, j


@triton.jit
def _logarithm(
    total, a, b, a_top, b_top, i, j, rows, inner, columns, a_inner, b_inner,
    LEAST: tl.constexpr, A_LINEAR: tl.constexpr, B_LINEAR: tl.constexpr,
):  # fmt: skip
    """Of sums of shifted terms, those of the terms; what lacks digits is summed again, term by term."""
    shift = _shift_of(a_top, A_LINEAR)[:, None] + _shift_of(b_top, B_LINEAR)[None, :]
    found = tl.log(total) + shift
    empty = _empty(a_top, A_LINEAR)[:, None] | _empty(b_top, B_LINEAR)[None, :]
    small = ~(total / inner >= LEAST) & ~empty
    if tl.max(tl.max(small.to(tl.int32), 1), 0) > 0:
        most = tl.full(total.shape, float("-inf"), total.dtype)
        again = tl.zeros(total.shape, total.dtype)
        for _ in range(0, inner):
            x = _log_of(tl.load(a, i < rows, _nothing(A_LINEAR)), A_LINEAR)
            y = _log_of(tl.load(b, j < columns, _nothing(B_LINEAR)), B_LINEAR)
            a, b = a + a_inner, b + b_inner
            term = x[:, None] + y[None, :]
            further = tl.where(term == most, 0.0, term - most)  # equal infinities have no difference
            share = tl.exp(-tl.abs(further))
            again = tl.where(further > 0, again * share + 1, again + share)
            most = tl.maximum(most, term)
        found = tl.where(small, tl.log(again) + most, found)
    return found


@triton.jit
def _scaled(x, top, LINEAR: tl.constexpr):
    """A factor as shares of its maximum."""
    if LINEAR:
        return tl.where(x < 0, float("nan"), x) / _unit(top)
    else:
        return _exp(x - _shift_of(top, LINEAR))


@triton.jit
def _rescaling(old, new, LINEAR: tl.constexpr):
    """What shares of a maximum are multiplied by to be shares of another; there are none yet where the old is empty."""
    if LINEAR:
        found = _unit(old) / _unit(new)
    else:
        found = _exp(_shift_of(old, LINEAR) - _shift_of(new, LINEAR))
    return tl.where(_empty(old, LINEAR), 1.0, found)


@triton.jit
def _unit(top):
    return tl.where((top > 0) & _finite(top), top, 1.0)


@triton.jit
def _shift_of(top, LINEAR: tl.constexpr):
    if LINEAR:
        return tl.log(_unit(top))
    else:
        return tl.where(_finite(top), top, 0.0)


@triton.jit
def _empty(top, LINEAR: tl.constexpr):
    if LINEAR:
        return top <= 0
    else:
        return top == float("-inf")


@triton.jit
def _log_of(x, LINEAR: tl.constexpr):
    if LINEAR:
        return tl.log(x)
    else:
        return x


@triton.jit
def _nothing(LINEAR: tl.constexpr):
    """What adds nothing to a sum."""
    if LINEAR:
        return 0.0
    else:
        return float("-inf")


@triton.jit
def _finite(x):
    return tl.abs(x) < float("inf")


@triton.jit
def _exp(x):
    """To rounding also far from 0, where the device's own loses digits of float32."""
    if x.dtype == tl.float32:
        x = tl.where(x < -150.0, -150.0, x)
        n = tl.floor(x * 1.4426950408889634 + 0.5)
        rest = (x - n * 0.693359375) + n * 2.12194440e-4  # less n times log 2, in two parts
        return tl.exp(rest) * tl.exp2(n)
    else:
        return tl.exp(x)
