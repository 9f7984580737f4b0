"""How a random formula grows: from inputs, by steps, each of which takes values that exist and makes one more.

A step knows the axes of its values and their sizes, so that what it writes is legal: two values that meet along an axis
have one size, slices fit, and so on. Hypothesis shrinks towards few steps, few inputs and small sizes, so a failure is
reported as the smallest found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

AXES = ("a", "b", "c", "d")

Draw = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Operand:
    """A value of the formula: how it is written, and its axes with their sizes."""

    text: str
    axes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Formula:
    """A text, and the inputs in order with their arrays."""

    text: str
    inputs: dict[str, np.ndarray]

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}{list(array.shape)}" for name, array in self.inputs.items())
        return f"\n{self.text}\nwith {shapes}"


@dataclass(slots=True)
class Builder:
    """What a formula has come to: its lines, and the values for the next step. `otherwise` is one that fits any."""

    draw: Draw
    sizes: dict[str, int]
    otherwise: Callable[[Builder], None]
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    declared: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    values: list[Operand] = field(default_factory=list)
    made: int = 0

    def input(self, special: bool) -> Operand:
        name = "XYZW"[len(self.inputs)]
        axes = tuple(self.draw(st.lists(st.sampled_from(AXES), unique=True, max_size=3)))
        shape = tuple(self.sizes[axis] for axis in axes)
        seed = self.draw(st.integers(0, 2**16))
        array = np.random.default_rng(seed).normal(size=shape)
        if special and array.size and self.draw(st.booleans()):
            spot = self.draw(st.integers(0, array.size - 1))
            array.reshape(-1)[spot] = self.draw(st.sampled_from([-np.inf, np.inf, 0.0]))
        self.inputs[name], self.declared[name] = array, axes
        operand = Operand(name, {axis: self.sizes[axis] for axis in axes})
        self.values.append(operand)
        return operand

    def pick(self) -> Operand:
        # The newest value most of the time, so that formulas grow deep rather than wide.
        return self.values[-1] if self.draw(st.integers(0, 3)) else self.draw(st.sampled_from(self.values))

    def axis(self, value: Operand) -> str:
        return self.draw(st.sampled_from(sorted(value.axes)))

    def fresh(self) -> str:
        """An axis name that is new: an axis of the signature has one size, and any new axis may reach the result."""
        self.made += 1
        return f"n{self.made}"

    def under(self, value: Operand, old: str, new: str) -> Operand:
        """A value with an axis renamed, under a name of its own, for the next step only."""
        axes = {(new if axis == old else axis): n for axis, n in value.axes.items()}
        self.bind(f"{value.text}[{old} -> {new}]", axes)
        return self.values.pop()

    def bind(self, text: str, axes: dict[str, int]) -> None:
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        self.values.append(Operand(name, axes))


Step = Callable[[Builder], None]


def agree(x: Operand, y: Operand) -> bool:
    return all(y.axes[axis] == size for axis, size in x.axes.items() if axis in y.axes)


def rename(b: Builder) -> None:
    x = b.pick()
    if not x.axes:
        return b.otherwise(b)
    axis, new = b.axis(x), b.fresh()
    b.bind(f"{x.text}[{axis} -> {new}]", {(new if name == axis else name): size for name, size in x.axes.items()})


def merge(b: Builder) -> None:
    x = b.pick()
    if len(x.axes) < 2:
        return split(b)
    first, second = b.draw(st.permutations(sorted(x.axes)))[:2]
    new = b.fresh()
    left = {axis: size for axis, size in x.axes.items() if axis not in (first, second)}
    b.bind(f"{x.text}[({first}, {second}) -> {new}]", {**left, new: x.axes[first] * x.axes[second]})


def split(b: Builder) -> None:
    x = b.pick()
    divisible = [(axis, k) for axis, size in sorted(x.axes.items()) for k in (2, 3) if size and size % k == 0]
    if not divisible:
        return b.otherwise(b)
    axis, k = b.draw(st.sampled_from(divisible))
    new = b.fresh()
    inner = b.fresh()
    left = {name: size for name, size in x.axes.items() if name != axis}
    b.bind(f"{x.text}[{axis} -> ({new} = {k}, {inner})]", {**left, new: k, inner: x.axes[axis] // k})


def slice_(b: Builder) -> None:
    x = b.pick()
    wide = [axis for axis, size in sorted(x.axes.items()) if size >= 2]
    if not wide:
        return b.otherwise(b)
    axis = b.draw(st.sampled_from(wide))
    size = x.axes[axis]
    start = b.draw(st.integers(0, size - 1))
    step = b.draw(st.sampled_from([1, 2]))
    stepped = (f"{start}:{size}:{step}", -(-(size - start) // step))
    text, new = b.draw(st.sampled_from([stepped, (f"{start}:{start + 1}", 1), ("::2", -(-size // 2)), ("-1", None)]))
    axes = {name: (new if name == axis else s) for name, s in x.axes.items() if name != axis or new is not None}
    b.bind(f"{x.text}[{axis} = {text}]", axes)


@st.composite
def grown(draw: Draw, steps: tuple[Step, ...], special: bool = False) -> Formula:
    """A formula with one result; `special` puts infinities and zeros into inputs, and sizes may be 0 and 1. The first
    of `steps` fits any value, and stands in for those that do not."""
    sizes = {axis: draw(st.sampled_from([2, 3, 4, 6, 1] + [0] * special)) for axis in AXES}
    builder = Builder(draw, sizes, steps[0])
    for _ in range(draw(st.integers(1, 3))):
        builder.input(special)
    for step in draw(st.lists(st.sampled_from(steps), min_size=1, max_size=7)):
        step(builder)
    result = builder.values[-1]
    inputs = ", ".join(f"{name}[{', '.join(axes)}]" for name, axes in builder.declared.items())
    # Inputs that the result does not use still take part, so that their axes are known.
    body = "".join(f"    {line}\n" for line in builder.lines)
    text = f"def f({inputs}) -> [{', '.join(result.axes)}]:\n{body}    return {result.text}\n"
    return Formula(text, builder.inputs)
