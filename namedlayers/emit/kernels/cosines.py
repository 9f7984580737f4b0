"""The two most usual cosine transforms, of half places (DCT-II) and at half frequencies (DCT-III).

In: a real tensor. Out: as many sums along its last axis. What always holds: what comes back through one is the other.

Even places there and odd ones back are a real sequence of n, whose frequencies up to n / 2, turned, have the cosine
transform's in their real parts, from the first one on, and in their imaginary parts, from the last one back (Makhoul
1980). Here they go the other way round, 0, then odd places there and even ones back: so no sign is to be changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels.eager import visible
from namedlayers.emit.kernels.in_graphs import in_graph
from namedlayers.emit.kernels.tables import in_memory


def of_half_places(x: Tensor) -> Tensor:
    """The sums of x(t) cos(pi (t + 1/2) f / n).

    >>> of_half_places(torch.tensor([1.0, 2.0]))
    tensor([ 3.0000, -0.7071])
    """
    return _either(x, _of_half_places, _at_half_frequencies)


def at_half_frequencies(x: Tensor) -> Tensor:
    """The sums of x(t) cos(pi t (f + 1/2) / n).

    >>> at_half_frequencies(torch.tensor([1.0, 2.0]))
    tensor([ 2.4142, -0.4142])
    """
    return _either(x, _at_half_frequencies, _of_half_places)


# --- helpers ----------------------------------------------------------------------------------------------------------

Transform = Callable[[Tensor], Tensor]


def _either(x: Tensor, transform: Transform, transpose: Transform) -> Tensor:
    if is_dynamo_compiling() and not is_exporting():
        return _traced(x, transform is _of_half_places)
    if visible(x) and x.requires_grad and torch.is_grad_enabled():
        return _differentiable(x, transform, transpose)
    return transform(x)


@in_graph
def _traced(x: Tensor, of_half_places: bool) -> Tensor:
    """By an operator: compilers make no code of complex numbers, and slow code of what is read backwards."""
    if torch._C._functorch.peek_interpreter_stack() is not None:
        return _cosines(x, of_half_places)
    one, other = (
        (_operator_of_half_places, _operator_at_half_frequencies) if x.is_cpu
        else (_of_half_places, _at_half_frequencies)
    )  # fmt: skip
    return _differentiable(x, *((one, other) if of_half_places else (other, one)))


def _operator_of_half_places(x: Tensor) -> Tensor:
    found: Tensor = torch.ops.namedlayers.cosines(x, True)
    return found


def _operator_at_half_frequencies(x: Tensor) -> Tensor:
    found: Tensor = torch.ops.namedlayers.cosines(x, False)
    return found


def _differentiable(x: Tensor, transform: Transform, transpose: Transform) -> Tensor:
    found: Tensor = _Transform.apply(x, transform, transpose)
    return found


class _Transform(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, transform: Transform, transpose: Transform) -> Tensor:
        ctx.both = transpose, transform
        return transform(x)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        if slope.requires_grad and torch.is_grad_enabled():
            return _differentiable(slope, *ctx.both), None, None
        return ctx.both[0](slope), None, None


def _of_half_places(x: Tensor) -> Tensor:
    n = x.size(-1)
    cos, sin = _turns(x, n)
    found = torch.fft.rfft(torch.cat((_from(x, 0, 1), _from(x, 1, n, 2), _from(x, 2, n, 2).flip(-1)), -1))
    if visible(x):
        found = found * torch.complex(cos, sin)
        real, imaginary = found.real, found.imag
    else:
        real, imaginary = _turned(found.real, found.imag, cos, sin)
    return torch.cat((real, _from(imaginary, 1, (n + 1) // 2).flip(-1)), -1)


def _at_half_frequencies(x: Tensor) -> Tensor:
    n = x.size(-1)
    half = n // 2 + 1
    cos, sin = _turns(x, n, one_of_two=True)
    early, late = _from(x, 0, half), F.pad(_from(x, half, n).flip(-1), (1, 1 - n % 2))
    if visible(x):
        found = torch.complex(early, late) * torch.complex(cos, -sin)
    else:
        found = torch.view_as_complex(torch.stack(_turned(early, late, cos, -sin), -1))
    found = torch.fft.irfft(found, n, norm="forward")
    at = torch.arange(n, device=x.device)
    return found.index_select(-1, torch.where(at % 2 == 0, (n - at // 2) % n, (at + 1) // 2))


def _from(x: Tensor, start: int, stop: int, step: int = 1) -> Tensor:
    """What lies there along the last axis (as indexing, which batched slopes do not know)."""
    found: Tensor = torch.ops.aten.slice.Tensor(x, -1, start, stop, step)
    return found


def _turned(real: Tensor, imaginary: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Complex numbers times others. (What compiles them fuses real ones only.)"""
    return real * cos - imaginary * sin, real * sin + imaginary * cos


def _turns(x: Tensor, n: int, one_of_two: bool = False) -> tuple[Tensor, Tensor]:
    """Cosines and sines of pi k / 2 n, up to the frequency n / 2; half of them, where -k has the same."""
    at = torch.arange(n // 2 + 1, device=x.device)
    angle = at.double() * (math.pi / (2 * n))
    found = torch.cos(angle), torch.sin(angle)
    if one_of_two:
        share = torch.where((at == 0) | (2 * at == n), 1.0, 0.5)
        found = found[0] * share, found[1] * share
    cos, sin = (in_memory(one.to(x.dtype)) for one in found)
    return cos, sin


def _cosines(x: Tensor, of_half_places: bool) -> Tensor:
    return _of_half_places(x) if of_half_places else _at_half_frequencies(x)


_operators = torch.library.Library("namedlayers", "FRAGMENT")
_operators.define("cosines(Tensor x, bool of_half_places) -> Tensor")
_operators.impl("cosines", _cosines, "CompositeExplicitAutograd")
torch.library.register_fake(
    "namedlayers::cosines", lambda x, _: torch.empty_like(x, memory_format=torch.contiguous_format), lib=_operators
)
