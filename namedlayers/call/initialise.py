"""The first values of parameters and states.

In: a declaration, its tensor, sizes. Out: the tensor is filled in place. What always holds: an initialiser of
`torch.nn.init` does exactly what it does there, number for number, but for its fans, which are those that the text
names; an expression is evaluated by definition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import init

from namedlayers.errors import ArgumentError, Label
from namedlayers.program.initialisers import INITIALISERS
from namedlayers.program.structure import Declared, Initial

Sizes = Mapping[str, int]


@torch.no_grad()
def initialise(declared: Declared, tensor: torch.Tensor, sizes: Sizes) -> None:
    """Fills the tensor of a `param` or `state`; `sizes` are those of the symbols in the declaration."""
    initial = declared.initial
    try:
        if initial.function:
            fans = [fan.evaluate(sizes) for fan in initial.fans]
            if tensor.numel():
                _FILL[initial.function](tensor, fans, _options(initial, sizes))
        else:
            tensor.copy_(torch.tensor(_value(declared, sizes)))
    except (ValueError, RuntimeError, NotImplementedError) as error:
        if isinstance(error, ArgumentError):
            raise
        shape = ", ".join(f"{axis} = {size}" for axis, size in zip(declared.axes, tensor.shape, strict=False))
        raise ArgumentError(
            "NL0538", f"`{declared}` cannot begin as `{initial.function or 'this'}`: {_plain(error)}",
            Label(initial.span or declared.span, f"for {shape}"), Label(declared.span),
        ) from None  # fmt: skip


def _options(initial: Initial, sizes: Sizes) -> dict[str, Any]:
    """The options of `torch.nn.init`, as numbers and words; what the text leaves out has its default."""
    found: dict[str, Any] = dict(INITIALISERS[initial.function].options)
    found |= dict(initial.words)
    if initial.program is not None:
        values = _evaluate(initial, sizes)
        given = {name: value.item() for name, value in zip(initial.names, values, strict=True)}
        for name, value in given.items():
            if initial.function == "uniform" and not math.isfinite(value):
                raise ValueError(f"its `{name}` is {value}")
        found |= given
    return found


def _value(declared: Declared, sizes: Sizes) -> np.ndarray:
    """The value of an expression over the tensor's dimensions; along axes that it lacks it is constant."""
    initial = declared.initial
    assert initial.program is not None
    (value,) = _evaluate(initial, sizes)
    shape = [size.evaluate(sizes) for size in declared.sizes]
    wide = [n if k in initial.places else 1 for k, n in enumerate(shape)]
    return np.broadcast_to(value.reshape(wide), shape)


def _evaluate(initial: Initial, sizes: Sizes) -> tuple[np.ndarray, ...]:
    from namedlayers.reference import evaluate

    assert initial.program is not None
    return evaluate(initial.program, {}, sizes=sizes)


def _plain(error: Exception) -> str:
    """The first line of what torch says, as the end of a sentence."""
    return str(error).splitlines()[0].rstrip(".")


# --- the initialisers -------------------------------------------------------------------------------------------------

Fill = Callable[[torch.Tensor, Sequence[int], Mapping[str, Any]], Any]


def _kaiming(fans: Sequence[int], options: Mapping[str, Any]) -> float:
    """The standard deviation."""
    return init.calculate_gain(options["nonlinearity"], options["a"]) / math.sqrt(fans[0])


def _xavier(fans: Sequence[int], options: Mapping[str, Any]) -> float:
    return options["gain"] * math.sqrt(2.0 / float(fans[0] + fans[1]))


def _uniform(tensor: torch.Tensor, std: float) -> None:
    """With this standard deviation."""
    bound = math.sqrt(3.0) * std
    tensor.uniform_(-bound, bound)


def _dirac(tensor: torch.Tensor, fans: Sequence[int], options: Mapping[str, Any]) -> None:
    init.dirac_(tensor, int(options["groups"]))


def _of_torch(fill: Callable[..., Any]) -> Fill:
    """An initialiser without fans, which takes its options by their names."""
    return lambda tensor, fans, options: fill(tensor, **options)


_FILL: dict[str, Fill] = {
    **{
        name: _of_torch(getattr(init, f"{name}_"))
        for name in ("zeros", "ones", "constant", "uniform", "normal", "trunc_normal", "orthogonal", "eye", "sparse")
    },
    "dirac": _dirac,
    "kaiming_uniform": lambda tensor, fans, options: _uniform(tensor, _kaiming(fans, options)),
    "kaiming_normal": lambda tensor, fans, options: tensor.normal_(0, _kaiming(fans, options)),
    "xavier_uniform": lambda tensor, fans, options: _uniform(tensor, _xavier(fans, options)),
    "xavier_normal": lambda tensor, fans, options: tensor.normal_(0.0, _xavier(fans, options)),
}
