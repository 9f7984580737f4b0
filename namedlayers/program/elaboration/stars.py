"""Stars zip: an expression that names a star is taken once for each of its axes.

In: a piece of the tree and its environment. Out: environments in which each star named there stands for one of its
axes, and each tuple for its item. What always holds: stars that zip have one length; without stars, the environment
itself comes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from namedlayers.errors import AxisError, Label
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.values import Environment, Static
from namedlayers.syntax import tree


def unzip(ctx: Context, node: tree.Node, env: Environment) -> list[Environment]:
    """The environments in which to take `node`, one for each axis of its stars."""
    stars = {name: axes for name in mentioned(node) if isinstance(axes := env.axes.get(name), tuple)}
    if not stars:
        return [env]
    env.used_axes.update(stars)
    lengths = {len(axes) for axes in stars.values()}
    if len(lengths) > 1:
        listed = ", ".join(f"`*{name}` has {len(axes)}" for name, axes in sorted(stars.items()))
        raise AxisError("NL0313", f"the stars differ in length: {listed}", Label(node.span))
    (length,) = lengths
    return [_at(env, stars, length, k) for k in range(length)]


def mentioned(node: Any) -> set[str]:
    """All names of axes and values in a piece of the tree."""
    names: set[str] = set()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, (tree.Axis, tree.Name)):
            names.add(one.name)
        waiting += _children(one)
    return names


def starred(node: tree.Node) -> bool:
    """Whether a piece of the tree has a star in it, which is all of its axes there."""
    waiting: list[Any] = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, tree.Axis) and one.star:
            return True
        waiting += _children(one)
    return False


def _children(node: Any) -> Iterable[Any]:
    if isinstance(node, tuple):
        return node
    return [getattr(node, name) for name in _parts(type(node))] if isinstance(node, tree.Node) else ()


_PARTS: dict[type, tuple[str, ...]] = {}


def _parts(kind: type[tree.Node]) -> tuple[str, ...]:
    """The attributes of nodes of a class in which further pieces of the tree may stand."""
    found = _PARTS.get(kind)
    if found is None:
        found = _PARTS[kind] = tuple(field.name for field in fields(kind) if field.name != "span")
    return found


def _at(env: Environment, stars: dict[str, tuple[str, ...]], length: int, k: int) -> Environment:
    def item(value: Any) -> Any:
        zipped = isinstance(value, Static) and isinstance(value.value, tuple) and len(value.value) == length
        return Static(value.value[k], value.span) if zipped else value

    axes = env.axes | {name: one[k] for name, one in stars.items()}
    return replace(env, axes=axes, values={name: item(value) for name, value in env.values.items()})
