"""Arguments put to the inputs and options of a signature, or the error that says what is wrong with them.

In: a signature and the forms of a call's arguments. Out: a `Binding`: which argument is which input's, and the names of
all their axes. What always holds: nothing is guessed, and every fault is an ArgumentError that points at the signature.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

import torch

from namedlayers.call.fits import KINDS, TensorForm, check_input, check_option, stacked
from namedlayers.call.forms import Bare, CallForm, Constant, Form, Listed, Named, Scalar, read
from namedlayers.errors import ArgumentError, Label, Span, near_miss
from namedlayers.program.program import Kind
from namedlayers.program.signature import Signature, SignatureInput, name_axes
from namedlayers.program.spec import TRAINING, Given

Place = int | str
"""Where an argument stands in the call: a position or a keyword."""


@dataclass(frozen=True, slots=True)
class BoundInput:
    """An input with its argument; `axes` are those of the tensor that is made of it, `dtype` is None for a number."""

    declared: SignatureInput
    place: Place
    form: TensorForm
    axes: tuple[str, ...]
    kind: Kind
    dtype: torch.dtype | None

    @property
    def name(self) -> str:
        return self.declared.name

    @property
    def given(self) -> Given:
        return Given(self.kind, self.axes)


@dataclass(frozen=True, slots=True)
class BoundOption:
    """An option with its argument: a number of `kind`, or (`kind` None) the constant `value`."""

    name: str
    place: Place
    kind: Kind | None
    value: str | tuple | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """Inputs and options in the signature's order; `named` if the call gave named tensors and gets named results."""

    inputs: tuple[BoundInput, ...]
    options: tuple[BoundOption, ...]
    named: bool


def bind(sign: Signature, call: CallForm, fixed: Iterable[str] = (), *, module: bool = False) -> Binding:
    """Puts the arguments to `sign`; `fixed` are the options that compiling, or making the `module`, has settled.

    Raises ArgumentError.
    """
    places = _places(sign, call, frozenset(fixed), module)
    _check_missing(sign, places, frozenset(fixed))
    forms = {one.name: check_input(one, places[one.name][1]) for one in sign.inputs if one.name in places}
    named = _is_named(sign, forms)
    if named:
        axes = {one.name: _own_axes(one, forms[one.name]) for one in sign.inputs if one.name in forms}
    else:
        axes = name_axes(sign, {name: _ndim(form) for name, form in forms.items()})
    inputs = []
    for one in sign.inputs:
        if one.name in forms:
            place, form = places[one.name][0], forms[one.name]
            dtype = _dtype(form)
            inputs.append(BoundInput(one, place, form, axes.get(one.name, ()), _kind(form, dtype), dtype))
    options = [_option(name, span, *places[name]) for name, span in option_spans(sign).items() if name in places]
    return Binding(tuple(inputs), tuple(options), named)


def option_spans(sign: Signature) -> dict[str, Span]:
    """The options that a definition has, with the places to point at."""
    return {option.name: option.span for option in sign.options} | {TRAINING: sign.span}


NUMBER_KINDS = {"bool": Kind.BOOL, "int": Kind.INT, "float": Kind.REAL, "complex": Kind.COMPLEX}


# --- which argument belongs to which name -----------------------------------------------------------------------------


def _places(sign: Signature, call: CallForm, fixed: frozenset[str], module: bool) -> dict[str, tuple[Place, Form]]:
    positional, keywords = call
    if len(positional) > len(sign.inputs):
        _too_many(sign, len(positional))
    places: dict[str, tuple[Place, Form]] = {}
    for position, plain in enumerate(positional):
        places[sign.inputs[position].name] = (position, read(plain))
    known = {one.name: one.span for one in sign.inputs} | option_spans(sign)
    for name, plain in keywords:
        if name not in known:
            _unexpected(sign, name, [one for one in known if one != TRAINING])
        if name in fixed:
            _settled(sign, name, known[name], module)
        if name in places:
            message = f"`{name}` is given twice: as argument {int(places[name][0]) + 1}, and by name"
            raise ArgumentError("NL0504", message, Label(known[name]))
        places[name] = (name, read(plain))
    return places


def _check_missing(sign: Signature, places: Mapping[str, object], fixed: frozenset[str]) -> None:
    absent = [(one.name, one.span) for one in sign.inputs if one.required and one.name not in places]
    for option in sign.options:
        if option.default is None and option.name not in places and option.name not in fixed:
            absent.append((option.name, option.span))
    if absent:
        names = " and ".join(f"`{name}`" for name, _ in absent)
        raise ArgumentError("NL0501", f"{sign.name}() needs {names}", *(Label(span, "not given") for _, span in absent))


