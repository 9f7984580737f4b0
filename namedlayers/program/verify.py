"""What must hold of every program and of every graph; run between passes in tests.

In: a program, or a graph. Out: nothing, or an `InvariantError` that says what is broken and where. What always holds:
no bad input of a user gets here, so an error is one of ours; nothing is changed.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Protocol

from funsor.terms import Binary, Funsor, Reduce, Unary

from namedlayers.program import terms
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.kinds import kind_of, result_kind
from namedlayers.program.primitives import PRIMITIVES
from namedlayers.program.program import AxesOf, Check, Kind, Program, Statement
from namedlayers.program.size import Size, SizeExpr, size_expr
from namedlayers.program.term_kinds import primitive_kind, term_kind
from namedlayers.program.walk import subterms


class InvariantError(AssertionError):
    """A stage has made something that may not be."""


class HasAttrs(Protocol):
    """What the verifier asks of an operation's specification."""

    @property
    def attrs(self) -> tuple[str, ...]: ...


def verify_program(program: Program) -> None:
    """Raise InvariantError unless the program is one."""
    known: dict[str, AxesOf] = {}
    kinds: dict[str, Kind] = {}
    equal = _Equal(program.checks)
    for given in program.inputs:
        _new_value(given.name, given.axes, known)
        known[given.name], kinds[given.name] = given.axes, given.kind
        _require(given.role != "option" or not given.axes, f"option `{given.name}` has axes")
    for statement in program.statements:
        _new_value(statement.name, statement.axes, known)
        _statement(statement, known, kinds, equal)
        known[statement.name], kinds[statement.name] = statement.axes, statement.kind
    for output in program.outputs:
        _require(output.value in known, f"output `{output.value}` is no value")
        axes = [axis for axis, _ in known[output.value]]
        _require(sorted(axes) == sorted(output.axes), f"output `{output.value}` has {axes}, not {output.axes}")
    _sizes(program)


def verify_graph(graph: Graph, checks: Iterable[Check] = (), operations: Mapping[str, HasAttrs] | None = None) -> None:
    """Raise InvariantError unless the graph is one.

    `checks` are those of its program, under which sizes may be equal; `operations` the specifications of operations
    that rules have introduced, by name.
    """
    equal, seen = _Equal(checks), set[Hashable]()
    for number, node in enumerate(graph.nodes):
        where = f"node {node!r}"
        _require(node.number == number, f"{where} stands at place {number}")
        _node(node, graph, where, equal)
        _attributes(node, where, operations or {})
        _kind(node, where)
        key = (node.op, node.attrs, tuple((a.node.number, a.axes) for a in node.args), node.space, node.rank, node.kind)
        _require((*key, node.weak) not in seen, f"{where} is there twice")
        seen.add((*key, node.weak))
    for output in graph.outputs:
        _require(_of(output, graph), "an output is no node of the graph")
        _require(sorted(output.axes) == list(range(output.node.rank)), f"output {output} does not order all axes")


# --- programs ---------------------------------------------------------------------------------------------------------


def _new_value(name: str, axes: AxesOf, known: Mapping[str, AxesOf]) -> None:
    _require(name not in known, f"`{name}` is defined twice")
    names = [axis for axis, _ in axes]
    _require(len(set(names)) == len(names), f"`{name}` has an axis twice: {names}")
    _require("__BOUND" not in name and not any("__BOUND" in axis for axis in names), f"`{name}`: a bound name shows")


def _statement(statement: Statement, known: Mapping[str, AxesOf], kinds: Mapping[str, Kind], equal: _Equal) -> None:
    where = f"statement `{statement.name}`"
    sizes = dict(statement.axes)
    for term in subterms(statement.term):
        _term(term, known, where, equal)
    found = {axis: size_expr(domain.size) for axis, domain in statement.term.inputs.items()}
    _require(found.keys() == sizes.keys(), f"{where} states the axes {list(sizes)}, its term has {list(found)}")
    for axis, size in found.items():
        _require(equal(size, sizes[axis]), f"{where}: axis `{axis}` is {sizes[axis]}, in its term {size}")
    kind = term_kind(statement.term, kinds)
    _require(kind is statement.kind, f"{where} is stated to be {statement.kind.name}, but is {kind.name}")


