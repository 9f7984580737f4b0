"""The nodes `call` and `scan`: bodies as graphs of their own, and which operands' axes are whose.

In: a `call` or `scan` term whose operands have their nodes. Out: the attributes of its node. What always holds: one
body is one `Region` wherever it is run with inputs that are weak alike; two runs of a body that draws random numbers
are two nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from funsor.terms import Funsor

from namedlayers.program.graph import Graph, Node, Region
from namedlayers.program.numbered import Placed
from namedlayers.program.program import Body
from namedlayers.program.size import size_expr
from namedlayers.program.terms import Operand, Primitive, Ref
from namedlayers.program.walk import subterms

BUNDLES = frozenset({"call", "scan"})
"""The primitives that run a body."""

DRAWS = frozenset({"random", "categorical", "dropout"})
"""The primitives that draw random numbers."""

Weak = tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Regions:
    """The regions of one program. `number` makes the graph of a body whose inputs are weak as told."""

    number: Callable[[Body, Weak, Regions], Graph]
    found: dict[tuple[Body, Weak], Region] = field(default_factory=dict)
    drawing: dict[Body, bool] = field(default_factory=dict)

    def attributes(self, term: Primitive, operands: Sequence[Placed], site: int) -> Mapping[str, Hashable]:
        """The attributes of the node; `site` is the number of this run in its graph, from 1."""
        attrs: dict[str, Any] = dict(term.attrs)
        body: Body = attrs["body"]
        listed = zip(term.operands, operands, strict=True)
        found: dict[str, Hashable] = {
            "places": tuple(places(operand, placed, attrs.get("axis")) for operand, placed in listed),
            "site": site if self.draws(body) else 0,
        }
        if term.op == "scan":
            found |= {name: attrs[name] for name in ("carries", "reverse")} | {"size": size_expr(attrs["size"])}
        found["region"] = self.region(body, [placed.node for placed in operands], attrs.get("carries", 0))
        return found

    def region(self, body: Body, operands: Sequence[Node], carries: int) -> Region:
        """An input is weak if its operand is, a carried one if what it becomes is weak too."""
        weak = tuple(given.role == "option" or node.weak for given, node in zip(body.inputs, operands, strict=True))
        while True:
            region = self.found.get((body, weak))
            if region is None:
                region = self.found[body, weak] = Region(body, self.number(body, weak, self))
            becoming = tuple(update.node.weak for update in region.graph.outputs[:carries])
            kept = (*(a and b for a, b in zip(weak, becoming, strict=False)), *weak[carries:])
            if kept == weak:
                return region
            weak = kept

    def redrawn(self, term: Funsor) -> bool:
        """Whether the same term, somewhere else, is another draw."""
        return isinstance(term, Primitive) and term.op in BUNDLES and self.draws(dict(term.attrs)["body"])

    def draws(self, body: Body) -> bool:
        """Whether random numbers are drawn anywhere inside."""
        if body not in self.drawing:
            self.drawing[body] = any(
                isinstance(term, Primitive) and (term.op in DRAWS or self.redrawn(term))
                for statement in body.statements
                for term in subterms(statement.term)
            )
        return self.drawing[body]


def taken(bundle: Node, number: int) -> Node:
    """The body's node that a part takes."""
    region = bundle.attr("region")
    assert isinstance(region, Region)
    return region.graph.outputs[number].node


def places(operand: Operand, placed: Placed, scanned: str | None) -> tuple[int, ...]:
    """For each axis of the operand's node which axis of the body's input it is; -1: the scanned axis."""
    own = [axis for axis, _ in operand.axes if axis != scanned] if isinstance(operand, Ref) else []
    return tuple(-1 if name == scanned else own.index(name) for name in placed.names)
