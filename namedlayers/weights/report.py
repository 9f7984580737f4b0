"""What a loading did.

In: made by `load_weights`. Out: lists by what happened, and a text for a person. What always holds: every key of the
foreign state dict is in `loaded`, `ignored` or `unused`; every parameter and state is filled by one in `loaded`, or
(in part, if only some coordinates were) in `missing`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch

from namedlayers.call.words import dtype_name
from namedlayers.errors import ArgumentError, FormulaError, Label, near_miss
from namedlayers.weights.held import Held
from namedlayers.weights.mapping import Rule
from namedlayers.weights.routes import Fill, Route, shown
from namedlayers.weights.sizes import evaluated


@dataclass(frozen=True, slots=True)
class Loaded:
    """A tensor `key` that filled `targets`; `dtypes` differ where it was converted."""

    key: str
    targets: tuple[str, ...]
    dtypes: tuple[str, str]

    def __str__(self) -> str:
        converted = f" ({self.dtypes[0]} as {self.dtypes[1]})" if self.dtypes[0] != self.dtypes[1] else ""
        return f"{self.key} -> {', '.join(self.targets)}{converted}"


@dataclass(frozen=True, slots=True, repr=False)
class LoadReport:
    """What `load_weights` did; it shows itself as a summary, `details()` has a line for each tensor.

    `unused` keys met no line of the mapping, `ignored` ones a line that leaves them out; `unmatched` lines met no key;
    `missing` parameters and states were not filled. `sizes` were not known to the module before.
    """

    loaded: tuple[Loaded, ...]
    ignored: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether nothing is unused, unmatched or missing: what `strict` asks for."""
        return not (self.unused or self.unmatched or self.missing)

    def __str__(self) -> str:
        filled = {target.partition("[")[0] for one in self.loaded for target in one.targets}
        fill = "fills" if len(self.loaded) == 1 else "fill"
        lines = [f"{_count(len(self.loaded), 'tensor')} {fill} {_filled(len(filled))}"]
        converted = Counter(one.dtypes for one in self.loaded if one.dtypes[0] != one.dtypes[1])
        lines += [f"  converted: {count} from {old} to {new}" for (old, new), count in converted.items()]
        sizes = ", ".join(f"{name} = {size}" for name, size in self.sizes.items())
        lines += [f"  sizes found: {sizes}"] if sizes else []
        return "\n".join([*lines, *_lists(self)])

    __repr__ = __str__

    def details(self) -> str:
        """The summary, and a line for each tensor that was loaded."""
        return "\n".join([str(self), *(f"    {one}" for one in self.loaded)])


def reported(
    routes: Iterable[Route],
    rules: Iterable[Rule],
    tensors: Mapping[str, torch.Tensor],
    own: Mapping[str, Held],
    sizes: Mapping[str, int],
) -> LoadReport:
    """What filling a module by these routes does and leaves."""
    routes = list(routes)
    keys, used = {route.key for route in routes}, {id(route.rule) for route in routes}
    filled: dict[str, list[Fill]] = {}
    for fill in (fill for route in routes for fill in route.fills):
        filled.setdefault(fill.held.path, []).append(fill)
    return LoadReport(
        loaded=tuple(
            Loaded(one.key, tuple(map(str, one.fills)), _dtypes(tensors[one.key], one.fills))
            for one in routes
            if one.fills
        ),
        ignored=tuple(route.key for route in routes if not route.fills),
        unused=tuple(key for key in tensors if key not in keys),
        unmatched=tuple(rule.key.span.text for rule in rules if rule.targets and id(rule) not in used),
        missing=tuple(name for one in own.values() for name in _unfilled(one, filled.get(one.path, []), sizes)),
    )


def incomplete(report: LoadReport, rules: Iterable[Rule], own: Mapping[str, Held]) -> FormulaError:
    """The error for a report that is not complete; it points at a line that met no key, or else at a declaration."""
    labels = [Label(rule.key.span, "no key is like this") for rule in rules if rule.key.span.text in report.unmatched][
        :1
    ]
    missing = dict.fromkeys(name.partition("[")[0] for name in report.missing)
    labels += [one for name in missing for one in own[name].labels][: 2 - len(labels)]
    hints = [near_miss(name, report.unused) for name in report.unmatched]
    hint = next(filter(None, hints), "") or "a line `key -> _` leaves a tensor out; `strict=False` loads what there is"
    lacks = [f"{what}: {listed(getattr(report, name))}" for what, name in _TITLES[:3] if getattr(report, name)]
    return ArgumentError("NL0559", f"the weights and the module do not match; {'; '.join(lacks)}", *labels, hint=hint)


def _unfilled(one: Held, fills: list[Fill], sizes: Mapping[str, int]) -> Iterable[str]:
    """The tensor where nothing fills it, or what of it."""
    if not fills:
        return [one.path]
    ranges = [range(evaluated(one.axes[axis][1], sizes) or 0) for axis, _ in fills[0].chosen]
    done = {fill.coordinates for fill in fills}
    return [shown(one, tuple(zip((axis for axis, _ in fills[0].chosen), at, strict=True)))
            for at in itertools.product(*ranges) if at not in done]  # fmt: skip


def _dtypes(tensor: torch.Tensor, fills: Iterable[Fill]) -> tuple[str, str]:
    return dtype_name(tensor.dtype), ", ".join(dict.fromkeys(dtype_name(fill.held.tensor.dtype) for fill in fills))


def listed(names: Iterable[str], most: int = 4) -> str:
    """Names between backquotes, the first few of many."""
    names = list(names)
    shown = ", ".join(f"`{name}`" for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


_TITLES = (
    ("nothing fills", "missing"),
    ("no line is for", "unused"),
    ("no key is like", "unmatched"),
    ("left out", "ignored"),
)


def _lists(report: LoadReport) -> list[str]:
    found = []
    for what, names in _TITLES:
        shown = listed(getattr(report, names), most=8)
        found += [f"  {what}: {shown}"] if shown else []
    return found


def _filled(count: int) -> str:
    return "1 parameter or state" if count == 1 else f"{count} parameters and states"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
