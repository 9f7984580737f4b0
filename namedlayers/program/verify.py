"""What must hold of every program and of every graph; run between passes in tests.

In: a program, or a graph. Out: nothing, or an `InvariantError` that says what is broken and where. What always holds:
no bad input of a user gets here, so an error is one of ours; nothing is changed.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from funsor.terms import Binary, Funsor, Reduce, Unary

from namedlayers.program import terms
from namedlayers.program.dressed import Size
from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.invariants import Equal, InvariantError, require
from namedlayers.program.kinds import kind_of, result_kind
from namedlayers.program.primitives import PRIMITIVES
from namedlayers.program.program import AxesOf, Body, Check, Kind, Program, Statement
from namedlayers.program.regions import BUNDLES
from namedlayers.program.size import size_expr
from namedlayers.program.term_kinds import operand_kind, primitive_kind, term_kind
from namedlayers.program.verify_runs import verify_part, verify_part_node, verify_run, verify_run_node
from namedlayers.program.walk import subterms

__all__ = ["InvariantError", "verify_graph", "verify_program"]


class HasAttrs(Protocol):
    """What the verifier asks of an operation's specification."""

    @property
    def attrs(self) -> tuple[str, ...]: ...


def verify_program(program: Program, known: Collection[str] = ()) -> None:
    """Raise InvariantError unless the program is one; `known` are symbols that no recipe need find."""
    scopes = _block(program, Equal(program.checks), set())
    _sizes(program, scopes, set(known))
    _owned(program)


def verify_graph(graph: Graph, checks: Iterable[Check] = (), operations: Mapping[str, HasAttrs] | None = None) -> None:
    """Raise InvariantError unless the graph is one.

    `checks` are those of its program, under which sizes may be equal; `operations` the specifications of operations
    that rules have introduced, by name.
    """
    _graph(graph, Equal(checks), operations or {}, set())


def _graph(graph: Graph, equal: Equal, operations: Mapping[str, HasAttrs], done: set[Region]) -> None:
    seen = set[Hashable]()
    for number, node in enumerate(graph.nodes):
        where = f"node {node!r}"
        require(node.number == number, f"{where} stands at place {number}")
        _node(node, graph, where, equal)
        _attributes(node, where, operations)
        _kind(node, where)
        if node.op in BUNDLES:
            region = dict(node.attrs)["region"]
            if isinstance(region, Region) and region not in done:
                done.add(region)
                _graph(region.graph, equal, operations, done)
            verify_run_node(node, where, equal)
        elif node.op == "part":
            verify_part_node(node, where, equal)
        key = (node.op, node.attrs, tuple((a.node.number, a.axes) for a in node.args), node.space, node.rank, node.kind)
        require((*key, node.weak) not in seen, f"{where} is there twice")
        seen.add((*key, node.weak))
    for output in graph.outputs:
        require(_of(output, graph), "an output is no node of the graph")
        require(sorted(output.axes) == list(range(output.node.rank)), f"output {output} does not order all axes")


# --- programs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scope:
    """The values of a block by name, and the bundles with the terms that made them."""

    axes: dict[str, AxesOf] = field(default_factory=dict)
    kinds: dict[str, Kind] = field(default_factory=dict)
    bundles: dict[str, terms.Primitive] = field(default_factory=dict)


def _block(block: Program | Body, equal: Equal, done: set[Body]) -> list[_Scope]:
    """The scope of a block, and those of the bodies that it runs. A body refers to its inputs only: it is closed."""
    scope, found = _Scope(), []
    for given in block.inputs:
        _new_value(given.name, given.axes, scope.axes)
        scope.axes[given.name], scope.kinds[given.name] = given.axes, given.kind
        require(given.role != "option" or not given.axes, f"option `{given.name}` has axes")
    for statement in block.statements:
        _new_value(statement.name, statement.axes, scope.axes)
        body = dict(statement.term.attrs)["body"] if _is_bundle(statement.term) else None
        if isinstance(body, Body) and body not in done:
            done.add(body)
            found += _block(body, equal, done)
        _statement(statement, scope, equal)
        scope.axes[statement.name], scope.kinds[statement.name] = statement.axes, statement.kind
        if _is_bundle(statement.term):
            scope.bundles[statement.name] = statement.term
    for output in block.outputs:
        require(output.value in scope.axes, f"output `{output.value}` is no value")
        require(output.value not in scope.bundles, f"output `{output.value}` is a bundle")
        axes = [axis for axis, _ in scope.axes[output.value]]
        require(sorted(axes) == sorted(output.axes), f"output `{output.value}` has {axes}, not {output.axes}")
    return [scope, *found]


def _is_bundle(term: Funsor) -> bool:
    return isinstance(term, terms.Primitive) and term.op in BUNDLES


def _new_value(name: str, axes: AxesOf, known: Mapping[str, AxesOf]) -> None:
    require(name not in known, f"`{name}` is defined twice")
    names = [axis for axis, _ in axes]
    require(len(set(names)) == len(names), f"`{name}` has an axis twice: {names}")
    require("__BOUND" not in name and not any("__BOUND" in axis for axis in names), f"`{name}`: a bound name shows")


