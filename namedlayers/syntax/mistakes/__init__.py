"""The mistakes that people make, as data: how each is seen, and what to say.

In: the place of a token that does not fit. Out: the first row whose sign is there is the mistake; rows with a narrower
sign stand first.
"""

from __future__ import annotations

from namedlayers.syntax.mistakes.heads import HEADS
from namedlayers.syntax.mistakes.mistake import Mistake
from namedlayers.syntax.mistakes.statements import LINES, WORDS
from namedlayers.syntax.mistakes.values import SIGNS, VALUES

__all__ = ["MISTAKES", "Mistake"]

MISTAKES: tuple[Mistake, ...] = (*WORDS, *LINES, *SIGNS, *HEADS, *VALUES)
