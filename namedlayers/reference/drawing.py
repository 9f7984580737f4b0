"""Primitives that draw random numbers, from torch's default generator on the CPU: `torch.manual_seed` rules them.

In and out as in `moving`. What always holds: the draw is what torch gives for a float32 tensor with the result's axes
in the term's order: `torch.rand`, `torch.randn`, `torch.bernoulli`, `torch.multinomial`,
`torch.nn.functional.dropout`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from namedlayers.program.kinds import result_kind
from namedlayers.reference.named import Named, Precision, Trouble, kind_of

Attrs = Mapping[str, Any]
Sizes = Mapping[str, int]


def random(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    axes, shape = tuple(sizes), tuple(sizes.values())
    drawn = _DISTRIBUTIONS[attrs["distribution"]](shape, *(_probability(p).over(axes) for p in operands))
    return Named(drawn.numpy().astype(bool if operands else precision.real), axes)


def categorical(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    (a,) = operands
    axes, shape = tuple(sizes), tuple(sizes.values())
    logits = a.over((*axes, attrs["axis"])).astype(np.float32)
    count = logits.shape[-1]
    if 0 in shape:
        return Named(np.zeros(shape, np.int64), axes)
    if not np.isfinite(logits.max(-1, initial=-np.inf)).all():  # of a NaN too
        axis = attrs["axis"]
        raise Trouble("NL0588", f"no coordinate of `{axis}` can be drawn: log weights are numbers or -inf, one finite")
    weights = torch.softmax(torch.tensor(np.broadcast_to(logits, (*shape, count)).copy()), -1)
    drawn = torch.multinomial(weights.reshape(-1, count), 1, replacement=True)
    return Named(drawn.reshape(shape).numpy(), axes)


def dropout(attrs: Attrs, operands: list[Named], sizes: Sizes, precision: Precision) -> Named:
    a, p = operands
    axes, shape = tuple(sizes), tuple(sizes.values())
    probability = float(_probability(p).array)
    kept = torch.nn.functional.dropout(torch.ones(shape, dtype=torch.float32), probability).numpy() != 0
    x = a.over(axes)
    x = precision.cast(x, result_kind("dropout", [kind_of(x)]))
    return Named(np.where(kept, x / (1 - probability) if probability < 1 else x, 0).astype(x.dtype), axes)


def _probability(p: Named) -> Named:
    wrong = p.array[~((p.array >= 0) & (p.array <= 1))]
    if wrong.size:
        raise Trouble("NL0588", f"the probability {wrong.flat[0]} is not between 0 and 1")
    return p


def _bernoulli(shape: tuple[int, ...], p: np.ndarray) -> torch.Tensor:
    return torch.bernoulli(torch.tensor(np.broadcast_to(p, shape).astype(np.float32)))


_DISTRIBUTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "uniform": lambda shape: torch.rand(shape, dtype=torch.float32),
    "normal": lambda shape: torch.randn(shape, dtype=torch.float32),
    "bernoulli": _bernoulli,
}