def _term(term: Funsor, known: Mapping[str, AxesOf], where: str, equal: _Equal) -> None:
    if isinstance(term, Binary):
        for axis in term.lhs.inputs.keys() & term.rhs.inputs.keys():
            left, right = (size_expr(side.inputs[axis].size) for side in (term.lhs, term.rhs))
            _require(equal(left, right), f"{where}: axis `{axis}` is {left} on one side, {right} on the other")
    elif isinstance(term, Reduce):
        gone = {variable.name for variable in term.reduced_vars}
        _require(bool(gone) and gone <= term.arg.inputs.keys(), f"{where} reduces {gone}, which are not all there")
    elif isinstance(term, terms.Leaf):
        _reference(term.name, term.axes, known, where, equal)
    elif isinstance(term, terms.Primitive):
        _require(term.op in PRIMITIVES, f"{where}: there is no primitive {term.op}")
        attrs = tuple(sorted(PRIMITIVES[term.op].attrs))
        found = tuple(name for name, _ in term.attrs)
        _require(attrs == found, f"{where}: {term.op} has the attributes {found}, not {attrs}")
        for operand in term.operands:
            if isinstance(operand, terms.Ref):
                _reference(operand.name, operand.axes, known, where, equal)
        names = [axis for axis, _ in term.axes]
        _require(len(set(names)) == len(names) == len(term.names) == len(set(term.names)), f"{where}: {names}")
    else:
        allowed = (Unary, terms.Const, terms.SizeOf, terms.Coord)
        _require(isinstance(term, allowed), f"{where} contains a {type(term).__name__}")


def _reference(name: str, axes: terms.Axes, known: Mapping[str, AxesOf], where: str, equal: _Equal) -> None:
    _require(name in known, f"{where} refers to `{name}`, which is not there yet")
    names = [axis for axis, _ in axes]
    _require(len(set(names)) == len(names), f"{where} gives `{name}` an axis twice: {names}")
    _require(len(axes) == len(known[name]), f"{where} gives `{name}` {len(axes)} axes: it has {len(known[name])}")
    for (axis, size), (own, expected) in zip(axes, known[name], strict=True):
        fits = equal(size_expr(size), expected)
        _require(fits, f"{where}: axis `{own}` of `{name}` is {expected}, but `{axis}` here is {size}")


def _sizes(program: Program) -> None:
    """Every symbol is found by a recipe from symbols found before; nothing else is used."""
    inputs = {given.name: given for given in program.inputs}
    found: set[str] = set()
    for recipe in program.recipes:
        where = f"the recipe of |{recipe.symbol}|"
        _require(recipe.input in inputs, f"{where} asks for `{recipe.input}`")
        _require(recipe.axis < len(inputs[recipe.input].axes), f"{where}: `{recipe.input}` has fewer axes")
        _require(recipe.rest.symbols | recipe.factor.symbols <= found, f"{where} uses what is not known yet")
        _require(recipe.symbol not in found, f"{where} is there twice")
        found.add(recipe.symbol)
    _require(found == set(program.symbols), f"recipes find {found}, the symbols are {program.symbols}")
    for one in program.values:
        for axis, size in one.axes:
            _require(size.symbols <= found, f"axis `{axis}` of `{one.name}` is {size}, which no recipe finds")
    for check in program.checks:
        _require((check.left - check.right).symbols <= found, f"a check uses more than recipes find: {check}")


# --- graphs -----------------------------------------------------------------------------------------------------------

_LEAVES: dict[str, tuple[str, ...]] = {"input": ("name",), "const": ("digits", "kind"), "size": ("expr",), "coord": ()}
_ELEMENTWISE = {*terms.UNARY_NAMES, *terms.BINARY_NAMES, "where"}


