"""What a command of the command line is: a name, a function and its arguments, as data.

In: nothing. Out: `Command` and what its arguments are made of, and those that several commands have. What always holds:
what a reader of arguments refuses is reported as argparse reports it, with status 2.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from namedlayers.call.manner import Precision
from namedlayers.errors import FormulaError


@dataclass(frozen=True, slots=True)
class Argument:
    """What `ArgumentParser.add_argument` takes."""

    flags: tuple[str, ...]
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    """`run` gets the arguments as argparse has read them and returns the exit status; its docstring is the help."""

    name: str
    help: str
    run: Callable[[argparse.Namespace], int]
    arguments: tuple[Argument, ...]


def argument(*flags: str, **settings: Any) -> Argument:
    return Argument(flags, settings)


def pair(what: str, convert: Callable[[str], Any]) -> Callable[[str], tuple[str, Any]]:
    """Reads `name=value`."""

    def read(text: str) -> tuple[str, Any]:
        name, equals, value = text.partition("=")
        if not (name.strip() and equals and value):
            raise argparse.ArgumentTypeError(f"`{text}` is not of the form {what}")
        try:
            return name.strip(), convert(value.strip())
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"in `{text}`, {error}") from None

    return read


def number(convert: Callable[[str], Any], fits: Callable[[Any], bool], wanted: str) -> Callable[[str], Any]:
    """Reads a number; what `wanted` says is told of one that does not fit."""

    def read(text: str) -> Any:
        try:
            found = convert(text)
        except ValueError:
            found = None
        if found is None or not fits(found):
            raise argparse.ArgumentTypeError(f"`{text}` is not {wanted}")
        return found

    return read


size = number(int, lambda found: found >= 0, "a size: a whole number, 0 or more")
count = number(int, lambda found: 1 <= found < 2**31, "a count: a whole number, 1 or more (at most 2147483647)")
duration = number(float, lambda found: 0 < found < float("inf"), "a time: a number of seconds, more than 0")
seed = number(int, lambda found: -(2**63) <= found < 2**64, "a seed: a whole number from -2^63 to 2^64 - 1")
"""What torch takes in each place."""


def option(text: str) -> Any:
    """The value of an option: a number, True, False, a tuple of these in parentheses, or a string.

    >>> [option(text) for text in ("2", "0.5", "True", "(1, 2)", "same")]
    [2, 0.5, True, (1, 2), 'same']
    """
    if text.startswith("(") and text.endswith(")"):
        return tuple(option(item.strip()) for item in text[1:-1].split(",") if item.strip())
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    for number in (int, float, complex):
        try:
            return number(text)
        except ValueError:
            pass
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def once(flag: str, pairs: list[tuple[str, Any]] | None) -> dict[str, Any]:
    """`name=value` pairs by name; a name given twice is an error."""
    found: dict[str, Any] = {}
    for name, value in pairs or ():
        if name in found:
            raise FormulaError("NL0617", f"{flag} is given twice for `{name}`")
        found[name] = value
    return found


_CONSTANTS: dict[str, bool] = {"True": True, "False": False}

FILES = argument("files", nargs="+", metavar="FILE", help="formula files; - is standard input")
FILE = argument("file", metavar="FILE[:NAME]", help="a formula file, and which of its definitions (the last)")
OPTION = argument(
    "--option",
    action="append",
    type=pair("name=value", option),
    metavar="k=2",
    help="an option of the definition; may be repeated",
)
PRECISION = argument(
    "--precision",
    choices=get_args(Precision),
    metavar="bfloat16",
    help="of matrix products, convolutions and attention: bfloat16 or float16 (that of their operands)",
)
SIZE = argument(
    "--size",
    action="append",
    type=pair("axis=size", size),
    metavar="key=64",
    help="the size of an axis: to see what runs for it, or of a layer's parameters; may be repeated",
)
WEIGHTS = argument("--weights", metavar="w.safetensors", help="the state dict of a layer: .pt or .safetensors")
SEED = argument("--seed", type=seed, default=0, metavar="0", help="of the initial values of a layer (0)")
