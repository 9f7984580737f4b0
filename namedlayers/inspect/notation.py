"""Expressions as papers write them: sums with their axes below, quotients as fractions, indices as indices.

In: an expression of a definition, and what its names are. Out: `Math`. What always holds: brackets stand where the
reader needs them and nowhere else; what has no form of its own (`own_functions`) is a function with its axes below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from namedlayers.inspect import mathematics as m
from namedlayers.inspect.mathematics import Math
from namedlayers.inspect.own_functions import CONSTANTS, FORMS, FUNCTIONS, OVER_AXES
from namedlayers.inspect.phrases import (
    AND,
    ATOM,
    BIG,
    COMPARISON,
    NOT,
    OR,
    POWER,
    PRODUCT,
    SIGNED,
    SUM,
    Phrase,
    Scope,
)
from namedlayers.syntax import tree


def expression(node: tree.Expr, scope: Scope) -> Math:
    """An expression that stands alone.

    >>> from namedlayers.syntax import parse
    >>> (result,) = parse("def f(X[i], y) = sum[i](X ^ 2) / (1 + y)").items[0].body[0].values
    >>> expression(result, Scope(frozenset("Xy"), frozenset(), frozenset(), frozenset("i"))).latex
    '\\\\frac{\\\\sum\\\\limits_{\\\\mathsf{i}} X^{2}}{1 + y}'
    """
    return _Writer(scope).of(node)


def axes(nodes: Iterable[tree.Axis | tree.Group | tree.Entry], scope: Scope) -> Math:
    """What stands between brackets."""
    return m.joined((_Writer(scope).of(node) for node in nodes), m.sign(","))


def options(nodes: Iterable[tree.Argument], scope: Scope) -> Math:
    return m.joined((_Writer(scope).of(node) for node in nodes), m.sign(","))


class _Writer:
    """Recursion is enough: `check_depth` bounds every tree."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def phrase(self, node: tree.Node) -> Phrase:
        return _PHRASES[type(node)](self, node)

    def of(self, node: tree.Node, binds: int = 0) -> Math:
        return self.phrase(node).within(binds)

    def listed(self, nodes: Sequence[tree.Node]) -> Math:
        return m.joined((self.of(node) for node in nodes), m.sign(","))


# --- axes -------------------------------------------------------------------------------------------------------------


def _axis(writer: _Writer, node: tree.Axis) -> Phrase:
    name = m.axis(node.name, star=node.star)
    return Phrase(name if node.size is None else m.row(name, m.sign("="), writer.of(node.size)))


def _group(writer: _Writer, node: tree.Group) -> Phrase:
    return Phrase(m.fenced("(", writer.listed(node.items)))


def _slice(writer: _Writer, node: tree.Slice) -> Phrase:
    ends = [m.NOTHING if part is None else writer.of(part) for part in (node.start, node.stop)]
    step = [] if node.step is None else [writer.of(node.step)]
    return Phrase(m.joined([*ends, *step], m.sign(":")))


def _entry(writer: _Writer, node: tree.Entry) -> Phrase:
    pieces = [writer.of(node.source)]
    if node.value is not None:
        pieces += [m.sign("="), writer.of(node.value)]
    if node.target is not None:
        pieces += [m.sign("->"), writer.of(node.target)]
    return Phrase(m.row(*pieces))


# --- leaves -----------------------------------------------------------------------------------------------------------


def _number(writer: _Writer, node: tree.Number) -> Phrase:
    found = m.number(node.value)
    if found.simple or found.latex.replace(".", "").isdigit():
        return Phrase(found)
    negative = not isinstance(node.value, complex) and node.value < 0
    return Phrase(found, SIGNED if negative else PRODUCT if "cdot" in found.latex else POWER)


def _string(writer: _Writer, node: tree.String) -> Phrase:
    return Phrase(m.text(f"“{node.value}”"))


def _name(writer: _Writer, node: tree.Name) -> Phrase:
    name, scope = node.name, writer.scope
    if name in scope.values:
        return Phrase(m.value(name))
    if name in CONSTANTS:
        return Phrase(CONSTANTS[name])
    known_function = name in scope.functions and name not in scope.axes
    return Phrase(m.word(name) if known_function else m.axis(name))


