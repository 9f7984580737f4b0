"""Random formulas that are well formed, with inputs that fit them."""

from __future__ import annotations

from hypothesis import strategies as st

from .blocks import repeat, scan
from .growing import Builder, Formula, Operand, Step, agree, grown, merge, rename, slice_, split
from .places import attend, look_up, prefix, shift

__all__ = ["STEPS", "Formula", "formulas"]


def _unary(b: Builder) -> None:
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


def _binary(b: Builder) -> None:
    x, y = b.pick(), b.draw(st.sampled_from(b.values))
    if not agree(x, y):
        return _unary(b)
    forms = ["{} + {}", "{} * {}", "{} - {}", "maximum({}, {})", "{} / (abs({}) + 1)", "logaddexp({}, {})"]
    op = b.draw(st.sampled_from(forms))
    b.bind(op.format(x.text, y.text), {**x.axes, **y.axes})


def _contract(b: Builder) -> None:
    x, y = b.pick(), b.draw(st.sampled_from(b.values))
    common = sorted(set(x.axes) & set(y.axes))
    if not common or not agree(x, y):
        return _binary(b)
    axes = b.draw(st.lists(st.sampled_from(common), unique=True, min_size=1))
    left = {axis: size for axis, size in {**x.axes, **y.axes}.items() if axis not in axes}
    b.bind(f"{x.text} @[{', '.join(axes)}] {y.text}", left)


def _reduce(b: Builder) -> None:
    x = b.pick()
    if not x.axes:
        return _unary(b)
    axes = b.draw(st.lists(st.sampled_from(sorted(x.axes)), unique=True, min_size=1, max_size=2))
    op = b.draw(st.sampled_from(["sum", "mean", "max", "min", "logsumexp", "var", "std", "norm", "prod"]))
    if op in ("mean", "var", "std") and not all(x.axes[axis] for axis in axes):
        op = "sum"
    b.bind(f"{op}[{', '.join(axes)}]({x.text})", {axis: size for axis, size in x.axes.items() if axis not in axes})


def _along(b: Builder) -> None:
    x = b.pick()
    if not x.axes:
        return _unary(b)
    axis = b.axis(x)
    names = "softmax log_softmax standardize cumsum flip roll sort logcumsumexp cummax".split()
    op = b.draw(st.sampled_from(names))
    b.bind(f"{op}[{axis}]({x.text})", x.axes)


def _windows(b: Builder) -> None:
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


def _convolve(b: Builder) -> None:
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
    if axis in weights.axes or not agree(Operand("", windows), weights):
        return _windows(b)
    common = sorted((set(x.axes) & set(weights.axes)) - {axis})
    summed = [kernel, *b.draw(st.lists(st.sampled_from(common), unique=True) if common else st.just([]))]
    left = {name: n for name, n in {**weights.axes, **windows}.items() if name not in summed}
    text = f"unroll[{axis}, {kernel} = {size}]({x.text}; stride = {stride}, padding = {padding})"
    b.bind(f"{weights.text} @[{', '.join(summed)}] {text}", left)


def _mask(b: Builder) -> None:
    x = b.pick()
    if len(x.axes) < 2:
        return _unary(b)
    first, second = b.draw(st.permutations(sorted(x.axes)))[:2]
    # The coordinates of computed axes have the computed sizes, so they are written by value.
    mask = f"cumsum[{first}](0 * {x.text} + 1) >= cumsum[{second}](0 * {x.text} + 1)"
    fill = b.draw(st.sampled_from(["0", "-inf"]))
    text = f"where({mask}, {x.text}, {fill})"
    b.bind(f"softmax[{second}]({text})" if fill == "-inf" else text, x.axes)


def _join(b: Builder) -> None:
    x = b.pick()
    if not x.axes:
        return _unary(b)
    axis = b.axis(x)
    size = x.axes[axis]
    forms = [("concat[{}]({}, 2 * {})", 2 * size), ("pad[{}]({}; before = 1, value = 0.5)", size + 1)]
    form, size = b.draw(st.sampled_from(forms))
    text = form.replace("{}", axis, 1).replace("{}", x.text)
    b.bind(text, {**x.axes, axis: size})


STEPS: tuple[Step, ...] = (
    _unary, _binary, _contract, _contract, _reduce, _along, rename, merge, split, slice_, _windows, _convolve,
    _mask, _join, scan, repeat, shift, look_up, prefix, attend,
)  # fmt: skip


def formulas(special: bool = False) -> st.SearchStrategy[Formula]:
    """A formula of any of the steps; `special` puts infinities and zeros into inputs, and sizes may be 0."""
    return grown(STEPS, special)
