"""The product of the semiring `log` for compilers: operations that they fuse, and operators that mend what these miss.

In: a form and its tensors, while torch.compile traces. Out: the product, which has slopes. What always holds: it is
exact also where the shifted product underflows. Few terms are added up as they are. All but the mending is torch's own
operations, so that shifts, exponentials and logarithms are fused with what stands around them; the operators write over
the result, or over its slopes, and do so only if they must.

Whether they must is told by one number. A sum of products is at least the least entry of one factor times the greatest
of the other, which is 1. So if in one of them the entries of no row (or column) lie far apart, nothing is too small,
and no entry of the result has to be looked at. The number is NaN where something is infinite or undefined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.kernels.derivable import Tensors
from namedlayers.emit.kernels.looking import logsumexp
from namedlayers.emit.log_products import log_product, shifted_product
from namedlayers.emit.log_products.log_factors import Form
from namedlayers.emit.log_products.quick_product import multiplied
from namedlayers.emit.log_products.shifted_product import highest


@torch.compiler.allow_in_graph  # it is traced from tensor to tensor, not line by line, and guards nothing
def product(*given: Any) -> Tensor:
    """Of the numbers of a form and then its tensors."""
    return log_product.in_one_precision(_product, Form(*given[:FIELDS]), given[FIELDS:])


def _product(form: Form, tensors: Tensors) -> Tensor:
    transformed = torch._C._functorch.peek_interpreter_stack() is not None
    if transformed or not tensors[0].is_cpu:  # what is on devices is a kernel's
        return log_product.operator(tensors, list(form))
    known = not any(isinstance(size, torch.SymInt) for x in tensors for size in x.shape)
    if known and log_product.few(form, tensors):
        return logsumexp(log_product.outer(form, tensors), -2)
    found: Tensor = _Product.apply(*form, *tensors)
    return found


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        numbers, tensors = given[:FIELDS], given[FIELDS:]
        left, right = (side.unguarded() for side in Form(*numbers).sides(tensors))
        found = multiplied(left.scaled(), right.scaled())
        out = torch.log(found) + left.shift() + right.shift()
        seen, other = (right, left) if right.elements <= left.elements else (left, right)
        spread = seen.spread() + other.undecided()
        torch.ops.namedlayers.mend_log_product_(out, spread, tensors, numbers, left.length)
        ctx.numbers = numbers
        ctx.save_for_backward(*tensors, out, spread)
        return out

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, out, spread = ctx.saved_tensors
        left, right = (side.unguarded() for side in Form(*ctx.numbers).sides(tensors))
        lefts, rights = left.scaled(), right.scaled()
        shares = torch.exp(left.shift() - out + right.shift()) * slope
        needed = ctx.needs_input_grad[FIELDS:]
        slopes: list[Tensor | None] = [None] * len(tensors)
        count = len(left.parts)
        if any(needed[:count]):
            slopes[:count] = left.slopes(multiplied(shares, rights.mT), lefts, 0.0)
        if any(needed[count:]):
            slopes[count:] = right.slopes(multiplied(lefts.mT, shares), rights, 0.0)
        places = [k for k, one in enumerate(slopes) if one is not None]
        found = [slopes[k] for k in places]
        torch.ops.namedlayers.mend_log_slopes_(
            found, places, spread, tensors, out, slope, ctx.numbers, left.length
        )  # fmt: skip
        return *[None] * FIELDS, *slopes


FIELDS = len(Form._fields)


# --- what mends -------------------------------------------------------------------------------------------------------


def _mend(out: Tensor, spread: Tensor, tensors: Sequence[Tensor], form: Sequence[int], length: int) -> None:
    if not spread.item() <= highest(out.dtype, length):
        _mended(out, spread.isnan().item(), tensors, Form.of(form))


def _mend_slopes(
    slopes: Sequence[Tensor], places: Sequence[int], spread: Tensor, tensors: Sequence[Tensor], out: Tensor,
    slope: Tensor, form: Sequence[int], length: int,
) -> None:  # fmt: skip
    if not spread.item() <= highest(out.dtype, length):
        _mended_slopes(slopes, places, tensors, out, slope, Form.of(form))


@torch.compiler.disable
def _mended(out: Tensor, undefined: bool, tensors: Sequence[Tensor], form: Form) -> None:
    if shifted_product.lacking(form, tensors, out):
        out.copy_(shifted_product.product(form, tensors, None if undefined else out))


@torch.compiler.disable
def _mended_slopes(
    slopes: Sequence[Tensor], places: Sequence[int], tensors: Sequence[Tensor], out: Tensor, slope: Tensor, form: Form
) -> None:  # fmt: skip
    if shifted_product.lacking(form, tensors, out):
        found = shifted_product.slopes(form, tensors, out, slope)
        for one, place in zip(slopes, places, strict=True):
            one.copy_(found[place])


_operators = torch.library.Library("namedlayers", "FRAGMENT")  # (operators by `custom_op` would take longer to call)
_operators.define("mend_log_product_(Tensor(a!) out, Tensor spread, Tensor[] tensors, int[] form, SymInt length) -> ()")
_operators.define(
    "mend_log_slopes_(Tensor(a!)[] slopes, int[] places, Tensor spread, Tensor[] tensors, Tensor out, Tensor slope, "
    "int[] form, SymInt length) -> ()"
)
for _name, _function in (("mend_log_product_", _mend), ("mend_log_slopes_", _mend_slopes)):
    seen = torch.compiler.disable(_function, recursive=False)  # not traced, and called as it is
    _operators.impl(_name, seen, "CompositeExplicitAutograd")
    torch.library.register_fake(f"namedlayers::{_name}", lambda *_: None, lib=_operators)
