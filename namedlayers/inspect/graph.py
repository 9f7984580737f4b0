"""A graph as a table: one line a node, with its axes, its operands, the rule that made it and what it computes.

In: an `fx.GraphModule` as `emit` makes them. Out: text. What always holds: on anything but a terminal the text depends
on the graph alone, not on a width or on colours.
"""

from __future__ import annotations

import io
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import fx

COLUMNS = ("value", "axes", "operation", "operands", "rule", "computes")
_STYLES = ("bold", "cyan", "", "", "magenta", "dim")
_UNBOUNDED = 100_000


def graph_table(module: fx.GraphModule, terminal: TextIO | None = None) -> str:
    """The nodes of a graph in order, then those of the bodies that it calls; given a terminal, in its width and
    colours."""
    shown = [_table(module, terminal)]
    shown += (f"{name}:\n{_table(body, terminal)}" for name, body in bodies(module))
    return "\n\n".join(shown)


def bodies(module: fx.GraphModule) -> list[tuple[str, fx.GraphModule]]:
    """The graphs that a graph calls, by their names."""
    return [(name, body) for name, body in module.named_children() if isinstance(body, fx.GraphModule)]


def axes_of(node: fx.Node) -> tuple[str, ...] | None:
    """The names of a value's axes, in the order of its dimensions."""
    axes: tuple[str, ...] | None = node.meta.get("axes")
    return axes


def operation(node: fx.Node) -> str:
    """The operation as torch's documentation calls it, as far as the function itself knows."""
    if node.op in ("placeholder", "output"):
        return node.op
    target = node.target
    return target if isinstance(target, str) else getattr(target, "__name__", str(target))


def text_of(node: fx.Node, which: str) -> str:
    """What is noted of a node: its `rule`, the `text` that it computes."""
    return str(node.meta.get(which) or "")


def row(node: fx.Node) -> tuple[str, ...]:
    """The cells of a node, in the order of `COLUMNS`."""
    axes = axes_of(node)
    return (
        node.name,
        "" if axes is None else f"[{', '.join(axes)}]",
        operation(node),
        ", ".join([*map(str, node.args), *(f"{name}={value}" for name, value in node.kwargs.items())]),
        text_of(node, "rule"),
        text_of(node, "text"),
    )


def rendered(table: Table, terminal: TextIO | None) -> str:
    """A table as text; given a terminal, in its width and colours."""
    page = io.StringIO()
    if terminal is None:
        console = Console(file=page, width=_UNBOUNDED, color_system=None, force_terminal=False, legacy_windows=False)
    else:
        console = Console(file=page, width=Console(file=terminal).width, force_terminal=True)
    console.print(table, crop=False)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def _table(module: fx.GraphModule, terminal: TextIO | None) -> str:
    table = Table(*COLUMNS, box=None, pad_edge=False, header_style="bold underline")
    for column, style in zip(table.columns, _STYLES, strict=True):
        column.style = style
        column.overflow = "fold"
    for node in module.graph.nodes:
        # `Text` keeps rich from reading `[seq]` as markup.
        table.add_row(*(Text(cell) for cell in row(node)))
    return rendered(table, terminal)
