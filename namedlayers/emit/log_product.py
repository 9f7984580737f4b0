"""The matrix product of the semiring `log`: log(sum of exp(A + B)), exact also where the shifted product underflows.

In: A [..., m, k] and B [..., k, n], logarithms, or, where they are `linear`, the weights themselves. Out: [..., m, n].
What always holds: -inf stands for nothing and has no gradient; a weight of 0 has one, and a negative weight gives NaN,
as its logarithm does. Derivatives are differentiable themselves. Half precision is computed in float32.

It is computed by Triton's kernels where these run, on CUDA devices, else by torch operations. What is traced
(`torch.compile`, `torch.export`) sees an operator; elsewhere it is an autograd function, which `torch.func` transforms.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from namedlayers.emit import shifted_product
from namedlayers.emit.eager import visible

_HALF = (torch.float16, torch.bfloat16)


def log_product(a: Tensor, b: Tensor, a_linear: bool, b_linear: bool) -> Tensor:
    """log(sum over k of exp(a[m, k] + b[k, n])); a linear factor w stands for log(w).

    >>> a, b = torch.tensor([[0.5, 1.5]]), torch.tensor([[-500.0], [2.0]])
    >>> log_product(a, b, False, False), log_product(a, b, True, False)
    (tensor([[3.5000]]), tensor([[2.4055]]))
    """
    if a.dtype is not b.dtype:  # one of them came out of a region of autocast
        dtype = torch.promote_types(a.dtype, b.dtype)
        a, b = a.to(dtype), b.to(dtype)
    if a.dtype in _HALF:
        return log_product(a.float(), b.float(), a_linear, b_linear).to(a.dtype)
    if torch.compiler.is_compiling():
        return _operator(a, b, a_linear, b_linear)
    differentiated = torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)
    if not differentiated and visible(a) and visible(b):
        return _product(a, b, a_linear, b_linear)
    return _LogProduct.apply(a, b, a_linear, b_linear)


# --- the two ways -----------------------------------------------------------------------------------------------------

_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def _way(tensor: Tensor) -> ModuleType:
    """What computes products of such tensors, and their slopes."""
    if tensor.is_cuda or _INTERPRETED:
        return _kernels() or shifted_product
    return shifted_product


@cache
def _kernels() -> ModuleType | None:
    if find_spec("triton") is None:
        return None
    from namedlayers.emit import triton_log_product

    return triton_log_product


def _product(a: Tensor, b: Tensor, a_linear: bool, b_linear: bool) -> Tensor:
    return _way(a).product(a, b, a_linear, b_linear)


def _slopes(a: Tensor, b: Tensor, out: Tensor, slope: Tensor, a_linear: bool, b_linear: bool) -> tuple[Tensor, Tensor]:
    return _way(a).slopes(a, b, out, slope, a_linear, b_linear)


def _back_of_slopes(ctx: Any, to_a: Tensor, to_b: Tensor) -> tuple[Tensor | None, ...]:
    """The derivative of the derivative, of torch operations whichever way the derivative was computed."""
    back: Callable[..., tuple[Tensor, ...]] = torch.func.vjp(_linear(shifted_product.slopes, ctx), *ctx.saved_tensors)[
        1
    ]
    return *back((to_a, to_b)), None, None


def _linear(function: Callable[..., Any], ctx: Any) -> Callable[..., Any]:
    """The function for factors that are weights or not as those in the context."""
    return lambda *tensors: function(*tensors, ctx.a_linear, ctx.b_linear)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    a, b = inputs[:2]
    ctx.a_linear, ctx.b_linear = inputs[2:]
    ctx.save_for_backward(a, b, output)
    ctx.save_for_forward(a, b, output)


def _keep_slopes(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    tensors, (ctx.a_linear, ctx.b_linear) = inputs[:4], inputs[4:]
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)


def _over(size: int, tensors: tuple[Tensor, ...], dims: tuple[int | None, ...]) -> list[Tensor]:
    """The tensors with the axis of a vmap in front, those that lack it repeated along it."""
    return [
        x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0) for x, dim in zip(tensors, dims, strict=False)
    ]


# --- functions, where nothing is traced -------------------------------------------------------------------------------


class _LogProduct(torch.autograd.Function):
    @staticmethod
    def forward(a: Tensor, b: Tensor, a_linear: bool, b_linear: bool) -> Tensor:
        return _product(a, b, a_linear, b_linear)

    setup_context = staticmethod(_keep)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        return *_LogSlopes.apply(*ctx.saved_tensors, slope, ctx.a_linear, ctx.b_linear), None, None

    @staticmethod
    def jvp(ctx: Any, a: Tensor | None, b: Tensor | None, *_: None) -> Tensor:
        """The slopes, linear in a slope at the result, turned round."""
        x, y, out = ctx.saved_tensors
        slopes = _linear(shifted_product.slopes, ctx)
        back: Callable[..., tuple[Tensor]]
        back = torch.func.vjp(lambda slope: slopes(x, y, out, slope), torch.ones_like(out))[1]
        (found,) = back((torch.zeros_like(x) if a is None else a, torch.zeros_like(y) if b is None else b))
        return found

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], a: Tensor, b: Tensor, *linear: bool) -> tuple[Tensor, int]:
        return _LogProduct.apply(*_over(info.batch_size, (a, b), dims), *linear), 0


class _LogSlopes(torch.autograd.Function):
    @staticmethod
    def forward(
        a: Tensor, b: Tensor, out: Tensor, slope: Tensor, a_linear: bool, b_linear: bool
    ) -> tuple[Tensor, Tensor]:
        return _slopes(a, b, out, slope, a_linear, b_linear)

    setup_context = staticmethod(_keep_slopes)
    backward = staticmethod(_back_of_slopes)

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor, Tensor]:
        given = tuple(x.contiguous() for x in ctx.saved_tensors)  # torch refuses what was expanded
        along = tuple(torch.zeros_like(x) if one is None else one for x, one in zip(given, tangents, strict=False))
        return torch.func.jvp(_linear(shifted_product.slopes, ctx), given, along)[1]

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *given: Any) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        return _LogSlopes.apply(*_over(info.batch_size, given[:4], dims), *given[4:]), (0, 0)


# --- operators, for what is traced ------------------------------------------------------------------------------------


@torch.library.custom_op("namedlayers::log_product", mutates_args=())
def _operator(a: Tensor, b: Tensor, a_linear: bool, b_linear: bool) -> Tensor:
    return _product(a, b, a_linear, b_linear)


@torch.library.custom_op("namedlayers::log_product_slopes", mutates_args=())
def _slopes_operator(
    a: Tensor, b: Tensor, out: Tensor, slope: Tensor, a_linear: bool, b_linear: bool
) -> tuple[Tensor, Tensor]:
    to_a, to_b = _slopes(a, b, out, slope, a_linear, b_linear)
    return to_a.contiguous(), to_b.contiguous()


@_operator.register_fake
def _shape(a: Tensor, b: Tensor, a_linear: bool, b_linear: bool) -> Tensor:
    return a.new_empty((*a.shape[:-1], b.shape[-1]))


@_slopes_operator.register_fake
def _slopes_shape(
    a: Tensor, b: Tensor, out: Tensor, slope: Tensor, a_linear: bool, b_linear: bool
) -> tuple[Tensor, Tensor]:
    return a.new_empty(a.shape), b.new_empty(b.shape)


def _traced_slopes(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
    return *_slopes_operator(*ctx.saved_tensors, slope, ctx.a_linear, ctx.b_linear), None, None


_operator.register_autograd(_traced_slopes, setup_context=_keep)
_slopes_operator.register_autograd(_back_of_slopes, setup_context=_keep_slopes)


def _written_out(a: Tensor, b: Tensor, a_linear: bool, b_linear: bool) -> Tensor:
    """The outer sum, for what knows nothing but torch's own operations, and has no branches."""
    a, b = torch.log(a) if a_linear else a, torch.log(b) if b_linear else b
    return torch.logsumexp(a.unsqueeze(-1) + b.unsqueeze(-3), -2)


WRITTEN_OUT: dict[Any, Callable[..., Tensor]] = {torch.ops.namedlayers.log_product.default: _written_out}
"""Operators, and functions of torch's own operations that compute the same."""


@_operator.register_vmap
def _mapped(info: Any, dims: tuple[int | None, ...], a: Tensor, b: Tensor, *linear: bool) -> tuple[Tensor, int]:
    return _operator(*_over(info.batch_size, (a, b), dims), *linear), 0


@_slopes_operator.register_vmap
def _mapped_slopes(info: Any, dims: tuple[int | None, ...], *given: Any) -> tuple[tuple[Tensor, Tensor], tuple]:
    return _slopes_operator(*_over(info.batch_size, given[:4], dims), *given[4:]), (0, 0)