def _node(node: Node, graph: Graph, where: str, equal: _Equal) -> None:
    _require(0 <= node.rank <= len(node.space), f"{where}: rank {node.rank} of {len(node.space)} axes")
    _require(len(node.names) == len(node.space), f"{where} names {node.names}")
    covered: set[int] = set()
    for arg in node.args:
        _require(_of(arg, graph) and arg.node.number < node.number, f"{where} uses what is not older")
        _require(len(arg.axes) == arg.node.rank, f"{where}: {arg.axes} for {arg.node.rank} axes")
        placed = [position for position in arg.axes if position != -1]
        _require(len(set(placed)) == len(placed), f"{where}: two axes of an operand at one position: {arg.axes}")
        for position, size in zip(arg.axes, arg.node.sizes, strict=True):
            _require(-1 <= position < len(node.space), f"{where}: no position {position}")
            if position >= 0:
                fits = equal(size, node.space[position])
                _require(fits, f"{where}: {size} at position {position}, which is {node.space[position]}")
        covered.update(placed)
    _require(covered >= set(range(node.rank, len(node.space))), f"{where} consumes an axis that no operand has")
    if node.op in _ELEMENTWISE or node.op == "reduce":
        _require(covered == set(range(len(node.space))), f"{where} has an axis that no operand has")
        _require(node.op == "reduce" or node.rank == len(node.space), f"{where} consumes an axis")


def _attributes(node: Node, where: str, operations: Mapping[str, HasAttrs]) -> None:
    found = tuple(name for name, _ in node.attrs)
    _require(not any(map(_undressed, dict(node.attrs).values())), f"{where}: an attribute holds a Size")
    if node.op in _LEAVES:
        expected = _LEAVES[node.op]
        _require(not node.args, f"{where} has operands")
    elif node.op in PRIMITIVES:
        expected = PRIMITIVES[node.op].attrs
    elif node.op in operations:
        expected = operations[node.op].attrs
    else:
        _require(node.op in {*terms.UNARY, *terms.BINARY, "reduce"}, f"{where}: there is no such operation")
        expected = ("op",) if node.op == "reduce" else ()
        arity = 2 if node.op in terms.BINARY else 1
        _require(len(node.args) == arity, f"{where} has {len(node.args)} operands")
    _require(found == tuple(sorted(expected)), f"{where} has the attributes {found}, not {expected}")


def _kind(node: Node, where: str) -> None:
    kinds = [arg.node.kind for arg in node.args]
    attrs: dict[str, Any] = dict(node.attrs)
    if node.op in terms.UNARY or node.op in terms.BINARY:
        expected = result_kind(node.op, kinds)
    elif node.op == "reduce":
        _require(attrs["op"] in terms.REDUCE, f"{where}: there is no such reduction")
        expected = result_kind(attrs["op"], kinds)
    elif node.op in PRIMITIVES:
        expected = primitive_kind(node.op, attrs, kinds)
    elif node.op == "const":
        expected = kind_of(terms.Literal(attrs["kind"], attrs["digits"]).value)
    else:
        expected = Kind.INT if node.op in ("size", "coord") else node.kind
    _require(node.kind is expected, f"{where} is {node.kind.name}, but must be {expected.name}")


def _of(arg: Arg, graph: Graph) -> bool:
    return arg.node.number < len(graph.nodes) and graph.nodes[arg.node.number] is arg.node


def _undressed(value: Hashable) -> bool:
    return any(map(_undressed, value)) if isinstance(value, tuple) else isinstance(value, Size)


# --- both -------------------------------------------------------------------------------------------------------------


class _Equal:
    """Whether two sizes are equal, for all sizes or for all that pass the checks."""

    def __init__(self, checks: Iterable[Check]) -> None:
        self.differences = {d for c in checks if c.relation == "==" for d in (c.left - c.right, c.right - c.left)}

    def __call__(self, left: SizeExpr, right: SizeExpr) -> bool:
        return left == right or left - right in self.differences


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InvariantError(message)
