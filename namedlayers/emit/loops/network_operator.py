"""torch's recurrent kernels: a sequence through a plain recurrent network, a GRU or an LSTM.

In: x (steps, batch, features), states (1, batch, hidden) each, weights as torch stores them. Out: the state after every
step, and an LSTM's last cell (1, batch, hidden), of which a view is taken only where it is read. What always holds: the
kernel itself runs where nothing is traced; what is traced sees an operator, so that a length never compiles anything
(its gradient runs the kernel once more); `torch.func` transforms see an autograd function that they can batch; all have
derivatives of second order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_compiling

from namedlayers.emit.loops.scanning import whole
from namedlayers.emit.loops.written_out import afresh

KERNELS: dict[str, Callable[..., Any]] = {
    "rnn_tanh": torch.rnn_tanh, "rnn_relu": torch.rnn_relu, "gru": torch.gru, "lstm": torch.lstm,
}  # fmt: skip


def network(op: str, x: Tensor, states: list[Tensor], weights: list[Tensor], reverse: bool) -> Sequence[Tensor]:
    """The state after every step, then an LSTM's last cell. `reverse`: from the last step to the first."""
    if is_compiling() and whole(x.shape[0]):
        return _operator(op, x, states, weights, reverse)
    if _is_transformed():
        return _Network.apply(op, reverse, len(states), x, *states, *weights)
    return _run(op, x, states, weights, reverse)


# --- helpers ----------------------------------------------------------------------------------------------------------

_is_transformed = torch._C._are_functorch_transforms_active
_is_cast = torch.is_autocast_enabled


def _run(op: str, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], reverse: bool) -> tuple[Tensor, ...]:
    if op == "lstm" and _is_cast("cpu") and _is_refused(x):
        narrow = torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):
            states, weights = ([one.to(narrow) for one in tensors] for tensors in (states, weights))
            return _run(op, x.to(narrow), states, weights, reverse)
    start = tuple(states) if len(states) > 1 else states[0]
    given = x.flip(0) if reverse else x
    found, *last = KERNELS[op](given, start, list(weights), len(weights) > 2, 1, 0.0, True, False, False)
    return (found.flip(0) if reverse else found, *last[1:])


def _is_refused(x: Tensor) -> bool:
    """Whether autocast hands an LSTM to oneDNN, which cannot run it on this processor; given in the shorter precision,
    torch runs it by itself."""
    kernels = torch.ops.mkldnn
    half = torch.get_autocast_dtype("cpu") is torch.float16
    supported = kernels._is_mkldnn_fp16_supported if half else kernels._is_mkldnn_bf16_supported
    return x.is_cpu and x.dtype is not torch.float64 and not supported()


def _slopes(
    op: str, given: Sequence[Tensor], states: int, reverse: bool, slopes: Sequence[Tensor | None], again: bool = False
) -> list[Tensor]:
    """The gradients of what is given, x, states and weights; `again`: such that they can be differentiated."""
    with torch.enable_grad():
        given = given if again else [one.detach().requires_grad_() for one in given]
        found = _run(op, given[0], given[1 : 1 + states], given[1 + states :], reverse)
        ends = [(one, slope) for one, slope in zip(found, slopes, strict=True) if slope is not None]
        if not ends:
            return [torch.zeros_like(one) for one in given]
        values, outer = zip(*ends, strict=True)
        return list(torch.autograd.grad(values, given, outer, create_graph=again, materialize_grads=True))


def _second_slopes(
    op: str, given: Sequence[Tensor], states: int, reverse: bool, slopes: Sequence[Tensor | None],
    outer: Sequence[Tensor | None],
) -> list[Tensor | None]:  # fmt: skip
    """The gradients of what is given and of `slopes`, from those of the gradients."""
    further = torch.is_grad_enabled()
    with torch.enable_grad():
        # Twins, so that a tensor that is given twice is two.
        twins = [None if one is None else one.view_as(one).requires_grad_() for one in (*given, *slopes)]
        count = len(given)
        first = _slopes(op, [one for one in twins[:count] if one is not None], states, reverse, twins[count:], True)
        ends = [(one, slope) for one, slope in zip(first, outer, strict=True) if slope is not None]
        if not ends:
            return [None] * len(twins)
        values, seeds = zip(*ends, strict=True)
        present = [one for one in twins if one is not None]
        found = iter(torch.autograd.grad(values, present, seeds, create_graph=further, allow_unused=True))
        return [None if one is None else next(found) for one in twins]


