"""Identifiers for generated Python.

In: any text (an axis, an input, an operation). Out: ASCII identifiers, each handed out once. What always holds: an
identifier is no keyword, no builtin, and none of the names that generated code uses for something else.

>>> names = Names()
>>> names.fresh("seq'"), names.fresh("seq'"), names.fresh("α"), names.fresh("sum"), names.fresh("torch")
('seq_', 'seq__1', 'alpha', 'sum_1', 'torch_1')
"""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache

RESERVED = frozenset({*keyword.kwlist, *keyword.softkwlist, *dir(builtins)}) | {
    "torch", "F", "_nn", "inf", "nan", "fail", "assume", "is_compiling", "quotient", "self", "device", "math",
    "operator", "getattr", "checkpoint", "joint_dtype", "lerp", "whole", "traced", "nothing", "loop", "unobserved",
    "record", "recorded", "with_gradient", "remembered", "kept",
}  # fmt: skip
"""What generated code must not assign to."""


class Names:
    """Hands out identifiers. `functions` are names that are taken everywhere; there may be more of them later."""

    def __init__(self, functions: Collection[str] = ()) -> None:
        self._functions = functions
        self._taken = set(RESERVED)
        self._counts: dict[str, int] = {}

    def copy(self) -> Names:
        other = Names(self._functions)
        other._taken, other._counts = set(self._taken), dict(self._counts)
        return other

    def fresh(self, wish: str) -> str:
        """An identifier like `wish` that is not taken; it is taken from now on."""
        base = identifier(wish)
        name, count = base, self._counts.get(base, 0)
        while name in self._taken or name in self._functions:
            count += 1
            name = f"{base}_{count}"
        self._counts[base] = count
        self._taken.add(name)
        return name


@lru_cache(4096)
def identifier(text: str) -> str:
    """`text` as an ASCII identifier; Greek letters and the like are spelled out."""
    spelled = "".join(c if re.match(r"\w", c, re.ASCII) else _spell(c) for c in text)
    return f"_{spelled}" if not spelled or spelled[0].isdigit() else spelled


def _spell(character: str) -> str:
    if not character.isalnum():
        return "_"
    plain = unicodedata.normalize("NFKD", character)[0]
    if plain.isascii() and plain.isalnum():
        return plain
    words = unicodedata.name(character, "_").split()
    return words[-1].lower() if words[-1].isalpha() and words[-1].isascii() and len(words) <= 4 else "_"
