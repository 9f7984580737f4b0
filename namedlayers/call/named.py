"""Tensors that carry the names of their axes.

In: a torch tensor and the names of its axes, in order. Out: a `NamedTensor`, which functions take and return.
What always holds: one made by `named` has as many different names as its tensor has axes. Inside a transformation of
torch that hides or adds an axis (`vmap`) that may not hold; using such a tensor is an error, never a guess.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch.utils import _pytree as pytree

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
        wanted, source = _parse(axes)
        for place, name in enumerate(wanted):
            if name not in self.axes:
                hint = near_miss(name, self.axes) or f"the axes are {_listed(self.axes)}"
                raise ArgumentError("NL0517", f"the tensor has no axis `{name}`", _at(source, place), hint=hint)
        missing = [name for name in self.axes if name not in wanted]
        if missing:
            whole = Label(Span(source, 0, len(source.text)), f"without {_listed(missing)}")
            hint = "`align` orders all axes; select or reduce the others first"
            raise ArgumentError("NL0517", f"the tensor also has {_listed(missing)}", whole, hint=hint)
        return self.tensor.permute([self.axes.index(name) for name in wanted])

    def __repr__(self) -> str:
        kind = str(self.tensor.dtype).removeprefix("torch.")
        if len(self.axes) != self.tensor.ndim:
            return f"NamedTensor[{' '.join(self.axes)}]({kind}, shape {tuple(self.tensor.shape)})"
        sizes = ", ".join(f"{name}={size}" for name, size in zip(self.axes, self.tensor.shape, strict=True))
        return f"NamedTensor[{sizes}]({kind})"


def named(tensor: torch.Tensor, axes: str | Iterable[str]) -> NamedTensor:
    """`tensor` with names for its axes, in order: separated by spaces or commas, or as several strings.

    >>> named(torch.zeros(2, 8, 5, 64), "batch heads seq key")
    NamedTensor[batch=2, heads=8, seq=5, key=64](float32)
    """
    if not isinstance(tensor, torch.Tensor):
        raise ArgumentError("NL0505", f"`named` takes a torch tensor, not {_a(type(tensor).__name__)}")
    names, source = _parse(axes)
    if len(names) != tensor.ndim:
        whole = Label(Span(source, 0, len(source.text)), f"{len(names)} name{'s' * (len(names) != 1)}")
        shape = " × ".join(map(str, tensor.shape)) or "a scalar"
        count = f"{tensor.ndim} {'axis' if tensor.ndim == 1 else 'axes'}"
        raise ArgumentError("NL0516", f"the tensor has {count} ({shape}), the names are {len(names)}", whole)
    return NamedTensor(tensor, names)


def check_names(tensor: NamedTensor, what: str = "the tensor") -> None:
    """An error if a transformation has changed the number of axes behind the names."""
    if len(tensor.axes) != tensor.tensor.ndim:
        raise ArgumentError(
            "NL0518",
            f"{what} bears the names {_listed(tensor.axes)}, but a transformation left it {tensor.tensor.ndim} axes",
            hint="`vmap` hides axes: give it bare tensors and name them inside, or let the function lift over the axis",
        )


def _parse(axes: str | Iterable[str]) -> tuple[tuple[str, ...], Source]:
    """The names, in the spelling that formulas use, and the text at which errors point."""
    text = axes if isinstance(axes, str) else " ".join(map(str, axes))
    source = Source(text, "<axes>")
    names = tuple(spell(word) for word in text.replace(",", " ").split())
    for place, name in enumerate(names):
        if not name.rstrip("'").isidentifier():
            raise ArgumentError("NL0515", f"`{name}` is not a name of an axis", _at(source, place))
        if name in names[:place]:
            label, first = _at(source, place, "again"), _at(source, names.index(name), "first here")
            hint = f"`{name}'` is another axis"
            raise ArgumentError("NL0515", f"the axis `{name}` is named twice", label, first, hint=hint)
    return names, source


def spell(name: str) -> str:
    """An axis name as formulas compare it: NFKC, with `'` for every prime.

    >>> spell("seq′")
    "seq'"
    """
    # NFKC makes two or three primes of one character; each prime counts as one.
    return unicodedata.normalize("NFKC", name).replace("′", "'")


def _at(source: Source, place: int, text: str = "") -> Label:
    """The word number `place` of an axis string."""
    start = 0
    for _ in range(place + 1):
        while source.text[start] in ", \t\n":
            start += 1
        end = start
        while end < len(source.text) and source.text[end] not in ", \t\n":
            end += 1
        begin, start = start, end
    return Label(Span(source, begin, end), text)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


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
