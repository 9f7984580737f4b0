"""Random formulas that are well formed, with inputs that fit them.

A formula grows from inputs by steps; each step takes values that exist and makes one more, and knows its axes and
their sizes, so that what it writes is legal (two values that meet along an axis have one size, slices fit, and so on).
Hypothesis shrinks towards few steps, few inputs and small sizes, so a failure is reported as the smallest found.
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
class _Builder:
    draw: Draw
    sizes: dict[str, int]
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

    def bind(self, text: str, axes: dict[str, int]) -> None:
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        self.values.append(Operand(name, axes))


Step = Callable[[_Builder], None]


def _unary(b: _Builder) -> None:
    x = b.pick()
    form = b.draw(
        st.sampled_from(
            ["tanh({})", "sigmoid({})", "-{}", "exp(tanh({}))", "relu({})", "sqrt(abs({}) + 1)", "abs({})", "gelu({})",
             "silu({})", "softplus({})", "sin({})", "0.5 * {} + 1", "{} ^ 2", "log(abs({}) + 0.5)",
             "where({} > 0.1, {} * 2, 0.25)", "clip({}, -1, 1.5)", "1 / ({} ^ 2 + 1)", "erf({})", "{} / 3",
             "minimum({}, 0.3)"]
        )
    )  # fmt: skip
    b.bind(form.replace("{}", x.text), x.axes)


def _agree(x: Operand, y: Operand) -> bool:
    return all(y.axes[axis] == size for axis, size in x.axes.items() if axis in y.axes)


def _binary(b: _Builder) -> None:
    x, y = b.pick(), b.draw(st.sampled_from(b.values))
    if not _agree(x, y):
        return _unary(b)
    forms = ["{} + {}", "{} * {}", "{} - {}", "maximum({}, {})", "{} / (abs({}) + 1)", "logaddexp({}, {})"]
    op = b.draw(st.sampled_from(forms))
    b.bind(op.format(x.text, y.text), {**x.axes, **y.axes})


def _contract(b: _Builder) -> None:
    x, y = b.pick(), b.draw(st.sampled_from(b.values))
    common = sorted(set(x.axes) & set(y.axes))
    if not common or not _agree(x, y):
        return _binary(b)
    axes = b.draw(st.lists(st.sampled_from(common), unique=True, min_size=1))
    left = {axis: size for axis, size in {**x.axes, **y.axes}.items() if axis not in axes}
    b.bind(f"{x.text} @[{', '.join(axes)}] {y.text}", left)


def _reduce(b: _Builder) -> None:
    x = b.pick()
    if not x.axes:
        return _unary(b)
    axes = b.draw(st.lists(st.sampled_from(sorted(x.axes)), unique=True, min_size=1, max_size=2))
    op = b.draw(st.sampled_from(["sum", "mean", "max", "min", "logsumexp", "var", "std", "norm", "prod"]))
    if op in ("mean", "var", "std") and not all(x.axes[axis] for axis in axes):
        op = "sum"
    b.bind(f"{op}[{', '.join(axes)}]({x.text})", {axis: size for axis, size in x.axes.items() if axis not in axes})


def _along(b: _Builder) -> None:
    x = b.pick()
    if not x.axes:
        return _unary(b)
    axis = b.axis(x)
    names = "softmax log_softmax standardize cumsum flip roll sort logcumsumexp cummax".split()
    op = b.draw(st.sampled_from(names))
    b.bind(f"{op}[{axis}]({x.text})", x.axes)


def _rename(b: _Builder) -> None:
    x = b.pick()
    if not x.axes:
        return _unary(b)
    axis, new = b.axis(x), b.fresh()
    b.bind(f"{x.text}[{axis} -> {new}]", {(new if name == axis else name): size for name, size in x.axes.items()})


def _merge(b: _Builder) -> None:
    x = b.pick()
    if len(x.axes) < 2:
        return _split(b)
    first, second = b.draw(st.permutations(sorted(x.axes)))[:2]
    new = b.fresh()
    left = {axis: size for axis, size in x.axes.items() if axis not in (first, second)}
    b.bind(f"{x.text}[({first}, {second}) -> {new}]", {**left, new: x.axes[first] * x.axes[second]})


def _split(b: _Builder) -> None:
    x = b.pick()
    divisible = [(axis, k) for axis, size in sorted(x.axes.items()) for k in (2, 3) if size and size % k == 0]
    if not divisible:
        return _unary(b)
    axis, k = b.draw(st.sampled_from(divisible))
    new = b.fresh()
    inner = b.fresh()
    left = {name: size for name, size in x.axes.items() if name != axis}
    b.bind(f"{x.text}[{axis} -> ({new} = {k}, {inner})]", {**left, new: k, inner: x.axes[axis] // k})


def _slice(b: _Builder) -> None:
    x = b.pick()
    wide = [axis for axis, size in sorted(x.axes.items()) if size >= 2]
    if not wide:
        return _unary(b)
    axis = b.draw(st.sampled_from(wide))
    size = x.axes[axis]
    start = b.draw(st.integers(0, size - 1))
    step = b.draw(st.sampled_from([1, 2]))
    stepped = (f"{start}:{size}:{step}", -(-(size - start) // step))
    text, new = b.draw(st.sampled_from([stepped, (f"{start}:{start + 1}", 1), ("::2", -(-size // 2)), ("-1", None)]))
    axes = {name: (new if name == axis else s) for name, s in x.axes.items() if name != axis or new is not None}
    b.bind(f"{x.text}[{axis} = {text}]", axes)


def _windows(b: _Builder) -> None:
    x = b.pick()
    wide = [axis for axis, size in sorted(x.axes.items()) if size >= 2]
    if not wide:
        return _unary(b)
    axis, kernel = b.draw(st.sampled_from(wide)), b.fresh()
    size = x.axes[axis]
    k, stride, padding = b.draw(st.integers(1, min(3, size))), b.draw(st.integers(1, 2)), b.draw(st.integers(0, 1))
    new = (size + 2 * padding - k) // stride + 1
    windows = f"unroll[{axis}, {kernel} = {k}]({x.text}; stride = {stride}, padding = {padding})"
    reduced = b.draw(st.sampled_from(["{}", "max[{k}]({})", "mean[{k}]({})", "sum[{k}]({})"]))
    axes = {name: (new if name == axis else s) for name, s in x.axes.items()}
    if reduced == "{}":
        axes[kernel] = k
    b.bind(reduced.replace("{k}", kernel).replace("{}", windows), axes)


def _convolve(b: _Builder) -> None:
    """Windows of one value, contracted with another over the kernel, and over some of the axes that both have."""
    x, w = b.pick(), b.draw(st.sampled_from(b.values))
    pairs = [(axis, k) for axis, n in sorted(x.axes.items()) for k, m in sorted(w.axes.items()) if 1 <= m <= n]
    if not pairs:
        return _windows(b)
    axis, k = b.draw(st.sampled_from(pairs))
    kernel, size = b.fresh(), w.axes[k]
    weights = Operand(f"{w.text}[{k} -> {kernel}]", {(kernel if name == k else name): n for name, n in w.axes.items()})
    stride, padding = b.draw(st.integers(1, 2)), b.draw(st.integers(0, 1))
    windows = {**x.axes, kernel: size}
    windows[axis] = (x.axes[axis] + 2 * padding - size) // stride + 1
    if axis in weights.axes or not _agree(Operand("", windows), weights):
        return _windows(b)
    common = sorted((set(x.axes) & set(weights.axes)) - {axis})
    summed = [kernel, *b.draw(st.lists(st.sampled_from(common), unique=True) if common else st.just([]))]
    left = {name: n for name, n in {**weights.axes, **windows}.items() if name not in summed}
    text = f"unroll[{axis}, {kernel} = {size}]({x.text}; stride = {stride}, padding = {padding})"
    b.bind(f"{weights.text} @[{', '.join(summed)}] {text}", left)


def _mask(b: _Builder) -> None:
    x = b.pick()
    if len(x.axes) < 2:
        return _unary(b)
    first, second = b.draw(st.permutations(sorted(x.axes)))[:2]
    # The coordinates of computed axes have the computed sizes, so they are written by value.
    mask = f"cumsum[{first}](0 * {x.text} + 1) >= cumsum[{second}](0 * {x.text} + 1)"
    fill = b.draw(st.sampled_from(["0", "-inf"]))
    text = f"where({mask}, {x.text}, {fill})"
    b.bind(f"softmax[{second}]({text})" if fill == "-inf" else text, x.axes)


def _join(b: _Builder) -> None:
    x = b.pick()
    if not x.axes:
        return _unary(b)
    axis = b.axis(x)
    size = x.axes[axis]
    forms = [("concat[{}]({}, 2 * {})", 2 * size), ("pad[{}]({}; before = 1, value = 0.5)", size + 1)]
    form, size = b.draw(st.sampled_from(forms))
    text = form.replace("{}", axis, 1).replace("{}", x.text)
    b.bind(text, {**x.axes, axis: size})


_UPDATES = [
    "tanh({h} + {x})", "0.5 * {h} + {x}", "{h} * sigmoid({x}) + {y}", "maximum({h}, {x})", "{h} + {x} * {y}",
    "where({x} > 0, {h}, {y})", "0.5 * ({h} - {x}) + tanh({y})", "exp(-{x} ^ 2) * {h}", "{y} - 0.5 * {h}",
    "logaddexp({h}, {x})", "{h} / (1 + abs({h} + {y}))",
]  # fmt: skip
"""What a step does with the carried value, with what it sees of a sequence, and with another value."""


def _scan(b: _Builder) -> None:
    """Along an axis of one value, with another one that has the axis or is the same at all steps; at times along a
    second axis inside, with a second value carried, backwards, or with a mean or a softmax in the step."""
    x = b.pick()
    if not x.axes:
        return _unary(b)
    axis = b.axis(x)
    steps, time = x.axes[axis], b.fresh()
    # A new name has one size, whatever other values have along the axis.
    x = _under(b, x, axis, time)
    form = b.draw(st.sampled_from(_UPDATES))
    y = b.draw(st.sampled_from([*b.values, x])) if "{y}" in form else Operand("0", {})
    if y.axes.get(axis) == steps and b.draw(st.booleans()):
        y = _under(b, y, axis, time)
    start = b.draw(st.sampled_from([Operand("0", {}), Operand("0.5", {}), *b.values]))
    if not (_agree(x, y) and _agree(x, start) and _agree(y, start)):
        y, start = Operand("0.25", {}), Operand("1", {})
    h, lines = f"h{b.made}", []
    seen = Operand(x.text, {name: size for name, size in x.axes.items() if name != time})
    rows = sorted(seen.axes.keys() - y.axes.keys() - start.axes.keys())
    if rows and "{x}" in form and b.draw(st.integers(0, 3)) == 0:
        seen = _rows(b, seen, b.draw(st.sampled_from(rows)), lines)
    inside = {**(seen.axes if "{x}" in form else {}), **y.axes}
    axes = {**start.axes, **{name: size for name, size in inside.items() if name != time}}
    update = form.format(h=h, x=seen.text, y=y.text)
    mixed = [f"softmax[{name}]({update})" for name in sorted(axes) if axes[name]]
    mixed += [f"{update} - mean[{name}]({h})" for name in sorted(start.axes) if axes[name]]
    mixed += [_turned(b, h, start, name, update) for name in sorted(start.axes)[:1]]
    if mixed and b.draw(st.integers(0, 2)) == 0:
        update = b.draw(st.sampled_from(mixed))
    second = b.draw(st.booleans())
    carried = f"{h} = {start.text}" + (f", g{h} = 1" if second else "")
    lines.append(f"m{h} = {update}")
    lines += [f"g{h} = 0.5 * g{h} + m{h}", f"{h} = tanh(m{h} + 0.1 * g{h})"] if second else [f"{h} = m{h}"]
    backwards = " reversed" if b.draw(st.booleans()) else ""
    b.lines.append(f"scan {time}{backwards} with {carried}:" + "".join(f"\n        {line}" for line in lines))
    result = Operand(b.draw(st.sampled_from([h, f"m{h}", f"g{h}"][: 2 + second])), {time: steps, **axes})
    if steps and b.draw(st.booleans()):
        where = b.draw(st.sampled_from(["-1", "0"]))
        result = Operand(f"{result.text}[{time} = {where}]", axes)
    b.bind(result.text, result.axes)


def _turned(b: _Builder, h: str, start: Operand, axis: str, update: str) -> str:
    """With the carried value's product with a matrix along one of its axes; the matrix is made of coordinates."""
    new, others = b.fresh(), ", ".join(name for name in start.axes if name != axis)
    name = f"k{new}"
    b.lines.append(f"{name} = cumsum[{axis}](0 * sum[{others}]({start.text}) + 1)")
    matrix = f"cos(2 * {name}[{axis} -> {new}] - 3 * {name})"
    return f"tanh(({matrix} @[{axis}] {h})[{new} -> {axis}] + {update})"


