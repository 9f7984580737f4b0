"""Text that knows where it may be broken.

In: a document, nested from strings, breaks and groups. Out: the text, in which a group is on one line where it fits and
broken at each of its own breaks where it does not. Outer groups break before inner ones. Nothing here recurses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

INDENT = 4


@dataclass(frozen=True, slots=True)
class Break:
    """A line end in a broken group, `flat` in one that is not."""

    flat: str = ""


@dataclass(frozen=True, slots=True)
class Broken:
    """Text that stands in a broken group only."""

    text: str


@dataclass(frozen=True, slots=True)
class Nest:
    """A piece whose breaks are indented by one step more."""

    piece: Document


@dataclass(frozen=True, slots=True)
class Group:
    """A piece whose breaks are all line ends, or none."""

    piece: Document


Document: TypeAlias = "str | Break | Broken | Nest | Group | tuple[Document, ...]"

SPACE = Break(" ")
NOTHING = Break("")


def bracketed(
    opening: str, first: Iterable[Document], close: str, second: Iterable[Document] = (), comma: Document | None = None
) -> Document:
    """`opening`, pieces parted by commas, after a semicolon the second ones, `close`.

    >>> render(bracketed("(", ["X", "Y"], ")", ["k = 2"]), 0, 80)
    '(X, Y; k = 2)'
    >>> print(render(bracketed("(", ["X", "Y"], ")", ["k = 2"]), 0, 8))
    (
        X,
        Y;
        k = 2,
    )
    """
    head, tail = joined(first), joined(second)
    if not head and not tail:
        return opening + close
    middle = (";", SPACE if head else " ") if tail else ()
    last = Broken(",") if comma is None else comma
    return Group((opening, Nest((NOTHING, head, middle, tail)), last, NOTHING, close))


def joined(pieces: Iterable[Document]) -> tuple[Document, ...]:
    """Pieces with commas between them."""
    parts: list[Document] = []
    for piece in pieces:
        parts += [",", SPACE, piece] if parts else [piece]
    return tuple(parts)


def render(document: Document, indent: int, width: int) -> str:
    """The text of `document`, which begins `indent` columns from the left."""
    out: list[str] = []
    column = indent
    stack: list[tuple[int, bool, Document]] = [(indent, False, document)]
    while stack:
        margin, flat, piece = stack.pop()
        if isinstance(piece, tuple):
            stack += [(margin, flat, part) for part in reversed(piece)]
        elif isinstance(piece, Nest):
            stack.append((margin + INDENT, flat, piece.piece))
        elif isinstance(piece, Group):
            stack.append((margin, flat or _fits(piece.piece, width - column, stack), piece.piece))
        elif isinstance(piece, Break) and not flat:
            out.append("\n" + " " * margin)
            column = margin
        else:
            text = _flat_text(piece, flat)
            out.append(text)
            column += len(text)
    return "".join(out)


def _fits(document: Document, room: int, after: list[tuple[int, bool, Document]]) -> bool:
    """Whether `document` on one line, with what follows it up to the next line end, takes at most `room` columns."""
    todo: list[tuple[bool, Document]] = [(True, document)]
    remaining = len(after)
    while room >= 0:
        if not todo:
            if not remaining:
                return True
            remaining -= 1
            todo.append(after[remaining][1:])
            continue
        flat, piece = todo.pop()
        if isinstance(piece, tuple):
            todo += [(flat, part) for part in reversed(piece)]
        elif isinstance(piece, (Nest, Group)):
            todo.append((flat, piece.piece))
        elif isinstance(piece, Break) and not flat:
            return True
        else:
            room -= len(_flat_text(piece, flat))
    return False


def _flat_text(piece: str | Break | Broken, flat: bool) -> str:
    if isinstance(piece, str):
        return piece
    return piece.flat if isinstance(piece, Break) else "" if flat else piece.text
