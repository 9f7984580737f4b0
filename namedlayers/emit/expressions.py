"""Expressions of Python for what fx nodes compute.

In: fx nodes. Out: text, and how tightly it binds. What always holds: nodes that are marked `inline` and have one user
are printed inside it, never more than a few deep; functions are printed under the names by which people know them, or
as they were passed to `extra`.
"""

from __future__ import annotations

import cmath
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType, MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx
from torch.compiler import is_compiling

from namedlayers.emit.bare import bare

_ATOM, _POWER, _UNARY = 100, 90, 80

INFIX: Mapping[Callable, tuple[str, int]] = MappingProxyType({
    operator.pow: ("**", _POWER), operator.mul: ("*", 70), operator.truediv: ("/", 70), operator.floordiv: ("//", 70),
    operator.mod: ("%", 70), operator.add: ("+", 60), operator.sub: ("-", 60), operator.and_: ("&", 50),
    operator.or_: ("|", 40), operator.lt: ("<", 30), operator.le: ("<=", 30), operator.gt: (">", 30),
    operator.ge: (">=", 30), operator.eq: ("==", 30), operator.ne: ("!=", 30),
})  # fmt: skip
PREFIX: Mapping[Callable, str] = MappingProxyType({operator.neg: "-", operator.invert: "~"})

GLOBALS: Mapping[str, Any] = MappingProxyType({
    "torch": torch, "F": F, "_nn": torch._C._nn, "inf": math.inf, "nan": math.nan, "is_compiling": is_compiling,
})  # fmt: skip
"""What generated code refers to, beside `fail` and functions that fx passes by others may bring in."""

DEEPEST = 8
"""How many expressions at most are printed one inside the other."""


def expression(node: fx.Node, extra: dict[str, Any], taken: frozenset[str]) -> str:
    """What a node computes, its operands by name. `taken` are the names of values; functions are added to `extra`."""
    return Expressions(extra, "self", taken).called(node)[0]


