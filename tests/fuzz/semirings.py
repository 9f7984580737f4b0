"""Random formulas of sums, products and moves, which mean something in every semiring.

As `formulas`, with the steps that a semiring has: every value is made of the inputs by +, *, contraction and what moves
elements, so that one text may be run under several semirings and the results compared.
"""

from __future__ import annotations

from hypothesis import strategies as st

from .growing import Builder, Operand, Step, agree, merge, rename, slice_, split


def _meet(b: Builder) -> None:
    x, y = b.pick(), b.draw(st.sampled_from(b.values))
    y = y if agree(x, y) else x
    form = b.draw(st.sampled_from(["{} + {}", "{} * {}", "{} * {} + 2", "0.5 * {} + {}", "{} ^ 2 + {}"]))
    b.bind(form.format(x.text, y.text), {**x.axes, **y.axes})


def _contract(b: Builder) -> None:
    x, y = b.pick(), b.draw(st.sampled_from(b.values))
    common = sorted(set(x.axes) & set(y.axes))
    if not common or not agree(x, y):
        return _meet(b)
    axes = b.draw(st.lists(st.sampled_from(common), unique=True, min_size=1))
    left = {axis: size for axis, size in {**x.axes, **y.axes}.items() if axis not in axes}
    b.bind(f"{x.text} @[{', '.join(axes)}] {y.text}", left)


def _sum(b: Builder) -> None:
    x = b.pick()
    if not x.axes:
        return _meet(b)
    axis = b.axis(x)
    op = b.draw(st.sampled_from(["sum", "sum", "prod"]))
    b.bind(f"{op}[{axis}]({x.text})", {name: size for name, size in x.axes.items() if name != axis})


def _along(b: Builder) -> None:
    x = b.pick()
    if not x.axes:
        return _meet(b)
    axis = b.axis(x)
    form = b.draw(st.sampled_from(["cumsum[{a}]({x})", "cumprod[{a}]({x})", "flip[{a}]({x})", "roll[{a}]({x})"]))
    b.bind(form.format(a=axis, x=x.text), x.axes)


def _join(b: Builder) -> None:
    x = b.pick()
    if not x.axes:
        return _meet(b)
    axis, size, new = b.axis(x), 0, b.fresh()
    size = x.axes[axis]
    x = b.under(x, axis, new)
    forms = [("concat[{a}]({x}, {x} + {x})", 2 * size), ("pad[{a}]({x}; before = 1)", size + 1)]
    forms += [("{x}[{a} = {a} - 1; fill = 0]", size), ("where({a} >= 1, {x}, 0)", size)]
    form, size = b.draw(st.sampled_from(forms))
    b.bind(form.format(a=new, x=x.text), {**x.axes, new: size})


def _windows(b: Builder) -> None:
    x = b.pick()
    wide = [axis for axis, size in sorted(x.axes.items()) if size >= 2]
    if not wide:
        return _meet(b)
    axis, kernel = b.draw(st.sampled_from(wide)), b.fresh()
    k, stride = b.draw(st.integers(1, 2)), b.draw(st.integers(1, 2))
    form = b.draw(st.sampled_from(["sum[{k}]({w})", "prod[{k}]({w})"]))
    text = f"unroll[{axis}, {kernel} = {k}]({x.text}; stride = {stride})"
    b.bind(form.format(k=kernel, w=text), {**x.axes, axis: (x.axes[axis] - k) // stride + 1})


def _scan(b: Builder) -> None:
    """A recurrence along an axis, at times backwards, with a product of the carried value or without."""
    x = b.pick()
    if not x.axes:
        return _meet(b)
    axis, time = b.axis(x), b.fresh()
    steps = x.axes[axis]
    x = b.under(x, axis, time)
    form = b.draw(st.sampled_from(["{x} * {h} + {y}", "{h} * {y} + {x}", "{h} + {x}", "{x} * ({h} + {y})"]))
    y = b.draw(st.sampled_from([*b.values, Operand("0.5", {})]))
    if not agree(x, y) or "{y}" not in form:
        y = Operand("0.5", {})
    h = f"h{time}"
    backwards = " reversed" if b.draw(st.booleans()) else ""
    b.lines.append(f"scan {time}{backwards} with {h} = {b.draw(st.sampled_from(['0', '1', y.text]))}:")
    b.lines.append(f"    {h} = {form.format(x=x.text, y=y.text, h=h)}")
    inside = {**x.axes, **y.axes}
    b.bind(h, {time: steps, **inside})


STEPS: tuple[Step, ...] = (
    _meet, _meet, _contract, _contract, _sum, _along, rename, merge, split, slice_, _join, _windows, _scan,
)  # fmt: skip
