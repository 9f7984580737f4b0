"""The place of a token that does not fit, with the questions that tell one mistake from another.

In: a line of tokens, the number of the token, what would have fitted, the open brackets. Out: answers; nothing is
decided here.
"""

from __future__ import annotations

from dataclasses import dataclass

from lark import Token

from namedlayers.syntax.words import VALUES


@dataclass(frozen=True, slots=True)
class Spot:
    """A token that does not fit: its line, its number there, what would have fitted, and the brackets open before it.

    Each bracket comes with the token before it.
    """

    line: tuple[Token, ...]
    at: int
    accepted: frozenset[str]
    brackets: tuple[tuple[Token | None, Token], ...]

    @property
    def token(self) -> Token:
        return self.line[self.at]

    @property
    def before(self) -> Token | None:
        return self.line[self.at - 1] if self.at else None

    @property
    def first(self) -> Token:
        return self.line[0]

    @property
    def second(self) -> str:
        """The kind of the second token of the line."""
        return self.line[1].type if len(self.line) > 1 else ""

    @property
    def names(self) -> list[str]:
        """The names in the line before the token."""
        return [str(token) for token in self.line[: self.at] if token.type == "NAME"]

    def kind(self, offset: int = 0) -> str:
        """The kind of the token, or of one beside it; empty beyond the line."""
        return self.line[self.at + offset].type if 0 <= self.at + offset < len(self.line) else ""

    def text(self, offset: int = 0) -> str:
        return str(self.line[self.at + offset]) if 0 <= self.at + offset < len(self.line) else ""

    def adjacent(self, offset: int) -> bool:
        """Whether no blank lies between the token and the one beside it."""
        low, high = sorted((self.at, self.at + offset))
        return 0 <= low and high < len(self.line) and self.line[low].end_pos == self.line[high].start_pos

    def joins(self, first: str, second: str) -> bool:
        """Whether the token, with the one before or after it, is two signs written as one."""
        pairs = ((self.text(-1), self.text()), (self.text(), self.text(1)))
        return any(pair == (first, second) and self.adjacent(at) for pair, at in zip(pairs, (-1, 1), strict=True))

    def within(self, bracket: str) -> bool:
        """Whether the innermost open bracket is of a kind."""
        return bool(self.brackets) and self.brackets[-1][1].type == bracket

    @property
    def wants_value(self) -> bool:
        return self.accepted >= VALUES

    @property
    def has_value(self) -> bool:
        return "OR" in self.accepted and not self.wants_axis

    @property
    def wants_axis(self) -> bool:
        return {"NAME", "DEF", "OR"} <= self.accepted

    @property
    def at_statement(self) -> bool:
        """Whether a statement should begin here."""
        return self.at == 0 and self.accepted >= {"RETURN", "IF", "BAR"}

    @property
    def outermost(self) -> bool:
        """Whether a definition or an import should begin here."""
        return "DEF" in self.accepted and "RETURN" not in self.accepted and self.at == 0

    @property
    def outside(self) -> frozenset[str]:
        """The kinds of the tokens before this one that stand in no bracket."""
        depth, kinds = 0, set()
        for token in self.line[: self.at]:
            depth -= token.type in ("RPAR", "RSQB")
            if depth == 0:
                kinds.add(token.type)
            depth += token.type in ("LPAR", "LSQB")
        return frozenset(kinds)

    @property
    def assigned(self) -> bool:
        """Whether an `=` stands in the line outside of brackets, at the token or after it."""
        depth = len(self.brackets)
        for token in self.line[self.at :]:
            depth += (token.type in ("LPAR", "LSQB")) - (token.type in ("RPAR", "RSQB"))
            if depth == 0 and token.type == "EQUAL":
                return True
        return False

    @property
    def bracket_follows(self) -> str:
        """The kind of the token before the innermost open bracket."""
        before = self.brackets[-1][0] if self.brackets else None
        return before.type if before else ""
