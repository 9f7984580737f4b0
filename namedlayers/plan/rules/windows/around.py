"""Windows that go round the end of an axis, or stop there, by what is computed of their index: padding, and windows.

`X[x = (x + k) % |x|]` reads a circle, `X[x = clip(x + k - 1, 0, |x| - 1)]` the element at the end. What always holds:
every element is the one that the index reads.
"""

from __future__ import annotations

from dataclasses import dataclass

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.windows.convolution import MOST_SPACE_AXES, plain
from namedlayers.plan.view import Scope, is_number
from namedlayers.plan.windows import Affine, affine, reached, signed
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr


@dataclass(frozen=True, slots=True)
class _Around:
    """Axis `own` of the source is read at `reading`, of which the axis has `size` places."""

    own: int
    size: SizeExpr
    reading: Affine


def _windows(scope: Scope, node: Node) -> Outcome:
    spoken = node.attr("axes")
    assert isinstance(spoken, tuple)
    if node.attr("fill") or node.kind is not Kind.REAL or len(spoken) > MOST_SPACE_AXES:
        return None
    found, modes = [], set()
    for own, index in zip(spoken, node.args[1:], strict=True):
        size = node.args[0].node.sizes[own]
        seen = _mode(scope, index, size)
        reading = affine(scope, seen[1]) if seen is not None else None
        if seen is None or reading is None or len(reading.terms) != 2 or not signed(reading):
            return None
        modes.add(seen[0])
        found.append(_Around(own, size, reading))
    if len(modes) > 1:
        return Near("axes are padded in different ways, which is more than one kernel")
    return Match((tuple(found), *modes))


def _mode(scope: Scope, index: Arg, size: SizeExpr) -> tuple[str, Arg] | None:
    """How an index is brought back to an axis of this size, and what is brought back."""
    if index.node.op == "mod":
        inner, period = scope.operands(index)
        return ("circular", inner) if _is(scope, period, size) else None
    above = above_zero(scope, index)
    bounded = below(scope, above if above is not None else index, size - 1)
    if bounded is not None and above is None:
        bounded = above_zero(scope, bounded)
    return ("replicate", bounded) if bounded is not None else None


def above_zero(scope: Scope, arg: Arg) -> Arg | None:
    """The x of `maximum(x, 0)`."""
    operands = scope.operands(arg) if arg.node.op in ("relu", "maximum") else ()
    if arg.node.op == "relu":
        return operands[0]
    return next((x for x, bound in (operands, operands[::-1]) if is_number(bound, 0)), None) if operands else None


def below(scope: Scope, arg: Arg, bound: SizeExpr) -> Arg | None:
    """The x of `minimum(x, bound)`."""
    if arg.node.op != "minimum":
        return None
    operands = scope.operands(arg)
    return next((x for x, other in (operands, operands[::-1]) if _is(scope, other, bound)), None)


def _is(scope: Scope, arg: Arg, size: SizeExpr) -> bool:
    number = affine(scope, arg)
    return number is not None and not number.terms and number.offset == size


def _build(scope: Scope, node: Node, found: tuple[tuple[_Around, ...], str]) -> Arg:
    read, mode = found
    source = node.args[0]
    along, space, entries = {}, [], []
    for one in read:
        first, last = reached(one.reading, node.sizes)
        before, after = -first, last - one.size + 1
        along[one.own] = scope.fresh(one.size + before + after, source.node.names[one.own])
        space.append((one.own, along[one.own], plain(before), plain(after)))
        entries.append((one.own, one.reading.terms, one.reading.offset + before))
    axes = tuple(along.get(k, c) for k, c in enumerate(source.axes))
    attrs = {"space": tuple((k, axes.index(c), *more) for k, c, *more in space), "mode": mode}
    padded = scope.build("pad_around", (source,), axes, kind=node.kind, attrs=attrs, weak=node.weak)
    windows = Arg(padded.node, source.axes)
    return scope.build(
        "index", (windows,), range(node.rank), kind=node.kind, attrs={"entries": tuple(entries)}, weak=node.weak
    )


RULES = (Rule("windows around the end", "exact", ("gather",), _windows, _build),)
