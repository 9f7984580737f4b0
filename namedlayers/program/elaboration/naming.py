"""What the instances and blocks of a layer are called: by the name that they are assigned to, or after their type.

In: a layer's body. Out: a name for each place where a layer is written, and for each `repeat`. What always holds: names
follow from the text alone, in its order, whatever options say; no two places of one block have one name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from namedlayers.program.namespace import Namespace
from namedlayers.syntax import tree


def name_places(definition: tree.Definition, namespace: Namespace) -> dict[int, str]:
    """Names by where they begin in the text: what is written of a layer, and blocks that repeat."""
    found: dict[int, str] = {}
    options = {parameter.name for parameter in definition.parameters if parameter.axes is None}
    _name_block(definition.body, namespace, options, found)
    return found


def layer_of(node: Any, namespace: Namespace) -> tree.Definition | None:
    """The layer that a name, or a name behind a module's, means in a text."""
    definition = None
    if isinstance(node, tree.Name):
        known = namespace.find(node.name)
        definition = known[0] if known is not None else None
    elif isinstance(node, tree.Attribute) and isinstance(node.base, tree.Name):
        space = namespace.modules.get(node.base.name)
        definition = space.definitions.get(node.name) if space is not None else None
    return definition if definition is not None and definition.kind == "layer" else None


def written(value: tree.Expr) -> tree.Expr:
    """What is before the brackets, where a layer is written without being applied."""
    return value.base if isinstance(value, tree.Index) else value


def after_type(name: str) -> str:
    """A type's name as an instance's.

    >>> after_type("FeedForward"), after_type("LSTM"), after_type("SEBlock")
    ('feed_forward', 'lstm', 'se_block')
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return spaced.lower()


def free_name(wish: str, taken: set[str]) -> str:
    """`wish`, or `wish_2`, `wish_3`, … if that is taken."""
    name, number = wish, 1
    while name in taken:
        number += 1
        name = f"{wish}_{number}"
    return name


# --- helpers ----------------------------------------------------------------------------------------------------------


def _name_block(
    body: tuple[tree.Statement, ...], namespace: Namespace, options: set[str], found: dict[int, str]
) -> None:
    """Assigned instances and declared tensors first, as they have no other names; then what is named after its type.

    An option may hold a layer, too.
    """
    taken: set[str] = set()
    for node in _nodes(body, into_repeats=False):
        if isinstance(node, tree.Declare):
            taken.add(node.name)
        elif isinstance(node, tree.Assign) and len(node.targets) == 1:
            place = written(node.value)
            optional = isinstance(place, tree.Name) and place.name in options
            if optional or layer_of(place, namespace) is not None:
                found[place.span.start] = node.targets[0].name
                taken.add(node.targets[0].name)
    for node in sorted(_nodes(body, into_repeats=False), key=lambda node: node.span.start):
        if isinstance(node, tree.Repeat):
            wish = node.index.name if node.index is not None else "repeat"
            found[node.span.start] = free_name(wish, taken)
            taken.add(found[node.span.start])
            _name_block(node.body, namespace, options, found)
            continue
        definition = layer_of(node, namespace)
        if definition is not None and node.span.start not in found:
            found[node.span.start] = free_name(after_type(definition.name), taken)
            taken.add(found[node.span.start])


def _nodes(body: tuple[tree.Statement, ...], *, into_repeats: bool) -> Iterator[tree.Node]:
    """All nodes of a block; of a block inside that repeats only itself, unless `into_repeats`."""
    waiting: list[Any] = [body]
    while waiting:
        one = waiting.pop()
        if isinstance(one, tuple):
            waiting += reversed(one)
        elif isinstance(one, tree.Node):
            yield one
            if isinstance(one, tree.Repeat) and not into_repeats:
                waiting.append(one.count)
                continue
            if isinstance(one, tree.Attribute):
                continue
            waiting += [getattr(one, field.name) for field in fields(one) if field.name != "span"]
