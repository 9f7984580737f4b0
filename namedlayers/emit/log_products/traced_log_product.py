"""The product of the semiring `log` for compilers: operations that they fuse, and operators that mend what these miss.

In: a form and its tensors, while torch.compile traces. Out: the product, which has slopes. What always holds: it is
exact also where the shifted product underflows. Few terms are added up as they are. All but the mending is torch's own
operations, so that shifts, exponentials and logarithms are fused with what stands around them.

Whether there is something to mend is told by one number. Nothing lacks digits if the least sum does not; where there
are more sums than there are entries of a factor, these are read instead. For a sum is at least the least entry of one
factor times the greatest of the other, which is 1: if in one of them the entries of no row (or column) lie far apart,
nothing is too small. Where something is infinite or undefined, the number is NaN.

A small result is made by one of two branches of the compiled code, of which the usual one calls no operator: in a call
shorter than a millisecond one operator in Python takes 5 % of the time. A large one is written over, as slopes are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.kernels.derivable import Tensors
from namedlayers.emit.kernels.in_graphs import in_graph
from namedlayers.emit.kernels.looking import logsumexp
from namedlayers.emit.log_products import log_product, shifted_product
from namedlayers.emit.log_products.log_factors import Factor, Form
from namedlayers.emit.log_products.quick_product import least, multiplied


@in_graph  # it is traced from tensor to tensor, not line by line, and guards nothing
def product(*given: Any) -> Tensor:
    """Of the numbers of a form and then its tensors."""
    return log_product.in_one_precision(_product, Form(*given[:FIELDS]), given[FIELDS:])


def _product(form: Form, tensors: Tensors) -> Tensor:
    transformed = torch._C._functorch.peek_interpreter_stack() is not None
    empty = not all(size for x in tensors for size in x.shape)
    if transformed or empty or not tensors[0].is_cpu:  # what is on devices is a kernel's
        return log_product.operator(tensors, list(form))
    if _known(*tensors) and log_product.few(form, tensors):
        return logsumexp(log_product.outer(form, tensors), -2)
    found: Tensor = _Product.apply(*form, *tensors)
    return found


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        numbers, tensors = given[:FIELDS], given[FIELDS:]
        left, right = (side.unguarded() for side in Form(*numbers).sides(tensors))
        found = _part_by_part(left, right) if _in_turn(left, right) else multiplied(left.scaled(), right.scaled())
        enough = _enough(found, left, right)
        if _known(found) and found.numel() <= SMALL:
            given = (found, left.shift(), right.shift(), *tensors)
            (out,) = torch.ops.higher_order.cond(enough, _logarithm, partial(_carefully, numbers), given)
        else:
            (out,) = _logarithm(found, left.shift(), right.shift())
            torch.ops.namedlayers.mend_log_product_(out, enough, tensors, numbers)
        ctx.numbers = numbers
        ctx.save_for_backward(*tensors, out, enough)
        return out

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, out, enough = ctx.saved_tensors
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
            found, places, enough, tensors, out, slope, ctx.numbers
        )  # fmt: skip
        return *[None] * FIELDS, *slopes


FIELDS = len(Form._fields)


SMALL = 1 << 17
"""Up to how many elements it is quicker to write a result to new memory than to call an operator that looks at it."""


VECTOR = 16
"""Of fewer numbers beside one another the compiler's loops go one by one."""
NEAR = 1 << 19
"""How many numbers stay near the processor."""


def _known(*tensors: Tensor) -> bool:
    return not any(isinstance(size, torch.SymInt) for x in tensors for size in x.shape)


