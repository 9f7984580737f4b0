"""Operations that write into memory which is there: one table.

In: what a node of an fx graph calls. Out: its `Writer`, if it has one. What always holds: what is written is what the
operation returns, to rounding; an elementwise operation may write over an operand that has the shape and the precision
of its result.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from namedlayers.emit.emitters.activations import hard_sigmoid
from namedlayers.emit.kernels import looking
from namedlayers.emit.kernels.arithmetic import lerp
from namedlayers.emit.kernels.vectors import mv
from namedlayers.emit.log_products.still_factors import times


@dataclass(frozen=True)
class Writer:
    """`into(*args, out=memory)` writes; so does `over`, into its first argument: a method, or a function that is told
    so (`inplace=True`). `tensors`: how many of the first arguments must be tensors; `elementwise`: whether what is
    written may be an operand."""

    into: Callable[..., Any] | None = None
    over: Callable[..., Any] | str | None = None
    tensors: int = 1
    elementwise: bool = True


def lerp_into(start: Tensor, end: Tensor, weight: Tensor | float, *, out: Tensor) -> Tensor:
    """`torch.lerp` into a given tensor, for operands of any precisions.

    >>> lerp_into(torch.zeros(2), torch.ones(2), 0.5, out=torch.empty(2))
    tensor([0.5000, 0.5000])
    """
    same = start.dtype is end.dtype and (not isinstance(weight, Tensor) or weight.dtype is start.dtype)
    return torch.lerp(start, end, weight, out=out) if same else out.copy_(start + weight * (end - start))


def relu_into(x: Tensor, *, out: Tensor) -> Tensor:
    """`torch.relu` into a given tensor.

    >>> relu_into(torch.tensor([-1.0, 2.0]), out=torch.empty(2))
    tensor([0., 2.])
    """
    return torch.clamp_min(x, 0, out=out)


def softmax_into(x: Tensor, dim: int, *, out: Tensor) -> Tensor:
    """`looking.softmax` into a given tensor.

    >>> softmax_into(torch.full((2,), -torch.inf), 0, out=torch.empty(2))
    tensor([0., 0.])
    """
    if not x.is_cpu:  # nobody waits for a device at every step
        return out.copy_(looking.softmax(x, dim))
    torch.softmax(x, dim, out=out)
    seen = out.select(dim, 0) if out.numel() > looking.FEW else out
    return out if torch.equal(seen, seen) else out.copy_(looking.softmax(x, dim))


def gelu_into(x: Tensor, approximate: str = "none", *, out: Tensor) -> Tensor:
    """`F.gelu` into a given tensor. What is contiguous goes through oneDNN, which takes longer to be called than a
    step's values take to be computed; turned round, it goes through torch's own kernel.

    >>> gelu_into(torch.zeros(2, 2), out=torch.ones(2, 2))
    tensor([[0., 0.],
            [0., 0.]])
    """
    if x.is_contiguous() and out.is_contiguous() and x.numel() % 2 == 0:
        F.gelu(turned(x), approximate=approximate, out=turned(out))  # type: ignore[call-arg]
        return out
    return F.gelu(x, approximate=approximate, out=out)  # type: ignore[call-arg]


def turned(x: Tensor, lead: int = 0) -> Tensor:
    """The same numbers in an order which is not that of memory, behind the first `lead` dimensions.

    >>> turned(torch.tensor([1, 2, 3, 4]))
    tensor([[1, 3],
            [2, 4]])
    """
    if x.is_contiguous() and x.shape[lead:].numel() % 2 == 0:
        return x.view(*x.shape[:lead], 2, -1).transpose(-2, -1)
    return x.transpose(lead, -1) if x.dim() > lead else x


INFIX: Mapping[Any, Callable[..., Any]] = MappingProxyType({
    operator.add: torch.add, operator.sub: torch.sub, operator.mul: torch.mul, operator.truediv: torch.div,
    operator.neg: torch.neg, operator.pow: torch.pow, operator.lt: torch.lt, operator.le: torch.le,
    operator.gt: torch.gt, operator.ge: torch.ge, operator.eq: torch.eq, operator.ne: torch.ne,
    operator.and_: torch.bitwise_and, operator.or_: torch.bitwise_or, operator.invert: torch.bitwise_not,
})  # fmt: skip
"""Functions that do what is printed as a sign."""

SYMMETRIC = frozenset({torch.add, torch.mul})

PRODUCTS: frozenset[Any] = frozenset({torch.addmm, torch.mm, torch.matmul})

REDUCTIONS: frozenset[Any] = frozenset({
    torch.sum, torch.amax, torch.amin, torch.logsumexp, torch.softmax, torch.log_softmax,
})  # fmt: skip
"""Which write if they are told over what."""


_METHODS = (
    "neg exp expm1 log log1p log2 sqrt rsqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf abs floor "
    "ceil sigmoid lgamma reciprocal"
).split()
"""Functions of torch that have a form which writes over its operand."""

CURVES: frozenset[Any] = frozenset({
    *(getattr(torch, name) for name in _METHODS if name not in "neg sqrt rsqrt abs floor ceil reciprocal".split()),
    F.silu, F.mish, F.elu, F.selu, F.gelu, F.softplus, F.logsigmoid, torch.pow,
})  # fmt: skip
"""Functions that are computed by polynomials."""

_TOLD: tuple[Any, ...] = (
    F.silu, F.mish, F.elu, F.selu, F.leaky_relu, F.hardtanh, F.relu6, F.hardswish, F.threshold,
)  # fmt: skip
"""Activations that write over their operand if they are told so."""

WRITERS: Mapping[Any, Writer] = MappingProxyType({
    **{getattr(torch, name): Writer(getattr(torch, name), f"{name}_") for name in _METHODS},
    torch.relu: Writer(relu_into, "relu_"),
    **{one: Writer(one) for one in (torch.sign, torch.sgn, torch.clamp, F.softplus, F.logsigmoid, F.softshrink)},
    torch.add: Writer(torch.add, "add_"),
    torch.sub: Writer(torch.sub, "sub_"),
    torch.mul: Writer(torch.mul, "mul_"),
    torch.div: Writer(torch.div, "div_"),
    torch.pow: Writer(torch.pow),
    **{one: Writer(one) for one in (torch.lt, torch.le, torch.gt, torch.ge, torch.eq, torch.ne)},
    **{one: Writer(one, tensors=2) for one in (torch.maximum, torch.minimum, torch.atan2)},
    **{one: Writer(one, tensors=2) for one in (torch.bitwise_and, torch.bitwise_or)},
    torch.bitwise_not: Writer(torch.bitwise_not),
    torch.addcmul: Writer(torch.addcmul, "addcmul_", tensors=3),
    torch.addcdiv: Writer(torch.addcdiv, "addcdiv_", tensors=3),
    torch.where: Writer(torch.where, tensors=3),
    **{one: Writer(one, tensors=2, elementwise=False) for one in (torch.mm, torch.bmm, torch.matmul)},
    mv: Writer(torch.mv, tensors=2, elementwise=False),
    **{one: Writer(one, elementwise=False) for one in REDUCTIONS},
    **{one: Writer(None, one) for one in _TOLD},
    **{one: Writer(one, elementwise=False) for one in (torch.linalg.vector_norm, torch.index_select)},
    torch.addmm: Writer(torch.addmm, "addmm_", tensors=3, elementwise=False),
    torch.cat: Writer(torch.cat, tensors=0, elementwise=False),
    torch.stack: Writer(torch.stack, tensors=0, elementwise=False),
    hard_sigmoid: Writer(None, F.hardsigmoid),
    "masked_fill": Writer(over="masked_fill_"),
    F.gelu: Writer(gelu_into),
    lerp: Writer(lerp_into, tensors=2),
    looking.softmax: Writer(softmax_into, elementwise=False),
    times: Writer(times, elementwise=False),
    torch.lerp: Writer(torch.lerp, tensors=2),
})  # fmt: skip
