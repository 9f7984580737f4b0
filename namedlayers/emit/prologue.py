"""What a generated function does before its body: read the shapes, find the sizes, check them.

In: a program. Out: the names of arguments and sizes, and the lines that compute and check them. What always holds: the
checks pass exactly when `solve_sizes` does, given tensors of the right rank; they are integer comparisons only; when
one fails, `fail` finds the same fault again, slowly, and raises it with its place in the text.

While torch traces the function, `assume` makes the checks `torch._check`s with messages that bear the error's code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import torch

from namedlayers.emit.names import Names
from namedlayers.program.program import Input, Program
from namedlayers.program.size import SizeExpr

_WIDTH = 110

_OPPOSITE = {"==": "!=", ">=": "<", "!=": "=="}


@dataclass(frozen=True, slots=True)
class Condition:
    """`left` relation `right` must hold; all are Python expressions."""

    left: str
    relation: str
    right: str
    message: str


class Prologue:
    """The names and lines of one program. Attributes: `arguments`, an identifier for each input; `dims`, one for each
    axis of each input; `symbols`, one for each symbol (the same one where a symbol is simply the size of an axis);
    `passed`, the names of the symbols that are arguments themselves (none); `inner`, whether it is of a body."""

    inner = False
    passed: Mapping[str, str] = MappingProxyType({})

    def __init__(self, program: Program, names: Names) -> None:
        self.program = program
        self.arguments = tuple(names.fresh(given.name) for given in program.inputs)
        self.dims: dict[tuple[int, int], str] = {}
        self.symbols: dict[str, str] = {}
        numbers = {given.name: number for number, given in enumerate(program.inputs)}
        for recipe in program.recipes:
            place = (numbers[recipe.input], recipe.axis)
            if recipe.rest == 0 and recipe.factor == 1 and place not in self.dims:
                self.dims[place] = self.symbols[recipe.symbol] = names.fresh(recipe.symbol)
        for number, given in enumerate(program.inputs):
            for axis, (name, _) in enumerate(given.axes):
                if (number, axis) not in self.dims:
                    self.dims[number, axis] = names.fresh(f"{name}_{given.name}")
        for recipe in program.recipes:
            if recipe.symbol not in self.symbols:
                self.symbols[recipe.symbol] = names.fresh(recipe.symbol)

    def __deepcopy__(self, memo: dict) -> Prologue:
        return self  # nothing in here changes

    def given(self, number: int, rank: int) -> tuple[int, ...]:
        """The order in which an argument has the axes of its input."""
        return tuple(range(rank))

    def returned(self, number: int, rank: int) -> tuple[int, ...]:
        """The order in which a result has its axes."""
        return tuple(range(rank))

    def render(self, size: SizeExpr) -> str:
        """A size as a Python expression."""
        return size.render(self.symbols.__getitem__)

    @cached_property
    def computed(self) -> tuple[tuple[str, str], ...]:
        """The symbols that are not simply the size of an axis, and their expressions, in order."""
        found = []
        for recipe, number in self._recipes():
            name, dim = self.symbols[recipe.symbol], self.dims[number, recipe.axis]
            if name != dim:
                rest = self.render(recipe.rest)
                top = dim if recipe.rest == 0 else f"({dim} - {rest})" if rest.isidentifier() else f"({dim} - ({rest}))"
                found.append((name, top if recipe.factor == 1 else f"{top} // {self._divisor(recipe.factor)}"))
        return tuple(found)

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """What must hold, cheapest and most telling first."""
        return tuple(dict.fromkeys((*self._recipe_conditions(), *self._axis_conditions(), *self._check_conditions())))

    @cached_property
    def unpacked(self) -> frozenset[int]:
        """The inputs whose shapes are taken apart, whatever the body uses: others than those of so many axes are
        refused."""
        needed, _ = self._needed(frozenset())
        return frozenset(number for (number, _), name in self.dims.items() if name in needed)

    def lines(self, used: frozenset[str]) -> list[str]:
        """The prologue; `used` are the names of sizes that the body uses."""
        needed, computed = self._needed(used)
        return [*self._reads(needed), *computed, *self._checks()]

    def _needed(self, used: frozenset[str]) -> tuple[set[str], list[str]]:
        """The names that the checks and the body need, and the lines for those that are computed."""
        needed = {*used, *_words(f"{c.left} {c.right}" for c in self.conditions)}
        computed = []
        for name, expression in reversed(self.computed):
            if name in needed:
                needed |= _words([expression])
                computed.append(f"{name} = {expression}")
        return needed, computed[::-1]

    def _reads(self, needed: set[str]) -> Iterator[str]:
        for number, given in enumerate(self.program.inputs):
            names = [self.dims[number, axis] for axis in range(len(given.axes))]
            names = [name if name in needed else "_" for name in names]
            if any(name != "_" for name in names):
                yield f"{', '.join(names)}{',' * (len(names) == 1)} = {self.arguments[number]}.shape"

    def _checks(self) -> list[str]:
        if not self.conditions:
            return []
        held = [f"{c.left} {c.relation} {c.right}" for c in self.conditions]
        failed = [f"{c.left} {_OPPOSITE[c.relation]} {c.right}" for c in self.conditions]
        return [
            "if is_compiling():",
            *_wrapped("    assume(", [f"{one}," for one in held], ")"),
            *_wrapped("elif (", [failed[0], *(f"or {one}" for one in failed[1:])], "):"),
            f"    fail({', '.join(self.arguments)})",
        ]

    @cached_property
    def assume(self) -> Callable[..., None]:
        """What checks the conditions, in order, while torch traces: each is a `torch._check` with its message."""
        messages = tuple(c.message for c in self.conditions)

        def assume(*conditions: bool) -> None:
            for condition, message in zip(conditions, messages, strict=True):
                torch._check(condition, lambda message=message: message)

        return assume

    def _recipe_conditions(self) -> Iterator[Condition]:
        for recipe, number in self._recipes():
            name, dim = self.symbols[recipe.symbol], self.dims[number, recipe.axis]
            axis, _ = self.program.inputs[number].axes[recipe.axis]
            if recipe.factor.value is None:
                yield Condition(self.render(recipe.factor), "!=", "0", f"NL0482: {recipe.factor} is 0")
            if recipe.factor != 1:
                top = dim if recipe.rest == 0 else f"({dim} - ({self.render(recipe.rest)}))"
                fault = f"NL0481: axis `{axis}` of `{recipe.input}` is not a multiple of {recipe.factor}"
                yield Condition(f"{top} % {self._divisor(recipe.factor)}", "==", "0", fault)
            if recipe.rest != 0:
                fault = f"NL0483: axis `{axis}` of `{recipe.input}` is less than {recipe.rest}"
                yield Condition(name, ">=", "0", fault)

    def _axis_conditions(self) -> Iterator[Condition]:
        determining = {(number, recipe.axis) for recipe, number in self._recipes()}
        for number, given in enumerate(self.program.inputs):
            for axis, (_, size) in enumerate(given.axes):
                if (number, axis) not in determining:
                    yield Condition(self.dims[number, axis], "==", self.render(size), _axis_fault(given, axis))

    def _check_conditions(self) -> Iterator[Condition]:
        for check in self.program.checks:
            message = check.message.format_map(_Shown(left=check.left, right=check.right))
            left, right = self.render(check.left), self.render(check.right)
            yield Condition(left, check.relation, right, f"{check.code}: {message}")

    def _recipes(self) -> Iterator[tuple]:
        numbers = {given.name: number for number, given in enumerate(self.program.inputs)}
        return ((recipe, numbers[recipe.input]) for recipe in self.program.recipes)

    def _divisor(self, factor: SizeExpr) -> str:
        """As a divisor; one that is 0 is a condition of its own, so that here it must only not raise."""
        if factor.value is not None:
            return str(factor.value)
        return f"(({self.render(factor)}) or 1)"


@dataclass(frozen=True, slots=True)
class Orders:
    """For each input and each result of a body the order in which tensors have its axes."""

    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]


class Entry(Prologue):
    """What a body's function does before it: nothing. The sizes that it needs are further arguments, which the function
    around it has found and checked."""

    inner = True

    def __init__(self, program: Program, names: Names, orders: Orders) -> None:
        self.program = program
        self.arguments = tuple(names.fresh(given.name) for given in program.inputs)
        self.dims = {}
        self.symbols = {symbol: names.fresh(symbol) for symbol in program.symbols}
        self.passed = self.symbols
        self.orders = orders

    def given(self, number: int, rank: int) -> tuple[int, ...]:
        return self.orders.inputs[number]

    def returned(self, number: int, rank: int) -> tuple[int, ...]:
        return self.orders.outputs[number]

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        return ()

    def lines(self, used: frozenset[str]) -> list[str]:
        return []


def _axis_fault(given: Input, axis: int) -> str:
    name, size = given.axes[axis]
    return f"NL0485: axis `{name}` of `{given.called}` must have size {size}"


class _Shown(dict):
    """What a message may contain: any other name in it is a symbol's."""

    def __missing__(self, key: str) -> str:
        return f"|{key}|"


def _wrapped(opening: str, pieces: list[str], closing: str) -> list[str]:
    """One line where it fits, else the pieces on lines of their own, as many on each as fit."""
    if opening.endswith("elif (") and len(pieces) == 1:
        return [f"elif {pieces[0]}:"]
    line = f"{opening}{' '.join(pieces).removesuffix(',')}{closing}"
    if len(line) <= _WIDTH:
        return [line.replace("elif (", "elif ").removesuffix("):") + ":" if opening == "elif (" else line]
    indent = " " * (len(opening) - len(opening.lstrip()) + 4)
    lines = [indent]
    for piece in pieces:
        if len(lines[-1]) + len(piece) >= _WIDTH and lines[-1].strip():
            lines.append(indent)
        lines[-1] += f"{piece} " if lines[-1].strip() else f"{piece} "
    return [opening, *(one.rstrip() for one in lines), f"{indent[4:]}{closing}"]


def _words(expressions: Iterable[str]) -> set[str]:
    return set(re.findall(r"\w+", " ".join(expressions)))
