"""The tensors of a module by name, with the axes that the text gives them.

In: a `torch.nn.Module`, in which modules made of layers may stand anywhere. Out: an `Held` for each parameter and each
buffer. What always holds: a tensor of a layer has the axes of its `param` or `state`; one of an ordinary module has
dimensions without names; sizes that a module does not know yet are symbols.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from namedlayers.call.owner import Owner
from namedlayers.errors import ArgumentError, Label
from namedlayers.program.program import AxesOf, Kind
from namedlayers.program.size import SizeExpr, const, symbol
from namedlayers.program.structure import Declared
from namedlayers.syntax import tree
from namedlayers.syntax.parser import parse


@dataclass(frozen=True, slots=True)
class Held:
    """`dimensions` of the stored tensor, each with its axes and their sizes; `declared` None: of an ordinary module."""

    path: str
    dimensions: tuple[AxesOf, ...]
    tensor: torch.Tensor
    declared: Declared | None

    @property
    def waits(self) -> bool:
        """Whether it is lazy: it has no size yet."""
        return is_lazy(self.tensor)

    @property
    def axes(self) -> AxesOf:
        """The axes in order, merged ones one by one."""
        return tuple(axis for group in self.dimensions for axis in group)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.axes)

    @property
    def namings(self) -> tuple[tuple[str, ...], ...]:
        """The names of the axes where the module is used, and, if they differ, those of the declaration."""
        if self.declared is None:
            return ()
        written = _written(self.declared.span.text, self.names)
        return (self.names,) if written == self.names else (self.names, written)

    @property
    def labels(self) -> tuple[Label, ...]:
        """Where the text declares it."""
        return (Label(self.declared.span, f"`{self.path}` is declared here"),) if self.declared else ()

    def view(self, tensor: torch.Tensor, sizes: tuple[int, ...]) -> torch.Tensor:
        """`tensor`, stored as this one is, with one dimension for each axis: a view."""
        for at, group in reversed(list(enumerate(self.dimensions))):
            first = sum(len(one) for one in self.dimensions[:at])
            if len(group) > 1:
                tensor = tensor.unflatten(at, sizes[first : first + len(group)])
        return tensor


def held(module: nn.Module) -> dict[str, Held]:
    """All tensors of a module and of those in it, by name."""
    tensors: dict[str, torch.Tensor] = dict(module.named_parameters(remove_duplicate=False))
    tensors |= dict(module.named_buffers(remove_duplicate=False))
    found: dict[str, Held] = {}
    for prefix, declared in _layers(module):
        for one in declared:
            path = prefix + one.path
            if path not in tensors:
                raise ArgumentError("NL0562", f"`{path}` is not a parameter or buffer of its own any more",
                                    Label(one.span), hint="load before `parametrize`, `prune` or the like")  # fmt: skip
            found[path] = Held(path, tuple(_scoped(group, prefix) for group in one.dimensions), tensors[path], one)
    for path in module.state_dict(keep_vars=True).keys() & tensors.keys() - found.keys():
        shape = () if is_lazy(tensors[path]) else tensors[path].shape
        found[path] = Held(path, tuple(((str(k), const(n)),) for k, n in enumerate(shape)), tensors[path], None)
    return {path: found[path] for path in tensors if path in found}


def kind(dtype: torch.dtype) -> Kind:
    """The kind of a tensor's elements."""
    if dtype.is_complex:
        return Kind.COMPLEX
    return Kind.REAL if dtype.is_floating_point else Kind.BOOL if dtype is torch.bool else Kind.INT


def _layers(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, tuple[Declared, ...]]]:
    """The outermost modules that are made of layers, with what they declare."""
    if isinstance(module, Owner):
        yield prefix, module._own_declared()
        return
    for name, child in module.named_children():
        yield from _layers(child, f"{prefix}{name}.")


@functools.lru_cache(maxsize=4096)
def _written(declaration: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the axes in `param W[output, input] ~ …`; what a star stands for is called as elsewhere."""
    module = parse(f"layer L(X):\n    {declaration}\n    return X")
    (definition,) = (item for item in module.items if isinstance(item, tree.Definition))
    (found,) = (statement for statement in definition.body if isinstance(statement, tree.Declare))
    nodes = [node for item in found.axes for node in (item.items if isinstance(item, tree.Group) else (item,))]
    stars = [at for at, node in enumerate(nodes) if node.star]
    if len(stars) > 1 or len(nodes) - len(stars) > len(names):
        return names
    plain = [node.name for node in nodes]
    for at in stars:
        plain[at : at + 1] = names[at : at + len(names) - len(nodes) + 1]
    return tuple(plain)


def _scoped(group: AxesOf, prefix: str) -> AxesOf:
    """Sizes of several modules in one: each has symbols of its own."""
    return tuple((axis, size.substitute(_renamed(size, prefix))) for axis, size in group) if prefix else group


def _renamed(size: SizeExpr, prefix: str) -> dict[str, SizeExpr]:
    return {name: symbol(prefix + name) for name in size.symbols}
