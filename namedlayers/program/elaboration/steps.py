"""A value on its way through the brackets after it: entries are applied one kind after the other.

In: the value and its entries. Out: the base of `reading` and `reshaping`. What always holds: entries apply at once, as
far as their author can see: axes that steps make bear names of their own until `finish` settles them.
"""

from __future__ import annotations

from dataclasses import dataclass

from namedlayers.errors import AxisError, Label, Span
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.values import Environment, Value
from namedlayers.program.size import SizeExpr
from namedlayers.syntax import tree


@dataclass(frozen=True, slots=True)
class Plain:
    """An entry with its stars expanded: sources and targets are axes of the text, one by one."""

    sources: tuple[tree.Axis, ...]
    targets: tuple[tree.Axis, ...] | None
    value: tree.Expr | tree.Slice | None
    env: Environment
    span: Span


class Steps:
    """`value` is what has become of `base` so far; `final` the names that axes get in the end."""

    def __init__(self, ctx: Context, expr: tree.Index, base: Value, sources: dict[str, Plain]) -> None:
        self.ctx, self.span, self.value, self.sources = ctx, expr.span, base, sources
        self.base = base
        self.final: dict[str, str] = {}

    def finish(self) -> Value:
        """The value with its axes under their final names, which must be different."""
        value, final = self.value, self.final
        axes: dict[str, SizeExpr] = {}
        for axis, size in value.axes.items():
            name = final.get(axis, axis)
            if name in axes:
                place = self.ctx.places.get(name, self.span)
                own = place.source is self.span.source and self.span.start <= place.start < self.span.end
                raise AxisError(
                    "NL0304", f"the result would have axis {self.ctx.shown([name])} twice",
                    Label(place if own else self.span), Label(self.base.span, f"this {self.ctx.axes_of(self.base)}"),
                    hint="choose a name that is free",
                )  # fmt: skip
            axes[name] = size
        virtual = frozenset(final.get(a, a) for a in value.virtual)
        draft = value.draft
        if draft.form == "leaf":
            name, old = draft.parts
            draft = v.Draft("leaf", (name, tuple((final.get(a, a), s) for a, s in old)))
        return Value(draft, axes, value.kind, self.span, virtual)

    def _shown(self, one: Plain) -> str:
        """The entry's axis as the user knows it: inside a definition of the prelude, the caller's name."""
        (axis,) = self.ctx.axis(one.sources[0], one.env)
        return self.ctx.display.get(axis, axis)

    def _temporary(self, hint: str) -> str:
        return self.ctx.new_axis(hint)

    def _hint(self) -> str:
        form, parts = self.base.draft.form, self.base.draft.parts
        return parts[0] if form == "leaf" else ""
