"""How a module shows itself: inputs and results with the sizes that are known, and options that were given.

In: a settled layer, the path of a part. Out: a line. What always holds: a size stands where its axis stands first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from namedlayers.call.settled import Settled
from namedlayers.program.signature import Signature, signature

Shape = Callable[[str], tuple[int, ...] | None]


def shown(whole: Settled, path: str, symbols: Mapping[str, int], shape: Shape) -> str:
    """Of the whole (`path` empty) or a part; `shape` is that of a tensor by its path.

    `X[input=784] -> [output=10]; bias=False`
    """
    part = whole.parts.get(path)
    sign = whole.signature if part is None or part.definition is None else signature(part.definition)
    sizes = _sizes(whole, path, symbols, shape)
    options = whole.options if part is None else part.options
    given = [f"{name}={value!r}" for name, value in options.items()]
    return "; ".join([_ports(sign, sizes), *([", ".join(given)] if given else [])])


def _sizes(whole: Settled, path: str, symbols: Mapping[str, int], shape: Shape) -> dict[str, int]:
    part = whole.parts.get(path)
    if part is None:
        found = dict(whole.sizes)
        for given in whole.structure.program.inputs:
            found |= {a: s.evaluate(symbols) for a, s in given.axes if a not in found and s.symbols <= symbols.keys()}
        for one in whole.structure.declared:
            held = shape(one.path)
            if held is not None and len(held) == len(one.dimensions):
                pairs = zip(one.dimensions, held, strict=True)
                found |= {axes[0][0]: size for axes, size in pairs if len(axes) == 1 and axes[0][0] not in found}
        return found
    return {axis: size.evaluate(symbols) for axis, size in part.sizes if size.symbols <= symbols.keys()}


def _ports(sign: Signature, sizes: Mapping[str, int]) -> str:
    told: set[str] = set()

    def axes(names: tuple[str, ...]) -> str:
        pieces = []
        for name in names:
            pieces.append(f"{name}={sizes[name]}" if name in sizes and name not in told else name)
            told.add(name)
        return f"[{', '.join(pieces)}]"

    inputs = ", ".join(f"{one.name}{axes(one.axes)}" for one in sign.inputs if one.required)
    outputs = "" if sign.outputs is None else " -> " + ", ".join(map(axes, sign.outputs))
    others = ", ".join(f"{axis}={size}" for axis, size in sizes.items() if axis not in told)
    return f"{inputs}{outputs}" + (f"; {others}" if others else "")
