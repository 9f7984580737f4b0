"""The command that measures: bench."""

from __future__ import annotations

import argparse
import sys

import torch

import namedlayers as nl
from namedlayers.cli.command import FILE, OPTION, SEED, SIZE, WEIGHTS, Command, argument, count, duration, once
from namedlayers.cli.reading import module_of, of_inputs, one_definition
from namedlayers.errors import FormulaError


def bench(arguments: argparse.Namespace) -> int:
    """Times a definition against itself as it is written (each operation of the text one of torch's, a summed product
    an einsum), against torch.compile of that, and against what the machine allows."""
    from namedlayers.inspect.bench import Effort, table
    from namedlayers.inspect.bench import bench as measure

    _check_device(arguments.device)
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    definition = one_definition(arguments.file).with_options(**once("--option", arguments.option))
    sizes = once("--size", arguments.size)
    function: nl.Function | nl.Layer
    if isinstance(definition, nl.Function):
        function = definition
    else:
        function = module_of(definition, sizes, arguments.weights, arguments.seed).to(arguments.device)
        sizes = of_inputs(function, sizes)
    effort = Effort(arguments.device, arguments.rounds, arguments.seconds, not arguments.no_compile)
    print(table(measure(function, sizes, effort), sys.stdout if sys.stdout.isatty() else None))
    return 0


BENCH = Command(
    "bench",
    "time a definition: compiled, as it is written, under torch.compile",
    bench,
    (
        FILE,
        SIZE,
        OPTION,
        WEIGHTS,
        SEED,
        argument("--device", default="cpu", metavar="cuda", help="where it runs (cpu)"),
        argument("--threads", type=count, metavar="1", help="of torch (as many as there are cores)"),
        argument("--rounds", type=count, default=31, metavar="31", help="in each of which every way runs once (31)"),
        argument("--seconds", type=duration, default=2.0, metavar="2", help="for each measure of a way, about (2)"),
        argument("--no-compile", action="store_true", help="leave torch.compile out: it takes seconds"),
    ),
)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _check_device(device: str) -> None:
    try:
        found = torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise FormulaError("NL0651", f"torch has no device `{device}` here: {str(error).splitlines()[0]}") from None
    if found.is_meta:
        raise FormulaError("NL0651", f"nothing runs on the device `{device}`: its tensors hold no numbers")