class Expressions:
    """`extra`: functions by the names under which they are printed; `taken`: names of values."""

    def __init__(self, extra: dict[str, Any], root: str, taken: frozenset[str]) -> None:
        self.extra = extra
        self.root = root
        self.taken = taken
        self.depths: dict[fx.Node, int] = {}

    def inlines(self, node: fx.Node) -> bool:
        """Whether this is printed inside its only user; never more than a few deep."""
        return self.depth(node) > 0

    def depth(self, node: fx.Node) -> int:
        found = self.depths.get(node)
        if found is None:
            inline = node.meta.get("inline") and len(node.users) == 1
            found = 1 + max((self.depths.get(used, 0) for used in node.all_input_nodes), default=0) if inline else 0
            found = self.depths[node] = 0 if found > DEEPEST else found
        return found

    def statement(self, node: fx.Node) -> str:
        if node.op == "output":
            return f"return {self.of(node.args[0])[0]}"
        if "parts" in node.meta:
            return f"{', '.join(_targets(node))} = {self.called(node)[0]}"
        return f"{node.name} = {self.called(node)[0]}"

    def of(self, value: Any, level: int = 0) -> tuple[str, int]:
        """The expression of an argument and how tightly it binds; in parentheses if that is not more than `level`."""
        text, tightness = self._value(value)
        return (f"({text})", _ATOM) if tightness <= level else (text, tightness)

    def _value(self, value: Any) -> tuple[str, int]:
        if isinstance(value, fx.Node):
            return self.called(value) if self.inlines(value) and "prologue" not in value.meta else (value.name, _ATOM)
        if isinstance(value, (tuple, list)):
            items = ", ".join(self.of(item)[0] for item in value)
            single = "," if isinstance(value, tuple) and len(value) == 1 else ""
            return (f"({items}{single})" if isinstance(value, tuple) else f"[{items}]"), _ATOM
        if isinstance(value, slice):
            return f"slice({', '.join(self.of(part)[0] for part in (value.start, value.stop, value.step))})", _ATOM
        if isinstance(value, complex) and not cmath.isfinite(value):  # `nanj` is no Python
            return f"complex({value.real!r}, {value.imag!r})", _ATOM
        if isinstance(value, FunctionType):
            return self._function(value), _ATOM
        text = repr(value)
        return text, _UNARY if text.startswith("-") else _ATOM

    def called(self, node: fx.Node) -> tuple[str, int]:
        """What a node computes, and how tightly it binds."""
        target: Any = node.target
        args = node.args
        if node.op == "get_attr":
            return f"{self.root}.{target}", _ATOM
        if node.op == "call_module":
            return f"{self.root}.{target}({self._arguments(args, node.kwargs)})", _ATOM
        if node.op == "call_method":
            return f"{self.of(args[0], _UNARY)[0]}.{target}({self._arguments(args[1:], node.kwargs)})", _ATOM
        if target in INFIX and len(args) == 2:
            return self._infix(*INFIX[target], args)
        if target in PREFIX:
            return f"{PREFIX[target]}{self.of(args[0], _UNARY - 1)[0]}", _UNARY
        if target is operator.getitem:
            return f"{self.of(args[0], _UNARY)[0]}[{self._subscript(args[1])}]", _ATOM
        if target is getattr:
            return f"{self.of(args[0], _UNARY)[0]}.{args[1]}", _ATOM
        target, args, options = bare(target, args, node.kwargs)
        return f"{self._function(target)}({self._arguments(args, options)})", _ATOM

    def _infix(self, symbol: str, level: int, args: tuple) -> tuple[str, int]:
        """Left-associative, except the power, whose right side may also be a sign."""
        right_first = symbol == "**"
        left = self.of(args[0], level if right_first or level == 30 else level - 1)[0]
        right = self.of(args[1], _UNARY - 1 if right_first else level)[0]
        return f"{left} {symbol} {right}", level

    def _subscript(self, index: Any) -> str:
        if not isinstance(index, tuple):
            return self._slice(index)
        return ", ".join(map(self._slice, index)) + "," * (len(index) == 1)

    def _slice(self, index: Any) -> str:
        if not isinstance(index, slice):
            return "..." if index is Ellipsis else self.of(index)[0]
        start, stop, step = ("" if part is None else self.of(part)[0] for part in (index.start, index.stop, index.step))
        return f"{start}:{stop}" + (f":{step}" if step else "")

    def _arguments(self, args: Iterable, kwargs: Mapping[str, Any]) -> str:
        listed = [self.of(arg)[0] for arg in args]
        return ", ".join(listed + [f"{name}={self.of(value)[0]}" for name, value in kwargs.items()])

    def _function(self, target: Any) -> str:
        known = _known(target)
        if known is not None:
            return known
        name = getattr(target, "__name__", "function")
        while self.extra.get(name, target) is not target or name in GLOBALS or name in self.taken:
            name += "_"
        self.extra[name] = target
        return name


def _known(target: Any) -> str | None:
    """`torch.softmax`, `F.linear`: a function of torch by the name under which people know it."""
    if isinstance(target, torch._ops.OpOverload):
        return f"torch.ops.{target}"
    name = getattr(target, "__name__", "").removeprefix("_C._nn.")
    for path, module in _HOMES:
        for candidate in (name, name.removeprefix("linalg_"), name.removeprefix("fft_"), name.replace("_", "")):
            if candidate and getattr(module, candidate, None) is target:
                return f"{path}.{candidate}"
    return None


_HOMES = (("torch", torch), ("F", F), ("_nn", torch._C._nn), ("torch.linalg", torch.linalg), ("torch.fft", torch.fft),
          ("torch.special", torch.special))  # fmt: skip


def _targets(node: fx.Node) -> list[str]:
    """What a tuple of `parts` many is unpacked into."""
    names = {user.args[1]: user.name for user in node.users}
    return [names.get(k, "_") for k in range(node.meta["parts"])]
