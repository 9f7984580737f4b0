"""What callers see of a definition: its inputs with their axes, its options, its results.

In: a definition. Out: a `Signature`, and names for the axes of bare tensors. What always holds: nothing is guessed;
where leading axes could be meant in more than one way, it is an error that names the inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from namedlayers.errors import ArgumentError, Label, Span
from namedlayers.program.elaboration.definitions import axis_parameters, declared_axes, inputs_of, options_of
from namedlayers.syntax import tree


@dataclass(frozen=True, slots=True)
class SignatureInput:
    """`axes` in order, a star as `*space`."""

    name: str
    axes: tuple[str, ...]
    star: str | None
    role: Literal["data", "parameter"]
    required: bool
    span: Span


@dataclass(frozen=True, slots=True)
class SignatureOption:
    """`default` is the text of the default, None where there is none."""

    name: str
    default: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Signature:
    """`str()` is the head of the definition as it is written."""

    name: str
    text: str
    axis_parameters: tuple[str, ...]
    inputs: tuple[SignatureInput, ...]
    options: tuple[SignatureOption, ...]
    outputs: tuple[tuple[str, ...], ...] | None
    span: Span

    def __str__(self) -> str:
        return self.text


def signature(definition: tree.Definition) -> Signature:
    """The signature of a definition."""
    inputs = []
    for parameter in inputs_of(definition):
        nodes = declared_axes(parameter)
        star = next((node.name for node in nodes if node.star), None)
        axes = tuple(("*" if node.star else "") + node.name for node in nodes)
        role: Literal["data", "parameter"] = "data" if parameter in definition.data else "parameter"
        inputs.append(SignatureInput(parameter.name, axes, star, role, parameter.default is None, parameter.span))
    options = tuple(
        SignatureOption(p.name, None if p.default is None else p.default.span.text, p.span)
        for p in options_of(definition)
    )
    outputs = None if definition.results is None else tuple(
        tuple(("*" if node.star else "") + node.name for node in result.axes) for result in definition.results
    )  # fmt: skip
    parameters = tuple(("*" if node.star else "") + node.name for node in axis_parameters(definition))
    return Signature(definition.name, head(definition), parameters, tuple(inputs), options, outputs, definition.span)


def head(definition: tree.Definition) -> str:
    """The text of a definition up to its body."""
    text = definition.span.text
    if not definition.body:
        return text
    before = text[: definition.body[0].span.start - definition.span.start]
    return " ".join(line.split("#")[0].strip() for line in before.splitlines()).strip().rstrip(":=").strip()


def name_axes(sign: Signature, ndims: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Names for the axes of bare tensors with these numbers of dimensions: declared ones last, extra ones leading.

    Data may have extra leading axes; all that have any must have the same number of them. A tensor without axes may
    stand for any input. Raises ArgumentError.
    """
    extra: dict[str, int] = {}
    for one in sign.inputs:
        if one.name not in ndims or (ndims[one.name] == 0 and one.axes):
            continue
        plain = len([axis for axis in one.axes if not axis.startswith("*")])
        more = ndims[one.name] - plain
        if more < 0 or (more and one.role == "parameter" and one.star is None):
            raise _rank_error(one, ndims[one.name], plain)
        extra[one.name] = more
    lead = _common_lead(sign, extra)
    taken = {axis.lstrip("*") for one in sign.inputs for axis in one.axes} | set(sign.axis_parameters)
    taken |= {axis for axes in sign.outputs or () for axis in axes}
    leading = _fresh("batch", lead, taken)
    stars: dict[str, tuple[str, ...]] = {}
    named: dict[str, tuple[str, ...]] = {}
    for one in sign.inputs:
        if one.name not in extra:
            continue
        count = extra[one.name]
        if one.star is None:
            named[one.name] = (leading[:count] if count else ()) + one.axes
            continue
        axes = stars.setdefault(one.star, _fresh(one.star, count, taken))
        if len(axes) != count:
            raise ArgumentError(
                "NL0508",
                f"`*{one.star}` is {len(axes)} axes of another input but {count} of `{one.name}`",
                Label(one.span),
            )
        named[one.name] = tuple(n for axis in one.axes for n in (axes if axis == f"*{one.star}" else (axis,)))
    return named


def star_axes(sign: Signature, star: str, count: int) -> tuple[str, ...]:
    """Names for `count` axes that a star stands for: its own name, or with numbers."""
    taken = {axis.lstrip("*") for one in sign.inputs for axis in one.axes if axis != f"*{star}"}
    taken |= {axis for axis in sign.axis_parameters if axis != f"*{star}"}
    return _fresh(star, count, taken)


def _common_lead(sign: Signature, extra: Mapping[str, int]) -> int:
    lifted = [one for one in sign.inputs if one.star is None and extra.get(one.name)]
    counts = {extra[one.name] for one in lifted}
    if len(counts) > 1:
        first = lifted[0]
        other = next(one for one in lifted if extra[one.name] != extra[first.name])
        raise ArgumentError(
            "NL0507",
            f"`{first.name}` has {_axes(extra[first.name])} more than the signature names, "
            f"`{other.name}` {extra[other.name]}: which belong together?",
            Label(first.span, f"{_axes(extra[first.name])} more"),
            Label(other.span, f"{_axes(extra[other.name])} more"),
            hint='say which axes there are: `nl.named(tensor, "batch …")`',
        )  # fmt: skip
    return counts.pop() if counts else 0


def _rank_error(one: SignatureInput, given: int, plain: int) -> ArgumentError:
    kind = "at least " if one.role == "data" or one.star else ""
    hint = "only data (before the `;`) may have further leading axes; for a parameter, name them: `nl.named(tensor, …)`"
    return ArgumentError(
        "NL0506", f"`{one.name}` needs {kind}{_axes(plain)} [{', '.join(one.axes)}], but has {given}", Label(one.span),
        hint=hint if given > plain else "",
    )  # fmt: skip


def _axes(count: int) -> str:
    return "1 axis" if count == 1 else f"{count} axes"


def _fresh(stem: str, count: int, taken: set[str]) -> tuple[str, ...]:
    if count == 1 and stem not in taken:
        return (stem,)
    found: list[str] = []
    number = 0
    while len(found) < count:
        number += 1
        if f"{stem}_{number}" not in taken:
            found.append(f"{stem}_{number}")
    return tuple(found)
