"""Functions of windows as windows of what the function gives, which is less to compute: squares, products of two.

In: an operand, or the factors of a contraction. Out: all ways to see it as windows, those first that are read as they
are. What always holds: operands of one function are read in the same windows, each at every coordinate as the others;
where they are padded, they are with 0, of which the function gives 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from namedlayers.plan.view import Scope, constant
from namedlayers.plan.windows import Windows, windows
from namedlayers.program.graph import Arg, Node

DEEPEST = 4
"""Functions of functions are seen through this often."""


def function_windows(scope: Scope, body: Arg, depth: int = DEEPEST) -> Iterator[Windows]:
    """`body` as windows, also where it is a function of windows."""
    yield from windows(scope, body)
    operands = _operands(scope, body)
    if not depth or not operands:
        return

    def function(*wholes: Arg) -> Arg:
        of = dict(zip(operands, wholes, strict=True))
        args = tuple(of.get(one, one) for one in scope.operands(body))
        axes = sorted({c for one in args for c in one.axes})
        return scope.build(body.node.op, args, axes, kind=body.node.kind, attrs=dict(body.node.attrs))

    found = [list(function_windows(scope, one, depth - 1)) for one in operands]
    for first in found[0]:
        views = [first, *(view for other in found[1:] for view in _alike(first, other))]
        if len(views) == len(operands) and (_is_full(first) or _is_zeros(first) and _keeps_zero(body.node)):
            made = over_sources(scope, views, function)
            yield replace(made, nodes=(body.node, *made.nodes))


def product_windows(scope: Scope, factors: Sequence[Arg]) -> Iterator[tuple[Windows, tuple[Arg, ...]]]:
    """Factors that are read in the same windows as windows of their product; the other factors."""
    found = [list(function_windows(scope, one)) for one in factors]
    for k, firsts in enumerate(found):
        for first in firsts:
            same = {j: view for j in range(k + 1, len(found)) for view in _alike(first, found[j])}
            if same and (_is_full(first) or _is_zeros(first)):
                views = (first, *same.values())
                product = over_sources(scope, views, lambda *wholes: _multiplied(scope, wholes))
                yield product, tuple(one for j, one in enumerate(factors) if j != k and j not in same)


def over_sources(scope: Scope, views: Sequence[Windows], function: Callable[..., Arg]) -> Windows:
    """Windows of an elementwise function of the sources of windows that are alike."""
    space = views[0].space
    spoken = {axis.terms: scope.fresh(axis.size, views[0].source.node.names[axis.own]) for axis in space}
    wholes = []
    for view in views:
        own = {axis.own: spoken[axis.terms] for axis in view.space}
        wholes.append(Arg(view.source.node, tuple(own.get(k, c) for k, c in enumerate(view.source.axes))))
    made = function(*wholes)
    gone = set(spoken.values())
    read = tuple(
        sorted((replace(axis, own=made.axes.index(spoken[axis.terms])) for axis in space), key=lambda a: a.own)
    )
    source = Arg(made.node, tuple(-1 if c in gone else c for c in made.axes))
    return Windows(source, read, tuple(dict.fromkeys(node for view in views for node in view.nodes)))


# --- helpers ----------------------------------------------------------------------------------------------------------

_OF_ONE = frozenset("pow mul div abs exp log sqrt relu sigmoid tanh neg".split())
_OF_TWO = frozenset("mul add sub".split())


def _operands(scope: Scope, body: Arg) -> tuple[Arg, ...]:
    """The tensors that an elementwise operation is of, if it is of no others."""
    node = body.node
    if node.op not in _OF_ONE | _OF_TWO or node.rank != len(node.space):
        return ()
    tensors = tuple(dict.fromkeys(one for one in scope.operands(body) if one.node.rank))
    if len(tensors) == 1:
        return tensors if node.op in _OF_ONE and sorted(tensors[0].axes) == sorted(body.axes) else ()
    return tensors if node.op in _OF_TWO else ()


def _alike(first: Windows, others: list[Windows]) -> list[Windows]:
    """The view that reads as `first` does, if there is one."""
    return [view for view in others if _reads(view) == _reads(first)][:1]


def _reads(view: Windows) -> frozenset[object]:
    return frozenset((axis.size, axis.terms, axis.padding, axis.turned) for axis in view.space)


def _is_full(view: Windows) -> bool:
    return all(axis.padding is None for axis in view.space)


def _is_zeros(view: Windows) -> bool:
    return all(axis.padding is None or axis.padding.value == 0 for axis in view.space)


def _keeps_zero(node: Node) -> bool:
    """Whether padding with 0 may be done after the function."""
    if node.op == "pow":
        power = constant(node.args[1].node)
        return isinstance(power, (int, float)) and power > 0
    tensors = all(one.node.rank for one in node.args)
    return node.op in ("abs", "relu", "tanh", "neg") or node.op in _OF_TWO and tensors


def _multiplied(scope: Scope, wholes: Sequence[Arg]) -> Arg:
    made = wholes[0]
    for one in wholes[1:]:
        made = scope.apply("mul", made, one)
    return made
