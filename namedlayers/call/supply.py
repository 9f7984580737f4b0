"""From the arguments of a call to what a compiled function takes, and from its results to the caller's.

In: a binding and the names of a program's inputs. Out: one small function for each input, and one for the results,
chosen once, so that a call only runs them. What always holds: they ask nothing that the forms have answered; what they
raise is an ArgumentError.

Reals of mixed precision are brought to one, as `torch.result_type` says. Autocast does so itself and is left to it, but
for float64, which it never touches. Numbers take the precision that they meet.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from namedlayers.call.bind import Binding, BoundInput, Place
from namedlayers.call.forms import Listed, Named, Scalar, read
from namedlayers.call.named import NamedTensor
from namedlayers.errors import ArgumentError, Label
from namedlayers.program.program import Kind, Output

Fetch = Callable[[Sequence[Any], Mapping[str, Any]], Any]
"""What one input is, from the positional and keyword arguments of a call."""


def suppliers(binding: Binding, names: Sequence[str]) -> tuple[Fetch, ...]:
    """One for each name of a program's inputs, tensors and numbers, in this order."""
    meets = precision(binding)
    like = next((_tensor(one) for one in binding.inputs if one.dtype is not None), None)
    fetches = {one.name: _input(one, meets, like) for one in binding.inputs}
    fetches |= {option.name: _argument(option.place) for option in binding.options}
    return tuple(fetches[name] for name in names)


def as_they_stand(binding: Binding, names: Sequence[str], count: int) -> tuple[str, ...] | None:
    """The keyword arguments that, after the `count` positional ones, are as they stand what the compiled function
    takes; None where nothing is."""
    meets = precision(binding)
    if any(one.form.tag != "tensor" or _target(one, meets) != one.dtype for one in binding.inputs):
        return None
    at = {one.name: one.place for one in binding.inputs} | {one.name: one.place for one in binding.options}
    places = [at[name] for name in names]
    keywords = tuple(place for place in places[count:] if isinstance(place, str))
    return keywords if [*range(count), *keywords] == places else None


def finisher(binding: Binding, outputs: Sequence[Output]) -> Callable[[Any], Any] | None:
    """What makes named tensors of the results of a call with named tensors; None where they stay as they are."""
    if not binding.named:
        return None
    axes = [output.axes for output in outputs]
    if len(axes) == 1:
        return lambda result: NamedTensor(result, axes[0])
    return lambda results: tuple([NamedTensor(one, names) for one, names in zip(results, axes, strict=True)])


def size_of(binding: Binding, axis: str) -> Fetch | None:
    """What reads the size of an axis, as an integer that compiling may rely on; None where no tensor has it."""
    for one in binding.inputs:
        if axis in one.axes:
            tensor, position = _tensor(one), one.axes.index(axis)
            return lambda args, kwargs: operator.index(tensor(args, kwargs).shape[position])
    return None


def value_of(place: Place, kind: Kind) -> Fetch:
    """What reads an option's number, as a value that compiling may rely on."""
    argument = _argument(place)
    # Both make torch.compile take the number for a constant, and guard it.
    if kind is Kind.INT:
        return lambda args, kwargs: operator.index(argument(args, kwargs))
    if kind is Kind.REAL:
        return lambda args, kwargs: float.fromhex(argument(args, kwargs).hex())
    return argument


def precision(binding: Binding) -> torch.dtype | None:
    """The real type that all reals and complex numbers of a call are brought to; None if there are none.

    As in `torch.result_type`, tensors without axes have no say where there are others.
    """
    inexact = [one for one in binding.inputs if one.dtype is not None and one.kind in (Kind.REAL, Kind.COMPLEX)]
    deciding = [one for one in inexact if one.axes] or inexact
    found: torch.dtype | None = None
    for one in deciding:
        assert one.dtype is not None
        real = one.dtype.to_real()
        found = real if found is None else torch.promote_types(found, real)
    if found in _HALF and any(one.kind is Kind.COMPLEX for one in inexact):
        return torch.float32
    return found


_HALF = (torch.float16, torch.bfloat16)


def _argument(place: Place) -> Fetch:
    if isinstance(place, str):
        return lambda args, kwargs: kwargs[place]
    return lambda args, kwargs: args[place]


def _tensor(one: BoundInput) -> Fetch:
    """The argument as one torch tensor, in its own precision."""
    argument = _argument(one.place)
    if isinstance(one.form, Named):
        return lambda args, kwargs: argument(args, kwargs).tensor
    if isinstance(one.form, Listed):
        return _stack(one, argument)
    return argument


def _stack(one: BoundInput, argument: Fetch) -> Fetch:
    """A list as one tensor: the new axis is the input's first, after the leading ones that the signature lacks."""
    assert isinstance(one.form, Listed)
    first = read(one.form.items[0])
    if isinstance(first, Named):
        order = first.axes
        return lambda args, kwargs: _stacked([item.align(order) for item in argument(args, kwargs)], 0, one)
    lead = one.axes.index(one.declared.axes[0])
    return lambda args, kwargs: _stacked(list(argument(args, kwargs)), lead, one)


def _stacked(items: list[torch.Tensor], dim: int, one: BoundInput) -> torch.Tensor:
    if not torch.compiler.is_compiling():
        for number, item in enumerate(items):
            if item.shape != items[0].shape:
                shapes = f"element 0 has the shape {tuple(items[0].shape)}, element {number} {tuple(item.shape)}"
                span = one.declared.span
                raise ArgumentError("NL0521", f"the list for `{one.name}` is uneven: {shapes}", Label(span))
    return torch.stack(items, dim)


def _input(one: BoundInput, meets: torch.dtype | None, like: Fetch | None) -> Fetch:
    if isinstance(one.form, Scalar):
        return _number(one, meets, like)
    tensor, target = _tensor(one), _target(one, meets)
    if target == one.dtype:
        return tensor
    return lambda args, kwargs: _cast(tensor(args, kwargs), target)


def _number(one: BoundInput, meets: torch.dtype | None, like: Fetch | None) -> Fetch:
    """A number as a tensor without axes, on the device of the first tensor of the call."""
    argument, kind = _argument(one.place), one.kind

    def number(args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.Tensor:
        device = None if like is None else like(args, kwargs).device
        dtype = _EXACT.get(kind) or _of_precision(kind, meets or torch.get_default_dtype())
        # By way of float64, because float32 refuses a number that it rounds to infinity.
        wide = torch.float64 if kind is Kind.REAL else dtype
        return torch.full((), argument(args, kwargs), dtype=wide, device=device).to(dtype)

    return number


_EXACT = {Kind.BOOL: torch.bool, Kind.INT: torch.int64}


def _target(one: BoundInput, meets: torch.dtype | None) -> torch.dtype | None:
    """The type that an input is brought to."""
    if one.dtype is None or meets is None or one.kind in _EXACT:
        return one.dtype
    return _of_precision(one.kind, meets)


def _of_precision(kind: Kind, real: torch.dtype) -> torch.dtype:
    if kind is not Kind.COMPLEX:
        return real
    return torch.complex128 if real is torch.float64 else torch.complex64


def _cast(tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    device = tensor.device.type
    if dtype is not torch.float64 and torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return tensor
    return tensor.to(dtype)
