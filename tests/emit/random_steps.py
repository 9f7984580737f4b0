"""Random loops: steps of a dozen statements in which values are used early, late, twice, or handed on.

In: a seed. Out: a formula and its inputs. What always holds: equal seeds give equal formulas; what is carried stays
bounded, so that no rounding grows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

SIZES = {"t": 4, "b": 2, "h": 3}

INPUTS = {
    "X": ("t", "b", "h"), "Y": ("t", "h"), "Z": ("t",), "W": ("h", "h"), "V": ("h", "h"), "u": ("h",), "w": ("b",),
    "s": (), "p": ("b", "h"), "q": ("b", "h"), "n": ("t", "h"),
}  # fmt: skip
"""Axes of the inputs; `n` is of whole numbers."""

NUMBERS = ("0.5", "2", "1", "-1.5", "0.25", "3", "-1")

UNARY = (
    "sin({0})", "tanh({0})", "sigmoid({0})", "relu({0})", "gelu({0})", "-({0})", "abs({0})", "silu({0})", "({0})**2",
    "softplus({0})", "exp(-abs({0}))", "where({0} > 0, {0}, expm1({0}))", "where({0} > 0, {0}, 0.01 * ({0}))",
    "{1} * ({0})", "({0}) * {1}", "({0}) / 2", "1 - ({0})", "({0}) + {1}", "where({0} > {1}, {0}, 0.5)",
    "clip({0}, -1, 1)", "clip({0} + 3, 0, 6) / 6", "({0}) * tanh(softplus({0}))", "softmax[h]({0})", "sum[h]({0})",
    "max[h]({0})", "({0}) - mean[h]({0})", "(W @[h] ({0}))[h' -> h]", "(V @[h] ({0}))[h' -> h]", "standardize[h]({0})",
)  # fmt: skip

BINARY = (
    "{0} + {1}", "{0} - {1}", "{0} * {1}", "{0} / (1 + abs({1}))", "{2} * {0} + {3} * {1}", "0.9 * {0} + 0.1 * {1}",
    "maximum({0}, {1})", "where({0} < {1}, {0}, {1})", "{0} + {2} * ({1} * {0})", "{0} - ({2} * {1}) * {0}",
    "sigmoid({0}) * {1} + (1 - sigmoid({0})) * {0}", "(W @[h] ({0}) + V @[h] ({1}))[h' -> h]", "atan2({0}, 2 + {1})",
)  # fmt: skip

TERNARY = (
    "{0} + {1} * {2}", "{0} - {1} * {2}", "{0} * {1} + {2}", "{0} - {3} * {1} + {2}", "{0} + {1} / (2 + cos({2}))",
    "{0} + tanh({1} + {2})", "{1} * {2} - {0}",
    "(concat[h](W, V) @[h] concat[h]({0} * {1}, {0} - {1}))[h' -> h]", "concat[h]({0} * {1}, {0})[h = 2:5]",
)  # fmt: skip


@dataclass
class Steps:
    """A loop that is being made up; `full` are the names of values with all axes."""

    rng: np.random.Generator
    lines: list[str] = field(default_factory=list)
    full: list[str] = field(default_factory=lambda: ["X", "a", "c"])
    partial: list[str] = field(default_factory=lambda: ["Y", "Z", "u", "w", "s", "n"])

    def number(self) -> str:
        return str(self.rng.choice(NUMBERS))

    def some(self, full: bool = False) -> str:
        names = self.full if full or self.rng.random() < 0.75 else self.partial
        late = self.rng.random() < 0.6
        return names[-1 - int(self.rng.integers(min(3, len(names))))] if late else str(self.rng.choice(names))

    def statement(self) -> str:
        forms = (UNARY, BINARY, TERNARY)[int(self.rng.integers(3))]
        form = str(self.rng.choice(forms))
        if forms is UNARY:
            return form.format(self.some(True), self.number())
        if forms is BINARY:
            return form.format(self.some(True), self.some(True), self.number(), self.number())
        return form.format(self.some(True), self.some(), self.some(), self.number())


def loop(seed: int) -> tuple[str, dict[str, np.ndarray]]:
    """The text of a formula, and its inputs."""
    made = Steps(np.random.default_rng(seed))
    rng = made.rng
    for number in range(int(rng.integers(4, 13))):
        value = made.statement()
        name = f"v{number}"
        made.lines.append(f"{name} = {value}")
        reduced = value.startswith(("sum[h]", "max[h]"))
        (made.partial if reduced else made.full).append(name)
    handed = [f"{one} = {str(rng.choice(('sin', 'tanh', 'sigmoid')))}({made.some(True)})" for one in "ac"]
    if rng.random() < 0.4:
        handed[1] = "c = a" if rng.random() < 0.5 else f"c = 0.5 * c + 0.5 * sin({made.some(True)})"
    if rng.random() < 0.3:
        handed.reverse()
    made.lines += handed
    kept = list(dict.fromkeys(str(rng.choice([*made.full[3:], "a", "c"])) for _ in range(int(rng.integers(1, 4)))))
    order = "t reversed" if rng.random() < 0.3 else "t"
    last = "0" if "reversed" in order else "-1"
    results = ", ".join(f"{one}[t = {last}]" if rng.random() < 0.3 else one for one in kept)
    axes = ", ".join("[b, h]" if "[" in one else "[t, b, h]" for one in results.split(", "))
    given = ", ".join(f"{name}[{', '.join(axes)}]" for name, axes in INPUTS.items() if name not in "WV")
    text = "\n".join([
        f"def f({given}, W[h', h], V[h', h]) -> {axes}:", f"    scan {order} with a = p, c = q:",
        *(f"        {line}" for line in made.lines), f"    return {results}",
    ])  # fmt: skip
    arrays = {name: 0.7 * rng.standard_normal([SIZES[axis] for axis in axes]) for name, axes in INPUTS.items()}
    arrays["n"] = rng.integers(-2, 3, (SIZES["t"], SIZES["h"]))
    return text, arrays
