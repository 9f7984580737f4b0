"""Definitions as text, with their axes renamed, put in another order, and added to.

In: definitions and a `Writing`: new names of axes, the order of each input's, those that are added. Out: text. What
always holds: axis names, coordinates and sizes are renamed together, and values never.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from namedlayers.syntax import format_expr, tree
from tests.plan.mutation.trees import CONSTANTS, axes_of, axis_names, nodes

NAMES = ("b", "a", "batch", "q'", "m_", "left", "z", "u", "time", "alpha", "w'", "out", "k1", "c9", "row", "y_")
"""What axes are called instead: in another order than before, keywords of no kind, some with primes."""


@dataclass(frozen=True)
class Writing:
    """`renamed`: new names by old; `orders`: the axes of each input as they are declared, under old names; `added`:
    the axis that these inputs have besides; `result`: the axes of the result, if they are declared."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    orders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    added: str | None = None
    result: tuple[str, ...] | None = None


def axes_in(definition: tree.Definition) -> list[str]:
    """All axes that a definition names anywhere, in the order of the text."""
    values = _values(definition)
    found = [node.name for node in nodes(definition) if isinstance(node, tree.Axis)]
    return [one for one in dict.fromkeys(found) if one not in values]


def declared(one: tree.Parameter) -> tuple[str, ...]:
    return tuple(axis_names(one.axes or ()))


def shuffled(definition: tree.Definition, source: random.Random, lifted: tuple[str, ...] = ()) -> Writing:
    """New names for all axes, the inputs' in any order, a further axis on the inputs `lifted`."""
    axes = axes_in(definition)
    taken = _values(definition)
    more = "n"
    while more in taken | set(axes):
        more += "'"
    names = [one for one in NAMES if one not in taken]
    assert len(names) > len(axes), "not enough names"
    source.shuffle(names)
    orders = {}
    for one in (*definition.data, *definition.parameters):
        if one.axes is not None:
            order = [*declared(one), *([more] if one.name in lifted else [])]
            source.shuffle(order)
            orders[one.name] = tuple(order)
    renamed = dict(zip([*axes, more], names, strict=False))
    return Writing(renamed, orders, more if lifted else None, _result(definition, source, lifted, more))


def written(definitions: tuple[tree.Definition, ...], writing: Writing) -> str:
    """The text of definitions, of which the last takes the inputs."""
    *helpers, main = definitions
    known = {one.name for one in definitions}
    texts = [_text(_renamed(one, writing.renamed, known), None) for one in helpers]
    ordered = replace(main, data=_ordered(main.data, writing), parameters=_ordered(main.parameters, writing))
    result = writing.result and tuple(writing.renamed.get(one, one) for one in writing.result)
    return "\n".join([*texts, _text(_renamed(ordered, writing.renamed, known), result)])


# --- helpers ----------------------------------------------------------------------------------------------------------


def _values(definition: tree.Definition) -> set[str]:
    """The names of values: inputs, and all that is assigned or carried."""
    inputs = {one.name for one in (*definition.data, *definition.parameters)}
    bound = {target.name for one in nodes(definition.body) if isinstance(one, tree.Assign) for target in one.targets}
    return inputs | bound | {one.name for one in nodes(definition.body) if isinstance(one, tree.Carry)}


def _ordered(inputs: tuple[tree.Parameter, ...], writing: Writing) -> tuple[tree.Parameter, ...]:
    found = []
    for one in inputs:
        if one.axes is not None and one.name in writing.orders:
            axes = {axis.name: axis for axis in one.axes if isinstance(axis, tree.Axis)}
            order = writing.orders[one.name]
            one = replace(one, axes=tuple(axes.get(axis) or tree.Axis(one.span, axis) for axis in order))
        found.append(one)
    return tuple(found)


def _renamed(node: Any, names: Mapping[str, str], known: set[str]) -> Any:
    values = _values(node) | known | CONSTANTS

    def go(one: Any) -> Any:
        if isinstance(one, tuple):
            return tuple(map(go, one))
        if not isinstance(one, tree.Node):
            return one
        if isinstance(one, tree.Axis) or isinstance(one, tree.Name) and one.name not in values:
            one = replace(one, name=names.get(one.name, one.name))
        if isinstance(one, tree.Call) and isinstance(one.function, tree.Name):
            kept = one.function
            return replace(_below(one), function=kept)
        return _below(one)

    def _below(one: Any) -> Any:
        changed = {f.name: go(getattr(one, f.name)) for f in fields(one) if f.name != "span"}
        return replace(one, **changed)

    return go(node)


def _result(
    definition: tree.Definition, source: random.Random, lifted: tuple[str, ...], more: str
) -> tuple[str, ...] | None:
    """The axes of the result in any order, where the last expression tells."""
    if definition.results is not None:
        axes: list[str] = axis_names(definition.results[0].axes)
    else:
        last = definition.body[-1]
        scope = {one.name: frozenset(declared(one)) for one in (*definition.data, *definition.parameters)}
        if len(definition.body) > 1 or not isinstance(last, tree.Return) or len(last.values) > 1:
            return None
        found = axes_of(last.values[0], scope)
        if found is None:
            return None
        axes = sorted(found)
    axes += [more] if lifted else []
    source.shuffle(axes)
    return tuple(axes)


def _text(definition: tree.Definition, result: tuple[str, ...] | None) -> str:
    data = ", ".join(map(format_expr, definition.data))
    parameters = ", ".join(map(format_expr, definition.parameters))
    head = f"def {definition.name}({data}{'; ' if parameters else ''}{parameters})"
    if result is None and definition.results is not None:
        result = tuple(axis_names(definition.results[0].axes))
    head += f" -> [{', '.join(result)}]" if result is not None else ""
    return "\n".join([f"{head}:", *_block(definition.body, 1)]) + "\n"


def _block(block: tuple[tree.Statement, ...], depth: int) -> list[str]:
    lines = []
    margin = "    " * depth
    for one in block:
        if isinstance(one, tree.Assign):
            targets = ", ".join(target.name for target in one.targets)
            lines.append(f"{margin}{targets} = {format_expr(one.value)}")
        elif isinstance(one, tree.Return):
            lines.append(f"{margin}return {', '.join(map(format_expr, one.values))}")
        else:
            assert isinstance(one, tree.Scan), "tables have no other statements"
            carries = ", ".join(f"{carry.name} = {format_expr(carry.start)}" for carry in one.carries)
            head = f"scan {one.axis.name}{' reversed' if one.backwards else ''}"
            lines += [f"{margin}{head}{' with ' + carries if carries else ''}:", *_block(one.body, depth + 1)]
    return lines
