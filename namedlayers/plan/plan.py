"""A plan: a short list of variants of one graph, of which a call picks the first whose guards hold for its sizes.

In: made by `planner`. Out: read by the emission. What always holds: there are one to four variants, up to eight where
contractions have many orders, and the last one has no guards, so that one always applies; all variants compute the same
values up to the numeric contract; every body that a variant runs, at any depth, has a plan of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from namedlayers.errors import Span
from namedlayers.program.graph import Graph, Node, Region
from namedlayers.program.size import SizeExpr


@dataclass(frozen=True, slots=True)
class Guard:
    """`left` relation `right`, over the sizes of the call."""

    left: SizeExpr
    relation: Literal["<=", "<", "==", ">=", ">"]
    right: SizeExpr


@dataclass(frozen=True, slots=True)
class Variant:
    """One graph; `why` says in words what it is for."""

    guards: tuple[Guard, ...]
    graph: Graph
    why: str


@dataclass(frozen=True, slots=True)
class Event:
    """A rule that fired (`near` empty) or that nearly did: `near` says why not. `spans` are the text concerned."""

    rule: str
    numerics: Literal["exact", "algebraic", "conditioned"]
    spans: tuple[Span, ...]
    near: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Gradient:
    """The gradient of a scan, where the `guards` hold. `forward`: its body with further results. `backward` takes the
    scan's inputs `given`, all steps of the results `kept` of `forward`, what comes back to the results `slopes`
    (number, and whether to the last step only), and gives what comes back to the inputs `wanted`. All of these are
    numbers, in order. What comes back to all steps of the results `ahead` it takes one step later, with nothing at the
    first one; what comes back to the last step is part of what it takes of that step alone."""

    forward: Region
    backward: Region
    given: tuple[int, ...]
    kept: tuple[int, ...]
    slopes: tuple[tuple[int, bool], ...]
    wanted: tuple[int, ...]
    guards: tuple[Guard, ...] = ()
    ahead: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """`bodies`: the plans of the regions that are run inside, at any depth, inner ones first; `gradients`: for scans,
    the regions of their gradients, whose plans are among `bodies`; `algebraic`: whether what runs it may be changed by
    laws that hold but where an intermediate overflows, underflows or is NaN."""

    variants: tuple[Variant, ...]
    events: tuple[Event, ...]
    bodies: Mapping[Region, Plan] = field(default_factory=dict)
    gradients: Mapping[Node, Gradient] = field(default_factory=dict)
    algebraic: bool = False
