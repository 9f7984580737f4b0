"""What a plan did, in words: which rules fired where, which nearly did and why not, contractions, variants.

In: a plan. Out: text that quotes the formula's own lines. What always holds: it is the same text for the same formula.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from namedlayers.errors import Span
from namedlayers.plan.plan import Event, Plan, Variant
from namedlayers.plan.regions import region_of
from namedlayers.plan.scans.outer_states import in_blocks
from namedlayers.plan.scans.outer_sums import summed
from namedlayers.plan.scans.stretches import stretched
from namedlayers.plan.search import Path, steps
from namedlayers.program.graph import Node

WIDEST = 72


def explain(plan: Plan) -> str:
    """The report on a plan, and on the plan of each body that it runs."""
    lines = _explained(plan)
    for region, inner in plan.bodies.items():
        span = region.body.span
        lines += ["", f"Inside `{region.body.name}`, {span.source.name}:{span.line}: {_quoted(span)}"]
        lines += [f"  {line}" if line else "" for line in _explained(inner)]
    return "\n".join(lines)


def equation(node: Node) -> str:
    """A contraction's einsum equation over the names of axes."""
    operands = ", ".join(_axes(node, arg.axes) for arg in node.args)
    return f"{operands} -> {_axes(node, tuple(range(node.rank)))}"


# --- helpers ----------------------------------------------------------------------------------------------------------


def _explained(plan: Plan) -> list[str]:
    lines = ["Rules that fired:"]
    fired = [event for event in plan.events if not event.near]
    lines += [line for event in fired for line in _event(event)] or ["  none"]
    near = [event for event in plan.events if event.near]
    if near:
        lines += ["", "Rules that nearly fired:"]
        lines += [line for event in near for line in _event(event)]
    for number, variant in enumerate(plan.variants, 1):
        lines += ["", *_variant(variant, number, len(plan.variants))]
    return lines


def _event(event: Event) -> Iterator[str]:
    yield f"  {event.rule} ({event.numerics})" + (f": not here, {event.near}" if event.near else "")
    for span in event.spans:
        yield f"    {span.source.name}:{span.line}: {_quoted(span)}"


def _quoted(span: Span) -> str:
    text = " ".join(span.text.split())
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _variant(variant: Variant, number: int, total: int) -> Iterator[str]:
    yield f"Variant {number} of {total}: {variant.why}"
    for guard in variant.guards:
        yield f"  if {guard.left} {guard.relation} {guard.right}"
    for node in variant.graph.live():
        if node.op in ("contract", "linear"):
            yield from _contraction(node)
    for node in stretched(summed(variant.graph)).live():
        if node.op == "stretch":
            yield "  recurrence, with what is made for it and of it: by stretches of steps, none of it held for all"
            yield from (f"    {span.source.name}:{span.line}: {_quoted(span)}" for span in node.spans)
        if node.op == "outer_states" or (node.op == "stretch" and in_blocks(region_of(node)) is not None):
            yield "    many steps of outer products that are read as sums: in blocks, as products of matrices"


def _contraction(node: Node) -> Iterator[str]:
    # A linear map is one step, on whose result the bias is added.
    path = node.attr("path") if node.op == "contract" else ((0, 1),)
    assert isinstance(path, tuple)
    yield f"  {node.op} %{node.number}: {equation(node)}"
    if len(path) > 1:
        for pair, step in zip(path, steps(node, path), strict=True):
            yield f"    {pair[0]}, {pair[1]} -> {_axes(node, step.kept)}"
    yield f"    {_flops(node, path)} FLOPs"


def _flops(node: Node, path: Path) -> str:
    """The cost of each step as a product of sizes, not multiplied out."""
    terms = [_product(node, step.touched, step.operations) for step in steps(node, path)]
    if node.op == "linear":
        terms.append(_product(node, tuple(range(node.rank)), 1))
    return " + ".join(terms)


def _product(node: Node, axes: tuple[int, ...], factor: int) -> str:
    sizes = [node.space[p] for p in axes]
    known = factor * math.prod(size.value for size in sizes if size.value is not None)
    factors = [f"({size})" if len(size.terms) > 1 else str(size) for size in sizes if size.value is None]
    return " * ".join(([str(known)] if known != 1 or not factors else []) + factors)


def _axes(node: Node, axes: tuple[int, ...]) -> str:
    names = _distinct(node.names)
    return "[" + ", ".join(names[p] if p >= 0 else "·" for p in axes) + "]"


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of one node's index space, told apart by primes where two are equal."""
    found: list[str] = []
    for name in names:
        while name in found:
            name += "'"
        found.append(name)
    return tuple(found)
