"""Operations on values: where they meet, and what they become.

In: values. Out: values. What always holds: values that meet along an axis have one size there (or an error shows both);
operands of primitives are let-bound; what has an order is real.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from namedlayers.errors import ArgumentError, Label, Span
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.lets import Lets, hint_of, hint_of_op
from namedlayers.program.elaboration.values import AxisSizes, Value
from namedlayers.program.kinds import orders, result_kind
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr

DEEPEST_TERM = 40
"""Terms that are nested deeper are cut by a let: whatever walks them may recurse."""


class Operations(Lets):
    __slots__ = ()

    def meet(self, values: Iterable[Value]) -> dict[str, SizeExpr]:
        """The union of the axes, in order of first appearance; a common axis must have one size."""
        union: dict[str, SizeExpr] = {}
        first: dict[str, Value] = {}
        for value in values:
            for axis, size in value.axes.items():
                if axis in union:
                    self.same_size(axis, union[axis], size, first[axis].span, value.span)
                else:
                    union[axis], first[axis] = size, value
        return union

    def unary(self, op: str, value: Value, span: Span) -> Value:
        self._check_order(op, (value,), span)
        kind = result_kind(op, (value.kind,))
        return self._cut(replace(value, draft=v.unary(op, value.draft), kind=kind, span=span))

    def binary(self, op: str, left: Value, right: Value, span: Span) -> Value:
        self._check_order(op, (left, right), span)
        axes = self.meet((left, right))
        virtual = frozenset(axes) - left.real_axes.keys() - right.real_axes.keys()
        kind = result_kind(op, (left.kind, right.kind))
        return self._cut(Value(v.binary(op, left.draft, right.draft), axes, kind, span, virtual))

    def reduce(self, op: str, value: Value, axes: Iterable[str], span: Span) -> Value:
        """The reduction over `axes`, all of which the value has."""
        gone = frozenset(axes)
        self._check_order(op, (value,), span)
        value = self.materialise(value, gone)
        left = {a: s for a, s in value.axes.items() if a not in gone}
        kind = result_kind(op, (value.kind,))
        draft = v.reduction(op, value.draft, gone)
        if not gone and kind is not value.kind:  # sum[](A) of booleans counts them all the same
            return replace(value, span=span)
        return self._cut(Value(draft, left, kind, span, value.virtual))

    def primitive(
        self,
        op: str,
        operands: tuple[Value, ...],
        axes: AxisSizes,
        span: Span,
        attrs: Mapping[str, Any] | None = None,
        *,
        kind: Kind | None = None,
        hint: str = "",
    ) -> Value:
        """A let-bound primitive. Axes of operands that are virtual and in `axes` stay virtual."""
        self._check_order(op, operands, span)
        real = {a for o in operands for a in o.real_axes}
        mentioned = _names_in(attrs)
        virtual = frozenset(
            a for a in axes if a not in real and any(a in o.virtual for o in operands) and a not in mentioned
        )
        drafts = tuple(self.operand(o) for o in operands)
        own = {a: s for a, s in axes.items() if a not in virtual}
        kind = kind or result_kind(op, [o.kind for o in operands])
        return self.let(
            Value(v.primitive(op, attrs or {}, drafts, own), dict(axes), kind, span, virtual),
            hint or hint_of_op(op),
        )

    def _cut(self, value: Value) -> Value:
        return self.let(value, hint_of(value.draft)) if value.draft.depth > DEEPEST_TERM else value

    def _check_order(self, op: str, operands: tuple[Value, ...], span: Span) -> None:
        if orders(op):
            for value in operands:
                if value.kind is Kind.COMPLEX:
                    raise ArgumentError(
                        "NL0211", "complex numbers have no order", Label(span), Label(value.span, "complex")
                    )


def _names_in(attrs: Any) -> set[str]:
    if isinstance(attrs, str):
        return {attrs}
    if isinstance(attrs, Mapping):
        attrs = tuple(attrs.values())
    return {name for one in attrs for name in _names_in(one)} if isinstance(attrs, tuple) else set()
