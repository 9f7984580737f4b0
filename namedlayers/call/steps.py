"""From a call to the compiled function that it runs, found once for each kind of call.

In: the arguments of a call. Out: a `Run`. What always holds: equal forms take equal steps; making a step is never
traced by torch.compile, taking one is; any number of threads may ask.

A call's *form* says which program it needs, unless compiling must know numbers: then the step of the form is an `Ask`,
which reads them from the arguments, and the step of the form with these numbers is the `Run` (or asks for more).
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from namedlayers.call.bind import Binding, bind
from namedlayers.call.forms import CallForm, call_form
from namedlayers.call.owned import Tensors
from namedlayers.call.specialise import Specialisation, Specialisations, bounded
from namedlayers.call.straight import Straight, StraightWay
from namedlayers.call.supply import Fetch, as_they_stand, finisher, size_of, suppliers, value_of
from namedlayers.call.tracing import is_traced, not_traced
from namedlayers.errors import Label, SizeError
from namedlayers.program.program import Program
from namedlayers.program.signature import Signature
from namedlayers.program.spec import NeedsStatic, Spec, Static

MOST_FORMS = 1024
"""For how many kinds of calls a function keeps the way; the oldest go first."""

Statics = tuple[tuple[str, str, Static], ...]
"""What compiling has asked of a call: ("option" or "axis", name, value)."""

Args = Sequence[Any]
Keywords = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """The step that ends a call."""

    function: Callable[..., Any]
    supply: tuple[Fetch, ...]
    finish: Callable[[Any], Any] | None
    made: Specialisation
    spec: Spec

    def __call__(self, args: Args, kwargs: Keywords, tensors: Tensors = ()) -> Any:
        """The results; `tensors` are what a layer's module supplies."""
        given = [fetch(args, kwargs) for fetch in self.supply]
        _refuse_some_meta((*given, *tensors))
        owned = self.made.owned
        result = self.function(*given) if owned is None else owned.run(self.function, given, tensors)
        return result if self.finish is None else self.finish(result)

    def arguments(self, args: Args, kwargs: Keywords, tensors: Tensors = ()) -> dict[str, Any]:
        """What the compiled function takes, by the names of the program's inputs."""
        names = [one.name for one in self.made.program.inputs]
        given = [fetch(args, kwargs) for fetch in self.supply]
        return dict(zip(names, (*given, *tensors), strict=True))


@dataclass(frozen=True, slots=True)
class Ask:
    """The step that reads what compiling must know: values of options, sizes of axes."""

    questions: tuple[tuple[str, str, Fetch], ...]

    def __call__(self, args: Args, kwargs: Keywords) -> Statics:
        return tuple([(sort, name, read(args, kwargs)) for sort, name, read in self.questions])


