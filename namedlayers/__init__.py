"""Neural network layers as text formulas over named axes, compiled to PyTorch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from namedlayers.errors import ArgumentError, AxisError, FormulaError, FormulaSyntaxError, SizeError, UnknownNameError

if TYPE_CHECKING:
    from namedlayers.api import Namespace, compile, load, loads
    from namedlayers.call.function import Function
    from namedlayers.call.layer import LayerType
    from namedlayers.call.module import Layer
    from namedlayers.call.named import NamedTensor, named
    from namedlayers.weights import LoadReport, foreign_weights, load_weights

# A plain literal: setup.cfg reads it without importing the package.
__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "AxisError",
    "FormulaError",
    "FormulaSyntaxError",
    "Function",
    "Layer",
    "LayerType",
    "LoadReport",
    "NamedTensor",
    "Namespace",
    "SizeError",
    "UnknownNameError",
    "compile",
    "foreign_weights",
    "load",
    "load_weights",
    "loads",
    "named",
]


_HOMES = {
    "Function": "call.function",
    "Layer": "call.module",
    "LayerType": "call.layer",
    "LoadReport": "weights",
    "NamedTensor": "call.named",
    "Namespace": "api",
    "compile": "api",
    "foreign_weights": "weights",
    "load": "api",
    "load_weights": "weights",
    "loads": "api",
    "named": "call.named",
}
"""What needs torch and funsor is imported when it is first used: the errors and files do without."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'namedlayers' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"namedlayers.{_HOMES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *__all__]
