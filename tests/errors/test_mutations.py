"""Formulas with tokens taken away, doubled, swapped and exchanged: the answer is a program or a FormulaError.

`--formulas N` says how many are tried. What is elaborated is verified too, so that no mistake passes silently into a
program that is not one.
"""

from __future__ import annotations

import ast
import random
import re
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from namedlayers.errors import FormulaError
from namedlayers.program.elaborate import default_spec, elaborate
from namedlayers.program.elaboration import state
from namedlayers.program.namespace import load_text
from namedlayers.program.program import Program
from namedlayers.program.sizes_at_call import solve_sizes
from namedlayers.program.spec import NeedsStatic
from namedlayers.program.verify import verify_program

TESTS = Path(__file__).parent.parent
DOCS = TESTS.parent / "docs"


def corpus() -> list[str]:
    """Definitions by themselves: of the prelude, of the language reference, of the golden files and other tests."""
    texts = [(resources.files("namedlayers") / "library" / "prelude.nl").read_text(encoding="utf-8")]
    for page in sorted(DOCS.glob("*.md")):
        texts += re.findall(r"^```nl\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    texts += [path.read_text(encoding="utf-8") for path in sorted(TESTS.rglob("*.nl"))]
    for path in sorted((TESTS / "errors" / "golden").glob("*.txt")):
        texts.append(path.read_text(encoding="utf-8").partition("\n==== ")[0])
    for path in sorted((TESTS / "language").glob("*.py")):
        strings = [
            node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Constant)
        ]
        texts += [node.value for node in strings if isinstance(node.value, str) and node.value.startswith("def ")]
    whole = [text for text in texts if len(text) < 700]
    parts = [part for text in texts for part in re.split(r"\n(?=def )", text) if part.startswith("def ")]
    return sorted({text.strip() + "\n" for text in (*whole, *parts)})


CORPUS = corpus()

TOKEN = re.compile(r"[^\W\d]\w*'*|\d+(?:\.\d+)?|\"[^\"\n]*\"|\n[ ]*|[ ]+|@\[|->|//|[<>=!]=|.", re.S)

WORDS = sorted({token for text in CORPUS for token in TOKEN.findall(text)} - {"repeat"})


def mutated(text: str, rng: random.Random, times: int) -> str:
    """`text` after some mutations. Most exchange a token for one of its kind: such mistakes reach furthest."""
    tokens = TOKEN.findall(text)
    for _ in range(times):
        solid = [k for k, token in enumerate(tokens) if not token.isspace()] or range(len(tokens))
        at, other = rng.choice(solid), rng.choice(solid)
        match rng.choice(["delete", "double", "swap", "any", *["alike"] * 6, *["number"] * 2]):
            case "delete":
                del tokens[at]
            case "double":
                tokens.insert(at, tokens[other])
            case "swap":
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case "any":
                tokens[at] = rng.choice(WORDS)
            case "alike":
                pool = tokens if rng.randrange(3) else WORDS
                tokens[at] = rng.choice([token for token in pool if kind(token) == kind(tokens[at])] or [tokens[at]])
            case "number":
                places = [k for k in solid if kind(tokens[k]) == "number"] or [at]
                tokens[rng.choice(places)] = rng.choice(NUMBERS)
        tokens = tokens or ["\n"]
    return "".join(tokens)


NUMBERS = ["0", "-1", "1", "2", "3", "0.5", "1e300", "99999999999999999999", "1j", "inf", "True", '"same"', "(1, 2)"]


def kind(token: str) -> str:
    for name, pattern in (("name", r"[^\W\d]"), ("number", r"\d"), ("operator", r"[-+*/%^<>=]|@"), ("space", r"\s")):
        if re.match(pattern, token):
            return name
    return token[:1]


def answer(text: str) -> str:
    """`program`, or the code of the error; anything else is raised. Programs are verified."""
    try:
        space = load_text(text)
        for definition in space.definitions.values():
            program = elaborate(space, definition, default_spec(space, definition))
            verify_program(program)
            for size in (0, 1, 4):
                _call(program, size)
    except FormulaError as error:
        assert str(error) and all(0 <= s.start <= s.end <= len(s.source.text) for s in error.spans), text
        return error.code
    except NeedsStatic as needs:
        assert needs.axes  # what only a call says: how often a block repeats
        return "needs sizes"
    return "program"


def _call(program: Program, size: int) -> None:
    """Sizes of a call whose axes are all equally long: they fit, or are refused."""
    try:
        sizes = solve_sizes(program, {one.name: (size,) * len(one.axes) for one in program.inputs})
    except FormulaError as error:
        assert str(error)
    else:
        assert all(value >= 0 for value in sizes.values())


