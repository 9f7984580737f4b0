"""Which foreign tensor goes where: a mapping's rules, applied to the keys of a state dict or to a module's tensors.

In: rules, names on one side, what the module owns. Out: `Route`s, one a key. What always holds: every axis of a
parameter stands in its fill once, as a place or as a coordinate; no key has two routes, no parameter is filled twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from namedlayers.errors import ArgumentError, AxisError, Label, SizeError, UnknownNameError, near_miss
from namedlayers.weights.held import Held
from namedlayers.weights.mapping import Chosen, Rule, Target
from namedlayers.weights.pattern import Bindings


@dataclass(frozen=True, slots=True)
class Spot:
    """A dimension of a foreign tensor: the numbers of the axes merged in it; `parts`: how many stand before the `+`."""

    axes: tuple[int, ...]
    parts: int | None


@dataclass(frozen=True, slots=True)
class Fill:
    """The part of a foreign tensor that fills one of the module's, at the coordinates `chosen` of some of its axes."""

    held: Held
    spots: tuple[Spot, ...]
    chosen: tuple[tuple[int, int], ...]
    target: Target

    @property
    def coordinates(self) -> tuple[int, ...]:
        return tuple(coordinate for _, coordinate in self.chosen)

    def __str__(self) -> str:
        """The tensor, with the coordinates that are filled: `W[gate = 2]`."""
        return shown(self.held, self.chosen)


@dataclass(frozen=True, slots=True)
class Route:
    """A key of the foreign state dict, and what its parts fill."""

    key: str
    rule: Rule
    fills: tuple[Fill, ...]


def routes_from(rules: Iterable[Rule], keys: Iterable[str], own: Mapping[str, Held]) -> list[Route]:
    """The routes of the keys that a rule is for; those that are left out have no fills."""
    found: list[Route] = []
    for key in keys:
        matches = [(rule, bound) for rule in rules if (bound := rule.key.match(key)) is not None]
        if len({rule.key.span.text for rule, _ in matches}) > 1:
            first, second = matches[0][0], next(r for r, _ in matches if r.key.span.text != matches[0][0].key.span.text)
            raise ArgumentError(
                "NL0555", f"`{key}` goes two ways", second.label, Label(first.span, "also here"),
                hint="change one of the lines, so that each key is meant by one",
            )  # fmt: skip
        found += [_route(key, rule, bound, own) for rule, bound in matches]
    _check_once(found)
    return found


def routes_to(rules: Iterable[Rule], own: Mapping[str, Held], sizes: Mapping[str, tuple[int, ...]]) -> list[Route]:
    """The routes of all keys that the rules make of what the module owns."""
    found: list[Route] = []
    for rule in rules:
        for bindings in _bindings(rule, own, sizes) if rule.targets else ():
            found.append(_route(rule.key.fill(bindings), rule, bindings, own))
    _check_once(found)
    return found


def shown(one: Held, chosen: Iterable[tuple[int, int]]) -> str:
    """A tensor, or its part at some coordinates, as a mapping names it."""
    entries = ", ".join(f"{one.names[axis]} = {coordinate}" for axis, coordinate in chosen)
    return f"{one.path}[{entries}]" if entries else one.path


def _bindings(rule: Rule, own: Mapping[str, Held], sizes: Mapping[str, tuple[int, ...]]) -> Iterator[dict[str, str]]:
    """What the placeholders of a rule stand for, over all that its first target may mean."""
    first = rule.targets[0]
    for path, one in own.items():
        bound = first.path.match(path)
        if bound is None:
            continue
        free = [c for c in first.chosen if any(p.name not in bound for p in c.coordinate.placeholders)]
        ranges = [range(sizes[path][at]) for c in free for at in _places_of(c.axis.name, one)]
        for coordinates in itertools.product(*ranges):
            pairs = zip(free, coordinates, strict=True)
            more = [c.coordinate.match(str(coordinate)) for c, coordinate in pairs]
            if None not in more:
                yield {k: v for some in (bound, *more) for k, v in (some or {}).items()}


def _places_of(axis: str, one: Held) -> list[int]:
    """The number of the axis that is called so, if there is one."""
    return [names.index(axis) for names in one.namings if axis in names][:1]


def _route(key: str, rule: Rule, bindings: Bindings, own: Mapping[str, Held]) -> Route:
    fills = tuple(_fill(target, bindings, own, several=len(rule.targets) > 1) for target in rule.targets)
    if len(fills) > 1:
        fills = _parted(fills)
        shapes = {(len(f.spots), *(at for at, spot in enumerate(f.spots) if spot.parts is not None)) for f in fills}
        if len(shapes) > 1 or len(next(iter(shapes))) != 2:
            raise AxisError(
                "NL0557", f"the parts of `{key}` have different numbers of dimensions, or `+` in different ones",
                rule.label, hint="each part names all dimensions, and `+` stands in the same one",
            )  # fmt: skip
    elif any(spot.parts is not None for fill in fills for spot in fill.spots):
        raise AxisError("NL0557", "`+` stands between parts, but there is one", Label(fills[0].target.span))
    return Route(key, rule, fills)


