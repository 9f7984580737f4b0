"""Modules made of a layer: the tree of its parts, with new tensors.

In: a settled layer, dtype, device. Out: a module. What always holds: names, nesting and the order of the text; a size
that the data decide leaves its tensors to the first call; a size that nothing decides is an error that names the axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy

from namedlayers.call.initialise import initialise
from namedlayers.call.module import VIEWS, Layer
from namedlayers.call.settled import Settled
from namedlayers.errors import ArgumentError, Label, SizeError, Span
from namedlayers.program.elaboration.layers import sized_names
from namedlayers.program.elaboration.stars import mentioned
from namedlayers.program.program import Kind
from namedlayers.program.size import Symbol
from namedlayers.program.structure import Declared, Structure


def make(settled: Settled, dtype: torch.dtype | None, device: torch.device | None) -> Layer:
    """A module with new parameters. Raises SizeError for sizes that nothing decides."""
    check_determined(settled, settled.structure)
    declared = settled.structure.declared
    lazy = {one.path.rpartition(".")[0] for one in declared if _depends_on_data(one)}
    symbols: dict[str, int] = {}
    whole = settled.module_class("", bool(lazy))(settled, symbols)
    assert isinstance(whole, Layer)
    modules: dict[str, nn.Module] = {"": whole}
    for part in settled.structure.parts:
        above = part.path.rpartition(".")[0]
        if above not in modules:  # all rounds of a `repeat`
            _attach(modules, above, nn.ModuleList(), part.span)
        module = settled.module_class(part.path, part.path in lazy)(settled, symbols)
        module._place(part.path)
        _attach(modules, part.path, module, part.span)
    for one in declared:
        owner = modules[one.path.rpartition(".")[0]]
        _check_name(one.name, one.span, "parameter" if one.kind == "param" else "state")
        tensor = _tensor(one, dtype, device)
        table: dict[str, Any] = owner._parameters if one.kind == "param" else owner._buffers
        table[one.name] = tensor
    begin(whole, declared, symbols)
    return whole


def begin(module: nn.Module, declared: Iterable[Declared], symbols: dict[str, int]) -> None:
    """Gives the tensors of a module that have their sizes their initial values, in the order of the text."""
    tensors = [(one, _lookup(module, one.path)) for one in declared]
    for one, tensor in tensors:
        if not is_lazy(tensor):
            learn(symbols, one, tensor)
    for one, tensor in tensors:
        if not is_lazy(tensor):
            initialise(one, tensor, symbols)


def learn(symbols: dict[str, int], one: Declared, tensor: torch.Tensor) -> None:
    """Notes the sizes of a tensor, by the symbols of its declaration."""
    for size, found in zip(one.sizes, tensor.shape, strict=True):
        match size.terms:
            case (((Symbol(name),), factor),):
                symbols.setdefault(name, int(found) // factor)


def check_determined(settled: Settled, structure: Structure) -> None:
    """Raises SizeError for sizes that neither the inputs of `structure` say nor the constructor's arguments."""
    free = dict(structure.free.values())
    if free:
        name = settled.layer.name
        axes = ", ".join(f"`{axis}`" for axis in free)
        noun = "the size of axis" if len(free) == 1 else "the sizes of the axes"
        raise SizeError(
            "NL0527", f"{noun} {axes} of `{name}` must be given: no input has {'it' if len(free) == 1 else 'them'}",
            *(Label(span) for span in dict.fromkeys(free.values())),
            hint=_how(settled, list(free)),
        )  # fmt: skip


# --- helpers ----------------------------------------------------------------------------------------------------------


def _how(settled: Settled, axes: list[str]) -> str:
    """How sizes are given: to the constructor those of the layer's own axes, in the text all others."""
    definition = settled.layer.definition
    own = {*sized_names(definition), *(axis for axis in mentioned(definition.body) if axis not in settled.sizes)}
    inner = [axis for axis in axes if axis not in own]
    if inner:
        return f"say it where the text introduces the axis: `{inner[0]} = …`"
    named = [axis for axis in axes if axis.isidentifier()]
    primed = ", ".join(f'"{axis}": …' for axis in axes if axis not in named)
    given = [*(f"{axis}=…" for axis in named), *([f"**{{{primed}}}"] if primed else [])]
    return f"`{settled.layer.name}({', '.join(given)})`"


def _depends_on_data(one: Declared) -> bool:
    """Whether its shape or its first value does."""
    begins = one.initial
    return any(size.value is None for size in (*one.sizes, *begins.fans)) or bool(
        begins.program and begins.program.symbols
    )


def _attach(modules: dict[str, nn.Module], path: str, module: nn.Module, span: Span) -> None:
    above, _, name = path.rpartition(".")
    _check_name(name, span, "part")
    modules[above]._modules[name] = modules[path] = module


_TAKEN = frozenset({*dir(Layer), *vars(nn.Module())} - VIEWS.keys())


def _check_name(name: str, span: Span, what: str) -> None:
    if name in _TAKEN:
        raise ArgumentError(
            "NL0540", f"a {what} cannot be called `{name}`: every module has something of this name", Label(span),
            hint=f"call it otherwise: `{name}_`",
        )  # fmt: skip


def _tensor(one: Declared, dtype: torch.dtype | None, device: torch.device | None) -> torch.Tensor:
    found = _dtype(one.element, dtype)
    if _depends_on_data(one):
        lazy: Callable[..., torch.Tensor] = UninitializedParameter if one.kind == "param" else UninitializedBuffer
        return lazy(device=device, dtype=found)
    shape = [size.evaluate({}) for size in one.sizes]
    try:
        tensor = torch.empty(shape, dtype=found, device=device)
    except (RuntimeError, TypeError, AssertionError) as error:  # the last: torch has no such device
        message = f"`{one}` cannot be made: {str(error).splitlines()[0]}"
        raise SizeError("NL0538", message, Label(one.span, f"of the shape {tuple(shape)}")) from None
    return nn.Parameter(tensor) if one.kind == "param" else tensor


def _dtype(kind: Kind, real: torch.dtype | None) -> torch.dtype:
    real = real or torch.get_default_dtype()
    exact: Mapping[Kind, torch.dtype] = {Kind.BOOL: torch.bool, Kind.INT: torch.int64, Kind.COMPLEX: real.to_complex()}
    return exact.get(kind, real)


def _lookup(module: nn.Module, path: str) -> torch.Tensor:
    for part in path.split("."):
        module = getattr(module, part)
    return module  # type: ignore[return-value]
