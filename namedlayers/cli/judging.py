"""The commands that judge text: check, fmt, explain."""

from __future__ import annotations

import argparse
import difflib
import sys
import textwrap

import namedlayers as nl
from namedlayers.cli.command import FILES, Command, argument
from namedlayers.cli.reading import load, report
from namedlayers.codes import CODES, Code
from namedlayers.errors import FormulaError
from namedlayers.files import STDIN, read_source, read_stdin, write_text
from namedlayers.program.elaboration.definitions import axis_parameters
from namedlayers.program.solver import Undetermined
from namedlayers.syntax import format_module, parse


def check(arguments: argparse.Namespace) -> int:
    """Compiles every definition of every file and reports all that is wrong."""
    failures = 0
    for path in arguments.files:
        try:
            module = load(path)
        except FormulaError as error:
            failures += report(error)
            continue
        names = list(module)
        wrong = sum(_fails(module, name) for name in names)
        if not wrong:
            print(f"{path}: {_count(len(names), 'definition')}, no errors")
        failures += wrong
    if failures:
        print(_count(failures, "error"), file=sys.stderr)
    return 1 if failures else 0


def fmt(arguments: argparse.Namespace) -> int:
    """Rewrites files in the canonical layout, or with --check shows what would change."""
    failures = 0
    for path in arguments.files:
        try:
            source = read_stdin() if path == STDIN else read_source(path)
            formatted = format_module(parse(source.text, source.name))
        except FormulaError as error:
            failures += report(error)
            continue
        if arguments.check:
            difference = _difference(source.text, formatted, path)
            sys.stdout.write(difference)
            failures += bool(difference)
        elif path == STDIN or formatted != source.text:
            write_text(path, formatted)
    return 1 if failures else 0


def explain(arguments: argparse.Namespace) -> int:
    """Prints what an error code means; without one, the list of all."""
    if arguments.code is None:
        for code in CODES.values():
            print(f"{code.code}  {code.title}")
        return 0
    wanted = arguments.code.upper()
    if wanted not in CODES:
        # Only what lacks its letters or its zeros is meant for sure: all codes are near one another.
        meant = f"NL{wanted.removeprefix('NL').zfill(4)}"
        hint = f"did you mean `{meant}`?" if meant in CODES else "`namedlayers explain` lists all codes"
        raise FormulaError("NL0617", f"there is no error code `{arguments.code}`", hint=hint)
    print(_explanation(CODES[wanted]))
    return 0


CHECK = Command("check", "report the errors in formula files", check, (FILES,))
FMT = Command(
    "fmt",
    "rewrite formula files in the canonical layout",
    fmt,
    (FILES, argument("--check", action="store_true", help="change nothing; show the differences, exit with 1")),
)
EXPLAIN = Command(
    "explain",
    "explain an error code",
    explain,
    (argument("code", nargs="?", metavar="CODE", help="such as NL0301; without it, all codes are listed"),),
)


def _fails(module: nl.Namespace, name: str) -> bool:
    """Whether a definition is wrong; if so, it is reported."""
    try:
        module[name]
    except FormulaError as error:
        if _for_formulas(module, name, error):
            return False
        report(error)
        return True
    return False


def _for_formulas(module: nl.Namespace, name: str, error: FormulaError) -> bool:
    """Whether all that a definition lacks is the size of an axis parameter, which a formula that applies it gives."""
    if not isinstance(error, Undetermined):
        return False
    place = error.labels[0].span
    parameters = [node.span for node in axis_parameters(module._definitions.definitions[name])]
    return any(one.source is place.source and one.start <= place.start and place.end <= one.end for one in parameters)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _difference(before: str, after: str, path: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), path, f"{path} (formatted)"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _explanation(code: Code) -> str:
    called = f"\n\n>>> {code.call}" if code.call else ""
    example = textwrap.indent(code.example.strip("\n") + called, "    ")
    parts = (f"{code.code}: {code.title}", textwrap.fill(code.meaning, 100), example, textwrap.fill(code.cure, 100))
    return "\n\n".join(parts)
