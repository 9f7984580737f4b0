"""The command line: check, show, run, export, fmt, explain.

In: arguments and files. Out: text, files and an exit status. What always holds: whatever a user gets wrong is reported
as `FormulaError` does, on stderr, with status 1 (2 for the usage of the command itself, as argparse has it); nothing in
a formula or in an input file is run.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

import namedlayers as nl
from namedlayers.codes import CODES, Code
from namedlayers.errors import FormulaError, near_miss
from namedlayers.exporting import FORMS, export
from namedlayers.files import STDIN, read_source, read_stdin, split_name, write_text
from namedlayers.inspect.views import VIEWS, Shown, specialised
from namedlayers.program.elaboration.definitions import axis_parameters
from namedlayers.program.solver import Undetermined
from namedlayers.syntax import format_module, parse
from namedlayers.tensor_files import read_tensor, read_tensors, write_tensors


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
        return status
    except FormulaError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the output (`| head`) has enough of it; Python must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


# --- the commands -----------------------------------------------------------------------------------------------------


def check(arguments: argparse.Namespace) -> int:
    """Compiles every definition of every file and reports all that is wrong."""
    failures = 0
    for path in arguments.files:
        try:
            module = _load(path)
        except FormulaError as error:
            failures += _report(error)
            continue
        names = list(module)
        wrong = sum(_fails(module, name) for name in names)
        if not wrong:
            print(f"{path}: {_count(len(names), 'definition')}, no errors")
        failures += wrong
    if failures:
        print(_count(failures, "error"), file=sys.stderr)
    return 1 if failures else 0


def show(arguments: argparse.Namespace) -> int:
    """Prints one view of a definition."""
    definition = _definition(arguments.file).with_options(**_once("--option", arguments.option))
    sizes = _once("--size", arguments.size)
    terminal = sys.stdout if arguments.output == STDIN and sys.stdout.isatty() else None
    text = VIEWS[arguments.view](_for_sizes(definition, sizes) if sizes else definition, terminal)
    write_text(arguments.output, text.rstrip("\n") + "\n")
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Calls a definition with tensors from files; of a layer, a module in evaluation."""
    definition = _definition(arguments.file).with_options(**_once("--option", arguments.option))
    sizes = _once("--size", arguments.size)
    inputs = {name: read_tensor(spec) for name, spec in _once("--input", arguments.input).items()}
    called = _callable(definition, sizes, arguments.weights, arguments.seed)
    with torch.no_grad():
        results = called(**inputs)
    named = _by_name(called, results)
    if arguments.output is not None:
        write_tensors(arguments.output, named)
        return 0
    for name, tensor in named.items():
        print(f"{name} {list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}")
        print(tensor)
    return 0


def export_file(arguments: argparse.Namespace) -> int:
    """Writes a definition as a program that runs without its formula; of a layer, with weights and in evaluation."""
    definition = _definition(arguments.file).with_options(**_once("--option", arguments.option))
    sizes = _once("--size", arguments.size)
    dynamic = arguments.dynamic or ()
    called: nl.Function | nl.Layer
    if isinstance(definition, nl.LayerType):
        own = {axis: size for axis, size in sizes.items() if axis not in dynamic}
        called = _callable(definition, own, arguments.weights, arguments.seed)
        asked = {axis for port in called.inputs for axis in port.axes}
        sizes = {axis: size for axis, size in sizes.items() if axis in asked}
    else:
        called = definition
    export(called, sizes, arguments.output, arguments.form, dynamic)
    return 0


def fmt(arguments: argparse.Namespace) -> int:
    """Rewrites files in the canonical layout, or with --check shows what would change."""
    failures = 0
    for path in arguments.files:
        try:
            source = read_stdin() if path == STDIN else read_source(path)
            formatted = format_module(parse(source.text, source.name))
        except FormulaError as error:
            failures += _report(error)
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
        hint = near_miss(wanted, CODES) or "`namedlayers explain` lists all codes"
        raise FormulaError("NL0617", f"there is no error code `{arguments.code}`", hint=hint)
    print(_explanation(CODES[wanted]))
    return 0