def _parted(fills: tuple[Fill, ...]) -> tuple[Fill, ...]:
    """Where no `+` says it, parts follow each other in the first dimension."""
    if any(spot.parts is not None for fill in fills for spot in fill.spots) or not all(fill.spots for fill in fills):
        return fills
    return tuple(Fill(one.held, (Spot(one.spots[0].axes, 0), *one.spots[1:]), one.chosen, one.target) for one in fills)


def _fill(target: Target, bindings: Bindings, own: Mapping[str, Held], several: bool) -> Fill:
    path = target.path.fill(bindings)
    if path not in own:
        alike = [f"did you mean `{name}`?" for name in own if name.casefold() == path.casefold()]
        hint = (
            next(iter(alike), "") or near_miss(path, own) or (f"the module has {_some(own)}" if own else "it has none")
        )
        shown = Label(target.path.span, f"`{path}`" if path != target.path.span.text else "")
        raise UnknownNameError("NL0552", f"the module has no parameter or state `{path}`", shown, hint=hint)
    one = own[path]
    if one.declared is None and one.waits:
        hint = "call its module once before"
        raise SizeError(
            "NL0561", f"`{path}` is of an ordinary module, and has no size yet", Label(target.span), hint=hint
        )
    if target.places is None:
        counts = itertools.accumulate((len(group) for group in one.dimensions), initial=0)
        spots = tuple(Spot(tuple(range(at, at + len(g))), None) for at, g in zip(counts, one.dimensions, strict=False))
        return Fill(one, spots, (), target)
    if one.declared is None:
        hint = "leave the brackets out: its dimensions stay as they are"
        raise AxisError("NL0553", f"`{path}` is of an ordinary module: its axes have no names",
                        Label(target.span), hint=hint)  # fmt: skip
    names = _naming(target, one)
    spots = tuple(Spot(tuple(names.index(axis.name) for axis in p.axes), p.parts) for p in target.places)
    chosen = sorted((names.index(c.axis.name), _coordinate(c, bindings)) for c in target.chosen)
    return Fill(one, spots, tuple(chosen), target)


def _coordinate(chosen: Chosen, bindings: Bindings) -> int:
    text = chosen.coordinate.fill(bindings)
    if not text.isdecimal():
        raise ArgumentError(
            "NL0551", f"a coordinate is an integer, but this is `{text}`", Label(chosen.coordinate.span)
        )
    return int(text)


def _naming(target: Target, one: Held) -> tuple[str, ...]:
    """The names of the tensor's axes that the brackets use: each stands there, once, and no other."""
    axes = (*(axis for place in target.places or () for axis in place.axes), *(c.axis for c in target.chosen))
    used = [axis.name for axis in axes]
    for axis, before in ((axis, axes[used.index(axis.name)]) for axis in axes):
        if axis is not before:
            labels = Label(axis.span, "again"), Label(before.span, "first here")
            raise AxisError("NL0554", f"the axis `{axis.name}` stands twice", *labels)
    fitting = [names for names in one.namings if set(used) <= set(names)]
    if not fitting:
        names = min(one.namings, key=lambda names: len(set(used) - set(names)))
        wrong = next(axis for axis in axes if axis.name not in names)
        hint = near_miss(wrong.name, {name for names in one.namings for name in names})
        message = f"`{one.declared}` has no axis `{wrong.name}`"
        raise AxisError("NL0553", message, Label(wrong.span), *one.labels, hint=hint)
    names = fitting[0]
    if any([other.index(name) for name in used] != [names.index(name) for name in used] for other in fitting):
        hint = "leave the brackets out, or rename an axis in the text"
        message = f"`{one.path}` is [{', '.join(names)}] where it is used, and [{', '.join(fitting[1])}] where declared"
        raise AxisError("NL0565", message, Label(target.span), *one.labels, hint=hint)
    missing = [name for name in names if name not in used]
    if missing:
        hint = f"if the tensor has one coordinate of it only, say which: `{missing[0]} = 0`"
        message = f"the dimensions leave out {', '.join(f'`{name}`' for name in missing)} of `{one.declared}`"
        raise AxisError("NL0554", message, Label(target.span), *one.labels, hint=hint)
    return names


def _check_once(routes: Iterable[Route]) -> None:
    """No coordinate of a tensor is filled twice; all that fill one are at coordinates of the same axes."""
    seen: dict[str, dict[tuple[int, ...], tuple[Route, Fill]]] = {}
    for route in routes:
        for fill in route.fills:
            before = seen.setdefault(fill.held.path, {})
            other, old = before.get(fill.coordinates) or next(iter(before.values()), (route, fill))
            if fill.coordinates in before or [axis for axis, _ in old.chosen] != [axis for axis, _ in fill.chosen]:
                raise ArgumentError(
                    "NL0556", f"`{old}` is filled twice: from `{other.key}` and from `{route.key}`",
                    Label(fill.target.span), *(() if old.target is fill.target else (Label(old.target.span),)),
                )  # fmt: skip
            before[fill.coordinates] = route, fill


def _some(names: Mapping[str, object]) -> str:
    shown = [f"`{name}`" for name in itertools.islice(names, 4)]
    return ", ".join(shown) + (", …" if len(names) > 4 else "")
