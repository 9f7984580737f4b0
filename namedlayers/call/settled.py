"""A layer with its options and sizes settled: what all modules that are made alike have in common.

In: a layer type, options, sizes by axis. Out: what the modules own, and the steps of their calls. What always holds:
modules with equal options and sizes share one `Settled`, and so all their programs; it never changes what it means, and
pickles as what it was made from.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from namedlayers.call.budget import Budgets
from namedlayers.call.in_mode import InMode
from namedlayers.call.modes import Modes, differing, modal_parts
from namedlayers.call.specialise import Specialisation
from namedlayers.call.steps import Steps
from namedlayers.call.tracing import not_traced
from namedlayers.call.words import listed
from namedlayers.errors import ArgumentError, Label, SizeError, near_miss
from namedlayers.program.elaborate import default_structure, structure
from namedlayers.program.program import Body, Program
from namedlayers.program.signature import Signature, signature
from namedlayers.program.size import SizeExpr
from namedlayers.program.spec import TRAINING, NeedsStatic, Spec, Static
from namedlayers.program.structure import Declared, Part, Structure
from namedlayers.program.terms import Primitive

if TYPE_CHECKING:
    from namedlayers.call.layer import LayerType
    from namedlayers.call.owner import Owner

Stars = Mapping[str, tuple[str, ...]]


class MadeOfSizes(SizeError):
    """Without some sizes a layer cannot be made."""


class Settled:
    """Attributes: `layer`, `options` (those given), `sizes` (those given, by axis), `stars` (which axes a starred axis
    parameter stands for), `signature` (with these in the place of stars), `names` (of inputs and options), `structure`;
    `checkpoint` names the blocks that are computed anew in the backward pass; `budgets` has the same layer within the
    budgets that calls have given."""

    def __init__(
        self,
        layer: LayerType,
        options: Mapping[str, Static],
        sizes: Mapping[str, int],
        stars: Stars,
        checkpoint: frozenset[str] = frozenset(),
    ) -> None:
        self.layer = layer
        self.options = dict(options)
        self.sizes = dict(sizes)
        self.checkpoint = checkpoint
        self.structure, self.stars = self._structure(stars)
        written = signature(layer.definition)
        self.signature: Signature = _without_stars(written, self.stars)
        self.names = frozenset([*(one.name for one in written.inputs), *(one.name for one in written.options)])
        self._parts: dict[str, Settled] = {}
        self.budgets = Budgets(self._within)
        self._compiled: dict[object, Specialisation] = {}
        self._lock = threading.RLock()
        # One for each mode: programs depend on `training`, and calls must not ask for it.
        self.steps = {training: self._new_steps(training, ()) for training in (False, True)}
        # Others as attributes: torch.compile sees those that are made while it traces.
        self._others = _Attributes()
        self._key = f"{layer.name}-{next(_numbers)}"
        _all[self._key] = self
        self.modal = modal_parts(layer.namespace, layer.definition, self.structure)
        self.differing = differing(self.modal)

    def steps_in(self, training: bool, modes: Modes) -> Steps:
        """The steps of calls for which some parts are in another mode than the whole."""
        return getattr(self._others, _steps_attribute(self._key, training, modes)) if modes else self.steps[training]

    def spec(self, training: bool, modes: Modes = ()) -> Spec:
        """What every call of the modules has."""
        options = tuple(sorted({**self.options, TRAINING: training}.items()))
        return Spec((), options, (), tuple(self.sizes.items()), tuple(self.stars.items()), modes)

    def shown(self, training: bool, modes: Modes = ()) -> Specialisation:
        """The newest kind of call, and before any the default one."""
        return self.steps_in(training, modes).latest or self.default(training, modes)

    def default(self, training: bool, modes: Modes = ()) -> Specialisation:
        """What a call without optional inputs and further axes runs."""
        made = self.steps_in(training, modes).specialisations
        try:
            return made.get(made.default())
        except NeedsStatic as needs:
            raise self.needs(needs) from None

    def check(self) -> None:
        """Raises FormulaError for what is wrong with the layer, whatever it is called with."""
        self.steps[False].specialisations.default()

    def needs(self, needs: NeedsStatic) -> MadeOfSizes:
        """The error for sizes that must be known to make a program."""
        axes = sorted(needs.axes)
        names, given = ", ".join(f"|{axis}|" for axis in axes), ", ".join(f"{axis}=…" for axis in axes)
        message = f"what `{self.layer.name}` computes depends on {names}, so this must be known when it is made"
        return MadeOfSizes(
            "NL0528", message, Label(signature(self.layer.definition).span), hint=f"`{self.layer.name}({given})`"
        )

    @cached_property
    def declared(self) -> dict[str, Declared]:
        """What the modules own, by path."""
        return {one.path: one for one in self.structure.declared}

    @cached_property
    def parts(self) -> dict[str, Part]:
        """The instances inside, by path."""
        return {one.path: one for one in self.structure.parts}

    @cached_property
    def written_out(self) -> Settled:
        """The same layer, computed as it is written: for calls that a kernel refuses."""
        from namedlayers.call.layer import LayerType

        strict = replace(self.layer.manner, numerics="strict")
        layer = LayerType(self.layer.namespace, self.layer.definition, manner=strict, checked=True)
        return layer.settled(self.options, self.sizes, self.stars)

    def layer_of(self, path: str) -> LayerType:
        """The type of an instance inside; of the whole for the empty path."""
        part = self.parts.get(path)
        if part is None or part.definition is None:
            return self.layer
        return self.layer.beside(part.namespace, part.definition)

    def module_class(self, path: str, lazy: bool) -> type[Owner]:
        """The class of the module at a path."""
        from namedlayers.call.lazy import LazyRound
        from namedlayers.call.owner import Round

        if path and self.parts[path].definition is None:
            return LazyRound if lazy else Round
        classes = self.layer_of(path).classes
        return classes.lazy if lazy else classes.ordinary

    def checkpointing(self, blocks: Iterable[str]) -> Settled:
        """The same layer, with these blocks computed anew in the backward pass. Raises ArgumentError."""
        found = self.layer.settled(self.options, self.sizes, self.stars, frozenset(blocks))
        program = found.default(True).program
        known = {body.name: body.span for body in bodies(program)}
        for block in found.checkpoint:
            if block not in known:
                has = f"there are {listed(known)}" if known else "there are none"
                raise ArgumentError(
                    "NL0541", f"`{self.layer.name}` has no block `{block}` that runs as a whole",
                    Label(signature(self.layer.definition).span),
                    hint=near_miss(block, known) or f"blocks are those of a `repeat` whose rounds are alike: {has}",
                )  # fmt: skip
        return found

    def part(self, path: str, symbols: Mapping[str, int]) -> Settled:
        """An instance inside, as a layer of its own; `symbols` are the sizes that data have decided."""
        found = self._parts.get(path)
        if found is None:
            found = self._parts[path] = self._part(self.parts[path], symbols)
        return found

    # --- one object, wherever it goes ---------------------------------------------------------------------------------

    def __copy__(self) -> Settled:
        return self

    def __deepcopy__(self, memo: dict) -> Settled:
        return self

    def __reduce__(self) -> tuple:
        return _restore, (self.layer, self.options, self.sizes, self.stars, self.checkpoint)

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _new_steps(self, training: bool, modes: Modes) -> Steps:
        spec = self.spec(training, modes)
        return Steps(self.signature, spec, InMode(self, spec, self._compiled), module=True)

    def _within(self, most: int | None) -> Settled:
        """The same layer, whose calls take at most so many bytes for intermediate values."""
        from namedlayers.call.layer import LayerType

        manner = replace(self.layer.manner, max_memory=most)
        layer = LayerType(self.layer.namespace, self.layer.definition, manner=manner, checked=True)
        return layer.settled(self.options, self.sizes, self.stars, self.checkpoint)

    def _structure(self, stars: Stars) -> tuple[Structure, Stars]:
        layer = self.layer
        self.stars = stars
        spec, found = default_structure(layer.namespace, layer.definition, self.spec(True))
        if found is None:
            try:
                found = structure(layer.namespace, layer.definition, spec)
            except NeedsStatic as needs:
                raise self.needs(needs) from None
        own = {star: (star,) for star in sorted(found.stars) if star not in stars}
        return found, {**stars, **own}

    def _part(self, part: Part, symbols: Mapping[str, int]) -> Settled:
        layer = self.layer_of(part.path)
        options = {name: _known(value, symbols) for name, value in part.options.items()}
        unknown = [name for name, value in options.items() if isinstance(value, SizeExpr)]
        if unknown:
            raise SizeError(
                "NL0539", f"`{part.path}` has the option `{unknown[0]} = {options[unknown[0]]}`, which the data of "
                f"`{self.layer.name}` decide", Label(part.span), hint="call the whole once",
            )  # fmt: skip
        known = {name: _known(size, symbols) for name, size in part.sizes}
        sizes = {name: size for name, size in known.items() if isinstance(size, int)}
        own = [one for one in self.structure.declared if one.path.rpartition(".")[0] == part.path]
        found = layer.settled(options, sizes, {})
        for count in (2, 3, 4, 0):  # the axes of a star are not noted; they show in what lies over them
            if all(len(found.declared[one.name].dimensions) == len(one.dimensions) for one in own):
                break
            stars = {star: tuple(f"{star}_{k + 1}" for k in range(count)) for star in found.stars}
            found = layer.settled(options, sizes, stars)
        return found


class _Attributes:
    """Holds steps as attributes."""


_numbers = itertools.count(1)
_all: weakref.WeakValueDictionary[str, Settled] = weakref.WeakValueDictionary()


@not_traced
def _steps_attribute(key: str, training: bool, modes: Modes) -> str:
    """The attribute under which a layer has the steps of modes; made now if it is not there."""
    settled = _all[key]
    name = repr((training, modes))
    with settled._lock:
        if not hasattr(settled._others, name):
            setattr(settled._others, name, settled._new_steps(training, modes))
    return name


def _restore(
    layer: LayerType, options: Mapping[str, Static], sizes: Mapping[str, int], stars: Stars, checkpoint: frozenset[str]
) -> Settled:
    return layer.settled(options, sizes, stars, checkpoint)


def bodies(block: Program | Body) -> Iterator[Body]:
    """The bodies that calls in a program run, those inside of others too."""
    for statement in block.statements:
        if isinstance(statement.term, Primitive) and statement.term.op == "call":
            body = dict(statement.term.attrs)["body"]
            yield body
            yield from bodies(body)


def _known(value: Any, symbols: Mapping[str, int]) -> Any:
    """A size as a number, if the symbols in it are known."""
    if not isinstance(value, SizeExpr):
        return value
    if value.value is not None:
        return value.value
    return value.evaluate(symbols) if value.symbols <= symbols.keys() else value


def _without_stars(sign: Signature, stars: Stars) -> Signature:
    """The signature with the axes that stars stand for."""

    def plain(axes: tuple[str, ...]) -> tuple[str, ...]:
        listed = (stars.get(axis[1:], (axis,)) if axis.startswith("*") else (axis,) for axis in axes)
        return tuple(axis for group in listed for axis in group)

    inputs = tuple(
        replace(one, axes=plain(one.axes), star=None if one.star in stars else one.star) for one in sign.inputs
    )
    outputs = None if sign.outputs is None else tuple(map(plain, sign.outputs))
    return replace(sign, axis_parameters=plain(sign.axis_parameters), inputs=inputs, outputs=outputs)
