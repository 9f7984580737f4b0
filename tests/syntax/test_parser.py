"""The parser: what tree each construct of the language is, shown by the canonical text or the node itself."""

from __future__ import annotations

import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from namedlayers.errors import Source, Span
from namedlayers.syntax import format_expr, format_module, parse, tree
from tests.syntax.texts import LOOK, TEXTS

AT = Span(Source(""), 0, 0)


def expression(text: str) -> Any:
    return parse(f"def f() = {text}").items[0].body[0].values[0]


def statement(text: str) -> Any:
    return parse("def f():\n" + textwrap.indent(text, "    ")).items[0].body[0]


def name(text: str) -> tree.Name:
    return tree.Name(AT, text)


def number(value: complex) -> tree.Number:
    return tree.Number(AT, value)


def axis(text: str, star: bool = False, size: tree.Expr | None = None) -> tree.Axis:
    return tree.Axis(AT, text, star, size)


def binary(op: str, left: tree.Expr, right: tree.Expr) -> tree.Binary:
    return tree.Binary(AT, op, left, right)


def entry(source: Any, target: Any = None, value: Any = None) -> tree.Entry:
    return tree.Entry(AT, source, target, value)


def index(*entries: tree.Entry, options: tuple[tree.Argument, ...] = ()) -> tree.Index:
    return tree.Index(AT, X, entries, options)


def argument(value: tree.Expr, called: str | None = None) -> tree.Argument:
    return tree.Argument(AT, called, value)


a, b, c, X = map(name, "abcX")
A, B = axis("a"), axis("b")

