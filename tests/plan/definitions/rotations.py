"""Pairs that are turned."""

from __future__ import annotations

from tests.plan.definitions.table import Case

PAIRS, HALVES = "(pair, two = 2)", "(two = 2, pair)"


def _turned(parts: str, back: str = "+") -> str:
    there = "-" if back == "+" else "+"
    return f"""P = X[key -> {parts}]
first = P[two = 0] * c {there} P[two = 1] * s
second = P[two = 1] * c {back} P[two = 0] * s
return stack[two](first, second)[{parts.replace(" = 2", "")} -> key]"""


def _case(name: str, body: str, *lifts: str, more: tuple[str, ...] = ()) -> Case:
    signature, sizes = "X[seq, key], c[seq, pair], s[seq, pair]", {"key": 6, "pair": 3}
    return Case(name, signature, body, tuple(sorted(("merge", "rotation", "split", *more))), lifts, sizes)


CASES = (
    _case("neighbours that are turned", _turned(PAIRS), "X"),
    _case("halves that are turned", _turned(HALVES), "X"),
    _case("neighbours that are turned back", _turned(PAIRS, "-"), more=("neg",)),
)