def _attribute(writer: _Writer, node: tree.Attribute) -> Phrase:
    return Phrase(m.word(node.name))


def _tuple(writer: _Writer, node: tree.Tuple) -> Phrase:
    return Phrase(m.fenced("(", writer.listed(node.items)))


def _size(writer: _Writer, node: tree.SizeOf) -> Phrase:
    return Phrase(m.fenced("|", m.joined(map(writer.of, node.axes), m.sign("times"))))


# --- operations -------------------------------------------------------------------------------------------------------


def _unary(writer: _Writer, node: tree.Unary) -> Phrase:
    if node.op == "not":
        return Phrase(m.row(m.sign("not"), writer.of(node.operand, NOT)), NOT)
    return Phrase(m.row(m.sign(node.op), _beside_sign(writer, node.operand)), SIGNED)


def _binary(writer: _Writer, node: tree.Binary) -> Phrase:
    return _OPERATIONS[node.op](writer, node)


def _sum(writer: _Writer, node: tree.Binary) -> Phrase:
    # Where a remainder ends is seen at a comparison, and not at a sum.
    left = writer.of(node.left, BIG if isinstance(node.left, tree.Binary) and node.left.op == "%" else SUM)
    return Phrase(m.row(left, _spaced(node.op), _beside_sign(writer, node.right)), SUM)


def _beside_sign(writer: _Writer, node: tree.Expr) -> Math:
    """What stands behind a sign; another sign does not."""
    found = writer.phrase(node)
    return m.fenced("(", found.math) if found.binds == SIGNED else found.within(BIG)


def _spaced(op: str) -> Math:
    found = m.sign(op)
    return Math(f" {found.latex} ", found.mathml)


def _product(writer: _Writer, node: tree.Binary) -> Phrase:
    left, right = _factor(writer, node.left, tree.Contract), writer.phrase(node.right)
    beside = right.within(POWER)
    # A number before a letter needs no sign.
    plain = isinstance(node.left, tree.Number) and right.binds >= POWER and not _begins_with_digit(beside)
    return Phrase(m.row(left, Math(r" \, ", "") if plain else m.sign("cdot"), beside), PRODUCT)


def _factor(writer: _Writer, node: tree.Expr, apart: type) -> Math:
    """The left side of a product; one that is of the other kind of product is set apart."""
    return m.fenced("(", writer.of(node)) if isinstance(node, apart) else writer.of(node, PRODUCT)


def _begins_with_digit(piece: Math) -> bool:
    return piece.latex.lstrip("{( ")[:1].isdigit() or piece.latex.startswith(r"\frac")


def _contract(writer: _Writer, node: tree.Contract) -> Phrase:
    product = isinstance(node.left, tree.Binary) and node.left.op in ("*", "//", "%")
    left = m.fenced("(", writer.of(node.left)) if product else writer.of(node.left, PRODUCT)
    dot = m.between(m.sign("odot"), writer.listed(node.axes)) if node.axes else _spaced("odot")
    return Phrase(m.row(left, dot, writer.of(node.right, POWER)), PRODUCT)


def _quotient(writer: _Writer, node: tree.Binary) -> Phrase:
    return Phrase(m.frac(writer.of(node.left), writer.of(node.right)), POWER)


def _floored(writer: _Writer, node: tree.Binary) -> Phrase:
    return Phrase(m.fenced("⌊", m.frac(writer.of(node.left), writer.of(node.right))))


def _remainder(writer: _Writer, node: tree.Binary) -> Phrase:
    return Phrase(m.row(writer.of(node.left, POWER), m.sign("mod"), writer.of(node.right, POWER)), SUM)


def _power(writer: _Writer, node: tree.Binary) -> Phrase:
    return Phrase(m.sup(writer.of(node.left, ATOM), writer.of(node.right)), POWER)


