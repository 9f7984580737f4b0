"""Letters of other alphabets that look like Latin ones.

In: a name that nothing has, and the names that there are. Out: which of them looks the same, and by which letter they
differ. What always holds: a name in any alphabet stays what it is; only an error asks here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_LATIN = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеіјорсухѕһԁԛԝ" "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧανορυχι",
    "ABESIJKMHOPCTYXaeijopcyxshdqw" "ABEZHIKMNOPTYXavopuxi",
)  # fmt: skip
"""Cyrillic letters, then Greek ones, each to the Latin letter that it is taken for."""


def lookalike(name: str, candidates: Iterable[str]) -> str:
    """Says which of `candidates` is drawn as `name` is, and which letter is another one; else the empty string.

    >>> lookalike("s\N{CYRILLIC SMALL LETTER IE}q", ["key", "seq"])
    'did you mean `seq`? It looks alike, but the `е` of `sеq` is U+0435, CYRILLIC SMALL LETTER IE'
    >>> lookalike("seq", ["key", "seqs"])
    ''
    """
    drawn = name.translate(_LATIN)
    for other in sorted(set(candidates) - {name}):
        if other.translate(_LATIN) == drawn:
            # The letter to show is the foreign one, which may be in either name.
            mine, theirs = next((a, b) for a, b in zip(name, other, strict=True) if a != b)
            letter, word = (theirs, other) if mine.isascii() else (mine, name)
            which = f"U+{ord(letter):04X}, {unicodedata.name(letter)}"
            return f"did you mean `{other}`? It looks alike, but the `{letter}` of `{word}` is {which}"
    return ""