def _in_turn(left: Factor, right: Factor) -> bool:
    """Whether it is quicker to sum over the dimensions of an outer sum one after the other: the compiler adds up what
    is left in the loop that takes the logarithm, and nobody writes down the products of all pairs."""
    if len(left.parts) != 2 or len(right.parts) != 1 or (left.first, left.second, right.second) != (1, 2, 1):
        return False
    columns = right.parts[0].shape[-1]
    if not _known(*left.parts, *right.parts) or columns < VECTOR:
        return False
    one, other = _first_before(left.parts)
    (*_, rows, first, one_second), (*_, other_rows, other_first, second) = one.shape, other.shape
    if rows != other_rows or one_second != 1 or other_first != 1:
        return False
    return 2 * columns <= first or (columns <= first and one.numel() // first * second * columns <= NEAR)


def _part_by_part(left: Factor, right: Factor) -> Tensor:
    first, second = _first_before(left.scaled_parts())
    (weights,) = right.scaled_parts()
    sums = multiplied(first.squeeze(-1), weights.flatten(-2))  # [..., rows, second * columns]
    return (sums.unflatten(-1, weights.shape[-2:]) * second.mT).sum(-2)


def _first_before(parts: Sequence[Tensor]) -> Sequence[Tensor]:
    """Of two, the one that has the first of the dimensions that are summed, and then the other."""
    return parts if parts[1].shape[-2] == 1 else parts[::-1]


def _enough(found: Tensor, left: Factor, right: Factor) -> Tensor:
    """Whether all sums have all their digits, as a tensor."""
    seen, other = (right, left) if right.elements <= left.elements else (left, right)
    if _known(found, *seen.parts) and found.numel() <= seen.elements:
        return (found.amin() if found.numel() else found.sum()) >= least(found.dtype, left.length)
    apart = torch.exp(seen.spread() + other.undecided())  # (of a length that is not known there is no logarithm)
    return apart * left.length <= 1 / least(found.dtype, 1)


# --- what mends -------------------------------------------------------------------------------------------------------


def _logarithm(found: Tensor, left: Tensor, right: Tensor, *tensors: Tensor) -> Tensors:
    return (torch.log(found) + left + right,)


def _carefully(form: Sequence[int], found: Tensor, left: Tensor, right: Tensor, *tensors: Tensor) -> Tensors:
    return (torch.ops.namedlayers.mended_log_product(*_logarithm(found, left, right), tensors, form),)


def _mended(out: Tensor, tensors: Sequence[Tensor], form: Sequence[int]) -> Tensor:
    """Of what has a NaN all is made anew."""
    made = out.clone()
    _mend_in_place(made, tensors, Form.of(form))
    return made


def _mend(out: Tensor, enough: Tensor, tensors: Sequence[Tensor], form: Sequence[int]) -> None:
    if not enough.item():
        _mend_in_place(out, tensors, Form.of(form))


def _mend_slopes(
    slopes: Sequence[Tensor], places: Sequence[int], enough: Tensor, tensors: Sequence[Tensor], out: Tensor,
    slope: Tensor, form: Sequence[int],
) -> None:  # fmt: skip
    if not enough.item():
        _mend_slopes_in_place(slopes, places, tensors, out, slope, Form.of(form))


def _mend_in_place(out: Tensor, tensors: Sequence[Tensor], form: Form) -> None:
    if shifted_product.lacking(form, tensors, out):
        out.copy_(shifted_product.product(form, tensors, None if out.isnan().any() else out))


def _mend_slopes_in_place(
    slopes: Sequence[Tensor], places: Sequence[int], tensors: Sequence[Tensor], out: Tensor, slope: Tensor, form: Form
) -> None:  # fmt: skip
    if shifted_product.lacking(form, tensors, out):
        found = shifted_product.slopes(form, tensors, out, slope)
        for one, place in zip(slopes, places, strict=True):
            one.copy_(found[place])


_operators = torch.library.Library("namedlayers", "FRAGMENT")  # (operators by `custom_op` would take longer to call)
_operators.define("mended_log_product(Tensor out, Tensor[] tensors, int[] form) -> Tensor")
_operators.define("mend_log_product_(Tensor(a!) out, Tensor enough, Tensor[] tensors, int[] form) -> ()")
_operators.define(
    "mend_log_slopes_(Tensor(a!)[] slopes, int[] places, Tensor enough, Tensor[] tensors, Tensor out, Tensor slope, "
    "int[] form) -> ()"
)
_FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "mended_log_product": (_mended, lambda out, *_: torch.empty_like(out)),
    "mend_log_product_": (_mend, lambda *_: None),
    "mend_log_slopes_": (_mend_slopes, lambda *_: None),
}
for _name, (_function, _fake) in _FUNCTIONS.items():
    _operators.impl(_name, _function, "CompositeExplicitAutograd")
    torch.library.register_fake(f"namedlayers::{_name}", _fake, lib=_operators)
