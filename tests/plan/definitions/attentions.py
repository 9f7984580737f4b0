"""Attention, with all that may be done to its scores."""

from __future__ import annotations

from namedlayers.program.program import Kind
from tests.plan.definitions.table import Case

QKV = "Q[t, key], K[s, key], V[s, val]"
LIFTS = ("Q K V", "Q", "K V")


def _case(
    name: str, body: str, signature: str = QKV, *ops: str, lifts: tuple[str, ...] = LIFTS, without: str = ""
) -> Case:
    left_out = dict([without.split(": ")]) if without else {}
    return Case(name, signature, body, ops or ("attention",), lifts, kinds={"B": Kind.BOOL}, without=left_out)


CASES = (
    _case("attention", "softmax[s](Q @[key] K) @[s] V"),
    _case("scaled attention", "softmax[s](Q @[key] K / sqrt(|key|)) @[s] V"),
    _case("attention scaled by a number", "softmax[s](0.125 * Q @[key] K) @[s] V"),
    _case("attention of scaled queries", "softmax[s]((Q / sqrt(|key|)) @[key] K) @[s] V"),
    _case("attention with a condition", "softmax[s](where(B, Q @[key] K, -inf)) @[s] V", QKV + "; B[t, s]"),
    _case(
        "attention with a condition, twice", "where(B, softmax[s](where(B, Q @[key] K, -inf)), 0) @[s] V",
        QKV + "; B[t, s]",
    ),
    _case("causal attention", "softmax[s](where(s <= t, Q @[key] K / sqrt(|key|), -inf)) @[s] V"),
    _case(
        "attention over heads", "softmax[s](Q @[key] K / sqrt(|key|)) @[s] V",
        "Q[h, t, key], K[h, s, key], V[h, s, val]",
    ),
    _case(
        "grouped queries", "softmax[s](Q @[key] K / sqrt(|key|)) @[s] V",
        "Q[g, h, t, key], K[h, s, key], V[h, s, val]",
    ),
    _case("masked attention", "softmax[s](Q @[key] K / sqrt(|key|) + M) @[s] V", QKV + "; M[t, s]"),
    _case(
        "a temperature for each head", "softmax[s](T * (Q @[key] K)) @[s] V",
        "Q[h, t, key], K[h, s, key], V[h, s, val], T[h]", "attention", "mul", lifts=(),
    ),
    _case(
        "a temperature for each query", "softmax[s](Q @[key] K / T) @[s] V", QKV + ", T[t]",
        "attention", "div", lifts=(),
    ),
    _case(
        "attention within a band", "softmax[s](where(s <= t and t < s + 3, Q @[key] K, -inf)) @[s] V",
        QKV, "add", "and", "attention", "le", "lt",
        without="comparison: t < s + 3 and t <= s + 2 are two forms, of which both are read",
    ),
    _case("causal attention by a logarithm", "softmax[s](Q @[key] K + log(s <= t)) @[s] V"),
    _case("causal attention by a mask", "softmax[s](Q @[key] K + where(s <= t, 0, -inf)) @[s] V"),
)  # fmt: skip
