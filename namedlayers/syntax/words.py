"""Tokens in words, for errors.

In: tokens and kinds of tokens. Out: how a person calls them; sets that say "a value" or "an operator" are called so.
"""

from __future__ import annotations

from collections.abc import Set

from lark import Token

SOFT = frozenset("LAYER PARAM STATE REQUIRE REPEAT AS SCAN REVERSED WITH FROM IMPORT".split())
"""Keywords that may also name values."""

HARD = frozenset("DEF RETURN IF ELIF ELSE AND OR NOT".split())
"""Keywords that may only name axes."""

NAMES = SOFT | {"NAME"}

OPERATORS = frozenset("PLUS MINUS STAR SLASH FLOOR PERCENT CONTRACT POWER COMPARE AND OR".split())

VALUES = NAMES | {"NUMBER", "STRING", "LPAR", "BAR", "PLUS", "MINUS"}
"""What a value may begin with; `not` only where nothing binds tighter."""

# Sets that have a name; with each, what need not be told beside it.
_SETS: tuple[tuple[Set[str], str, Set[str]], ...] = (
    (NAMES | HARD, "an axis", {"STAR"}),
    (NAMES | {"RETURN", "IF", "BAR"}, "a statement", {"ELIF", "ELSE", "_DEDENT", "DEF"}),
    (VALUES, "a value", {"NOT", "RPAR"}),
    (frozenset({"OR"}), "an operator", OPERATORS | {"LPAR", "LSQB", "DOT"}),
    (NAMES, "a name", {"STAR"}),
)

_SINGLE = {
    "_NEWLINE": "the end of the line",
    "_INDENT": "an indented block",
    "_DEDENT": "the end of the block",
    "$END": "the end of the text",
    "NUMBER": "a number",
    "STRING": "a string",
    "NAME": "a name",
    "COMPARE": "a comparison",
    "CONTRACT": "`@[axes]`",
}

_SIGNS = {
    "POWER": "^",
    "FLOOR": "//",
    "STAR": "*",
    "SLASH": "/",
    "PERCENT": "%",
    "PLUS": "+",
    "MINUS": "-",
    "ARROW": "->",
    "BAR": "|",
    "TILDE": "~",
    "DOT": ".",
    "COLON": ":",
    "SEMICOLON": ";",
    "COMMA": ",",
    "EQUAL": "=",
    "LPAR": "(",
    "RPAR": ")",
    "LSQB": "[",
    "RSQB": "]",
}

_LONGEST = 40


def shown(token: Token | None) -> str:
    """A token as it is called in a message.

    >>> shown(Token("NAME", "seq")), shown(Token("_NEWLINE", ""))
    ('`seq`', 'the end of the line')
    """
    if token is None:
        return "the beginning of the text"
    if token.type in _SINGLE and token.type[0] in "_$":
        return _SINGLE[token.type]
    text = str(token)
    return f"`{text}`" if len(text) <= _LONGEST else f"`{text[:_LONGEST]}…`"


def expected(kinds: Set[str]) -> str:
    """Kinds of tokens, as a list in words.

    >>> expected({"COMMA", "RSQB", "EQUAL"})
    '`,`, `=` or `]`'
    """
    left = set(kinds)
    words = []
    for members, name, implied in _SETS:
        if members <= left:
            words.append(name)
            left -= members | implied
    words += sorted(_SINGLE.get(kind, f"`{_SIGNS.get(kind, kind.lower())}`") for kind in left)
    return " or ".join(", ".join(words).rsplit(", ", 1)) if len(words) > 1 else "".join(words)
