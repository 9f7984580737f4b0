"""The way from a definition to its program: names, axes and sizes are resolved, sizes solved, and then terms built.

In: a definition, the namespace it stands in, and a `Spec` of what the call gives. Out: a `Program`, or the `Structure`
of a layer. What always holds: the same arguments give the same program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from namedlayers.errors import ArgumentError, Label
from namedlayers.program.elaborating import Elaboration
from namedlayers.program.elaboration.defaults import literal_default, literal_kind
from namedlayers.program.elaboration.definitions import declared_axes, inputs_of, options_of
from namedlayers.program.elaboration.layers import sized_names
from namedlayers.program.elaboration.reading import WantsInteger
from namedlayers.program.namespace import Namespace
from namedlayers.program.program import Kind, Program
from namedlayers.program.size import symbol
from namedlayers.program.solver import Undetermined
from namedlayers.program.spec import Given, NeedsStatic, Spec
from namedlayers.program.structure import Structure
from namedlayers.syntax import tree

_NOTHING = Spec()


def elaborate(namespace: Namespace, definition: tree.Definition, spec: Spec) -> Program:
    """The program of a definition for what a call gives; of a layer, with what it owns as the last inputs.

    Raises FormulaError, and NeedsStatic where options or sizes must be known that the spec leaves open.
    """
    return _told(Elaboration(namespace, definition, spec), Elaboration.program)


def structure(namespace: Namespace, definition: tree.Definition, spec: Spec) -> Structure:
    """What a layer owns, for what a call gives, and how its sizes follow from the data alone. Raises as `elaborate`."""
    return _told(Elaboration(namespace, definition, spec), Elaboration.structure)


def default_spec(namespace: Namespace, definition: tree.Definition, options: tuple = ()) -> Spec:
    """What a plain call gives; see `default_program`."""
    return default_program(namespace, definition, Spec(options=options))[0]


def default_program(
    namespace: Namespace, definition: tree.Definition, settled: Spec = _NOTHING
) -> tuple[Spec, Program | None]:
    """What a plain call gives: all inputs that it must give, with exactly their axes; reals, or integers to index with.

    `settled` has the options, sizes and stars that are known before; any other star stands for one axis of its own
    name. And the program of it; None where it needs sizes that only a call knows.
    """
    return _default(namespace, definition, settled, Elaboration.program)


def default_structure(
    namespace: Namespace, definition: tree.Definition, settled: Spec = _NOTHING
) -> tuple[Spec, Structure | None]:
    """The same for what a layer owns."""
    return _default(namespace, definition, settled, Elaboration.structure)


# --- helpers ----------------------------------------------------------------------------------------------------------


Made = TypeVar("Made")


def _told(elaboration: Elaboration, make: Callable[[Elaboration], Made]) -> Made:
    """What `make` makes, with errors in the words of a call."""
    definition, spec = elaboration.definition, elaboration.spec
    try:
        return make(elaboration)
    except Undetermined as error:
        axis = next((name for name in sized_names(definition) if f"`{name}`" in error.message), None)
        if definition.kind == "def" or axis is None:
            raise
        hint = f"give it when the module is made: `{definition.name}({axis}=…)`"
        raise Undetermined(error.code, error.message, *error.labels, hint=hint) from None
    except NeedsStatic as needs:
        axes = elaboration.axes_behind(needs.axes)
        if not needs.options and not axes:  # no call says it
            elaboration.ctx.solver.undetermined(symbol(min(needs.axes)), set())
        raise NeedsStatic(needs.options, axes) from None
    except WantsInteger as wanted:
        given = dict(spec.given)
        name = _not_integer(given, wanted)
        if name is None:
            raise wanted.error from None
        raise ArgumentError(
            "NL0509", f"`{name}` is used as an index, so it holds integers, but it is {_WORDS[given[name].kind]}",
            Label(_input(definition, name).span), *(replace(one, text="the index") for one in wanted.error.labels),
            hint="give integers (`.long()`), or make them in the text: `int(round(x))`",
        ) from None  # fmt: skip


def _default(
    namespace: Namespace, definition: tree.Definition, settled: Spec, make: Callable[[Elaboration], Made]
) -> tuple[Spec, Made | None]:
    stars = dict(settled.stars)
    given = {
        parameter.name: Given(
            Kind.REAL,
            tuple(
                axis
                for node in declared_axes(parameter)
                for axis in (stars.get(node.name, (node.name,)) if node.star else (node.name,))
            ),
        )
        for parameter in inputs_of(definition)
        if parameter.default is None
    }
    fixed = dict(settled.options)
    while True:
        numbers = {
            option.name: literal_kind(option.default)
            for option in options_of(definition)
            # A layer's options belong to its modules, and are known when one is made.
            if option.name not in fixed and option.default is not None and definition.kind == "def"
        }
        scalars = tuple((name, kind) for name, kind in numbers.items() if kind is not None)
        spec = Spec(tuple(given.items()), tuple(fixed.items()), scalars, settled.sizes, settled.stars)
        try:
            made = make(Elaboration(namespace, definition, spec))
        except WantsInteger as wanted:
            name = _not_integer(given, wanted)
            if name is None:
                raise wanted.error from None
            given[name] = replace(given[name], kind=Kind.INT)
        except NeedsStatic as needs:
            if not needs.options:
                return spec, None
            for name in needs.options:
                fixed[name] = literal_default(definition, name)
        except Undetermined:
            if definition.kind == "def":
                raise
            return spec, None  # whoever makes the module gives it
        else:
            return spec, made


_WORDS = {Kind.BOOL: "boolean", Kind.INT: "integer", Kind.REAL: "real", Kind.COMPLEX: "complex"}


def _not_integer(given: Mapping[str, Given], wanted: WantsInteger) -> str | None:
    """The first input by which the index is no integer."""
    return next((name for name in wanted.inputs if name in given and given[name].kind is not Kind.INT), None)


def _input(definition: tree.Definition, name: str) -> tree.Parameter:
    return next(p for p in inputs_of(definition) if p.name == name)
