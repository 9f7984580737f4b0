"""The grammar: no conflicts, no rule that the builder does not know, and nothing loaded before it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lark.parsers.lalr_analysis import LALR_Analyzer

from namedlayers.syntax import builder, lexing, words
from namedlayers.syntax.grammar import grammar, grammar_text, made

GRAMMAR = Path(__file__).parents[2] / "grammar" / "namedlayers.lark"


def test_the_grammar_is_the_file_at_the_root() -> None:
    assert grammar_text() == GRAMMAR.read_text(encoding="utf-8")


def test_no_shift_reduce_and_no_reduce_reduce_conflicts() -> None:
    analysis = LALR_Analyzer(made(grammar_text()).parser.parser_conf, strict=True)
    analysis.compute_lalr()  # raises GrammarError where an action is ambiguous
    assert len(analysis.parse_table.states) > 100


def test_the_builder_knows_every_rule() -> None:
    made = {rule.alias or rule.options.template_source or rule.origin.name for rule in grammar().rules}
    visible = {str(name) for name in made if not str(name).startswith("_")}
    inlined = {rule.origin.name for rule in grammar().rules if rule.options.expand1}
    assert visible - inlined == set(builder._RULES)


def test_the_lists_of_keywords_agree() -> None:
    keywords = {terminal.name for terminal in grammar().terminals if terminal.pattern.value.isalpha()}
    assert keywords == words.SOFT | words.HARD == set(lexing._KEYWORDS.values())


def test_nothing_is_loaded_before_the_first_parse() -> None:
    code = (
        "import namedlayers.syntax as s; from namedlayers.syntax.grammar import grammar;"
        "before = grammar.cache_info().currsize; s.parse('def f() = 1'); s.parse('def g() = 2');"
        "print(before, grammar.cache_info().misses)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1"]
