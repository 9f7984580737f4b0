"""From characters to tokens: checked one by one, with the structure of the lines put among them.

In: a source. Out: the tokens that the parser eats, the comments, the brackets that nothing closes, and the first error
that can be seen without a grammar. What always holds: outside brackets a line ends in `_NEWLINE`; every `_INDENT` has
its `_DEDENT`; a text without errors ends in `$END`; names are normalised; positions are those of the user's text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lark import Token, UnexpectedCharacters

from namedlayers.errors import FormulaSyntaxError, Label, Source, Span
from namedlayers.syntax import literals
from namedlayers.syntax.grammar import grammar
from namedlayers.syntax.limits import DEEPEST, LONGEST_NUMBER, number_too_long, too_deep

CLOSED_BY = {"LPAR": "RPAR", "LSQB": "RSQB"}
_OPENED_BY = {close: opening for opening, close in CLOSED_BY.items()}
_SIGNS = {"LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]"}


@dataclass(slots=True)
class Scan:
    """The tokens of a text, as far as they make sense; `error` says what stopped them."""

    source: Source
    tokens: list[Token] = field(default_factory=list)
    comments: list[tuple[int, int, str]] = field(default_factory=list)
    lines: tuple[int, int] = (1, 0)
    """The line reached by the comments so far, and where it begins."""
    open: list[Token] = field(default_factory=list)
    error: FormulaSyntaxError | None = None


def scan(source: Source) -> Scan:
    """The tokens of `source`.

    >>> [str(token) for token in scan(Source("def f(X) = X'")).tokens]
    ['def', 'f', '(', 'X', ')', '=', "X'", '', '']
    """
    result = Scan(source)
    indents: list[str] = []
    try:
        _lay_out(result, indents)
    except FormulaSyntaxError as error:
        result.error = error
        return result
    end = len(source.text)
    if result.tokens and result.tokens[-1].type != "_NEWLINE":
        result.tokens.append(_layout_token("_NEWLINE", end))
    result.tokens += [_layout_token("_DEDENT", end) for _ in indents[1:]]
    result.tokens.append(_layout_token("$END", end))
    return result


def span_of(token: Token, source: Source) -> Span:
    """Where a token stands; what stands for structure takes no room."""
    start = token.start_pos or 0
    return Span(source, start, start if is_layout(token) else token.end_pos or start)


def is_layout(token: Token) -> bool:
    """Whether a token stands for the structure of the lines rather than for characters."""
    return token.type[0] in "_$"


def _lay_out(result: Scan, indents: list[str]) -> None:
    """Read the tokens into `result`, and turn line ends and the blanks after them into structure."""
    source, tokens, brackets = result.source, result.tokens, result.open
    fresh = True
    for token in _checked(result):
        kind = token.type
        if kind == "_NEWLINE":
            if not fresh and not brackets:
                tokens.append(token)
                fresh = True
            continue
        if fresh:
            tokens += _indentation(token, source, indents)
            fresh = False
        if kind in CLOSED_BY:
            brackets.append(token)
            if len(brackets) > DEEPEST:
                raise too_deep(span_of(token, source), "brackets")
        elif kind in _OPENED_BY:
            _close(token, brackets, source)
        tokens.append(token)


def _checked(result: Scan) -> Iterator[Token]:
    """The tokens as the lexer finds them, each of which stands for something; the comments between them are kept."""
    source = result.source
    session = grammar().parse_interactive(source.text)
    end = 0
    try:
        for token in session.lexer_thread.lex(session.parser_state):
            start, end_before, end = token.start_pos or 0, end, token.end_pos or 0
            _keep_comments(result, end_before, start)
            if token.type in _CHECKS:
                token = _checked_token(token, source)
            yield token
    except UnexpectedCharacters as unexpected:
        at = unexpected.pos_in_stream or 0
        raise _error(literals.stray(source.text[at], 0), source, at) from None
    _keep_comments(result, end, len(source.text))


def _checked_token(token: Token, source: Source) -> Token:
    start = token.start_pos or 0
    if token.type == "NUMBER" and len(token) > LONGEST_NUMBER:
        raise number_too_long(Span(source, start, start + len(token)))
    try:
        value = _CHECKS[token.type](str(token))
    except literals.Misspelt as wrong:
        raise _error(wrong, source, start) from None
    if token.type == "NAME" and value != token:
        # A keyword in other letters (`ｄｅｆ`) is that keyword.
        return token.update(type=_KEYWORDS.get(str(value), "NAME"), value=value)
    return token


def _error(wrong: literals.Misspelt, source: Source, start: int) -> FormulaSyntaxError:
    span = Span(source, start + wrong.start, start + wrong.end)
    return FormulaSyntaxError(wrong.code, wrong.message, Label(span), hint=wrong.hint)


def _keep_comments(result: Scan, start: int, end: int) -> None:
    """Keep the comment in `text[start:end]`, which holds nothing but blanks and at most one comment."""
    text = result.source.text
    at = text.find("#", start, end)
    if at >= 0:
        line, begin = result.lines
        line += text.count("\n", begin, at)
        begin = max(begin, text.rfind("\n", begin, at) + 1)
        result.lines = (line, begin)
        result.comments.append((line, at - begin + 1, text[at:end].rstrip()))


def _indentation(token: Token, source: Source, indents: list[str]) -> Iterator[Token]:
    """What the blanks before the first token of a line mean; `indents` are those of the open blocks, as written."""
    start = token.start_pos or 0
    blanks = source.text[source.text.rfind("\n", 0, start) + 1 : start].replace("\f", "")
    if not indents:
        indents.append(blanks)
        return
    if blanks.startswith(indents[-1]):
        if blanks != indents[-1]:
            indents.append(blanks)
            if len(indents) > DEEPEST:
                raise too_deep(span_of(token, source), "blocks")
            yield _layout_token("_INDENT", start)
        return
    while len(indents) > 1 and indents[-1] != blanks and indents[-1].startswith(blanks):
        indents.pop()
        yield _layout_token("_DEDENT", start)
    if indents[-1] != blanks:
        raise _misaligned(Span(source, start - len(blanks), start), indents[-1])


def _misaligned(span: Span, block: str) -> FormulaSyntaxError:
    if "\t" in span.text + block and not span.text.startswith(block):
        return FormulaSyntaxError(
            "NL0110",
            "this line is indented by other characters than the lines before it",
            Label(span, f"{_blanks(span.text)}, where the block has {_blanks(block)}"),
            hint="indent with spaces only, or with tabs only",
        )
    return FormulaSyntaxError(
        "NL0109",
        "the indentation of this line fits no block before it",
        Label(span, _blanks(span.text)),
        hint=f"the block around it is indented by {_blanks(block)}",
    )


def _blanks(text: str) -> str:
    counts = [(text.count(" "), "space"), (text.count("\t"), "tab")]
    words = [f"{count} {name}{'s' if count > 1 else ''}" for count, name in counts if count]
    return " and ".join(words) or "nothing"


def _close(token: Token, brackets: list[Token], source: Source) -> None:
    if not brackets:
        raise FormulaSyntaxError("NL0108", f"`{token}` closes nothing", Label(span_of(token, source)))
    opening = brackets[-1]
    if opening.type != _OPENED_BY[token.type]:
        raise FormulaSyntaxError(
            "NL0108",
            f"`{token}` stands where `{_SIGNS[CLOSED_BY[opening.type]]}` should close `{opening}`",
            Label(span_of(token, source)),
            Label(span_of(opening, source), "opened here"),
        )
    brackets.pop()


def _layout_token(kind: str, at: int) -> Token:
    return Token(kind, "", at, end_pos=at)


_CHECKS = {"NAME": literals.name, "NUMBER": literals.number, "STRING": literals.string}
_KEYWORDS = {
    word: word.upper()
    for word in (
        "def layer param state require return if elif else repeat as scan reversed with from import and or not".split()
    )
}
