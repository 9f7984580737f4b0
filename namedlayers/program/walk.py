"""Walking over terms without recursion: a term may be as deep as the text that it came from.

In: a funsor term as `terms` builds them. Out: its subterms, operands before their users, each once.
"""

from __future__ import annotations

from collections.abc import Iterator

from funsor.terms import Binary, Funsor, Reduce, Unary


def operands(term: Funsor) -> tuple[Funsor, ...]:
    """The terms that `term` is directly made of; a primitive's operands are not terms."""
    if isinstance(term, Unary | Reduce):
        return (term.arg,)
    return (term.lhs, term.rhs) if isinstance(term, Binary) else ()


def subterms(term: Funsor) -> Iterator[Funsor]:
    """`term` and all that it is made of, operands first, each once."""
    seen: set[Funsor] = set()
    waiting: list[tuple[Funsor, bool]] = [(term, False)]
    while waiting:
        one, ready = waiting.pop()
        if ready:
            yield one
        elif one not in seen:
            seen.add(one)
            waiting.append((one, True))
            waiting += [(operand, False) for operand in reversed(operands(one))]
