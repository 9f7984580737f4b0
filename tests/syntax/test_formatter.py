"""The formatter: one canonical layout, in which nothing is lost."""

from __future__ import annotations

import textwrap

import pytest

from namedlayers.errors import Source, Span
from namedlayers.syntax import format_expr, format_module, parse, tree
from tests.syntax.texts import LOOK, TEXTS


def formatted(text: str) -> str:
    return format_module(parse(textwrap.dedent(text).lstrip("\n")))


CANONICAL = {
    "def f( X[ a,b ];k=2 )->[ a ]=X": "def f(X[a, b]; k = 2) -> [a] = X\n",
    "def f[ ]( )=((1))": "def f() = 1\n",
    "def f(X,;k,)=X[a,]": "def f(X; k) = X[a]\n",
    "def f(X) = (((X+1)*2)-(3-4))": "def f(X) = (X + 1) * 2 - (3 - 4)\n",
    "def f(X) = X**-2**3": "def f(X) = X ^ -2 ^ 3\n",
    "def f(X) = (-X)^2 + -(X^2)": "def f(X) = (-X) ^ 2 + -X ^ 2\n",
    "def f(X) = not(X) and(not X or X)": "def f(X) = not X and (not X or X)\n",
    "def f(X) = A⊙[ i,j ]B": "def f(X) = A @[i, j] B\n",
    "def f(X) = X[ seq=2 : 8,a=: :2 ]": "def f(X) = X[seq = 2:8, a = ::2]\n",
    "def f(X) = 'it\\'s \"x\"'": 'def f(X) = "it\'s \\"x\\""\n',
    "def f(X) = 0XFF + 1_000 + 1e-05": "def f(X) = 0XFF + 1_000 + 1e-05\n",
    "def f(X): return(X)": "def f(X):\n    return X\n",
    "from a import (b,c)\nimport d\ndef f() = 1": "from a import b, c\nimport d\n\ndef f() = 1\n",
    "def f() = 1\n\n\n\ndef g() = 2\ndef h() = 3\n": "def f() = 1\n\ndef g() = 2\ndef h() = 3\n",
}


@pytest.mark.parametrize("text", CANONICAL)
def test_canonical_text(text: str) -> None:
    assert format_module(parse(text)) == CANONICAL[text]
    assert format_module(parse(CANONICAL[text])) == CANONICAL[text]


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_is_lost(name: str) -> None:
    module = parse(TEXTS[name])
    text = format_module(module)
    assert parse(text) == module
    assert [comment[2] for comment in parse(text).comments] == [comment[2] for comment in module.comments]
    assert format_module(parse(text)) == text


def test_the_first_look_is_canonical() -> None:
    assert format_module(parse(LOOK)) == LOOK


def test_comments_and_paragraphs_keep_their_places() -> None:
    text = """\
    # The file.

    import norm  # beside

    # before f
    def f(X):  # head
        # first in the block
        Y = X  # beside Y


        # a paragraph
        if X:
            Z = Y
            # last in the inner block
        # before else
        else:  # otherwise
            Z = X

        return Z
        # last in the block
    # after the block

    def g() = 1  # beside g
    # the end
    """
    wanted = textwrap.dedent(text).replace("\n\n\n    #", "\n\n    #").replace("# after the block\n\n", "# after\n\n")
    assert formatted(text.replace("# after the block", "# after")) == wanted.replace(
        "in the block\n# after", "in the block\n\n# after"
    )


def test_comments_inside_a_statement_go_before_it() -> None:
    text = """
    def f(
        X[a],  # data
        # weights
        W[a],
    ) -> [a]:
        return (
            X  # one
            + W
        )  # both
    """
    assert formatted(text) == textwrap.dedent(
        """\
        def f(X[a], W[a]) -> [a]:  # data
            # weights
            # one
            return X + W  # both
        """
    )


def test_long_lines_are_broken_at_the_outermost_brackets() -> None:
    names = ", ".join(f"argument{n}" for n in range(16))
    assert formatted(f"def f({names}) = g({names})") == "".join(
        [
            "def f(\n",
            *(f"    argument{n},\n" for n in range(16)),
            ") = g(\n",
            *(f"    argument{n},\n" for n in range(16)),
            ")\n",
        ]
    )


def test_long_sums_are_put_in_parentheses() -> None:
    terms = [f"weight{n} * input{n}" for n in range(9)]
    wanted = "def f():\n    return (\n        " + "\n        + ".join(terms) + "\n    )\n"
    assert formatted("def f():\n    return " + " + ".join(terms)) == wanted


def test_an_expression_is_one_line_unless_a_width_is_given() -> None:
    node = parse("def f() = " + " + ".join(["term"] * 40)).items[0].body[0].values[0]
    assert "\n" not in format_expr(node)
    assert max(map(len, format_expr(node, width=30).splitlines())) <= 30


def test_a_tree_made_by_hand_is_written_too() -> None:
    at = Span(Source(""), 0, 0)
    x, half = tree.Name(at, "x"), tree.Number(at, 1e-20)
    body = (tree.Assign(at, (x,), tree.Binary(at, "^", tree.Number(at, -2), half)), tree.Return(at, (x,)))
    module = tree.Module(at, (tree.Definition(at, "def", "f", (), (), (), None, body),), ())
    assert format_module(module) == "def f():\n    x = (-2) ^ 1e-20\n    return x\n"


def test_no_module_is_no_text() -> None:
    assert format_module(tree.Module(Span(Source(""), 0, 0), ())) == ""
