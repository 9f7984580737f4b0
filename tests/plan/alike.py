"""Whether spellings of one definition are planned alike, and compute the same.

In: a `Case` and mutants of it. Out: for each one that is not planned as the case is, what it became. What always holds:
the values of every variant that applies are compared with what the reference says of the case, on the same inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from namedlayers.program.graph import Graph
from namedlayers.program.program import Kind, Program
from namedlayers.reference.interpreter import evaluate as by_definition
from tests.plan.definitions.table import Case
from tests.plan.formulas import QUIET, Planned, holds, planned_text, program_of
from tests.plan.loops import operations  # which also says how recurrences are evaluated
from tests.plan.mutation import Mutant, Writing

ADDED = 2
"""The size of an axis that is put on inputs."""


def differing(case: Case, mutants: Iterable[Mutant]) -> Iterator[str]:
    """The mutants of which other operations are left, or more elements are written; raises where values differ."""
    base = base_of(case)
    for mutant in mutants:
        found = planned_text(mutant.text, kinds=case.kinds)
        inputs = base.inputs(mutant.writing)
        sizes = _sizes(found.program, inputs)
        want = _laid_out(base, mutant.writing, found.program)
        applied = 0
        for variant in found.plan.variants:
            if all(holds(guard, sizes) for guard in variant.guards):
                applied += 1
                (result,) = operations.evaluate(variant.graph, inputs, sizes)
                np.testing.assert_allclose(result, want, rtol=1e-9, atol=1e-9, err_msg=str(mutant))
        assert applied, "the last variant always applies"
        work, most = _elements(found.plan.variants[0].graph, sizes), base.work * (ADDED if mutant.writing.added else 1)
        if computed(found) != case.ops or work > most:
            yield f"{computed(found)}, {work} elements (at most {most})\n{mutant}"


def computed(found: Planned) -> tuple[str, ...]:
    """The operations of a plan; an expansion is a view and costs nothing."""
    return tuple(op for op in found.ops if op != "expand")


def asked(case: Case, mutant: Mutant) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What a mutant is given, and what it must give."""
    base = base_of(case)
    return base.inputs(mutant.writing), _laid_out(base, mutant.writing, program_of(mutant.text, case.kinds))


# --- helpers ----------------------------------------------------------------------------------------------------------


@dataclass
class Base:
    """A case as it stands: planned, with inputs by their axes and the values that it has."""

    case: Case
    planned: Planned
    axes: dict[str, int]
    values: dict[bytes, np.ndarray] = field(default_factory=dict)

    @property
    def work(self) -> int:
        """How many elements the plan writes."""
        return _elements(self.planned.plan.variants[0].graph, _sizes(self.planned.program, self.inputs(Writing())))

    def inputs(self, writing: Writing) -> dict[str, np.ndarray]:
        """The inputs as a mutant declares them; those with the added axis are stacked along it."""
        found = {}
        for one in self.planned.program.inputs:
            own = tuple(axis for axis, _ in one.axes)
            order = writing.orders.get(one.name, own)
            values = [self._input(one.name, one.kind, own, k) for k in range(ADDED)]
            stacked = np.stack(values) if writing.added in order else values[0]
            axes = (writing.added, *own) if writing.added in order else own
            found[one.name] = stacked.transpose([axes.index(axis) for axis in order])
        return found

    def _input(self, name: str, kind: Kind, own: tuple[str, ...], k: int) -> np.ndarray:
        source = np.random.default_rng([k, *name.encode()])
        shape = tuple(self.axes[axis] for axis in own)
        if kind == Kind.INT:
            return source.integers(0, 3, shape)
        return source.random(shape) < 0.6 if kind == Kind.BOOL else source.standard_normal(shape)

    def result(self, writing: Writing) -> np.ndarray:
        """What a mutant must give, with its axes in the order of the case's; the added axis first."""
        if writing.added is None:
            return self._evaluated(self.inputs(Writing()))
        lifted = self.inputs(_in_order(writing, self.planned.program))
        with_axis = [name for name, order in writing.orders.items() if writing.added in order]
        return np.stack(
            [
                self._evaluated({name: v[k] if name in with_axis else v for name, v in lifted.items()})
                for k in range(ADDED)
            ]
        )

    def _evaluated(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        key = b"".join(value.tobytes() for value in inputs.values())
        if key not in self.values:
            (self.values[key],) = by_definition(self.planned.program, inputs)
        return self.values[key]


def _in_order(writing: Writing, program: Program) -> Writing:
    """The same inputs with the added axis, which stands first, and the others as the case has them."""
    orders = {}
    for one in program.inputs:
        own = tuple(axis for axis, _ in one.axes)
        lifted = writing.added is not None and writing.added in writing.orders.get(one.name, ())
        orders[one.name] = (str(writing.added), *own) if lifted else own
    return Writing(orders=orders, added=writing.added)


@lru_cache(256)
def base_of(case: Case) -> Base:
    found = planned_text(case.text, kinds=case.kinds)
    names = dict.fromkeys(axis for one in found.program.inputs for axis, _ in one.axes)
    fixed = {axis: size.value for one in found.program.inputs for axis, size in one.axes if size.value is not None}
    sizes = {axis: fixed.get(axis) or case.sizes.get(axis, 2 + k % 3) for k, axis in enumerate(names)}
    return Base(case, found, sizes)


def _laid_out(base: Base, writing: Writing, program: Program) -> np.ndarray:
    """The expected values in the order of the mutant's result."""
    want = base.result(writing)
    axes = tuple(base.planned.program.outputs[0].axes)
    axes = (str(writing.added), *axes) if writing.added is not None else axes
    given = tuple(writing.renamed.get(axis, axis) for axis in axes)
    return want.transpose([given.index(axis) for axis in program.outputs[0].axes])


def _sizes(program: Program, inputs: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The symbols' values, as a call finds them."""
    sizes: dict[str, int] = {}
    for recipe in program.recipes:
        whole = inputs[recipe.input].shape[recipe.axis] - recipe.rest.evaluate(sizes)
        sizes[recipe.symbol] = whole // recipe.factor.evaluate(sizes)
    return sizes


def _elements(graph: Graph, sizes: Mapping[str, int]) -> int:
    """The elements of all that is computed and has axes or is computed from some."""
    computed = [node for node in graph.live() if node.op not in QUIET | {"expand"} and node.space]
    return sum(int(np.prod([size.evaluate(sizes) for size in node.sizes])) for node in computed)
