"""Steps that say places: other elements, indices that are computed, what comes before, attention."""

from __future__ import annotations

from hypothesis import strategies as st

from .growing import Builder, Operand, agree


def shift(b: Builder) -> None:
    """Another element of an axis: before or behind, every other, or as far away as a second axis says."""
    x = b.pick()
    if not x.axes:
        return b.otherwise(b)
    axis = b.axis(x)
    fill = b.draw(st.sampled_from(["0", "0", "0.5", "-1"]))
    places = [f"{axis} - 1", f"{axis} + 1", f"2 * {axis}", f"{axis} // 2", f"1 - {axis}", f"{axis} ^ 2 - 2"]
    # The coordinates of an axis that was cut are those of the axis that was: so the axis gets a new name.
    time = b.fresh()
    seen = b.under(x, axis, time)
    place = b.draw(st.sampled_from(places)).replace(axis, time) if axis != time else f"{time} - 1"
    b.bind(f"{seen.text}[{time} = {place}; fill = {fill}]", seen.axes)


def look_up(b: Builder) -> None:
    """Elements at places that were computed, by an index, by a one-hot vector, or added up there."""
    x, y = b.pick(), b.draw(st.sampled_from(b.values))
    if not x.axes or not y.axes:
        return b.otherwise(b)
    along, axis, row, places = b.axis(x), b.axis(y), b.fresh(), b.fresh()
    if not x.axes[along] or not y.axes[axis]:
        return b.otherwise(b)
    keys = b.under(y, axis, places)
    table = b.under(x, along, row)
    if not agree(table, keys) or set(table.axes) & set(keys.axes):
        return b.otherwise(b)
    index = f"argsort[{places}]({keys.text})"
    size = table.axes[row]
    rest = {name: n for name, n in table.axes.items() if name != row}
    form = b.draw(st.sampled_from(["index", "hot", "filled", "put"]))
    if form == "index":
        b.bind(f"{table.text}[{row} = {index} % {size}]", {**rest, **keys.axes})
    elif form == "hot":
        b.bind(f"one_hot[{row}]({index}) @[{row}] {table.text}", {**keys.axes, **rest})
    elif form == "filled":
        b.bind(f"{table.text}[{row} = {index} - 1; fill = 0]", {**rest, **keys.axes})
    else:
        new = b.fresh()
        picked = f"where(index[{new} = 3] == {index}, {keys.text}, 0)"
        b.bind(f"sum[{places}]({picked})", {**{n: k for n, k in keys.axes.items() if n != places}, new: 3})


def prefix(b: Builder) -> None:
    """Sums, means or extremes of what comes up to a place, said by a mask of coordinates; at times of a product."""
    x = b.pick()
    if not x.axes:
        return b.otherwise(b)
    axis, here, there = b.axis(x), b.fresh(), b.fresh()
    size = x.axes[axis]
    source = b.under(x, axis, there)
    mask = f"index[{here} = {size}] {b.draw(st.sampled_from(['>=', '>', '<=']))} {there}"
    op, fill = b.draw(
        st.sampled_from([("sum", "0"), ("sum", "0"), ("max", "-inf"), ("logsumexp", "-inf"), ("prod", "1")])
    )
    term = source.text
    if op == "sum" and b.draw(st.booleans()):
        term = f"{source.text} * exp(-0.1 * (index[{here} = {size}] - {there}))"
    left = {name: n for name, n in source.axes.items() if name != there}
    b.bind(f"{op}[{there}](where({mask}, {term}, {fill}))", {**left, here: size})


def attend(b: Builder) -> None:
    """Softmax of products, weighing one of the factors, or another value that has the axis."""
    x, y = b.pick(), b.draw(st.sampled_from(b.values))
    common = sorted(set(x.axes) & set(y.axes))
    if not common or not agree(x, y):
        return b.otherwise(b)
    key = b.draw(st.sampled_from(common))
    over = sorted(set(y.axes) - {key})
    if not over or not y.axes[over[0]]:
        return b.otherwise(b)
    seq = b.fresh()
    keys = b.under(y, over[0], seq)
    queries = x
    scores = {n: k for n, k in {**queries.axes, **keys.axes}.items() if n != key}
    mask = b.draw(
        st.sampled_from(["{}", "{} / 2", "where({} > -1, {}, -inf)", "where({s} >= 1, {}, -inf)", "{} - 0.5 * {s}"])
    )
    weights = f"softmax[{seq}]({mask.replace('{s}', seq).replace('{}', f'({queries.text} @[{key}] {keys.text})')})"
    value = (
        keys
        if b.draw(st.booleans())
        else Operand(f"sum[{key}]({keys.text} ^ 2)", {n: k for n, k in keys.axes.items() if n != key})
    )
    left = {n: k for n, k in {**scores, **value.axes}.items() if n != seq}
    b.bind(f"{weights} @[{seq}] {value.text}", left)