def _logical(binds: int) -> Callable[[_Writer, tree.Binary], Phrase]:
    def write(writer: _Writer, node: tree.Binary) -> Phrase:
        return Phrase(m.row(writer.of(node.left, binds), m.sign(node.op), writer.of(node.right, binds + 1)), binds)

    return write


_OPERATIONS: dict[str, Callable[[_Writer, tree.Binary], Phrase]] = {
    "+": _sum, "-": _sum, "*": _product, "/": _quotient, "//": _floored, "%": _remainder, "^": _power,
    "and": _logical(AND), "or": _logical(OR),
}  # fmt: skip


def _compare(writer: _Writer, node: tree.Compare) -> Phrase:
    pieces = [writer.of(node.operands[0], SUM)]
    for op, operand in zip(node.ops, node.operands[1:], strict=True):
        pieces += [m.sign(op), writer.of(operand, SUM)]
    return Phrase(m.row(*pieces), COMPARISON)


# --- brackets and calls -----------------------------------------------------------------------------------------------


def _index(writer: _Writer, node: tree.Index) -> Phrase:
    if _is_function(writer, node.base):
        name = node.base.name if isinstance(node.base, tree.Name) else ""
        if name in OVER_AXES and not _is_own(writer, name) and not node.options:
            return Phrase(OVER_AXES[name](writer.listed(node.entries)))
        return Phrase(_applied(writer, node.base, node.entries, node.options))
    below = m.joined(map(writer.of, (*node.entries, *node.options)), m.sign(","))
    return Phrase(m.sub(writer.of(node.base, ATOM), below))


def _call(writer: _Writer, node: tree.Call) -> Phrase:
    name = node.function.name if isinstance(node.function, tree.Name) else ""
    form = FORMS.get((name, len(node.args)))
    plain = not (node.settings or node.options or any(one.name for one in node.args))
    if form is not None and plain and not _is_own(writer, name) and form.over_axes == bool(node.entries):
        return form.write(writer, node)
    arguments = writer.listed(node.args)
    settings = (*node.settings, *node.options)
    if settings:
        arguments = m.row(arguments, m.sign(";") if node.args else m.NOTHING, writer.listed(settings))
    return Phrase(m.row(_applied(writer, node.function, node.entries or (), ()), m.fenced("(", arguments)))


def _applied(
    writer: _Writer, function: tree.Expr, entries: Sequence[tree.Entry], settings: Sequence[tree.Argument]
) -> Math:
    """A function with its axes below it, and its settings behind it."""
    name = function.name if isinstance(function, tree.Name) else ""
    if name in FUNCTIONS and not _is_own(writer, name):
        found = FUNCTIONS[name]
    elif name and name not in writer.scope.values:
        found = m.word(name)
    else:
        found = writer.of(function, ATOM)
    found = m.under(found, writer.listed(entries)) if entries else found
    return m.row(found, m.fenced("(", writer.listed(settings))) if settings else found


def _is_function(writer: _Writer, base: tree.Expr) -> bool:
    """Whether brackets after it bind the axes of a function, rather than index a value."""
    return isinstance(base, tree.Attribute) or (isinstance(base, tree.Name) and base.name not in writer.scope.values)


def _is_own(writer: _Writer, name: str) -> bool:
    return name in writer.scope.own or name in writer.scope.values


def _argument(writer: _Writer, node: tree.Argument) -> Phrase:
    if node.name is None:
        return writer.phrase(node.value)
    return Phrase(m.row(m.value(node.name), m.sign("="), writer.of(node.value)), OR)


# --- which writes what ------------------------------------------------------------------------------------------------

_PHRASES: dict[type, Callable[[_Writer, Any], Phrase]] = {
    tree.Axis: _axis,
    tree.Group: _group,
    tree.Slice: _slice,
    tree.Entry: _entry,
    tree.Number: _number,
    tree.String: _string,
    tree.Name: _name,
    tree.Attribute: _attribute,
    tree.Tuple: _tuple,
    tree.SizeOf: _size,
    tree.Unary: _unary,
    tree.Binary: _binary,
    tree.Compare: _compare,
    tree.Contract: _contract,
    tree.Index: _index,
    tree.Call: _call,
    tree.Argument: _argument,
}
