"""What a call gives, as far as a program depends on it: kinds, axes and static options, never sizes or dtypes.

In: made by the call from its arguments. Out: read by `elaborate`. Two calls with equal specs run the same program.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from namedlayers.program.program import Kind

Static = bool | int | float | str | None | tuple
"""The value of a static option; a tuple differs by axis."""

TRAINING = "training"
"""The option that every definition has without declaring it."""


@dataclass(frozen=True, slots=True)
class Given:
    """An input that the call gives: its kind and its axes, in the order in which the tensor carries them."""

    kind: Kind
    axes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spec:
    """`given` inputs (others take their defaults), `options` with static values, `scalars`: options whose number is
    only known at the call, `sizes` of axes that are fixed for this program, `stars`: the axes that an axis parameter
    with a star stands for, where the inputs do not say it, `modes`: what `training` is in parts of a layer, by
    path, where it is not what it is around them."""

    given: tuple[tuple[str, Given], ...] = ()
    options: tuple[tuple[str, Static], ...] = ()
    scalars: tuple[tuple[str, Kind], ...] = ()
    sizes: tuple[tuple[str, int], ...] = ()
    stars: tuple[tuple[str, tuple[str, ...]], ...] = ()
    modes: tuple[tuple[str, bool], ...] = ()


@dataclass(slots=True)
class NeedsStatic(Exception):
    """Raised by `elaborate`: these options, or the sizes of these axes, must be known to make the program."""

    options: frozenset[str] = field(default_factory=frozenset)
    axes: frozenset[str] = field(default_factory=frozenset)
