"""Where errors point: the piece of the text that a person should look at.

In: nodes of the tree. Out: spans, and labels for second places. What always holds: a span is as narrow as what is
wrong; the text of a definition that ships with the package is not shown, because its user did not write it.
"""

from __future__ import annotations

from namedlayers.errors import Label, Span
from namedlayers.syntax import tree


def head(definition: tree.Definition) -> Span:
    """A definition up to its body: `def f[ax](X[ax]; k = 1) -> [ax]`."""
    span = definition.span
    if definition.results:
        return Span(span.source, span.start, definition.results[-1].span.end)
    before = max(
        [span.start, *(node.span.end for node in (*definition.axes, *definition.data, *definition.parameters))]
    )
    closed = span.source.text.find(")", before, span.end)
    return Span(span.source, span.start, closed + 1 if closed >= 0 else span.end)


def results(definition: tree.Definition) -> Span:
    """`[seq], [val]` after the arrow, or the head where there is none."""
    if not definition.results:
        return head(definition)
    return definition.results[0].span.to(definition.results[-1].span)


def axis_in_signature(definition: tree.Definition, name: str) -> Span:
    """Where a signature names an axis first; its head, where it does not."""
    inputs = [node for p in (*definition.data, *definition.parameters) for node in p.axes or ()]
    parameters = [part for entry in definition.axes for part in (entry.source, entry.target) if part is not None]
    stated = [node for result in definition.results or () for node in result.axes]
    for node in (*parameters, *inputs, *stated):
        if isinstance(node, tree.Axis) and node.name == name:
            return node.span
    return head(definition)


def brackets(call: tree.Call) -> Span:
    """What stands between the brackets of a call, or its function where nothing does."""
    return call.entries[0].span.to(call.entries[-1].span) if call.entries else call.function.span


def also(span: Span, text: str) -> tuple[Label, ...]:
    """A label for a second place, none where it ships with the package."""
    return () if span.source.shipped else (Label(span, text),)
