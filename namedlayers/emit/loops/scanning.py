"""What the generated functions of scans call: where a loop becomes an operator, and loops without steps.

In: a `Loop`, the tensors that it runs with. Out: its results. What always holds: the results are those of the generated
loop, with the same axes in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.kernels import eager


@dataclass(frozen=True)
class Loop:
    """What a loop is beside its tensors: the body's `key`; which inputs are sequences, seen one step at a time; how
    many are carried; for each result which of a step's values it is, and the dimension along which it is stacked (-1:
    the last one only); whether random numbers are drawn. `keeping`: the loop to run where a gradient is wanted, whose
    first results are this one's."""

    key: str
    scanned: tuple[bool, ...]
    carries: int
    reverse: bool
    results: tuple[tuple[int, int], ...]
    draws: bool
    keeping: Loop | None = None


def whole(steps: Any) -> bool:
    """Whether a scan is to be one operator: where torch traces it, unless it exports a number of steps that is fixed,
    which other back ends know better step by step."""
    if not torch.compiler.is_compiling():
        return False
    if not torch.compiler.is_exporting():
        return True
    from torch.fx.experimental.symbolic_shapes import has_static_value  # slow to import, and there while exporting

    return not has_static_value(steps)


def unobserved(*tensors: Tensor) -> bool:
    """Whether a loop may write over its own intermediates: nothing is differentiated, transformed, traced or cast."""
    if torch.is_grad_enabled() and any(one.requires_grad for one in tensors):
        return False
    return at_top_level(*tensors)


def at_top_level(*tensors: Tensor) -> bool:
    """Whether operations on these tensors are just that: no transform, tracer, mode, subclass or autocast sees them."""
    if torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None:
        return False
    if torch._C._len_torch_dispatch_stack() or torch.autograd.forward_ad._current_level >= 0:
        return False
    if not all(type(one) in eager.PLAIN for one in tensors):
        return False
    # torch knows no autocast of what has no numbers.
    return not tensors or not tensors[0].is_meta and not torch.is_autocast_enabled(tensors[0].device.type)


def traced(loop: Loop, tensors: list[Tensor], steps: int, sizes: list[int]) -> Any:
    """The results of a loop, by the operator, inside of which there is no autocast: all reals have one precision."""
    reals = [one for one in tensors if one.is_floating_point()]
    if reals:
        dtype = joint_dtype(*reals)
        tensors = [one.to(dtype) if one.is_floating_point() else one for one in tensors]
    seed = torch.randint(1 << 62, ()) if loop.draws else None
    from namedlayers.emit.loops.scan_operator import scan  # which registers operators: torch takes long for that

    kept = loop.keeping if _recorded(tensors) else None
    run, results = kept or loop, (kept or loop).results[: len(loop.results)]
    found = scan(run.key, tensors, list(loop.scanned), loop.carries, loop.reverse, steps, sizes, seed)
    return _results(results, loop.reverse, found)


def nothing(loop: Loop, tensors: list[Tensor], sizes: list[int]) -> Any:
    """The results of a loop without steps."""
    from namedlayers.emit.loops.steps_by_name import step_of
    from namedlayers.emit.loops.written_out import no_steps

    found = no_steps(step_of(loop.key), tensors, loop.scanned, sizes)
    wanted = [one for one in tensors if one.requires_grad] if torch.is_grad_enabled() else []
    return _results(loop.results, loop.reverse, [_of(wanted, none) for none in found])


def stepwise(
    loop: Loop, step: Callable[..., Any], tensors: Sequence[Tensor], steps: int, sizes: Sequence[int]
) -> tuple[Tensor, ...]:  # fmt: skip
    """The results of a loop, one step after the other; there is one at least."""
    now = [one.unbind() if is_ else one for one, is_ in zip(tensors, loop.scanned, strict=True)]
    order = range(steps)[:: -1 if loop.reverse else 1]
    collected = []
    for at in order:
        made = step(*(one[at] if is_ else one for one, is_ in zip(now, loop.scanned, strict=True)), *sizes)
        made = made if isinstance(made, tuple) else (made,)
        now[: loop.carries] = made[: loop.carries]
        collected.append(made)
    everything = list(zip(*collected[:: order.step], strict=True))
    return tuple(torch.stack(everything[k], dim) if dim >= 0 else collected[-1][k] for k, dim in loop.results)


def joint_dtype(*tensors: torch.Tensor) -> torch.dtype:
    """The precision in which tensors meet.

    >>> joint_dtype(torch.zeros(1, dtype=torch.bfloat16), torch.zeros(1))
    torch.float32
    """
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        if tensor.dtype != dtype:
            dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


# --- helpers ----------------------------------------------------------------------------------------------------------


def _recorded(tensors: Sequence[Tensor]) -> bool:
    """Whether a gradient may be wanted of what is traced."""
    return torch.is_grad_enabled() and any(one.requires_grad for one in tensors) and not torch.compiler.is_exporting()


def _of(tensors: Sequence[Tensor], none: Tensor) -> Tensor:
    """No elements, in the eyes of autograd made of these tensors, whose gradients are 0."""
    if none.is_floating_point() or none.is_complex():
        for one in tensors:
            zero = 0 * one.sum()
            none = none + (zero if none.is_complex() else zero.real).to(none.dtype)
    return none


def _results(results: Sequence[tuple[int, int]], reverse: bool, found: Sequence[Tensor]) -> Any:
    last = 0 if reverse else -1
    listed = [found[k].movedim(0, dim) if dim >= 0 else found[k][last] for k, dim in results]
    return listed[0] if len(listed) == 1 else tuple(listed)
