"""The matrix product of the semiring `log`: log(sum of exp(A + B)), exact also where the shifted product underflows.

In: A [..., m, k] and B [..., k, n], logarithms, or, where they are `linear`, the weights themselves; or parts, of which
A and B are outer sums. Out: [..., m, n]. What always holds: -inf stands for nothing and has no gradient; a weight of 0
has one, and a negative weight gives NaN, as its logarithm does. Derivatives are differentiable themselves. Half
precision is computed in float32.

It is computed by Triton's kernels where these run, on CUDA devices, else by torch operations. What is traced
(`torch.compile`, `torch.export`) sees an operator; elsewhere it is a function that has all its derivatives.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_compiling, is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels import derivable
from namedlayers.emit.kernels.derivable import Plain, Tensors
from namedlayers.emit.kernels.eager import all_visible, without_numbers
from namedlayers.emit.kernels.looking import logsumexp
from namedlayers.emit.log_products import quick_product, shifted_product
from namedlayers.emit.log_products.log_factors import Form
from namedlayers.emit.log_products.still_factors import repeatable

FEW = 1 << 13
"""Up to how many elements of the outer sum it is quicker held than multiplied out."""

_HALF = (torch.float16, torch.bfloat16)


@repeatable
def log_product(a: Tensor, b: Tensor, a_linear: bool, b_linear: bool) -> Tensor:
    """log(sum over k of exp(a[m, k] + b[k, n])); a linear factor w stands for log(w).

    >>> a, b = torch.tensor([[0.5, 1.5]]), torch.tensor([[-500.0], [2.0]])
    >>> log_product(a, b, False, False), log_product(a, b, True, False)
    (tensor([[3.5000]]), tensor([[2.4055]]))
    """
    return _whoever_calls((1, 1, 1, 1, 1, a_linear, b_linear), (a, b))


def log_product_of_sums(
    lefts: Tensors, rights: Tensors, dims: tuple[int, int, int], linear: tuple[bool, bool]
) -> Tensor:
    """The product of sums of parts that broadcast, `lefts` [..., rows, inner] and `rights` [..., inner, columns], where
    `dims` tells how many dimensions each of the three groups has. Of the result, rows and columns are one each.

    >>> x, y, w = torch.zeros(2, 3, 1), torch.zeros(2, 1, 4), torch.zeros(3, 4, 5)  # b i _, b _ j, i j o
    >>> log_product_of_sums((x, y), (w,), (1, 2, 1), (False, False)).exp()[0]
    tensor([12., 12., 12., 12., 12.])
    """
    return _whoever_calls((len(lefts), len(rights), *dims, *linear), (*lefts, *rights))


# --- precisions, and who calls ----------------------------------------------------------------------------------------


def _whoever_calls(form: tuple[Any, ...], tensors: Tensors) -> Tensor:
    if is_dynamo_compiling() and not is_exporting():
        from namedlayers.emit.log_products import traced_log_product  # it needs the compiler, which is loaded now

        return traced_log_product.product(*form, *tensors)
    return in_one_precision(_operator_of if is_compiling() else _called, Form(*form), tensors)


def in_one_precision(product: Callable[[Form, Tensors], Tensor], form: Form, tensors: Tensors) -> Tensor:
    dtype = tensors[0].dtype
    if any(x.dtype is not dtype for x in tensors):  # one of them came out of a region of autocast
        dtype = reduce(torch.promote_types, (x.dtype for x in tensors))
        tensors = tuple(x.to(dtype) for x in tensors)
    if dtype in _HALF:
        return product(form, tuple(x.float() for x in tensors)).to(dtype)
    return product(form, tensors)


def _called(form: Form, tensors: Tensors) -> Tensor:
    if all_visible(*tensors):
        if few(form, tensors) and not _INTERPRETED:
            return logsumexp(outer(form, tensors), -2)
        if not (torch.is_grad_enabled() and any(x.requires_grad for x in tensors)):
            return _product(form, tensors)
    return derivable.apply(_Product(form), *tensors)[0]


def _operator_of(form: Form, tensors: Tensors) -> Tensor:
    return operator(tensors, list(form))


def few(form: Form, tensors: Tensors) -> bool:
    """Whether the outer sum is so small that torch adds it up before a matrix product would have begun."""
    if form.a_linear or form.b_linear or any(x.numel() > FEW for x in tensors):
        return False
    if len(tensors) == 2:
        return tensors[0].numel() * tensors[1].shape[-1] <= FEW
    left, right = form.sides(tensors)
    return math.prod(left.sizes) * right.sizes[-1] <= FEW


def outer(form: Form, tensors: Sequence[Tensor]) -> Tensor:
    """The outer sum [..., m, k, n] of logarithms."""
    left, right = form.sides(tensors)
    a, b = (torch.log(side.joined()) if side.linear else side.joined() for side in (left, right))
    return a.unsqueeze(-1) + b.unsqueeze(-3)


# --- the two ways -----------------------------------------------------------------------------------------------------

_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def _product(form: Form, tensors: Sequence[Tensor]) -> Tensor:
    kernels = _kernels(tensors[0])
    if kernels is None:
        made, right = quick_product.product(form, tensors)
        return made if made is not None and right else shifted_product.product(form, tensors, made)
    found: Tensor = kernels.product(*_joined(form, tensors), form.a_linear, form.b_linear)
    return found


def _slopes(
    form: Form, tensors: Sequence[Tensor], out: Tensor, slope: Tensor, wanted: tuple[bool, bool] = (True, True)
) -> list[Tensor]:
    kernels = _kernels(tensors[0])
    if kernels is None:
        quick = quick_product.slopes(form, tensors, out, slope, wanted)
        return quick if quick is not None else shifted_product.slopes(form, tensors, out, slope)
    to_left, to_right = kernels.slopes(*_joined(form, tensors), out, slope, form.a_linear, form.b_linear)
    left, right = form.sides(tensors)
    return [*left.parted(to_left), *right.parted(to_right)]


def _kernels(tensor: Tensor) -> ModuleType | None:
    """Triton's, for such tensors. They take whole factors."""
    return _triton() if tensor.is_cuda or _INTERPRETED else None


