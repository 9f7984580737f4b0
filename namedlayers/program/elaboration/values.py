"""What expressions evaluate to while a definition is elaborated.

In: made by the elaborator. Out: read by it, and built into terms at its end. A `Value` is a tensor: a draft of its term
(terms themselves need sizes that are solved only later), its axes with their sizes, its kind. A `Static` is known while
compiling: a number, a string, a tuple along axes, a size. A `Callee` is a definition or a builtin, not yet applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from namedlayers.errors import Span
from namedlayers.program import terms
from namedlayers.program.dressed import Size
from namedlayers.program.kinds import kind_of
from namedlayers.program.program import AxesOf, Body, Input, Kind, Output, Statement
from namedlayers.program.size import SizeExpr
from namedlayers.syntax import tree

if TYPE_CHECKING:
    from namedlayers.program.elaboration.owned import DraftDeclared

AxisSizes = Mapping[str, SizeExpr]


@dataclass(frozen=True, slots=True)
class Draft:
    """A term whose sizes are not solved yet. `form` says which, `parts` are the constructor's arguments."""

    form: str
    parts: tuple[Any, ...]
    depth: int = 1


@dataclass(frozen=True, slots=True)
class DraftStatement:
    """A statement to be: `name[axes] = draft`."""

    name: str
    axes: AxisSizes
    kind: Kind
    draft: Draft
    span: Span
    within: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class DraftBody:
    """A `Body` to be, whose sizes are not solved yet. `outputs`: the name of a value with its axes in order. `weight`:
    how many statements one run of it is, those of the bodies that it calls included."""

    name: str
    inputs: tuple[Input, ...]
    statements: tuple[DraftStatement, ...]
    outputs: tuple[Output, ...]
    span: Span
    weight: int


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor. `axes` are all its axes in order; over the `virtual` ones its draft is constant and lacks them."""

    draft: Draft
    axes: AxisSizes
    kind: Kind
    span: Span
    virtual: frozenset[str] = frozenset()

    @property
    def real_axes(self) -> dict[str, SizeExpr]:
        return {axis: size for axis, size in self.axes.items() if axis not in self.virtual}

    def at(self, span: Span) -> Value:
        return replace(self, span=span)


@dataclass(frozen=True, slots=True)
class Static:
    """`value` is a number, a string, None, a tuple of such, or a SizeExpr. `option` names the option it came from."""

    value: Any
    span: Span

    def at(self, span: Span) -> Static:
        return Static(self.value, span)


@dataclass(frozen=True, slots=True)
class Callee:
    """A definition with the namespace it was written in, or a builtin (`definition` None)."""

    name: str
    span: Span
    definition: tree.Definition | None = None
    namespace: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """A layer at its place, with parameters of its own; applied as often as one likes, it is the same one.

    `call` holds its brackets, whose names mean what they mean in `env`. `path` names it in the module; `order` are the
    places in the text that lead to it.
    """

    callee: Callee
    call: tree.Call
    env: Environment
    path: tuple[str, ...]
    order: tuple[int, ...]
    span: Span

    @property
    def name(self) -> str:
        return self.path[-1]


@dataclass(frozen=True, slots=True)
class Several:
    """The results of a definition that returns more than one."""

    values: tuple[Value | Static, ...]
    span: Span


Evaluated = Value | Static | Callee | Instance | Several


def leaf(name: str, axes: AxisSizes) -> Draft:
    return Draft("leaf", (name, tuple(axes.items())))


def constant(number: bool | int | float | complex, span: Span, axes: AxisSizes | None = None) -> Value:
    """A literal, over virtual `axes`."""
    axes = dict(axes or {})
    return Value(Draft("const", (number,)), axes, kind_of(number), span, frozenset(axes))


def size_value(size: SizeExpr, span: Span) -> Value:
    if size.value is not None:
        return constant(size.value, span)
    return Value(Draft("size", (size,)), {}, Kind.INT, span)


def coordinates(axis: str, size: SizeExpr, span: Span) -> Value:
    return Value(Draft("coord", (axis, size)), {axis: size}, Kind.INT, span)


def renamed(value: Value, axes: AxisSizes) -> Value:
    """A let-bound value with its axes, in their order, called as in `axes`."""
    names = dict(zip(value.axes, axes, strict=True))
    draft = value.draft
    if draft.form == "leaf":
        draft = Draft("leaf", (draft.parts[0], tuple((names[axis], size) for axis, size in draft.parts[1])))
    return replace(value, draft=draft, axes=dict(axes), virtual=frozenset(names[axis] for axis in value.virtual))


def unary(op: str, x: Draft) -> Draft:
    return Draft("unary", (op, x), x.depth + 1)


def binary(op: str, x: Draft, y: Draft) -> Draft:
    return Draft("binary", (op, x, y), max(x.depth, y.depth) + 1)


def reduction(op: str, x: Draft, axes: frozenset[str]) -> Draft:
    return Draft("reduce", (op, x, axes), x.depth + 1)


def primitive(op: str, attrs: Mapping[str, Any], operands: tuple[Draft, ...], axes: AxisSizes) -> Draft:
    """Operands are leaves, literals or sizes; sizes in `attrs` are SizeExprs, at any depth of tuples."""
    return Draft("primitive", (op, tuple(sorted(attrs.items())), operands, tuple(axes.items())))


def weight(draft: Draft) -> int:
    """How many statements a statement is, once the bodies in it are written out."""
    bodies = [value for _, value in draft.parts[1] if isinstance(value, DraftBody)] if draft.form == "primitive" else []
    return 1 + sum(body.weight for body in bodies)


def sizes_of(draft: Draft, bodies: set[DraftBody] | None = None) -> Iterator[SizeExpr]:
    """All sizes that a draft speaks of, but for the `bodies` that have been looked into."""
    waiting: list[Any] = [draft]
    seen = set() if bodies is None else bodies
    while waiting:
        one = waiting.pop()
        if isinstance(one, SizeExpr):
            yield one
        elif isinstance(one, Draft):
            waiting += one.parts
        elif isinstance(one, DraftBody) and one not in seen:
            seen.add(one)
            waiting += [size for given in one.inputs for _, size in given.axes]
            waiting += [part for s in one.statements for part in (*s.axes.values(), s.draft)]
        elif isinstance(one, tuple):
            waiting += one


def build(draft: Draft, normal: Any, bodies: dict[DraftBody, Body]) -> Any:
    """The funsor term of a draft; `normal` gives the solved form of a size. Call inside `terms.building()`. A body is
    built once and kept in `bodies`, however often it is called."""

    def size(expr: SizeExpr) -> Size:
        return Size(normal(expr))

    def sized(axes: AxesOf) -> terms.Axes:
        return tuple((axis, size(expr)) for axis, expr in axes)

    def attribute(value: Any) -> Any:
        if isinstance(value, SizeExpr):
            return size(value)
        if isinstance(value, DraftBody):
            return body(value)
        return tuple(map(attribute, value)) if isinstance(value, tuple) else value

    def body(one: DraftBody) -> Body:
        if one not in bodies:
            inputs = tuple(replace(i, axes=tuple((a, normal(s)) for a, s in i.axes)) for i in one.inputs)
            statements = build_statements(one.statements, normal, bodies)
            bodies[one] = Body(one.name, inputs, statements, one.outputs, one.span)
        return bodies[one]

    def operand(draft: Draft) -> terms.Operand:
        if draft.form == "leaf":
            return terms.Ref(draft.parts[0], sized(draft.parts[1]))
        if draft.form == "size":
            return terms.SizeRef(size(draft.parts[0]))
        return terms.Literal(*terms.literal_key(draft.parts[0]))

    def term(draft: Draft) -> Any:
        parts = draft.parts
        match draft.form:
            case "leaf":
                return terms.Leaf(parts[0], sized(parts[1]))
            case "const":
                return terms.literal(parts[0])
            case "size":
                solved = normal(parts[0])
                return terms.SizeOf(Size(solved)) if solved.value is None else terms.literal(solved.value)
            case "coord":
                return terms.Coord(parts[0], size(parts[1]))
            case "unary":
                return terms.unary(parts[0], term(parts[1]))
            case "binary":
                return terms.binary(parts[0], term(parts[1]), term(parts[2]))
            case "reduce":
                return terms.reduction(parts[0], term(parts[1]), parts[2])
        op, attrs, operands, axes = parts
        local = sized(axes)
        return terms.Primitive(
            op, attribute(attrs), tuple(map(operand, operands)), local, tuple(axis for axis, _ in local)
        )

    return term(draft)


def build_statements(
    drafts: Iterable[DraftStatement], normal: Any, bodies: dict[DraftBody, Body] | None = None
) -> tuple[Statement, ...]:
    """The statements of drafts, as `build`."""
    built = []
    bodies = {} if bodies is None else bodies
    for one in drafts:
        axes = tuple((axis, normal(size)) for axis, size in one.axes.items())
        built.append(Statement(one.name, axes, one.kind, build(one.draft, normal, bodies), one.span, one.within))
    return tuple(built)


@dataclass(slots=True)
class Environment:
    """The names that a definition's body sees. `axes` maps a name to the axis it stands for (a tuple: a star).

    `sizes` holds the one size of each axis (by axis), `clashing` those that turned out to have several, `declared`
    those that the signature names: these have one size in the whole definition. `undefined` are names that only one
    branch of an `if` assigned, with the place of its condition. In a layer, `path` names it in the module (None in a
    `def`), `order` are the places that lead to it, `given` the sizes by which its brackets or the constructor override
    defaults, `states` its states by name.
    """

    namespace: Any
    definition: tree.Definition
    values: dict[str, Evaluated] = field(default_factory=dict)
    undefined: dict[str, Span] = field(default_factory=dict)
    axes: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    sizes: dict[str, SizeExpr] = field(default_factory=dict)
    clashing: set[str] = field(default_factory=set)
    declared: set[str] = field(default_factory=set)
    used_axes: set[str] = field(default_factory=set)
    path: tuple[str, ...] | None = None
    order: tuple[int, ...] = ()
    given: Mapping[str, SizeExpr] = field(default_factory=dict)
    states: dict[str, DraftDeclared] = field(default_factory=dict)
    declares: dict[str, Span] = field(default_factory=dict)
    """Where the names of parameters and states are declared."""


def star(axes: str | tuple[str, ...]) -> tuple[str, ...]:
    """The axes that a name of an environment stands for: several for a star, else one."""
    return axes if isinstance(axes, tuple) else (axes,)