# --- where torch traces -----------------------------------------------------------------------------------------------


@torch.library.custom_op("namedlayers::network", mutates_args=())
def _operator(
    op: str, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], reverse: bool
) -> list[Tensor]:  # fmt: skip
    return [one.contiguous() for one in _run(op, x, states, weights, reverse)]


@_operator.register_fake
def _shapes(
    op: str, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], reverse: bool
) -> list[Tensor]:  # fmt: skip
    found = [x.new_empty((*x.shape[:2], states[0].shape[2]))]
    return [*found, x.new_empty(states[0].shape)] if len(states) > 1 else found


@torch.library.custom_op("namedlayers::network_backward", mutates_args=())
def _backward_operator(
    op: str, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], reverse: bool,
    slopes: Sequence[Tensor | None],
) -> list[Tensor]:  # fmt: skip
    with afresh():
        found = _slopes(op, (x, *states, *weights), len(states), reverse, slopes)
    return [one.contiguous().clone() for one in found]


@_backward_operator.register_fake
def _gradient_shapes(
    op: str, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], reverse: bool,
    slopes: Sequence[Tensor | None],
) -> list[Tensor]:  # fmt: skip
    return [one.new_empty(one.shape) for one in (x, *states, *weights)]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    ctx.op, x, states, weights, ctx.reverse = inputs
    ctx.states = len(states)
    ctx.save_for_backward(x, *states, *weights)
    ctx.set_materialize_grads(False)


def _gradient(ctx: Any, slopes: list[Tensor | None]) -> tuple[Any, ...]:
    x, *rest = ctx.saved_tensors
    states, weights = rest[: ctx.states], rest[ctx.states :]
    found = _backward_operator(ctx.op, x, states, weights, ctx.reverse, list(slopes))
    return None, found[0], found[1 : 1 + ctx.states], found[1 + ctx.states :], None


