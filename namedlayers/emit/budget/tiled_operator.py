"""Calls within a budget, as one operator: what `torch.compile` sees of a call that may be cut into pieces.

In: the key of a `Tiled`, tensors. Out: its results. What always holds: the operator decides by the sizes of each call
whether and how it is cut, as a call that is not traced does; its backward pass runs the call once more, in pieces, with
the slopes of each. It has no second derivative, and says so. What is exported, under autocast or transformed by
`torch.func`, and what takes numbers, is traced as it is, uncut.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from namedlayers.emit.loops.written_out import afresh

if TYPE_CHECKING:
    from namedlayers.emit.budget.tiled import Tiled

_numbers = itertools.count(1)
_all: weakref.WeakValueDictionary[str, Tiled] = weakref.WeakValueDictionary()


def known(tiled: Tiled) -> str:
    """The key under which the operator finds this from now on."""
    key = f"{tiled.compiled.program.name} {next(_numbers)}"
    _all[key] = tiled
    return key


def traced(function: Callable[..., Any], key: str, args: tuple[Any, ...]) -> Any:
    """The call, where torch traces. `function` is what runs it uncut."""
    if not _is_for_operator(args):
        return function(*args)
    found = _pieces(key, list(args))
    return found[0] if len(found) == 1 else tuple(found)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _is_for_operator(args: tuple[Any, ...]) -> bool:
    return (
        all(isinstance(one, Tensor) for one in args)
        and not torch.compiler.is_exporting()
        and not torch.is_autocast_enabled()
        and not torch._C._are_functorch_transforms_active()
    )


def _run(key: str, given: Sequence[Tensor]) -> list[Tensor]:
    found = _all[key].run(tuple(given))
    return list(found) if isinstance(found, tuple) else [found]


@torch.library.custom_op("namedlayers::pieces", mutates_args=())
def _pieces(key: str, given: list[Tensor]) -> list[Tensor]:
    return [one.clone() if any(one is other for other in given) else one for one in _run(key, given)]


@_pieces.register_fake
def _shapes(key: str, given: list[Tensor]) -> list[Tensor]:
    found = _all[key].function(*given)
    return [torch.empty_like(one) for one in (found if isinstance(found, tuple) else (found,))]


@torch.library.custom_op("namedlayers::pieces_slopes", mutates_args=())
def _slopes(key: str, given: list[Tensor], slopes: list[Tensor], needed: list[bool]) -> list[Tensor]:
    """The slopes of those that are needed."""
    with afresh(), torch.enable_grad():
        leaves = [one.detach().requires_grad_(need) for one, need in zip(given, needed, strict=True)]
        results = _run(key, leaves)
        pairs = [(one, slope) for one, slope in zip(results, slopes, strict=True) if one.requires_grad]
        wanted = [leaf for leaf, need in zip(leaves, needed, strict=True) if need]
        ends, starts = [one for one, _ in pairs], [slope for _, slope in pairs]
        found = torch.autograd.grad(ends, wanted, starts, allow_unused=True) if pairs else [None] * len(wanted)
    return [torch.zeros_like(leaf) if slope is None else slope for leaf, slope in zip(wanted, found, strict=True)]


@_slopes.register_fake
def _slopes_shapes(key: str, given: list[Tensor], slopes: list[Tensor], needed: list[bool]) -> list[Tensor]:
    return [torch.empty_like(one) for one, need in zip(given, needed, strict=True) if need]


def _keep(ctx: Any, inputs: tuple[str, list[Tensor]], output: list[Tensor]) -> None:
    ctx.key, given = inputs
    ctx.needed = [one.requires_grad for one in given]
    ctx.save_for_backward(*given)


def _backward(ctx: Any, slopes: list[Tensor]) -> tuple[None, list[Tensor | None]]:
    found = iter(_slopes(ctx.key, list(ctx.saved_tensors), [one.contiguous() for one in slopes], ctx.needed))
    return None, [next(found) if need else None for need in ctx.needed]


def _no_more(ctx: Any, *slopes: Any) -> Any:
    raise NotImplementedError("a call within a budget of memory, traced by torch, has no second derivative")


_pieces.register_autograd(_backward, setup_context=_keep)
_slopes.register_autograd(_no_more)
