"""`namedlayers::scan`: a scan as one operator, so that a traced graph serves all numbers of steps.

In: the key of a body's function, the tensors that it runs with, how many steps. Out: every value that a step returns,
stacked along a first dimension. What always holds: functions of bodies are found by the hash of their content, in a
table of the process that fills when programs are built; the operator is a pure function of its arguments, random
numbers too (they follow from a seed that is drawn outside). Its gradient is an operator as well: from the last step to
the first, each once more from what was carried into it. The gradients of that one are those of the steps written out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.loops.steps_by_name import faster_of, step_of
from namedlayers.emit.loops.written_out import (
    added,
    device_of,
    differentiable,
    listed,
    no_steps,
    order_of,
    plainly,
    pulled_back,
    run,
)

# --- the operator -----------------------------------------------------------------------------------------------------


@torch.library.custom_op("namedlayers::scan", mutates_args=())
def scan(
    body: str, tensors: Sequence[Tensor], scanned: Sequence[bool], carries: int, reverse: bool, steps: int,
    sizes: Sequence[int], seed: Tensor | None,
) -> list[Tensor]:  # fmt: skip
    """The values of all steps. Sequences (`scanned`) have the steps first."""
    step = step_of(body)
    if steps == 0:
        return no_steps(step, tensors, scanned, sizes)
    with torch.no_grad(), plainly(seed, tensors) as begin:
        quick = faster_of(body) if seed is None else None
        found = quick.run(tensors, steps, sizes) if quick else None
        if found is not None:
            return list(found)
        made = run(step, tensors, scanned, carries, order_of(steps, reverse), sizes, begin)
        return [one.contiguous() for one in made]


@scan.register_fake
def _(
    body: str, tensors: Sequence[Tensor], scanned: Sequence[bool], carries: int, reverse: bool, steps: int,
    sizes: Sequence[int], seed: Tensor | None,
) -> list[Tensor]:  # fmt: skip
    # Of a body that is lifted, all tensors have the new dimensions in front; one step without them says the rest.
    key, *lifts = body.split("|")
    ranks = [len(lifts) + is_ for is_ in scanned]
    lifted = tensors[0].shape[ranks[0] - len(lifts) : ranks[0]] if lifts else ()
    args = [one.new_empty(one.shape[rank:]) for one, rank in zip(tensors, ranks, strict=True)]
    with torch.autocast(device_of(tensors).type, enabled=False):
        return [one.new_empty((steps, *lifted, *one.shape)) for one in listed(step_of(key)(*args, *sizes))]


@torch.library.custom_op("namedlayers::scan_backward", mutates_args=())
def scan_backward(
    body: str, tensors: Sequence[Tensor], scanned: Sequence[bool], carries: int, reverse: bool, steps: int,
    sizes: Sequence[int], seed: Tensor | None, carried: Sequence[Tensor], gradients: Sequence[Tensor | None],
    wanted: Sequence[int],
) -> list[Tensor]:  # fmt: skip
    """The gradients of the inputs that `wanted` lists, from those of the values of all steps. `carried` are those of
    the values that are carried, and of what is kept."""
    quick = faster_of(body) if seed is None else None
    if quick is not None and steps:
        with torch.no_grad(), plainly(seed, tensors):
            kept = dict(zip(_saved(body, carries, seed is not None), carried, strict=True))
            whole = quick.gradients(tensors, steps, sizes, gradients, kept)
            if whole is not None:
                return _owned([whole.get(k) for k in wanted], [tensors[k] for k in wanted], [*tensors, *carried])
    step, order = step_of(body), order_of(steps, reverse)
    before = dict(zip(order[1:], order, strict=False))
    found = {k: torch.zeros(tensors[k].shape, dtype=tensors[k].dtype, device=tensors[k].device) for k in wanted}
    fixed = [k for k in wanted if k >= carries and not scanned[k]]
    moving = [k for k in range(carries) if differentiable(tensors[k])] + [k for k in wanted if scanned[k]]
    onward: dict[int, Tensor | None] = {}
    with torch.enable_grad(), plainly(seed, tensors) as begin:
        held = [one.detach().requires_grad_(k in fixed) for k, one in enumerate(tensors)]
        for at in reversed(order):
            begin(at)
            args = [one[at] if is_ else one for one, is_ in zip(held, scanned, strict=True)]
            if at in before:
                args[:carries] = [one[before[at]] for one in carried[:carries]]
            for k in moving:
                args[k] = args[k].detach().requires_grad_()
            made = listed(step(*args, *sizes))
            slopes = [None if one is None else one[at] for one in gradients]
            slopes[:carries] = [added(one, onward.get(k)) for k, one in enumerate(slopes[:carries])]
            parts = pulled_back(made, slopes, {k: args[k] for k in (*moving, *fixed)})
            onward = {k: parts[k] for k in range(carries) if k in parts}
            for k in wanted:
                part = parts[k]
                if k >= carries and part is not None:
                    (found[k][at] if scanned[k] else found[k]).add_(part)
    for k, part in onward.items():
        if part is not None and k in found:
            found[k] += part
    return [found[k] for k in wanted]


@scan_backward.register_fake
def _(
    body: str, tensors: Sequence[Tensor], scanned: Sequence[bool], carries: int, reverse: bool, steps: int,
    sizes: Sequence[int], seed: Tensor | None, carried: Sequence[Tensor], gradients: Sequence[Tensor | None],
    wanted: Sequence[int],
) -> list[Tensor]:  # fmt: skip
    return [tensors[k].new_empty(tensors[k].shape) for k in wanted]


# --- derivatives ------------------------------------------------------------------------------------------------------


def _remember(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    body, tensors, scanned, carries, reverse, steps, sizes, seed = inputs
    saved = _saved(body, carries, seed is not None)
    ctx.save_for_backward(*tensors, *(output[k] for k in saved), *([] if seed is None else [seed]))
    ctx.plain = body, list(scanned), carries, reverse, steps, list(sizes), seed is not None
    ctx.set_materialize_grads(False)


def _gradient(ctx: Any, gradients: list[Tensor | None]) -> tuple[Any, ...]:
    body, scanned, carries, reverse, steps, sizes, seeded = ctx.plain
    saved = list(ctx.saved_tensors)
    seed = saved.pop() if seeded else None
    tensors, carried = saved[: len(scanned)], saved[len(scanned) :]
    wanted = [k for k, one in enumerate(tensors) if ctx.needs_input_grad[1][k] and differentiable(one)]
    found = scan_backward(
        body, tensors, scanned, carries, reverse, steps, sizes, seed, carried, list(gradients), wanted
    )  # fmt: skip
    by_input: list[Tensor | None] = [None] * len(tensors)
    for k, one in zip(wanted, found, strict=True):
        by_input[k] = one
    return None, by_input, _none(scanned), None, None, None, _none(sizes), None


def _remember_all(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    body, tensors, scanned, carries, reverse, steps, sizes, seed, carried, gradients, wanted = inputs
    present = [k for k, one in enumerate(gradients) if one is not None]
    ctx.save_for_backward(*tensors, *(gradients[k] for k in present), *([] if seed is None else [seed]))
    plain = body, list(scanned), carries, reverse, steps, list(sizes), seed is not None, list(wanted), present
    ctx.plain = *plain, len(carried)
    ctx.set_materialize_grads(False)


def _second_gradient(ctx: Any, gradients: list[Tensor | None]) -> tuple[Any, ...]:
    """Of all that a gradient was made of; what was carried follows from the inputs. By the steps written out, so that
    it can be differentiated again."""
    body, scanned, carries, reverse, steps, sizes, seeded, wanted, present, count = ctx.plain
    saved = list(ctx.saved_tensors)
    seed = saved.pop() if seeded else None
    by_slope: list[Tensor | None] = [None] * len(ctx.needs_input_grad[9])
    plain = _none(scanned), None, None, None, _none(sizes), None, [None] * count
    if steps == 0:
        return None, [None] * len(scanned), *plain, by_slope, _none(wanted)
    further = torch.is_grad_enabled()
    with torch.enable_grad(), plainly(seed, saved) as begin:
        # Twins, so that a tensor that is given twice is two.
        twins = [one.view_as(one).requires_grad_(one.requires_grad or differentiable(one)) for one in saved]
        tensors, slopes = twins[: len(scanned)], twins[len(scanned) :]
        made = run(step_of(body), tensors, scanned, carries, order_of(steps, reverse), sizes, begin)
        first = pulled_back([made[k] for k in present], slopes, {k: tensors[k] for k in wanted}, further=True)
        ends = {k: one for k, one in enumerate(first.values()) if one is not None}
        outer = [gradients[k] for k in ends]
        second = pulled_back(list(ends.values()), outer, dict(enumerate(twins)), further=further)
    found = list(second.values())
    for k, one in zip(present, found[len(scanned) :], strict=True):
        by_slope[k] = one
    return None, found[: len(scanned)], *plain, by_slope, _none(wanted)


scan.register_autograd(_gradient, setup_context=_remember)
scan_backward.register_autograd(_second_gradient, setup_context=_remember_all)


# --- vmap -------------------------------------------------------------------------------------------------------------


@scan.register_vmap
def _(
    info: Any, in_dims: tuple[Any, ...], body: str, tensors: Sequence[Tensor], scanned: Sequence[bool], carries: int,
    reverse: bool, steps: int, sizes: Sequence[int], seed: Tensor | None,
) -> tuple[list[Tensor], list[int]]:  # fmt: skip
    batched = _batched(tensors, in_dims[1], scanned, info.batch_size)
    seed = seed[0] if seed is not None and in_dims[7] is not None else seed
    made = scan(_lifted_name(body, info, tensors, sizes), batched, scanned, carries, reverse, steps, sizes, seed)
    return made, [1] * len(made)


@scan_backward.register_vmap
def _(
    info: Any, in_dims: tuple[Any, ...], body: str, tensors: Sequence[Tensor], scanned: Sequence[bool], carries: int,
    reverse: bool, steps: int, sizes: Sequence[int], seed: Tensor | None, carried: Sequence[Tensor],
    gradients: Sequence[Tensor | None], wanted: Sequence[int],
) -> tuple[list[Tensor], list[int]]:  # fmt: skip
    batched = _batched(tensors, in_dims[1], scanned, info.batch_size)
    before = _batched(carried, in_dims[8], [True] * len(carried), info.batch_size)
    slopes = [
        None if one is None else _batched([one], [dim], [True], info.batch_size)[0]
        for one, dim in zip(gradients, in_dims[9], strict=True)
    ]
    seed = seed[0] if seed is not None and in_dims[7] is not None else seed
    name = _lifted_name(body, info, tensors, sizes)
    found = scan_backward(
        name, batched, scanned, carries, reverse, steps, sizes, seed, before, slopes, wanted
    )  # fmt: skip
    return found, [1 if scanned[k] else 0 for k in wanted]


def _batched(
    tensors: Sequence[Tensor], dims: Sequence[int | None], scanned: Sequence[bool], size: int
) -> list[Tensor]:  # fmt: skip
    """All with the new dimension in front, behind the steps where there are any."""
    found = []
    for one, dim, is_ in zip(tensors, dims, scanned, strict=True):
        place = 1 if is_ else 0
        if dim is None:
            one = one.unsqueeze(place)
            found.append(one.expand(*one.shape[:place], size, *one.shape[place + 1 :]))
        else:
            found.append(one.movedim(dim, place))
    return found


def _lifted_name(body: str, info: Any, tensors: Sequence[Tensor], sizes: Sequence[int]) -> str:
    return f"{body}|{info.randomness}:{len(tensors)}:{len(sizes)}"


# --- helpers ----------------------------------------------------------------------------------------------------------


def _saved(body: str, carries: int, drawn: bool) -> tuple[int, ...]:
    """Which of the values of all steps are kept for the gradient."""
    quick = None if drawn else faster_of(body)
    return (*range(carries), *(() if quick is None else quick.kept))


def _owned(
    found: Sequence[Tensor | None], likes: Sequence[Tensor], given: Sequence[Tensor]
) -> list[Tensor]:  # fmt: skip
    """The results of an operator: each in memory of its own."""
    taken = {one.untyped_storage().data_ptr() for one in given}
    results = []
    for one, like in zip(found, likes, strict=True):
        made = torch.zeros_like(like) if one is None else one.to(like.dtype).contiguous()
        memory = made.untyped_storage()
        if memory.data_ptr() in taken or memory.nbytes() != made.nbytes:
            made = made.clone()
        taken.add(made.untyped_storage().data_ptr())
        results.append(made)
    return results


def _none(listed: Sequence[Any]) -> list[Any] | None:
    """No gradient of a list of numbers; torch takes an empty one for a list of tensors."""
    return None if listed else []
