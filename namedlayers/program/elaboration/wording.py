"""How messages speak of values and their axes.

In: values, in a context. Out: pieces of sentences, and the error that many operations share. What always holds: the
user's own words are used where they are short.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from namedlayers.errors import AxisError, FormulaError, Label, Span, near_miss
from namedlayers.program.elaboration.state import State
from namedlayers.program.elaboration.values import Value
from namedlayers.syntax import tree


def missing_axis(ctx: State, what: str, axis: str, value: Value, span: Span) -> FormulaError:
    """The error for an operation along an axis that a value lacks."""
    shown = ctx.display.get(axis, axis)
    displayed = {ctx.display.get(a, a) for a in value.axes}
    return AxisError(
        "NL0301",
        f"{what} `{shown}`, but {spelled(value)} has no such axis",
        Label(span),
        *([Label(value.span, f"this {ctx.axes_of(value)}")] if value.span != span else []),
        hint=near_miss(shown, displayed) or _scanned(ctx, axis, shown) or _begins(ctx, axis, value),
    )


def stray_star(definition: str, node: tree.Axis) -> FormulaError:
    """The error for `*axes` that are no axis parameter of the definition."""
    return AxisError(
        "NL0302", f"`*{node.name}` is not an axis parameter", Label(node.span),
        hint=f"axes of any number are named before the inputs: `{definition}[*{node.name}](…)`; what no formula names "
        "is lifted over, and needs no star",
    )  # fmt: skip


def renamed_from(name: str, definition: tree.Definition) -> str | None:
    """The axis that some brackets of a definition rename to `name`."""
    waiting: list[Any] = [definition.body]
    while waiting:
        one = waiting.pop()
        if isinstance(one, tuple):
            waiting += reversed(one)
        elif isinstance(one, tree.Node):
            for entry in one.entries if isinstance(one, tree.Index) else ():
                if isinstance(entry.source, tree.Axis) and isinstance(entry.target, tree.Axis):
                    if entry.target.name == name:
                        return entry.source.name
            waiting += [getattr(one, field.name) for field in fields(one) if field.name != "span"]
    return None


def _scanned(ctx: State, axis: str, shown: str) -> str:
    """What to do where the axis is scanned, so that no value has it."""
    if all(one.axis != axis for one in ctx.scans):
        return ""
    return f"inside `scan {shown}` there is only the current step: take what is needed of others before it, or carry it"


def _begins(ctx: State, axis: str, value: Value) -> str:
    """What to write for a carried value that begins without an axis."""
    name = ctx.carried.get(value.draft.parts[0]) if value.draft.form == "leaf" else None
    return f"let `{name}` begin with its axes: `{name} = zeros[{ctx.display.get(axis, axis)}]`" if name else ""


def spelled(value: Value) -> str:
    """A value as the user's text has it, if that is short."""
    text = value.span.text
    short = len(text) <= 30 and "\n" not in text and not value.span.source.shipped
    return f"`{text}`" if short else "the value"


def renamed(value: Value, axis: str, name: str) -> str:
    """How a rename of a value is written."""
    text = value.span.text
    simple = re.fullmatch(r"[\w']+", text) is not None
    base = text if simple else f"({text})" if len(text) <= 40 and "\n" not in text else "(…)"
    return f"`{base}[{axis} -> {name}]`"
