"""The views of a compiled definition that are text, by the names that the command line gives them.

In: a `Function`, or what it is for certain sizes. Out: text. What always holds: nothing is computed for a view.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol, TextIO

import torch
from torch import fx

from namedlayers.errors import FormulaError, SizeError, near_miss
from namedlayers.inspect.graph import graph_table
from namedlayers.inspect.graph_data import graph_dot, graph_json
from namedlayers.inspect.svg import graph_svg
from namedlayers.program.program import Kind


class Shown(Protocol):
    """What a function and its specialisations have in common."""

    @property
    def program(self) -> Any: ...

    @property
    def graph(self) -> fx.GraphModule: ...

    @property
    def code(self) -> str: ...

    def explain(self) -> str: ...

    def cost(self) -> Any: ...

    def latex(self) -> str: ...

    def show(self) -> Any: ...


View = Callable[[Shown, TextIO | None], str]

VIEWS: Mapping[str, View] = MappingProxyType({
    "code": lambda shown, terminal: shown.code,
    "cost": lambda shown, terminal: str(shown.cost()),
    "dot": lambda shown, terminal: graph_dot(shown.graph),
    "explain": lambda shown, terminal: shown.explain(),
    "graph": lambda shown, terminal: graph_table(shown.graph, terminal),
    "html": lambda shown, terminal: shown.show().html,
    "json": lambda shown, terminal: graph_json(shown.graph),
    "latex": lambda shown, terminal: shown.latex(),
    "program": lambda shown, terminal: str(shown.program),
    "svg": lambda shown, terminal: graph_svg(shown.graph),
})  # fmt: skip
"""Each takes what is shown, and the terminal for which it may be coloured, if any."""


def specialised(function: Any, sizes: Mapping[str, int]) -> Shown:
    """What runs for inputs whose axes have these sizes: one of the variants, where there are several.

    >>> import namedlayers as nl
    >>> dot = nl.compile("def dot(a[i], b[i]) = a @[i] b")
    >>> specialised(dot, {"i": 3}).code == dot.code
    True
    """
    return function.specialize(**{name: tensor for name, _, tensor in examples(function, sizes)})


def examples(function: Any, sizes: Mapping[str, int]) -> list[tuple[str, tuple[str, ...], torch.Tensor]]:
    """The tensors of a call without optional ones, for axes of these sizes: name, axes, a tensor without numbers."""
    inputs = _inputs(function)
    known = {axis for _, axes, _ in inputs for axis in axes}
    for axis in sizes:
        if axis not in known:
            hint = near_miss(axis, known) or f"the inputs have {', '.join(f'`{one}`' for one in sorted(known))}"
            raise FormulaError("NL0617", f"no input of `{function.name}` has an axis `{axis}`", hint=hint)
    missing: dict[str, str] = {}
    for name, axes, _ in inputs:
        for axis, fixed in axes.items():
            if sizes.get(axis, fixed) is None:
                missing.setdefault(axis, name)
    if missing:
        raise _missing(missing)
    return [(name, tuple(axes), _example(name, axes, dtype, sizes)) for name, axes, dtype in inputs]


_DTYPES = {Kind.BOOL: torch.bool, Kind.INT: torch.int64, Kind.REAL: torch.float32, Kind.COMPLEX: torch.complex64}

_Input = tuple[str, dict[str, int | None], torch.dtype]


def _inputs(function: Any) -> list[_Input]:
    """The tensors of a call without optional ones: name, axes with the sizes that the text fixes, dtype."""
    try:
        program = function.program
    except SizeError:  # the program itself depends on sizes: nothing is known before they are, so all inputs are given
        return [(port.name, dict.fromkeys(port.axes), torch.float32) for port in function.inputs]
    tensors = [one for one in program.inputs if one.role != "option" and not one.owned]
    return [(one.name, {axis: size.value for axis, size in one.axes}, _DTYPES[one.kind]) for one in tensors]


def _example(name: str, axes: Mapping[str, int | None], dtype: torch.dtype, sizes: Mapping[str, int]) -> torch.Tensor:
    """A tensor without numbers."""
    shape = [sizes.get(axis, fixed) for axis, fixed in axes.items()]
    try:
        return torch.empty(shape, dtype=dtype, device="meta")  # type: ignore[arg-type]
    except (RuntimeError, TypeError):  # torch counts elements in 64 bits
        given = ", ".join(f"{axis} = {size}" for axis, size in zip(axes, shape, strict=True))
        raise FormulaError("NL0617", f"`{name}` would be too large for torch: {given}") from None


def _missing(axes: Mapping[str, str]) -> FormulaError:
    """Axes without a size, each with an input that has it."""
    (first, its), *others = axes.items()
    message = f"the size of axis `{first}` of `{its}` is not given"
    message += "".join(f", nor that of `{axis}` of `{name}`" for axis, name in others)
    hint = f"give {'them' if others else 'it'} too: `{' '.join(f'--size {axis}=…' for axis in axes)}`"
    return FormulaError("NL0617", message, hint=hint)
