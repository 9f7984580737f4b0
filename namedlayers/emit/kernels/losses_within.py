"""Losses of classes where a target may be none of them: it has no part in the loss, and counts in the mean.

In: log probabilities or logits with one axis of classes, targets. Out: a loss for each target, their sum or mean. What
always holds: the kernel refuses targets that are none, which tells for nothing that there are any; only then, and where
nobody can be asked (what is traced or transformed, and other devices), targets are compared with the number of classes.

For a compiler the loss of logits is written out, with a gradient that is one pass over them: torch's own adds up, row
by row, a matrix that is 0 but for the targets.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels.eager import visible


def loss_within(x: Tensor, target: Tensor, *, logits: bool, ignore_index: int, reduction: str = "mean") -> Tensor:
    """`F.cross_entropy`, of log probabilities without `logits`, and 0 for targets that are no class, as `ignore_index`
    is; these count in the mean.

    >>> loss_within(torch.tensor([[-1.0, -3.0], [-1.0, -5.0]]), torch.tensor([1, 7]), logits=False, ignore_index=-2)
    tensor(1.5000)
    """
    function = F.cross_entropy if logits else F.nll_loss
    if visible(x):
        try:
            return function(x, target, None, None, ignore_index, None, reduction)
        except IndexError:
            pass
    dim = min(1, x.dim() - 1)
    valid = (target >= 0) & (target < x.size(dim))
    if logits and x.size(dim) and is_dynamo_compiling() and not is_exporting():
        losses = _Fused.apply(x, torch.where(valid, target, 0), dim)[0].masked_fill(~valid, 0)
        if reduction != "none":
            losses = losses.sum()
    else:
        kept = "sum" if reduction == "mean" else reduction
        losses = function(x, torch.where(valid, target, ignore_index), None, None, ignore_index, None, kept)
    return losses / target.numel() if reduction == "mean" else losses


# --- helpers ----------------------------------------------------------------------------------------------------------


class _Fused(torch.autograd.Function):
    """The losses, the largest logits and the logarithms of the sums of powers below them, which the gradient needs."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, target: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
        work = x.to(torch.promote_types(x.dtype, torch.float32))
        top = work.amax(dim, keepdim=True)
        rest = (work - top).exp().sum(dim, keepdim=True).log()
        picked = work.gather(dim, target.unsqueeze(dim))
        return (rest - (picked - top)).squeeze(dim).to(x.dtype), top, rest

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: tuple[Tensor, Tensor, Tensor]) -> None:
        x, target, ctx.dim = inputs
        _, top, rest = output
        ctx.mark_non_differentiable(top, rest)
        ctx.save_for_backward(x, target, top, rest)

    @staticmethod
    def backward(ctx: Any, slope: Tensor, *_: Tensor) -> tuple[Tensor, None, None]:
        x, target, top, rest = ctx.saved_tensors
        shares = _Shares.apply(x, top, rest, ctx.dim)
        shape = [-1 if d == ctx.dim % x.dim() else 1 for d in range(x.dim())]
        here = torch.arange(x.size(ctx.dim), device=x.device).view(shape) == target.unsqueeze(ctx.dim)
        slope = slope.unsqueeze(ctx.dim)
        return (shares * slope - torch.where(here, slope, 0)).to(x.dtype), None, None


class _Shares(torch.autograd.Function):
    """The softmax, of logits whose largest is known, and the logarithm of the sum of powers below it: these depend on
    the logits, and its gradient knows that."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, top: Tensor, rest: Tensor, dim: int) -> Tensor:
        return (x - top - rest).exp()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, int], output: Tensor) -> None:
        ctx.dim, ctx.given = inputs[3], inputs[0].dtype
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None, None]:
        (found,) = ctx.saved_tensors
        return torch.ops.aten._softmax_backward_data(slope, found, ctx.dim, found.dtype).to(ctx.given), None, None, None