def _keep_slopes(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    ctx.op, x, states, weights, ctx.reverse, slopes = inputs
    ctx.states, ctx.weights, ctx.present = len(states), len(weights), [one is not None for one in slopes]
    ctx.save_for_backward(x, *states, *weights, *(one for one in slopes if one is not None))
    ctx.set_materialize_grads(False)


def _second_gradient(ctx: Any, outer: list[Tensor | None]) -> tuple[Any, ...]:
    count = 1 + ctx.states + ctx.weights
    given, saved = ctx.saved_tensors[:count], iter(ctx.saved_tensors[count:])
    slopes = [next(saved) if there else None for there in ctx.present]
    with afresh():
        found = _second_slopes(ctx.op, given, ctx.states, ctx.reverse, slopes, outer)
    return None, found[0], found[1 : 1 + ctx.states], found[1 + ctx.states : count], None, found[count:]


_operator.register_autograd(_gradient, setup_context=_keep)
_backward_operator.register_autograd(_second_gradient, setup_context=_keep_slopes)


# --- where torch.func transforms --------------------------------------------------------------------------------------


class _Network(torch.autograd.Function):
    """The kernel with a rule for `vmap`: what is batched becomes part of the batch, or runs one by one if the weights
    are."""

    @staticmethod
    def forward(op: str, reverse: bool, states: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return _run(op, tensors[0], tensors[1 : 1 + states], tensors[1 + states :], reverse)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.op, ctx.reverse, ctx.states, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def jvp(ctx: Any, op: Any, reverse: Any, states: Any, *tangents: Tensor | None) -> Any:
        given = ctx.saved_tensors
        moved = [torch.zeros_like(one) if to is None else to for one, to in zip(given, tangents, strict=True)]
        return _NetworkTangent.apply(ctx.op, ctx.reverse, ctx.states, *given, *moved)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        found = _NetworkGradient.apply(ctx.op, ctx.reverse, ctx.states, len(slopes), *slopes, *ctx.saved_tensors)
        return None, None, None, *found

    @staticmethod
    def vmap(
        info: Any, dims: tuple[Any, ...], op: str, reverse: bool, states: int, *tensors: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        def run(*given: Tensor) -> Sequence[Tensor]:
            return network(op, given[0], list(given[1 : 1 + states]), list(given[1 + states :]), reverse)

        if any(dim is not None for dim in dims[4 + states :]):
            return _one_by_one(run, info.batch_size, tensors, dims[3:])
        size, given = info.batch_size, []
        for one, dim in zip(tensors[: 1 + states], dims[3:], strict=False):
            one = one.unsqueeze(1).expand(-1, size, -1, -1) if dim is None else one.movedim(dim, 1)
            given.append(one.flatten(1, 2))
        found = run(*given, *tensors[1 + states :])
        batch = given[1].shape[1] // size if size else 0
        parts = [one.unflatten(one.dim() - 2, (size, batch)) for one in found]
        return tuple(parts), tuple(one.dim() - 3 for one in parts)


class _NetworkGradient(torch.autograd.Function):
    """The gradients of the kernel's operands; batched one by one."""

    @staticmethod
    def forward(op: str, reverse: bool, states: int, slopes: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(_slopes(op, tensors[slopes:], states, reverse, tensors[:slopes]))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.op, ctx.reverse, ctx.states, ctx.slopes, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def jvp(ctx: Any, op: Any, reverse: Any, states: Any, slopes: Any, *tangents: Tensor | None) -> Any:
        """The second derivative is symmetric, and gradients are linear in what they are taken along."""
        saved, count = ctx.saved_tensors, ctx.slopes
        moved = [torch.zeros_like(one) if to is None else to for one, to in zip(saved, tangents, strict=True)]
        plain = (ctx.op, ctx.reverse, ctx.states, count)
        curved = _NetworkSecond.apply(*plain, *moved[count:], *saved)[count:]
        direct = _NetworkGradient.apply(*plain, *moved[:count], *saved[count:])
        return tuple(one + other for one, other in zip(curved, direct, strict=True))

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        found = _NetworkSecond.apply(ctx.op, ctx.reverse, ctx.states, ctx.slopes, *outer, *ctx.saved_tensors)
        return None, None, None, None, *found

    @staticmethod
    def vmap(
        info: Any, dims: tuple[Any, ...], op: str, reverse: bool, states: int, slopes: int, *tensors: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        def run(*given: Tensor) -> Sequence[Tensor]:
            found: Sequence[Tensor] = _NetworkGradient.apply(op, reverse, states, slopes, *given)
            return found

        return _one_by_one(run, info.batch_size, tensors, dims[4:])


class _NetworkSecond(torch.autograd.Function):
    """The gradients of what the gradients were made of; it has none in turn."""

    @staticmethod
    def forward(op: str, reverse: bool, states: int, slopes: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        count = (len(tensors) - slopes) // 2
        outer, along, given = tensors[:count], tensors[count : count + slopes], tensors[count + slopes :]
        found = _second_slopes(op, given, states, reverse, along, outer)
        filled = [
            torch.zeros_like(one) if slope is None else slope
            for one, slope in zip((*given, *along), found, strict=True)
        ]
        return *filled[count:], *filled[:count]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Nothing is kept: there is no further gradient."""

    @staticmethod
    def vmap(info: Any, dims: tuple[Any, ...], *args: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return _one_by_one(lambda *given: _NetworkSecond.apply(*args[:4], *given), info.batch_size, args[4:], dims[4:])


class _NetworkTangent(torch.autograd.Function):
    """How the results change along tangents: the gradient of the gradient, which is linear in what it is taken
    along."""

    @staticmethod
    def forward(op: str, reverse: bool, states: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        count = len(tensors) // 2
        with torch.enable_grad():
            given = [one.detach().requires_grad_() for one in tensors[:count]]
            state = given[1]
            along = [
                state.new_zeros((*given[0].shape[:2], state.shape[2])),
                *(torch.zeros_like(state),) * (states - 1),
            ]
            along = [one.requires_grad_() for one in along]
            first = _slopes(op, given, states, reverse, along, True)
            return torch.autograd.grad(first, along, tensors[count:])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Nothing is kept: there is no further gradient."""

    @staticmethod
    def vmap(info: Any, dims: tuple[Any, ...], *args: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        return _one_by_one(lambda *given: _NetworkTangent.apply(*args[:3], *given), info.batch_size, args[3:], dims[3:])


def _one_by_one(
    run: Callable[..., Sequence[Tensor]], size: int, tensors: Sequence[Tensor], dims: Sequence[int | None]
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    rows = [
        run(*(one if dim is None else one.select(dim, k) for one, dim in zip(tensors, dims, strict=True)))
        for k in range(size)
    ]
    parts = tuple(torch.stack(list(found)) for found in zip(*rows, strict=True))
    return parts, (0,) * len(parts)
