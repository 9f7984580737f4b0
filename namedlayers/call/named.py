"""Tensors that carry the names of their axes.

In: a torch tensor and the names of its axes, in order. Out: a `NamedTensor`, which functions take and return.
What always holds: one made by `named` has as many different names as its tensor has axes. Inside a transformation of
torch that hides or adds an axis (`vmap`) that may not hold; using such a tensor is an error, never a guess.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch
from torch.utils import _pytree as pytree

from namedlayers.call.tracing import is_traced, not_traced
from namedlayers.errors import ArgumentError, Label, Source, Span, near_miss


@dataclass(slots=True, eq=False, repr=False)
class NamedTensor:
    """A tensor whose axes bear names; made by `named`.

    >>> x = named(torch.zeros(2, 3), "batch seq")
    >>> x
    NamedTensor[batch=2, seq=3](float32)
    >>> x.align("seq batch").shape
    torch.Size([3, 2])
    """

    tensor: torch.Tensor
    axes: tuple[str, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """The size of each axis.

        >>> named(torch.zeros(2, 3), "batch seq").sizes
        {'batch': 2, 'seq': 3}
        """
        check_names(self)
        return dict(zip(self.axes, self.tensor.shape, strict=True))

    def align(self, axes: str | Iterable[str]) -> torch.Tensor:
        """The torch tensor with its axes in this order: a view.

        >>> named(torch.zeros(2, 3), "batch seq").align("seq batch").shape
        torch.Size([3, 2])
        """
        check_names(self)
        wanted = axis_names(_text(axes))
        if sorted(wanted) != sorted(self.axes):
            _cannot_align(self.axes, _text(axes))
        return self.tensor.permute([self.axes.index(name) for name in wanted])

    def __repr__(self) -> str:
        kind = str(self.tensor.dtype).removeprefix("torch.")
        if len(self.axes) != self.tensor.ndim:
            return f"NamedTensor[{' '.join(self.axes)}]({kind}, shape {tuple(self.tensor.shape)})"
        sizes = ", ".join(f"{name}={size}" for name, size in zip(self.axes, self.tensor.shape, strict=True))
        return f"NamedTensor[{sizes}]({kind})"


def named(tensor: torch.Tensor | np.ndarray, axes: str | Iterable[str]) -> NamedTensor:
    """`tensor` with names for its axes, in order: separated by spaces or commas, or as several strings.

    >>> named(torch.zeros(2, 8, 5, 64), "batch heads seq key")
    NamedTensor[batch=2, heads=8, seq=5, key=64](float32)
    """
    tensor = as_tensor(tensor)
    if not isinstance(tensor, torch.Tensor):
        raise ArgumentError("NL0505", f"`named` takes a tensor, but {type(tensor).__name__} is given")
    names = axis_names(_text(axes))
    if len(names) != tensor.ndim:
        whole = _whole(_text(axes), f"{len(names)} name{'s' * (len(names) != 1)}")
        shape = " × ".join([str(size) for size in tensor.shape])
        has = "no axes" if tensor.ndim == 0 else f"{tensor.ndim} {'axis' if tensor.ndim == 1 else 'axes'} ({shape})"
        count = f"{len(names)} {'is' if len(names) == 1 else 'are'}"
        raise ArgumentError("NL0516", f"the tensor has {has}, but {count} named", whole)
    return NamedTensor(tensor, names)


def as_tensor(value: Any) -> Any:
    """A numpy array as a tensor, sharing its memory where torch can; anything else, and what torch lacks, as it is."""
    if not isinstance(value, np.ndarray):
        return value
    if is_traced():
        return torch.as_tensor(value)
    if value.dtype.kind not in "biufc" or np.ma.is_masked(value):  # torch would forget what is masked
        return value
    # torch shares neither read-only memory, nor negative strides, nor foreign byte order.
    plain = value.flags.writeable and value.dtype.isnative and all(stride >= 0 for stride in value.strides)
    try:
        return torch.from_numpy(value if plain else value.astype(value.dtype.newbyteorder("="), order="C"))
    except TypeError:  # a kind of number that torch lacks, as float128
        return value


def check_names(tensor: NamedTensor, what: str = "the tensor") -> None:
    """An error if a transformation has changed the number of axes behind the names."""
    if len(tensor.axes) != tensor.tensor.ndim:
        raise ArgumentError(
            "NL0518",
            f"{what} bears the names {_listed(tensor.axes)}, but a transformation left it {tensor.tensor.ndim} axes",
            hint="`vmap` hides axes: give it bare tensors and name them inside, or let the function lift over the axis",
        )


@not_traced
def axis_names(text: str) -> tuple[str, ...]:
    """The names in a string of axes, in the spelling that formulas use.

    >>> axis_names("batch, seq seq\N{PRIME}")
    ('batch', 'seq', "seq'")
    """
    return _axis_names(text)


@functools.lru_cache(maxsize=4096)
def _axis_names(text: str) -> tuple[str, ...]:
    names = tuple(spell(word) for word in text.replace(",", " ").split())
    for place, name in enumerate(names):
        if not name.rstrip("'").isidentifier():
            raise ArgumentError("NL0515", f"`{name}` is not a name of an axis", _at(text, place))
        if name in names[:place]:
            label, first = _at(text, place, "again"), _at(text, names.index(name), "first here")
            hint = f"`{name}'` is another axis"
            raise ArgumentError("NL0515", f"the axis `{name}` is named twice", label, first, hint=hint)
    return names


def spell(name: str) -> str:
    """An axis name as formulas compare it: NFKC, with `'` for every prime.

    >>> spell("seq′")
    "seq'"
    """
    # NFKC makes two or three primes of one character; each prime counts as one.
    return unicodedata.normalize("NFKC", name).replace("′", "'")


def _cannot_align(axes: tuple[str, ...], text: str) -> NoReturn:
    wanted = axis_names(text)
    for place, name in enumerate(wanted):
        if name not in axes:
            hint = near_miss(name, axes) or f"the axes are {_listed(axes)}"
            raise ArgumentError("NL0517", f"the tensor has no axis `{name}`", _at(text, place), hint=hint)
    missing = _listed(name for name in axes if name not in wanted)
    hint = "`align` orders all axes; select or reduce the others first"
    raise ArgumentError("NL0517", f"the tensor also has {missing}", _whole(text, f"without {missing}"), hint=hint)


def _text(axes: str | Iterable[str]) -> str:
    if isinstance(axes, str):
        return axes
    words = list(axes) if isinstance(axes, Iterable) else [axes]
    for word in words:
        if not isinstance(word, str):
            hint = '`nl.named(tensor, "batch seq key")`'
            raise ArgumentError("NL0515", f"axes are named by a string, not by {type(word).__name__}", hint=hint)
    return " ".join(words)


def _at(text: str, place: int, message: str = "") -> Label:
    """Points at the word number `place` of a string of axes."""
    word = list(re.finditer(r"[^\s,]+", text))[place]
    return Label(Span(Source(text, "<axes>"), word.start(), word.end()), message)


def _whole(text: str, message: str) -> Label:
    return Label(Span(Source(text, "<axes>"), 0, len(text)), message)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _flatten(value: NamedTensor) -> tuple[list[torch.Tensor], tuple[str, ...]]:
    return [value.tensor], value.axes


def _unflatten(leaves: Iterable[torch.Tensor], axes: tuple[str, ...]) -> NamedTensor:
    (tensor,) = leaves
    return NamedTensor(tensor, axes)


# What lets torch.compile, torch.func and torch.export see the tensor inside.
pytree.register_pytree_node(
    NamedTensor,
    _flatten,
    _unflatten,
    serialized_type_name="namedlayers.NamedTensor",
    to_dumpable_context=list,
    from_dumpable_context=tuple,
)
