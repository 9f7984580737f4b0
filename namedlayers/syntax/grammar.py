"""The grammar as a parser: found, loaded once, and shared.

In: nothing. Out: the grammar's text, and the Lark object made from it on first use, or from the tables of an earlier
process. The object holds no state of a parse, so any number of threads may use it.
"""

from __future__ import annotations

import functools
import importlib.resources
import io
from pathlib import Path

import lark

from namedlayers.syntax import kept

_FILE = "namedlayers.lark"
# Line structure is no part of what the user wrote about: it neither starts nor ends the span of a node.
_LAYOUT = frozenset({"_NEWLINE", "_INDENT", "_DEDENT"})


def grammar_text() -> str:
    """The grammar: inside the package where a wheel was installed, beside the package in a checkout.

    >>> "definition:" in grammar_text()
    True
    """
    inside = importlib.resources.files("namedlayers") / "grammar" / _FILE
    if inside.is_file():
        return inside.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / "grammar" / _FILE).read_text(encoding="utf-8")


@functools.cache
def grammar() -> lark.Lark:
    """The parser of the grammar.

    >>> grammar() is grammar()
    True
    """
    text = grammar_text()
    made_from = f"lark {lark.__version__}\n{text}".encode()
    tables = kept.read("grammar", made_from)
    if tables is not None:
        return lark.Lark.load(io.BytesIO(tables))
    parser = made(text)
    saved = io.BytesIO()
    parser.save(saved)
    kept.write("grammar", made_from, saved.getvalue())
    return parser


def made(text: str) -> lark.Lark:
    """The parser of a grammar, its tables computed."""
    return lark.Lark(text, parser="lalr", lexer="basic", propagate_positions=_spans, maybe_placeholders=True)


def _spans(child: object) -> bool:
    """Whether a part of a node counts for the node's span."""
    return not (isinstance(child, lark.Token) and child.type in _LAYOUT)
