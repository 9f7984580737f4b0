"""Text to tree.

In: a text. Out: its `Module`, or a `FormulaSyntaxError`; nothing else is raised, whatever the text. Every node's span
points into the text as the user wrote it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from lark import Token, Tree, UnexpectedToken

from namedlayers.errors import Source
from namedlayers.syntax.builder import build
from namedlayers.syntax.grammar import grammar
from namedlayers.syntax.lexing import Scan, scan
from namedlayers.syntax.limits import check_depth, check_length
from namedlayers.syntax.tree import Module


@lru_cache(64)  # trees are never changed, and a text that is compiled is often compiled again
def parse(text: str, name: str = "<formula>", *, shipped: bool = False) -> Module:
    """The tree of a text; `name` is what errors call it, `shipped` says that it comes with the package.

    >>> module = parse("def double(X) = 2 * X")
    >>> module.items[0].name, module.items[0].body[0].values
    ('double', (Binary(op='*', left=Number(value=2), right=Name(name='X')),))
    """
    source = Source(text, name, shipped)
    check_length(source)
    scanned = scan(source)
    module = build(_parsed(scanned), source, tuple(scanned.comments))
    check_depth(module)
    return module


def _parsed(scanned: Scan) -> Tree[Token]:
    """The parse tree, or what the first token that does not fit is a sign of."""
    session = grammar().parse_interactive("")
    parsed: Any = None
    for at, token in enumerate(scanned.tokens):
        try:
            parsed = session.feed_token(token)
        except UnexpectedToken:
            from namedlayers.syntax.diagnose import diagnose

            raise diagnose(scanned, at, session.accepts()) from None
    if scanned.error:
        raise scanned.error
    return parsed
