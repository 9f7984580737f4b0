"""Programs made for the calls that need them, each once.

In: a definition and `Spec`s. Out: `Specialisation`s. What always holds: equal specs get the same specialisation,
whichever thread asks first; there is a bound on how many are kept.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import fx

from namedlayers.call.manner import Manner
from namedlayers.call.owned import Owned, owned
from namedlayers.errors import SizeError, near_miss
from namedlayers.program.elaborate import default_program, elaborate
from namedlayers.program.namespace import Namespace
from namedlayers.program.program import Program
from namedlayers.program.spec import Spec
from namedlayers.syntax import tree

if TYPE_CHECKING:
    from namedlayers.emit.build import Compiled
    from namedlayers.inspect.page import Page
    from namedlayers.plan.cost import Cost, Figures
    from namedlayers.plan.plan import Plan

MOST = 256
"""How many specialisations a function keeps; the oldest go first."""


@dataclass(frozen=True, repr=False)
class Specialisation:
    """One program of a definition, with its plan and its compiled form. `owned` is what a layer's module supplies; None
    for a function. `variant` is the number of the one that the views show; `sizes` are those of the call that they are
    of, if any."""

    namespace: Namespace
    definition: tree.Definition
    program: Program
    plan: Plan
    compiled: Compiled
    owned: Owned | None
    variant: int = -1
    sizes: Mapping[str, int] | None = None

    @property
    def graph(self) -> fx.GraphModule:
        """The variant that is shown, as a torch.fx graph."""
        return self.compiled.modules[self.variant]

    @property
    def code(self) -> str:
        """The Python that runs: all variants, and how one is picked."""
        return self.compiled.code

    def explain(self) -> str:
        """Which rules fired where, and which nearly did and why not; which loops the inductor could not compile."""
        from namedlayers.plan.explain import explain

        failed = [f"  {line}" for line in self.compiled.failures]
        told = ["", "What the inductor could not compile, and runs as it does without:", *failed] if failed else []
        plan = replace(self.plan, events=(*self.plan.events, *self.compiled.events))
        return "\n".join([explain(plan), *told])

    def cost(self, **sizes: int) -> Cost | Figures:
        """Operations, bytes moved and bytes held: formulas in the sizes, or, for given sizes of axes, numbers.

        Raises SizeError for a size that is missing or that there is not.
        """
        from namedlayers.plan.cost import cost

        found = self.sizes if not sizes else _by_symbol(self.program, sizes)
        if found is None:
            return cost(self.plan)
        number = self.compiled.select_for(found)
        return cost(self.plan, min(number, len(self.plan.variants) - 1), found).at(found)

    def latex(self) -> str:
        """The formula as a paper prints it, for a display of LaTeX."""
        return latex(self.namespace, self.definition, self.program)

    def show(self, path: str | Path | None = None) -> Page:
        """All views on one page of HTML, written to `path` if one is given."""
        from namedlayers.inspect.page import page

        return page(self).at(path)

    def __repr__(self) -> str:
        return f"<namedlayers specialisation {str(self.program).partition(':')[0]}>"

    def __copy__(self) -> Specialisation:
        return self

    def __deepcopy__(self, memo: dict) -> Specialisation:
        return self


def latex(namespace: Namespace, definition: tree.Definition, program: Program | None) -> str:
    """A definition as a paper prints it; its program, where there is one, says which inputs are integers."""
    from namedlayers.inspect.latex import latex, lines

    return latex(lines(definition, namespace, program))


class Specialisations:
    """Those of one definition. `settled` has the options, and of a layer the sizes, that every call has; `checkpoint`
    names the blocks of which nothing is kept for the backward pass."""

    def __init__(
        self,
        namespace: Namespace,
        definition: tree.Definition,
        settled: Spec,
        manner: Manner,
        checkpoint: frozenset[str] = frozenset(),
    ) -> None:
        self.namespace = namespace
        self.definition = definition
        self.settled = settled
        self.manner = manner
        self.checkpoint = checkpoint
        self._made: dict[Key, Specialisation] = {}
        self._checked: dict[Key, Program] = {}
        self._default: Spec | None = None
        self._lock = threading.RLock()

    def default(self) -> Spec:
        """What a plain call gives, found by making its program. Raises FormulaError for what is wrong with it."""
        if self._default is None:
            spec, program = default_program(self.namespace, self.definition, self.settled)
            if program is not None:
                self._checked[_key(spec)] = self.manner.program(program)
            self._default = spec
        return self._default

    def get(self, spec: Spec) -> Specialisation:
        """The specialisation for a spec. Raises FormulaError and NeedsStatic as `elaborate` does."""
        key = _key(spec)
        with self._lock:
            found = self._made.get(key)
            if found is None:
                found = self._made[key] = self._make(spec)
                bounded(self._made, MOST)
            return found

    def _make(self, spec: Spec) -> Specialisation:
        return self._compile(self._program(spec))

    def _program(self, spec: Spec) -> Program:
        # Most functions are called as they were checked.
        known = self._checked.get(_key(spec))
        return known or self.manner.program(elaborate(self.namespace, self.definition, spec))

    def _compile(self, program: Program) -> Specialisation:
        # Imported here, so that loading and checking formulas needs none of it.
        from namedlayers.call.capturing import CUDA, Captured
        from namedlayers.emit.budget.partial import function_of
        from namedlayers.emit.budget.tiled import Tiled
        from namedlayers.emit.build import build
        from namedlayers.emit.narrowing import PRECISIONS
        from namedlayers.plan.planner import plan
        from namedlayers.program.numbering import number

        planned = plan(number(program), numerics=self.manner.numerics)
        precision = None if self.manner.precision is None else PRECISIONS[self.manner.precision]
        inductor = self.manner.backend == "inductor"
        compiled = build(program, planned, checkpoint=self.checkpoint, precision=precision, compiled=inductor)
        if inductor:
            # What the generated code reads by name is its own and never changes: no call has to ask for it.
            function = torch.compile(
                compiled.function, options={"guard_filter_fn": torch.compiler.skip_guard_on_globals_unsafe}
            )
            compiled = _within(compiled, function)
        if self.manner.backend == "cudagraph":
            compiled = _within(compiled, Captured(compiled, CUDA()))
        if self.manner.max_memory is not None:
            make = partial(function_of, checkpoint=self.checkpoint, precision=precision, compiled=inductor)
            compiled = _within(compiled, Tiled(compiled, self.manner.max_memory, make))
        return Specialisation(self.namespace, self.definition, program, planned, compiled, owned(program))


def _within(compiled: Compiled, function: Callable[..., Any]) -> Compiled:
    """The same, called within another function, which may look at its arguments first."""
    return replace(compiled, function=function, unpacked=frozenset())


def _by_symbol(program: Program, sizes: Mapping[str, int]) -> dict[str, int]:
    """The sizes of axes as those of the symbols that stand for them."""
    symbols = {axis: str(size)[1:-1] for given in program.inputs for axis, size in given.axes if len(size.terms) == 1}
    symbols = {axis: name for axis, name in symbols.items() if name in program.symbols}
    for axis in sizes:
        if axis not in symbols:
            hint = near_miss(axis, symbols) or f"there are {', '.join(f'`{one}`' for one in symbols)}"
            raise SizeError("NL0617", f"`{program.name}` has no axis `{axis}` whose size could be given", hint=hint)
    needed = {name for given in program.inputs for _, size in given.axes for name in size.symbols}
    missing = sorted(needed - {symbols[axis] for axis in sizes})
    if missing:
        raise SizeError("NL0617", f"the sizes of {', '.join(f'`{one}`' for one in missing)} are needed, too")
    return {symbols[axis]: _size(axis, size) for axis, size in sizes.items()}


def _size(axis: str, given: object) -> int:
    try:
        size = -1 if isinstance(given, bool) else operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        size = -1
    if size < 0:
        raise SizeError("NL0530", f"the size of `{axis}` is an integer, 0 or more, not {given!r}")
    return size


Key = tuple[Spec, str]


def _key(spec: Spec) -> Key:
    """1 equals True and 1.0, but as options they may mean other programs."""
    return spec, repr(spec.options)


K = TypeVar("K")
V = TypeVar("V")


def bounded(table: dict[K, V], most: int) -> list[V]:
    """Takes the oldest entries out of a table that has more than `most`, and returns them.

    >>> table = {"a": 1, "b": 2, "c": 3}
    >>> bounded(table, 2), table
    ([1], {'b': 2, 'c': 3})
    """
    gone = []
    while len(table) > most:
        gone.append(table.pop(next(iter(table))))
    return gone
