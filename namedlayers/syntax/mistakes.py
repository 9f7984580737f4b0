"""The mistakes that people make, as data: how each is seen, and what to say.

In: the place of a token that does not fit. Out: the first row whose sign is there is the mistake; rows with a narrower
sign stand first. In messages and hints `{token}` is the token, `{before}` the one before it, `{first}` the first of its
line; `{subject}` and `{name}` are the first and the last name before it; `{near}` is the keyword that may be meant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from namedlayers.syntax.spot import Spot
from namedlayers.syntax.words import HARD, NAMES, OPERATORS


@dataclass(frozen=True, slots=True)
class Mistake:
    """`where` is what the error points at: the `token`, the one `before` it, or the first of the `line`."""

    code: str
    sign: Callable[[Spot], bool]
    message: str
    hint: str = ""
    where: str = "token"


_ENDS = frozenset({"_NEWLINE", "_DEDENT", "$END"})
_BLOCKS = frozenset({"IF", "ELIF", "ELSE", "REPEAT", "SCAN"})
_DEFINITIONS = frozenset({"DEF", "LAYER"})
_HEADED = _DEFINITIONS | {"PARAM", "STATE"}
_HEAD_ENDS = frozenset({"EQUAL", "COLON", "TILDE"})
_CLOSING = frozenset({"RPAR", "RSQB", "COMMA", "SEMICOLON", "COLON"})
_OPERATING = OPERATORS | {"NOT"}
_ODD = frozenset({"EQUAL", "ARROW", "DOT", "TILDE"})
_OPERANDS = NAMES | {"NUMBER", "STRING", "BAR", "NOT"}

_LOOPS = frozenset("for while loop do".split())
_FOREIGN = frozenset(
    "class try except finally pass break continue assert raise async await global nonlocal del yield match case switch "
    "function fn func fun let const end print with".split()
)

_IMPORTS = "the forms are `import norm` and `from conv import conv1d, conv2d`; imports bring in formulas, never Python"
_SCANS = "the forms are `scan time with h = h0:`, `scan time reversed with h = h0:` and `scan step = 10 with x = x0:`"
_HEADS = "a definition is `def name[axes](inputs; parameters and options) -> [axes] = value`, or `:` and a block"


def _lacks_colon(spot: Spot) -> bool:
    """A head is complete but for its colon."""
    ended = spot.kind() in _ENDS or spot.kind() == "RETURN" or spot.kind(-1) == "ELSE"
    return "COLON" in spot.accepted and spot.first.type in _BLOCKS | _DEFINITIONS and not spot.brackets and ended


def _in_signature(spot: Spot) -> bool:
    """Among the inputs of a definition, where its parameters are listed."""
    within = len(spot.brackets) == 1 and spot.within("LPAR")
    return within and spot.first.type in _DEFINITIONS and not spot.outside & _HEAD_ENDS


WORDS: tuple[Mistake, ...] = (
    Mistake(
        "NL0116",
        lambda s: str(s.first) in _LOOPS and s.second != "EQUAL",
        "there are no general loops, and {first} has no meaning here",
        "work on whole axes; `repeat n as i:` does a block a fixed number of times, `scan axis with state = start:` "
        "goes along an axis",
        "line",
    ),
    Mistake(
        "NL0117",
        lambda s: s.text(-1) == "lambda",
        "there are no anonymous functions",
        "write a definition, `def name(X) = …`; its name may be the value of an option",
        "before",
    ),
    Mistake(
        "NL0118",
        lambda s: str(s.first) in _FOREIGN and s.second != "EQUAL" and s.at <= 1,
        "{first} begins no statement of the language",
        "statements are `name = value`, `|axis| = size`, `require`, `if`, `repeat`, `scan`, `param`, `state`, `return`",
        "line",
    ),
    Mistake(
        "NL0118",
        lambda s: s.at == 0 and s.kind() == "CONTRACT",
        "there are no decorators",
        "how a formula is compiled is said where it is compiled",
    ),
    Mistake(
        "NL0119",
        lambda s: s.kind() == "IF" and s.has_value,
        "there is no conditional expression",
        "choose elementwise with `where(condition, a, b)`, or by an option with an `if` block",
    ),
    Mistake(
        "NL0119",
        lambda s: (s.kind(-1) == "ELSE" and s.kind() == "IF") or str(s.first) in ("elseif", "elsif"),
        "a further condition is written `elif`",
        "write `elif condition:`",
    ),
    Mistake(
        "NL0119",
        lambda s: s.at == 0 and s.kind() in ("ELIF", "ELSE"),
        "{token} has no `if` before it",
        "`if`, `elif` and `else` of one choice are indented alike",
    ),
    Mistake(
        "NL0137",
        lambda s: s.has_value and s.text() in ("is", "in") and s.first.type != "REPEAT",
        "{token} is no operator of the language",
        "equality is `==`",
    ),
)

LINES: tuple[Mistake, ...] = (
    Mistake(
        "NL0101",
        lambda s: s.outermost and s.kind() == "$END",
        "the text holds no definition",
        "a formula begins with `def name(inputs) = …` or `layer name(inputs):`",
    ),
    Mistake(
        "NL0111",
        lambda s: s.accepted == {"_INDENT"},
        "the block after `:` is missing",
        "indent its statements further than the line that it belongs to; a definition ends in `return value`",
    ),
    Mistake(
        "NL0109",
        lambda s: s.kind() == "_INDENT",
        "this line is indented further than the line before it, where no block begins",
        "a block begins after a line that ends in `:`; a long expression goes on inside brackets",
    ),
    Mistake(
        "NL0136",
        lambda s: s.at == 0 and s.kind() == "STRING",
        "a string is no statement",
        "write what is to be said in a comment: `# …`",
    ),
    Mistake(
        "NL0130",
        lambda s: s.at_statement and s.kind() == "DEF" or s.at == 1 and s.kind(-1) == "LAYER" and s.kind() in NAMES,
        "a definition cannot stand inside a definition",
        "put it beside this one, and give it what it needs as inputs",
        "line",
    ),
    Mistake(
        "NL0129",
        lambda s: s.outermost and s.kind() not in _ENDS,
        "{token} begins neither a definition nor an import, and nothing else stands outside of definitions",
        "{near}a formula begins with `def name(inputs) = …` or `layer name(inputs):`",
    ),
    Mistake("NL0133", lambda s: s.first.type in ("IMPORT", "FROM"), "this is not how imports are written", _IMPORTS),
    Mistake(
        "NL0138",
        lambda s: s.kind() == "SEMICOLON" and not s.brackets,
        "`;` does not end a statement",
        "write one statement a line; `;` stands in brackets, before parameters and options",
    ),
    Mistake(
        "NL0135",
        lambda s: s.kind() == "SEMICOLON" and (s.within("LPAR") or s.within("LSQB")),
        "`;` does not fit here",
        "brackets hold at most one `;`: before it stand data or axes, after it parameters and options",
    ),
)

SIGNS: tuple[Mistake, ...] = (
    Mistake(
        "NL0121",
        lambda s: s.kind() == "COMMA" and s.has_value and not s.brackets,
        "one value stands here, and no comma after it",
        "several values are the results of a block: `return a, b`; a tuple stands in parentheses",
    ),
    Mistake(
        "NL0114",
        lambda s: s.kind(-1) == "CONTRACT",
        "a contraction says over which axes it goes",
        "name the axes: `A @[key] B`",
        "before",
    ),
    Mistake(
        "NL0122",
        lambda s: s.at == 1 and s.kind() in OPERATORS and s.kind(1) == "EQUAL" and s.adjacent(1),
        "no assignment updates a value",
        "write `{subject} = {subject} {sign} …`",
    ),
    Mistake(
        "NL0115",
        lambda s: s.joins("=", ">"),
        "`=>` is no sign of the language",
        "an arrow is `->`, greater or equal is `>=`",
    ),
    Mistake("NL0115", lambda s: s.joins("=", "<"), "`=<` is no sign of the language", "less or equal is `<=`"),
    Mistake("NL0115", lambda s: s.joins("<", ">"), "`<>` is no sign of the language", "unequal is `!=`"),
    Mistake("NL0115", lambda s: s.joins("==", "="), "`===` is no sign of the language", "equal is `==`"),
    Mistake(
        "NL0115",
        lambda s: s.kind() == "ARROW" and (s.has_value or s.at_statement),
        "an arrow does not fit here",
        "`->` stands in brackets, `X[old -> new]`, and before the result's axes, `def f(X[a]) -> [b]`",
    ),
    Mistake(
        "NL0113",
        lambda s: s.text() == "==" and s.at == 1 and s.kind(-1) in NAMES,
        "`==` compares; `=` gives a name to a value",
        "write `{subject} = …`",
    ),
    Mistake(
        "NL0113",
        lambda s: s.kind() == "EQUAL" == s.kind(-1),
        "one `=` follows another",
        "`=` gives a name to a value; `==` compares",
    ),
    Mistake(
        "NL0113",
        lambda s: s.kind() == "COLON" and s.kind(1) == "EQUAL" and s.adjacent(1),
        "`:=` is no sign of the language",
        "write `name = value` on a line of its own",
    ),
    Mistake(
        "NL0113",
        lambda s: s.kind() == "EQUAL" and s.has_value and not s.brackets and s.kind(1 - s.at) == "EQUAL",
        "one statement gives one value its name",
        "write `==` to compare, or a line for each name",
    ),
    Mistake(
        "NL0113",
        lambda s: s.kind() == "EQUAL" and s.has_value and s.at > 1,
        "`=` gives a name to a value; `==` compares",
        "write `==`",
    ),
    Mistake(
        "NL0137",
        lambda s: s.kind() == "BAR" and s.has_value and "BAR" not in (s.kind(2), s.kind(4)),
        "`|` is no operator of the language",
        "write `or`; `|axis|` is the size of an axis",
    ),
    Mistake(
        "NL0137",
        lambda s: s.kind() == "TILDE" and s.wants_value,
        "`~` is no operator of the language",
        "write `not`",
    ),
    Mistake(
        "NL0126",
        lambda s: s.accepted == {"BAR", "COMMA"} or (s.kind(-1) == "BAR" and s.wants_axis),
        "`|…|` holds the names of axes, and {token} is none",
        "`|h, w|` is a size; the absolute value is `abs(X)`, a norm is `norm[axes](X)`",
    ),
)

HEADS: tuple[Mistake, ...] = (
    Mistake(
        "NL0140",
        lambda s: s.first.type == "BAR" and s.accepted == {"EQUAL"},
        "a line that begins with a size states it",
        "write `|axis| = …`; what is to be checked is `require |axis| == …`",
    ),
    Mistake(
        "NL0120",
        lambda s: s.kind() in HARD - {"AND", "OR", "NOT"} and (s.wants_value or "NAME" in s.accepted),
        "{token} is a keyword, which cannot name a value",
        "choose another name; an axis may have this one",
    ),
    Mistake(
        "NL0127",
        lambda s: s.kind(-1) == "ARROW" and s.first.type in _DEFINITIONS and not s.brackets,
        "the axes of the result stand in square brackets",
        "write `-> [{plain}]`; several results are `-> [a, b], [c]`, a result without axes is `-> []`",
    ),
    Mistake("NL0128", lambda s: s.kind(-1) in _DEFINITIONS and s.at == 1, "{before} lacks a name", _HEADS),
    Mistake(
        "NL0128",
        lambda s: s.first.type in _DEFINITIONS and s.at in (2, 3) and "LPAR" in s.accepted,
        "the inputs of `{name}` are missing",
        "they stand in parentheses, `def f(X[axis])`, also when there are none: `def f()`",
    ),
    Mistake(
        "NL0128",
        lambda s: _in_signature(s) and s.kind() == "COLON",
        "an input has axes, not a type",
        "write the axes in brackets: `{name}[axis]`; what is an option has neither",
    ),
    Mistake(
        "NL0128",
        lambda s: _in_signature(s) and s.kind() in ("STAR", "POWER"),
        "there are no inputs of any number",
        "stars stand before axes: `X[*axes]` takes tensors of any number of axes",
    ),
    Mistake(
        "NL0128",
        lambda s: _in_signature(s) and "NAME" in s.accepted and s.kind() in ("NUMBER", "STRING", "LPAR", "LSQB"),
        "an input is a name, with its axes in brackets",
        _HEADS,
    ),
    Mistake(
        "NL0112",
        lambda s: _lacks_colon(s) and s.first.type in _DEFINITIONS,
        "`:` is missing",
        "`:` and a block follow, or `= value` on the same line",
    ),
    Mistake("NL0112", _lacks_colon, "`:` is missing", "the line before a block ends in `:`"),
    Mistake(
        "NL0131",
        lambda s: s.first.type in ("PARAM", "STATE") and s.at >= 1 and "TILDE" in s.accepted,
        "{first} says how its values begin after `~`",
        "write `{first_word} {subject}[axes] ~ zeros`, with any initialiser or expression",
    ),
    Mistake(
        "NL0131",
        lambda s: s.first.type in ("PARAM", "STATE") and s.at == 2 and "LSQB" in s.accepted,
        "{first} says its axes in brackets",
        "write `{first_word} {subject}[axes] ~ zeros`; one number is `{first_word} {subject}[] ~ zeros`",
    ),
    Mistake(
        "NL0132",
        lambda s: s.first.type == "SCAN" and s.at >= 1 and "COLON" not in s.accepted and not s.has_value,
        "this is not how a scan begins",
        _SCANS,
    ),
    Mistake(
        "NL0132",
        lambda s: s.first.type == "SCAN" and s.at > 1 and not s.brackets,
        "this is not how a scan begins",
        _SCANS,
    ),
    Mistake(
        "NL0132",
        lambda s: s.first.type == "REPEAT" and s.at >= 1 and not s.brackets,
        "this is not how a repetition begins",
        "the forms are `repeat n:` and `repeat n as i:`",
    ),
)

VALUES: tuple[Mistake, ...] = (
    Mistake(
        "NL0125",
        lambda s: s.within("LSQB") and s.wants_axis and s.first.type in _HEADED and not s.outside & _HEAD_ENDS,
        "these brackets hold the names of axes, and {token} is none",
        "the size of an axis is written `X[chans = 3]`",
    ),
    Mistake(
        "NL0125",
        lambda s: s.within("LSQB") and s.bracket_follows == "CONTRACT",
        "the brackets of a contraction hold the names of axes",
        "write `A @[i, j] B`",
    ),
    Mistake(
        "NL0125",
        lambda s: s.within("LSQB") and s.kind(-1) in ("LSQB", "COMMA") and s.kind() not in _CLOSING - {"COLON"},
        "an index begins with the name of its axis, and {token} is none",
        "write `X[seq = 0]`, `X[seq = 2:8]`, `X[seq -> other]`; axes have no order",
    ),
    Mistake(
        "NL0125",
        lambda s: s.within("LSQB") and "EQUAL" in s.accepted and "ARROW" in s.accepted and s.kind() in OPERATORS,
        "an index says its axis before it says the place",
        "write `X[seq = seq + 1]`",
    ),
    Mistake(
        "NL0139",
        lambda s: s.kind() == "LSQB" and s.wants_value,
        "there are no lists",
        "`(1, 2)` is a tuple; tensors are joined by `stack[axis](A, B)` and `concat[axis](A, B)`",
    ),
    Mistake(
        "NL0121",
        lambda s: s.at_statement and s.kind() == "LPAR" and s.assigned,
        "the names of several values stand without parentheses",
        "write `p, q = f(X)`",
    ),
    Mistake(
        "NL0121",
        lambda s: s.at_statement,
        "{token} begins no statement",
        "a statement gives a name to a value, `name = value`, or is the `return`",
    ),
    Mistake(
        "NL0121",
        lambda s: s.at >= 1 and s.first.type in NAMES and s.accepted == {"EQUAL", "COMMA"} and s.assigned,
        "only a name can be given a value",
        "values never change: make a new one, with `where`, `concat` or an index, and give it a name",
        "line",
    ),
    Mistake(
        "NL0121",
        lambda s: s.at >= 1 and s.first.type in NAMES and s.accepted == {"EQUAL", "COMMA"},
        "a value by itself does nothing",
        "{near}give it a name, `name = value`, or `return` it",
        "line",
    ),
    Mistake("NL0123", lambda s: s.kind(-1) == "DOT", "a name is missing after `.`", "`module.name` is a definition"),
    Mistake(
        "NL0123",
        lambda s: s.wants_value and s.kind(-1) in _OPERATING and (s.kind() in _ENDS | _CLOSING | OPERATORS | _ODD),
        "a value is missing between {before} and {token}",
    ),
    Mistake(
        "NL0123",
        lambda s: s.wants_value and s.kind() in _ENDS | _CLOSING | OPERATORS | _ODD,
        "a value is missing after {before}",
    ),
    Mistake(
        "NL0124",
        lambda s: s.has_value and s.kind() in _OPERANDS and bool(s.brackets),
        "a comma or an operator is missing between {before} and {token}",
        "arguments are parted by `,`; a product is `a * b`, a contraction `A @[axis] B`",
    ),
    Mistake(
        "NL0124",
        lambda s: s.has_value and s.kind() in _OPERANDS,
        "an operator is missing between {before} and {token}",
        "a product is `a * b`, a contraction `A @[axis] B`; a function is applied as `f(X)`",
    ),
    Mistake(
        "NL0124",
        lambda s: bool(s.brackets) and "COMMA" in s.accepted and s.kind() in NAMES | {"STAR", "LPAR", "NUMBER"},
        "a comma is missing between {before} and {token}",
        "axes and inputs are parted by `,`",
    ),
)

MISTAKES: tuple[Mistake, ...] = (*WORDS, *LINES, *SIGNS, *HEADS, *VALUES)
