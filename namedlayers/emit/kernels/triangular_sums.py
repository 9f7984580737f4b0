"""Sums up to each place, plain and by weights.

In: what is summed, along a dimension or as [..., position, m], and a matrix of weights that is 0 beyond a diagonal.
Out: the sums, one for each place. What always holds: nothing that a place does not see takes part in what it gets, be
it infinite.

Zero times what is infinite is no number, so a product of matrices is right only where all is finite. Where numbers are
at hand, they are looked at; for torch.compile an operator looks at the product, and makes it anew if it must.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels.eager import visible
from namedlayers.emit.kernels.in_graphs import in_graph


def prefix_sum(x: Tensor, dim: int, places: int, diagonal: int = 0) -> Tensor:
    """The sums along `dim` up to each of so many places, in its stead.

    >>> prefix_sum(torch.tensor([1, 2, 3]), 0, 4)
    tensor([1, 3, 6, 6])
    """
    total, size = x.cumsum(dim), x.size(dim)
    if not torch.compiler.is_compiling() and places == size and diagonal == 0:
        return total
    total = torch.cat((torch.zeros_like(total.narrow(dim, 0, 0).sum(dim, keepdim=True)), total), dim)
    return total.index_select(dim, (torch.arange(places, device=x.device) + (diagonal + 1)).clamp(0, size))


def weighed_sum(weights: Tensor, x: Tensor, diagonal: int) -> Tensor:
    """The sums of [..., position, m] with these weights, of which those beyond the diagonal are 0.

    >>> weighed_sum(torch.ones(2, 2).tril(), torch.tensor([[1.0], [torch.inf]]), 0).squeeze(1)
    tensor([1., inf])
    """
    if is_dynamo_compiling() and not is_exporting():
        return _traced(weights, x, diagonal)
    if visible(x) and x.detach().sum().isfinite():
        return torch.matmul(weights, x)
    return _carefully(weights, x, diagonal)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _carefully(weights: Tensor, x: Tensor, diagonal: int) -> Tensor:
    infinite = ~x.isfinite()
    beside = prefix_sum(x.masked_fill(~infinite, 0), x.dim() - 2, weights.size(-2), diagonal)
    return torch.matmul(weights, x.masked_fill(infinite, 0)) + beside


@in_graph
def _traced(weights: Tensor, x: Tensor, diagonal: int) -> Tensor:
    if torch._C._functorch.peek_interpreter_stack() is not None or not x.is_cpu:
        return _carefully(weights, x, diagonal)
    found: Tensor = _Weighed.apply(weights, x, diagonal)
    return found


class _Weighed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, x: Tensor, diagonal: int) -> Tensor:
        found = torch.matmul(weights, x)
        torch.ops.namedlayers.mend_weighed_sum_(found, weights, x, diagonal)
        ctx.save_for_backward(weights, x)
        return found

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        weights, x = ctx.saved_tensors
        to_weights = to_x = None
        if ctx.needs_input_grad[0]:
            to_weights = torch.matmul(slope, x.mH)
            torch.ops.namedlayers.mend_weights_slope_(to_weights, slope, x)
            to_weights = to_weights.sum_to_size(weights.shape)
        if ctx.needs_input_grad[1]:
            to_x = torch.matmul(weights.mH, slope).sum_to_size(x.shape)
        return to_weights, to_x, None


def _mend(found: Tensor, weights: Tensor, x: Tensor, diagonal: int) -> None:
    """A place that sees nothing gets 0 of all that is finite: the first one tells of everything."""
    seen = found.select(-2, 0) if diagonal < 0 and found.size(-2) else x
    if not seen.sum().isfinite():
        found.copy_(_carefully(weights, x, diagonal))


def _mend_slope(found: Tensor, slope: Tensor, x: Tensor) -> None:
    if not found.sum().isfinite():
        found.copy_(torch.matmul(slope, x.masked_fill(~x.isfinite(), 0).mH))


_operators = torch.library.Library("namedlayers", "FRAGMENT")  # (operators by `custom_op` would take longer to call)
_operators.define("mend_weighed_sum_(Tensor(a!) found, Tensor weights, Tensor x, int diagonal) -> ()")
_operators.define("mend_weights_slope_(Tensor(a!) found, Tensor slope, Tensor x) -> ()")
for _name, _function in (("mend_weighed_sum_", _mend), ("mend_weights_slope_", _mend_slope)):
    _operators.impl(_name, _function, "CompositeExplicitAutograd")
    torch.library.register_fake(f"namedlayers::{_name}", lambda *_: None, lib=_operators)
