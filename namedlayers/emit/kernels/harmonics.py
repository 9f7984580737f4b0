"""Sums of a tensor times waves along an axis: by the fast transform, or short ones as products with a table.

In: a tensor, real or complex, how many frequencies there are, the period, the sign of the angle, and what time and
frequency begin at. Out: the sums, of exponentials, cosines or sines, in the place of the axis. What always holds: the
period is no less than the number of times, and of frequencies.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.compiler import is_compiling

from namedlayers.emit.kernels.cosines import at_half_frequencies, of_half_places

SHORT, MIDDLE = 8, 128
"""An axis of no more is multiplied by a table; that of a real wave, if there are as many rows as the table has."""


def harmonics(
    x: Tensor, dim: int, count: int, period: int, wave: str, sign: int, moved: tuple[float, float]
) -> Tensor:  # fmt: skip
    """The sums of x(t) wave(sign 2 pi (t + moved[0]) (f + moved[1]) / period) for the first `count` frequencies f.

    >>> harmonics(torch.tensor([1.0, 2.0, 3.0]), 0, 3, 3, "cos", 1, (0, 0))
    tensor([ 6.0000, -1.5000, -1.5000])
    """
    n = x.size(dim)
    x = x.movedim(dim, -1)
    if not is_compiling() and _is_short(x, count, wave):
        found = _by_table(x, count, max(period, 1), wave, sign, moved)
    elif wave == "cos" and moved == (0.5, 0.0) and period == 2 * n and count <= n:
        found = of_half_places(x)[..., :count]
    elif wave == "cos" and moved == (0.0, 0.5) and period == 2 * n and count == n:
        found = at_half_frequencies(x)
    else:
        found = _part(wave, *_fast(x, count, period, sign, moved, wave == "exp"))
    return found.movedim(-1, dim)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _is_short(x: Tensor, count: int, wave: str) -> bool:
    n = x.size(-1)
    return n <= SHORT or not count or not x.numel() or wave != "exp" and n <= MIDDLE and x.numel() >= n * count


def _fast(
    x: Tensor, count: int, period: int, sign: int, moved: tuple[float, float], whole: bool
) -> tuple[Tensor, Tensor | None]:
    """The transform, and what it is still to be turned by."""
    early, low = moved
    if low:
        x = x * _turning(x, x.size(-1), sign * low / period, 0.0)
    if x.is_complex():
        found = torch.fft.fft(x, period) if sign < 0 else torch.fft.ifft(x, period, norm="forward")
    elif whole or count > period // 2 + 1:
        found = torch.fft.fft(x, period)
        found = found if sign < 0 else found.conj()
    else:
        found = torch.fft.rfft(x, period)
        found = found if sign < 0 else found.conj()
    found = found[..., :count]
    return found, _turning(x, count, sign * early / period, low) if early else None


def _part(wave: str, found: Tensor, turning: Tensor | None) -> Tensor:
    if wave == "exp":
        return found if turning is None else found * turning
    if turning is None:
        return found.real if wave == "cos" else found.imag
    if wave == "cos":
        return found.real * turning.real - found.imag * turning.imag
    return found.real * turning.imag + found.imag * turning.real


def _turning(x: Tensor, count: int, turns: float, first: float) -> Tensor:
    """exp(2 pi i turns (k + first)) for so many k."""
    angle = (torch.arange(count, device=x.device, dtype=torch.float64) + first) * (2 * math.pi * turns)
    return torch.polar(torch.ones_like(angle), angle).to(torch.promote_types(x.dtype, torch.complex64))


def _by_table(
    x: Tensor, count: int, period: int, wave: str, sign: int, moved: tuple[float, float]
) -> Tensor:  # fmt: skip
    times, frequencies = (torch.arange(k, device=x.device, dtype=torch.float64) for k in (x.size(-1), count))
    angle = (times + moved[0]).unsqueeze(1) * (frequencies + moved[1]) * (sign * 2 * math.pi / period)
    precision = x.real.dtype
    if wave != "exp":
        return torch.matmul(x, (torch.cos(angle) if wave == "cos" else torch.sin(angle)).to(precision))
    real, imaginary = torch.cos(angle).to(precision), torch.sin(angle).to(precision)
    if x.is_complex():
        return torch.matmul(x, torch.complex(real, imaginary))
    products = torch.matmul(x, real), torch.matmul(x, imaginary)
    return torch.complex(*(one.to(precision) for one in products))  # autocast makes halves, of which none is complex
