"""What an argument for one input or option may be.

In: the declaration and the form of the argument. Out: nothing, or an ArgumentError that points at the declaration.
What always holds: forms that pass are ones for which `supply` makes a tensor, or an option's value.
"""

from __future__ import annotations

from typing import NoReturn

import torch

from namedlayers.call.forms import Bare, Constant, Form, Listed, Named, Scalar, read
from namedlayers.call.words import axes_count, described, dtype_name, listed
from namedlayers.errors import ArgumentError, Label, Span, near_miss
from namedlayers.program.program import Kind
from namedlayers.program.signature import SignatureInput
from namedlayers.program.spec import TRAINING

KINDS: dict[torch.dtype, Kind] = {
    torch.bool: Kind.BOOL,
    **dict.fromkeys((torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64), Kind.INT),
    **dict.fromkeys((torch.float16, torch.bfloat16, torch.float32, torch.float64), Kind.REAL),
    **dict.fromkeys((torch.complex64, torch.complex128), Kind.COMPLEX),
}
"""The element types that formulas compute with."""

TensorForm = Bare | Named | Scalar | Listed
"""What can be given for an input."""


def check_input(one: SignatureInput, form: Form) -> TensorForm:
    """The form, if it can be given for this input; how many axes it has is judged for all inputs together."""
    if isinstance(form, (Bare, Named)):
        _check_tensor(one, form)
        _check_names(one, form)
        return form
    if isinstance(form, Scalar):
        return form
    if isinstance(form, Listed):
        _check_list(one, form)
        return form
    hint = "make it a tensor: `torch.tensor(…)`" if isinstance(form, Constant) and isinstance(form.value, tuple) else ""
    if isinstance(form, Constant) and form.value is None and not one.required:
        hint = f"leave `{one.name}` out for its default"
    _fail("NL0505", f"`{one.name}` takes a tensor, but {described(form)} is given", one.span, hint)


def check_option(name: str, span: Span, form: Form) -> Scalar | Constant:
    """The form, if it can be given for an option."""
    if name == TRAINING and not (isinstance(form, Scalar) and form.type == "bool"):
        _fail("NL0523", f"`{name}` is True or False, but {described(form)} is given", span)
    if isinstance(form, (Scalar, Constant)):
        return form
    hint = ""
    if isinstance(form, (Bare, Named)):
        hint = f"give a number (`.item()`), or declare `{name}[]` to take a tensor"
    elif isinstance(form, Listed):
        hint = "what differs along several axes is a tuple of numbers: `(1, 2)`"
    _fail("NL0523", f"`{name}` is an option: a number or a string, but {described(form)} is given", span, hint)


def _check_tensor(one: SignatureInput, form: Bare | Named, what: str = "") -> None:
    what = what or f"`{one.name}`"
    if form.layout is not torch.strided:
        layout = dtype_name(form.layout)
        ragged = form.layout is torch.jagged
        hint = f"pad it: `torch.nested.to_padded_tensor({one.name}, 0.0)`" if ragged else "make it dense: `.to_dense()`"
        _fail("NL0513", f"{what} is of layout {layout}; formulas compute with dense tensors", one.span, hint)
    if form.dtype not in KINDS:
        name = dtype_name(form.dtype)
        hint = _CURES.get(name[:2]) or f"convert it, as by `.to({_NEAREST.get(name[:4], 'torch.float32')})`"
        _fail("NL0512", f"{what} holds {name}, which formulas do not compute with", one.span, hint)


def _check_names(one: SignatureInput, form: Bare | Named) -> None:
    if not isinstance(form, Named):
        return
    if form.ndim != len(form.axes):
        _fail(
            "NL0518",
            f"`{one.name}` bears the names {listed(form.axes)}, but a transformation left it {axes_count(form.ndim)}",
            one.span,
            "`vmap` hides axes: give it bare tensors and name them inside, or let the function lift over the axis",
        )
    missing = [axis for axis in one.axes if not axis.startswith("*") and axis not in form.axes]
    if missing and form.axes:
        has = f"the tensor has {listed(form.axes)}"
        hint = near_miss(missing[0], [axis for axis in form.axes if axis not in one.axes])
        _fail("NL0511", f"`{one.name}` needs the axis `{missing[0]}`", one.span, hint, has)


def _check_list(one: SignatureInput, form: Listed) -> None:
    if not one.axes or one.axes[0].startswith("*"):
        _fail("NL0522", f"a list is stacked along an input's first axis, and `{one.name}` declares none", one.span)
    if not form.items:
        _fail("NL0520", f"the list for `{one.name}` is empty", one.span, "the sizes of its elements are not known")
    items = []
    for number, item in enumerate(map(read, form.items)):
        what = f"element {number} of the list for `{one.name}`"
        if not isinstance(item, (Bare, Named)):
            hint = "make the list one tensor: `torch.tensor([…])`" if isinstance(item, Scalar) else ""
            _fail("NL0505", f"{what} must be a tensor, but {described(item)} is given", one.span, hint)
        _check_tensor(one, item, what)
        items.append(item)
    first = items[0]
    for number, item in enumerate(items):
        alike = type(item) is type(first) and item.ndim == first.ndim
        if not alike or (isinstance(first, Named) and isinstance(item, Named) and set(item.axes) != set(first.axes)):
            pair = f"element 0 is {described(first)}, element {number} {described(item)}"
            _fail("NL0521", f"the list for `{one.name}` is uneven: {pair}", one.span)
    if isinstance(first, Named):
        if one.axes[0] in first.axes:
            message = f"the list for `{one.name}` makes the axis `{one.axes[0]}`, which its elements have already"
            _fail("NL0522", message, one.span)
        _check_names(one, stacked(one, first))


def stacked(one: SignatureInput, first: Named) -> Named:
    """The form of a list's tensor, from that of its first element."""
    return first._replace(axes=(one.axes[0], *first.axes), ndim=first.ndim + 1)


# By the first letters of the dtype's name.
_CURES = {"qi": "make it real numbers: `.dequantize()`", "qu": "make it real numbers: `.dequantize()`"}
_NEAREST = {"uint": "torch.int64", "comp": "torch.complex64"}


def _fail(code: str, message: str, span: Span, hint: str = "", label: str = "") -> NoReturn:
    raise ArgumentError(code, message, Label(span, label), hint=hint)
