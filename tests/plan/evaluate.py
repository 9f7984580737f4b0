"""Graphs evaluated in numpy by the meaning of their operations, planned ones included: what rewrites are checked with.

In: a graph, arrays by input name, sizes by symbol. Out: the results, each with its axes in the order of its `Arg`.
Every operation is computed as its table says, the kernels' ones by their definition and none by another rewrite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from namedlayers.plan import prefixes
from namedlayers.plan.view import constant
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.size import SizeExpr

Sizes = Mapping[str, int]


def evaluate(graph: Graph, inputs: Mapping[str, np.ndarray], sizes: Sizes) -> list[np.ndarray]:
    values: dict[int, np.ndarray] = {}
    with np.errstate(all="ignore"):
        for node in graph.live():
            found = np.asarray(_value(node, values, inputs, sizes))
            space = tuple(s.evaluate(sizes) for s in node.sizes)
            assert found.shape == space, f"{node}: {found.shape} is not {space}"
            values[node.number] = found
    return [
        values[a.node.number].transpose(np.argsort(a.axes)) if a.axes else values[a.node.number] for a in graph.outputs
    ]


def _value(node: Node, values: Mapping[int, np.ndarray], inputs: Mapping[str, np.ndarray], sizes: Sizes) -> Any:
    space = [s.evaluate(sizes) for s in node.space]
    if node.op == "input":
        return inputs[str(node.attr("name"))]
    if node.op == "const":
        return constant(node)
    if node.op == "size":
        return node.attr("expr").evaluate(sizes)  # type: ignore[attr-defined]
    if node.op == "coord":
        return np.arange(space[0])
    args = [values[a.node.number] for a in node.args]
    if node.op in _SPECIAL:
        return _SPECIAL[node.op](node, args, space, sizes)
    over = [aligned(a, v, len(space)) for a, v in zip(node.args, args, strict=True)]
    if node.op in _ELEMENTWISE:
        return np.broadcast_to(_ELEMENTWISE[node.op](*over), space[: node.rank])
    whole = [np.broadcast_to(v, space) for v in over]
    return _OVER_SPACE[node.op](node, over, whole, tuple(range(node.rank, len(space))))


def aligned(arg: Arg, value: np.ndarray, rank: int) -> np.ndarray:
    """The operand with an axis at every position, of size 1 where it has none."""
    assert all(p >= 0 for p in arg.axes)
    order = np.argsort(arg.axes) if arg.axes else ()
    shape = [1] * rank
    for p, n in zip(arg.axes, value.shape, strict=True):
        shape[p] = n
    return np.asarray(value).transpose(order).reshape(shape)


# --- elementwise ------------------------------------------------------------------------------------------------------


def _real(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *xs: f(*(x.astype(float) if x.dtype.kind in "biu" else x for x in map(np.asarray, xs)))


def _counted(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *xs: f(*(x.astype(int) if x.dtype.kind == "b" else x for x in map(np.asarray, xs)))


def _power(x: Any, y: Any) -> Any:
    """An integer to a negative power is real."""
    return np.power(x.astype(float) if y.dtype.kind == "i" and (y < 0).any() else x, y)


erf = np.vectorize(math.erf, otypes=[float])
sigmoid = _real(lambda x: 1 / (1 + np.exp(-x)))
_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "floor": np.floor, "int": lambda x: np.trunc(x).astype(int),
    "neg": _counted(np.negative), "abs": _counted(np.abs), "exp": _real(np.exp), "log": _real(np.log),
    "log1p": _real(np.log1p), "expm1": _real(np.expm1), "sqrt": _real(np.sqrt),
    "rsqrt": _real(lambda x: 1 / np.sqrt(x)), "tanh": _real(np.tanh),
    "erf": _real(erf), "cos": _real(np.cos), "sin": _real(np.sin),
    "not": lambda x: np.logical_not(x), "detach": lambda x: x, "isfinite": np.isfinite,
    "real": np.real, "conj": np.conj, "imag": np.imag,
    "add": _counted(np.add), "sub": _counted(np.subtract), "mul": _counted(np.multiply), "div": _real(np.divide),
    "floordiv": _counted(np.floor_divide), "mod": _counted(np.mod), "pow": _counted(_power), "lt": np.less,
    "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
    "and": np.logical_and, "or": np.logical_or, "maximum": _counted(np.maximum), "minimum": _counted(np.minimum),
    "logaddexp": _real(np.logaddexp), "where": lambda c, a, b: np.where(np.asarray(c) != 0, a, b),
    "lerp": lambda a, b, w: a + w * (b - a),
    "relu": lambda x: np.maximum(x, 0), "sigmoid": sigmoid, "silu": _real(lambda x: x * sigmoid(x)),
    "softplus": _real(lambda x: np.logaddexp(x, 0)), "prelu": lambda x, a: np.where(x > 0, x, a * x),
    "expand": lambda x: x,
}  # fmt: skip


def _gelu(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    (x,) = args
    if node.attr("approximate") == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


_ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "clip": lambda x, lo, hi: np.minimum(np.maximum(x, lo), hi), "leaky_relu": lambda x, s: np.where(x > 0, x, s * x),
    "elu": lambda x, a: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "softshrink": lambda x, b: x - np.clip(x, -b, b), "hardshrink": lambda x, b: np.where(np.abs(x) > b, x, 0),
    "threshold": lambda x, t, v: np.where(x > t, x, v),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6, "mish": lambda x: x * np.tanh(np.logaddexp(x, 0)),
    "log_sigmoid": lambda x: -np.logaddexp(-x, 0),
}  # fmt: skip


def _activation(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    over = [aligned(a, v, len(space)) for a, v in zip(node.args, args, strict=True)]
    return _ACTIVATIONS[str(node.attr("function"))](*over)


def _difference(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    x, y, *numbers = (aligned(a, v, len(space)) for a, v in zip(node.args, args, strict=True))
    assert x.shape == y.shape == tuple(space)
    d = x - y
    functions: dict[str, Callable[..., Any]] = {
        "square": lambda: d**2,
        "entropy": lambda: np.logaddexp(-x, 0) * (1 + ([*numbers, 1][0] - 1) * y) + (1 - y) * x,
        "huber": lambda: np.clip(d, -numbers[0], numbers[0]) * (d - np.clip(d, -numbers[0], numbers[0]) / 2),
    }
    found = functions[str(node.attr("function"))]()
    if node.attr("reduction") == "none":
        return found
    assert node.rank == 0
    return found.mean() if node.attr("reduction") == "mean" else found.sum()


# --- over the index space ---------------------------------------------------------------------------------------------


def _logsumexp(x: np.ndarray, axes: tuple[int, ...]) -> Any:
    if 0 in x.shape:
        return np.full([n for k, n in enumerate(x.shape) if k not in axes], -np.inf)
    top = x.max(axis=axes, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    return (np.log(np.exp(x - top).sum(axis=axes, keepdims=True)) + top).squeeze(axes)


def _extremum(f: Callable[..., Any], x: np.ndarray, axes: tuple[int, ...], of_nothing: float) -> Any:
    empty = math.prod(x.shape[k] for k in axes) == 0
    return f(x, axis=axes, initial=of_nothing) if empty else f(x, axis=axes)


_REDUCE: dict[str, Callable[[np.ndarray, tuple[int, ...]], Any]] = {
    "sum": lambda x, axes: x.sum(axis=axes), "prod": lambda x, axes: x.prod(axis=axes),
    "max": lambda x, axes: _extremum(np.max, x, axes, -np.inf),
    "min": lambda x, axes: _extremum(np.min, x, axes, np.inf),
    "logsumexp": _logsumexp, "any": lambda x, axes: x.any(axis=axes), "all": lambda x, axes: x.all(axis=axes),
}  # fmt: skip


def _statistic(node: Node, over: Any, whole: list[np.ndarray], axes: tuple[int, ...]) -> Any:
    x, op, ddof = whole[0], node.attr("op"), node.attr("ddof")
    assert isinstance(ddof, int)
    if op == "norm":
        return np.sqrt((np.abs(x) ** 2).sum(axis=axes))
    count = math.prod(x.shape[k] for k in axes)
    mean = x.sum(axis=axes, keepdims=True) / np.float64(count)
    if op == "mean":
        return mean.squeeze(axes)
    var = ((x - mean) ** 2).sum(axis=axes) / np.float64(count - ddof)
    return np.sqrt(var) if op == "std" else var


def _multiplied(whole: list[np.ndarray]) -> np.ndarray:
    total = np.asarray(whole[0])
    for factor in whole[1:]:
        total = total * factor
    return total


def _softmax(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    top = x.max(axis=axes, keepdims=True, initial=-np.inf)
    e = np.where(np.isneginf(x), 0, np.exp(x - np.where(np.isneginf(top), 0, top)))
    total = e.sum(axis=axes, keepdims=True)
    return np.where(total == 0, 0, e / np.where(total == 0, 1, total))


def _logged(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return x - np.expand_dims(_logsumexp(x, axes), axes)


def _attention(node: Node, over: list[np.ndarray], whole: list[np.ndarray], axes: tuple[int, ...]) -> Any:
    roles = node.attr("roles")
    assert isinstance(roles, tuple)
    at = dict(zip(roles, range(len(roles)), strict=True))
    args = node.args
    positions = tuple(p for p in axes if p in args[at["value"]].axes)
    features = tuple(p for p in axes if p not in positions)
    assert all(p in args[at["query"]].axes and p in args[at["key"]].axes for p in features)
    scores = (over[at["query"]] * over[at["key"]]).sum(axis=features, keepdims=True)
    if "scale" in at:
        scores = scores * over[at["scale"]]
    if "mask" in at:
        scores = scores + over[at["mask"]]
    if "allow" in at:
        scores = np.where(over[at["allow"]], scores, -np.inf)
    causal = node.attr("causal")
    if causal:
        query, key = (np.arange(whole[0].shape[p]) for p in causal)  # type: ignore[attr-defined]
        shape = [[-1 if k == p else 1 for k in range(whole[0].ndim)] for p in causal]  # type: ignore[attr-defined]
        scores = np.where(key.reshape(shape[1]) <= query.reshape(shape[0]), scores, -np.inf)
    weights = _softmax(scores, positions)
    space = [n for k, n in enumerate(whole[0].shape) if k not in axes]
    return np.broadcast_to((weights * over[at["value"]]).sum(axis=positions, keepdims=True).squeeze(axes), space)


def _linear(node: Node, over: list[np.ndarray], whole: list[np.ndarray], axes: tuple[int, ...]) -> Any:
    assert set(node.args[2].axes) in (set(node.args[1].axes) & set(range(node.rank)), set(range(node.rank)))
    return (whole[0] * whole[1]).sum(axis=axes) + over[2].squeeze(axes)


def _distance(node: Node, over: list[np.ndarray], whole: list[np.ndarray], axes: tuple[int, ...]) -> Any:
    difference = whole[0] - whole[1]
    if node.attr("measure") == "magnitude":
        return np.abs(difference).sum(axes)
    total = np.square(difference).sum(axes)
    return np.sqrt(total) if node.attr("measure") == "norm" else total


def _nearest(node: Node, over: list[np.ndarray], whole: list[np.ndarray], axes: tuple[int, ...]) -> Any:
    features = tuple(p for p in axes if p in node.args[0].axes)
    total = np.square(whole[0] - whole[1]).sum(features, keepdims=True)
    among = tuple(p for p in axes if p not in features)
    if node.attr("op") == "index":
        return total.argmin(among[0]).reshape(total.shape[: node.rank])
    least = total.min(among).reshape(total.shape[: node.rank])
    return np.sqrt(least) if node.attr("root") else least


def _outer_mean(node: Node, over: list[np.ndarray], whole: list[np.ndarray], axes: tuple[int, ...]) -> Any:
    logits = np.broadcast_arrays(whole[0] + whole[1], *whole)[0]
    powers = np.exp(logits - logits.max(axis=axes, keepdims=True))
    return (powers / powers.sum(axis=axes, keepdims=True) * whole[2]).sum(axis=axes)


def _log_contract(node: Node, over: list[np.ndarray], whole: list[np.ndarray], axes: tuple[int, ...]) -> Any:
    linear = node.attr("linear")
    assert isinstance(linear, tuple)
    return np.log(_multiplied([w if one else np.exp(w) for w, one in zip(whole, linear, strict=True)]).sum(axis=axes))


def _extreme_contract(node: Node, over: list[np.ndarray], whole: list[np.ndarray], axes: tuple[int, ...]) -> Any:
    left, right = whole
    return _REDUCE[str(node.attr("op"))](left + right if node.attr("join") == "add" else left * right, axes)


_OVER_SPACE: dict[str, Callable[..., Any]] = {
    "reduce": lambda node, over, whole, axes: _REDUCE[str(node.attr("op"))](whole[0], axes),
    "extreme": lambda node, over, whole, axes: getattr(whole[0], str(node.attr("op")))(axis=axes),
    "contract": lambda node, over, whole, axes: _multiplied([_counted(np.asarray)(w) for w in whole]).sum(axis=axes),
    "statistic": _statistic,
    "attention": _attention,
    "linear": _linear,
    "log_contract": _log_contract,
    "extreme_contract": _extreme_contract,
    "outer_mean": _outer_mean,
    "distance": _distance,
    "nearest": _nearest,
}


# --- operations with attributes of their own --------------------------------------------------------------------------


def _axiswise(f: Callable[[np.ndarray, tuple[int, ...]], np.ndarray]) -> Callable[..., Any]:
    def run(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
        return f(aligned(node.args[0], args[0], node.rank), node.attr("axes"))  # type: ignore[arg-type]

    return run


def _group_norm(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    axes, channel, affine = node.attr("axes"), node.attr("channel"), node.attr("affine")
    assert isinstance(axes, tuple) and isinstance(channel, int) and isinstance(affine, tuple) and channel not in axes
    groups = _number(node.attr("groups"), sizes)  # type: ignore[arg-type]
    x, eps, *parameters = (aligned(a, v, node.rank) for a, v in zip(node.args, args, strict=True))
    assert x.shape[channel] % groups == 0
    parts = x.reshape(*x.shape[:channel], groups, x.shape[channel] // groups, *x.shape[channel + 1 :])
    over = (channel + 1, *(p if p < channel else p + 1 for p in axes))
    centre = parts - parts.mean(axis=over, keepdims=True)
    y = (centre / np.sqrt((centre**2).mean(axis=over, keepdims=True) + eps.reshape(()))).reshape(x.shape)
    for role, parameter, arg in zip(affine, parameters, node.args[2:], strict=True):
        assert arg.axes == (channel,)
        y = y * parameter if role == "weight" else y + parameter
    return y


def _standardize(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    axes, affine = node.attr("axes"), node.attr("affine")
    x, eps, *parameters = (aligned(a, v, node.rank) for a, v in zip(node.args, args, strict=True))
    if node.op == "standardize":
        centre = x - x.mean(axis=axes, keepdims=True)
        y = centre / np.sqrt((centre**2).mean(axis=axes, keepdims=True) + eps)
    else:
        y = x / np.sqrt((x**2).mean(axis=axes, keepdims=True) + eps)
    for role, parameter, arg in zip(affine, parameters, node.args[2:], strict=True):  # type: ignore[call-overload]
        parts = (set(arg.axes) & set(axes), set(arg.axes) - set(axes))  # type: ignore[call-overload]
        assert set(arg.axes) == set(axes) or max(map(len, parts)) <= 1  # type: ignore[call-overload]
        y = y * parameter if role == "weight" else y + parameter
    return y


def _number(value: SizeExpr | int, sizes: Sizes) -> int:
    return value if isinstance(value, int) else value.evaluate(sizes)


def _conv(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    """By definition: the windows gathered, then multiplied and summed."""
    x, w = node.args[:2]
    value, axes = args[0], list(x.axes)
    index: dict[int, np.ndarray] = {}
    kernels = set()
    for own, position, kernel, *rest in node.attr("space"):  # type: ignore[attr-defined]
        stride, dilation, before, after = (_number(v, sizes) for v in rest)
        assert axes[own] == -1 and kernel >= node.rank
        assert (value.shape[own] + before + after - dilation * (space[kernel] - 1) - 1) // stride + 1 == space[position]
        assert space[position] > 0 and space[kernel] > 0
        value = np.pad(value, [(before, after) if k == own else (0, 0) for k in range(value.ndim)])
        index[own] = (
            position,
            kernel,
            stride * np.arange(space[position])[:, None] + dilation * np.arange(space[kernel]),
        )  # type: ignore[assignment]
        kernels.add(kernel)
    order: list[int] = []
    for own in reversed(range(len(axes))):
        if own in index:
            value = np.take(value, index[own][2], axis=own)
    for own, p in enumerate(axes):
        order += list(index[own][:2]) if own in index else [p]
    total = aligned(Arg(x.node, tuple(order)), value, len(space)) * aligned(w, args[1], len(space))
    axes_gone = tuple(range(node.rank, len(space)))
    assert set(axes_gone) <= set(w.axes) and set(axes_gone) <= set(order)
    result = np.broadcast_to(total, space).sum(axis=axes_gone)
    if node.attr("bias"):
        b = node.args[2]
        assert set(b.axes) == set(w.axes) & set(range(node.rank))
        result = result + aligned(b, args[2], node.rank)
    return result


def _long_conv(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    """A convolution of what goes round, with weights from their end."""
    ((own, position, kernel, stride, dilation, before, after),) = node.attr("space")  # type: ignore[attr-defined]
    assert (stride, dilation) == (1, 1) and set(range(node.rank, len(space))) == {kernel}
    attrs, (x, w, *bias) = dict(node.attrs), args
    if node.attr("turned"):
        w = np.flip(w, node.args[1].axes.index(kernel))
    if node.attr("around"):
        pads = [_number(one, sizes) for one in (before, after)]
        x = np.pad(x, [(*pads,) if k == own else (0, 0) for k in range(x.ndim)], mode="wrap")
        attrs["space"] = ((own, position, kernel, 1, 1, 0, 0),)
    return _conv(replace(node, attrs=tuple(attrs.items())), [x, w, *bias], space, sizes)


def _window_product(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    """By definition, as a convolution of which any axis may be the factors', too."""
    (x, w), value = node.args, args[0]
    axes = list(x.axes)
    for own, position, tap, *rest in sorted(node.attr("space"), reverse=True):  # type: ignore[call-overload]
        stride, dilation, before, after = (_number(v, sizes) for v in rest)
        at = stride * np.arange(space[position])[:, None] + dilation * np.arange(space[tap])
        value = np.pad(value, [(before, after) if k == own else (0, 0) for k in range(value.ndim)])
        value = np.take(value, at, axis=own)
        axes[own : own + 1] = [position, tap]
    total = aligned(Arg(x.node, tuple(axes)), value, len(space)) * aligned(w, args[1], len(space))
    return np.broadcast_to(total, space).sum(axis=tuple(range(node.rank, len(space))))


