"""A graph as data: as JSON for programs, and as DOT, which Graphviz and many editors draw.

In: an `fx.GraphModule` as `emit` makes them. Out: text. What always holds: the nodes are those of the graph and of the
bodies that it calls, in their order, under their names; operands that are nodes are edges, all others part of a node.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from torch import fx

from namedlayers.inspect.graph import axes_of, bodies, operation, text_of


def graph_json(module: fx.GraphModule) -> str:
    """`nodes` with their names, axes (null: no tensor of named axes), operations, operands, rules and what they
    compute, and `bodies`, graphs by their names."""
    return json.dumps(_graph(module), indent=2, ensure_ascii=False)


def graph_dot(module: fx.GraphModule) -> str:
    """A box for each node, an arrow from each value to what takes it, a frame round each body."""
    lines = ["digraph formula {", "  node [shape=box, fontname=monospace];", *_drawn(module, "", "  ")]
    for number, (name, body) in enumerate(bodies(module)):
        lines += [f"  subgraph cluster_{number} {{", f"    label={_quoted(name)};"]
        lines += [*_drawn(body, f"{name}.", "    "), "  }"]
    return "\n".join([*lines, "}"])


def _graph(module: fx.GraphModule) -> dict[str, Any]:
    return {
        "nodes": [_node(node) for node in module.graph.nodes],
        "bodies": {name: _graph(body) for name, body in bodies(module)},
    }


def _node(node: fx.Node) -> dict[str, Any]:
    axes = axes_of(node)
    return {
        "name": node.name,
        "axes": None if axes is None else list(axes),
        "operation": operation(node),
        "operands": [operand.name for operand in node.all_input_nodes],
        "arguments": [str(argument) for argument in node.args],
        "options": {name: str(value) for name, value in node.kwargs.items()},
        "rule": text_of(node, "rule") or None,
        "computes": text_of(node, "text") or None,
    }


def _drawn(module: fx.GraphModule, prefix: str, indent: str) -> Iterator[str]:
    for node in module.graph.nodes:
        axes = axes_of(node)
        said = [node.name if axes is None else f"{node.name} [{', '.join(axes)}]"]
        said += [operation(node), text_of(node, "text")]
        label = "\n".join(line for line in said if line)
        yield f"{indent}{_quoted(prefix + node.name)} [label={_quoted(label)}];"
        for operand in node.all_input_nodes:
            yield f"{indent}{_quoted(prefix + operand.name)} -> {_quoted(prefix + node.name)};"


def _quoted(text: str) -> str:
    """A string of DOT, in which a backslash is one only before a quote or in `\\n`."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
