"""Filling a module with the weights of another: names and axes are translated by a mapping.

In: a module, a state dict or a file of one, a mapping. Out: the module is filled, and a `LoadReport` says how; or the
other's state dict. What always holds: all is checked before anything is written; a value is converted to its
parameter's type and device, and never to a kind that cannot hold it; nothing of a file is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from namedlayers.call.named import as_tensor
from namedlayers.call.words import dtype_name
from namedlayers.errors import ArgumentError, Label, SizeError
from namedlayers.program.size import const
from namedlayers.tensor_files import read_tensors
from namedlayers.weights.held import Held, held, kind
from namedlayers.weights.layout import axis_sizes, check_chosen, check_shape, equations, inward, outward
from namedlayers.weights.mapping import MappingLike, read_mapping
from namedlayers.weights.report import LoadReport, incomplete, reported
from namedlayers.weights.routes import Fill, Route, routes_from, routes_to
from namedlayers.weights.sizes import solve

Weights = Mapping[str, Any] | str | Path


def load_weights(module: nn.Module, weights: Weights, mapping: MappingLike, *, strict: bool = True) -> LoadReport:
    """Fills a module with foreign weights: a state dict, or a `.safetensors`, `.pt` or `.npz` file.

    The mapping says for each key of theirs which parameter it is and which axes its dimensions are: a text with lines
    like `encoder.layer.{l}.query.weight -> block.{l}.Wq[heads key, layer]`, or a dict. With `strict`, whatever is
    unused or missing is an error; the report lists it otherwise. If anything fails, nothing has changed.

    >>> linear = nn.Linear(2, 3)
    >>> theirs = {"dense.kernel": torch.ones(3, 2), "dense.bias": torch.zeros(3)}
    >>> print(load_weights(linear, theirs, "dense.kernel -> weight\\ndense.bias -> bias"))
    2 tensors fill 2 parameters and states
    """
    tensors = _tensors(weights)
    rules = read_mapping(mapping)
    own = _held(module)
    found = routes_from(rules, tensors, own)
    filling = [one for one in found if one.fills]
    known = _known(own.values())
    sizes = solve([equation for one in filling for equation in equations(one, tensors[one.key].shape)], known)
    parts: list[tuple[Fill, torch.Tensor]] = []
    for one in filling:
        tensor = tensors[one.key]
        check_shape(one, tensor.shape, sizes)
        _check_elements(one, tensor)
        parts += zip(one.fills, inward(one, tensor, sizes), strict=True)
    report = reported(found, rules, tensors, own, sizes)
    if strict and not report.complete:
        raise incomplete(report, rules, own)
    _check_whole(report, own)
    with torch.no_grad():
        for fill, part in parts:
            _materialise(fill.held, sizes)
            _window(fill, sizes).copy_(part)
    return replace(report, sizes={name: size for name, size in sizes.items() if name not in known})


def foreign_weights(module: nn.Module, mapping: MappingLike) -> dict[str, torch.Tensor]:
    """A copy of a module's weights as the state dict that the mapping is for: `load_weights` of it gives them back.

    >>> {key: value.shape for key, value in foreign_weights(nn.Linear(2, 3), {"kernel": "weight"}).items()}
    {'kernel': torch.Size([3, 2])}
    """
    own = _held(module)
    sizes = _known(own.values())
    routes = routes_to(read_mapping(mapping), own, {path: axis_sizes(one, sizes) for path, one in own.items()})
    found: dict[str, torch.Tensor] = {}
    for route in routes:
        check_chosen(route, sizes)
        value = outward(route, [_window(fill, sizes) for fill in route.fills], sizes).clone()
        if route.key in found and not torch.equal(found[route.key], value):
            message = f"`{route.key}` would be {', '.join(f'`{fill}`' for fill in route.fills)} and another tensor"
            raise ArgumentError("NL0564", message, Label(route.rule.span))
        found[route.key] = value
    return found


def _tensors(weights: Weights) -> dict[str, torch.Tensor]:
    """The foreign tensors by key."""
    if isinstance(weights, (str, Path)):
        return read_tensors(str(weights))
    if not isinstance(weights, Mapping):
        hint = "give a state dict, or the path of a .safetensors, .pt or .npz file"
        raise ArgumentError("NL0560", f"weights are no {type(weights).__name__}", hint=hint)
    return {str(key): _tensor(str(key), value) for key, value in weights.items()}


def _tensor(key: str, value: Any) -> torch.Tensor:
    value = as_tensor(value)
    if isinstance(value, torch.Tensor) and value.layout is torch.strided and not value.is_meta:
        return value.detach()
    if isinstance(value, Mapping):
        raise ArgumentError("NL0560", f"`{key}` is no tensor, but a dict", hint=f"are the weights under `[{key!r}]`?")
    what = "is on the meta device, without values" if isinstance(value, torch.Tensor) and value.is_meta else (
        f"is no dense tensor, but {value.layout if isinstance(value, torch.Tensor) else type(value).__name__}"
    )  # fmt: skip
    raise ArgumentError("NL0560", f"`{key}` {what}", hint="leave it out of the dict, or make a tensor of it")


def _held(module: nn.Module) -> dict[str, Held]:
    if not isinstance(module, nn.Module):
        hint = 'construct the module first, as in `nl.load("linear").Linear(output=10)`'
        raise ArgumentError("NL0562", f"weights are of a module, not of {type(module).__name__}", hint=hint)
    own = held(module)
    for one in own.values():
        if hasattr(one.tensor, "placements"):  # a DTensor
            hint = "load before `fully_shard` or the like"
            raise ArgumentError("NL0562", f"`{one.path}` is spread over several processes", hint=hint)
        if one.tensor.is_meta and not one.waits:
            hint = "`module.to_empty(device=…)` gives it memory"
            raise ArgumentError("NL0562", f"`{one.path}` is on the meta device: it has no memory", hint=hint)
    return own


def _known(own: Iterable[Held]) -> dict[str, int]:
    """The sizes that a module's tensors say."""
    return solve(
        (prod((size for _, size in group), start=const(1)), have)
        for one in own
        if not one.waits
        for group, have in zip(one.dimensions, one.tensor.shape, strict=True)
    )