@cache
def _triton() -> ModuleType | None:
    if find_spec("triton") is None:
        return None
    from namedlayers.emit.log_products import triton_log_product

    return triton_log_product


def _joined(form: Form, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    left, right = form.sides(tensors)
    return left.joined(), right.joined()


# --- the function, where nothing is traced ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Product:
    """Of the parts: the product."""

    form: Form
    keeps_results = True

    def __call__(self, *tensors: Tensor) -> Tensors:
        if without_numbers(*tensors):
            return (operator(tensors, list(self.form)),)
        return (_product(self.form, tensors),)

    def back(self, wanted: tuple[bool, ...]) -> _Slopes:
        return _Slopes(self.form, (any(wanted[: self.form.lefts]), any(wanted[self.form.lefts :])))

    def along(self) -> Plain:
        """The slopes, linear in a slope at the result, turned round."""

        count = self.form.lefts + self.form.rights

        def tangent(*given: Tensor) -> Tensors:
            tensors, out, tangents = given[:count], given[count], given[count + 1 :]
            if without_numbers(*given):
                spread = torch.func.vjp(lambda *parts: _written_out(parts, list(self.form)), *tensors)[1]
                slopes = lambda slope: list(spread(slope))  # noqa: E731
            else:
                slopes = lambda slope: shifted_product.slopes(self.form, tensors, out, slope)  # noqa: E731
            back: Callable[[list[Tensor]], Tensors] = torch.func.vjp(slopes, torch.ones_like(out))[1]
            return back(list(tangents))

        return Plain(tangent, 2 * count + 1, 1)


@dataclass(frozen=True)
class _Slopes:
    """Of the parts, the product and a slope at it: the slopes at the parts; of those factors that are wanted."""

    form: Form
    wanted: tuple[bool, bool] = (True, True)
    keeps_results = False

    def __call__(self, *given: Tensor) -> Tensors:
        *tensors, out, slope = given
        if without_numbers(*given):
            return tuple(_slopes_operator(tensors, out, slope, list(self.form)))
        return tuple(_slopes(self.form, tensors, out, slope, self.wanted))

    def back(self, wanted: tuple[bool, ...]) -> Plain:
        return self._plain().back(wanted)

    def along(self) -> Plain:
        return self._plain().along()

    def _plain(self) -> Plain:
        """In torch operations, whichever way the slopes were computed."""
        count = self.form.lefts + self.form.rights
        slopes = shifted_product.slopes
        return Plain(lambda *given: slopes(self.form, given[:-2], *given[-2:]), count + 2, count)


# --- operators, for what is traced ------------------------------------------------------------------------------------


@torch.library.custom_op("namedlayers::log_product", mutates_args=())
def operator(tensors: Sequence[Tensor], form: Sequence[int]) -> Tensor:
    return _product(Form.of(form), tensors)


@torch.library.custom_op("namedlayers::log_product_slopes", mutates_args=())
def _slopes_operator(tensors: Sequence[Tensor], out: Tensor, slope: Tensor, form: Sequence[int]) -> list[Tensor]:
    return [x.contiguous() for x in _slopes(Form.of(form), tensors, out, slope)]


@operator.register_fake
def _shape(tensors: Sequence[Tensor], form: Sequence[int]) -> Tensor:
    left, right = Form.of(form).sides(tensors)
    return tensors[0].new_empty((*left.sizes[:-1], right.sizes[-1]))


@_slopes_operator.register_fake
def _slopes_shape(tensors: Sequence[Tensor], out: Tensor, slope: Tensor, form: Sequence[int]) -> list[Tensor]:
    return [x.new_empty(x.shape) for x in tensors]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    tensors, ctx.form = inputs
    ctx.save_for_backward(*tensors, output)


def _keep_slopes(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    tensors, out, slope, ctx.form = inputs
    ctx.save_for_backward(*tensors, out, slope)


def _traced_slopes(ctx: Any, slope: Tensor) -> tuple[list[Tensor], None]:
    *tensors, out = ctx.saved_tensors
    return _slopes_operator(tensors, out, slope, ctx.form), None


def _back_of_slopes(ctx: Any, slopes: list[Tensor]) -> tuple[list[Tensor], Tensor, Tensor, None]:
    *found, out, slope = _Slopes(Form.of(ctx.form)).back(())(*ctx.saved_tensors, *slopes)
    return found, out, slope, None


operator.register_autograd(_traced_slopes, setup_context=_keep)
_slopes_operator.register_autograd(_back_of_slopes, setup_context=_keep_slopes)


@operator.register_vmap
def _mapped(info: Any, dims: Any, tensors: Sequence[Tensor], form: Sequence[int]) -> tuple[Tensor, int]:
    return operator(derivable.in_front(info.batch_size, tensors, dims[0]), form), 0


@_slopes_operator.register_vmap
def _mapped_slopes(info: Any, dims: Any, tensors: Sequence[Tensor], *more: Any) -> tuple[list[Tensor], list[int]]:
    given = derivable.in_front(info.batch_size, (*tensors, *more[:2]), (*dims[0], *dims[1:3]))
    return _slopes_operator(given[:-2], *given[-2:], more[2]), [0] * len(tensors)


def _written_out(tensors: Sequence[Tensor], form: Sequence[int]) -> Tensor:
    """The outer sum, for what knows nothing but torch's own operations, and has no branches."""
    return torch.logsumexp(outer(Form.of(form), tensors), -2)


WRITTEN_OUT: dict[Any, Callable[..., Tensor]] = {torch.ops.namedlayers.log_product.default: _written_out}
"""Operators, and functions of torch's own operations that compute the same."""