class Steps:
    """The steps of one function, or of one layer for which `settled` has the options and the sizes.

    `straight` is the way of the calls whose arguments the compiled function takes as they stand. `latest` is the
    specialisation that was made or found last."""

    def __init__(
        self, sign: Signature, settled: Spec, specialisations: Specialisations, *, module: bool = False
    ) -> None:
        self.straight = StraightWay()
        self.latest: Specialisation | None = None
        self._signature = sign
        self._settled = settled
        self._options = dict(settled.options)
        self.specialisations = specialisations
        self._module = module
        self._known: dict[tuple[CallForm, Hashable], tuple[str, Run | Ask]] = {}
        self._quick: dict[tuple[tuple, Hashable], Run | Ask] = {}
        # The same as attributes: torch.compile sees those that are made while it traces.
        self._named = _Attributes()
        self._key = f"{sign.name}-{next(_numbers)}"
        self._lock = threading.RLock()
        _all[self._key] = self

    def run(self, args: Args, kwargs: Keywords) -> Run:
        """The step that ends this call. Raises ArgumentError and whatever else is wrong with it."""
        form = call_form(args, kwargs)
        statics: Statics = ()
        while True:
            _, step = self._known.get((form, exact(statics))) or self._make(form, statics)
            if isinstance(step, Run):
                return step
            statics = step(args, kwargs)

    def run_quickly(self, key: tuple, args: Args, kwargs: Keywords) -> Run:
        """The same for a call with this `quick_key`."""
        statics: Statics = ()
        while (step := self._quick.get((key, exact(statics)))) is not None:
            if isinstance(step, Run):
                return step
            statics = step(args, kwargs)
        form = call_form(args, kwargs)
        _, step = self._known.get((form, exact(statics))) or self._make(form, statics)
        with self._lock:
            self._quick[key, exact(statics)] = step
            bounded(self._quick, MOST_FORMS)
        return step if isinstance(step, Run) else self.run_quickly(key, args, kwargs)

    def run_traced(self, args: Args, kwargs: Keywords) -> Run:
        """The same, in words that torch.compile follows without seeing how steps are made."""
        form = call_form(args, kwargs)
        statics: Statics = ()
        while True:
            step = getattr(self._named, _attribute(self._key, form, statics))
            if isinstance(step, Run):
                return step
            statics = step(args, kwargs)

    def _make(self, form: CallForm, statics: Statics) -> tuple[str, Run | Ask]:
        """A step, and the attribute of `_named` under which it stands."""
        with self._lock:
            found = self._known.get((form, exact(statics)))
            if found is not None:
                return found
            binding = bind(self._signature, form, self._options, module=self._module)
            step = self._step(binding, statics)
            if isinstance(step, Run):
                self.latest = step.made
                self._straighten(binding, form, statics, step)
            name = f"step_{next(_numbers)}"
            setattr(self._named, name, step)
            self._known[form, exact(statics)] = name, step
            for gone, _ in bounded(self._known, MOST_FORMS):
                delattr(self._named, gone)
            return name, step

    def _straighten(self, binding: Binding, form: CallForm, statics: Statics, run: Run) -> None:
        """Keeps the straight way of a call, if it has one."""
        if any(sort == "axis" for sort, _, _ in statics):
            return  # sizes do not belong to the form
        settled = {name: value for _, name, value in statics}
        settled |= {option.name: option.value for option in binding.options if option.value is not None}
        keywords = as_they_stand(binding, _given(run.made.program), len(form[0]))
        if keywords is not None:
            made = run.made
            self.straight.add(form, settled, Straight(run.function, keywords, made.owned, made.compiled.unpacked))

    def _step(self, binding: Binding, statics: Statics) -> Run | Ask:
        spec = self._spec(binding, statics)
        try:
            made = self.specialisations.get(spec)
        except NeedsStatic as needs:
            return self._ask(binding, statics, needs)
        supply = suppliers(binding, _given(made.program))
        results = len(made.program.outputs) - len(made.program.writes)
        return Run(made.compiled.function, supply, finisher(binding, made.program.outputs[:results]), made, spec)

    def _spec(self, binding: Binding, statics: Statics) -> Spec:
        options = dict(self._options)
        options |= {option.name: option.value for option in binding.options if option.kind is None}
        options |= {name: value for sort, name, value in statics if sort == "option"}
        return Spec(
            tuple((one.name, one.given) for one in binding.inputs),
            tuple(sorted(options.items())),
            tuple((one.name, one.kind) for one in binding.options if one.kind is not None and one.name not in options),
            (
                *self._settled.sizes,
                *((name, value) for sort, name, value in statics if sort == "axis" and isinstance(value, int)),
            ),
            self._settled.stars,
            self._settled.modes,
        )

    def _ask(self, binding: Binding, statics: Statics, needs: NeedsStatic) -> Ask:
        known = {(sort, name) for sort, name, _ in statics}
        wanted = known | {("option", name) for name in needs.options} | {("axis", name) for name in needs.axes}
        if wanted == known:
            raise SizeError("NL0426", "the program depends on a size that no argument has", Label(self._signature.span))
        return Ask(tuple((sort, name, self._question(binding, sort, name)) for sort, name in sorted(wanted)))

    def _question(self, binding: Binding, sort: str, name: str) -> Fetch:
        if sort == "option":
            return next(value_of(one.place, one.kind) for one in binding.options if one.name == name and one.kind)
        read = size_of(binding, name)
        if read is None:
            label = Label(self._signature.span)
            raise SizeError("NL0426", f"the program depends on |{name}|, and no argument has this axis", label)
        return read


def exact(statics: Statics) -> Hashable:
    """What tells statics apart that are equal and mean different programs.

    >>> exact((("option", "s", 0.0),)) == exact((("option", "s", -0.0),))
    False
    """
    return repr(statics) if statics else ()


def _given(program: Program) -> list[str]:
    """The inputs that the caller gives."""
    return [one.name for one in program.inputs if not one.owned]


def _refuse_some_meta(tensors: Sequence[Any]) -> None:
    """Raises RuntimeError, as torch does for other devices: its products take tensors of the meta device beside others,
    and return what happens to lie in memory. The straight way does not ask: it would take as long as all it tests."""
    if not is_traced() and len({one.is_meta for one in tensors if isinstance(one, torch.Tensor)}) > 1:
        if len({one.is_meta for one in tensors if isinstance(one, torch.Tensor) and one.ndim}) > 1:
            raise RuntimeError("some tensors are on the meta device, and others hold numbers")


class _Attributes:
    """Holds steps as attributes."""


_numbers = itertools.count(1)
_all: weakref.WeakValueDictionary[str, Steps] = weakref.WeakValueDictionary()


@not_traced
def _attribute(key: str, form: CallForm, statics: Statics) -> str:
    """The attribute under which a function has a step; made now if it is not there."""
    steps = _all[key]
    name, _ = steps._known.get((form, exact(statics))) or steps._make(form, statics)
    return name