def _check_whole(report: LoadReport, own: Mapping[str, Held]) -> None:
    """What is only filled in part must have a size, and values, already."""
    for name in report.missing:
        one = own[name.partition("[")[0]]
        if name != one.path and one.waits:
            hint = "give the sizes to the constructor"
            raise SizeError(
                "NL0561", f"nothing fills `{name}`, and `{one.path}` has no values yet", *one.labels, hint=hint
            )


def _materialise(one: Held, sizes: Mapping[str, int]) -> None:
    """Gives a tensor that waits its size; its module becomes an ordinary one at its next call."""
    tensor = one.tensor
    if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
        known = iter(axis_sizes(one, sizes))
        tensor.materialize(tuple(prod(next(known) for _ in group) for group in one.dimensions))


def _window(fill: Fill, sizes: Mapping[str, int]) -> torch.Tensor:
    """What a fill fills of a tensor, with one dimension for each axis: a view."""
    view = fill.held.view(fill.held.tensor.detach(), axis_sizes(fill.held, sizes))
    for axis, coordinate in fill.chosen:
        view = view.narrow(axis, coordinate, 1)
    return view


def _check_elements(route: Route, tensor: torch.Tensor) -> None:
    """A tensor of reals does not fill one of integers."""
    for fill in route.fills:
        have, want = kind(tensor.dtype), kind(fill.held.tensor.dtype)
        if want < have:
            shown = f"`{route.key}` is {have.name.lower()} ({dtype_name(tensor.dtype)})"
            message = f"{shown}, but `{fill.held.path}` is {want.name.lower()}"
            raise ArgumentError("NL0560", message, Label(fill.target.span), *fill.held.labels)