def _too_many(sign: Signature, count: int) -> NoReturn:
    takes = "1 tensor" if len(sign.inputs) == 1 else f"{len(sign.inputs)} tensors"
    label = Label(_all_inputs(sign), takes) if sign.inputs else Label(sign.span)
    hint = f"options are given by name: `{sign.options[0].name}=…`" if sign.options else ""
    raise ArgumentError("NL0502", f"{sign.name}() takes {takes} but {count} are given", label, hint=hint)


def _unexpected(sign: Signature, name: str, known: list[str]) -> NoReturn:
    has = f"it has {', '.join(f'`{one}`' for one in known)}" if known else "it has none"
    label = Label(_all_inputs(sign)) if sign.inputs else Label(sign.span)
    hint = near_miss(name, known) or has
    raise ArgumentError("NL0503", f"{sign.name}() has no input or option `{name}`", label, hint=hint)


def _settled(sign: Signature, name: str, span: Span, module: bool) -> NoReturn:
    if name == TRAINING and module:
        hint = "a module says it: `.train()`, `.eval()`"
        raise ArgumentError("NL0504", f"`{TRAINING}` is no argument of a call of `{sign.name}`", Label(span), hint=hint)
    when = f"when this `{sign.name}` was made" if module else f"when `{sign.name}` was compiled"
    way = f"make it with `{sign.name}({name}=…)`" if module else f"compile without `{name}=`"
    raise ArgumentError(
        "NL0504", f"`{name}` was settled {when}", Label(span), hint=f"leave it out of the call, or {way}"
    )


def _all_inputs(sign: Signature) -> Span:
    return sign.inputs[0].span.to(sign.inputs[-1].span)


def _option(name: str, span: Span, place: Place, form: Form) -> BoundOption:
    fitting = check_option(name, span, form)
    if isinstance(fitting, Constant):
        return BoundOption(name, place, None, fitting.value)
    return BoundOption(name, place, NUMBER_KINDS[fitting.type])


# --- the axes of all together -----------------------------------------------------------------------------------------


def _is_named(sign: Signature, forms: Mapping[str, TensorForm]) -> bool:
    """Whether names say which axis is which; a call with both kinds is an error, scalars aside."""
    named = [one for one in sign.inputs if one.name in forms and _has_names(forms[one.name])]
    bare = [one for one in sign.inputs if one.name in forms and one not in named and _ndim(forms[one.name]) > 0]
    if named and bare:
        axes = " ".join(axis for axis in bare[0].axes if not axis.startswith("*"))
        raise ArgumentError(
            "NL0514",
            f"`{named[0].name}` has named axes and `{bare[0].name}` has none: which belong together?",
            Label(bare[0].span, "bare"),
            Label(named[0].span, "named"),
            hint=f'name them all: `{bare[0].name}=nl.named({bare[0].name}, "{axes}")`',
        )
    return bool(named)


def _has_names(form: TensorForm) -> bool:
    return isinstance(form, Named) or (isinstance(form, Listed) and isinstance(read(form.items[0]), Named))


def _own_axes(one: SignatureInput, form: TensorForm) -> tuple[str, ...]:
    first = read(form.items[0]) if isinstance(form, Listed) else form
    if not isinstance(first, Named):
        return ()
    return stacked(one, first).axes if isinstance(form, Listed) else first.axes


def _ndim(form: TensorForm) -> int:
    """The number of axes, once a list is stacked."""
    if isinstance(form, Listed):
        first = read(form.items[0])
        assert isinstance(first, (Bare, Named))
        return first.ndim + 1
    return 0 if isinstance(form, Scalar) else form.ndim


def _kind(form: TensorForm, dtype: torch.dtype | None) -> Kind:
    if isinstance(form, Scalar):
        return NUMBER_KINDS[form.type]
    assert dtype is not None
    return KINDS[dtype]


def _dtype(form: TensorForm) -> torch.dtype | None:
    if isinstance(form, Scalar):
        return None
    if isinstance(form, Listed):
        dtypes = [read(item).dtype for item in form.items]  # type: ignore[union-attr]
        promoted = dtypes[0]
        for dtype in dtypes[1:]:
            promoted = torch.promote_types(promoted, dtype)
        return promoted
    return form.dtype
