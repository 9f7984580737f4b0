"""Convolutions of sequences with kernels that may be as long as they are: by Fourier transforms where that is cheaper.

In: a sequence [batch, channel, place] or [channel, place], weights [channel * out, tap], perhaps a bias [channel *
out], what is padded at both ends (or how far the sequence goes round, so that as many places are left), whether the
weights are read from their last tap. Out: [batch, channel * out, place]. What always holds: it is `conv1d` in which
each channel is a group; which way is taken depends on sizes alone.

By transforms, a small value has the error of the largest ones of its channel, and one that is infinite makes all values
of its channel NaN. A convolution goes round a circle as long as the transform: it is as long as leaves what is wanted
untouched by what comes round, which is no more than the longer end's padding beyond the sequence.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.compiler import is_exporting

from namedlayers.emit.kernels.depthwise import depthwise_conv1d
from namedlayers.emit.kernels.eager import all_visible, batched_backward

TAPS = 32
"""Fewer are multiplied one by one."""
PRODUCTS = 2**17
"""And so are all, where there are no more products in all: transforms take some 50 microseconds of calls."""

_TRANSFORMED = (torch.float32, torch.float64)
_FACTORS = (2, 3, 5)
"""Of what a transform's length is made, if it may be longer than asked for."""


def long_convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, before: int, after: int, groups: int,
    around: bool = False, turned: bool = False,
) -> Tensor:  # fmt: skip
    """
    >>> x = torch.tensor([[1.0, 2.0, 3.0]])
    >>> long_convolution(x, torch.tensor([[10.0, 1.0]]), None, 1, 0, 1)
    tensor([[ 1., 12., 23.]])
    >>> long_convolution(x, torch.tensor([[10.0, 1.0]]), None, 1, 0, 1, around=True, turned=True)
    tensor([[13., 21., 32.]])
    """
    # After large kernels nothing is in the caches, and each function takes microseconds: in the plainest case there are
    # as few as can be.
    outs, taps = weight.shape
    n = x.size(-1)
    plain = all_visible(x, weight)
    if taps < TAPS or x.numel() * taps * (outs // groups) <= PRODUCTS or not plain and is_exporting():
        return _directly(x, weight, bias, before, after, groups, around, turned)
    planned = _kept if plain else _Lengths.of
    lengths = planned(n, taps, before, after, around, turned)
    if lengths is None:
        x = F.pad(x, (before, after), mode="circular")
        lengths = planned(x.size(-1), taps, 0, 0, False, turned)
        assert lengths is not None
    learning = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    if plain and outs == groups and x.dtype in _TRANSFORMED and not learning and not torch.is_autocast_enabled("cpu"):
        found = _at_once(x, weight, lengths)
    else:
        found = _transformed(x, weight, lengths, groups, plain)
    return found if bias is None else found + bias.unsqueeze(-1)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _directly(
    x: Tensor, weight: Tensor, bias: Tensor | None, before: int, after: int, groups: int, around: bool, turned: bool
) -> Tensor:
    weight = (weight.flip(-1) if turned else weight).unsqueeze(1)
    padding = before if before == after and not around else 0
    if around:
        x = F.pad(x, (before, after), mode="circular")
    elif before != after:
        x = F.pad(x, (before, after))
    if x.size(-2) == groups == weight.size(0) and x.stride(-2) < x.stride(-1):
        return depthwise_conv1d(x.mT, weight, bias, padding=padding).mT
    return F.conv1d(x, weight, bias, padding=padding, groups=groups)


class _Lengths(NamedTuple):
    """`period`: of the circle; `shift`: where the sequence begins on it; `start`, `places`: where what is wanted lies;
    `turned`: whether a value is a sum of what lies before it, not behind."""

    period: int
    shift: int
    start: int
    places: int
    turned: bool

    @staticmethod
    def of(n: int, taps: int, before: int, after: int, around: bool, turned: bool) -> _Lengths | None:
        """None for what goes round where no transform does."""
        if around and (taps > n or not _is_smooth(n)):
            return None
        first = taps - 1 - before if turned else -before
        if around:
            return _Lengths(n, 0, first % n, n, turned)
        places, shift = n + before + after - taps + 1, max(-first, 0)
        return _Lengths(_smooth(max(n + max(before, after), places, taps)), shift, max(first, 0), places, turned)


_kept = lru_cache(256)(_Lengths.of)


def _at_once(x: Tensor, taps: Tensor, lengths: _Lengths) -> Tensor:
    """`_convolved` of `_spectra`, in one function."""
    period, shift, start, places, turned = lengths
    data = torch.fft.rfft(F.pad(x, (shift, 0)) if shift else x, period)
    kernel = torch.fft.rfft(taps, period)
    found = torch.fft.irfft(data.mul_(kernel if turned else kernel.conj()), period)
    return found if places == period and not start else _cut(found, start, places)


def _transformed(x: Tensor, weight: Tensor, lengths: _Lengths, groups: int, plain: bool) -> Tensor:
    """Where channels have several kernels, as [batch, channel, 1, place] and [channel, out, tap]. Shorter precisions
    than single are computed in it."""
    precision = x.dtype
    if precision is not torch.float64 and torch.is_autocast_enabled(x.device.type):
        precision = torch.get_autocast_dtype(x.device.type)
    if x.dtype not in _TRANSFORMED:
        x, weight = x.float(), weight.float()
    several = weight.size(0) > groups
    data, taps = (x.unsqueeze(-2), weight.reshape(groups, -1, weight.size(-1))) if several else (x, weight)
    if not plain:
        found = _convolved(*_spectra(data, taps, lengths), lengths)
    elif torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        found = _Convolution.apply(data, taps, lengths)
    else:
        found = _convolved(*_spectra(data, taps, lengths), lengths, over=not several)
    found = found.flatten(-3, -2) if several else found
    return found if found.dtype is precision else found.to(precision)


def _spectra(data: Tensor, taps: Tensor, lengths: _Lengths) -> tuple[Tensor, Tensor]:
    return _spectrum(data, lengths.period, lengths.shift), _spectrum(taps, lengths.period, 0)


def _convolved(x: Tensor, w: Tensor, lengths: _Lengths, over: bool = False) -> Tensor:
    """Of spectra, the first of which may be written over."""
    w = w if lengths.turned else w.conj()
    return _wanted(x.mul_(w) if over else x * w, lengths.period, lengths.start, lengths.places)


def _spectrum(x: Tensor, period: int, shift: int) -> Tensor:
    """With zeros before and behind."""
    return torch.fft.rfft(F.pad(x, (shift, 0)) if shift else x, period)


def _wanted(spectrum: Tensor, period: int, start: int, places: int) -> Tensor:
    """So many places from the first one on, around."""
    return _cut(torch.fft.irfft(spectrum, period), start, places)


def _cut(found: Tensor, start: int, places: int) -> Tensor:
    period = found.size(-1)
    if places == period and not start:
        return found
    if start + places <= period:
        return found.narrow(-1, start, places)
    return torch.cat((found.narrow(-1, start, period - start), found.narrow(-1, 0, start + places - period)), -1)


class _Convolution(torch.autograd.Function):
    """What comes back is made of the same spectra, by a transform each; torch takes complex ones, twice as long."""

    @staticmethod
    def forward(ctx: Any, data: Tensor, taps: Tensor, lengths: _Lengths) -> Tensor:
        x, w = _spectra(data, taps, lengths)
        ctx.save_for_backward(data, taps, x, w)
        ctx.lengths = lengths
        return _convolved(x, w, lengths)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        data, taps, x, w = ctx.saved_tensors
        lengths: _Lengths = ctx.lengths
        to_data, to_taps, _ = ctx.needs_input_grad
        if torch.is_grad_enabled():
            x, w = _spectra(data, taps, lengths)
        back = _back(slope, lengths)
        at_data = at_taps = None
        if to_data:
            found = back * (w.conj() if lengths.turned else w)
            found = found.sum(-2, keepdim=True) if found.shape != x.shape else found
            at_data = _wanted(found, lengths.period, lengths.shift, data.size(-1))
        if to_taps:
            plain = not torch.is_grad_enabled() and not batched_backward(slope)
            found = back.conj_physical_().mul_(x) if plain else back.conj() * x
            found = found.sum_to_size(w.shape)
            found = found.conj() if lengths.turned else found
            at_taps = _wanted(found, lengths.period, 0, taps.size(-1))
        return at_data, at_taps, None


def _back(slope: Tensor, lengths: _Lengths) -> Tensor:
    """The spectrum of slopes, each where its place lies on the circle."""
    period, _, start, places, _ = lengths
    over = start + places - period
    if over <= 0:
        return _spectrum(slope, period, start)
    return torch.fft.rfft(torch.cat((slope[..., places - over :], slope[..., : places - over]), -1), period)


def _smooth(n: int) -> int:
    """The least length from `n` on whose factors are small."""
    while not _is_smooth(n):
        n += 1
    return n


def _is_smooth(n: int) -> bool:
    for factor in _FACTORS:
        while n % factor == 0:
            n //= factor
    return n == 1
