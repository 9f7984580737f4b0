"""How a foreign tensor's dimensions are the axes of what it fills.

In: a route, and the sizes of the axes. Out: equations between sizes and shapes; the parts of a foreign tensor, each
with the axes in the order of the parameter; and back. What always holds: nothing is guessed from sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

import torch

from namedlayers.errors import Label, SizeError
from namedlayers.program.size import SizeExpr, const
from namedlayers.weights.held import Held
from namedlayers.weights.routes import Fill, Route
from namedlayers.weights.sizes import Equation, evaluated

Sizes = Mapping[str, int]


def axis_sizes(one: Held, sizes: Sizes) -> tuple[int, ...]:
    """The size of each axis of a tensor. Raises SizeError for one that nothing determines."""
    found = []
    for name, size in one.axes:
        value = evaluated(size, sizes)
        if value is None:
            hint = "give it to the constructor, or load the weights after the first call"
            message = f"the size of `{name}` in `{one.path}` is not known, and the weights do not say it"
            raise SizeError("NL0561", message, *one.labels, hint=hint)
        found.append(value)
    return tuple(found)


def equations(route: Route, shape: Sequence[int]) -> Iterator[Equation]:
    """What the shape of a foreign tensor says of sizes; a wrong number of dimensions says nothing."""
    if all(len(fill.spots) == len(shape) for fill in route.fills):
        for at, size in enumerate(shape):
            yield from ((extent, size) for extent in _extents(route, at))


def check_shape(route: Route, shape: Sequence[int], sizes: Sizes) -> None:
    """Raises an error if a foreign tensor does not have the shape that the mapping and the module say."""
    for fill in route.fills:
        if len(fill.spots) != len(shape):
            said = ", ".join(_said(fill, at) for at in range(len(fill.spots)))
            raise SizeError(
                "NL0557", f"`{route.key}` has {_count(len(shape))} ({' × '.join(map(str, shape))}), "
                f"but {_count(len(fill.spots))} {'is' if len(fill.spots) == 1 else 'are'} named: {said or 'none'}",
                Label(fill.target.span), *fill.held.labels, hint="`1` is a dimension of size one" * (len(shape) > 0),
            )  # fmt: skip
    check_chosen(route, sizes)
    for at, size in enumerate(shape):
        _check_dimension(route, at, size, sizes)


def check_chosen(route: Route, sizes: Sizes) -> None:
    """Raises an error if a coordinate that the mapping names is out of range."""
    for fill in route.fills:
        for axis, coordinate in fill.chosen:
            size = axis_sizes(fill.held, sizes)[axis]
            if coordinate >= size:
                message = f"`{fill}` is out of range: `{fill.held.names[axis]}` has the size {size}"
                raise SizeError("NL0563", message, Label(fill.target.span), *fill.held.labels)


def _check_dimension(route: Route, at: int, size: int, sizes: Sizes) -> None:
    """The parts together have this size, or, where no parts follow each other, each of them."""
    parted = route.fills[0].spots[at].parts is not None
    for fills in [route.fills] if parted else [(fill,) for fill in route.fills]:
        wanted = [prod(axis_sizes(fill.held, sizes)[axis] for axis in fill.spots[at].axes) for fill in fills]
        outer = {prod(_outer(fill, at, axis_sizes(fill.held, sizes))) for fill in fills}
        if sum(wanted) == size and len(outer) == 1:
            continue
        shown = " + ".join(_counted(fill, at, axis_sizes(fill.held, sizes)) for fill in fills)
        shown += f" = {sum(wanted)}" * (shown != str(sum(wanted)))
        named = ", ".join(dict.fromkeys(_said(fill, at) for fill in fills))
        paths = " and ".join(f"`{fill.held.path}`" for fill in fills) + (" have" if len(fills) > 1 else " has")
        message = f"`{route.key}` has the size {size} in dimension {at}, where {paths} {named}: {shown}"
        if len(outer) > 1:
            message = f"the parts of `{route.key}` differ before the `+`: {paths} {named}: {shown}"
        raise SizeError("NL0558", message, *_labels(fills, at))


def _labels(fills: Sequence[Fill], at: int) -> list[Label]:
    """The dimension in the mapping, then where the text declares what it fills."""
    fill = fills[0]
    place = fill.target.places[at].span if fill.target.places else fill.target.span
    return [Label(place), *fill.held.labels]


def inward(route: Route, tensor: torch.Tensor, sizes: Sizes) -> list[torch.Tensor]:
    """For each fill its part, with one dimension for each axis of the parameter, in order; of size 1 where chosen."""
    found = []
    start = 0
    for fill in route.fills:
        known = axis_sizes(fill.held, sizes)
        part = tensor
        for at, spot in enumerate(fill.spots):
            if spot.parts is not None:
                outer, inner = prod(_outer(fill, at, known)), _inner(fill, at, known)
                part = part.unflatten(at, (outer, tensor.shape[at] // max(outer, 1))).narrow(at + 1, start, inner)
                start += inner
        order = _order(fill)
        part = part.reshape([1 if at in dict(fill.chosen) else known[at] for at in order])
        found.append(part.permute([order.index(at) for at in range(len(order))]))
    return found


def outward(route: Route, values: Sequence[torch.Tensor], sizes: Sizes) -> torch.Tensor:
    """The inverse of `inward`."""
    parts, along = [], 0
    for fill, value in zip(route.fills, values, strict=True):
        known = axis_sizes(fill.held, sizes)
        shape: list[int] = []
        for at, spot in enumerate(fill.spots):
            if spot.parts is not None:
                along = at + 1
                shape += [prod(_outer(fill, at, known)), _inner(fill, at, known)]
            else:
                shape.append(prod(known[axis] for axis in spot.axes))
        parts.append(value.permute(_order(fill)).reshape(shape))
    return torch.cat(parts, along).flatten(along - 1, along) if along else parts[0]


# --- the sizes of a dimension -----------------------------------------------------------------------------------------


def _extents(route: Route, at: int) -> list[SizeExpr]:
    """What a dimension is as large as: its axes, for each fill; the parts together where they follow each other."""
    found = []
    for fill in route.fills:
        extent = const(1)
        for axis in fill.spots[at].axes:
            extent = extent * fill.held.axes[axis][1]
        found.append(extent)
    return [sum(found, const(0))] if route.fills[0].spots[at].parts is not None else found


def _outer(fill: Fill, at: int, known: Sequence[int]) -> list[int]:
    """The sizes that all fills must have in common: before the `+`, or of the whole dimension."""
    spot = fill.spots[at]
    return [known[axis] for axis in (spot.axes if spot.parts is None else spot.axes[: spot.parts])]


def _inner(fill: Fill, at: int, known: Sequence[int]) -> int:
    spot = fill.spots[at]
    return prod(known[axis] for axis in spot.axes[spot.parts :])


def _order(fill: Fill) -> list[int]:
    """The numbers of all axes in the order of the foreign dimensions, then the chosen ones."""
    return [axis for spot in fill.spots for axis in spot.axes] + [axis for axis, _ in fill.chosen]


# --- how messages speak of them ---------------------------------------------------------------------------------------


def _count(count: int) -> str:
    return f"{count} dimension{'s' * (count != 1)}"


def _said(fill: Fill, at: int) -> str:
    """The axes of a dimension, as the mapping names them, or else the module."""
    if fill.held.declared is None:
        return "this dimension"
    places = fill.target.places
    names = [a.name for a in places[at].axes] if places else [fill.held.names[axis] for axis in fill.spots[at].axes]
    return f"`{' '.join(names)}`" if names else "`1`"


def _counted(fill: Fill, at: int, known: Sequence[int]) -> str:
    """`12 × 64`."""
    return " × ".join(str(known[axis]) for axis in fill.spots[at].axes) or "1"
