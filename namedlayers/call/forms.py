"""What an argument is, as far as programs depend on it: never its numbers, its sizes or its device.

In: the arguments of a call. Out: their forms: hashable, equal when the same program runs, constants in the eyes of
torch.compile. What always holds: any Python object has a form; whether it fits is for `bind` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from namedlayers.call.named import NamedTensor, as_tensor
from namedlayers.errors import ArgumentError
from namedlayers.program.spec import Static

Plain = tuple[Any, ...]
"""A form as a plain tuple, its tag first: torch.compile passes on only those as constants."""


class Bare(NamedTuple):
    """A torch tensor."""

    tag: Literal["tensor"]
    dtype: torch.dtype
    ndim: int
    layout: torch.layout


class Named(NamedTuple):
    """A tensor with names; `ndim` differs from the number of names only inside a transformation."""

    tag: Literal["named"]
    dtype: torch.dtype
    ndim: int
    layout: torch.layout
    axes: tuple[str, ...]


class Scalar(NamedTuple):
    """A number: `type` is bool, int, float or complex."""

    tag: Literal["number"]
    type: str


class Listed(NamedTuple):
    """A list, or a tuple that does not consist of constants only."""

    tag: Literal["list"]
    items: tuple[Plain, ...]


class Constant(NamedTuple):
    """A string, None, or a tuple of constants: known while compiling."""

    tag: Literal["constant"]
    value: str | None | tuple
    types: Any  # because (1,) equals (True,)


class Other(NamedTuple):
    """Anything else, by the name of its type."""

    tag: Literal["other"]
    type: str


Form = Bare | Named | Scalar | Listed | Constant | Other

CallForm = tuple[tuple[Plain, ...], tuple[tuple[str, Plain], ...]]
"""The forms of positional arguments, and of keyword arguments with their names."""


def call_form(args: Sequence[Any], kwargs: Mapping[str, Any]) -> CallForm:
    return tuple([form(value) for value in args]), tuple([(name, form(value)) for name, value in kwargs.items()])


def quick_key(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple | None:
    """What tells the forms of a call apart as fast as Python can; None where some argument is of no plain type."""
    key: list[object] = []
    for value in args:
        part = _QUICK.get(type(value))
        if part is None:
            return None
        key += part(value)
    for name, value in kwargs.items():
        part = _QUICK.get(type(value))
        if part is None:
            return None
        key.append(name)
        key += part(value)
    return tuple(key)


def straight_key(call: CallForm, settled: Mapping[str, Static]) -> tuple | None:
    """The key of a call that gives bare tensors, and by name also plain options; None for any other. The values that
    compiling has asked for (`settled`) belong to the key. No two calls that differ in them, or in their forms, have
    one key: each value stands behind its type, and no type is a name.

    >>> tensor, number = ("tensor", torch.float32, 2, torch.strided), ("number", "int")
    >>> straight_key(((tensor,), (("k", number), ("n", number))), {"k": 3})
    (torch.float32, 2, torch.strided, 'k', <class 'int'>, 3, 'n', <class 'int'>)
    """
    positional, keywords = call
    if any(plain[0] != "tensor" for plain in positional):
        return None
    key: list[object] = [part for plain in positional for part in plain[1:]]
    for name, plain in keywords:
        if plain[0] == "tensor":
            key += (name, *plain[1:])
        elif plain[0] in ("number", "constant") and plain[-1] in PLAIN_TYPES:
            key += (name, PLAIN_TYPES[plain[-1]])
            if name in settled:
                key.append(settled[name])
        else:
            return None
    return tuple(key)


def form(value: Any) -> Plain:
    """The form of one argument.

    >>> form(2.5), form((1, 2))
    (('number', 'float'), ('constant', (1, 2), ('int', 'int')))
    """
    if isinstance(value, torch.Tensor):
        return ("tensor", value.dtype, value.ndim, value.layout)
    if isinstance(value, NamedTensor):
        tensor = value.tensor
        return ("named", tensor.dtype, tensor.ndim, tensor.layout, value.axes)
    for name, types in _NUMBERS:
        if isinstance(value, types):
            return ("number", name)
    if value is None or isinstance(value, str):
        return ("constant", value, _types(value))
    if isinstance(value, (list, tuple)):
        if isinstance(value, tuple) and _is_constant(value):
            return ("constant", value, _types(value))
        return ("list", tuple([form(item) for item in value]))
    return ("other", _type_name(value))


def read(plain: Plain) -> Form:
    """A form by its class.

    >>> read(("number", "float"))
    Scalar(tag='number', type='float')
    """
    return _CLASSES[plain[0]](*plain)


def as_torch(value: Any) -> Any:
    """A numpy array as a tensor that shares its memory where it can, a number of numpy as Python's; anything else as it
    is.

    >>> as_torch((np.int64(1), 2)), as_torch(np.float32(0.5))
    ((1, 2), 0.5)
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list):
        return [as_torch(item) for item in value]
    if isinstance(value, tuple):
        items = tuple([as_torch(item) for item in value])
        return items if _is_constant(items) else list(items)
    return as_tensor(value)


