"""Statements: what is let-bound while a program is elaborated.

In: values. Out: the same values as leaves, and the list of statements. What always holds: a statement stands before all
that refers to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from namedlayers.errors import FormulaSyntaxError, Label, Span
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.state import Source, State
from namedlayers.program.elaboration.values import Draft, DraftStatement, Value
from namedlayers.program.size import SizeExpr

MOST_STATEMENTS = 20_000


class Lets(State):
    __slots__ = ()

    def let(self, value: Value, hint: str, span: Span | None = None) -> Value:
        """The same value as a leaf; leaves, literals and sizes are left as they are."""
        if value.draft.form in ("leaf", "const", "size"):
            return value
        if len(self.statements) >= MOST_STATEMENTS:
            raise FormulaSyntaxError(
                "NL0604", f"the formula makes more than {MOST_STATEMENTS} statements", Label(value.span)
            )
        name = self.new_name(hint)
        span = span or value.span
        if self.solver.site is not None and span.source is not self.solver.site.span.source:
            span = self.solver.site.span  # what a definition of another text computes, the user's text uses here
        axes = value.real_axes
        self.statements[name] = DraftStatement(name, axes, value.kind, value.draft, span, self.within)
        return replace(value, draft=v.leaf(name, axes))

    def find(self, name: str) -> DraftStatement | None:
        """The statement of this block or of one around it; None for an input."""
        for block in (self.statements, *reversed(self.outer)):
            if name in block:
                return block[name]
        return None

    def let_in(self, block: dict[str, DraftStatement], value: Value, hint: str) -> Value:
        """`let` in a block around the one that is elaborated."""
        own, self.statements = self.statements, block
        try:
            return self.let(value, hint)
        finally:
            self.statements = own

    def at_step(self, value: Value) -> Value:
        """What the blocks of scans around see of a value: at the current step, without the scanned axis."""
        for scan in self.scans:
            if scan.axis not in value.axes:
                continue
            shown = self.display.get(scan.axis, scan.axis)
            hint = (
                f"inside a scan every value with `{shown}` is seen at its step: rename the axis of one that is read "
                f"whole, `[{shown} -> {shown}']`, or make them equally long before the scan"
            )
            self.same_size(scan.axis, scan.size, value.axes[scan.axis], scan.span, value.span, hint)
            axes = {a: s for a, s in value.axes.items() if a != scan.axis}
            if scan.axis in value.virtual:
                value = replace(value, axes=axes, virtual=value.virtual - {scan.axis})
                continue
            bound = self.let_in(scan.around, value, hint_of(value.draft))
            real = {a: s for a, s in bound.real_axes.items() if a != scan.axis}
            name = scan.seen.get(bound.draft)
            if name is None:
                name = scan.seen[bound.draft] = self.new_name(bound.draft.parts[0])
                self.sources[name] = Source(real, value.kind, "data")
                self.aliases[name] = bound.draft
            value = replace(bound, draft=v.leaf(name, real), axes=axes)
        return value

    def coordinates(self, axis: str, size: SizeExpr, span: Span) -> Value:
        """The coordinates of an axis; of a scanned one, the current step's."""
        return self.at_step(v.coordinates(axis, size, span))

    def operand(self, value: Value) -> Draft:
        return self.let(value, hint_of(value.draft)).draft

    def materialise(self, value: Value, axes: Iterable[str]) -> Value:
        """The value with these of its axes made real where they were virtual."""
        wanted = {a: value.axes[a] for a in value.axes if a in value.virtual and a in set(axes)}
        if not wanted:
            return value
        operand = self.let(value, hint_of(value.draft))
        real = {a: s for a, s in value.axes.items() if a in wanted or a not in value.virtual}
        draft = v.primitive("expand", {"axes": tuple(wanted.items())}, (operand.draft,), real)
        return replace(value, draft=draft, virtual=value.virtual - frozenset(wanted))

    def inputs_of(self, value: Value) -> tuple[str, ...]:
        """The inputs that a value is computed from, in order."""
        found: dict[str, None] = {}
        seen: set[str] = set()
        waiting = [value.draft]
        while waiting:
            one = waiting.pop()
            if one.form != "leaf":
                waiting += one.parts[2] if one.form == "primitive" else [p for p in one.parts if isinstance(p, Draft)]
                continue
            name = one.parts[0]
            if name in seen:
                continue
            seen.add(name)
            statement = self.find(name)
            if name in self.aliases:
                waiting.append(self.aliases[name])
            elif statement is None:
                found[name] = None
            else:
                waiting.append(statement.draft)
        return tuple(sorted(found))


_HINTS = {
    **dict.fromkeys("lt le gt ge eq ne and or not any all".split(), "mask"),
    **dict.fromkeys("floordiv mod".split(), "position"),
    **dict.fromkeys("add sub mul div pow neg".split(), "term"),
    "where": "chosen", "expand": "wide", "sum": "total", "gather": "picked", "random": "drawn", "categorical": "drawn",
    "coord": "position",
}  # fmt: skip


def hint_of(draft: Draft) -> str:
    """A name for a value that the text does not name: what made it."""
    return hint_of_op(draft.parts[0] if draft.form in ("unary", "binary", "reduce", "primitive") else draft.form)


def hint_of_op(op: str) -> str:
    """A name for what an operation makes."""
    return _HINTS.get(op, op)
