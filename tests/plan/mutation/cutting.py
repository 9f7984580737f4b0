"""Cutting a definition into statements and definitions, and joining them again.

In: definitions, the last of which is meant. Out: definitions that mean the same. What always holds: what is cut out is
evaluated where it stood, so names mean what they meant.
"""

from __future__ import annotations

import random
from dataclasses import replace

from namedlayers.syntax import tree
from tests.plan.mutation.trees import (
    CONSTANTS,
    NEW,
    SPAN,
    Path,
    Place,
    call,
    get,
    name,
    nodes,
    places,
    put,
    substituted,
)  # fmt: skip

MOST_INPUTS = 6


def cuttable(place: Place) -> bool:
    """Whether an expression may become a statement: not an index, where names are coordinates and integers, nor a
    name or a number (a power of a literal that is negative is real, one of a name is not); a condition may."""
    inner = place.expr.operand if isinstance(place.expr, tree.Unary) else place.expr
    return place.role != "index" and not isinstance(inner, tree.Name | tree.Number | tree.SizeOf | tree.String)


def bound(definition: tree.Definition, place: Place, new: str) -> tree.Definition:
    """With the expression as a statement of its own, and the name for it everywhere in the statement where it stood."""
    at = _statement(place.path)
    block, k = get(definition, at[:-1]), at[-1]
    assert isinstance(k, int)
    statement = _with_name(block[k], place, place.path[len(at) :], new)
    cut = tree.Assign(SPAN, (name(new),), place.expr)
    return put(definition, at[:-1], (*block[:k], cut, statement, *block[k + 1 :]))


def applied(definition: tree.Definition, place: Place, new: str) -> tuple[tree.Definition, tree.Definition] | None:
    """With the expression as a definition that is applied to the values that it reads, and that definition."""
    names = list(
        dict.fromkeys(
            node.name for node in nodes(place.expr) if isinstance(node, tree.Name) and node.name in place.scope
        )
    )
    axes = {one: place.scope[one] for one in names}
    if not 1 <= len(names) <= MOST_INPUTS or any(found is None for found in axes.values()):
        return None
    known = frozenset().union(*(found for found in axes.values() if found is not None))
    if not _mentioned(place, names) <= known:
        return None
    found = place.axes(place.expr)
    if found is None or not found <= known:
        return None
    data = tuple(
        tree.Parameter(SPAN, one, tuple(tree.Axis(SPAN, axis) for axis in sorted(axes[one] or ()))) for one in names
    )
    helper = tree.Definition(
        SPAN, "def", new, (), data, (), None, (tree.Return(SPAN, (place.expr,)),), inline=True
    )  # fmt: skip
    return put(definition, place.path, call(new, *map(name, names))), helper


def joined(definition: tree.Definition) -> tree.Definition:
    """With statements that bind one name to one expression put in where the name stands, as long as the name and all
    that it reads keep their meaning; blocks of scans stay."""
    k = 0
    while k < len(definition.body) - 1:
        changed = _without(definition, k)
        definition = changed or definition
        k += changed is None
    return definition


def reused(definition: tree.Definition, source: random.Random) -> tree.Definition:
    """With statements that follow each other under one name, where the first is read by the second alone."""
    body = list(definition.body)
    for k in range(len(body) - 1):
        first, second = body[k], body[k + 1]
        if not (isinstance(first, tree.Assign) and isinstance(second, tree.Assign)) or source.random() < 0.5:
            continue
        (old,), (new,) = first.targets[:1], second.targets[:1]
        others = [node for node in nodes(tuple(body[k + 2 :])) if node == old]
        if len(first.targets) == len(second.targets) == 1 and not others and _fresh(old.name):
            body[k] = replace(first, targets=(new,))
            body[k + 1] = replace(second, value=substituted(second.value, old, new))
    return replace(definition, body=tuple(body))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _fresh(one: str) -> bool:
    return one.startswith(NEW)


def _statement(path: Path) -> Path:
    """The part of a path that leads to the innermost statement: of the body, or of a scan's block."""
    ends = [k + 2 for k, step in enumerate(path[:-1]) if step == "body" and isinstance(path[k + 1], int)]
    return path[: ends[-1]]


def _with_name(statement: tree.Statement, place: Place, inside: Path, new: str) -> tree.Statement:
    statement = put(statement, inside, name(new))
    wrapped = tree.Definition(SPAN, "def", "f", (), (), (), None, (statement,))
    for other in reversed(list(places(wrapped))):
        if other.expr == place.expr and other.role == place.role and _statement(other.path) == ("body", 0):
            wrapped = put(wrapped, other.path, name(new))
    return wrapped.body[0]


def _mentioned(place: Place, values: list[str]) -> set[str]:
    """The axes that an expression names: in brackets, sizes, and as coordinates."""
    found = {node.name for node in nodes(place.expr) if isinstance(node, tree.Axis)}
    definitions = {node.function for node in nodes(place.expr) if isinstance(node, tree.Call)}
    definitions |= {node.base for node in nodes(place.expr) if isinstance(node, tree.Index)}
    return found | {
        node.name
        for node in nodes(place.expr)
        if isinstance(node, tree.Name)
        and node.name not in values
        and node not in definitions
        and node.name not in CONSTANTS
    }


def _without(definition: tree.Definition, k: int) -> tree.Definition | None:
    """With the expression of statement number k wherever its name stands, if that is possible everywhere."""
    body = definition.body
    if not _movable(body[k], body[k + 1 :]):
        return None
    statement = body[k]
    assert isinstance(statement, tree.Assign)
    (target,) = statement.targets
    changed = definition
    for place in reversed(list(places(definition))):
        if place.expr == target and place.role != "index" and _statement(place.path)[1] > k:
            changed = put(changed, place.path, statement.value)
    rest = changed.body[k + 1 :]
    if any(node == target for node in nodes(rest)):
        return None
    return replace(definition, body=(*body[:k], *rest))


def _movable(statement: tree.Statement, later: tuple[tree.Statement, ...]) -> bool:
    if not isinstance(statement, tree.Assign) or len(statement.targets) != 1:
        return False
    read = {node.name for node in nodes(statement.value) if isinstance(node, tree.Name)}
    written = {target.name for one in nodes(later) if isinstance(one, tree.Assign) for target in one.targets}
    carried = {one.name for one in nodes(later) if isinstance(one, tree.Carry)}
    scans = any(isinstance(one, tree.Scan) for one in later)
    return not scans and not (read | {statement.targets[0].name}) & (written | carried)