def all_as_torch(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """`as_torch` of the arguments of a call."""
    return tuple([as_torch(value) for value in args]), {name: as_torch(value) for name, value in kwargs.items()}


def as_reals(dtype: Any) -> np.dtype:
    """The type in which reals are computed in numpy; torch's are taken, too. Raises ArgumentError.

    >>> as_reals(torch.float32), as_reals(np.float64), as_reals("float16")
    (dtype('float32'), dtype('float64'), dtype('float16'))
    """
    try:
        found = np.dtype(str(dtype).removeprefix("torch.") if isinstance(dtype, torch.dtype) else dtype)
    except TypeError:
        found = None
    if found is None or found.kind not in "fc":
        raise ArgumentError("NL0530", f"`dtype` is a type of reals, not {dtype!r}", hint="such as `np.float64`")
    return found


def as_numpy(value: Any) -> Any:
    """A tensor's numbers, for the reference; anything else as it is."""
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach().cpu().resolve_conj().resolve_neg()
    return (value.float() if value.dtype is torch.bfloat16 else value).numpy()


def _is_constant(value: Any) -> bool:
    """Whether `value` is a Python number, a string, None, or a tuple of such."""
    if isinstance(value, tuple):
        return len(value) > 0 and all(_is_constant(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, complex, str))


def _types(value: Any) -> Any:
    return tuple([_types(item) for item in value]) if isinstance(value, tuple) else type(value).__name__


def _type_name(value: Any) -> str:
    masked = "masked " if isinstance(value, np.ma.MaskedArray) else ""
    return f"{masked}numpy array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


# The pieces differ between types, so that no two calls with different forms have one key.
_QUICK: dict[type, Callable[[Any], tuple[object, ...]]] = {
    torch.Tensor: lambda value: (value.dtype, value.ndim, value.layout),
    torch.nn.Parameter: lambda value: (value.dtype, value.ndim, value.layout),
    NamedTensor: lambda value: (NamedTensor, value.axes, *_QUICK[torch.Tensor](value.tensor)),
    bool: lambda value: (bool,),
    int: lambda value: (int,),
    float: lambda value: (float,),
    str: lambda value: (str, value),
    type(None): lambda value: (None,),
}

PLAIN_TYPES: dict[str, type] = {"bool": bool, "int": int, "float": float, "complex": complex, "str": str}

PLAIN = frozenset(PLAIN_TYPES.values())
"""The types of options that a `straight_key` holds."""

# The first that fits: to Python, a boolean is an int.
_NUMBERS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("bool", (bool, torch.SymBool)),
    ("int", (int, torch.SymInt)),
    ("float", (float, torch.SymFloat)),
    ("complex", (complex,)),
)

_CLASSES: dict[str, Callable[..., Form]] = {
    "tensor": Bare,
    "named": Named,
    "number": Scalar,
    "list": Listed,
    "constant": Constant,
    "other": Other,
}
