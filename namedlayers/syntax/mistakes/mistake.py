"""One mistake as a row of a table, and the kinds of tokens that several tables speak of.

In messages and hints `{token}` is the token, `{before}` the one before it, `{first}` the first of its line; `{subject}`
and `{name}` are the first and the last name before it; `{near}` is the keyword that may be meant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from namedlayers.syntax.spot import Spot

ENDS = frozenset({"_NEWLINE", "_DEDENT", "$END"})
DEFINITIONS = frozenset({"DEF", "LAYER"})
HEAD_ENDS = frozenset({"EQUAL", "COLON", "TILDE"})


@dataclass(frozen=True, slots=True)
class Mistake:
    """`where` is what the error points at: the `token`, the one `before` it, or the first of the `line`."""

    code: str
    sign: Callable[[Spot], bool]
    message: str
    hint: str = ""
    where: str = "token"