# --- their arguments --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Argument:
    """What `ArgumentParser.add_argument` takes."""

    flags: tuple[str, ...]
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    help: str
    run: Callable[[argparse.Namespace], int]
    arguments: tuple[Argument, ...]


def _argument(*flags: str, **settings: Any) -> Argument:
    return Argument(flags, settings)


def _pair(what: str, convert: Callable[[str], Any]) -> Callable[[str], tuple[str, Any]]:
    """Reads `name=value`."""

    def read(text: str) -> tuple[str, Any]:
        name, equals, value = text.partition("=")
        if not (name.strip() and equals and value):
            raise argparse.ArgumentTypeError(f"`{text}` is not of the form {what}")
        try:
            return name.strip(), convert(value.strip())
        except ValueError:
            raise argparse.ArgumentTypeError(f"`{value}` in `{text}` does not fit {what}") from None

    return read


def _size(text: str) -> int:
    size = int(text)
    if size < 0:
        raise ValueError(text)
    return size


def _option(text: str) -> Any:
    """The value of an option: a number, True, False, a tuple of these in parentheses, or a string.

    >>> [_option(text) for text in ("2", "0.5", "True", "(1, 2)", "same")]
    [2, 0.5, True, (1, 2), 'same']
    """
    if text.startswith("(") and text.endswith(")"):
        return tuple(_option(item.strip()) for item in text[1:-1].split(",") if item.strip())
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    for number in (int, float, complex):
        try:
            return number(text)
        except ValueError:
            pass
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


_CONSTANTS: dict[str, bool | None] = {"True": True, "False": False}

_FILES = _argument("files", nargs="+", metavar="FILE", help="formula files; - is standard input")
_OPTION = _argument(
    "--option",
    action="append",
    type=_pair("name=value", _option),
    metavar="k=2",
    help="an option of the definition; may be repeated",
)
_SIZE = _argument(
    "--size",
    action="append",
    type=_pair("axis=size", _size),
    metavar="key=64",
    help="the size of an axis: to see what runs for it, or of a layer's parameters; may be repeated",
)
_FILE = _argument("file", metavar="FILE[:NAME]", help="a formula file, and which of its definitions (the last)")

COMMANDS = (
    Command("check", "report the errors in formula files", check, (_FILES,)),
    Command(
        "show",
        "show what a definition becomes",
        show,
        (
            _FILE,
            _argument("--as", dest="view", choices=sorted(VIEWS), default="code", help="which view (code)"),
            _SIZE,
            _OPTION,
            _argument("-o", dest="output", default=STDIN, metavar="OUT", help="write to a file"),
        ),
    ),
    Command(
        "run",
        "call a definition with tensors from files",
        run,
        (
            _FILE,
            _argument(
                "--input",
                action="append",
                type=_pair("name=file", str),
                metavar="Q=q.npy",
                help="a tensor: .npy, .npz, .pt or .safetensors; file:key where it holds several; may be repeated",
            ),
            _OPTION,
            _SIZE,
            _argument("--weights", metavar="w.safetensors", help="the state dict of a layer: .pt or .safetensors"),
            _argument("--seed", type=int, default=0, metavar="0", help="of the initial values of a layer (0)"),
            _argument("-o", dest="output", metavar="OUT", help="write the results: .npy, .npz, .pt or .safetensors"),
        ),
    ),
    Command(
        "export",
        "write a definition as a file that runs elsewhere",
        export_file,
        (
            _FILE,
            _argument("--format", dest="form", choices=sorted(FORMS), default="pt2", help="of the file (pt2)"),
            _SIZE,
            _argument("--dynamic", action="append", metavar="seq", help="an axis of any size; may be repeated"),
            _OPTION,
            _argument("--weights", metavar="w.safetensors", help="the state dict of a layer: .pt or .safetensors"),
            _argument("--seed", type=int, default=0, metavar="0", help="of the initial values of a layer (0)"),
            _argument("-o", dest="output", required=True, metavar="OUT", help="the file to write"),
        ),
    ),
    Command(
        "fmt",
        "rewrite formula files in the canonical layout",
        fmt,
        (_FILES, _argument("--check", action="store_true", help="change nothing; show the differences, exit with 1")),
    ),
    Command(
        "explain",
        "explain an error code",
        explain,
        (_argument("code", nargs="?", metavar="CODE", help="such as NL0301; without it, all codes are listed"),),
    ),
)


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


