"""The definitions that arguments name, and modules of them.

In: files, names, sizes and weights, as they stand on the command line. Out: functions, layer types and modules. What
always holds: whatever is wrong is a FormulaError, and no formula and no file of weights is run as a program.
"""

from __future__ import annotations

import sys

import torch

import namedlayers as nl
from namedlayers.errors import FormulaError
from namedlayers.files import STDIN, read_stdin, split_name
from namedlayers.tensor_files import read_tensors


def load(path: str) -> nl.Namespace:
    """The definitions of a file; `-` is standard input."""
    if path != STDIN:
        return nl.load(path)
    source = read_stdin()
    return nl.loads(source.text, source.name)


def one_definition(spec: str) -> nl.Function | nl.LayerType:
    """`FILE` or `FILE:NAME`: the definition of that name, or the last one."""
    path, name = split_name(spec)
    module = load(path)
    if name is None:
        if not len(module):
            raise FormulaError("NL0241", f"`{path}` defines nothing", hint="begin with `def name(…) = …`")
        *_, name = module
    return module[name]


def callable_of(
    definition: nl.Function | nl.LayerType, sizes: dict[str, int], weights: str | None, seed: int
) -> nl.Function | nl.Layer:
    """The function, or a module of the layer, with the weights of a file or else with initial values."""
    if isinstance(definition, nl.Function):
        if sizes or weights is not None:
            flag = "--size" if sizes else "--weights"
            raise FormulaError("NL0617", f"{flag} is for layers, and `{definition.name}` is a `def`")
        return definition
    return module_of(definition, sizes, weights, seed)


def module_of(layer: nl.LayerType, sizes: dict[str, int], weights: str | None, seed: int) -> nl.Layer:
    """A module for evaluation."""
    torch.manual_seed(seed)
    module = layer(**sizes).eval()
    if weights is not None:
        module.load_state_dict(read_tensors(weights))
    return module


def of_inputs(module: nl.Layer, sizes: dict[str, int]) -> dict[str, int]:
    """Those of the sizes that are of axes of the module's inputs; the others its parameters alone have."""
    asked = {axis for port in module.inputs for axis in port.axes}
    return {axis: size for axis, size in sizes.items() if axis in asked}


def report(error: FormulaError) -> int:
    """Prints an error where errors go, and counts it."""
    print(error, file=sys.stderr)
    return 1