def _conv_transpose(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    """By definition: W times X at each position, added where the windows are."""
    x, w = node.args[:2]
    spoken = {own: tuple(rest) for own, *rest in node.attr("space")}  # type: ignore[attr-defined]
    assert {own for own, p in enumerate(x.axes) if p == -1} == spoken.keys()
    axes = tuple(spoken[own][0] if own in spoken else p for own, p in enumerate(x.axes))
    result = np.zeros(space[: node.rank])
    kernels = {kernel for _, kernel, *_ in spoken.values()}
    assert set(range(node.rank, len(space))) - kernels <= set(x.axes) & set(w.axes)
    for own, (position, kernel, *rest) in spoken.items():
        stride, dilation, padding, more = (_number(v, sizes) for v in rest)
        assert 0 <= more < max(stride, dilation) and kernel >= node.rank and position not in w.axes
        reach = (args[0].shape[own] - 1) * stride + dilation * (space[kernel] - 1) + 1
        assert space[position] == reach - 2 * padding + more > 0
    positions = {p: n for own, n in enumerate(args[0].shape) for p in [axes[own]] if own in spoken}
    for at in product(*(range(positions.get(p, n)) for p, n in enumerate(space))):
        to = list(at[: node.rank])
        for position, kernel, *rest in spoken.values():
            stride, dilation, padding, _ = (_number(v, sizes) for v in rest)
            to[position] = stride * at[position] + dilation * at[kernel] - padding
        if all(0 <= k < n for k, n in zip(to, result.shape, strict=True)):
            result[tuple(to)] += args[0][tuple(at[p] for p in axes)] * args[1][tuple(at[p] for p in w.axes)]
    if node.attr("bias"):
        result = result + aligned(node.args[2], args[2], node.rank)
    return result


def _pool(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    (x,) = node.args
    value, axes, op = args[0], list(x.axes), node.attr("op")
    weight = np.ones_like(value)
    for own, position, *rest in node.attr("space"):  # type: ignore[attr-defined]
        kernel, stride, dilation, before, after = (_number(v, sizes) for v in rest)
        assert 2 * before <= kernel and before == after and (dilation == 1 or op == "max") and kernel > 0
        length, reach = value.shape[own], dilation * (kernel - 1) + 1
        assert not node.attr("ceil") or (space[position] - 1) * stride < length + before
        more = max(0, (space[position] - 1) * stride + reach - length - 2 * before) if node.attr("ceil") else 0
        pads = [(before, after + more) if k == own else (0, 0) for k in range(value.ndim)]
        value = np.pad(value, pads, constant_values=-np.inf if op == "max" else 0)
        windows = (value.shape[own] - reach) // stride + 1
        assert windows == space[position] > 0
        at = stride * np.arange(space[position])[:, None] + dilation * np.arange(kernel)
        picked = np.take(value, at, axis=own)
        value = picked.max(axis=own + 1) if op == "max" else picked.mean(axis=own + 1)
        weight = np.take(np.pad(weight, pads), at, axis=own).mean(axis=own + 1)
        axes[own] = position
    value = value if node.attr("counted") else value / weight
    return aligned(Arg(x.node, tuple(axes)), value, node.rank)


def _pad_around(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    (x,) = node.args
    value, axes = args[0], list(x.axes)
    for own, position, *padding in node.attr("space"):  # type: ignore[attr-defined]
        before, after = (_number(v, sizes) for v in padding)
        assert min(before, after) >= 0 and (node.attr("mode") == "replicate" or max(before, after) <= value.shape[own])
        mode = {"circular": "wrap", "reflect": "reflect", "replicate": "edge"}[str(node.attr("mode"))]
        value = np.pad(value, [(before, after) if k == own else (0, 0) for k in range(value.ndim)], mode)  # type: ignore[call-overload]
        axes[own] = position
    return aligned(Arg(x.node, tuple(axes)), value, node.rank)


def _adaptive(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    (x,) = node.args
    value, axes = args[0], list(x.axes)
    for own, position in node.attr("cells"):  # type: ignore[attr-defined]
        n, m = value.shape[own], space[position]
        reduce = np.max if node.op == "adaptive_max" else np.mean
        cells = [reduce(np.take(value, range(i * n // m, -(-(i + 1) * n // m)), axis=own), axis=own) for i in range(m)]
        value, axes[own] = np.stack(cells, axis=own), position
    return aligned(Arg(x.node, tuple(axes)), value, node.rank)


def _take(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    own = node.attr("axis")
    assert isinstance(own, int) and node.args[0].axes[own] == -1
    x, i = args
    result = np.zeros(space, dtype=x.dtype)
    for at in product(*map(range, space)):
        k = i[tuple(at[p] for p in node.args[1].axes)]
        if 0 <= k < x.shape[own]:
            result[at] = x[tuple(k if p < 0 else at[p] for p in node.args[0].axes)]
        else:
            assert node.attr("fill")
    return result


def _class_loss(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    axis, roles = node.attr("axis"), node.attr("roles")
    assert isinstance(axis, int) and isinstance(roles, tuple)
    x, target, *rest = args
    others = dict(zip(roles, rest, strict=True))
    log_p = _logged(x, (axis,)) if node.attr("logits") else x
    losses, weights = np.zeros(space), np.zeros(space)
    for at in product(*map(range, space)):
        t = target[tuple(at[p] for p in node.args[1].axes)]
        kept = t != others.get("ignored")
        if "kept" in others:
            kept = others["kept"][tuple(at[p] for p in node.args[2].axes)]
        if not kept:
            continue
        if node.attr("within") and not 0 <= t < x.shape[axis]:
            weights[at] = 1
            continue
        row = log_p[tuple(slice(None) if p < 0 else at[p] for p in node.args[0].axes)]
        weight, s = others.get("weight", np.ones(x.shape[axis])), others.get("smoothing", 0)
        assert 0 <= t < x.shape[axis]
        losses[at] = -(1 - s) * weight[t] * row[t] - s * (weight * row).mean()
        weights[at] = weight[t]
    if node.attr("reduction") == "none":
        return losses
    return losses.sum() / (weights.sum() if node.attr("reduction") == "mean" else np.float64(1))


def _put(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    axis = node.attr("axis")
    assert isinstance(axis, int) and all(axis not in a.axes for a in node.args)
    x, i = (aligned(a, v, len(space)) for a, v in zip(node.args, args, strict=True))
    hot = aligned(Arg(node, (axis,)), np.arange(space[axis]), len(space)) == i
    return np.broadcast_to(x * hot, space).sum(axis=tuple(range(node.rank, len(space))))


def _index(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    entries = {own: (terms, offset) for own, terms, offset in node.attr("entries")}  # type: ignore[attr-defined]
    grid = np.indices(space) if space else np.zeros((0,), dtype=int)
    where: list[Any] = []
    for own, p in enumerate(node.args[0].axes):
        if own in entries:
            terms, offset = entries[own]
            where.append(
                sum((c.evaluate(sizes) * grid[q] for q, c in terms), np.zeros(space, int)) + offset.evaluate(sizes)
            )
        else:
            where.append(grid[p])
    return args[0][tuple(where)]


def _roll(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    (x,), (arg,) = args, node.args
    where = {own: position for own, position, _ in node.attr("space")}  # type: ignore[attr-defined]
    for own, _, offset in node.attr("space"):  # type: ignore[attr-defined]
        x = np.roll(x, -offset.evaluate(sizes), own)
    positions = [where.get(own, p) for own, p in enumerate(arg.axes)]
    return np.transpose(x, np.argsort(positions))


def _arrange(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    (x,), axes = args, list(node.args[0].axes)
    for own, position, how, first, times in node.attr("space"):  # type: ignore[attr-defined]
        at, size = np.arange(space[position]) + _number(first, sizes), x.shape[own]
        at = {"held": np.clip(at, 0, size - 1), "each": at // _number(times, sizes), "around": at % size}[how]
        x, axes[own] = np.take(x, at, axis=own), position
    return aligned(Arg(node.args[0].node, tuple(axes)), x, node.rank)


def _gather(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    own = node.attr("axes")
    assert isinstance(own, tuple)
    x, *indices = args[: 1 + len(own)]
    result = np.full(space, args[-1] if node.attr("fill") else 0, dtype=x.dtype)
    for at in product(*map(range, space)):
        read = {
            k: one[tuple(at[p] for p in arg.axes)] for k, one, arg in zip(own, indices, node.args[1:], strict=False)
        }
        inside = all(0 <= k < x.shape[axis] for axis, k in read.items())
        assert node.attr("fill") or inside
        if inside:
            result[at] = x[tuple(read[axis] if p < 0 else at[p] for axis, p in enumerate(node.args[0].axes))]
    return result


def _row_products(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    x, index, matrix, *weights = node.args
    letters = "abcdefghijklmnopqrst"
    read = [p for p in range(node.rank, len(space)) if p in index.axes]
    rows = np.moveaxis(args[0], x.axes.index(-1), 0)[args[1]]
    axes = [*index.axes, *(p for p in x.axes if p >= 0)]
    terms = [axes, matrix.axes, *(one.axes for one in weights)]
    text = ",".join("".join(letters[p] for p in one) for one in terms)
    found = np.einsum(f"{text}->{letters[: node.rank]}", rows, *args[2:])
    return found / max(1, math.prod(space[p] for p in read)) if node.attr("op") == "mean" else found


def _grouped_product(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    matrices, index, rows = node.args
    letters = "abcdefghijklmnopqrst"
    table, numbers = np.moveaxis(args[0], matrices.axes.index(-1), 0), args[1]
    if node.attr("fill"):
        numbers = np.where((numbers >= 0) & (numbers < len(table)), numbers, len(table))
        table = np.concatenate([table, np.zeros_like(table, shape=(1, *table.shape[1:]))])
    read = table[numbers]
    terms = [[*index.axes, *(p for p in matrices.axes if p >= 0)], rows.axes]
    text = ",".join("".join(letters[p] for p in one) for one in terms)
    return np.einsum(f"{text}->{letters[: node.rank]}", read, args[2])


def _row_sums(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    (x, index, *weights), count = args, max(1, int(np.prod(space[node.rank :])))
    result = np.zeros(space[: node.rank])
    for at in product(*map(range, space)):
        k = index[tuple(at[p] for p in node.args[1].axes)]
        weight = weights[0][tuple(at[p] for p in node.args[2].axes)] if weights else 1
        if node.op == "chosen_row_sums" and not weight:
            continue
        result[at[: node.rank]] += weight * x[tuple(k if p < 0 else at[p] for p in node.args[0].axes)]
    return result / count if node.op == "row_sums" and node.attr("op") == "mean" else result


def _sample(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    own = node.attr("axes")
    assert isinstance(own, tuple)
    x = args[0]
    result = np.zeros(space)
    for at in product(*map(range, space)):
        weights = []
        for k, arg, where in zip(own, node.args[1:], args[1:], strict=True):
            u = where[tuple(at[p] for p in arg.axes)]
            u = np.clip(u, 0, x.shape[k] - 1) if node.attr("edge") == "border" else u
            weights.append(np.maximum(0, 1 - abs(u - np.arange(x.shape[k]))))
        part = x[tuple(slice(None) if p < 0 else at[p] for p in node.args[0].axes)]
        for weight in (weights[own.index(k)] for k in sorted(own)):
            part = np.tensordot(weight, part, 1)
        result[at] = part
    return result


def _pad(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    position = node.attr("axis")
    assert isinstance(position, int)
    arg = Arg(node.args[0].node, tuple(position if p < 0 else p for p in node.args[0].axes))
    x = aligned(arg, args[0], node.rank)
    before, after = (node.attr(n).evaluate(sizes) for n in ("before", "after"))  # type: ignore[attr-defined]
    width = [(before, after) if k == position else (0, 0) for k in range(x.ndim)]
    mode = {"circular": "wrap", "reflect": "reflect", "replicate": "edge"}.get(str(node.attr("mode")))
    if mode is not None:
        return np.pad(x, width, mode=mode)  # type: ignore[call-overload]
    value = float(args[1]) if x.dtype.kind == "f" else args[1]
    return np.pad(x, width, constant_values=value)


def _fold(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    position, kernel = node.attr("axis"), node.attr("kernel")
    assert isinstance(position, int) and isinstance(kernel, int)
    stride, dilation, padding = (_number(node.attr(n), sizes) for n in ("stride", "dilation", "padding"))  # type: ignore[arg-type]
    (arg,) = node.args
    windows = np.moveaxis(args[0], [arg.axes.index(-1), arg.axes.index(kernel)], [0, 1])
    rest = [p for p in arg.axes if p not in (-1, kernel)]
    result = np.zeros([space[position], *(space[p] for p in rest)])
    for s, k in np.ndindex(windows.shape[:2]):
        if 0 <= (to := stride * s + dilation * k - padding) < space[position]:
            result[to] += windows[s, k]
    return result.transpose(np.argsort([position, *rest]))


def _merge(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    axes, into = node.attr("axes"), node.attr("into")
    assert isinstance(axes, tuple) and isinstance(into, int)
    order = [p for k in range(node.rank) for p in (axes if k == into else (k,))]
    (arg,) = node.args
    return args[0].transpose([arg.axes.index(p) for p in order]).reshape(space[: node.rank])


def _split(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    axis, into = node.attr("axis"), node.attr("into")
    assert isinstance(axis, int) and isinstance(into, tuple)
    order: list[int] = []
    shape: list[int] = []
    (arg,) = node.args
    for p in arg.axes:
        order += into if p == axis else (p,)
    shape = [space[p] for p in order]
    return args[0].reshape(shape).transpose(np.argsort(order))


def _triangle(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    grid = np.indices(space)
    row, column, diagonal = node.attr("row"), node.attr("column"), node.attr("diagonal")
    kept = grid[column] <= grid[row] + diagonal.evaluate(sizes)  # type: ignore[index, attr-defined]
    return np.where(kept, aligned(node.args[0], args[0], node.rank), 0)


_DECAYS: dict[str, Callable[..., Any]] = {
    "power": lambda base, far: base**far,
    "rate": lambda rate, far: np.exp(rate * far),
    "between": lambda a, b, far: np.exp(a - b),
}


def _prefix_product(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    grid = np.indices(space)
    row, column, diagonal = node.attr("row"), node.attr("column"), node.attr("diagonal")
    far = grid[row] + diagonal.evaluate(sizes) - grid[column]  # type: ignore[index, attr-defined]
    given = iter([aligned(arg, value, len(space)) for arg, value in zip(node.args, args, strict=True)])
    whole = math.prod(next(given) for _ in prefixes.factors(node))
    for name, parts in prefixes.decays(node):
        whole = whole * _DECAYS[name](*(next(given) for _ in parts), far.clip(0))
    return np.where(far >= 0, whole, 0).sum(tuple(range(node.rank, len(space))))


def _harmonics(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    axis, into, moved = node.attr("axis"), node.attr("into"), node.attr("moved")
    grid = np.indices(space)
    turns = (grid[axis] + moved[0]) * (grid[into] + moved[1]) / node.attr("period").evaluate(sizes)  # type: ignore[index, attr-defined]
    wave = {"exp": lambda x: np.exp(1j * x), "cos": np.cos, "sin": np.sin}[str(node.attr("wave"))]
    x = aligned(node.args[0], args[0], len(space))
    return (x * wave(2 * np.pi * node.attr("sign") * turns)).sum(axis)


_PARTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"cos": np.cos, "sin": np.sin, "-sin": lambda x: -np.sin(x)}


def _wave(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    angle, *more = [aligned(arg, value, len(space)) for arg, value in zip(node.args, args, strict=True)]
    angle = np.squeeze(angle + math.prod(more) if more else angle, node.attr("axis"))  # type: ignore[call-overload]
    return np.stack([_PARTS[part](angle) for part in node.attr("parts")], node.attr("axis"))  # type: ignore[union-attr, call-overload]


_RUNNING: dict[str, Callable[..., Any]] = {
    "sum": np.cumsum, "prod": np.cumprod, "max": np.maximum.accumulate, "min": np.minimum.accumulate,
    "logsumexp": np.logaddexp.accumulate,
}  # fmt: skip


def _cumulative(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    return _RUNNING[str(node.attr("op"))](aligned(node.args[0], args[0], node.rank), axis=node.attr("axis"))


def _fft(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    axis, into = node.attr("axis"), node.attr("into")
    assert isinstance(axis, int) and isinstance(into, int)
    (x,) = node.args
    own = x.axes.index(axis)
    n = space[into]
    transform: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "fft": lambda v: (np.fft.ifft if dict(node.attrs).get("inverse") else np.fft.fft)(v, axis=own),
        "rfft": lambda v: np.fft.rfft(v, axis=own),
        "irfft": lambda v: np.fft.irfft(v, n, axis=own),
    }
    return aligned(Arg(x.node, tuple(into if p == axis else p for p in x.axes)), transform[node.op](args[0]), node.rank)


def _glu(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    (x,), axis = node.args, node.attr("axis")
    first, second = np.split(args[0], 2, axis=x.axes.index(-1))
    return aligned(Arg(x.node, tuple(axis if p < 0 else p for p in x.axes)), first * sigmoid(second), node.rank)  # type: ignore[misc]


def _rotation(node: Node, args: list[np.ndarray], space: list[int], sizes: Sizes) -> Any:
    (pairs, cos, sin), axis = node.args, node.attr("axis")
    assert isinstance(axis, int)
    x, y = np.moveaxis(args[0], pairs.axes.index(-1), 0)
    rest = tuple(p for p in pairs.axes if p >= 0)
    x, y = (aligned(Arg(pairs.node, rest), one, node.rank) for one in (x, y))
    c, s = (aligned(arg, one, node.rank) for arg, one in zip((cos, sin), args[1:], strict=True))
    return np.concatenate((x * c - y * s, x * s + y * c), axis)


_SPECIAL: dict[str, Callable[..., Any]] = {
    "activation": _activation,
    "difference": _difference,
    "glu": _glu,
    "rotation": _rotation,
    **dict.fromkeys(("fft", "rfft", "irfft"), _fft),
    "triangle": _triangle,
    **dict.fromkeys(("prefix_product", "prefix_sum"), _prefix_product),
    "cumulative": _cumulative, "wave": _wave, "harmonics": _harmonics,
    "gelu": _gelu, "softmax": _axiswise(_softmax), "standardize": _standardize, "rms_norm": _standardize, "conv": _conv,
    "conv_transpose": _conv_transpose, "long_conv": _long_conv,
    "group_norm": _group_norm,
    "log_softmax": _axiswise(_logged),
    "pool": _pool, "adaptive_max": _adaptive, "adaptive_mean": _adaptive, "pad_around": _pad_around,
    "window_product": _window_product,
    "take": _take, "class_loss": _class_loss,
    "put": _put, "index": _index, "pad": _pad,
    "gather": _gather, "roll": _roll, "arrange": _arrange,
    "row_sums": _row_sums, "chosen_row_sums": _row_sums, "row_products": _row_products,
    "grouped_product": _grouped_product,
    "sample": _sample, "merge": _merge, "split": _split, "fold": _fold,
    "finfo": lambda node, args, space, sizes: np.finfo(args[0].dtype).eps,
    "cast": lambda node, args, space, sizes: args[0],
}  # fmt: skip
