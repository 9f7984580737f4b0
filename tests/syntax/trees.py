"""Random trees and texts for the tests of syntax.

Every tree that is drawn is one that some text has: an argument without a name stands before those with one, a call of
an index is a call with axes, numbers are not negative.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from hypothesis import strategies as st

from namedlayers.errors import Source, Span
from namedlayers.syntax import tree

NOWHERE = Span(Source(""), 0, 0)

SOFT = "layer param state require repeat as scan reversed with from import".split()
HARD = "def return if elif else and or not".split()

names = st.sampled_from(["X", "Y", "seq", "seq'", "chans''", "größe", "層", "μ", "_", "x1", *SOFT])
axis_names = names | st.sampled_from(HARD)
plain_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def draw_maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


def several(strategy: st.SearchStrategy, low: int = 0, high: int = 3) -> st.SearchStrategy:
    return st.lists(strategy, min_size=low, max_size=high).map(tuple)


def node(kind: type, *fields: st.SearchStrategy) -> st.SearchStrategy:
    return st.builds(kind, st.just(NOWHERE), *fields)


finite = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
numbers = node(tree.Number, st.integers(0, 10**40) | finite | finite.map(lambda value: complex(0, value)))
value_names = node(tree.Name, names)
stars = st.booleans()
plain_axes = node(tree.Axis, axis_names, stars, st.none())
sizes_of = node(tree.SizeOf, several(plain_axes, 1))
leaves = numbers | value_names | node(tree.String, plain_text) | sizes_of


def sized_axes(values: st.SearchStrategy) -> st.SearchStrategy:
    return node(tree.Axis, axis_names, stars, draw_maybe(values))


def groups(values: st.SearchStrategy) -> st.SearchStrategy:
    return node(tree.Group, several(sized_axes(values), 1))


def slices(values: st.SearchStrategy) -> st.SearchStrategy:
    return node(tree.Slice, draw_maybe(values), draw_maybe(values), draw_maybe(values))


def entries(values: st.SearchStrategy) -> st.SearchStrategy:
    source = plain_axes | groups(values)
    return (
        node(tree.Entry, source, st.none(), draw_maybe(values | slices(values)))
        | node(tree.Entry, sized_axes(values) | groups(values), sized_axes(values) | groups(values), st.none())
    )  # fmt: skip


def named(values: st.SearchStrategy) -> st.SearchStrategy:
    return several(node(tree.Argument, names, values))


@st.composite
def calls(draw: st.DrawFn, values: st.SearchStrategy) -> tree.Call:
    positional = several(node(tree.Argument, st.none(), values))
    args, options = draw(positional), draw(positional | named(values))
    if all(argument.name for argument in options):
        args += draw(named(values))
    function = draw(values)
    if isinstance(function, tree.Index):
        return tree.Call(NOWHERE, function.base, function.entries, function.options, args, options)
    axes = draw(draw_maybe(several(entries(values))))
    settings = () if axes is None else draw(named(values))
    return tree.Call(NOWHERE, function, axes, settings, args, options)


@st.composite
def comparisons(draw: st.DrawFn, values: st.SearchStrategy) -> tree.Compare:
    operands = draw(several(values, 2, 4))
    ops = draw(several(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), len(operands) - 1, len(operands) - 1))
    return tree.Compare(NOWHERE, operands, ops)


def compound(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.one_of(
        node(tree.Binary, st.sampled_from(["+", "-", "*", "/", "//", "%", "^", "and", "or"]), values, values),
        node(tree.Unary, st.sampled_from(["-", "+", "not"]), values),
        node(tree.Contract, values, several(plain_axes), values),
        node(tree.Attribute, values, names),
        node(tree.Index, values, several(entries(values)), named(values)),
        node(tree.Tuple, several(values)),
        comparisons(values),
        calls(values),
    )


expressions: st.SearchStrategy[tree.Expr] = st.recursive(leaves, compound, max_leaves=8)

declared = several(sized_axes(expressions) | groups(expressions))
returns = node(tree.Return, several(expressions, 1, 2))
simple_statements = st.one_of(
    node(tree.Assign, several(value_names, 1, 2), expressions),
    node(tree.Equation, sizes_of, expressions),
    node(tree.Require, expressions, draw_maybe(plain_text)),
    node(tree.Declare, st.sampled_from(["param", "state"]), names, declared, expressions),
    returns,
)


def compound_statements(statements: st.SearchStrategy) -> st.SearchStrategy:
    body = several(statements, 1, 2)
    carries = several(node(tree.Carry, names, expressions), 0, 2)
    scanned = node(tree.Axis, axis_names, st.just(False), draw_maybe(expressions))
    return st.one_of(
        node(tree.If, expressions, body, several(statements, 0, 2)),
        node(tree.Repeat, expressions, draw_maybe(value_names), body),
        node(tree.Scan, scanned, st.booleans(), carries, body),
    )


statements = st.recursive(simple_statements, compound_statements, max_leaves=4)
parameters = several(node(tree.Parameter, names, draw_maybe(declared), draw_maybe(expressions)), 0, 2)
results = draw_maybe(several(node(tree.Result, several(plain_axes)), 1, 2))
bodies = several(statements, 1, 3).map(lambda body: (body, False))
inline_bodies = expressions.map(lambda value: ((tree.Return(NOWHERE, (value,)),), True))


@st.composite
def definitions(draw: st.DrawFn) -> tree.Definition:
    body, inline = draw(bodies | inline_bodies)
    kind, name, axes = draw(st.sampled_from(["def", "layer"])), draw(names), draw(several(entries(expressions), 0, 2))
    return tree.Definition(
        NOWHERE, kind, name, axes, draw(parameters), draw(parameters), draw(results), body, inline
    )  # fmt: skip


imports = node(tree.Import, names, draw_maybe(several(value_names, 1)))
modules: st.SearchStrategy[tree.Module] = node(tree.Module, several(imports | definitions(), 1, 2), st.just(()))


def walk(root: tree.Node) -> Iterator[tree.Node]:
    """A node and all nodes below it."""
    yield root
    for field in dataclasses.fields(root):
        value = getattr(root, field.name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, tree.Node):
                yield from walk(item)
