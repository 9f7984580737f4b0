"""Fourier transforms of reals, there and back: half of the frequencies say it all.

The transform of reals at -f is the conjugate of that at f. What sums, products, quotients and conjugates make of such
transforms is so too; what its inverse gives is real, and is found from the frequencies up to n / 2.
"""

from __future__ import annotations

from dataclasses import dataclass

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

_ELEMENTWISE = frozenset("add sub mul div neg conj".split())


@dataclass(frozen=True, slots=True)
class _Inverse:
    """Of `spectrum` along the frequency `f`; `time` is the result's axis."""

    spectrum: Arg
    f: int
    time: int


def _real_part(scope: Scope, node: Node) -> Outcome:
    """real(ifft(transforms of reals))"""
    (inner,) = node.args
    if inner.node.op != "fft" or not inner.node.attr("inverse") or not scope.once(inner.node):
        return None
    axis, into = inner.node.attr("axis"), inner.node.attr("into")
    assert isinstance(axis, int) and isinstance(into, int)
    (spectrum,) = scope.operands(inner)
    f = _consumed(scope, inner, axis)
    if f is None or not _mirrored(scope, spectrum, f):
        return Near("what is transformed back is not made of transforms of reals alone")
    return Match(_Inverse(spectrum, f, inner.axes[into]), (inner.node,))


def _consumed(scope: Scope, arg: Arg, axis: int) -> int | None:
    """The coordinate of the operand that `arg` transforms."""
    for inner, outer in zip(arg.node.args, scope.operands(arg), strict=True):
        for position, coordinate in zip(inner.axes, outer.axes, strict=True):
            if position == axis:
                return coordinate
    return None


def _mirrored(scope: Scope, arg: Arg, f: int) -> bool:
    """Whether at -f is the conjugate of what is at f."""
    node = arg.node
    if f not in arg.axes:
        return node.kind is not Kind.COMPLEX
    if node.op in _ELEMENTWISE:
        return all(_mirrored(scope, one, f) for one in scope.operands(arg))
    return _is_transform(node) and arg.axes[_into(node)] == f


def _is_transform(node: Node) -> bool:
    return node.op == "fft" and not node.attr("inverse") and node.args[0].node.kind is Kind.REAL


def _into(node: Node) -> int:
    into = node.attr("into")
    assert isinstance(into, int)
    return into


def _build(scope: Scope, node: Node, found: _Inverse) -> Arg:
    size = scope.sizes[found.f]
    half = scope.fresh(size // 2 + 1, scope.names[found.f])
    spectrum = _halved(scope, found.spectrum, found.f, half)
    attrs = {"axis": node.rank, "into": found.time}
    return scope.build("irfft", (spectrum,), range(node.rank), (half,), kind=Kind.REAL, attrs=attrs)


def _halved(scope: Scope, arg: Arg, f: int, half: int) -> Arg:
    """`arg` at the frequencies up to n / 2."""
    node = arg.node
    if f not in arg.axes:
        return arg
    if node.op in _ELEMENTWISE:
        return scope.apply(node.op, *(_halved(scope, one, f, half) for one in scope.operands(arg)), kind=node.kind)
    (x,) = scope.operands(arg)
    axis = node.attr("axis")
    assert isinstance(axis, int)
    time = _consumed(scope, arg, axis)
    assert time is not None
    result = sorted(half if c == f else c for c in arg.axes)
    attrs = {"axis": len(result), "into": result.index(half)}
    return scope.build("rfft", (x,), result, (time,), kind=Kind.COMPLEX, attrs=attrs)


RULES = (Rule("Fourier transform of reals", "exact", ("real",), _real_part, _build),)
