"""What a token that does not fit is a sign of."""
from __future__ import annotations

from namedlayers.errors import FormulaSyntaxError, Label
from namedlayers.syntax.lexing import Scan, span_of


def diagnose(scanned: Scan, at: int, accepted: set[str]) -> FormulaSyntaxError:
    """The error of a text whose token number `at` is none of `accepted`."""
    token = scanned.tokens[at]
    return FormulaSyntaxError("NL0199", f"`{token}` was not expected here", Label(span_of(token, scanned.source)))
