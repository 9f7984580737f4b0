"""Steps that write a block: scans, scans in scans, repetitions."""

from __future__ import annotations

from hypothesis import strategies as st

from .growing import Builder, Operand, agree


def repeat(b: Builder) -> None:
    """A block run several times, at times with its round's number, or with what it makes in a scan of its own."""
    x = b.pick()
    y = b.draw(st.sampled_from(b.values))
    if not agree(x, y) or not set(y.axes) <= set(x.axes):
        y = Operand("0.5", {})
    name, form = b.fresh(), b.draw(st.sampled_from(_ROUNDS))
    block = [form.format(h=f"r{name}", x=y.text)]
    if x.axes and b.draw(st.integers(0, 2)) == 0:
        axis = b.axis(x)
        block.append(f"r{name} = r{name} + cumsum[{axis}](r{name})")
        if x.axes[axis]:
            block.append(f"r{name} = r{name} / (1 + max[{axis}](abs(r{name})))")
    b.lines += [f"r{name} = {x.text}", f"repeat {b.draw(st.integers(0, 3))} as i{name}:"]
    b.lines += [f"    {line.replace('{i}', f'i{name}')}" for line in block]
    b.bind(f"r{name}", x.axes)


_ROUNDS = [
    "{h} = tanh({h} + {x})", "{h} = {h} * sigmoid({x})", "{h} = 0.5 * {h} + {{i}} * {x}",
    "{h} = abs({h} - {x}) + {{i}}", "{h} = {h} / (1 + {h} ^ 2)",
]  # fmt: skip
"""What a round does with what goes from round to round, and with another value."""


_UPDATES = [
    "tanh({h} + {x})", "0.5 * {h} + {x}", "{h} * sigmoid({x}) + {y}", "maximum({h}, {x})", "{h} + {x} * {y}",
    "where({x} > 0, {h}, {y})", "0.5 * ({h} - {x}) + tanh({y})", "exp(-{x} ^ 2) * {h}", "{y} - 0.5 * {h}",
    "logaddexp({h}, {x})", "{h} / (1 + abs({h} + {y}))",
]  # fmt: skip
"""What a step does with the carried value, with what it sees of a sequence, and with another value."""


def scan(b: Builder) -> None:
    """Along an axis of one value, with another one that has the axis or is the same at all steps; at times along a
    second axis inside, with a second value carried, backwards, or with a mean or a softmax in the step."""
    x = b.pick()
    if not x.axes:
        return b.otherwise(b)
    axis = b.axis(x)
    steps, time = x.axes[axis], b.fresh()
    # A new name has one size, whatever other values have along the axis.
    x = b.under(x, axis, time)
    form = b.draw(st.sampled_from(_UPDATES))
    y = b.draw(st.sampled_from([*b.values, x])) if "{y}" in form else Operand("0", {})
    if y.axes.get(axis) == steps and b.draw(st.booleans()):
        y = b.under(y, axis, time)
    start = b.draw(st.sampled_from([Operand("0", {}), Operand("0.5", {}), *b.values]))
    if not (agree(x, y) and agree(x, start) and agree(y, start)):
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


def _turned(b: Builder, h: str, start: Operand, axis: str, update: str) -> str:
    """With the carried value's product with a matrix along one of its axes; the matrix is made of coordinates."""
    new, others = b.fresh(), ", ".join(name for name in start.axes if name != axis)
    name = f"k{new}"
    b.lines.append(f"{name} = cumsum[{axis}](0 * sum[{others}]({start.text}) + 1)")
    matrix = f"cos(2 * {name}[{axis} -> {new}] - 3 * {name})"
    return f"tanh(({matrix} @[{axis}] {h})[{new} -> {axis}] + {update})"


def _rows(b: Builder, value: Operand, row: str, lines: list[str]) -> Operand:
    """A scan inside a scan, along an axis of what is seen."""
    new = b.fresh()
    lines += [f"r{new} = {value.text}[{row} -> {new}]", f"scan {new} with s{new} = 0.5:",
              f"    s{new} = tanh(s{new} + r{new})"]  # fmt: skip
    return Operand(f"s{new}", {(new if name == row else name): size for name, size in value.axes.items()})
