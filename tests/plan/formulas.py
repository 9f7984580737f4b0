"""Formulas as text, planned and checked: what the tests of rules share.

`planned(signature, expression)` plans `def f(signature): return expression`; `spellings` writes an expression in many
ways that mean the same; `agree` evaluates the graph before and after planning.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from namedlayers.plan import plan
from namedlayers.plan.operations import OPERATIONS
from namedlayers.plan.plan import Guard, Plan
from namedlayers.plan.planner import Numerics
from namedlayers.program.elaborate import default_program, elaborate
from namedlayers.program.graph import Graph
from namedlayers.program.namespace import load_text
from namedlayers.program.numbering import number
from namedlayers.program.program import Kind, Program
from namedlayers.program.verify import verify_graph
from namedlayers.syntax import format_expr, parse, tree
from tests.plan.evaluate import evaluate

QUIET = frozenset({"input", "const", "size", "coord", "finfo"})


@dataclass(frozen=True)
class Planned:
    program: Program
    graph: Graph
    plan: Plan

    @property
    def ops(self) -> tuple[str, ...]:
        """The operations of the first variant that have axes or consume some, sorted."""
        return ops(self.plan.variants[0].graph)

    @property
    def near(self) -> dict[str, str]:
        """Why rules did not fire that nearly did."""
        return {event.rule: event.near for event in self.plan.events if event.near}

    def node(self, op: str):  # type: ignore[no-untyped-def]
        (found,) = [node for node in self.plan.variants[0].graph.live() if node.op == op]
        return found


def ops(graph: Graph) -> tuple[str, ...]:
    return tuple(sorted(n.op for n in graph.live() if n.op not in QUIET and len(n.space)))


def planned(
    signature: str, expression: str, *, numerics: Numerics = "default", kinds: Mapping[str, Kind] | None = None
) -> Planned:
    return planned_text(f"def f({signature}):\n    return {expression}\n", numerics=numerics, kinds=kinds)


def planned_text(text: str, *, numerics: Numerics = "default", kinds: Mapping[str, Kind] | None = None) -> Planned:
    program = program_of(text, kinds)
    graph = number(program)
    before = [repr(node) for node in graph.nodes]
    found = plan(graph, numerics=numerics)
    assert [repr(node) for node in graph.nodes] == before, "planning leaves the graph alone"
    for variant in found.variants:
        verify_graph(variant.graph, program.checks, OPERATIONS)
    return Planned(program, graph, found)


def program_of(text: str, kinds: Mapping[str, Kind] | None = None) -> Program:
    space = load_text(text)
    definition = list(space.definitions.values())[-1]
    spec, program = default_program(space, definition)
    given = tuple((name, replace(one, kind=(kinds or {}).get(name, one.kind))) for name, one in spec.given)
    if program is not None and given == spec.given:
        return program
    return elaborate(space, definition, replace(spec, given=given))


# --- values -----------------------------------------------------------------------------------------------------------


def sizes_for(program: Program, **given: int) -> dict[str, int]:
    """Small sizes, different for different axes."""
    return {name: given.get(name, 2 + k % 3) for k, name in enumerate(program.symbols)}


def random_inputs(program: Program, sizes: Mapping[str, int], seed: int = 0) -> dict[str, np.ndarray]:
    source = np.random.default_rng(seed)
    found = {}
    for one in program.inputs:
        shape = tuple(size.evaluate(sizes) for _, size in one.axes)
        if one.kind == Kind.INT:
            found[one.name] = source.integers(-1, 4, shape)
        elif one.kind == Kind.BOOL:
            found[one.name] = source.random(shape) < 0.6
        else:
            found[one.name] = source.standard_normal(shape)
    return found


def holds(guard: Guard, sizes: Mapping[str, int]) -> bool:
    left, right = guard.left.evaluate(sizes), guard.right.evaluate(sizes)
    return {"<=": left <= right, "<": left < right, "==": left == right, ">=": left >= right, ">": left > right}[
        guard.relation
    ]


def agree(found: Planned, seed: int = 0, inputs: Mapping[str, np.ndarray] | None = None, **given: int) -> int:
    """Evaluates every variant that applies and compares; returns how many did."""
    sizes = sizes_for(found.program, **given)
    inputs = {**random_inputs(found.program, sizes, seed), **(inputs or {})}
    wanted = evaluate(found.graph, inputs, sizes)
    applied = 0
    for variant in found.plan.variants:
        if all(holds(guard, sizes) for guard in variant.guards):
            applied += 1
            results = evaluate(variant.graph, inputs, sizes)
            assert len(results) == len(wanted)
            for result, want in zip(results, wanted, strict=True):
                np.testing.assert_allclose(result, want, rtol=1e-9, atol=1e-9)
    assert not found.plan.variants[-1].guards
    return applied


# --- the same in other words ------------------------------------------------------------------------------------------


def spellings(expression: str, count: int = 12) -> Iterator[str]:
    """Bodies that mean `expression`: operands swapped, minus and division respelled, pieces bound to names."""
    definition = parse(f"def f():\n    return {expression}\n").items[0]
    assert isinstance(definition, tree.Definition)
    statement = definition.body[0]
    assert isinstance(statement, tree.Return)
    for seed in range(count):
        yield _Speller(random.Random(seed)).body(statement.values[0])


def renamed(text: str, *axes: str) -> str:
    """The text with axes under other names, which also sort otherwise."""
    for k, axis in enumerate(axes):
        text = re.sub(rf"\b{axis}\b(?!')", f"z{len(axes) - k}_{axis}", text)
    return text


@dataclass
class _Speller:
    source: random.Random
    bound: int = 0

    def body(self, expression: tree.Expr) -> str:
        self.lines: list[str] = []
        last = self.spell(expression)
        return "\n".join([*(f"    {line}" for line in self.lines), f"    return {format_expr(last)}"])

    def spell(self, node: tree.Expr) -> tree.Expr:
        chance = self.source.random
        if isinstance(node, tree.Binary):
            left, right = self.spell(node.left), self.spell(node.right)
            if node.op in "+*" and chance() < 0.5:
                left, right = right, left
            node = replace(node, left=left, right=right)
            if node.op == "-" and chance() < 0.3:
                negative = tree.Unary(node.span, "-", right)
                node = tree.Binary(node.span, "+", left, negative)
            elif node.op == "/" and chance() < 0.3:
                inverse = tree.Binary(node.span, "/", tree.Number(node.span, 1), right)
                node = tree.Binary(node.span, "*", left, inverse)
        elif isinstance(node, tree.Contract):
            left, right = self.spell(node.left), self.spell(node.right)
            node = replace(node, left=right, right=left) if chance() < 0.5 else replace(node, left=left, right=right)
        elif isinstance(node, tree.Unary):
            return replace(node, operand=self.spell(node.operand))
        elif isinstance(node, tree.Call):
            node = replace(node, args=tuple(replace(a, value=self.spell(a.value)) for a in node.args))
        else:
            return node
        if chance() < 0.3:
            self.bound += 1
            name = f"part{self.bound}"
            self.lines.append(f"{name} = {format_expr(node)}")
            return tree.Name(node.span, name)
        return node
