"""Size equations, solved in whichever direction is exact.

In: symbols (some of them given: sizes of inputs' axes) and equations between expressions, each with what to say if it
fails. Out: a substitution, recipes by which a call finds the symbols that are left, and checks that it makes.
What always holds: an equation that is false for all sizes is an error at once; one that cannot be solved exactly (a
window equation backwards, a product of unknowns) becomes a check; a symbol that no input determines is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from namedlayers.errors import Label, SizeError
from namedlayers.program.program import Check, Recipe
from namedlayers.program.size import Floor, SizeExpr, Symbol, const, symbol


@dataclass(frozen=True, slots=True)
class Dimension:
    """Axis number `axis` of input `input`, called `name`, whose size is `size`."""

    input: str
    axis: int
    name: str
    size: SizeExpr
    label: Label


class Undetermined(SizeError):
    """A size that nothing determines."""


@dataclass(slots=True)
class Solver:
    """Collects equations while a program is elaborated."""

    values: dict[str, SizeExpr] = field(default_factory=dict)
    origins: dict[str, Label] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    reasons: dict[str, tuple[Label, ...]] = field(default_factory=dict)
    pending: list[Check] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    site: Label | None = None
    """Where the user's text uses a definition of another text: shown first for what goes wrong inside."""

    def fresh(self, hint: str, origin: Label, *, given: bool = False) -> SizeExpr:
        """A new symbol named after `hint`; `origin` is shown when nothing determines it."""
        name, number = hint, 1
        while name in self.origins:
            number += 1
            name = f"{hint}_{number}"
        self.origins[name] = origin
        if given:
            self.given.add(name)
        return symbol(name)

    def normal(self, size: SizeExpr) -> SizeExpr:
        """`size` with everything substituted that is known by now."""
        while not size.symbols.isdisjoint(self.values):
            size = size.substitute(self.values)
        return size

    def require(self, check: Check) -> None:
        """An equation or a condition. Raises SizeError when it is false for all sizes."""
        check = self._located(check)
        left, right = self.normal(check.left), self.normal(check.right)
        difference = left - right
        if check.relation == "==":
            if difference == 0 or self._solve(difference, check):
                return
            if difference.value is not None or difference.nonnegative and (difference - 1).nonnegative:
                raise failure(check, left, right)
            self.pending.append(check)
        elif check.relation == ">=":
            if difference.nonnegative:
                return
            if difference.value is not None or (-difference - 1).nonnegative:
                raise failure(check, left, right)
            self.checks.append(check)
        else:
            if difference == 0:
                raise failure(check, left, right)
            if difference.value is None:
                self.checks.append(check)

    def divide(self, size: SizeExpr, by: SizeExpr, check: Check, hint: str = "part") -> SizeExpr:
        """`size / by`, which must be exact: where a symbol of `size` can be replaced so that it is, it is replaced.

        `check` says `size % by == 0`; a new symbol for the quotient is named after `hint`.
        """
        check = self._located(check)
        size, by = self.normal(size), self.normal(by)
        exact = size.quotient(by)
        if exact is not None:
            return exact
        if size.value is not None and by.value is not None:
            raise failure(check, size % by, const(0))
        # Several symbols could each be replaced, and which one would be a guess: then the quotient stays a floor.
        if len(size.symbols) == 1:
            part = self.fresh(hint, check.labels[0])
            if self._solve(size - by * part, replace(check, left=size, right=by * part)):
                return self.normal(part)
            del self.origins[next(iter(part.symbols))]
        self.checks.append(Check(size % by, "==", const(0), check.code, check.message, check.labels, check.hint))
        return size // by

    def finish(
        self, dimensions: Iterable[Dimension], *, lenient: bool = False
    ) -> tuple[tuple[str, ...], tuple[Recipe, ...], tuple[Check, ...]]:
        """Symbols in the order in which a call finds them, their recipes, and the checks.

        Raises SizeError for a symbol that no dimension determines; if `lenient`, checks that speak of one are left out.
        """
        for check in self._retry():
            self.checks.append(check)
        recipes, known = self._recipes(list(dimensions), lenient=lenient)
        checks, seen = [], set()
        for check in self.checks:
            left, right = self.normal(check.left), self.normal(check.right)
            if check.relation == ">=":
                simple = without_floor(left - right)
                if simple.nonnegative:
                    continue
                if "{" not in check.message:  # the report shows neither side, so the simpler form may be tested
                    left, right = simple, const(0)
            # An equation that was solved is true of the solved sizes: what a call tests are the sizes that came in.
            solved = check.relation == "==" and left == right
            if solved and not check.left.symbols | check.right.symbols <= known:
                continue
            shown = check if solved else _with(check, left, right)
            unknown = sorted((shown.left.symbols | shown.right.symbols) - known)
            if unknown and lenient:
                continue
            for name in unknown:
                raise self._undetermined(name)
            if (key := (shown.left, shown.relation, shown.right)) not in seen:
                seen.add(key)
                checks.append(shown)
        return tuple(r.symbol for r in recipes), tuple(recipes), tuple(checks)

    def _located(self, check: Check) -> Check:
        return replace(check, labels=located(check.labels, self.site))

    # --- solving ------------------------------------------------------------------------------------------------------

    def _solve(self, difference: SizeExpr, check: Check) -> bool:
        """Make `difference` 0 by giving one symbol its value, if some symbol can be isolated exactly."""
        names = [a.name for m, _ in difference.terms for a in m if isinstance(a, Symbol)]
        order = list(self.origins)
        for name in sorted(dict.fromkeys(names), key=lambda n: (n in self.given, -order.index(n))):
            value = _isolate(difference, name, given=name in self.given)
            if value is None:
                continue
            self.values = {k: v.substitute({name: value}) for k, v in self.values.items()} | {name: value}
            self.reasons[name] = check.labels
            if name in self.given:  # the axis has a size of its own at the call, so this equation is also a check
                self.checks.append(check)
            elif not value.nonnegative:
                negative = f"axis `{name}` would have the negative size {{left}}"
                self.checks.append(Check(value, ">=", const(0), check.code, negative, _bare(check.labels), check.hint))
            waiting, self.pending = self.pending, []
            for one in waiting:
                self.require(one)
            return True
        return False

    def _retry(self) -> list[Check]:
        waiting, self.pending = self.pending, []
        for check in waiting:
            self.require(check)
        return self.pending

    def _recipes(self, dimensions: list[Dimension], *, lenient: bool) -> tuple[list[Recipe], set[str]]:
        recipes: list[Recipe] = []
        known: set[str] = set()
        # An axis whose symbol was replaced keeps a recipe too, so that checks may speak of it.
        solved = [(d, self.normal(d.size)) for d in dimensions]
        left = [*solved, *((d, d.size) for d in dimensions if self.normal(d.size) != d.size)]
        progress = True
        while progress:
            progress = False
            for dimension, size in left:
                unknown = size.symbols - known
                if len(unknown) != 1:
                    continue
                (name,) = unknown
                parts = _linear(size, name)
                if parts is None:
                    continue
                factor, rest = parts
                labels = (dimension.label, *self.reasons.get(next(iter(dimension.size.symbols), ""), ()))
                recipes.append(Recipe(name, dimension.input, dimension.axis, rest, factor, labels))
                known.add(name)
                progress = True
        for _, size in solved:
            for name in sorted(size.symbols - known if not lenient else ()):
                raise self._undetermined(name)
        return recipes, known

    def undetermined(self, size: SizeExpr, known: set[str]) -> None:
        """Raise SizeError if a symbol of `size` is not among the known ones."""
        for name in sorted(self.normal(size).symbols - known):
            raise self._undetermined(name)

    def _undetermined(self, name: str) -> Undetermined:
        origin = self.origins[name]
        return Undetermined(
            "NL0401",
            f"nothing determines the size of axis `{name}`",
            origin,
            hint=f"give it where the axis is introduced, for example `{name} = 3`, or state it: `|{name}| = …`",
        )