def _rows(b: _Builder, value: Operand, row: str, lines: list[str]) -> Operand:
    """A scan inside a scan, along an axis of what is seen."""
    new = b.fresh()
    lines += [f"r{new} = {value.text}[{row} -> {new}]", f"scan {new} with s{new} = 0.5:",
              f"    s{new} = tanh(s{new} + r{new})"]  # fmt: skip
    return Operand(f"s{new}", {(new if name == row else name): size for name, size in value.axes.items()})


def _under(b: _Builder, value: Operand, old: str, new: str) -> Operand:
    """A value with an axis renamed, under a name of its own, for the next step only."""
    b.bind(f"{value.text}[{old} -> {new}]", {(new if axis == old else axis): n for axis, n in value.axes.items()})
    return b.values.pop()


STEPS: tuple[Step, ...] = (
    _unary, _binary, _contract, _contract, _reduce, _along, _rename, _merge, _split, _slice, _windows, _convolve,
    _mask, _join, _scan,
)  # fmt: skip


@st.composite
def formulas(draw: Draw, special: bool = False, steps: tuple[Step, ...] = STEPS) -> Formula:
    """A formula with one result; `special` puts infinities and zeros into inputs, and sizes may be 0 and 1."""
    sizes = {axis: draw(st.sampled_from([2, 3, 4, 6, 1] + [0] * special)) for axis in AXES}
    builder = _Builder(draw, sizes)
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
