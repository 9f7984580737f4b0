"""What holds for every tree and text: formatting loses nothing, spans are exact, nothing but FormulaError is raised."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from namedlayers.errors import FormulaError
from namedlayers.syntax import format_expr, format_module, parse, tree
from tests.syntax.texts import TEXTS
from tests.syntax.trees import expressions, modules, walk

calm = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
texts = st.sampled_from(sorted(TEXTS.values()))


@calm
@given(modules)
def test_a_formatted_tree_parses_to_the_tree(module: tree.Module) -> None:
    text = format_module(module)
    assert parse(text) == module
    assert format_module(parse(text)) == text


@calm
@given(expressions)
def test_a_formatted_expression_parses_to_the_expression(expression: tree.Expr) -> None:
    text = format_expr(expression)
    assert "\n" not in text
    assert reparsed(text) == expression
    assert format_expr(reparsed(text)) == text


@calm
@given(modules)
def test_spans_are_exact(module: tree.Module) -> None:
    check_spans(format_module(module))


@pytest.mark.parametrize("name", TEXTS)
def test_spans_of_texts_are_exact(name: str) -> None:
    check_spans(TEXTS[name])


@pytest.mark.parametrize("name", TEXTS)
def test_indented_texts_and_other_line_ends_change_spans_only(name: str) -> None:
    plain = parse(TEXTS[name])
    indented = "".join(f"    {line}" if line.strip() else line for line in TEXTS[name].splitlines(keepends=True))
    for text in (indented, "\n\n" + indented + "   ", TEXTS[name].replace("\n", "\r\n"), TEXTS[name].rstrip("\n")):
        assert parse(text) == plain
        check_spans(text)


@calm
@given(texts, st.randoms(use_true_random=False))
def test_comments_and_blank_lines_stay(text: str, rng: random.Random) -> None:
    text = commented(text, rng)
    module = parse(text)
    formatted = format_module(module)
    again = parse(formatted)
    assert again == module
    assert sorted(comment[2] for comment in again.comments) == sorted(comment[2] for comment in module.comments)
    assert format_module(again) == formatted


@calm
@given(texts, st.randoms(use_true_random=False))
def test_mutated_formulas_raise_formula_errors_only(text: str, rng: random.Random) -> None:
    for _ in range(5):
        read_or_refused(mutated(text, rng))


@calm
@given(st.text(alphabet=st.sampled_from("abX_'\u2032\"#()[]|;:,.=<>-+*/^%@⊙~ \n\t\r\\01e\0é\ud800²"), max_size=60))
def test_random_signs_raise_formula_errors_only(text: str) -> None:
    read_or_refused(text)
    read_or_refused(f"def f(X[a]):\n    Y = {text}\n    return Y")


def reparsed(expression: str) -> tree.Expr:
    """The expression of a text that may have several lines."""
    body = parse(f"def f() = (\n{expression}\n)").items[0].body
    return body[0].values[0]


def check_spans(text: str) -> None:
    """Read alone, what a node's span covers is that node."""
    for node in walk(parse(text)):
        if isinstance(node, tree.Expr):
            assert reparsed(node.span.text) == node
        elif isinstance(node, (tree.Axis, tree.Group)):
            assert reparsed(f"X[q -> {node.span.text}]").entries[0].target == node
        elif isinstance(node, tree.Entry):
            assert reparsed(f"X[{node.span.text}]").entries == (node,)
        elif isinstance(node, tree.Argument):
            assert reparsed(f"f({node.span.text})").args == (node,)
        elif isinstance(node, tree.Parameter):
            assert parse(f"def f({node.span.text}) = 0").items[0].data == (node,)
        elif isinstance(node, tree.Definition):
            assert parse(node.span.text).items == (node,)
        elif isinstance(node, tree.Return) and not node.span.text.startswith("return"):
            assert (reparsed(node.span.text),) == node.values  # of an inline definition
        elif isinstance(node, (tree.Assign, tree.Equation, tree.Require, tree.Return, tree.Declare)):
            assert parse(f"def f():\n  {node.span.text}").items[0].body == (node,)


def commented(text: str, rng: random.Random) -> str:
    """The text with comments and blank lines strewn in."""
    lines = []
    for number, line in enumerate(text.splitlines()):
        if rng.random() < 0.3:
            lines.append(" " * rng.randrange(12) + f"# before {number}")
        if rng.random() < 0.2:
            lines += [""] * rng.randrange(1, 4)
        lines.append(line + (f" # beside {number}" if rng.random() < 0.3 and line and "#" not in line else ""))
    return "\n".join([*lines, "# at the end", "    # and after it"])


def mutated(text: str, rng: random.Random) -> str:
    """The text with a piece deleted, doubled, moved, or replaced by a sign."""
    start = rng.randrange(len(text))
    end = min(len(text), start + rng.randrange(1, 12))
    piece = text[start:end]
    other = rng.randrange(len(text))
    sign = rng.choice([*"()[]|;:,=\n\t @'\"", "->", "if ", "for ", "\n    ", "def ", "return "])
    return rng.choice(
        [
            text[:start] + text[end:],
            text[:end] + piece + text[end:],
            text[:other] + piece + text[other:],
            text[:start] + sign + text[end:],
        ]
    )


def read_or_refused(text: str) -> None:
    """Either a text is read, and then its canonical form too, or a report says why not."""
    try:
        module = parse(text)
    except FormulaError as error:
        assert str(error).startswith(error.code)
    else:
        assert parse(format_module(module)) == module
