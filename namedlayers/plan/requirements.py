"""What kernels need of sizes: an operation that is planned only where its axes are long enough says so here.

In: a node. Out: the `Guard`s that are not true for all sizes. What always holds: a node without guards can be computed
for all sizes; `impossible` tells a guard that holds for none; `together` says the same as its guards in fewer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from namedlayers.plan.plan import Guard
from namedlayers.plan.view import constant
from namedlayers.program.graph import Node
from namedlayers.program.size import Floor, SizeExpr, SizeLike, const, size_expr


def requirements(node: Node) -> tuple[Guard, ...]:
    """The guards of one node; those that hold for all sizes are left out."""
    needs = _NEEDS.get(node.op)
    if needs is None:
        return ()
    return tuple(dict.fromkeys(guard for guard in needs(node) if not _certain(guard.left, guard.right)))


def impossible(guard: Guard) -> bool:
    """Whether a guard of `requirements` fails for all sizes."""
    return _certain(guard.right - 1, guard.left)


def together(guards: Iterable[Guard]) -> tuple[Guard, ...]:
    """Fewer guards: floors are solved, what others imply is left out, plain sizes make one product.

    >>> from namedlayers.program.size import symbol
    >>> n, k = symbol("n"), symbol("k")
    >>> windows, strided = _at_least(n - k + 1, 1), _at_least((n - k) // 2 + 1, 1)
    >>> for guard in together([windows, strided, _at_least(n, 1), _at_least(k, 1)]):
    ...     print(guard.left, guard.relation, guard.right)
    |k| * |n| >= 1
    |n| - |k| >= 0
    """
    least = sorted({_unfloored(guard.left - guard.right) for guard in guards}, key=str)
    plain: SizeExpr = const(1)
    others: list[SizeExpr] = []
    for size in least:
        if (size + 1).nonnegative:
            plain = plain * (size + 1)
        elif not any(o != size and (size - o).nonnegative for o in least):
            others.append(size)
    found = [_at_least(plain, 1)] if plain != 1 else []
    return (*found, *(_at_least(size - _constant(size), -_constant(size)) for size in others))


# --- helpers ----------------------------------------------------------------------------------------------------------


@lru_cache(4096)
def _certain(left: SizeExpr, right: SizeExpr) -> bool:
    return (left - right).nonnegative


def _unfloored(size: SizeExpr) -> SizeExpr:
    """What is >= 0 exactly when `size` is: `p // d + r >= 0` means `p >= -r * d`."""
    for monomial, c in size.terms:
        if c == 1 and len(monomial) == 1 and isinstance(monomial[0], Floor):
            floor = monomial[0]
            if floor.denominator.value is not None and floor.denominator.value > 0:
                rest = size - SizeExpr({monomial: 1})
                return _unfloored(floor.numerator + rest * floor.denominator)
    return size


def _constant(size: SizeExpr) -> int:
    return dict(size.terms).get((), 0)


def _at_least(size: SizeLike, least: SizeLike) -> Guard:
    return Guard(size_expr(size), ">=", size_expr(least))


def _convolution(node: Node) -> Iterator[Guard]:
    """No axis of the weights or of space is empty, at least one window fits, and padding adds."""
    space = node.attr("space")
    assert isinstance(space, tuple)
    for source, position, _, _, _, before, after in space:
        yield _at_least(node.args[0].node.sizes[source], 1)
        yield _at_least(node.space[position], 1)
        yield _at_least(before, 0)
        yield _at_least(after, 0)
    for position in sorted(node.args[1].axes):
        yield _at_least(node.space[position], 1)


def _long_convolution(node: Node) -> Iterator[Guard]:
    """The same; what is gone round is gone round once at most."""
    yield from _convolution(node)
    if node.attr("around"):
        space = node.attr("space")
        assert isinstance(space, tuple)
        ((source, *_, before, after),) = space
        for more in (before, after):
            yield _at_least(node.args[0].node.sizes[source], more)


def _pool(node: Node) -> Iterator[Guard]:
    """At least one window fits, and no axis is empty: torch's pools take no empty channels, and nothing but padding."""
    space = node.attr("space")
    assert isinstance(space, tuple)
    for size in node.sizes:
        yield _at_least(size, 1)
    for source, _, kernel, *_ in space:
        yield _at_least(node.args[0].node.sizes[source], 1)
        yield _at_least(kernel, 1)


def _pad_around(node: Node) -> Iterator[Guard]:
    space = node.attr("space")
    assert isinstance(space, tuple)
    source = node.args[0].node
    for size in source.sizes:
        yield _at_least(size, 1)
    for own, _, before, after in space:
        for more in (before, after):
            yield _at_least(more, 0)
            if node.attr("mode") != "replicate":
                yield _at_least(source.sizes[own], more + (node.attr("mode") == "reflect"))


def _real_fft(node: Node) -> Iterator[Guard]:
    for size in node.space:
        yield _at_least(size, 1)


def _adaptive(node: Node) -> Iterator[Guard]:
    for size in (*node.sizes, *node.args[0].node.sizes):
        yield _at_least(size, 1)


def _extreme(node: Node) -> Iterator[Guard]:
    for size in node.space[node.rank :]:
        yield _at_least(size, 1)


def _statistic(node: Node) -> Iterator[Guard]:
    """More values than degrees of freedom that are taken away; ddof 0 is fine for none too."""
    ddof = node.attr("ddof")
    assert isinstance(ddof, int)
    if ddof:
        total: SizeExpr = const(1)
        for size in node.space[node.rank :]:
            total = total * size
        yield _at_least(total, ddof + 1)


def _standardize(node: Node) -> Iterator[Guard]:
    """Where the weights lie along a channel, nothing is empty."""
    along = {p for arg in node.args[2:] for p in arg.axes}
    if along and along != set(node.attr("axes")):  # type: ignore[call-overload]
        for size in node.space:
            yield _at_least(size, 1)


def _network(node: Node) -> Iterator[Guard]:
    """There is a step, and neither states nor inputs are empty."""
    axis, hidden = node.attr("axis"), node.attr("hidden")
    assert isinstance(axis, int) and isinstance(hidden, tuple)
    for position in (axis, *hidden, *range(node.rank, len(node.space))):
        yield _at_least(node.space[position], 1)


def _group_norm(node: Node) -> Iterator[Guard]:
    for size in node.space:
        yield _at_least(size, 1)


def _batch_norm(node: Node) -> Iterator[Guard]:
    """There is a channel; in training, more than one value of each."""
    axes = node.attr("axes")
    assert isinstance(axes, tuple)
    total: SizeExpr = const(1)
    for position in range(node.rank):
        if position in axes:
            total = total * node.space[position]
        else:
            yield _at_least(node.space[position], 1)
    yield _at_least(total, 1 if node.attr("rate") is None else 2)


def _embedding(node: Node) -> Iterator[Guard]:
    axis, row = node.attr("axis"), node.attr("row")
    assert isinstance(axis, int) and isinstance(row, int)
    yield _at_least(node.args[0].node.sizes[axis], row + 1)


def _class_loss(node: Node) -> Iterator[Guard]:
    """Where something is left out, there are classes; it may be one of them."""
    axis, roles = node.attr("axis"), node.attr("roles")
    assert isinstance(axis, int) and isinstance(roles, tuple)
    if "ignored" in roles or "kept" in roles:
        ignored = constant(node.args[2].node) if roles[0] == "ignored" else None
        yield _at_least(node.args[0].node.sizes[axis], max(ignored, 0) + 1 if isinstance(ignored, int) else 1)


_NEEDS: dict[str, Callable[[Node], Iterator[Guard]]] = {
    "conv": _convolution,
    "conv_transpose": _convolution,
    "long_conv": _long_convolution,
    "pool": _pool,
    **dict.fromkeys(("adaptive_max", "adaptive_mean", "sample"), _adaptive),
    "rfft": _real_fft,
    "irfft": _real_fft,
    "pad_around": _pad_around,
    "extreme": _extreme,
    "extreme_contract": _extreme,
    "statistic": _statistic,
    "standardize": _standardize,
    "rnn": _network,
    "gru": _network,
    "lstm": _network,
    "batch_norm": _batch_norm,
    "embedding": _embedding,
    "class_loss": _class_loss,
    "group_norm": _group_norm,
}
