"""What is shared while one program is elaborated: names, axes, sizes, statements.

In: values. Out: values, and the list of statements. What always holds: values that meet along an axis have one size
there (or an error shows both); operands of primitives are let-bound; names of statements and of axes are unique.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from namedlayers.errors import (
    ArgumentError,
    AxisError,
    FormulaError,
    FormulaSyntaxError,
    Label,
    SizeError,
    Span,
    near_miss,
)
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.owned import Owned
from namedlayers.program.elaboration.values import (
    AxisSizes,
    Draft,
    DraftStatement,
    Environment,
    Evaluated,
    Instance,
    Several,
    Static,
    Value,
)
from namedlayers.program.kinds import orders, result_kind
from namedlayers.program.program import Check, Kind
from namedlayers.program.size import SizeExpr, const, size_expr
from namedlayers.program.solver import Solver
from namedlayers.program.spec import NeedsStatic
from namedlayers.syntax import tree

DEEPEST_TERM = 40
"""Terms that are nested deeper are cut by a let: whatever walks them may recurse."""

MOST_STATEMENTS = 20_000

MOST_STEPS = 1_000_000
"""Expressions that are evaluated for one program, where a call counts for `CALL` of them."""

CALL = 20


@dataclass(frozen=True, slots=True)
class Source:
    """What a leaf may refer to that no statement computes: an input of the program or of a body."""

    axes: AxisSizes
    kind: Kind
    role: Literal["data", "parameter", "option"]


@dataclass(frozen=True, slots=True)
class Stepping:
    """A `scan` whose block is being elaborated: values along `axis` are `seen` at the current step, each as an input of
    the body that stands for a leaf `around` it."""

    axis: str
    size: SizeExpr
    span: Span
    around: dict[str, DraftStatement]
    seen: dict[Draft, str]


@dataclass(slots=True)
class Context:
    """`evaluate`, `run` (a whole definition's body) and `run_block` are the elaborator's own functions, for those that
    it calls and that call it back.

    `statements` are those of the block that is elaborated; `outer` those of the blocks around it.
    """

    evaluate: Callable[[tree.Expr, Environment], Evaluated]
    run: Callable[[tuple[tree.Statement, ...], Environment], Evaluated | None]
    run_block: Callable[[tuple[tree.Statement, ...], Environment], Evaluated | None]
    solver: Solver = field(default_factory=Solver)
    statements: dict[str, DraftStatement] = field(default_factory=dict)
    outer: list[dict[str, DraftStatement]] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    aliases: dict[str, Draft] = field(default_factory=dict)
    """Inputs of bodies that stand for a value outside, seen at the current step."""
    carried: dict[str, str] = field(default_factory=dict)
    """Inputs of bodies that go from step to step, with the names that the text has for them."""
    scans: tuple[Stepping, ...] = ()
    lifted: AxisSizes = field(default_factory=dict)
    """The extra axes over which the definitions around are lifted."""
    uses: tuple[Span, ...] = ()
    """Where the instances around are applied."""
    round: tuple[str, ...] = ()
    """The path of the round of a `repeat` that is elaborated as a body: names inside leave it out."""
    owned: Owned = field(default_factory=Owned)
    builtins: frozenset[str] = frozenset()
    modes: Mapping[str, bool] = field(default_factory=dict)
    """What `training` is in parts where it differs from the whole, by path."""
    sites: int = 0
    """How many random draws there are so far."""
    scalars: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    axes: set[str] = field(default_factory=set)
    display: dict[str, str] = field(default_factory=dict)
    within: tuple[str, ...] = ()
    calling: tuple[tree.Definition, ...] = ()
    sized: dict[str, Span] = field(default_factory=dict)
    """Where the user's text gave an axis its size."""
    numbers: dict[tuple[str, str, int], int] = field(default_factory=dict)
    steps: int = 0
    places: dict[str, Span] = field(default_factory=dict)
    """Where the user's text named an axis last: in the brackets of a call, or where a size was given."""

    # --- names --------------------------------------------------------------------------------------------------------

    def new_name(self, hint: str) -> str:
        name = self._unique(hint, self.names, self.axes) if hint in self.names else hint
        self.names.add(name)
        return name

    def new_axis(self, hint: str) -> str:
        axis = self._unique(hint, self.axes)
        self.axes.add(axis)
        self.display[axis] = hint
        return axis

    def _unique(self, hint: str, *taken: set[str]) -> str:
        """`hint`, or `hint_2`, `hint_3`, … if that is taken; the search goes on where the last one ended."""
        if not any(hint in names for names in taken):
            return hint
        stem, primes = re.fullmatch(r"(.*?)(?:_\d+)?('*)", hint, re.DOTALL).groups()  # type: ignore[union-attr]
        number = self.numbers.get((stem, primes, len(taken)), 1) + 1
        while any(f"{stem}_{number}{primes}" in names for names in taken):
            number += 1
        self.numbers[stem, primes, len(taken)] = number
        return f"{stem}_{number}{primes}"

    def step(self, span: Span, cost: int = 1) -> None:
        """Count what is evaluated. Raises FormulaSyntaxError when it is too much: blocks and definitions multiply."""
        self.steps += cost
        if self.steps > MOST_STEPS:
            raise FormulaSyntaxError(
                "NL0604", "the formula is too large once its blocks and definitions are written out", Label(span)
            )

    def shown(self, axes: Iterable[str]) -> str:
        """Axes as messages name them: `` `key` and `seq` ``."""
        listed = [f"`{self.display.get(axis, axis)}`" for axis in axes]
        return " and ".join(listed) if len(listed) < 3 else ", ".join(listed[:-1]) + f" and {listed[-1]}"

    def axes_of(self, value: Value) -> str:
        """What axes a value has, in words."""
        return f"has {self.shown(value.axes)}" if value.axes else "has no axes"

    def place(self, axis: str, span: Span) -> None:
        """Note where an axis is named, for errors about it; the user's own text only."""
        if not span.source.shipped:
            self.places[axis] = span

    # --- statements ---------------------------------------------------------------------------------------------------

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
            self.same_size(scan.axis, scan.size, value.axes[scan.axis], scan.span, value.span)
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

    # --- where values meet --------------------------------------------------------------------------------------------

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

    def same_size(self, axis: str, left: SizeExpr, right: SizeExpr, one: Span, other: Span) -> None:
        if left is right:
            return
        shown = self.display.get(axis, axis)
        labels = (Label(other, f"`{shown}` here is {{right}}"),) * (one != other)
        self.solver.require(
            Check(
                left, "==", right, "NL0402", f"axis `{shown}` has size {{left}} on one side and {{right}} on the other",
                (Label(one, f"`{shown}` here is {{left}}"), *labels),
            )
        )  # fmt: skip

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
            hint or _HINTS.get(op, op),
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

    # --- axes in an environment ---------------------------------------------------------------------------------------

    def axis(self, node: tree.Axis, env: Environment) -> tuple[str, ...]:
        """The axes that a name stands for: one, or those of a star. An unknown name is an error."""
        found = env.axes.get(node.name)
        if found is None:
            raise AxisError(
                "NL0302", f"there is no axis `{node.name}` here", Label(node.span),
                hint=near_miss(node.name, env.axes) or self._known_axes(env),
            )  # fmt: skip
        env.used_axes.add(node.name)
        if isinstance(found, tuple) != node.star:
            raise AxisError(
                "NL0309",
                f"`{node.name}` stands for {'several axes' if isinstance(found, tuple) else 'one axis'}",
                Label(node.span),
                hint=f"write `*{node.name}`" if isinstance(found, tuple) else f"write `{node.name}` without the star",
            )
        return found if isinstance(found, tuple) else (found,)

    def introduce(self, node: tree.Axis, env: Environment, size: SizeExpr | None = None) -> str:
        """The axis of a name, made new where the environment does not know it; a size given becomes an equation."""
        if node.star:
            self.axis(node, env)
            raise AxisError("NL0309", f"`*{node.name}` stands for several axes; one is needed here", Label(node.span))
        env.used_axes.add(node.name)
        found = env.axes.get(node.name)
        if isinstance(found, tuple):
            self.axis(node, env)
        if found is None:
            found = env.axes[node.name] = self.new_axis(node.name)
        assert isinstance(found, str)
        if size is None and node.size is not None:
            size = self.length(node, env)
        if size is not None:
            if found in env.declared and found in env.sizes:
                earlier = self.sized.get(found, node.span)
                also = (Label(earlier, f"`{node.name}` has size {{left}} here"),) * (earlier != node.span)
                self.solver.require(
                    Check(
                        env.sizes[found], "==", size, "NL0403",
                        f"axis `{node.name}` has size {{left}}, not {{right}}", (Label(node.span), *also),
                    )
                )  # fmt: skip
            else:
                self.record(found, size, env)
        self.place(found, node.span)
        if node.size is not None and not node.span.source.shipped:
            self.sized.setdefault(found, node.span)
        return found

    def known_size(self, axis: str, size: SizeExpr) -> tuple[Label, ...]:
        """Where the text says how long an axis is, for errors; a call's report tells it of what a call decides."""
        known, place = self.solver.normal(size).value, self.sized.get(axis)
        if known is None or place is None:
            return ()
        return (Label(place, f"`{self.display.get(axis, axis)}` has size {known} here"),)

    def record(self, axis: str, size: SizeExpr, env: Environment) -> None:
        """Note the size that a computed value has along an axis, for `|axis|` of axes that are not declared."""
        if axis in env.declared and axis in env.sizes:
            return
        known = env.sizes.get(axis)
        if known is None:
            env.sizes[axis] = size
        elif self.solver.normal(known) != self.solver.normal(size):
            env.clashing.add(axis)

    def size_of(self, node: tree.Axis, env: Environment) -> SizeExpr:
        """`|axis|`; of a star, the product."""
        product = const(1)
        for axis in self.axis(node, env):
            if axis in env.clashing:
                raise SizeError(
                    "NL0404", f"axis `{node.name}` has different sizes in different values", Label(node.span),
                    hint=f"ask for one value's: `size[{node.name}](…)`",
                )  # fmt: skip
            if axis not in env.sizes:
                place = self.places.get(axis, node.span)
                env.sizes[axis] = self.solver.fresh(
                    self.display.get(axis, node.name), Label(place, "its size is needed")
                )
                env.declared.add(axis)
            product = product * env.sizes[axis]
        return self.solver.normal(product)

    # --- static values ------------------------------------------------------------------------------------------------

    def value(self, found: Evaluated, span: Span) -> Value:
        """An evaluated expression as a tensor. Raises FormulaError for strings, definitions and several results."""
        if isinstance(found, Value):
            return found
        if isinstance(found, Static):
            number = found.value
            if isinstance(number, SizeExpr):
                return v.size_value(self.solver.normal(number), span)
            if isinstance(number, (bool, int, float, complex)):
                return v.constant(self._fitting(number, span), span)
            what = "a string" if isinstance(number, str) else "a tuple" if isinstance(number, tuple) else "nothing"
            raise ArgumentError("NL0212", f"{what} is not a value to compute with", Label(span))
        if isinstance(found, Several):
            raise ArgumentError(
                "NL0213", f"this gives {len(found.values)} results where one is needed", Label(span),
                hint="take them apart: `a, b = …`",
            )  # fmt: skip
        if isinstance(found, Instance):
            raise ArgumentError(
                "NL0214", f"`{found.name}` is a layer, not a value", Label(span), hint=f"apply it: `{found.name}(…)`"
            )
        raise ArgumentError(
            "NL0214", f"`{found.name}` is a definition, not a value", Label(span), hint=f"apply it: `{found.name}(…)`"
        )

    def static(self, expr: tree.Expr, env: Environment, what: str, hint: str = "") -> Any:
        """What must be known while compiling. Raises NeedsStatic where an option or a size would decide it."""
        return self.known(self.evaluate(expr, env), expr.span, what, hint)

    def known(self, found: Evaluated, span: Span, what: str, hint: str = "") -> Any:
        """The same of something evaluated already."""
        if isinstance(found, Static):
            return self.solver.normal(found.value) if isinstance(found.value, SizeExpr) else found.value
        if isinstance(found, Value):
            options, sizes = self.depends(found.draft)
            if options is not None and (options or sizes):
                raise NeedsStatic(frozenset(options), frozenset(sizes))
            raise ArgumentError(
                "NL0215", f"{what} must be known while compiling, but this depends on tensors", Label(span), hint=hint
            )
        raise ArgumentError("NL0215", f"{what} must be known while compiling", Label(span))

    def size(self, expr: tree.Expr, env: Environment, what: str = "a size") -> SizeExpr:
        """A size: an integer, or an expression of sizes."""
        found = self.evaluate(expr, env)
        if isinstance(found, Value) and found.kind in (Kind.REAL, Kind.COMPLEX) and self.depends(found.draft)[1]:
            # It depends on sizes, but is no integer for any of them.
            number = "a real" if found.kind is Kind.REAL else "a complex"
            raise ArgumentError(
                "NL0216", f"{what} is an integer, not {number} number", Label(expr.span), hint="`//` divides sizes"
            )
        hint = "take an option for it: after the `;`, without brackets"
        return self.size_value(self.known(found, expr.span, what, hint), expr.span, what)

    def length(self, node: tree.Axis, env: Environment) -> SizeExpr:
        """The size that the text gives an axis: `kernel = 3`."""
        assert node.size is not None
        size = self.size(node.size, env)
        self.not_negative(size, node.name, node.span)
        return size

    def not_negative(self, size: SizeExpr, name: str, span: Span) -> None:
        """Require that an axis of this size can be."""
        message = f"axis `{name}` would have the negative size {{left}}"
        hint = "where a size can be solved, leave it away" if size == -1 else ""
        self.solver.require(Check(size, ">=", const(0), "NL0422", message, (Label(span),), hint))

    def size_value(self, found: Any, span: Span, what: str) -> SizeExpr:
        """A static value as a size."""
        if isinstance(found, (int, SizeExpr)) and not isinstance(found, bool):
            if any(abs(c) >= 2**62 for _, c in size_expr(found).terms):
                raise SizeError("NL0605", "this number is too large for a size", Label(span))
            return size_expr(found)
        raise ArgumentError("NL0216", f"{what} is an integer, not {described(found)}", Label(span))

    def depends(self, draft: Draft) -> tuple[set[str] | None, set[str]]:
        """The options and sizes that a scalar depends on; None where it depends on a tensor."""
        options: set[str] = set()
        sizes: set[str] = set()
        waiting = [draft]
        while waiting:
            one = waiting.pop()
            if one.form == "leaf":
                name = one.parts[0]
                statement = self.find(name)
                if name in self.scalars:
                    options.add(name)
                elif statement is not None:
                    waiting.append(statement.draft)
                else:
                    return None, sizes
            elif one.form == "size":
                sizes |= self.solver.normal(one.parts[0]).symbols
            elif one.form == "primitive":
                if one.parts[0] in DRAWN:
                    return None, sizes
                waiting += one.parts[2]
            elif one.form == "coord":
                return None, sizes
            else:
                waiting += [part for part in one.parts if isinstance(part, Draft)]
        return options, sizes

    def _fitting(self, number: bool | int | float | complex, span: Span) -> bool | int | float | complex:
        """Integers that no int64 holds are taken as reals."""
        if isinstance(number, int) and not isinstance(number, bool) and not -(2**63) <= number < 2**63:
            try:
                return float(number)
            except OverflowError:
                raise FormulaSyntaxError("NL0605", "this number is too large for a 64-bit float", Label(span)) from None
        return number

    def _known_axes(self, env: Environment) -> str:
        if not env.axes:
            return ""
        return f"the {'axes here are' if len(env.axes) > 1 else 'only axis here is'} {self.shown(sorted(env.axes))}"


_HINTS = {
    **dict.fromkeys("lt le gt ge eq ne and or not any all".split(), "mask"),
    **dict.fromkeys("floordiv mod".split(), "position"),
    **dict.fromkeys("add sub mul div pow neg".split(), "term"),
    "where": "chosen", "expand": "wide", "sum": "total", "gather": "picked", "random": "drawn", "categorical": "drawn",
    "coord": "position",
}  # fmt: skip


DRAWN = frozenset({"random", "categorical", "dropout", "call", "scan"})
"""Primitives whose results no option or size decides."""


def hint_of(draft: Draft) -> str:
    """A name for a value that the text does not name: what made it."""
    made = draft.parts[0] if draft.form in ("unary", "binary", "reduce", "primitive") else draft.form
    return _HINTS.get(made, made)


def missing_axis(ctx: Context, what: str, axis: str, value: Value, span: Span) -> FormulaError:
    """The error for an operation along an axis that a value lacks."""
    shown = ctx.display.get(axis, axis)
    displayed = {ctx.display.get(a, a) for a in value.axes}
    return AxisError(
        "NL0301",
        f"{what} `{shown}`, but {spelled(value)} has no such axis",
        Label(span),
        *([Label(value.span, f"this {ctx.axes_of(value)}")] if value.span != span else []),
        hint=near_miss(shown, displayed) or _begins(ctx, axis, value),
    )


def _begins(ctx: Context, axis: str, value: Value) -> str:
    """What to write for a carried value that begins without an axis."""
    name = ctx.carried.get(value.draft.parts[0]) if value.draft.form == "leaf" else None
    return f"let `{name}` begin with its axes: `{name} = zeros[{ctx.display.get(axis, axis)}]`" if name else ""


def spelled(value: Value) -> str:
    """A value as the user's text has it, if that is short."""
    text = value.span.text
    short = len(text) <= 30 and "\n" not in text and not value.span.source.shipped
    return f"`{text}`" if short else "the value"


def renamed(value: Value, axis: str, name: str) -> str:
    """How a rename of a value is written."""
    text = value.span.text
    simple = re.fullmatch(r"[\w']+", text) is not None
    base = text if simple else f"({text})" if len(text) <= 40 and "\n" not in text else "(…)"
    return f"`{base}[{axis} -> {name}]`"


def _names_in(attrs: Any) -> set[str]:
    if isinstance(attrs, str):
        return {attrs}
    if isinstance(attrs, Mapping):
        attrs = tuple(attrs.values())
    return {name for one in attrs for name in _names_in(one)} if isinstance(attrs, tuple) else set()


def described(value: Any) -> str:
    """A static value with its article."""
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, float):
        return f"the real number {value}"
    words = {str: "a string", tuple: "a tuple", SizeExpr: "a size", complex: "a complex number", type(None): "nothing"}
    return words.get(type(value), "this")
