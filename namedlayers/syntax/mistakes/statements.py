"""Words of other languages, and lines that stand where they cannot stand."""

from __future__ import annotations

from namedlayers.syntax.mistakes.mistake import ENDS, Mistake
from namedlayers.syntax.words import NAMES

_LOOPS = frozenset("for while loop do".split())
_FUNCTIONS = frozenset("class function fn func fun".split())
_FOREIGN = frozenset(
    "try except finally pass break continue raise async await global nonlocal del yield match case switch let const "
    "end print with".split()
)

_IMPORTS = "the forms are `import norm` and `from conv import conv1d, conv2d`; imports bring in formulas, never Python"

WORDS: tuple[Mistake, ...] = (
    Mistake(
        "NL0116",
        lambda s: str(s.first) in _LOOPS and s.second != "EQUAL",
        "there are no general loops, and {first} has no meaning here",
        "work on whole axes; `repeat n as i:` does a block a fixed number of times, `scan axis with state = start:` "
        "goes along an axis",
        "line",
    ),
    Mistake(
        "NL0117",
        lambda s: s.text(-1) == "lambda",
        "there are no anonymous functions",
        "write a definition, `def name(X) = …`; its name may be the value of an option",
        "before",
    ),
    Mistake(
        "NL0118",
        lambda s: str(s.first) == "assert" and s.second != "EQUAL" and s.at <= 1,
        "{first} begins no statement of the language",
        'write `require condition, "text"`',
        "line",
    ),
    Mistake(
        "NL0118",
        lambda s: str(s.first) in _FUNCTIONS and s.second != "EQUAL" and s.at <= 1,
        "{first} begins no statement of the language",
        "a definition begins with `def name(inputs)` or `layer name(inputs)`",
        "line",
    ),
    Mistake(
        "NL0118",
        lambda s: str(s.first) in _FOREIGN and s.second != "EQUAL" and s.at <= 1,
        "{first} begins no statement of the language",
        "statements are `name = value`, `|axis| = size`, `require`, `if`, `repeat`, `scan`, `param`, `state`, `return`",
        "line",
    ),
    Mistake(
        "NL0118",
        lambda s: s.at == 0 and s.kind() == "CONTRACT",
        "there are no decorators",
        "how a formula is compiled is said where it is compiled",
    ),
    Mistake(
        "NL0119",
        lambda s: s.kind() == "IF" and s.has_value,
        "there is no conditional expression",
        "choose elementwise with `where(condition, a, b)`, or by an option with an `if` block",
    ),
    Mistake(
        "NL0119",
        lambda s: (s.kind(-1) == "ELSE" and s.kind() == "IF") or str(s.first) in ("elseif", "elsif"),
        "a further condition is written `elif`",
        "write `elif condition:`",
    ),
    Mistake(
        "NL0119",
        lambda s: s.at == 0 and s.kind() in ("ELIF", "ELSE"),
        "{token} has no `if` before it",
        "`if`, `elif` and `else` of one choice are indented alike",
    ),
    Mistake(
        "NL0137",
        lambda s: s.has_value and s.text() in ("is", "in") and s.first.type != "REPEAT",
        "{token} is no operator of the language",
        "equality is `==`",
    ),
)

LINES: tuple[Mistake, ...] = (
    Mistake(
        "NL0101",
        lambda s: s.outermost and s.kind() == "$END",
        "the text holds no definition",
        "a formula begins with `def name(inputs) = …` or `layer name(inputs):`",
    ),
    Mistake(
        "NL0111",
        lambda s: s.accepted == {"_INDENT"},
        "the block after `:` is missing",
        "indent its statements further than the line that it belongs to; a definition ends in `return value`",
    ),
    Mistake(
        "NL0109",
        lambda s: s.kind() == "_INDENT",
        "this line is indented further than the line before it, where no block begins",
        "a block begins after a line that ends in `:`; a long expression goes on inside brackets",
    ),
    Mistake(
        "NL0136",
        lambda s: s.at == 0 and s.kind() == "STRING",
        "a string is no statement",
        "write what is to be said in a comment: `# …`",
    ),
    Mistake(
        "NL0130",
        lambda s: s.at_statement and s.kind() == "DEF" or s.at == 1 and s.kind(-1) == "LAYER" and s.kind() in NAMES,
        "a definition cannot stand inside a definition",
        "put it beside this one, and give it what it needs as inputs",
        "line",
    ),
    Mistake(
        "NL0129",
        lambda s: s.outermost and s.kind() not in ENDS,
        "{token} begins neither a definition nor an import, and nothing else stands outside of definitions",
        "{near}a formula begins with `def name(inputs) = …` or `layer name(inputs):`",
    ),
    Mistake("NL0133", lambda s: s.first.type in ("IMPORT", "FROM"), "this is not how imports are written", _IMPORTS),
    Mistake(
        "NL0138",
        lambda s: s.kind() == "SEMICOLON" and not s.brackets,
        "`;` does not end a statement",
        "write one statement a line; `;` stands in brackets, before parameters and options",
    ),
    Mistake(
        "NL0135",
        lambda s: s.kind() == "SEMICOLON" and (s.within("LPAR") or s.within("LSQB")),
        "`;` does not fit here",
        "brackets hold at most one `;`: before it stand data or axes, after it parameters and options",
    ),
)
