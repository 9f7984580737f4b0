"""The commands that use one definition: show, run, export."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import torch

import namedlayers as nl
from namedlayers.cli.command import FILE, OPTION, PRECISION, SEED, SIZE, WEIGHTS, Command, argument, once, pair
from namedlayers.cli.reading import callable_of, module_of, of_inputs, one_definition
from namedlayers.exporting import FORMS, LEAST, export
from namedlayers.files import STDIN, write_text
from namedlayers.inspect.views import VIEWS, Shown, specialised
from namedlayers.tensor_files import read_tensor, write_tensors


def show(arguments: argparse.Namespace) -> int:
    """Prints one view of a definition."""
    definition, sizes = _definition(arguments)
    terminal = sys.stdout if arguments.output == STDIN and sys.stdout.isatty() else None
    text = VIEWS[arguments.view](_for_sizes(definition, sizes) if sizes else definition, terminal)
    write_text(arguments.output, text.rstrip("\n") + "\n")
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Calls a definition with tensors from files; of a layer, a module in evaluation."""
    definition, sizes = _definition(arguments)
    inputs = {name: read_tensor(spec) for name, spec in once("--input", arguments.input).items()}
    called = callable_of(definition, sizes, arguments.weights, arguments.seed)
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
    definition, sizes = _definition(arguments)
    dynamic = arguments.dynamic or ()
    exported: nl.Function | nl.Layer
    if isinstance(definition, nl.Function):
        exported = definition
    else:
        own = {axis: size for axis, size in sizes.items() if axis not in dynamic}
        exported = module_of(definition, own, arguments.weights, arguments.seed)
        sizes = of_inputs(exported, sizes)
    for axis, least in export(exported, sizes, arguments.output, arguments.form, dynamic).items():
        if least > LEAST:
            print(f"in {arguments.output}, `{axis}` has any size from {least} on", file=sys.stderr)
    return 0


_OUTPUT = "write the results: .npy, .npz, .pt or .safetensors"
_INPUT = argument(
    "--input",
    action="append",
    type=pair("name=file", str),
    metavar="Q=q.npy",
    help="a tensor: .npy, .npz, .pt or .safetensors; file:key where it holds several; may be repeated",
)

SHOW = Command(
    "show",
    "show what a definition becomes",
    show,
    (
        FILE,
        argument("--as", dest="view", choices=sorted(VIEWS), default="code", help="which view (code)"),
        SIZE,
        OPTION,
        PRECISION,
        argument("-o", dest="output", default=STDIN, metavar="OUT", help="write to a file"),
    ),
)
RUN = Command(
    "run",
    "call a definition with tensors from files",
    run,
    (FILE, _INPUT, OPTION, PRECISION, SIZE, WEIGHTS, SEED, argument("-o", dest="output", metavar="OUT", help=_OUTPUT)),
)
EXPORT = Command(
    "export",
    "write a definition as a file that runs elsewhere",
    export_file,
    (
        FILE,
        argument("--format", dest="form", choices=sorted(FORMS), help="of the file (by its ending: .pt2, .onnx)"),
        SIZE,
        argument("--dynamic", action="append", metavar="seq", help="an axis of any size; may be repeated"),
        OPTION,
        PRECISION,
        WEIGHTS,
        SEED,
        argument("-o", dest="output", required=True, metavar="OUT", help="the file to write"),
    ),
)


def _definition(arguments: argparse.Namespace) -> tuple[nl.Function | nl.LayerType, dict[str, int]]:
    """The definition with its options settled, and the sizes that are given."""
    definition = one_definition(arguments.file).with_options(**once("--option", arguments.option))
    if arguments.precision is not None:
        definition = definition.at_precision(arguments.precision)
    return definition, once("--size", arguments.size)


def _for_sizes(definition: nl.Function | nl.LayerType, sizes: dict[str, int]) -> Shown:
    """What runs for these sizes; of a layer, in a module of them in evaluation, whose tensors are not filled."""
    if isinstance(definition, nl.Function):
        return specialised(definition, sizes)
    with torch.device("meta"):
        module = definition(**sizes).eval()
    return specialised(module, of_inputs(module, sizes))


def _by_name(function: nl.Function | nl.Layer, results: Any) -> dict[str, torch.Tensor]:
    """Results under the names that the formula gives them; a name that comes twice gets its number."""
    values = results if isinstance(results, tuple) else (results,)
    named: dict[str, torch.Tensor] = {}
    for number, (port, value) in enumerate(zip(function.outputs, values, strict=True), start=1):
        named[f"{port.name}_{number}" if port.name in named else port.name] = value
    return named
