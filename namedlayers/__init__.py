"""Neural network layers as text formulas over named axes, compiled to PyTorch."""

from __future__ import annotations

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


def __getattr__(name: str) -> object:
    """What needs torch and funsor is imported when it is first used, all at once: the errors and files do without."""
    if name not in __all__:
        raise AttributeError(f"module 'namedlayers' has no attribute {name!r}")
    from namedlayers import api, weights
    from namedlayers.call import function, layer, module, named

    for origin, names in (
        (api, _API),
        (weights, _WEIGHTS),
        (function, ("Function",)),
        (layer, ("LayerType",)),
        (module, ("Layer",)),
        (named, ("NamedTensor", "named")),
    ):
        globals().update({one: getattr(origin, one) for one in names})
    return globals()[name]


_API = ("Namespace", "compile", "load", "loads")
_WEIGHTS = ("LoadReport", "foreign_weights", "load_weights")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
