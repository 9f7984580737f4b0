"""What kernels need of sizes: an operation that is planned only where its axes are long enough says so here.

In: a node. Out: the `Guard`s that are not true for all sizes. What always holds: a node without guards can be computed
for all sizes; `impossible` tells a guard that holds for none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from namedlayers.plan.plan import Guard
from namedlayers.program.graph import Node
from namedlayers.program.size import SizeExpr, SizeLike, const, size_expr


def requirements(node: Node) -> tuple[Guard, ...]:
    """The guards of one node; those that hold for all sizes are left out."""
    needs = _NEEDS.get(node.op)
    if needs is None:
        return ()
    return tuple(dict.fromkeys(guard for guard in needs(node) if not _certain(guard)))


def impossible(guard: Guard) -> bool:
    """Whether a guard of `requirements` fails for all sizes."""
    return (guard.right - guard.left - 1).nonnegative


# --- helpers ----------------------------------------------------------------------------------------------------------


def _certain(guard: Guard) -> bool:
    return (guard.left - guard.right).nonnegative


def _at_least(size: SizeLike, least: SizeLike) -> Guard:
    return Guard(size_expr(size), ">=", size_expr(least))


def _convolution(node: Node) -> Iterator[Guard]:
    """No axis of the weights is empty, and at least one window fits."""
    space = node.attr("space")
    assert isinstance(space, tuple)
    for _, position, *_ in space:
        yield _at_least(node.space[position], 1)
    for position in sorted(node.args[1].axes):
        yield _at_least(node.space[position], 1)


def _pool(node: Node) -> Iterator[Guard]:
    space = node.attr("space")
    assert isinstance(space, tuple)
    for _, position, kernel, *_ in space:
        yield _at_least(node.space[position], 1)
        yield _at_least(kernel, 1)


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


_NEEDS: dict[str, Callable[[Node], Iterator[Guard]]] = {
    "conv": _convolution,
    "pool": _pool,
    "extreme": _extreme,
    "statistic": _statistic,
}
