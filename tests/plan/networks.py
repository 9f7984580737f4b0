"""Recurrent networks in many spellings: what the tests of recognition and of kernels share.

`rnn`, `gru` and `lstm` write a definition by chance: gates packed or apart, no bias, one or two, addends and factors in
any order, sigmoid and tanh in several forms, backwards or not, with further axes or without.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

SIGMOIDS = (
    "sigmoid({})", "1 / (1 + exp(-({})))", "exp({}) / (1 + exp({}))", "0.5 * (1 + tanh(({}) / 2))",
    "1 - 1 / (1 + exp({}))", "(1 + exp(-1 * ({}))) ^ -1",
)  # fmt: skip
TANHS = ("tanh({})", "2 * sigmoid(2 * ({})) - 1", "(1 - exp(-2 * ({}))) / (1 + exp(-2 * ({})))")


def rnn(source: Random) -> str:
    act = source.choice((*TANHS, "relu({})", "maximum(0, {})", "where({} > 0, {}, 0)"))
    network = _Network(source, 1)
    return network.text("h", ["h"], [f"h = {_of(act, network.gate(0))}"])


def gru(source: Random) -> str:
    network = _Network(source, 3, apart=True)
    r, z = (_of(source.choice(SIGMOIDS), network.gate(k)) for k in (0, 1))
    n = _of(source.choice(TANHS[:2]), network.sum([network.given(2), f"r * ({network.back(2)})"]))
    mix = source.choice(("(1 - z) * n + z * h", "h * z + n - z * n", "n + z * (h - n)", "h - (1 - z) * (h - n)"))
    if source.random() < 0.3:  # as in the paper, where z keeps what is new; the weights change their signs
        mix = mix.replace("z", "(1 - u)")
        z = z.replace("z", "u")
        return network.text("h", ["h"], [f"r = {r}", f"u = {z}", f"n = {n}", f"h = {mix}"])
    return network.text("h", ["h"], [f"r = {r}", f"z = {z}", f"n = {n}", f"h = {mix}"])


def lstm(source: Random) -> str:
    network = _Network(source, 4)
    i, f, o = (_of(source.choice(SIGMOIDS), network.gate(k)) for k in (0, 1, 3))
    g = _of(source.choice(TANHS), network.gate(2))
    lines = [f"i = {i}", f"f = {f}", f"g = {g}", f"o = {o}"]
    source.shuffle(lines)
    products = ["f * c" if source.random() < 0.5 else "c * f", "i * g" if source.random() < 0.5 else "g * i"]
    lines += [f"c = {network.sum(products)}", f"h = {source.choice(('o * tanh(c)', 'tanh(c) * o'))}"]
    return network.text("h, c[time = {last}]" if source.random() < 0.5 else "h", ["h", "c"], lines)


def _of(form: str, argument: str) -> str:
    return form.replace("{}", argument)


class _Network:
    """Weights and biases of so many gates; `apart`: the last gate's product with the state stands by itself."""

    def __init__(self, source: Random, count: int, apart: bool = False) -> None:
        self.source = source
        self.count = count
        self.biases = source.choice((0, 1, 2))
        self.packed = count > 1 and source.random() < 0.5
        self.gated = self.packed and not apart and source.random() < 0.5
        self.order = source.sample(range(count), count) if source.random() < 0.3 else list(range(count))
        self.backwards = source.random() < 0.3
        self.batch = source.choice((0, 0, 1, 2))

    def gate(self, number: int) -> str:
        if self.gated:
            return f"a[gate = {self.order.index(number)}]"
        return self.sum([self.given(number), self.back(number, bias=self.biases == 2)])

    def given(self, number: int) -> str:
        bias = [self._part("b", number)] if self.biases else []
        return self._renamed([self._product(self._part("W", number), "input", "X"), *bias])

    def back(self, number: int, bias: bool | None = None) -> str:
        extra = self.biases == 2 if bias is None else bias
        return self._renamed(
            [self._product(self._part("U", number), "hidden", "h"), *([self._part("d", number)] * extra)]
        )

    def sum(self, terms: Sequence[str]) -> str:
        terms = list(terms)
        self.source.shuffle(terms)
        return " + ".join(terms)

    def text(self, results: str, carries: Sequence[str], lines: Sequence[str]) -> str:
        batch = ["", "batch, ", "batch, group, "][self.batch]
        # What begins without the axes of a batch grows to those of its update.
        start = self.source.choice(("zeros[hidden]", f"zeros[{batch}hidden]", "{}0"))
        starts = [f"{name}0[{batch}hidden]" for name in carries] if "0" in start else []
        shapes = {"W": "hidden', input", "U": "hidden', hidden", "b": "hidden'", "d": "hidden'"}
        used = ["W", "U", *("b", "d")[: self.biases]]
        inputs: list[str] = []
        for name in used:
            if self.packed:
                inputs.append(f"{name}[gate, {shapes[name]}]")
            else:
                inputs += [f"{name}{k}[{shapes[name]}]" for k in range(self.count)]
        last = "0" if self.backwards else "-1"
        body = [*([self._together()] if self.gated else []), *lines]
        carried = ", ".join(f"{name} = {start.replace('{}', name)}" for name in carries)
        return "\n".join([
            f"def f(X[time, {batch}input]{', ' if starts else ''}{', '.join(starts)}; {', '.join(inputs)})"
            f" -> {self._shapes(results, batch)}:",
            *([f"    require |gate| == {self.count}"] if self.packed else []),
            f"    scan time {'reversed ' if self.backwards else ''}with {carried}:",
            *(f"        {line}" for line in body),
            f"    return {results.replace('{last}', last)}",
            "",
        ])  # fmt: skip

    def _shapes(self, results: str, batch: str) -> str:
        return ", ".join([f"[time, {batch}hidden]", f"[{batch}hidden]"][: 1 + ("," in results)])

    def _together(self) -> str:
        terms = [self._product("W", "input", "X"), self._product("U", "hidden", "h"), *("b", "d")[: self.biases]]
        return f"a = ({self.sum(terms)})[hidden' -> hidden]"

    def _part(self, name: str, number: int) -> str:
        return f"{name}[gate = {self.order.index(number)}]" if self.packed else f"{name}{number}"

    def _product(self, weights: str, axis: str, value: str) -> str:
        pair = (weights, value) if self.source.random() < 0.5 else (value, weights)
        return f"{pair[0]} @[{axis}] {pair[1]}"

    def _renamed(self, terms: Sequence[str]) -> str:
        return f"({self.sum(terms)})[hidden' -> hidden]"