def _statement(statement: Statement, scope: _Scope, equal: Equal) -> None:
    where = f"statement `{statement.name}`"
    sizes = dict(statement.axes)
    for term in subterms(statement.term):
        _term(term, scope, where, equal)
        require(term is statement.term or not _is_bundle(term), f"{where} has a bundle inside")
    found = {axis: size_expr(domain.size) for axis, domain in statement.term.inputs.items()}
    require(found.keys() == sizes.keys(), f"{where} states the axes {list(sizes)}, its term has {list(found)}")
    for axis, size in found.items():
        require(equal(size, sizes[axis]), f"{where}: axis `{axis}` is {sizes[axis]}, in its term {size}")
    kind = term_kind(statement.term, scope.kinds, {name: dict(b.attrs)["body"] for name, b in scope.bundles.items()})
    require(kind is statement.kind, f"{where} is stated to be {statement.kind.name}, but is {kind.name}")


def _term(term: Funsor, scope: _Scope, where: str, equal: Equal) -> None:
    if isinstance(term, Binary):
        for axis in term.lhs.inputs.keys() & term.rhs.inputs.keys():
            left, right = (size_expr(side.inputs[axis].size) for side in (term.lhs, term.rhs))
            require(equal(left, right), f"{where}: axis `{axis}` is {left} on one side, {right} on the other")
    elif isinstance(term, Reduce):
        gone = {variable.name for variable in term.reduced_vars}
        require(bool(gone) and gone <= term.arg.inputs.keys(), f"{where} reduces {gone}, which are not all there")
    elif isinstance(term, terms.Leaf):
        _reference(term.name, term.axes, scope.axes, where, equal)
        require(term.name not in scope.bundles, f"{where} computes with the bundle `{term.name}`")
    elif isinstance(term, terms.Primitive):
        _primitive(term, scope, where, equal)
    else:
        allowed = (Unary, terms.Const, terms.SizeOf, terms.Coord)
        require(isinstance(term, allowed), f"{where} contains a {type(term).__name__}")


def _primitive(term: terms.Primitive, scope: _Scope, where: str, equal: Equal) -> None:
    require(term.op in PRIMITIVES, f"{where}: there is no primitive {term.op}")
    attrs = tuple(sorted(PRIMITIVES[term.op].attrs))
    found = tuple(name for name, _ in term.attrs)
    require(attrs == found, f"{where}: {term.op} has the attributes {found}, not {attrs}")
    refs = [operand for operand in term.operands if isinstance(operand, terms.Ref)]
    for ref in refs:
        _reference(ref.name, ref.axes, scope.axes, where, equal)
        require(term.op == "part" or ref.name not in scope.bundles, f"{where} computes with the bundle `{ref.name}`")
    names = [axis for axis, _ in term.axes]
    require(len(set(names)) == len(names) == len(term.names) == len(set(term.names)), f"{where}: {names}")
    if term.op in BUNDLES:
        verify_run(term, [operand_kind(operand, scope.kinds) for operand in term.operands], where, equal)
    elif term.op == "part":
        require(len(refs) == len(term.operands) == 1, f"{where} takes a part of {term.operands}")
        verify_part(term, scope.bundles.get(refs[0].name), where, equal)


def _reference(name: str, axes: terms.Axes, known: Mapping[str, AxesOf], where: str, equal: Equal) -> None:
    require(name in known, f"{where} refers to `{name}`, which is not there yet")
    names = [axis for axis, _ in axes]
    require(len(set(names)) == len(names), f"{where} gives `{name}` an axis twice: {names}")
    require(len(axes) == len(known[name]), f"{where} gives `{name}` {len(axes)} axes: it has {len(known[name])}")
    for (axis, size), (own, expected) in zip(axes, known[name], strict=True):
        fits = equal(size_expr(size), expected)
        require(fits, f"{where}: axis `{own}` of `{name}` is {expected}, but `{axis}` here is {size}")


def _sizes(program: Program, scopes: Iterable[_Scope], found: set[str]) -> None:
    """Every symbol is found by a recipe from symbols found before; nothing else is used."""
    inputs = {given.name: given for given in program.inputs}
    known = set(found)
    for recipe in program.recipes:
        where = f"the recipe of |{recipe.symbol}|"
        require(recipe.input in inputs, f"{where} asks for `{recipe.input}`")
        require(recipe.axis < len(inputs[recipe.input].axes), f"{where}: `{recipe.input}` has fewer axes")
        require(recipe.rest.symbols | recipe.factor.symbols <= found, f"{where} uses what is not known yet")
        require(recipe.symbol not in found, f"{where} is there twice")
        found.add(recipe.symbol)
    symbols = set(program.symbols)
    require(symbols <= found <= symbols | known, f"recipes find {found}, the symbols are {program.symbols}")
    for scope in scopes:
        for name, axes in scope.axes.items():
            for axis, size in axes:
                require(size.symbols <= found, f"axis `{axis}` of `{name}` is {size}, which no recipe finds")
    for check in program.checks:
        require((check.left - check.right).symbols <= found, f"a check uses more than recipes find: {check}")