@pytest.mark.parametrize("text", CORPUS, ids=range(len(CORPUS)))
def test_the_corpus_itself_is_answered(text: str) -> None:
    assert answer(text)


def test_mutated_formulas_give_programs_or_formula_errors(request: pytest.FixtureRequest) -> None:
    seen: set[str] = set()

    @settings(
        max_examples=5 * request.config.getoption("--formulas"), deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.sampled_from(CORPUS), st.randoms(use_true_random=False), st.integers(1, 4))
    def check(text: str, rng: random.Random, times: int) -> None:
        seen.add(answer(mutated(text, rng, times)))

    check()
    assert "program" in seen and len(seen) > 20


DEEP = {
    "parentheses": "(" * 20_000 + "X" + ")" * 20_000,
    "calls": "exp(" * 5000 + "X" + ")" * 5000,
    "calls, within the limit": "exp(" * 180 + "X" + ")" * 180,
    "the prelude": "relu(" * 180 + "X" + ")" * 180,
    "brackets": "X" + "[a -> b][b -> a]" * 5000,
    "a long sum": " + ".join(["X"] * 5000),
    "a long sum of numbers": "X * (" + " + ".join(["1"] * 180) + ")",
    "signs": "-" * 5000 + "X",
    "signs, within the limit": "-" * 190 + "X",
    "powers": "2 ^ 2 ^ 2 ^ 2 ^ 2 ^ 2 ^ 2 * X",
    "a power of powers": "X * ((10 ^ 1000) ^ 1000) ^ 1000",
    "a huge number": "X * " + "9" * 90,
    "a huge product": "X * " + " * ".join(["9" * 90] * 50),
    "a huge size": "sum[k](X * ones[k = 4611686018427387903])",
    "a size that is too large": "sum[k](X * ones[k = 4611686018427387904])",
    "a product of sizes": "X / (|a| * 4611686018427387903 * 4611686018427387903 * |a|) ^ 16",
    "a power of sizes": "X * (|a| + 1) ^ 16 * (|a| + 2) ^ 16",
    "floors in floors": "X * (" + "(" * 100 + "|a|" + " // 3 + |a|)" * 100 + ")",
    "a huge exponent": "X * 2 ^ 999999999999999999",
    "a huge shift": "X[a = a + 99999999999999999999]",
    "a huge stride": "X[a = 99999999999999999999 * a]",
    "a huge step": "X[a = ::4611686018427387903]",
    "a real that is no number": "X * 1e308 * 1e308 - X * 1e308 * 1e308",
    "an infinite index": "X[a = inf]",
    "many axes": "zeros[" + ", ".join(f"a{k} = 2" for k in range(500)) + "] * X",
    "many equal axes": "sum[" + ", ".join(["a"] * 5000) + "](X)",
}


@pytest.mark.parametrize("expression", DEEP.values(), ids=DEEP.keys())
def test_what_is_deep_or_huge_is_answered(expression: str) -> None:
    assert answer(f"def f(X[a]) = {expression}\n")


MANY = {
    "blocks in blocks": "def f(X[a]):\n"
    + "".join("    " * k + "    repeat 9999:\n" for k in range(9))
    + " " * 40
    + "k = 1\n    return X",
    "doublings": "def f0(X) = X\n" + "".join(f"def f{k}(X) = f{k - 1}(f{k - 1}(X))\n" for k in range(1, 40)),
    "doublings of arguments": "def f0(X, Y) = X + Y\n"
    + "".join(f"def f{k}(X, Y) = f{k - 1}(f{k - 1}(X, Y), f{k - 1}(Y, X))\n" for k in range(1, 40)),
    "chains": "def f0(X) = X\n" + "".join(f"def f{k}(X) = f{k - 1}(X)\n" for k in range(1, 400)),
    "many inputs": "def f(" + ", ".join(f"X{k}[a{k}]" for k in range(300)) + ") -> [] = 1",
    "many statements": "def f(X[a]):\n" + "    X = X + 1\n" * 2000 + "    return X",
    "many definitions": "".join(f"def f{k}(X[a]) = X + {k}\n" for k in range(100)),
}


@pytest.mark.parametrize("name", MANY)
def test_what_multiplies_is_answered(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "doublings of arguments":  # the other doublings go as far as anybody can
        monkeypatch.setattr(state, "MOST_STEPS", 40_000)
    assert answer(MANY[name].rstrip() + "\n")
