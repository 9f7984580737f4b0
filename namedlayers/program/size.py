"""Sizes as expressions: polynomials with integer coefficients over size symbols and floor divisions.

In: symbols (one a size that inputs determine) and integers. Out: canonical expressions, equal exactly when their
polynomials are; substitution, evaluation, printing. What always holds: symbols stand for integers >= 0; nothing here
decides what it cannot prove for all of them.

>>> seq, kernel = symbol("seq"), symbol("kernel")
>>> out = seq - kernel + 1
>>> str(out), out.evaluate({"seq": 9, "kernel": 3})
('|seq| - |kernel| + 1', 7)
>>> str((6 * seq + 4) // 3), str((6 * seq) // seq)
('2 * |seq| + 1', '6')
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Union

Atom = Union["Symbol", "Floor"]
Monomial = tuple[Atom, ...]


@dataclass(frozen=True, slots=True)
class Symbol:
    """A size that is not known while compiling."""

    name: str

    def __str__(self) -> str:
        return f"|{self.name}|"


@dataclass(frozen=True, slots=True)
class Floor:
    """`numerator // denominator` where it does not simplify."""

    numerator: SizeExpr
    denominator: SizeExpr

    def __str__(self) -> str:
        return f"({_wrap(self.numerator)} // {_wrap(self.denominator)})"


class SizeExpr:
    """A canonical polynomial: a map from monomials (sorted tuples of atoms) to coefficients that are not zero."""

    __slots__ = ("terms", "_hash", "__dict__")

    def __init__(self, terms: Mapping[Monomial, int]) -> None:
        found = [(m, c) for m, c in terms.items() if c]
        self.terms = tuple(sorted(found, key=_order) if len(found) > 1 else found)
        self._hash = hash(self.terms)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            other = const(int(other))
        return isinstance(other, SizeExpr) and self._hash == other._hash and self.terms == other.terms

    def __add__(self, other: SizeLike) -> SizeExpr:
        terms = dict(self.terms)
        for monomial, c in size_expr(other).terms:
            terms[monomial] = terms.get(monomial, 0) + c
        return SizeExpr(terms)

    def __neg__(self) -> SizeExpr:
        return SizeExpr({m: -c for m, c in self.terms})

    def __sub__(self, other: SizeLike) -> SizeExpr:
        return self + -size_expr(other)

    def __mul__(self, other: SizeLike) -> SizeExpr:
        terms: dict[Monomial, int] = {}
        for m, c in self.terms:
            for n, d in size_expr(other).terms:
                product = tuple(sorted(m + n, key=str))
                terms[product] = terms.get(product, 0) + c * d
        return SizeExpr(terms)

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: SizeLike) -> SizeExpr:
        return size_expr(other) - self

    def __floordiv__(self, other: SizeLike) -> SizeExpr:
        """Floor division; what divides exactly is taken out of the floor. Raises ZeroDivisionError for `// 0`."""
        divisor = size_expr(other)
        if divisor == 0:
            raise ZeroDivisionError("a size divided by zero")
        if divisor.value is not None and divisor.value < 0:
            return (-self) // (-divisor)
        whole, rest = _divide(self, divisor)
        if rest == 0 or (rest.value is not None and divisor.value is not None):
            return whole
        return whole + SizeExpr({(Floor(rest, divisor),): 1})

    def __rfloordiv__(self, other: SizeLike) -> SizeExpr:
        return size_expr(other) // self

    def __mod__(self, other: SizeLike) -> SizeExpr:
        return self - (self // other) * other

    def __rmod__(self, other: SizeLike) -> SizeExpr:
        return size_expr(other) % self

    def __bool__(self) -> bool:
        raise TypeError(f"the size {self} is not known while compiling")

    @cached_property
    def value(self) -> int | None:
        """The integer that this is for all sizes, if it is one."""
        if not self.terms:
            return 0
        if len(self.terms) == 1 and self.terms[0][0] == ():
            return self.terms[0][1]
        return None

    @cached_property
    def symbols(self) -> frozenset[str]:
        """The names of all symbols in this expression, those inside floors included."""
        names: set[str] = set()
        for monomial, _ in self.terms:
            for atom in monomial:
                if isinstance(atom, Symbol):
                    names.add(atom.name)
                else:
                    names |= atom.numerator.symbols | atom.denominator.symbols
        return frozenset(names)

    @cached_property
    def nonnegative(self) -> bool:
        """Whether this is provably >= 0 for all sizes (False: not proved)."""
        return all(c > 0 and all(_nonnegative_atom(a) for a in m) for m, c in self.terms)

    def quotient(self, divisor: SizeExpr) -> SizeExpr | None:
        """This divided by `divisor` where that is exact for all sizes, else None."""
        if divisor == 0:
            return None
        whole, rest = _divide(self, divisor)
        return whole if rest == 0 else None

    def substitute(self, values: Mapping[str, SizeExpr]) -> SizeExpr:
        """This with symbols replaced, all at once."""
        if self.symbols.isdisjoint(values):
            return self
        total = const(0)
        for monomial, c in self.terms:
            product = const(c)
            for atom in monomial:
                if isinstance(atom, Symbol):
                    product = product * values.get(atom.name, SizeExpr({(atom,): 1}))
                else:
                    product = product * (atom.numerator.substitute(values) // atom.denominator.substitute(values))
            total = total + product
        return total

    def evaluate(self, values: Mapping[str, int]) -> int:
        """The integer at given sizes. Raises KeyError for a symbol without a value, ZeroDivisionError."""
        total = 0
        for monomial, c in self.terms:
            for atom in monomial:
                if isinstance(atom, Symbol):
                    c *= values[atom.name]
                else:
                    c *= atom.numerator.evaluate(values) // atom.denominator.evaluate(values)
            total += c
        return total

    def render(self, name: Callable[[str], str]) -> str:
        """This as a Python expression, each symbol printed by `name`."""
        return _render(self, lambda s: name(s.name))

    def __str__(self) -> str:
        return _render(self, str)

    def __repr__(self) -> str:
        return f"SizeExpr({self})"


SizeLike = SizeExpr | int


def const(value: int) -> SizeExpr:
    return _const(int(value))


@lru_cache(1024)
def _const(value: int) -> SizeExpr:
    return SizeExpr({(): value})


def symbol(name: str) -> SizeExpr:
    return SizeExpr({(Symbol(name),): 1})


def size_expr(value: SizeLike) -> SizeExpr:
    if isinstance(value, SizeExpr):
        return value
    return value.expr if isinstance(value, Dressed) else const(value)


class Dressed(int):
    """An `int` that stands for an expression: a `dressed.Size`."""

    expr: SizeExpr


# --- helpers ----------------------------------------------------------------------------------------------------------


def _order(term: tuple[Monomial, int]) -> tuple:
    """Higher degrees first, positive before negative, the constant last: `|seq| - |kernel| + 1`."""
    monomial, c = term
    return (-len(monomial), c < 0, tuple(map(str, monomial)))


def _divide(numerator: SizeExpr, divisor: SizeExpr) -> tuple[SizeExpr, SizeExpr]:
    """`(whole, rest)` with numerator = whole * divisor + rest, as far as whole terms divide."""
    if numerator == divisor:
        return const(1), const(0)
    if len(divisor.terms) != 1:
        return _divide_polynomial(numerator, divisor)
    (monomial, c), whole, rest = divisor.terms[0], {}, {}
    for m, d in numerator.terms:
        if not m and not monomial:  # the constant: (n + 3) // 2 is (n + 1) // 2 + 1
            whole[m], rest[m] = divmod(d, c)
            continue
        left = _without(m, monomial)
        if left is not None and d % c == 0:
            whole[left] = d // c
        else:
            rest[m] = d
    return SizeExpr(whole), SizeExpr(rest)


def _divide_polynomial(numerator: SizeExpr, divisor: SizeExpr) -> tuple[SizeExpr, SizeExpr]:
    """Long division by the divisor's leading term; all or nothing, so that a rest is never hidden in the whole."""
    whole, rest = const(0), numerator
    (lead, c) = divisor.terms[0]
    for _ in range(len(numerator.terms) + 1):
        if not rest.terms:
            return whole, rest
        m, d = rest.terms[0]
        left = _without(m, lead)
        if left is None or d % c:
            break
        step = SizeExpr({left: d // c})
        whole, rest = whole + step, rest - step * divisor
    return const(0), numerator


def _without(monomial: Monomial, factor: Monomial) -> Monomial | None:
    left = list(monomial)
    for atom in factor:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left)


def _nonnegative_atom(atom: Atom) -> bool:
    return isinstance(atom, Symbol) or (atom.numerator.nonnegative and atom.denominator.nonnegative)


def _wrap(expr: SizeExpr) -> str:
    return f"({expr})" if len(expr.terms) > 1 else str(expr)


def _render(expr: SizeExpr, name: Callable[[Symbol], str]) -> str:
    if not expr.terms:
        return "0"
    pieces: list[str] = []
    for monomial, c in expr.terms:
        factors = [_render_atom(atom, name) for atom in monomial]
        if abs(c) != 1 or not factors:
            factors.insert(0, str(abs(c)))
        sign = ("-" if c < 0 else "") if not pieces else (" - " if c < 0 else " + ")
        pieces.append(sign + " * ".join(factors))
    return "".join(pieces)


def _render_atom(atom: Atom, name: Callable[[Symbol], str]) -> str:
    if isinstance(atom, Symbol):
        return name(atom)
    parts = [_render(e, name) for e in (atom.numerator, atom.denominator)]
    wrapped = [
        f"({p})" if len(e.terms) > 1 or (e.terms and e.terms[0][1] < 0) or "*" in p else p
        for p, e in zip(parts, (atom.numerator, atom.denominator), strict=True)
    ]
    return f"({wrapped[0]} // {wrapped[1]})"
