"""Formulas in LaTeX: as papers print them, well formed for every definition that ships, the same in MathML."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import namedlayers as nl
from namedlayers.inspect.latex import latex, lines, mathml
from namedlayers.program.namespace import library_modules, load_library
from tests.golden import golden_files, stem

SHIPPED = [(module, name) for module in library_modules() for name in load_library(module).definitions]

COMMANDS = frozenset(
    r"""alpha beta gamma delta epsilon eta theta lambda mu nu rho sigma tau phi psi omega Delta pi infty
    arcsin arccos arctan begin end bmod cdot colon cos cosh det exp frac in land ldots left lceil lfloor limits lnot le
    ge ne log lor lvert rvert lVert rVert mathbb mathbf mathbin mathit mathop mathrm mathsf max min odot operatorname
    overline prod quad rceil rfloor right sim sin sinh sqrt sum tan tanh text times to underset leftarrow ast""".split()
)


@pytest.mark.parametrize("path", golden_files(Path(__file__).parent / "golden"), ids=stem)
def test_definitions_in_latex(path: Path, golden: Callable) -> None:
    golden(path, _of_text)


@pytest.mark.parametrize(("module", "name"), SHIPPED)
def test_every_definition_that_ships_is_well_formed(module: str, name: str) -> None:
    space = load_library(module)
    written = lines(space.definitions[name], space, None)
    text = latex(written)
    assert _balanced(text)
    assert set(re.findall(r"\\([A-Za-z]+)", text)) <= COMMANDS
    assert all(row.count(" & ") >= 1 for row in text.splitlines()[1:-1])
    table = ET.fromstring(mathml(written).replace("&#160;", " "))
    assert len(table.findall("mtable/mtr")) == len(written)
    assert name.replace("'", "") in "".join(table.itertext())


def test_integers_and_truth_values_have_their_own_spaces() -> None:
    embed = nl.compile("def embed(I[seq], m[seq] = True; E[vocab, layer]) -> [seq, layer] = where(m, E[vocab = I], 0)")
    head = embed.latex().splitlines()[1]
    assert [kind for kind in "ZBR" if rf"\mathbb{{{kind}}}" in head] == ["Z", "B", "R"]


SPACES = {
    # a formula: the space that it maps to
    "def f(X[i]) -> [i] = X": r"\mathbb{R}^{\mathsf{i}}",
    "def f(X[i]) -> [] = argmax[i](X)": r"\mathbb{Z}",
    "def f(X[i]) = X > 0": r"\mathbb{B}^{\mathsf{i}}",
    "def f(X[i]) -> [j] = fft[i -> j](X)": r"\mathbb{C}^{\mathsf{j}}",
    "def f(X[i]) -> [i], [i]:\n    return X, argsort[i](X)": r"\mathbb{R}^{\mathsf{i}} \times \mathbb{Z}^{\mathsf{i}}",
}


@pytest.mark.parametrize(("text", "space"), SPACES.items())
def test_results_have_the_spaces_of_their_kinds(text: str, space: str) -> None:
    assert nl.compile(text).latex().splitlines()[1].removesuffix(r" \\").endswith(rf" \to {space}")


def test_what_is_not_settled_is_shown_as_it_is_written() -> None:
    pool = nl.compile("def pool1d[seq](X[seq]; k) = max[part](pool[seq, part = k](X))")
    assert r"(X;\, k) & = " in pool.latex()


def test_modules_and_specialisations_show_their_definition() -> None:
    linear = nl.load("linear").Linear
    assert linear(input=3, output=4).latex() == linear.latex()
    twice = nl.compile("def twice(X[i]) = 2 * X")
    assert twice.specialize(torch.ones(1)).latex() == twice.latex()


def test_a_part_may_be_called_like_a_view() -> None:
    named = nl.compile(
        "layer Named(X[i]):\n    param latex[i] ~ ones\n    param show[i] ~ ones\n    return X * latex * show"
    )
    module = named(i=3)
    assert module.latex.shape == module.show.shape == (3,)


def test_an_own_definition_is_not_written_as_the_language_s() -> None:
    own = nl.compile("def sqrt(X) = X + 1\ndef f(X[i]) = sqrt(X)")
    assert r"\operatorname{sqrt}(X)" in own.latex()


def _of_text(text: str) -> str:
    space = nl.loads(text)
    return "\n\n".join(space[name].latex() for name in space)


def _balanced(text: str) -> bool:
    """Whether braces, `\\left` and `\\right`, and environments close in the order in which they open."""
    stack = []
    closing = {"}": "{", "right": "left", "end": "begin"}
    for brace, word in re.findall(r"(?<!\\)([{}])|\\(left|right|begin|end)\b", text):
        sign = brace or word
        if sign not in closing:
            stack.append(sign)
        elif not stack or stack.pop() != closing[sign]:
            return False
    return not stack
