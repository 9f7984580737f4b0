"""The keywords that are no arguments of a call: options, given when compiling, and with which a layer is made into a
module: sizes, options, dtype and device.

In: keyword arguments. Out: `Settings`. What always holds: each is told apart by its name alone; a name that means two
things or nothing is an ArgumentError that points at the signature.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch

from namedlayers.call.bind import option_spans
from namedlayers.call.fits import check_option
from namedlayers.call.forms import as_torch, form, read
from namedlayers.call.words import listed
from namedlayers.errors import ArgumentError, Label, near_miss
from namedlayers.program.elaboration.definitions import axis_parameters, declared_axes, inputs_of
from namedlayers.program.elaboration.layers import sized_names
from namedlayers.program.elaboration.places import axis_in_signature
from namedlayers.program.elaboration.stars import mentioned
from namedlayers.program.signature import Signature, star_axes
from namedlayers.program.spec import TRAINING, Static
from namedlayers.syntax import tree


@dataclass(slots=True)
class Settings:
    """`sizes` by axis; `stars`: the axes for which a starred axis parameter stands, where their sizes are given.
    `inner` may be sizes of axes that only the body names, if nothing else gives these one."""

    options: dict[str, Static] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    stars: dict[str, tuple[str, ...]] = field(default_factory=dict)
    dtype: torch.dtype | None = None
    device: torch.device | None = None
    inner: dict[str, Any] = field(default_factory=dict)


def read_settings(
    definition: tree.Definition, sign: Signature, given: Mapping[str, Any], settled: Mapping[str, Static]
) -> Settings:
    """The keywords of a constructor; `settled` are the options that compiling has settled. Raises ArgumentError."""
    options, axes, stars = {one.name: one.span for one in sign.options}, sized_names(definition), _stars(definition)
    found, body, tensors = Settings(), mentioned(definition.body), {TRAINING, *(one.name for one in sign.inputs)}
    for name, value in given.items():
        _check_one_meaning(definition, sign, name, options)
        if name in options:
            if name in settled:
                raise ArgumentError(
                    "NL0504", f"`{name}` was settled when `{sign.name}` was compiled", Label(options[name]),
                    hint=f"leave it out, or compile without `{name}=`",
                )  # fmt: skip
            option = as_torch(value)
            check_option(name, options[name], read(form(option)))
            found.options[name] = option
        elif name in axes:
            found.sizes[name] = read_size(definition, sign, name, value)
        elif name in stars:
            sizes = value if isinstance(value, (tuple, list, torch.Size)) else (value,)
            found.stars[name] = star_axes(sign, name, len(sizes))
            for axis, size in zip(found.stars[name], sizes, strict=True):
                found.sizes[axis] = read_size(definition, sign, name, size)
        elif name == "dtype":
            found.dtype = _dtype(value)
        elif name == "device":
            found.device = None if value is None else _device(value)
        elif name in body and name not in tensors:
            found.inner[name] = value
        else:
            raise no_such_setting(definition, sign, name)
    return found


def no_such_setting(definition: tree.Definition, sign: Signature, name: str) -> ArgumentError:
    """The error for a keyword that is nothing of a layer."""
    if name == TRAINING:
        return _training(sign)
    axes, options = [*sized_names(definition), *_stars(definition)], [one.name for one in sign.options]
    if any(name == one.name for one in sign.inputs):
        return ArgumentError(
            "NL0542", f"`{name}` is an input of the modules of `{sign.name}`, which must be made first",
            Label(next(one.span for one in sign.inputs if one.name == name)), hint=_made_and_called(definition, sign),
        )  # fmt: skip
    has = [f"the axes {listed(axes)}"] * bool(axes) + [f"the options {listed(options)}"] * bool(options)
    hint = near_miss(name, [*axes, *options]) or (f"it has {' and '.join(has)}" if has else "it has none")
    message = f"`{sign.name}` has no axis and no option `{name}`"
    return ArgumentError("NL0531", message, Label(sign.span), hint=hint)


def by_position(definition: tree.Definition, sign: Signature) -> ArgumentError:
    """The error for a layer that is called as if it were a module."""
    return ArgumentError(
        "NL0542", f"`{sign.name}` takes sizes and options, by name, and makes a module, which takes tensors",
        Label(sign.span), hint=_made_and_called(definition, sign),
    )  # fmt: skip


def _made_and_called(definition: tree.Definition, sign: Signature) -> str:
    axes = [axis for axis in sized_names(definition) if axis.isidentifier()][:2]
    inputs = ", ".join(one.name for one in sign.inputs if one.required)
    return f"`{sign.name}({', '.join(f'{axis}=…' for axis in axes)})({inputs})`"


def check_options(sign: Signature, options: Mapping[str, Any], *, module: bool = False) -> None:
    """Raises ArgumentError for options, given when compiling, that a definition has not. A `module` says itself whether
    it is training."""
    known = option_spans(sign)
    for name, value in options.items():
        if name == TRAINING and module:
            raise _training(sign)
        if name not in known:
            has = [one for one in known if not (one == TRAINING and module)]
            hint = near_miss(name, has) or (f"its options are {listed(has)}" if has else "it has none")
            raise ArgumentError("NL0503", f"`{sign.name}` has no option `{name}`", Label(sign.span), hint=hint)
        check_option(name, known[name], read(form(value)))


def _stars(definition: tree.Definition) -> list[str]:
    nodes = [*axis_parameters(definition), *(one for p in inputs_of(definition) for one in declared_axes(p))]
    return list(dict.fromkeys(node.name for node in nodes if node.star))


def _check_one_meaning(definition: tree.Definition, sign: Signature, name: str, options: Mapping[str, Any]) -> None:
    """An option may be called like an axis that only a parameter has, and may well be its size."""
    axes = {*sign.axis_parameters, *(axis for one in sign.inputs for axis in one.axes), *chain(*sign.outputs or ())}
    if name in options and {name, f"*{name}"} & axes:
        raise ArgumentError(
            "NL0529", f"`{name}` is an axis and an option of `{sign.name}`: which is meant?",
            Label(axis_in_signature(definition, name), "an axis"), Label(options[name], "an option"),
            hint="call one of them otherwise",
        )  # fmt: skip


def read_size(definition: tree.Definition, sign: Signature, name: str, value: Any) -> int:
    """What is given for an axis."""
    try:
        size = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        size = None
    if size is None or size < 0:
        raise ArgumentError(
            "NL0530", f"`{name}` is an axis of `{sign.name}`, so it is given a size, not {value!r}",
            Label(axis_in_signature(definition, name)), hint=f"a size is an integer: `{sign.name}({name}=16)`",
        )  # fmt: skip
    return size


def _dtype(value: Any) -> torch.dtype | None:
    if value is not None and not (isinstance(value, torch.dtype) and (value.is_floating_point or value.is_complex)):
        raise ArgumentError("NL0530", f"`dtype` is a type of reals, not {value!r}", hint="such as `torch.float32`")
    return value


def _device(value: Any) -> torch.device:
    try:
        return torch.device(value)
    except (RuntimeError, TypeError):
        raise ArgumentError("NL0530", f"there is no device {value!r}", hint='such as `"cpu"`, `"cuda:0"`') from None


def _training(sign: Signature) -> ArgumentError:
    message = f"`{TRAINING}` is no option of `{sign.name}`"
    return ArgumentError("NL0504", message, Label(sign.span), hint="a module says it: `.train()`, `.eval()`")
