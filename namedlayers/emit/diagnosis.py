"""Why a call failed, in terms of the formula.

In: a program, its graph, the arguments of a call, the exception that escaped. Out: a `FormulaError` is raised, or
nothing is said. What always holds: this runs only after a call has failed; what is cheap to ask is asked first: sizes,
indices and probabilities that are inputs; then the reference evaluates the call, unless it is large.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from namedlayers.emit.attributes import positions
from namedlayers.errors import ArgumentError, Label
from namedlayers.program.graph import Graph, Node
from namedlayers.program.program import Program
from namedlayers.program.sizes_at_call import solve_sizes

LINEAR_ALGEBRA = frozenset("inv solve cholesky eigenvalues eigenvectors".split())

LARGE = 1 << 20
"""As many elements are too many for the reference, which is slow."""


def diagnose(program: Program, args: Sequence[Any], graph: Graph | None = None, error: Exception | None = None) -> None:
    """Raises what is wrong with a call, if it is the call."""
    shapes = {given.name: shape_of(arg) for given, arg in zip(program.inputs, args, strict=True)}
    sizes = solve_sizes(program, shapes)
    if error is None or graph is None:
        return
    given = {one.name: _concrete(arg) for one, arg in zip(program.inputs, args, strict=True)}
    if any(value is None for value in given.values()):  # traced or transformed: there are no numbers to look at
        return
    for node in graph.live():
        if node.op == "gather" and not node.attr("fill"):
            _check_indices(node, given, sizes, error)
        elif node.op in ("random", "dropout") and node.args:
            _check_probability(node, given, error)
    if sum(int(np.size(value)) for value in given.values()) <= LARGE:
        from namedlayers.reference import evaluate  # imported here, since hardly any call fails

        evaluate(program, given)
    if isinstance(error, torch.linalg.LinAlgError):  # numpy finds no fault in some matrices that torch refuses
        places = [span for node in graph.live() if node.op in LINEAR_ALGEBRA for span in node.spans]
        said = str(error).partition(". This error")[0]
        raise ArgumentError("NL0586", f"the linear algebra has no result: {said}", *map(Label, places)) from error


def shape_of(arg: Any) -> tuple[int, ...]:
    """Of a tensor; a number has no axes."""
    return tuple(int(n) for n in getattr(arg, "shape", ()))


def _concrete(arg: Any) -> Any:
    """As numpy has it, or None."""
    if not isinstance(arg, torch.Tensor):
        return arg
    real = torch.float64 if arg.dtype in (torch.bfloat16, torch.float16) else arg.dtype
    try:
        return arg.detach().to("cpu", real).resolve_conj().resolve_neg().numpy()
    except (RuntimeError, TypeError):  # no elements: a fake tensor, or one that `vmap` stands for
        return None


def _check_probability(node: Node, given: dict[str, Any], error: Exception) -> None:
    """Where it is an input."""
    p = node.args[-1].node
    if p.op != "input":
        return
    found = np.asarray(given[str(p.attr("name"))])
    wrong = found[~((found >= 0) & (found <= 1))]
    if wrong.size:
        message = f"the probability {wrong.flat[0]} is not between 0 and 1"
        raise ArgumentError("NL0588", message, *(Label(span) for span in node.spans)) from error


def _check_indices(node: Node, given: dict[str, Any], sizes: dict[str, int], error: Exception) -> None:
    """Of a gather, those indices that are inputs."""
    values, axes = node.args[0].node, positions(node, "axes")
    for axis, index in zip(axes, node.args[1:], strict=False):
        if index.node.op != "input":
            continue
        size, found = values.sizes[axis].evaluate(sizes), given[str(index.node.attr("name"))]
        wrong = found[(found < 0) | (found >= size)]
        if wrong.size:
            raise ArgumentError(
                "NL0582",
                f"index {wrong.flat[0]} is out of range: axis `{values.names[axis]}` has size {size}",
                *(Label(span) for span in (*node.spans, *index.node.spans)),
            ) from error
