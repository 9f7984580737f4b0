"""Derivatives of norms.

What always holds: means and deviations are values of their own, which do not depend on what comes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from namedlayers.plan.scans.derivatives.pulled import pulled_back
from namedlayers.plan.scans.derivatives.term import Back, Term, axes_of
from namedlayers.plan.view import constant
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

Affine = Mapping[str, Term]


def _standardize(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    """Weights over the same axes are part of torch's kernel."""
    x, eps, *rest = operands
    axes, affine = axes_of(node), _affine(node, rest)
    mean, inverse, scaled = _moments(x, eps, axes)
    inside = "weight" in affine and set(affine["weight"].arg.axes) == set(axes)
    slope = g if inside or "weight" not in affine else g * affine["weight"]
    args = [one.arg for one in (slope, x, mean, inverse, *([affine["weight"]] if inside else []))]
    order = range(node.rank)
    made = g.scope.build("standardize_back", args, order, kind=Kind.REAL, attrs={"axes": axes})
    return Term(g.scope, made), None, *_parameters(node, g, scaled)


def _batch_norm(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    """With a rate it is standardized by what there is. Nothing comes back to running statistics."""
    x, eps, mean, var, *rest = operands
    if node.attr("rate") is not None:
        back, none, *parameters = _standardize(node, g, (x, eps, *rest))
        return back, none, _nothing(g), _nothing(g), *parameters
    affine, inverse = _affine(node, rest), 1 / (var + eps)("sqrt")
    back = g * (affine["weight"] * inverse if "weight" in affine else inverse)
    return back, None, _nothing(g), _nothing(g), *_parameters(node, g, (x - mean) * inverse)


def _rms_norm(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...]:
    x, eps, *rest = operands
    axes, affine = axes_of(node), _affine(node, rest)
    inverse = 1 / (_statistic(x * x, "mean", axes) + eps)("sqrt")
    slope = g * affine["weight"] if "weight" in affine else g
    scaled = x * inverse
    back = slope * inverse - scaled * (_statistic(slope * scaled, "mean", axes) * inverse)
    return back, None, *_parameters(node, g, scaled)


def _group_norm(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...] | None:
    x, eps, *rest = operands
    affine = _affine(node, rest)
    attrs = dict(node.attrs) | {"affine": ()}
    plain = g.scope.build("group_norm", (x.arg, eps.arg), range(node.rank), kind=Kind.REAL, attrs=attrs)
    slope = g * affine["weight"] if "weight" in affine else g
    back = pulled_back(plain.node, slope, 0)
    if back is None:
        return None
    return Term(g.scope, Arg(back.arg.node, x.arg.axes)), None, *_parameters(node, g, Term(g.scope, plain))


def _parameters(node: Node, g: Term, scaled: Term) -> Sequence[Term]:
    """What comes back to weight and bias, as far as they are there."""
    affine = node.attr("affine")
    assert isinstance(affine, tuple)
    return [g * scaled if name == "weight" else g for name in affine]


def _nothing(g: Term) -> Term:
    return Term(g.scope, g.scope.number(0.0))


def _moments(x: Term, eps: Term, axes: Sequence[int]) -> tuple[Term, Term, Term]:
    """The mean, one by the root of variance and eps, and what is standardized by them: all in one pass of torch's
    kernel, which takes eps as a number."""
    if constant(eps.arg.node) is None:
        apart = x - _statistic(x, "mean", axes)
        inverse = 1 / (_spread(apart, axes) + eps)("sqrt")
        return _statistic(x, "mean", axes), inverse, apart * inverse
    scope, pair = x.scope, (x.arg, eps.arg)
    kept = sorted(c for c in x.arg.axes if c not in axes)
    mean, inverse = (
        Term(scope, scope.build("moment", pair, kept, axes, kind=Kind.REAL, attrs={"which": which}))
        for which in ("mean", "inverse")
    )
    every = sorted(x.arg.axes)
    along = tuple(every.index(c) for c in axes)
    return mean, inverse, Term(scope, scope.build("standard", pair, every, kind=Kind.REAL, attrs={"axes": along}))


def _statistic(x: Term, op: str, axes: Sequence[int]) -> Term:
    attrs = {"op": op, "ddof": 0}
    kept = [c for c in x.arg.axes if c not in axes]
    return Term(x.scope, x.scope.build("statistic", (x.arg,), sorted(kept), axes, kind=Kind.REAL, attrs=attrs))


def _spread(apart: Term, axes: Sequence[int]) -> Term:
    """The variance of what is apart from its mean, of which no square is larger than it is itself. (torch's own kernel
    takes ten times as long.)"""
    length = _statistic(apart, "norm", axes)
    for c in axes:
        length = length / Term(apart.scope, apart.scope.size(apart.scope.sizes[c]))("sqrt")
    return length * length


def _affine(node: Node, operands: Sequence[Term]) -> Affine:
    affine = node.attr("affine")
    assert isinstance(affine, tuple)
    return dict(zip(affine, operands, strict=True))


TABLE: Mapping[str, Back] = {
    "standardize": _standardize,
    "batch_norm": _batch_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
}
