"""Which recurrent cell an update is, told by its values and not by how it is written.

In: the numbers that an update takes on at random points, as a function of its pre-activations, of one value that enters
as it is, and of the states. Out: which pre-activation is which gate, and with which sign. What always holds: updates
are built of analytic functions, and of choices only where all constants are small, so that two that agree at the
points agree everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

Array = np.ndarray

POINTS = 40
"""How many random points are looked at."""

LARGEST_CONSTANT = 64
"""Beside a choice (a maximum, a comparison) no larger constant is understood: the points reach farther than it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """`op` as in `operations`; `order[k]` is the pre-activation that is gate number k of torch's, `signs[k]` its sign;
    `act` for a plain network; `entering` the sign of the value that enters as it is."""

    op: str
    order: tuple[int, ...]
    signs: tuple[int, ...]
    act: str = ""
    entering: int = 1


def points(count: int, seed: int = 0) -> list[Array]:
    """Values for so many variables: small ones, ordinary ones, large ones."""
    source = np.random.default_rng(seed)
    scales = np.repeat([0.3, 1.0, 6.0, 80.0], POINTS // 4)
    return [source.standard_normal(POINTS) * source.permutation(scales) for _ in range(count)]


def plain(gates: Sequence[Array], updated: Array) -> Cell | None:
    """h = tanh(±p) or relu(±p)."""
    if len(gates) != 1:
        return None
    for sign, (act, function) in product((1, -1), _ACTS.items()):
        if _equal(function(sign * gates[0]), updated):
            return Cell("rnn", (0,), (sign,), act)
    return None


def gated(gates: Sequence[Array], entering: Sequence[Array], state: Array, updated: Array) -> Cell | None:
    """torch's GRU: h = (1 - z) * n + z * h with n = tanh(q + r * s)."""
    if len(gates) != 3 or len(entering) != 1:
        return None
    for order, signs in _assignments(3):
        r, z, s = (sign * gates[k] for k, sign in zip(order, signs, strict=True))
        for sign in (1, -1):
            n = np.tanh(sign * entering[0] + _sigmoid(r) * s)
            if _equal((1 - _sigmoid(z)) * n + _sigmoid(z) * state, updated):
                return Cell("gru", order, signs, entering=sign)
    return None


def remembering(gates: Sequence[Array], cell: Array, updated: Array, updated_cell: Array) -> Cell | None:
    """torch's LSTM: c = f * c + i * g, h = o * tanh(c)."""
    if len(gates) != 4:
        return None
    for order, signs in _assignments(4):
        i, f, g, o = (sign * gates[k] for k, sign in zip(order, signs, strict=True))
        after = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
        if _equal(after, updated_cell) and _equal(_sigmoid(o) * np.tanh(after), updated):
            return Cell("lstm", order, signs)
    return None


def _where(c: Array, a: Array, b: Array) -> Array:
    return np.where(c != 0, a, b)


ANALYTIC: Mapping[str, Callable[..., Array]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative, "exp": np.exp,
    "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "tanh": np.tanh, "sinh": np.sinh, "cosh": np.cosh,
    "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x), "pow": np.power, "logaddexp": np.logaddexp,
}  # fmt: skip
CHOOSING: Mapping[str, Callable[..., Array]] = {
    "maximum": np.maximum, "minimum": np.minimum, "abs": np.abs, "where": _where, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip


# --- helpers ----------------------------------------------------------------------------------------------------------

_ACTS: Mapping[str, Callable[[Array], Array]] = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _assignments(count: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The orders and signs, those without negations first."""
    signs = sorted(product((1, -1), repeat=count), key=lambda one: -sum(one))
    for sign in signs:
        for order in permutations(range(count)):
            yield order, sign


def _equal(wanted: Array, found: Array) -> bool:
    """Equal to rounding, wherever the spelling that was found does not overflow."""
    there = np.isfinite(found)
    if there.sum() < POINTS // 2:
        return False
    return bool(np.all(np.abs(wanted - found)[there] <= 1e-9 * (1 + np.abs(wanted)[there])))
