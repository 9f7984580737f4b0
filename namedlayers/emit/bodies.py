"""The functions of bodies: what a `repeat` does in a round and a `scan` at a step, each one Python function.

In: a plan with the plans of its bodies. Out: `BodyFunction`s, made when they are first asked for. What always holds: a
body becomes one function, however often it is run; it takes the body's inputs in their order and then the sizes that it
needs, and returns, as a tuple unless there is just one, the outputs that anything needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import FunctionType
from typing import Any

import torch
from torch import fx

from namedlayers.emit.functions import Lowered, execute, lowered, printable, signature
from namedlayers.emit.loops.recorded import Record
from namedlayers.emit.loops.scanning import Loop
from namedlayers.emit.names import Names, identifier
from namedlayers.emit.printer import Printer, print_function
from namedlayers.emit.prologue import Entry, Orders
from namedlayers.plan.plan import Plan, Variant
from namedlayers.plan.regions import RUNS, region_of
from namedlayers.program.graph import Graph, Node, Region
from namedlayers.program.program import Input, Program
from namedlayers.program.regions import BUNDLES, DRAWS


@dataclass(frozen=True, eq=False)
class BodyFunction:
    """`outputs`: which of the body's it returns; `sizes`: the symbols that it takes after the inputs; `orders`: in
    which order its inputs and what it returns have their axes; `draws`: whether random numbers are drawn inside;
    `algebraic`: whether laws may be used that hold but where an intermediate overflows, underflows or is NaN."""

    name: str
    function: Callable[..., Any]
    outputs: tuple[int, ...]
    sizes: tuple[str, ...]
    orders: Orders
    draws: bool
    graphs: tuple[fx.Graph, ...]
    entry: Entry
    algebraic: bool

    @cached_property
    def module(self) -> fx.GraphModule:
        """The graph for any sizes as a module, to look at."""
        self.graphs[-1].set_codegen(Printer(self.entry))
        return fx.GraphModule(torch.nn.Module(), self.graphs[-1], class_name=self.name)


class Bodies:
    """All functions that the one called `main` stands on. `names` are taken by functions, `sources` theirs, inner ones
    first; `checkpoint` are the bodies, by name, that are computed anew in the backward pass; products are computed in
    `precision`; `compiled`: loops are compiled by the inductor; `gradients` are those of scans, by their nodes; `loops`
    are the keys of all loops so far."""

    def __init__(
        self, plan: Plan, main: str = "", symbols: tuple[str, ...] = (), checkpoint: frozenset[str] = frozenset(),
        precision: torch.dtype | None = None, compiled: bool = False,
    ) -> None:  # fmt: skip
        self.names: set[str] = set()
        self.sources: list[str] = []
        self.loops: list[str] = []
        self.checkpoint = checkpoint
        self.precision = precision
        self.compiled = compiled
        self._main = main
        self._symbols = symbols
        self._plans = dict(plan.bodies)
        self._made: dict[Region, BodyFunction] = {}
        self._functions: dict[str, Callable[..., Any]] = {}
        self._keys: dict[Callable[..., Any], str] = {}
        runs = [pair for one in (plan, *plan.bodies.values()) for v in one.variants for pair in _runs(v.graph)]
        self._needed = {region: _needed(region, runs) for region in plan.bodies}
        self._stepped = {region_of(node) for node, _ in runs if node.op == "scan"}
        self.gradients = {node: one for part in (plan, *plan.bodies.values()) for node, one in part.gradients.items()}
        for one in self.gradients.values():
            self._plans[one.forward] = Plan(  # it is planned already
                (Variant(one.guards, one.forward.graph, ""),), (), algebraic=plan.algebraic
            )
            self._needed |= {body: tuple(range(len(body.graph.outputs))) for body in (one.forward, one.backward)}
            self._stepped.add(one.forward)

    def function(self, region: Region, names: Names, orders: Callable[[], Orders]) -> BodyFunction:
        """The function of a body, as it is called where `names` are the local ones. Who asks first says the `orders` of
        all inputs and outputs."""
        if region not in self._made:
            self._made[region] = self._make(region, names, orders())
        return self._made[region]

    def adopt(self, region: Region, *, algebraic: bool = False) -> Region:
        """A body that is planned already, and all of whose outputs are needed."""
        self._plans.setdefault(region, Plan((Variant((), region.graph, ""),), (), algebraic=algebraic))
        self._needed.setdefault(region, tuple(range(len(region.graph.outputs))))
        return region

    def planned(self, region: Region) -> Graph | None:
        """A body as it is planned, if that is one graph for all sizes."""
        variants = self._plans[region].variants
        return variants[0].graph if len(variants) == 1 and not variants[0].guards else None

    def define(
        self, wish: str, names: Names, source: Callable[[str], tuple[str, Mapping[str, Any]]]
    ) -> Callable[..., Any]:
        """A function whose code and globals `source` gives for a name; equal ones are one."""
        wish = identifier(wish)
        code, namespace = source(wish)
        functions = [self._keys.get(one, "") for one in _functions(namespace.values())]
        loops = [repr(one) for one in namespace.values() if isinstance(one, (Loop, Record))]
        key = hashlib.sha256("\n".join([code, *functions, *loops]).encode()).hexdigest()[:16]
        if key not in self._functions:
            name = names.fresh(wish)
            while name == self._main:
                name = names.fresh(wish)
            self.names.add(name)
            code = code if name == wish else source(name)[0]
            self.sources.append(code)
            self._functions[key] = execute(name, code, dict(namespace))
            self._keys[self._functions[key]] = key
        return self._functions[key]

    def made(self) -> tuple[BodyFunction, ...]:
        """The functions of bodies so far, each once."""
        return tuple({one.name: one for one in self._made.values()}.values())

    def key(self, function: Callable[..., Any]) -> str:
        """The same for all functions that compute the same, in every process."""
        return self._keys[function]

    def _make(self, region: Region, names: Names, orders: Orders) -> BodyFunction:
        body, plan, outputs = region.body, self._plans[region], self._needed[region]
        # What steps are traced with are tensors, numbers among them.
        inputs = tuple(_as_tensor(given) for given in body.inputs) if region in self._stepped else body.inputs
        results = tuple(body.outputs[k] for k in outputs)
        program = Program(body.name, inputs, body.statements, results, self._symbols, (), (), body.span)
        orders = Orders(orders.inputs, tuple(orders.outputs[k] for k in outputs))
        own = Names(self.names)
        entry = Entry(program, own, orders)
        variants = [Variant(v.guards, _narrowed(v.graph, outputs), v.why) for v in plan.variants]
        found = lowered(variants, program, entry, own, self)
        sizes = _used(found, self._symbols)
        passed = [entry.passed[symbol] for symbol in sizes]

        def source(name: str) -> tuple[str, Mapping[str, Any]]:
            return print_function(
                name, entry, printable(found, entry, own), signature(_as_they_lie(program, orders)), passed
            )

        function = self.define(body.name, names, source)
        draws = any(_draws(node) or self._draws_inside(node) for v in variants for node in v.graph.live())
        graphs = tuple(graph for _, graph in found)
        return BodyFunction(function.__name__, function, outputs, sizes, orders, draws, graphs, entry, plan.algebraic)

    def _draws_inside(self, node: Node) -> bool:
        return node.op in BUNDLES and self._made[region_of(node)].draws


# --- helpers ----------------------------------------------------------------------------------------------------------


def _draws(node: Node) -> bool:
    return node.op in DRAWS or node.op == "slice_dropout"


def _functions(values: Iterable[Any]) -> Iterable[Any]:
    """The functions that code with these globals may call."""
    for one in values:
        if isinstance(one, Record):
            yield from (one.step, one.full, one.quick, one.backward, one.after)
        elif isinstance(one, FunctionType):
            yield one


def _runs(graph: Graph) -> Iterable[tuple[Node, list[Node]]]:
    """The nodes that run a body, each with the nodes that take something of it."""
    users = graph.users()
    return [(node, users.get(node.number, [])) for node in graph.live() if node.op in RUNS]


def _needed(region: Region, runs: Iterable[tuple[Node, list[Node]]]) -> tuple[int, ...]:
    """The numbers of the outputs that are taken anywhere, or carried."""
    found: set[int] = set()
    for node, parts in runs:
        if region_of(node) is region and node.op == "pulled_back":
            found.add(0)
        elif region_of(node) is region:
            numbers = [part.attr("number") for part in parts]
            carries = node.attr("carries") if node.op == "scan" else 0
            assert isinstance(carries, int)
            found |= {n for n in numbers if isinstance(n, int)} | set(range(carries))
    return tuple(sorted(found))


def _narrowed(graph: Graph, outputs: tuple[int, ...]) -> Graph:
    """The same graph with some of its outputs."""
    return Graph(graph.nodes, [graph.outputs[k] for k in outputs], _table=graph._table)


def _as_tensor(given: Input) -> Input:
    return replace(given, role="data") if given.role == "option" else given


def _as_they_lie(program: Program, orders: Orders) -> Program:
    """With axes as tensors have them, for people."""
    inputs = zip(program.inputs, orders.inputs, strict=True)
    outputs = zip(program.outputs, orders.outputs, strict=True)
    return replace(
        program,
        inputs=tuple(replace(one, axes=tuple(one.axes[k] for k in order)) for one, order in inputs),
        outputs=tuple(replace(one, axes=tuple(one.axes[k] for k in order)) for one, order in outputs),
    )


def _used(found: Lowered, symbols: tuple[str, ...]) -> tuple[str, ...]:
    """The symbols that some variant uses; the graphs lose their placeholders for all others."""
    used = {symbol for variant, _ in found for g in variant.guards for symbol in (*g.left.symbols, *g.right.symbols)}
    listed = [[node for node in graph.nodes if "size" in node.meta] for _, graph in found]
    used |= {node.meta["size"] for nodes in listed for node in nodes if node.users}
    for nodes in listed:
        for node in nodes:
            if node.meta["size"] not in used:
                node.graph.erase_node(node)
    return tuple(symbol for symbol in symbols if symbol in used)
