"""A class of modules for each layer: its name and the signature of its `forward` are those of the text.

In: a layer's definition. Out: a subclass of `Layer`, and one that waits for its sizes. What always holds: the classes
do what `Layer` does; they exist so that whoever asks a module for its type or its signature (`torch.export`, a help
text, a trainer) is told of the formula.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from namedlayers.call.lazy import LazyLayer
from namedlayers.call.module import Layer
from namedlayers.program.elaboration.definitions import inputs_of, options_of
from namedlayers.syntax import tree


@dataclass(frozen=True, slots=True)
class Default:
    """The default of an argument, by its text."""

    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Classes:
    """`ordinary` modules, and those that are `lazy`."""

    ordinary: type[Layer]
    lazy: type[LazyLayer]


def classes(definition: tree.Definition) -> Classes:
    """The classes of a layer."""
    members = {"forward": _forward(definition), "__doc__": definition.span.text, "__module__": Layer.__module__}
    ordinary = type(definition.name, (Layer,), members)
    members = {"cls_to_become": ordinary, "__doc__": definition.span.text, "__module__": Layer.__module__}
    lazy: Any = type(f"Lazy{definition.name}", (LazyLayer, ordinary), members)
    return Classes(ordinary, lazy)


def _forward(definition: tree.Definition) -> Callable[..., Any]:
    """`Layer.forward` with the arguments of the formula."""
    own = Layer.forward
    # A code of its own, since torch.compile counts by code how often it has compiled.
    code = own.__code__.replace(co_qualname=f"{definition.name}.forward")
    found = types.FunctionType(code, own.__globals__, "forward", own.__defaults__, own.__closure__)
    found.__doc__ = definition.span.text
    kind = inspect.Parameter
    listed = [kind("self", kind.POSITIONAL_ONLY)]
    listed += [_argument(one, kind.POSITIONAL_OR_KEYWORD) for one in inputs_of(definition)]
    # An option without a default was given when the module was made.
    listed += [_argument(one, kind.KEYWORD_ONLY) for one in options_of(definition) if one.default is not None]
    if all(one.name.isidentifier() for one in listed):  # a name may have primes
        found.__signature__ = inspect.Signature(_in_order(listed))  # type: ignore[attr-defined]
    return found


def _argument(one: tree.Parameter, kind: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if one.default is None else Default(one.default.span.text)
    return inspect.Parameter(one.name, kind, default=default)


def _in_order(listed: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """Python wants no argument without a default after one with: these can be given by name only."""
    found: list[inspect.Parameter] = []
    optional = False
    for one in listed:
        positional = one.kind is not one.KEYWORD_ONLY
        if positional and optional and one.default is one.empty:
            one = one.replace(kind=one.KEYWORD_ONLY)
        optional = optional or (positional and one.default is not one.empty)
        found.append(one)
    return sorted(found, key=lambda one: one.kind)
