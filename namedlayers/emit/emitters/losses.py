"""Losses of classes: torch's cross entropy and negative log likelihood.

In: log probabilities or logits with any axes, targets, perhaps weights. Out: a loss for each target, or a scalar. What
always holds: the kernels get one batch axis, the classes, axes of space; no target that the text refuses or counts is
taken for one that is ignored.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from namedlayers.emit.attributes import listed, position, word
from namedlayers.emit.emitters.elementwise import elementwise
from namedlayers.emit.emitters.windows import leading
from namedlayers.emit.kernels.losses_within import loss_within
from namedlayers.emit.kernels.rows import as_long
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value, own
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind

BATCH = -301

_LEFT_OUT = -0x6E61_6D65_646C_6179
"""Stands for what is left out: a number that nothing comes to by accident, as to -100 or the least of all."""


@emits("class_loss")
def emit_class_loss(lo: Lowering, node: Node) -> Value:
    x, target, *rest = lo.operands(node)
    others = dict(zip(listed(node, "roles"), rest, strict=True))
    classes = own(position(node, "axis"))
    axes = tuple(p for p in node.args[0].axes if p >= 0)
    x = lo.filled(lo.working(lo.tensor(x)), (*axes, classes))
    batch, space = x.axes[: x.dim(classes)], x.axes[x.dim(classes) + 1 :]
    target = lo.integer(lo.tensor(target))
    target = lo.call(as_long, (target,), target.axes, kind=Kind.INT, weak=target.weak, inline=True)
    target, ignored = _counting(lo, node, lo.filled(target, axes), others)
    target = lo.permuted(target, (*batch, *space))
    if len(batch) > 1 or space and not batch:
        x, target = (_with_batch(lo, one, batch) for one in (x, target))
    options: dict[str, Any] = {"ignore_index": ignored}
    if "smoothing" in others:
        options["label_smoothing"] = others["smoothing"]
    if word(node, "reduction") != "mean":
        options["reduction"] = word(node, "reduction")
    args: tuple[Value, ...] = (x, target)
    function: Callable = F.cross_entropy if node.attr("logits") else F.nll_loss
    if "weight" in others:
        x, weight = lo.alike([x, lo.working(lo.tensor(others["weight"]))])
        args, function = (x, target, lo.filled(weight, (own(0),))), weighted_loss
        options["logits"] = bool(node.attr("logits"))
    elif "smoothing" in others and not node.attr("logits"):
        function = smoothed_loss
    elif node.attr("within"):
        function, options = loss_within, options | {"logits": bool(node.attr("logits"))}
    found = lo.call(function, args, target.axes if node.rank else (), options)
    return lo.unmerged(found, BATCH, batch) if BATCH in found.axes else found


def weighted_loss(
    x: Tensor, target: Tensor, weight: Tensor, *, logits: bool, ignore_index: int, label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """`F.cross_entropy`, of log probabilities without `logits`, with weights that may be learned: torch takes no
    gradients of these, so that then the log probabilities are weighted.

    >>> x, target = torch.tensor([[0.0, 1.0], [2.0, 3.0]]), torch.tensor([0, 1])
    >>> weight = torch.tensor([1.0, 3.0])
    >>> weighted_loss(x, target, weight, logits=False, ignore_index=-2)
    tensor(-2.2500)
    >>> weighted_loss(x, target, weight.requires_grad_(), logits=False, ignore_index=-2)
    tensor(-2.2500, grad_fn=<DivBackward0>)
    """
    if not weight.requires_grad:
        if logits:
            return F.cross_entropy(x, target, weight, None, ignore_index, None, reduction, label_smoothing)
        if label_smoothing == 0:
            return F.nll_loss(x, target, weight, None, ignore_index, None, reduction)
    dim = min(1, x.dim() - 1)
    log_p = F.log_softmax(x, dim) if logits else x
    weighted = log_p * weight.view(-1, *(1,) * (x.dim() - dim - 1))
    total = smoothed_loss(
        weighted, target, ignore_index=ignore_index, label_smoothing=label_smoothing,
        reduction="none" if reduction == "none" else "sum",
    )  # fmt: skip
    if reduction != "mean":
        return total
    kept = target != ignore_index
    return total / (weight[torch.where(kept, target, 0)] * kept).sum()


def smoothed_loss(
    log_p: Tensor, target: Tensor, *, ignore_index: int, label_smoothing: float, reduction: str = "mean"
) -> Tensor:
    """`F.nll_loss` of targets that are smoothed.

    >>> log_p, target = torch.tensor([[-1.0, -3.0], [-1.0, -5.0]]), torch.tensor([0, 1])
    >>> smoothed_loss(log_p, target, ignore_index=-2, label_smoothing=0.5)
    tensor(2.7500)
    """
    losses = F.nll_loss(log_p, target, None, None, ignore_index, None, reduction)
    if label_smoothing == 0:
        return losses
    flat = torch.where(target != ignore_index, log_p.mean(min(1, log_p.dim() - 1)), 0)
    if reduction != "none":
        flat = flat.sum()
    if reduction == "mean":
        flat = flat / (target != ignore_index).sum()
    return (1 - label_smoothing) * losses - label_smoothing * flat


# --- helpers ----------------------------------------------------------------------------------------------------------


def _counting(lo: Lowering, node: Node, target: Value, others: Mapping[str, Value]) -> tuple[Value, Any]:
    """The targets, with one value for all that are left out, and this value, which no other target has.

    torch leaves out -100 if nothing else is said, which the text refuses; to look for it would be a pass of its own.
    """
    kept = others.get("kept")
    ignored = others.get("ignored")
    if ignored is not None:
        if ignored.number and not node.attr("within"):
            return target, ignored
        kept = elementwise(lo, operator.ne, [target, ignored], kind=Kind.BOOL, weak=True)
    if kept is not None:
        args = [lo.truth(kept), target, Value(_LEFT_OUT, (), Kind.INT, True, True)]
        target = elementwise(lo, torch.where, args, kind=Kind.INT, weak=True)
    return target, _LEFT_OUT


def _with_batch(lo: Lowering, value: Value, batch: tuple[int, ...]) -> Value:
    return lo.merged(value, batch, BATCH) if batch else leading(lo, value, BATCH, 0)
