"""What is known while compiling: numbers, strings and sizes, and what depends on them.

In: expressions, evaluated or not. Out: values, Python objects, sizes. What always holds: what only a call decides is
asked for (`NeedsStatic`); what depends on tensors is an error.
"""

from __future__ import annotations

from typing import Any

from namedlayers.errors import ArgumentError, FormulaSyntaxError, Label, SizeError, Span
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.foreign import numbered
from namedlayers.program.elaboration.operations import Operations
from namedlayers.program.elaboration.values import Draft, Environment, Evaluated, Instance, Several, Static, Value
from namedlayers.program.program import Check, Kind
from namedlayers.program.size import SizeExpr, const, size_expr
from namedlayers.program.spec import NeedsStatic
from namedlayers.syntax import tree

DRAWN = frozenset({"random", "categorical", "dropout", "call", "scan"})
"""Primitives whose results no option or size decides."""


class Statics(Operations):
    __slots__ = ()

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
            what = "a string" if isinstance(number, str) else "a tuple" if isinstance(number, tuple) else "`None`"
            hint = "leave an option out for its default" if number is None else ""
            raise ArgumentError("NL0212", f"{what} is not a value to compute with", Label(span), hint=hint)
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
        solved = "where a size can be solved, leave it away" if size == -1 else ""
        hint = numbered(name) or solved
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


def described(value: Any) -> str:
    """A static value with its article."""
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, float):
        return f"the real number {value}"
    words = {str: "a string", tuple: "a tuple", SizeExpr: "a size", complex: "a complex number", type(None): "nothing"}
    return words.get(type(value), "this")
