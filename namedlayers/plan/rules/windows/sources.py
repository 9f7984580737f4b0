"""Convolutions written as sums over where values come from: the same as sums over the places of the kernel.

`sum[s](X[s] * W[k = s - t; fill = 0])` is what `sum[k](X[s = t + k; fill = 0] * W[k])` is, which other rules know: each
pair of a source and a place of the kernel is there once in both, and what is read out of range is 0. What always holds:
the sources are as many as the results, or results are apart, so that X is what windows go over, and not W.
"""

from __future__ import annotations

from dataclasses import dataclass

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.contractions.contraction import contraction
from namedlayers.plan.rules.linear_forms import Form, linear_form
from namedlayers.plan.view import Scope, is_number
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import const


@dataclass(frozen=True, slots=True)
class _Read:
    """Axis `own` of the kernel is read at `form`, in which `axis` of the source is the summed one."""

    own: int
    form: Form
    axis: int


@dataclass(frozen=True, slots=True)
class _Found:
    kernel: Arg
    reads: tuple[_Read, ...]
    source: Arg
    others: tuple[Arg, ...]


def _by_sources(scope: Scope, node: Node) -> Outcome:
    for place, read in enumerate(node.args):
        if read.node.op == "gather" and read.node.kind is Kind.REAL and read.node.attr("fill"):
            found = _found(scope, node, read, node.args[:place] + node.args[place + 1 :])
            if found is not None:
                return Match(found, (read.node,))
    return None


def _found(scope: Scope, node: Node, read: Arg, others: tuple[Arg, ...]) -> _Found | None:
    spoken = read.node.attr("axes")
    assert isinstance(spoken, tuple)
    kernel, *indices, value = scope.operands(read)
    forms = [linear_form(scope, index) for index in indices]
    if not is_number(value, 0) or any(form is None for form in forms):
        return None
    reads = []
    for own, form in zip(spoken, forms, strict=True):
        assert form is not None
        found = _read(scope, node.rank, own, form, kernel)
        if found is None:
            return None
        reads.append(found)
    axes = {one.axis for one in reads}
    beside = [one for one in others if axes & set(one.axes)]
    if len(axes) != len(reads) or len(beside) != 1 or axes & set(kernel.axes):
        return None
    (source,) = beside
    if source.node.kind is not Kind.REAL or not all(source.axes.count(axis) == 1 for axis in axes):
        return None
    return _Found(kernel, tuple(reads), source, tuple(one for one in others if one is not source))


def _read(scope: Scope, rank: int, own: int, form: Form, kernel: Arg) -> _Read | None:
    """One axis, if windows go over what has the summed axis: of a place of the result and one that is summed, with
    opposite signs."""
    steps = {c: step.value for c, step in form.items() if c is not None}
    if len(steps) != 2 or None in steps.values():
        return None
    for axis, result in (tuple(steps), tuple(steps)[::-1]):
        step, stride = steps[axis], steps[result]
        assert step is not None and stride is not None
        if axis < rank or result >= rank or abs(step) != 1 or step * stride >= 0:
            continue
        shorter = kernel.node.sizes[own] != scope.sizes[axis] == scope.sizes[result]
        return _Read(own, form, axis) if shorter or abs(stride) > 1 else None
    return None


def _build(scope: Scope, node: Node, found: _Found) -> Arg:
    """The source is read where k = step * s + …, so at s = step * (k - …)."""
    kernel, source = found.kernel.node, found.source.node
    indices, places = [], {}
    for one in found.reads:
        k = places[one.own] = scope.fresh(kernel.sizes[one.own], kernel.names[one.own])
        step = one.form[one.axis]
        slopes = {k: step} | {c: -step * slope for c, slope in one.form.items() if c not in (None, one.axis)}
        index = scope.size(-step * one.form.get(None, const(0)))
        for c, slope in slopes.items():
            assert c is not None
            index = scope.apply("add", index, scope.apply("mul", scope.size(slope), scope.coordinate(c)))
        indices.append(index)
    gone = [one.axis for one in found.reads]
    spoken = Arg(source, tuple(-1 if c in gone else c for c in found.source.axes))
    axes = sorted({c for one in (spoken, *indices) for c in one.axes if c >= 0})
    attrs = {"axes": tuple(found.source.axes.index(axis) for axis in gone), "fill": True}
    operands = (spoken, *indices, scope.number(0))
    read = scope.build("gather", operands, axes, kind=source.kind, attrs=attrs, weak=source.weak)
    whole = Arg(kernel, tuple(places.get(at, c) for at, c in enumerate(found.kernel.axes)))
    consumed = {*range(node.rank, len(node.space)), *places.values()} - set(gone)
    return contraction(scope, [read, whole, *found.others], consumed)


RULES = (Rule("sum over sources", "algebraic", ("contract",), _by_sources, _build),)
