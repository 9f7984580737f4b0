"""Reads the attributes of planned nodes, with the types that `numbered` and `operations` say they have."""

from __future__ import annotations

from typing import Any

from namedlayers.program.graph import Node
from namedlayers.program.size import SizeExpr


def position(node: Node, name: str) -> int:
    """A position, or an operand's own axis number."""
    found = node.attr(name)
    assert isinstance(found, int)
    return found


def positions(node: Node, name: str) -> tuple[int, ...]:
    found = node.attr(name)
    assert isinstance(found, tuple)
    return found


def listed(node: Node, name: str) -> tuple[Any, ...]:
    """A tuple whose items differ by operation."""
    found = node.attr(name)
    assert isinstance(found, tuple)
    return found


def size_of(node: Node, name: str) -> SizeExpr:
    found = node.attr(name)
    assert isinstance(found, SizeExpr)
    return found


def word(node: Node, name: str) -> str:
    found = node.attr(name)
    assert isinstance(found, str)
    return found