EXPRESSIONS: dict[str, tree.Expr] = {
    "42": number(42),
    "1_000": number(1000),
    "0xff": number(255),
    "0b101": number(5),
    "0o17": number(15),
    "1e-5": number(1e-5),
    "1.": number(1.0),
    ".5": number(0.5),
    "2.5E3": number(2500.0),
    "1j": number(1j),
    ".5J": number(0.5j),
    '"a\\n"': tree.String(AT, "a\n"),
    "'it\\'s \\u00e9'": tree.String(AT, "it's é"),
    "''": tree.String(AT, ""),
    "True": name("True"),
    "seq'": name("seq'"),
    "seq\u2032\u2033": name("seq'''"),
    "ﬁlter": name("filter"),
    "e\u0301": name("é"),
    "層": name("層"),
    "norm.LayerNorm": tree.Attribute(AT, name("norm"), "LayerNorm"),
    "()": tree.Tuple(AT, ()),
    "(1,)": tree.Tuple(AT, (number(1),)),
    "(1, 2,)": tree.Tuple(AT, (number(1), number(2))),
    "(a)": a,
    "-a": tree.Unary(AT, "-", a),
    "- +a": tree.Unary(AT, "-", tree.Unary(AT, "+", a)),
    "not a": tree.Unary(AT, "not", a),
    "a + b": binary("+", a, b),
    "a - b - c": binary("-", binary("-", a, b), c),
    "a - (b - c)": binary("-", a, binary("-", b, c)),
    "a + b * c": binary("+", a, binary("*", b, c)),
    "a / b // c % a": binary("%", binary("//", binary("/", a, b), c), a),
    "a ^ b ^ c": binary("^", a, binary("^", b, c)),
    "a ** b": binary("^", a, b),
    "-a ^ -b": tree.Unary(AT, "-", binary("^", a, tree.Unary(AT, "-", b))),
    "a * -b": binary("*", a, tree.Unary(AT, "-", b)),
    "a or b and not c": binary("or", a, binary("and", b, tree.Unary(AT, "not", c))),
    "not a == b": tree.Unary(AT, "not", tree.Compare(AT, (a, b), ("==",))),
    "a < b <= c": tree.Compare(AT, (a, b, c), ("<", "<=")),
    "(a > b) >= c": tree.Compare(AT, (tree.Compare(AT, (a, b), (">",)), c), (">=",)),
    "a != b + c": tree.Compare(AT, (a, binary("+", b, c)), ("!=",)),
    "a @[i, j] b": tree.Contract(AT, a, (axis("i"), axis("j")), b),
    "a ⊙[i] b": tree.Contract(AT, a, (axis("i"),), b),
    "a @[] b": tree.Contract(AT, a, (), b),
    "a @[*i] b": tree.Contract(AT, a, (axis("i", star=True),), b),
    "a @[i] b * c": binary("*", tree.Contract(AT, a, (axis("i"),), b), c),
    "a * b @[i] c": tree.Contract(AT, binary("*", a, b), (axis("i"),), c),
    "a @[i] -b": tree.Contract(AT, a, (axis("i"),), tree.Unary(AT, "-", b)),
    "|a|": tree.SizeOf(AT, (A,)),
    "|a, b|": tree.SizeOf(AT, (A, B)),
    "|*a|": tree.SizeOf(AT, (axis("a", star=True),)),
    "|a| // |b|": binary("//", tree.SizeOf(AT, (A,)), tree.SizeOf(AT, (B,))),
    "f(|a|)": tree.Call(AT, name("f"), None, (), (argument(tree.SizeOf(AT, (A,))),), ()),
    "X[a]": index(entry(A)),
    "X[]": index(),
    "X[a -> b]": index(entry(A, B)),
    "X[a, b -> c, a]": index(entry(A), entry(B, axis("c")), entry(A)),
    "X[(a, b) -> c]": index(entry(tree.Group(AT, (A, B)), axis("c"))),
    "X[c -> (a = 8, b)]": index(entry(axis("c"), tree.Group(AT, (axis("a", size=number(8)), B)))),
    "X[a -> b = 3]": index(entry(A, axis("b", size=number(3)))),
    "X[a = 2 -> b = 3]": index(entry(axis("a", size=number(2)), axis("b", size=number(3)))),
    "X[a = 0]": index(entry(A, None, number(0))),
    "X[a = -1]": index(entry(A, None, tree.Unary(AT, "-", number(1)))),
    "X[a = 2:8]": index(entry(A, None, tree.Slice(AT, number(2), number(8), None))),
    "X[a = ::2]": index(entry(A, None, tree.Slice(AT, None, None, number(2)))),
    "X[a = :]": index(entry(A, None, tree.Slice(AT, None, None, None))),
    "X[a = b:-c:2]": index(entry(A, None, tree.Slice(AT, b, tree.Unary(AT, "-", c), number(2)))),
    "X[*a = b * a + c]": index(entry(axis("a", star=True), None, binary("+", binary("*", b, a), c))),
    "X[(a, b) = c]": index(entry(tree.Group(AT, (A, B)), None, c)),
    "X[a = a - 1; fill = 0]": index(entry(A, None, binary("-", a, number(1))), options=(argument(number(0), "fill"),)),
    "f(X)": tree.Call(AT, name("f"), None, (), (argument(X),), ()),
    "f()": tree.Call(AT, name("f"), None, (), (), ()),
    "f(X, k = 1; m = 2)": tree.Call(
        AT,
        name("f"),
        None,
        (),
        (argument(X), argument(number(1), "k")),
        (argument(number(2), "m"),),
    ),
    "f[a](X)": tree.Call(AT, name("f"), (entry(A),), (), (argument(X),), ()),
    "f[](X)": tree.Call(AT, name("f"), (), (), (argument(X),), ()),
    "f[a -> b; bias = c](X; k = 1)": tree.Call(
        AT,
        name("f"),
        (entry(A, B),),
        (argument(c, "bias"),),
        (argument(X),),
        (argument(number(1), "k"),),
    ),
    "f[; bias = c](X)": tree.Call(AT, name("f"), (), (argument(c, "bias"),), (argument(X),), ()),
    "f[a](X)[b = 0]": tree.Index(
        AT, tree.Call(AT, name("f"), (entry(A),), (), (argument(X),), ()), (entry(B, None, number(0)),), ()
    ),
    "f(X)(X)": tree.Call(AT, tree.Call(AT, name("f"), None, (), (argument(X),), ()), None, (), (argument(X),), ()),
    "m.f[a](X)": tree.Call(AT, tree.Attribute(AT, name("m"), "f"), (entry(A),), (), (argument(X),), ()),
    "(a + b)[a = 0]": tree.Index(AT, binary("+", a, b), (entry(A, None, number(0)),), ()),
}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expression(text: str) -> None:
    assert expression(text) == EXPRESSIONS[text]
    assert expression(format_expr(EXPRESSIONS[text])) == EXPRESSIONS[text]


