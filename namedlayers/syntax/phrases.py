"""How a node below the statements is written: names, axes, expressions.

In: a node. Out: its document, with the brackets that its place needs and no others. Nodes are taken from the leaves up,
without recursion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from namedlayers.syntax import literals, tree
from namedlayers.syntax.document import NOTHING, SPACE, Broken, Document, Group, Nest, bracketed
from namedlayers.syntax.limits import children

# How tightly an expression holds together, from `or` to what needs no brackets anywhere.
_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _SIGN, _POWER, _POSTFIX = range(1, 10)

_BINARY = {"or": _OR, "and": _AND, "+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "//": _PRODUCT, "%": _PRODUCT}


@dataclass(frozen=True, slots=True)
class _Phrase:
    """A document, how tightly it holds together, and whether it has breaks that no bracket of its own surrounds."""

    document: Document
    strength: int = _POSTFIX
    chain: bool = False


def document(node: tree.Node) -> Document:
    """The document of an expression, an axis, an entry, an argument, a parameter or a result."""
    return _Writer(node).of(node)


def standing_alone(node: tree.Expr) -> Document:
    """The document of an expression that no bracket surrounds: it gets one where it must be broken."""
    writer = _Writer(node)
    if not writer.phrases[id(node)].chain:
        return writer.of(node)
    return Group((Broken("("), Nest((NOTHING, writer.of(node))), NOTHING, Broken(")")))


class _Writer:
    """The phrases of a node and of all nodes below it."""

    def __init__(self, root: tree.Node) -> None:
        self.phrases: dict[int, _Phrase] = {}
        order = [root]
        for node in order:
            order.extend(children(node))
        for node in reversed(order):
            self.phrases[id(node)] = _PHRASES[type(node)](self, node)

    def of(self, node: tree.Node, strength: int = 0) -> Document:
        """The document of a node that stands where nothing looser than `strength` may."""
        phrase = self.phrases[id(node)]
        if phrase.strength < strength:
            return Group(("(", Nest((NOTHING, phrase.document)), NOTHING, ")"))
        return Group(phrase.document) if phrase.chain else phrase.document

    def all(self, nodes: Iterable[tree.Node]) -> list[Document]:
        return [self.of(node) for node in nodes]

    def chained(self, node: tree.Node, strength: int) -> Document:
        """As `of`, but a chain goes on: `a + b + c` is broken at both signs or at none."""
        phrase = self.phrases[id(node)]
        return phrase.document if phrase.chain and phrase.strength == strength else self.of(node, strength)


def _axis(writer: _Writer, node: tree.Axis) -> _Phrase:
    name = f"*{node.name}" if node.star else node.name
    return _Phrase(name if node.size is None else (name, " = ", writer.of(node.size)))


def _group(writer: _Writer, node: tree.Group) -> _Phrase:
    return _Phrase(bracketed("(", writer.all(node.items), ")"))


def _slice(writer: _Writer, node: tree.Slice) -> _Phrase:
    start, stop, step = ("" if part is None else writer.of(part) for part in (node.start, node.stop, node.step))
    return _Phrase((start, ":", stop, (":", step) if step else ()))


def _entry(writer: _Writer, node: tree.Entry) -> _Phrase:
    target: Document = () if node.target is None else (" -> ", writer.of(node.target))
    value: Document = () if node.value is None else (" = ", writer.of(node.value))
    return _Phrase((writer.of(node.source), target, value))


def _number(writer: _Writer, node: tree.Number) -> _Phrase:
    spelling = node.span.text
    if not _spells(spelling, node.value):
        spelling = repr(node.value).replace("e-0", "e-").replace("e+", "e")
    return _Phrase(spelling, _SIGN if spelling.startswith("-") else _POSTFIX)


def _spells(spelling: str, value: int | float | complex) -> bool:
    """Whether a number may keep the spelling that it had."""
    try:
        read = literals.number(spelling)
    except literals.Misspelt:
        return False
    return type(read) is type(value) and read == value


def _string(writer: _Writer, node: tree.String) -> _Phrase:
    return _Phrase(quoted(node.value))


def quoted(value: str) -> str:
    r"""A string as it is written in a formula.

    >>> quoted('say "hi"\n')
    '"say \\"hi\\"\\n"'
    """
    return '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else f"\\U{ord(c):08x}") for c in value) + '"'


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _name(writer: _Writer, node: tree.Name) -> _Phrase:
    return _Phrase(node.name)


def _attribute(writer: _Writer, node: tree.Attribute) -> _Phrase:
    base = writer.of(node.base, _POSTFIX)
    if isinstance(node.base, tree.Number):
        base = ("(", base, ")")
    return _Phrase((base, ".", node.name))


def _tuple(writer: _Writer, node: tree.Tuple) -> _Phrase:
    return _Phrase(bracketed("(", writer.all(node.items), ")", comma="," if len(node.items) == 1 else None))


def _unary(writer: _Writer, node: tree.Unary) -> _Phrase:
    if node.op == "not":
        return _Phrase(("not ", writer.of(node.operand, _NOT)), _NOT, chain=True)
    return _Phrase((node.op, writer.of(node.operand, _SIGN)), _SIGN)


def _binary(writer: _Writer, node: tree.Binary) -> _Phrase:
    if node.op == "^":
        return _Phrase((writer.of(node.left, _POSTFIX), " ^ ", writer.of(node.right, _SIGN)), _POWER)
    return _chain(writer, node.left, node.op, node.right, _BINARY[node.op])


def _contract(writer: _Writer, node: tree.Contract) -> _Phrase:
    sign = ("@", bracketed("[", writer.all(node.axes), "]"))
    return _chain(writer, node.left, sign, node.right, _PRODUCT)


def _chain(writer: _Writer, left: tree.Expr, sign: Document, right: tree.Expr, strength: int) -> _Phrase:
    document = (writer.chained(left, strength), SPACE, sign, " ", writer.of(right, strength + 1))
    return _Phrase(document, strength, chain=True)


def _compare(writer: _Writer, node: tree.Compare) -> _Phrase:
    first, *others = (writer.of(operand, _SUM) for operand in node.operands)
    rest = tuple((SPACE, op, " ", operand) for op, operand in zip(node.ops, others, strict=True))
    return _Phrase((first, rest), _COMPARE, chain=True)


def _size(writer: _Writer, node: tree.SizeOf) -> _Phrase:
    first, *others = writer.all(node.axes)
    return _Phrase(("|", first, *((", ", axis) for axis in others), "|"))


def _argument(writer: _Writer, node: tree.Argument) -> _Phrase:
    return _Phrase(writer.of(node.value) if node.name is None else (node.name, " = ", writer.of(node.value)))


def _index(writer: _Writer, node: tree.Index) -> _Phrase:
    brackets = bracketed("[", writer.all(node.entries), "]", writer.all(node.options))
    return _Phrase((writer.of(node.base, _POSTFIX), brackets))


def _call(writer: _Writer, node: tree.Call) -> _Phrase:
    axes: Document = ()
    if node.entries is not None:
        axes = bracketed("[", writer.all(node.entries), "]", writer.all(node.settings))
    arguments = bracketed("(", writer.all(node.args), ")", writer.all(node.options))
    return _Phrase((writer.of(node.function, _POSTFIX), axes, arguments))


def _parameter(writer: _Writer, node: tree.Parameter) -> _Phrase:
    axes: Document = () if node.axes is None else bracketed("[", writer.all(node.axes), "]")
    default: Document = () if node.default is None else (" = ", writer.of(node.default))
    return _Phrase((node.name, axes, default))


def _result(writer: _Writer, node: tree.Result) -> _Phrase:
    return _Phrase(bracketed("[", writer.all(node.axes), "]"))


_PHRASES: dict[type, Callable[[_Writer, Any], _Phrase]] = {
    tree.Axis: _axis,
    tree.Group: _group,
    tree.Slice: _slice,
    tree.Entry: _entry,
    tree.Number: _number,
    tree.String: _string,
    tree.Name: _name,
    tree.Attribute: _attribute,
    tree.Tuple: _tuple,
    tree.Unary: _unary,
    tree.Binary: _binary,
    tree.Compare: _compare,
    tree.Contract: _contract,
    tree.SizeOf: _size,
    tree.Argument: _argument,
    tree.Index: _index,
    tree.Call: _call,
    tree.Parameter: _parameter,
    tree.Result: _result,
}
