"""The command line: check, show, run, export, bench, fmt, explain.

In: arguments and files. Out: text, files and an exit status. What always holds: whatever a user gets wrong is reported
as `FormulaError` does, on stderr, with status 1 (2 for the usage of the command itself, as argparse has it); nothing in
a formula or in an input file is run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import namedlayers as nl
from namedlayers.cli.benching import BENCH
from namedlayers.cli.judging import CHECK, EXPLAIN, FMT
from namedlayers.cli.using import EXPORT, RUN, SHOW
from namedlayers.errors import FormulaError
from namedlayers.files import cannot_write

COMMANDS = (CHECK, SHOW, RUN, EXPORT, BENCH, FMT, EXPLAIN)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status."""
    arguments = _arguments(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except FormulaError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if error.filename is not None:
            raise
        # Standard output takes no more, and Python must not complain of that when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # else whoever read it (`| head`) has enough
            print(cannot_write("<stdout>", error), file=sys.stderr)
        return 1


INTERRUPTED = 130
"""The status of a command that Ctrl-C has ended, as shells have it."""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    if sys.stdout is None:  # `>&-`
        sys.stdout = open(os.devnull, "w")
    parser = _parser()
    found, rest = parser.parse_known_args(argv)
    if rest:
        pairs = all("=" in one and not one.startswith("-") for one in rest)
        hint = "; each takes its flag: `--input Q=q.npy --input K=k.npy`, `--size i=3 --size j=4`" if pairs else ""
        parser.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="namedlayers", description="Formulas over named axes, compiled to PyTorch.")
    parser.add_argument("--version", action="version", version=f"namedlayers {nl.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(command.name, help=command.help, description=command.run.__doc__)
        for argument in command.arguments:
            sub.add_argument(*argument.flags, **argument.settings)
        sub.set_defaults(run=command.run)
    return parser
