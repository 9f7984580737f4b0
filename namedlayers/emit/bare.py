"""Functions of `torch.nn.functional` without the Python that stands around their kernels.

In: a function and what it is called with. Out: the kernel that it calls, and what that takes. What always holds: the
kernel is the one that torch's function ends in for these arguments; what that looks at before it, the plan or the
checks of a call have settled; where this torch has no such kernel, torch's function is called.

The graph calls torch's functions. Only what is printed calls their kernels: behind a large one nothing is in the
caches, and there the Python of `F.mse_loss` takes a tenth of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F


@dataclass(frozen=True, slots=True)
class Bare:
    """A kernel; where its arguments are not those of the function, `options` are what it takes behind two tensors."""

    kernel: Callable
    options: tuple[str, ...] = ()


_NAMES: Mapping[Callable, tuple[str, tuple[str, ...]]] = MappingProxyType({
    F.mse_loss: ("mse_loss", ("reduction",)),
    F.huber_loss: ("huber_loss", ("reduction", "delta")),
    F.nll_loss: ("nll_loss_nd", ("weight", "reduction", "ignore_index")),
    F.cross_entropy: ("cross_entropy_loss", ("weight", "reduction", "ignore_index", "label_smoothing")),
    F.binary_cross_entropy_with_logits: (
        "binary_cross_entropy_with_logits", ("weight", "pos_weight", "reduction")
    ),
    F.glu: ("glu", ()), F.hardtanh: ("hardtanh", ()), F.relu6: ("relu6", ()), F.leaky_relu: ("leaky_relu", ()),
    F.elu: ("elu", ()), F.mish: ("mish", ()), F.hardswish: ("hardswish", ()), F.hardsigmoid: ("hardsigmoid", ()),
    F.silu: ("silu", ()), F.selu: ("selu", ()), F.threshold: ("threshold", ()),
})  # fmt: skip


def _kernel(name: str) -> Callable | None:
    """Where torch's own functions call it: its place is no promise of torch's."""
    found: Callable | None = getattr(torch._C._nn, name, None) or getattr(torch, name, None)
    return found


BARE: Mapping[Callable, Bare] = MappingProxyType({
    function: Bare(kernel, options)
    for function, (name, options) in _NAMES.items() if (kernel := _kernel(name)) is not None
})  # fmt: skip


DEFAULTS: Mapping[str, Any] = MappingProxyType({
    "weight": None, "pos_weight": None, "reduction": "mean", "ignore_index": -100, "delta": 1.0, "label_smoothing": 0.0,
})  # fmt: skip
"""What an option is where none is given. The kernels agree, but for the reduction."""

REDUCTIONS: Mapping[str, int] = MappingProxyType({"none": 0, "mean": 1, "sum": 2})


def bare(function: Any, args: Sequence[Any], options: Mapping[str, Any]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The same call, of the kernel where there is one to be called.

    >>> bare(F.nll_loss, ("x", "y"), {"ignore_index": 3})[1:], bare(F.mse_loss, ("x", "y"), {"reduction": "sum"})[1:]
    ((('x', 'y', None, 1, 3), {}), (('x', 'y', 2), {}))
    >>> bare(F.relu6, ("x",), {})[0] is torch._C._nn.relu6, bare(torch.exp, ("x",), {})[0] is torch.exp
    (True, True)
    """
    found = BARE.get(function)
    if found is None or not _fits(found, args, options):
        return function, tuple(args), dict(options)
    given = [options.get(name, DEFAULTS[name]) for name in found.options]
    kept = len(given)
    while kept and found.options[kept - 1] != "reduction" and given[kept - 1] == DEFAULTS[found.options[kept - 1]]:
        kept -= 1
    return found.kernel, (*args, *(REDUCTIONS[one] if one in REDUCTIONS else one for one in given[:kept])), {}


def _fits(one: Bare, args: Sequence[Any], options: Mapping[str, Any]) -> bool:
    """Whether the kernel can be told all that the function is: not that it writes over what it is given, say."""
    return len(args) == 2 and options.keys() <= {*one.options} if one.options else not options