def _bare(labels: tuple[Label, ...]) -> tuple[Label, ...]:
    """The places alone: what their labels say is of another condition."""
    return tuple(Label(label.span) for label in labels)


def located(labels: tuple[Label, ...], site: Label | None) -> tuple[Label, ...]:
    """Labels with the user's place in front, where the first of them is in another text; what ships stays unseen."""
    if site is None or site.span.source.shipped:
        return labels
    own = tuple(label for label in labels if not label.span.source.shipped)
    return own if labels and labels[0].span.source is site.span.source else (site, *own)


def without_floor(size: SizeExpr) -> SizeExpr:
    """An expression that is >= 0 exactly where `size` is: `n // d + c >= 0` where `n + c * d >= 0`, for positive d."""
    floors = [(m[0], c) for m, c in size.terms if len(m) == 1 and isinstance(m[0], Floor)]
    if len(floors) != 1 or floors[0][1] != 1:
        return size
    floor = floors[0][0]
    rest = size - SizeExpr({(floor,): 1})
    divisor = floor.denominator.value
    return size if divisor is None or divisor < 1 else without_floor(floor.numerator + rest * divisor)


def failure(
    check: Check, left: SizeExpr | int, right: SizeExpr | int, names: dict[str, object] | None = None
) -> SizeError:
    """The error for a check that does not hold; `left` and `right` as far as they are known."""
    shown = {"left": left, "right": right, **(names or {})}
    return SizeError(check.code, filled(check.message, shown), *fill_in(check.labels, shown), hint=check.hint)


def fill_in(labels: tuple[Label, ...], names: Mapping[str, object]) -> list[Label]:
    """Labels with `{left}`, `{right}` and symbols in their texts filled in."""
    return [Label(label.span, filled(label.text, names)) for label in labels]


def filled(text: str, names: Mapping[str, object]) -> str:
    """A message with `{left}`, `{right}` and symbols filled in; an unknown symbol is shown as the size it names.

    >>> filled("{left} is not {key}", {"left": 3})
    '3 is not |key|'
    """
    return text.format_map(_Lenient(names))


class _Lenient(dict):
    def __missing__(self, key: str) -> str:
        return f"|{key}|"


def _with(check: Check, left: SizeExpr, right: SizeExpr) -> Check:
    return Check(left, check.relation, right, check.code, check.message, check.labels, check.hint)


def _linear(size: SizeExpr, name: str) -> tuple[SizeExpr, SizeExpr] | None:
    """`(factor, rest)` with size = factor * name + rest and neither containing name, if it is so."""
    factor, rest = {}, {}
    wanted = Symbol(name)
    for monomial, c in size.terms:
        if wanted in monomial:
            left = list(monomial)
            left.remove(wanted)
            factor[tuple(left)] = c
        else:
            rest[monomial] = c
    pair = SizeExpr(factor), SizeExpr(rest)
    return None if not factor or name in pair[0].symbols | pair[1].symbols else pair


def _isolate(difference: SizeExpr, name: str, *, given: bool) -> SizeExpr | None:
    """The value of `name` for which `difference` is 0, if that is an exact expression.

    Where its factor is a size, that may be 0, and then any value would do: no size of an input is concluded from it.
    """
    parts = _linear(difference, name)
    if parts is None or (parts[0].value is None and (given or parts[1] == 0)):
        return None
    return (-parts[1]).quotient(parts[0])