# --- what they share --------------------------------------------------------------------------------------------------


def _load(path: str) -> nl.Namespace:
    """The definitions of a file; `-` is standard input."""
    if path != STDIN:
        return nl.load(path)
    source = read_stdin()
    return nl.loads(source.text, source.name)


def _definition(spec: str) -> nl.Function | nl.LayerType:
    """`FILE` or `FILE:NAME`: the definition of that name, or the last one."""
    path, name = split_name(spec)
    module = _load(path)
    if name is None:
        if not len(module):
            raise FormulaError("NL0241", f"`{path}` defines nothing", hint="begin with `def name(…) = …`")
        *_, name = module
    return module[name]


def _for_sizes(definition: nl.Function | nl.LayerType, sizes: dict[str, int]) -> Shown:
    """What runs for these sizes; of a layer, in a module of them in evaluation, whose tensors are not filled."""
    if isinstance(definition, nl.Function):
        return specialised(definition, sizes)
    with torch.device("meta"):
        module = definition(**sizes).eval()
    asked = {axis for port in module.inputs for axis in port.axes}
    return specialised(module, {axis: size for axis, size in sizes.items() if axis in asked})


def _callable(
    definition: nl.Function | nl.LayerType, sizes: dict[str, int], weights: str | None, seed: int
) -> nl.Function | nl.Layer:
    """The function, or a module of the layer, with the weights of a file or else with initial values."""
    if isinstance(definition, nl.Function):
        if sizes or weights is not None:
            flag = "--size" if sizes else "--weights"
            raise FormulaError("NL0617", f"{flag} is for layers, and `{definition.name}` is a `def`")
        return definition
    torch.manual_seed(seed)
    module = definition(**sizes).eval()
    if weights is not None:
        module.load_state_dict(read_tensors(weights))
    return module


def _by_name(function: nl.Function | nl.Layer, results: Any) -> dict[str, torch.Tensor]:
    """Results under the names that the formula gives them; a name that comes twice gets its number."""
    values = results if isinstance(results, tuple) else (results,)
    named: dict[str, torch.Tensor] = {}
    for number, (port, value) in enumerate(zip(function.outputs, values, strict=True), start=1):
        named[f"{port.name}_{number}" if port.name in named else port.name] = value
    return named


def _once(flag: str, pairs: list[tuple[str, Any]] | None) -> dict[str, Any]:
    """`name=value` pairs by name; a name given twice is an error."""
    found: dict[str, Any] = {}
    for name, value in pairs or ():
        if name in found:
            raise FormulaError("NL0617", f"{flag} is given twice for `{name}`")
        found[name] = value
    return found


def _fails(module: nl.Namespace, name: str) -> bool:
    """Whether a definition is wrong; if so, it is reported."""
    try:
        module[name]
    except FormulaError as error:
        if _for_formulas(module, name, error):
            return False
        _report(error)
        return True
    return False


def _for_formulas(module: nl.Namespace, name: str, error: FormulaError) -> bool:
    """Whether all that a definition lacks is the size of an axis parameter, which a formula that applies it gives."""
    if not isinstance(error, Undetermined):
        return False
    place = error.labels[0].span
    parameters = [node.span for node in axis_parameters(module._definitions.definitions[name])]
    return any(one.source is place.source and one.start <= place.start and place.end <= one.end for one in parameters)


def _report(error: FormulaError) -> int:
    print(error, file=sys.stderr)
    return 1


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
