"""The body of a scan's gradient: a graph with a scan from the last step to the first.

In: what comes back to the inputs of one step, in terms of what comes back to its results. Out: a `Region` that takes
tensors of all steps and gives what comes back to the inputs of the scan. What always holds: it takes only what it
needs; nothing in it is opened or planned yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from namedlayers.plan.scans.held import Held, Steps, free_name
from namedlayers.plan.scans.moving import moved
from namedlayers.plan.scans.runs import carries_of, region_of
from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.program import AxesOf, Body, Input, Kind, Output
from namedlayers.program.size import SizeExpr, const


@dataclass(frozen=True, slots=True)
class Backward:
    """`node`: the scan; `steps`: the graph of a step with its `inputs` and the cotangents in it; `onward`: what later
    steps hand back to each carried value; `arriving`: what comes back to each result from outside; `ahead`: to those
    that are carried, what comes back to them at the step before; `slopes`: for which results anything comes from
    outside, and whether at the last step only; `results`: what comes back to each input; `wanted`: those that are
    asked for; `saved`: the values that the step itself gives, as the results `numbers`; `turned`: a value of the
    gradient's step of which all that is handed on is made, with nothing else that is of that step; where there is one,
    the loop carries it."""

    node: Node
    steps: Graph
    inputs: Sequence[Node]
    onward: Mapping[int, Node]
    arriving: Mapping[int, Node]
    ahead: Mapping[int, Node]
    slopes: Sequence[tuple[int, bool]]
    results: Mapping[int, Arg]
    wanted: Sequence[int]
    saved: Sequence[Node]
    numbers: Mapping[Node, int]
    turned: Node | None


@dataclass(frozen=True, slots=True)
class Made:
    region: Region
    given: tuple[int, ...]
    kept: tuple[int, ...]


def backward(of: Backward, steps_name: str) -> Made:
    """The region, and which inputs and results of the scan it takes."""
    return _Maker(of, steps_name).made()


# --- helpers ----------------------------------------------------------------------------------------------------------


class _Maker:
    """`outer`: the graph that is made; `inner`: that of one step. `listed`: what the inner one takes, in order: a node
    of the step, and what it is outside with its axes (-1: that of the steps)."""

    def __init__(self, of: Backward, steps_name: str) -> None:
        self.of = of
        size = of.node.attr("size")
        assert isinstance(size, SizeExpr)
        self.steps = Steps(size, steps_name)
        self.body = region_of(of.node).body
        self.carries = carries_of(of.node)
        self.reverse = bool(of.node.attr("reverse"))
        places = of.node.attr("places")
        assert isinstance(places, tuple)
        self.scanned = [-1 in own for own in places]
        self.outer, self.inputs = Graph(), list[Input]()
        self.outside: dict[tuple[str, int], Node] = {}

    def made(self) -> Made:
        of = self.of
        leaves = self._leaves()
        before = [k for k in range(self.carries) if of.inputs[k] in leaves]
        reads = [k for k in range(self.carries, len(of.inputs)) if of.inputs[k] in leaves]
        saved = [node for node in of.saved if node in leaves]
        arriving = [k for k, one in of.arriving.items() if one in leaves]
        given = tuple(sorted({*before, *reads}))
        kept = tuple(sorted({*before, *(of.numbers[node] for node in saved)}))
        for k in given:
            self._input("given", k, of.inputs[k], self.scanned[k], self.body.inputs[k].name)
        saved_at = {of.numbers[node]: Arg(node, tuple(range(node.rank))) for node in saved}
        every = {k: of.steps.outputs[k] if k < len(of.steps.outputs) else saved_at[k] for k in kept}
        for k in kept:
            self._input("kept", k, _ordered(every[k]), True, f"{self._result_name(k)}_all")
        for k, last in of.slopes:
            self._input("final" if last else "slope", k, _ordered(of.steps.outputs[k]), not last, f"slope_{k}")
        listed = [(of.onward[k], self._begin(k)) for k in of.onward] if of.turned is None else []
        if of.turned is not None:
            listed.append((of.turned, self._zeros(of.turned)))
        listed += [(of.inputs[k], self._carried_before(k)) for k in before]
        listed += [(of.inputs[k], self._held("given", k, self.scanned[k])) for k in reads]
        listed += [(node, self._saved(node, every[of.numbers[node]])) for node in saved]
        listed += [(of.arriving[k], self._held("slope", k, True)) for k in arriving]
        listed += [(one, self._held("slope", k, True)) for k, one in of.ahead.items()]
        bundle, region = self._scan(listed)
        outputs = {k: self._collected(bundle, region, number, k) for number, k in enumerate(self._collecting())}
        if of.turned is not None:
            outputs |= self._handed_back(bundle, region)
        self.outer.outputs += [outputs[k] for k in self._order() if k in of.wanted]
        names = tuple(
            Output(f"d_{self.body.inputs[k].name}", self._axis_names(k)) for k in self._order() if k in of.wanted
        )
        name = f"{self.body.name}_gradient"
        return Made(Region(Body(name, tuple(self.inputs), (), names, self.body.span), self.outer), given, kept)

    # --- one step -----------------------------------------------------------------------------------------------------

    def _order(self) -> list[int]:
        """The inputs to which something comes back: carried ones first."""
        return [*self.of.onward, *(k for k in self.of.results if k not in self.of.onward)]

    def _collecting(self) -> list[int]:
        """The inputs of which the loop gives what comes back, in order."""
        turned = self.of.turned
        return self._order() if turned is None else [k for k in self._order() if k not in self.of.onward]

    def _leaves(self) -> set[Node]:
        """What the step's gradient takes."""
        found: set[Node] = set()
        seen: set[Node] = set()
        waiting = [arg.node for arg in self.of.results.values()]
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                if node.op == "input" or node in self.of.saved:
                    found.add(node)
                else:
                    waiting += [arg.node for arg in node.args]
        return found

    def _scan(self, listed: Sequence[tuple[Node, Held]]) -> tuple[Node, Region]:
        graph, inputs = Graph(), []
        values: dict[int, Held] = {}
        taken: list[str] = []
        for node, _ in listed:
            name = free_name(f"x{node.number}", taken)
            taken.append(name)
            made = graph.node(
                "input", (), node.sizes, node.rank, node.kind, attrs={"name": name}, weak=node.weak,
                names=node.names[: node.rank], spans=node.spans,
            )  # fmt: skip
            values[node.number] = Held(made, tuple(range(node.rank)))
            inputs.append(Input(name, self._axes(node), "data", node.kind, self.body.span))
        results = [self.of.results[k] for k in self._collecting()]
        outputs = [Output(f"d{k}", self._names_inside(k)) for k in self._collecting()]
        if self.of.turned is not None:
            self._turn(graph, self.of.turned, values)
            results.insert(0, Arg(self.of.turned, tuple(range(self.of.turned.rank))))
            outputs.insert(0, Output("d", tuple(name for name, _ in self._axes(self.of.turned))))
        for arg in results:
            self._copy(graph, arg.node, values)
        graph.outputs += [values[arg.node.number].arg(arg.axes) for arg in results]
        body = Body(f"{self.body.name}_back", tuple(inputs), (), tuple(outputs), self.body.span)
        region = Region(body, graph)
        places = tuple(outside.arg(range(len(outside.where))).axes for _, outside in listed)
        bundle = self.outer.node(
            "scan", tuple(Arg(outside.node, (-1,) * outside.node.rank) for _, outside in listed), (), 0, Kind.REAL,
            attrs={"carries": 1 if self.of.turned else len(self.of.onward), "places": places, "region": region,
                   "reverse": not self.reverse, "site": 0, "size": self.steps.size},
            weak=False, spans=self.of.node.spans,
        )  # fmt: skip
        return bundle, region

    def _turn(self, graph: Graph, turned: Node, values: dict[int, Held]) -> None:
        """What is handed on, made of the `turned` value of the step before; this step's own is still to be made."""
        before = dict(values)
        for k, onward in self.of.onward.items():
            arg = self.of.results[k]
            self._copy(graph, arg.node, before)
            held = before[arg.node.number]
            where = {position: held.where[own] for own, position in enumerate(arg.axes)}
            values[onward.number] = Held(held.node, tuple(where[position] for position in range(onward.rank)))
        del values[turned.number]

    def _copy(self, graph: Graph, root: Node, values: dict[int, Held]) -> None:
        waiting = [root]
        while waiting:
            node = waiting[-1]
            missing = [arg.node for arg in node.args if arg.node.number not in values]
            if node.number in values or not missing:
                waiting.pop()
                if node.number not in values:
                    values[node.number] = moved(graph, node, [values[a.node.number] for a in node.args], None)
            else:
                waiting += missing

    # --- all steps ----------------------------------------------------------------------------------------------------

    def _input(self, role: str, number: int, like: Node | Arg, stepped: bool, name: str) -> None:
        node = like if isinstance(like, Node) else like.node
        order = range(node.rank) if isinstance(like, Node) else like.axes
        name = free_name(name, [one.name for one in self.inputs])
        along = [self.steps] * stepped
        sizes = (*(one.size for one in along), *(node.sizes[k] for k in order))
        names = (*(one.name for one in along), *(node.names[k] for k in order))
        self.outside[role, number] = self.outer.node(
            "input", (), sizes, len(sizes), node.kind, attrs={"name": name}, weak=node.weak, names=names,
            spans=node.spans,
        )  # fmt: skip
        distinct: list[str] = []
        for one in names:
            distinct.append(free_name(one, distinct))
        self.inputs.append(Input(name, tuple(zip(distinct, sizes, strict=True)), "data", node.kind, self.body.span))

    def _held(self, role: str, number: int, stepped: bool) -> Held:
        node = self.outside[role, number]
        return Held(node, tuple(range(int(stepped), node.rank)), 0 if stepped else -1)

    def _begin(self, k: int) -> Held:
        """What comes back to a carried value after the last step."""
        return self._held("final", k, False) if ("final", k) in self.outside else self._zeros(self.of.inputs[k])

    def _zeros(self, given: Node) -> Held:
        zero = self.outer.node("const", (), (), 0, Kind.REAL, attrs={"kind": "float", "digits": (0.0).hex()}, weak=True)
        if not given.rank:
            return Held(zero, ())
        node = self.outer.node(
            "expand", (Arg(zero, ()),), given.sizes, given.rank, Kind.REAL, attrs={"axes": tuple(range(given.rank))},
            names=given.names[: given.rank],
        )  # fmt: skip
        return Held(node, tuple(range(given.rank)))

    def _before(self, start: Held, every: Held, given: Node) -> Held:
        """What is one step behind `every`, a value at all steps: it starts with another. `given` is like both."""
        positions = tuple(range(1, given.rank + 1))
        made = self.outer.node(
            "behind", (start.arg(positions), every.arg(positions, 0)), (self.steps.size, *given.sizes), given.rank + 1,
            Kind.REAL, attrs={"axis": 0, "reverse": self.reverse}, weak=every.node.weak,
            names=(self.steps.name, *given.names[: given.rank]),
        )  # fmt: skip
        return Held(made, positions, 0)

    def _carried_before(self, k: int) -> Held:
        """A carried value before each step."""
        return self._before(self._held("given", k, False), self._held("kept", k, True), self.of.inputs[k])

    def _saved(self, node: Node, result: Arg) -> Held:
        """A saved value: the axes of the result are in another order than the node's, perhaps."""
        outside = self.outside["kept", self.of.numbers[node]]
        return Held(outside, tuple(1 + result.axes[own] for own in range(node.rank)), 0)

    def _handed_back(self, bundle: Node, region: Region) -> dict[int, Arg]:
        """What comes back to the carried values at the start: made of the `turned` value of the first step."""
        turned = self.of.turned
        assert turned is not None
        values = {turned.number: self._at_first(bundle, region, 0, turned)}
        found = {}
        for k in self.of.onward:
            arg = self.of.results[k]
            for node in self._below(arg.node, turned):
                if node.op == "input":
                    number = next(j for j, one in enumerate(self.of.inputs) if one is node)
                    values[node.number] = self._held("given", number, False)
            self._copy(self.outer, arg.node, values)
            found[k] = values[arg.node.number].arg(arg.axes)
        return found

    def _below(self, node: Node, stop: Node) -> list[Node]:
        seen: dict[int, Node] = {}
        waiting = [node]
        while waiting:
            one = waiting.pop()
            if one.number not in seen and one is not stop:
                seen[one.number] = one
                waiting += [arg.node for arg in one.args]
        return list(seen.values())

    def _at_first(self, bundle: Node, region: Region, number: int, like: Node) -> Held:
        """A value of the loop at the first step of the scan, which the loop makes last."""
        output, size, names = region.graph.outputs[number], self.steps.size, like.names[: like.rank]
        part = self.outer.node(
            "part", (Arg(bundle, ()),), (size, *like.sizes), like.rank + 1, Kind.REAL, attrs={"number": number},
            weak=output.node.weak, names=(self.steps.name, *names),
        )  # fmt: skip
        return self._at(part, size - 1 if self.reverse else const(0))

    def _at(self, every: Node, step: SizeExpr) -> Held:
        """A value of all steps at one of them."""
        names = every.names[1 : every.rank]
        at = self.outer.node(
            "index", (Arg(every, (-1, *range(every.rank - 1))),), every.sizes[1:], every.rank - 1, Kind.REAL,
            attrs={"entries": ((0, (), step),)}, names=names,
        )  # fmt: skip
        return Held(at, tuple(range(every.rank - 1)))

    def _collected(self, bundle: Node, region: Region, number: int, k: int) -> Arg:
        """What comes back to an input: from the first step, from each step, or from all together."""
        number += self.of.turned is not None
        output = region.graph.outputs[number]
        given, size = self.of.inputs[k], self.steps.size
        names = given.names[: given.rank]
        part = self.outer.node(
            "part", (Arg(bundle, ()),), (size, *given.sizes), given.rank + 1, Kind.REAL, attrs={"number": number},
            weak=output.node.weak, names=(self.steps.name, *names),
        )  # fmt: skip
        if k < self.carries:
            return self._at_first(bundle, region, number, given).arg(range(given.rank))
        if self.scanned[k]:
            return Arg(part, tuple(range(part.rank)))
        total = self.outer.node(
            "reduce", (Arg(part, (given.rank, *range(given.rank))),), (*given.sizes, size), given.rank, Kind.REAL,
            attrs={"op": "sum"}, names=(*names, self.steps.name),
        )  # fmt: skip
        return Arg(total, tuple(range(given.rank)))

    # --- names --------------------------------------------------------------------------------------------------------

    def _result_name(self, k: int) -> str:
        outputs = self.body.outputs
        return outputs[k].value if k < len(outputs) else f"v{k}"

    def _names_inside(self, k: int) -> tuple[str, ...]:
        return tuple(name for name, _ in self.body.inputs[k].axes)

    def _axis_names(self, k: int) -> tuple[str, ...]:
        own = self._names_inside(k)
        return (free_name(self.steps.name, own), *own) if self.scanned[k] else own

    def _axes(self, node: Node) -> AxesOf:
        names: list[str] = []
        for name in node.names[: node.rank]:
            names.append(free_name(name, names))
        return tuple(zip(names, node.sizes, strict=True))


def _ordered(result: Arg) -> Arg:
    """A result with, for each of its axes in order, the axis of its node."""
    return Arg(result.node, tuple(result.axes.index(position) for position in range(result.node.rank)))
