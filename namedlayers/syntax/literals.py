"""Names, numbers and strings: from their spelling to what they stand for, or to what is wrong with it.

In: the characters of one token. Out: a normalised name or a value, or `Misspelt` with the piece that is wrong; whoever
knows where the token stands makes an error from it.
"""

from __future__ import annotations

import re
import unicodedata

_PRIMES = "'\u2032\u2033\u2034\u2057"
_RESERVED = "__BOUND"

_INTEGER = re.compile(r"0[xX](_?[0-9a-fA-F])+|0[oO](_?[0-7])+|0[bB](_?[01])+|0(_?0)*|[1-9](_?[0-9])*")
_DIGITS = r"[0-9](_?[0-9])*"
_FLOAT = re.compile(rf"(({_DIGITS})?\.{_DIGITS}|{_DIGITS}\.|{_DIGITS}(?=[eE]))([eE][+-]?{_DIGITS})?")
_IMAGINARY = re.compile(rf"(({_FLOAT.pattern})|{_DIGITS})[jJ]")

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "r": "\r", "t": "\t"}
_SURROGATE = re.compile("[\ud800-\udfff]")

# What people type where they mean something else.
_MEANT = {
    "\u2264": "write `<=`",
    "\u2265": "write `>=`",
    "\u2260": "write `!=`",
    "\u2212": "write `-`",
    "\u2013": "write `-`",
    "\u2014": "write `-`",
    "\u00d7": "write `*`, or `@[axes]` for a contraction",
    "\u00b7": "write `*`, or `@[axes]` for a contraction",
    "\u22c5": "write `*`, or `@[axes]` for a contraction",
    "\u00f7": "write `/`",
    "\u2192": "write `->`",
    "\u21d2": "write `->`",
    "\u201c": 'write `"`',
    "\u201d": 'write `"`',
    "\u2018": "write `'`",
    "\u2019": "write `'`",
    "\u221e": "write `inf`",
    "\u221a": "write `sqrt(…)`",
    "\u2211": "write `sum[axes](…)`",
    "\u220f": "write `prod[axes](…)`",
    "\u00b2": "write `^ 2`",
    "\u00b3": "write `^ 3`",
    "\u00ac": "write `not`",
    "\u2227": "write `and`",
    "\u2228": "write `or`",
    "&": "write `and`",
    "!": "write `not`",
    "$": "names are letters, digits and `_`",
    "?": "a choice between values is `where(condition, a, b)`",
    "{": "braces are not used: axes stand in `[…]`, arguments in `(…)`",
    "}": "braces are not used: axes stand in `[…]`, arguments in `(…)`",
    "\\": "a line goes on where a bracket is open: put the expression in `(…)`",
    "\r": "end lines with a line feed, or with carriage return and line feed",
}


class Misspelt(Exception):
    """A token that is not what it looks like: a code, what is wrong, which characters, and a hint."""

    def __init__(self, code: str, message: str, start: int, end: int, hint: str) -> None:
        super().__init__(message)
        self.code, self.message, self.start, self.end, self.hint = code, message, start, end, hint


def name(spelling: str) -> str:
    """The name that `spelling` stands for: in Unicode's normal form KC, its primes typewriter apostrophes.

    >>> name("seq\u2032"), name("\ufb01lter''"), name("µ") == name("μ")
    ("seq'", "filter''", True)
    """
    text = spelling
    if not spelling.isascii():
        _check_characters(spelling)
        text = unicodedata.normalize("NFKC", spelling).replace("\u2032", "'")
    if _RESERVED in text:
        raise Misspelt("NL0106", f"`{_RESERVED}` may not occur in a name", 0, len(spelling), "choose another name")
    return text


def number(text: str) -> int | float | complex:
    """The value of a number, written as in Python.

    >>> number("1_000"), number("0xff"), number("1e-5"), number(".5"), number("2j")
    (1000, 255, 1e-05, 0.5, 2j)
    """
    if _INTEGER.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return _finite(text, float(text))
    if _IMAGINARY.fullmatch(text):
        return complex(0, _finite(text, float(text[:-1])))
    digits = re.match(r"[0-9._]*", text)
    head = digits.group() if digits else ""
    rest = text[len(head) :]
    if re.fullmatch("0[0-9_]+", text):
        hint = f"leave the leading zeros out: `{text.lstrip('0_') or 0}`"
    elif _INTEGER.fullmatch(head) and rest.isidentifier() and not re.match("0[xXoObB]", text):
        hint = f"write `{head} * {rest}` for a product; a name cannot begin with a digit"
    else:
        hint = "numbers are written as in Python: `42`, `1_000`, `1e-5`, `.5`, `0xff`, `1j`"
    raise Misspelt("NL0105", f"`{text}` is not a number", 0, len(text), hint)


def string(text: str) -> str:
    r"""The value of a string with its quotes and escapes.

    >>> string(r"'it\'s'"), string(r'"a\tb\u00e9"')
    ("it's", 'a\tbé')
    """
    quote = text[0]
    if len(text) < 2 or text[-1] != quote:
        raise Misspelt(
            "NL0103", "a string is not closed", 0, len(text), f"end it with `{quote}` on the line where it begins"
        )
    parts: list[str] = []
    position = 1
    for escape in _ESCAPE.finditer(text, 1, len(text) - 1):
        parts += [text[position : escape.start()], _escaped(escape)]
        position = escape.end()
    value = "".join(parts) + text[position:-1]
    if wrong := _SURROGATE.search(text):
        raise stray(wrong.group(), wrong.start())
    return value


def stray(character: str, at: int) -> Misspelt:
    """What to say about a character, `at` characters into its token, that no token has."""
    printable = character.isprintable() and not character.isspace()
    shown = f"`{character}`" if printable else unicodedata.name(character, f"U+{ord(character):04X}")
    return Misspelt("NL0102", f"{shown} has no meaning in a formula", at, at + 1, _hint(character))


def _hint(character: str) -> str:
    if character in _MEANT:
        return _MEANT[character]
    plain = unicodedata.normalize("NFKC", character)
    if plain != character and plain.isascii() and plain.isprintable():
        return f"write `{plain}`" if plain.strip() else "write an ordinary space"
    return "" if character.isprintable() else "delete it: an editor may not show it"


def _check_characters(text: str) -> None:
    stem = text.rstrip(_PRIMES)
    if stem.isidentifier() and unicodedata.normalize("NFKC", stem).isidentifier():
        return
    # A digit or a mark may stand in a name but not begin it.
    wrong = (at for at, character in enumerate(stem) if not (("a" if at else "") + character).isidentifier())
    at = next(wrong, 0)
    raise stray(stem[at], at)


def _escaped(escape: re.Match[str]) -> str:
    code = escape.group(1)
    if code in _ESCAPES:
        return _ESCAPES[code]
    if code[0] in "xuU" and len(code) > 1:
        point = int(code[1:], 16)
        if point <= 0x10FFFF and not 0xD800 <= point <= 0xDFFF:
            return chr(point)
    raise Misspelt(
        "NL0104",
        f"`\\{code}` stands for no character",
        escape.start(),
        escape.end(),
        "the escapes are \\\\ \\' \\\" \\n \\r \\t \\xhh \\uhhhh \\Uhhhhhhhh; a backslash itself is `\\\\`",
    )


def _finite(text: str, value: float) -> float:
    if value in (float("inf"), float("-inf")):
        raise Misspelt("NL0105", f"`{text}` is too large for a number", 0, len(text), "infinity is written `inf`")
    return value
