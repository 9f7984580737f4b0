"""What is wrong with a definition whatever it is called with.

In: a definition. Out: nothing, or a FormulaError. What always holds: nothing is elaborated for it.
"""

from __future__ import annotations

from namedlayers.errors import ArgumentError, AxisError, Label, near_miss
from namedlayers.program.elaboration.definitions import axis_parameters, inputs_of
from namedlayers.program.elaboration.stars import mentioned
from namedlayers.syntax import tree


def check_definition(definition: tree.Definition) -> None:
    """Raise FormulaError for what is wrong with a definition whatever it is called with."""
    names = {parameter.name for parameter in inputs_of(definition)}
    listed = [p.name for p in (*definition.data, *definition.parameters)]
    for k, parameter in enumerate((*definition.data, *definition.parameters)):
        if parameter.name in listed[:k]:
            first = (*definition.data, *definition.parameters)[listed.index(parameter.name)]
            raise ArgumentError(
                "NL0224",
                f"`{parameter.name}` is declared twice",
                Label(parameter.span),
                Label(first.span, "first here"),
            )
    body = mentioned(definition.body) | mentioned(definition.data) | mentioned(definition.parameters)
    body |= mentioned(definition.results or ())
    seen: set[str] = set()
    for node in axis_parameters(definition):
        if node.name in seen:
            raise AxisError("NL0303", f"axis parameter `{node.name}` is named twice", Label(node.span))
        seen.add(node.name)
        if node.name not in body:
            raise AxisError(
                "NL0317", f"axis parameter `{node.name}` is never used", Label(node.span),
                hint=near_miss(node.name, body - names) or "take it away, or use it in an input or in the body",
            )  # fmt: skip