def _owned(program: Program) -> None:
    """What a module supplies stands last, under paths of its own; what is written are states, the last outputs."""
    owned = program.owned
    require(program.inputs[len(program.inputs) - len(owned) :] == owned, "an owned input stands before another one")
    paths = [one.path for one in owned]
    require(all(paths) and len(set(paths)) == len(paths), f"the paths of owned inputs are {paths}")
    states = {one.path: one for one in owned if one.role == "state"}
    values = {one.name: one for one in program.values}
    require(len(program.writes) <= len(program.outputs), f"{program.writes} are more than the outputs")
    for path, output in zip(reversed(program.writes), reversed(program.outputs), strict=False):
        require(path in states, f"`{path}` is written, but no state")
        state, value = states[path], values[output.value]
        require(output.axes == tuple(axis for axis, _ in state.axes), f"`{path}` is written with {output.axes}")
        require(not state.kind < value.kind, f"`{path}` is {state.kind.name}, but {value.kind.name} is written")


# --- graphs -----------------------------------------------------------------------------------------------------------

_LEAVES: dict[str, tuple[str, ...]] = {"input": ("name",), "const": ("digits", "kind"), "size": ("expr",), "coord": ()}
_IN_GRAPHS = {
    "random": ("distribution", "site"),
    "categorical": ("axis", "site"),
    "call": ("region", "places", "site"),
    "scan": ("region", "places", "site", "carries", "reverse", "size"),
}
_ELEMENTWISE = {*terms.UNARY_NAMES, *terms.BINARY_NAMES, "where"}


def _node(node: Node, graph: Graph, where: str, equal: Equal) -> None:
    require(0 <= node.rank <= len(node.space), f"{where}: rank {node.rank} of {len(node.space)} axes")
    require(len(node.names) == len(node.space), f"{where} names {node.names}")
    covered: set[int] = set()
    for arg in node.args:
        require(_of(arg, graph) and arg.node.number < node.number, f"{where} uses what is not older")
        require(len(arg.axes) == arg.node.rank, f"{where}: {arg.axes} for {arg.node.rank} axes")
        placed = [position for position in arg.axes if position != -1]
        require(len(set(placed)) == len(placed), f"{where}: two axes of an operand at one position: {arg.axes}")
        for position, size in zip(arg.axes, arg.node.sizes, strict=True):
            require(-1 <= position < len(node.space), f"{where}: no position {position}")
            if position >= 0:
                fits = equal(size, node.space[position])
                require(fits, f"{where}: {size} at position {position}, which is {node.space[position]}")
        covered.update(placed)
    require(covered >= set(range(node.rank, len(node.space))), f"{where} consumes an axis that no operand has")
    if node.op in _ELEMENTWISE or node.op == "reduce":
        require(covered == set(range(len(node.space))), f"{where} has an axis that no operand has")
        require(node.op == "reduce" or node.rank == len(node.space), f"{where} consumes an axis")


def _attributes(node: Node, where: str, operations: Mapping[str, HasAttrs]) -> None:
    found = tuple(name for name, _ in node.attrs)
    require(not any(map(_undressed, dict(node.attrs).values())), f"{where}: an attribute holds a Size")
    if node.op in _LEAVES:
        expected = _LEAVES[node.op]
        require(not node.args, f"{where} has operands")
    elif node.op in PRIMITIVES:
        expected = _IN_GRAPHS.get(node.op, PRIMITIVES[node.op].attrs)
    elif node.op in operations:
        expected = operations[node.op].attrs
    else:
        require(node.op in {*terms.UNARY, *terms.BINARY, "reduce"}, f"{where}: there is no such operation")
        expected = ("op",) if node.op == "reduce" else ()
        arity = 2 if node.op in terms.BINARY else 1
        require(len(node.args) == arity, f"{where} has {len(node.args)} operands")
    require(found == tuple(sorted(expected)), f"{where} has the attributes {found}, not {expected}")


def _kind(node: Node, where: str) -> None:
    kinds = [arg.node.kind for arg in node.args]
    attrs: dict[str, Any] = dict(node.attrs)
    if node.op in terms.UNARY or node.op in terms.BINARY:
        expected = result_kind(node.op, kinds)
    elif node.op == "reduce":
        require(attrs["op"] in terms.REDUCE, f"{where}: there is no such reduction")
        expected = result_kind(attrs["op"], kinds)
    elif node.op in PRIMITIVES and node.op != "part":
        expected = primitive_kind(node.op, attrs, kinds)
    elif node.op == "const":
        expected = kind_of(terms.Literal(attrs["kind"], attrs["digits"]).value)
    else:
        expected = Kind.INT if node.op in ("size", "coord") else node.kind
    require(node.kind is expected, f"{where} is {node.kind.name}, but must be {expected.name}")


def _of(arg: Arg, graph: Graph) -> bool:
    return arg.node.number < len(graph.nodes) and graph.nodes[arg.node.number] is arg.node


def _undressed(value: Hashable) -> bool:
    return any(map(_undressed, value)) if isinstance(value, tuple) else isinstance(value, Size)
