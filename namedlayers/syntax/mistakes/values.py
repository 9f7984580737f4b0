"""Signs that are none of the language's, and values, indices and arguments that lack something."""

from __future__ import annotations

from itertools import pairwise

from namedlayers.syntax.mistakes.mistake import DEFINITIONS, ENDS, HEAD_ENDS, Mistake
from namedlayers.syntax.spot import Spot
from namedlayers.syntax.words import NAMES, OPERATORS

_HEADED = DEFINITIONS | {"PARAM", "STATE"}
_CLOSING = frozenset({"RPAR", "RSQB", "COMMA", "SEMICOLON", "COLON"})
_OPERATING = OPERATORS | {"NOT"}
_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
_ODD = frozenset({"EQUAL", "ARROW", "DOT", "TILDE"})
_OPERANDS = NAMES | {"NUMBER", "STRING", "BAR", "NOT"}


def _part_of_split(spot: Spot) -> bool:
    """A number among the parts of an axis that is split."""
    inside = any(opened.type == "LSQB" for _, opened in spot.brackets)
    return spot.kind() == "NUMBER" and spot.within("LPAR") and inside and spot.bracket_follows == "ARROW"


def _applied(spot: Spot) -> bool:
    """Whether the brackets that are open here close before a parenthesis: `softmax[-1](X)`."""
    depth = 1
    for token, after in pairwise((*spot.line[spot.at :], None)):
        depth += (token.type in ("LPAR", "LSQB")) - (token.type in ("RPAR", "RSQB")) if token is not None else 0
        if depth == 0:
            return after is not None and after.type == "LPAR"
    return False


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

VALUES: tuple[Mistake, ...] = (
    Mistake(
        "NL0125",
        lambda s: s.within("LSQB") and s.text() in (".", "...") and s.text(1) in (".", ""),
        "`...` stands for nothing in a formula",
        "leave it out: a formula applies to tensors that have more axes than it names",
    ),
    Mistake(
        "NL0125",
        lambda s: s.within("LSQB") and s.kind(-1) == "ARROW" and s.kind() == "NUMBER" or _part_of_split(s),
        "a part of an axis has a name, and {token} is none",
        "write the size behind it: `X[layer -> (heads = 8, key)]`",
    ),
    Mistake(
        "NL0125",
        lambda s: s.within("LSQB") and s.kind() == "COLON" and s.kind(-1) in NAMES and "EQUAL" in s.accepted,
        "`:` does not follow the name of an axis",
        "a size is written `X[{name} = 3]`, a slice `X[{name} = 2:8]`",
    ),
    Mistake(
        "NL0127",
        lambda s: s.kind() == "EQUAL" and s.within("LSQB") and s.bracket_follows == "ARROW",
        "the axes of a result have no sizes of their own",
        "say the size where the axis begins, `kernel = 3`, or in a line: `|axis| = 3`",
    ),
    Mistake(
        "NL0125",
        lambda s: s.within("LSQB") and s.wants_axis and s.first.type in _HEADED and not s.outside & HEAD_ENDS,
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
        lambda s: s.within("LSQB") and str(s.brackets[-1][0]) == "shape",
        "sizes are not numbered",
        "the size of an axis is written `|axis|`",
    ),
    Mistake(
        "NL0125",
        lambda s: s.within("LSQB") and s.kind(-1) in ("LSQB", "COMMA") and s.kind() not in _CLOSING and _applied(s),
        "these brackets hold the names of axes, and {token} is none",
        "name them: `softmax[seq](X)`; a size stands behind the name of a new axis: `kernel = 3`",
    ),
    Mistake(
        "NL0125",
        lambda s: s.within("LSQB") and s.kind(-1) in ("LSQB", "COMMA") and s.kind() not in _CLOSING - {"COLON"},
        "an index begins with the name of its axis, and {token} is none",
        "write `X[seq = 0]`, `X[seq = 2:8]`, `X[seq -> other]`; axes have no order",
    ),
    Mistake(
        "NL0125",
        lambda s: s.within("LSQB") and {"EQUAL", "ARROW"} <= s.accepted and s.text() in _COMPARISONS,
        "an index says places, and a condition is none",
        "choose by a condition with `where(mask, X, 0)`; how many it leaves would be no size that is known",
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
        "NL0131",
        lambda s: s.first.type in NAMES - _HEADED and any(token.type == "TILDE" for token in s.line),
        "`~` says how a parameter or a state begins, and this line declares neither",
        "write `param W[axes] ~ …` for what is learned, `state s[axes] ~ …` for what calls write",
        "line",
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
        lambda s: s.wants_value and s.kind(-1) in _OPERATING and (s.kind() in ENDS | _CLOSING | OPERATORS | _ODD),
        "a value is missing between {before} and {token}",
    ),
    Mistake(
        "NL0123",
        lambda s: s.wants_value and s.kind() in ENDS | _CLOSING | OPERATORS | _ODD,
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
