"""docs/errors.md, made from the table of codes, from what their examples report, and from ten mistakes.

In: nothing. Out: the page. `python -m tests.errors.page` writes it; with `--rivals`, others are asked anew.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import torch

import namedlayers as nl
from namedlayers.codes import CODES, Code
from namedlayers.program.elaborate import default_spec, elaborate
from namedlayers.program.namespace import load_text
from tests.errors.rivals import LIBRARIES, MISTAKES, keep, kept, ours

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "errors.md"

RANGES = {
    "NL01": ("What is no formula", "Found when a text is read."),
    "NL02": ("Names, and what stands in the wrong place", "Found when a definition is compiled."),
    "NL03": ("Axes", "Found when a definition is compiled."),
    "NL04": (
        "Sizes",
        "Found when a definition is compiled, if no tensor could make it right; else at the call.\n"
        "The last ones only a call can raise.",
    ),
    "NL05": (
        "Arguments of a call",
        "Found at the call. In the examples, `f` is the definition, compiled, `m` a module of a layer, and `t(2, 3)` "
        "a\n"
        "tensor of zeros.",
    ),
    "NL06": (
        "Limits and files",
        "Formulas may come from strangers: everything has a limit, and files are only read.",
    ),
}

INTRODUCTION = """\
# Errors

Every mistake in a formula, or in a call of one, is a `FormulaError`. It points at your text: the line itself, a caret
under the exact place, a second place where two disagree, and a hint where there is a likely cure.

```text
{example}
```

- The **code** is stable: programs may test `error.code`. `namedlayers explain {code}` tells what it means, and this
  page lists all of them.
- `error.message`, `error.hint` and `error.spans` hold the parts of the report; `str(error)` is the whole.
- The subclasses are `FormulaSyntaxError` (a `SyntaxError`), `UnknownNameError` (a `NameError`), `AxisError` and
  `SizeError` (`ValueError`s), and `ArgumentError` (a `TypeError` and a `ValueError`), so that code which expects what
  torch raises goes on working.
- What goes wrong inside a definition that ships with the package is shown where your text uses it.

Contents:

- [Ten mistakes, three libraries](#ten-mistakes-three-libraries)
{contents}
"""

MISTAKES_INTRODUCTION = """\
## Ten mistakes, three libraries

The same ten mistakes, made here, in einx {einx} and in einops {einops}, each with its whole answer; `z(2, 3)` is a
tensor of zeros. The notations differ, so that some are made a little differently: the others take a pattern with every
call, and here a formula is compiled once, so that most mistakes are found before there is a tensor.
"""

END = """\
---

This page is made from the table of codes and from the golden files of the tests: `python -m tests.errors.page` writes
it anew, and a test says when that is due.
"""


def page() -> str:
    """The whole page."""
    contents = "\n".join(f"- {prefix}: [{title}](#{_anchor(title)})" for prefix, (title, _) in RANGES.items())
    first = MISTAKES[0]
    example = ours(first)
    parts = [INTRODUCTION.format(example=example, code=example[:6], contents=contents), _ten_mistakes()]
    for prefix, (title, text) in RANGES.items():
        parts.append(f"## {title}\n\n{text}\n")
        parts += [_entry(code) for name, code in sorted(CODES.items()) if name.startswith(prefix)]
    return "\n".join([*parts, END])


def _ten_mistakes() -> str:
    answers = kept()
    parts = [MISTAKES_INTRODUCTION.format(**{library: answers[library]["version"] for library in LIBRARIES})]
    for number, one in enumerate(MISTAKES, 1):
        parts.append(f"### {number}. {one.title}\n\n{one.remark}\n")
        parts.append(f"**namedlayers**: `{one.call}`\n\n{_fenced(ours(one))}")
        for library in LIBRARIES:
            answer = _fenced(answers[library]["answers"][one.title])
            parts.append(f"**{library}**: `{getattr(one, library)}`\n\n{answer}")
    return "\n".join(parts)


def _entry(code: Code) -> str:
    lines = [f"### {code.code}: {code.title}\n", f"{code.meaning}\n"]
    example, call, report = _shown(code)
    if code.told and not report:
        lines.append(f"For example: {code.example}.\n")
    if report:
        said = f"{example}\n\n>>> {call}" if call else example
        if example or call:
            lines.append(_fenced(said.strip("\n")))
        lines.append(_fenced(report))
    lines.append(f"**Cure.** {code.cure}\n")
    return "\n".join(lines)


def _shown(code: Code) -> tuple[str, str, str]:
    """A text, a call of it and the report; all empty where nothing that can be shown raises the code."""
    if code.told:
        return _golden().get(code.code, ("", "", ""))
    try:
        space = load_text(code.example)
        definition = list(space.definitions.values())[-1]
        elaborate(space, definition, default_spec(space, definition))
        eval(code.call or "None", {"f": nl.compile(code.example), "torch": torch, "nl": nl})
    except nl.FormulaError as error:
        assert error.code == code.code, f"the example of {code.code} reports {error}"
        return code.example, code.call, str(error)
    raise AssertionError(f"the example of {code.code} reports nothing")


@cache
def _golden() -> dict[str, tuple[str, str, str]]:
    """The shortest golden file of each code: text, call and report."""
    found: dict[str, tuple[str, str, str]] = {}
    for path in sorted(TESTS.glob("*/golden/*.txt")):
        given, _, report = path.read_text(encoding="utf-8").partition("\n==== expected\n")
        text, _, call = given.partition("==== call")
        one = (text.strip("\n"), call.partition("\n")[2].strip(), report.rstrip("\n"))
        old = found.get(report[:6])
        if old is None or sum(map(len, one)) < sum(map(len, old)):
            found[report[:6]] = one
    return found


def _fenced(text: str) -> str:
    return f"```text\n{text}\n```\n"


def _anchor(title: str) -> str:
    return "".join(c for c in title.lower() if c.isalnum() or c in " -").replace(" ", "-")


def main() -> None:
    if "--rivals" in sys.argv:
        keep()
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
