"""The sizes of a module's axes, from its tensors and from those that it is to be filled with.

In: equations between size expressions and numbers. Out: numbers for symbols. What always holds: an equation is used
where it leaves one symbol that it determines exactly; what it gives is never taken back, so that a later equation may
disagree with it (whoever compares shapes will see that).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from namedlayers.program.size import SizeExpr, Symbol, const

Equation = tuple[SizeExpr, int]


def solve(equations: Iterable[Equation], known: Mapping[str, int] = {}) -> dict[str, int]:
    """The symbols that the equations determine, and those that are known.

    >>> from namedlayers.program.size import symbol
    >>> heads, key, layer = symbol("heads"), symbol("key"), symbol("layer")
    >>> solve([(heads * key, 768), (4 * layer + 1, 65), (layer - heads, 4)])
    {'layer': 16, 'heads': 12, 'key': 64}
    """
    values = dict(known)
    pending = list(equations)
    while True:
        left = [(expression, value) for expression, value in pending if not expression.symbols <= values.keys()]
        found = {name: value for one in left for name, value in _isolated(*one, values)}
        if not found:
            return values
        values |= found
        pending = left


def evaluated(expression: SizeExpr, values: Mapping[str, int]) -> int | None:
    """The number that an expression is, where its symbols are known."""
    return expression.evaluate(values) if expression.symbols <= values.keys() else None


def _isolated(expression: SizeExpr, value: int, values: Mapping[str, int]) -> list[tuple[str, int]]:
    """The symbol that is left when the known ones are put in, with its value, if the equation is linear in it."""
    expression = expression.substitute({name: const(values[name]) for name in expression.symbols & values.keys()})
    terms = dict(expression.terms)
    rest = value - terms.pop((), 0)
    if len(terms) != 1:
        return []
    (((atom, *others), factor),) = terms.items()
    if others or not isinstance(atom, Symbol) or rest % factor or rest // factor < 0:
        return []
    return [(atom.name, rest // factor)]
