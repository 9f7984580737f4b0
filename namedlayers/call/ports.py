"""What a definition takes and gives, as its user sees it.

In: a signature, a definition. Out: `Port`s. What always holds: the order is that of the signature and of the `return`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from namedlayers.program.signature import Signature
from namedlayers.syntax import tree


class Port(NamedTuple):
    """An input or a result: its name and its axes."""

    name: str
    axes: tuple[str, ...]


def inputs(sign: Signature) -> tuple[Port, ...]:
    """The tensors that a definition takes, each with the axes of its signature."""
    return tuple(Port(one.name, one.axes) for one in sign.inputs)


def outputs(definition: tree.Definition, axes: Sequence[tuple[str, ...]]) -> tuple[Port, ...]:
    """The results with these axes. Each is called as in the `return`, or `result` where an expression stands there."""
    returned = next((s.values for s in definition.body if isinstance(s, tree.Return)), ())
    names = [one.name if isinstance(one, tree.Name) else "result" for one in returned]
    named = names if len(names) == len(axes) else ["result"] * len(axes)
    return tuple(Port(name, one) for name, one in zip(named, axes, strict=True))
