"""What a definition declares: its inputs, options and axis parameters, as they stand in the signature.

In: definitions of the tree. Out: their parts. What always holds: axes are single names here; groups are refused.
"""

from __future__ import annotations

from namedlayers.errors import AxisError, Label
from namedlayers.syntax import tree


def inputs_of(definition: tree.Definition) -> list[tree.Parameter]:
    """The tensors that a definition takes: data, and parameters with brackets."""
    return [*definition.data, *(p for p in definition.parameters if p.axes is not None)]


def options_of(definition: tree.Definition) -> list[tree.Parameter]:
    return [p for p in definition.parameters if p.axes is None]


def axis_parameters(definition: tree.Definition) -> list[tree.Axis]:
    """The axis parameters in order; a default size stands with its axis."""
    found: list[tree.Axis] = []
    for entry in definition.axes:
        ends = [part for part in (entry.source, entry.target) if part is not None]
        for k, part in enumerate(ends):
            if isinstance(part, tree.Group):
                raise AxisError("NL0314", "an axis parameter is one axis", Label(part.span))
            last = k == len(ends) - 1 and entry.value is not None and not isinstance(entry.value, tree.Slice)
            found.append(tree.Axis(part.span, part.name, part.star, entry.value if last else part.size))  # type: ignore[arg-type]
    return found


def declared_axes(parameter: tree.Parameter) -> list[tree.Axis]:
    """The axes that a signature names for an input."""
    found: list[tree.Axis] = []
    for item in parameter.axes or ():
        if isinstance(item, tree.Group):
            raise AxisError("NL0314", "an input's axes are named one by one; split it in the body", Label(item.span))
        found.append(item)
    return found
