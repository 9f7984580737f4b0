"""From a token that does not fit to an error that says what to do.

In: the tokens of a text, the number of the first that the grammar refuses, and what it would have taken there. Out: the
first of the known mistakes that the place is a sign of; where none is, an error that says in words what was expected.
"""

from __future__ import annotations

from collections.abc import Iterator

from lark import Token

from namedlayers.errors import FormulaSyntaxError, Label, Span, near_miss
from namedlayers.syntax.lexing import CLOSED_BY, Scan, is_layout, span_of
from namedlayers.syntax.mistakes import MISTAKES
from namedlayers.syntax.spot import Spot
from namedlayers.syntax.words import VALUES, expected, shown

_OUTSIDE = ("def", "layer", "import", "from")
_INSIDE = ("return", "require", "repeat", "scan", "param", "state", "elif")
_SIGNS = {"LPAR": ")", "LSQB": "]"}


def diagnose(scanned: Scan, at: int, accepted: set[str]) -> FormulaSyntaxError:
    """The error of a text whose token number `at` is none of `accepted`."""
    spot = _spot(scanned, at, accepted)
    if unclosed := _unclosed(scanned, at, spot):
        return unclosed
    for mistake in MISTAKES:
        if mistake.sign(spot):
            main = spot.token if mistake.where == "token" else spot.first if mistake.where == "line" else spot.before
            words = _words(spot)
            return FormulaSyntaxError(
                mistake.code,
                mistake.message.format(**words),
                Label(_place(scanned, at, main)),
                hint=mistake.hint.format(**words),
            )
    return FormulaSyntaxError(
        "NL0199",
        f"{shown(spot.token)} does not fit here",
        Label(_place(scanned, at, spot.token), f"expected {expected(accepted)}"),
    )


def _words(spot: Spot) -> dict[str, str]:
    """What the messages of mistakes may mention."""
    beginnings = _OUTSIDE if spot.outermost else _INSIDE
    near = near_miss(str(spot.first), beginnings) if spot.second in VALUES and len(spot.first) > 2 else ""
    return {
        "token": shown(spot.token),
        "before": shown(spot.before),
        "first": shown(spot.first),
        "first_word": str(spot.first),
        "sign": str(spot.token),
        "subject": spot.names[0] if spot.names else "x",
        "name": spot.names[-1] if spot.names else "x",
        "near": f"{near} " if near else "",
        "plain": str(spot.token) if spot.kind() == "NAME" else "axis",
    }


def _spot(scanned: Scan, at: int, accepted: set[str]) -> Spot:
    tokens = scanned.tokens
    start = at
    while start and not is_layout(tokens[start - 1]):
        start -= 1
    line = tuple(_until_line_ends(tokens, start))
    return Spot(line, at - start, frozenset(accepted), tuple(_open_before(tokens[start:at])))


def _until_line_ends(tokens: list[Token], start: int) -> Iterator[Token]:
    """The tokens of a line, its end included. A token of structure before it begins the line alone."""
    for token in tokens[start:]:
        yield token
        if is_layout(token):
            return


def _open_before(tokens: list[Token]) -> list[tuple[Token | None, Token]]:
    """The brackets that are open after `tokens`, each with the token that it follows."""
    brackets: list[tuple[Token | None, Token]] = []
    previous: Token | None = None
    for token in tokens:
        if token.type in CLOSED_BY:
            brackets.append((previous, token))
        elif brackets and token.type == CLOSED_BY[brackets[-1][1].type]:
            brackets.pop()
        previous = token
    return brackets


def _unclosed(scanned: Scan, at: int, spot: Spot) -> FormulaSyntaxError | None:
    """A bracket that is not closed anywhere, where a line begins or an unlikely sign stands before it is closed."""
    if not spot.brackets:
        return None
    opening = spot.brackets[-1][1]
    if not any(opening is token for token in scanned.open):
        return None
    text = scanned.source.text
    new_line = spot.before is not None and "\n" in text[spot.before.end_pos : spot.token.start_pos]
    if not (new_line or spot.token.type in _BEYOND or is_layout(spot.token)):
        return None
    close = _SIGNS[opening.type]
    return FormulaSyntaxError(
        "NL0107",
        f"`{opening}` is never closed",
        Label(_place(scanned, at, None), f"`{close}` is missing, here or before"),
        Label(span_of(opening, scanned.source), "opened here"),
    )


# What stands in brackets only by mistake.
_BEYOND = frozenset({"COLON", "ARROW", "EQUAL", "RETURN", "IF", "DEF", "TILDE"})


def _place(scanned: Scan, at: int, token: Token | None) -> Span:
    """Where a token stands; the end of a line or of a block is shown after the last sign before it."""
    if token is not None and token.type == "_INDENT":
        token = scanned.tokens[at + 1]
    if token is not None and not is_layout(token):
        return span_of(token, scanned.source)
    real = (scanned.tokens[i] for i in range(at - 1, -1, -1) if not is_layout(scanned.tokens[i]))
    end = next((before.end_pos or 0 for before in real), 0)
    return Span(scanned.source, end, end)