body = (tree.Assign(AT, (X,), a),)
other = (tree.Assign(AT, (X,), b),)

STATEMENTS: dict[str, tree.Statement] = {
    "X = a": body[0],
    "a, b = f(X)": tree.Assign(AT, (a, b), expression("f(X)")),
    "|a| = |b| // 2": tree.Equation(AT, tree.SizeOf(AT, (A,)), expression("|b| // 2")),
    "|a, b| = 2": tree.Equation(AT, tree.SizeOf(AT, (A, B)), number(2)),
    "require a < b": tree.Require(AT, expression("a < b"), None),
    'require a, "text"': tree.Require(AT, a, "text"),
    "return a": tree.Return(AT, (a,)),
    "return a, b": tree.Return(AT, (a, b)),
    "return (a, b)": tree.Return(AT, (tree.Tuple(AT, (a, b)),)),
    "param X[a, b = 3] ~ zeros": tree.Declare(AT, "param", "X", (A, axis("b", size=number(3))), name("zeros")),
    "param X[(a = 2, b), c] ~ f(a)": tree.Declare(
        AT, "param", "X", (tree.Group(AT, (axis("a", size=number(2)), B)), axis("c")), expression("f(a)")
    ),
    "state X[] ~ 1": tree.Declare(AT, "state", "X", (), number(1)),
    "if a:\n    X = a": tree.If(AT, a, body, ()),
    "if a: X = a": tree.If(AT, a, body, ()),
    "if a:\n    X = a\nelse:\n    X = b": tree.If(AT, a, body, other),
    "if a:\n    X = a\nelif b:\n    X = b\nelse:\n    X = a": tree.If(AT, a, body, (tree.If(AT, b, other, body),)),
    "repeat 3:\n    X = a": tree.Repeat(AT, number(3), None, body),
    "repeat n + 1 as i:\n    X = a": tree.Repeat(AT, expression("n + 1"), name("i"), body),
    "scan a:\n    X = a": tree.Scan(AT, A, False, (), body),
    "scan a with X = b, c = 0:\n    X = a": tree.Scan(
        AT, A, False, (tree.Carry(AT, "X", b), tree.Carry(AT, "c", number(0))), body
    ),
    "scan a reversed with X = b:\n    X = a": tree.Scan(AT, A, True, (tree.Carry(AT, "X", b),), body),
    "scan a = 10 with X = b:\n    X = a": tree.Scan(
        AT, axis("a", size=number(10)), False, (tree.Carry(AT, "X", b),), body
    ),
    # Keywords name values where nothing else can stand.
    "param = a": tree.Assign(AT, (name("param"),), a),
    "state, layer = f(X)": tree.Assign(AT, (name("state"), name("layer")), expression("f(X)")),
    "require require": tree.Require(AT, name("require"), None),
    "repeat repeat as as:\n    X = a": tree.Repeat(AT, name("repeat"), name("as"), body),
    "scan reversed reversed with with = with:\n    X = a": tree.Scan(
        AT, axis("reversed"), True, (tree.Carry(AT, "with", name("with")),), body
    ),
}


@pytest.mark.parametrize("text", STATEMENTS)
def test_statement(text: str) -> None:
    assert statement(text) == STATEMENTS[text]


def definition(text: str) -> Any:
    return parse(text).items[0]


