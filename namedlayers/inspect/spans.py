"""Which pieces of the text a thing is of, as an attribute of the elements of a page.

In: fx nodes, spans. Out: `12-30 45-50`, the characters from, up to. What always holds: only spans of the text that is
shown are there, when it is said which that is; each once, in their order.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import fx

from namedlayers.errors import Source, Span


def spans_of(node: fx.Node, source: Source | None = None) -> str:
    return written(node.meta.get("spans", ()), source)


def written(spans: Iterable[Span], source: Source | None = None) -> str:
    """
    >>> text = Source("a + b")
    >>> written([Span(text, 4, 5), Span(text, 0, 5), Span(text, 4, 5), Span(Source("b"), 0, 1)], text)
    '0-5 4-5'
    """
    found = {(span.start, span.end) for span in spans if source is None or span.source.text == source.text}
    return " ".join(f"{start}-{end}" for start, end in sorted(found))
