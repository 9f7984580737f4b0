"""Heads that are not written so: of definitions, blocks, parameters, scans and repetitions."""

from __future__ import annotations

from namedlayers.syntax.mistakes.mistake import DEFINITIONS, ENDS, HEAD_ENDS, Mistake
from namedlayers.syntax.spot import Spot
from namedlayers.syntax.words import HARD

_BLOCKS = frozenset({"IF", "ELIF", "ELSE", "REPEAT", "SCAN"})

_SCANS = "the forms are `scan time with h = h0:`, `scan time reversed with h = h0:` and `scan step = 10 with x = x0:`"
_HEADS = "a definition is `def name[axes](inputs; parameters and options) -> [axes] = value`, or `:` and a block"


def _lacks_colon(spot: Spot) -> bool:
    """A head is complete but for its colon."""
    ended = spot.kind() in ENDS or spot.kind() == "RETURN" or spot.kind(-1) == "ELSE"
    return "COLON" in spot.accepted and spot.first.type in _BLOCKS | DEFINITIONS and not spot.brackets and ended


def _in_signature(spot: Spot) -> bool:
    """Among the inputs of a definition, where its parameters are listed."""
    within = len(spot.brackets) == 1 and spot.within("LPAR")
    return within and spot.first.type in DEFINITIONS and not spot.outside & HEAD_ENDS


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
        lambda s: s.kind(-1) == "ARROW" and s.first.type in DEFINITIONS and not s.brackets,
        "the axes of the result stand in square brackets",
        "write `-> [{plain}]`; several results are `-> [a, b], [c]`, a result without axes is `-> []`",
    ),
    Mistake("NL0128", lambda s: s.kind(-1) in DEFINITIONS and s.at == 1, "{before} lacks a name", _HEADS),
    Mistake(
        "NL0128",
        lambda s: s.first.type in DEFINITIONS and s.at in (2, 3) and "LPAR" in s.accepted,
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
        lambda s: _lacks_colon(s) and s.first.type in DEFINITIONS,
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