def test_a_definition() -> None:
    node = definition("layer L[a -> b, *c](X[a, *c], Y; W[b, a] = 0, k = 2) -> [a], []:\n    return X, Y\n")
    assert (node.kind, node.name, node.inline) == ("layer", "L", False)
    assert node.axes == (entry(A, B), entry(axis("c", star=True)))
    assert node.data == (tree.Parameter(AT, "X", (A, axis("c", star=True))), tree.Parameter(AT, "Y", None))
    assert node.parameters == (
        tree.Parameter(AT, "W", (B, A), number(0)),
        tree.Parameter(AT, "k", None, number(2)),
    )
    assert node.results == (tree.Result(AT, (A,)), tree.Result(AT, ()))
    assert node.body == (tree.Return(AT, (X, name("Y"))),)


def test_an_inline_definition() -> None:
    node = definition("def f() = a")
    assert (node.inline, node.results, node.axes, node.data, node.parameters) == (True, None, (), (), ())
    assert node.body == (tree.Return(AT, (a,)),)


def test_a_scalar_input_has_axes_and_an_option_has_none() -> None:
    (scalar, option) = definition("def f(; b[], k) = b").parameters
    assert (scalar.axes, option.axes) == ((), None)


def test_imports() -> None:
    module = parse("import norm\nfrom conv import conv1d, a\nfrom conv import (\n    b,\n    c,\n)\n")
    assert module.items == (
        tree.Import(AT, "norm", None),
        tree.Import(AT, "conv", (name("conv1d"), a)),
        tree.Import(AT, "conv", (b, c)),
    )


@pytest.mark.parametrize("word", "def layer param state return if elif else require repeat as scan and or not".split())
def test_every_keyword_names_an_axis(word: str) -> None:
    text = f"X[{word} -> {word}'] @[{word}] Y[*{word} = 1] * |{word}| + f[({word}, a = 2) -> {word} = 3](X)"
    assert format_expr(expression(text)) == text
    assert definition(f"def f[{word}](X[{word}]) -> [{word}] = X").data[0].axes == (axis(word),)


def test_comments_are_kept_with_their_places() -> None:
    module = parse("# one\ndef f(X[a],  # two \n      Y) = X\n    # three\n")
    assert module.comments == ((1, 1, "# one"), (2, 14, "# two"), (4, 5, "# three"))


def test_lines_are_joined_in_brackets() -> None:
    text = "def f(\nX[a,\n\n  # more\n b]\n) -> [a,\nb] = (X\n+ 1)\n"
    assert format_module(parse(text)).startswith("# more\ndef f(X[a, b]) -> [a, b] = X + 1\n")


def test_a_wholly_indented_text_points_at_what_the_user_wrote() -> None:
    text = "\n    def f(X[a]):\n        return X  # end\n    "
    node = parse(text).items[0]
    assert (node.span.line, node.span.column) == (2, 5)
    assert node.body[0].span.text == "return X"
    assert (node.body[0].span.line, node.body[0].span.column) == (3, 9)


def test_a_text_may_begin_beside_its_quotes() -> None:
    assert parse("def f(X[a]):\n        return X\n    ") == parse("def f(X[a]):\n  return X")


def test_tabs_indent_when_they_are_used_throughout() -> None:
    assert parse("def f(X):\n\tif X:\n\t\tX = a\n\treturn X") == parse("def f(X):\n  if X:\n    X = a\n  return X")


def test_spans_of_parentheses_belong_to_what_is_around() -> None:
    node = expression("((a)) * (b)")
    assert (node.span.text, node.left.span.text, node.right.span.text) == ("((a)) * (b)", "a", "b")


def test_spans_say_which_text_they_are_of() -> None:
    source = parse(LOOK, "look.nl").items[0].span.source
    assert (source.name, source.text) == ("look.nl", LOOK)


def test_several_threads_parse_at_once() -> None:
    wanted = [parse(text) for text in TEXTS.values()] * 8
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(parse, [*TEXTS.values()] * 8)) == wanted
