"""What a call's arguments have to do with an exception of torch's.

In: a signature, the arguments of a call, the exception. Out: a FormulaError is raised, or nothing is said. What always
holds: this runs only after a call has failed.
"""

from __future__ import annotations

from typing import Any

import torch

from namedlayers.call.bind import option_spans
from namedlayers.call.owned import Tensors
from namedlayers.call.steps import Args, Keywords, Run
from namedlayers.call.words import axes_count, dtype_name
from namedlayers.errors import ArgumentError, Label, SizeError
from namedlayers.program.program import Input, Kind, Program
from namedlayers.program.signature import Signature

OF_TORCH = (RuntimeError, IndexError, OverflowError, ZeroDivisionError)
"""What torch, or arithmetic of sizes, raises that may have a reason in the arguments."""


def blame(sign: Signature, run: Run, args: Args, kwargs: Keywords, error: Exception, tensors: Tensors = ()) -> None:
    """Raises a FormulaError if the arguments, or the `tensors` of a module, are to blame for what torch reports in its
    own words."""
    _check_integers(sign, args, kwargs, error)
    _check_nested(sign, args, kwargs, error)
    given = run.arguments(args, kwargs, tensors)
    _check_ranks(run.made.program, given, error)
    check_devices(run.made.program, given, error)
    check_precision(run.made.program, given, error)
    run.made.compiled.diagnose(tuple(given.values()), error)


def _check_ranks(program: Program, given: Keywords, error: Exception) -> None:
    """Raises a SizeError for a tensor of a module in whose place somebody has put one with another number of axes."""
    for one in program.owned:
        count = given[one.name].ndim
        if count != len(one.axes):
            axes = ", ".join(axis for axis, _ in one.axes)
            raise SizeError(
                "NL0484", f"`{one.path}` has {axes_count(count)}, and the layer computes with [{axes}]", Label(one.span)
            ) from error


def check_devices(program: Program, given: Keywords, error: Exception) -> None:
    """Raises an ArgumentError if the inputs of a program lie on different devices. Torch takes numbers without axes
    from the CPU beside tensors of other devices; if it has not, its error says so."""
    tensors = [one for one in program.inputs if isinstance(given[one.name], torch.Tensor)]
    tensors.sort(key=lambda one: given[one.name].ndim == 0)  # those with axes first
    for one in tensors[1:]:
        first, here = given[tensors[0].name].device, given[one.name].device
        number = given[one.name].ndim == 0 and here.type == "cpu"
        if here != first and not (number and "device" not in str(error)):
            raise ArgumentError(
                "NL0519",
                f"`{tensors[0].called}` is on {first} and `{one.called}` on {here}",
                Label(one.span, f"on {here}"),
                Label(tensors[0].span, f"on {first}"),
                hint="move them to one device: `.to(device)`",
            ) from error


def check_precision(program: Program, given: Keywords, error: Exception) -> None:
    """Raises an ArgumentError if data and parameters are reals of different precision, which kernels do not mix; so may
    be data under autocast, which leaves them as they are."""
    real = [one for one in program.inputs if isinstance(given[one.name], torch.Tensor) and one.kind is Kind.REAL]
    data, own = [one for one in real if not one.owned], [one for one in real if one.role == "param"]
    for one in data:
        for other in [*own, *(data[:1] if "dtype" in str(error) else ())]:
            here, there = given[one.name].dtype, given[other.name].dtype
            if here != there:
                raise _mixed(one, other, dtype_name(here), dtype_name(there)) from error


def _mixed(one: Input, other: Input, here: str, there: str) -> ArgumentError:
    second, cure = f"the parameter `{other.path}`", f"the module's `.to(torch.{here})`"
    if not other.owned:
        second, cure = f"`{other.name}`", f"`{other.name}.to(torch.{here})`"
    return ArgumentError(
        "NL0536", f"`{one.name}` is {here}, and {second} is {there}", Label(one.span, here), Label(other.span, there),
        hint=f"bring them together: `{one.name}.to(torch.{there})`, or {cure}",
    )  # fmt: skip


def _check_nested(sign: Signature, args: Args, kwargs: Keywords, error: Exception) -> None:
    spans = {one.name: one.span for one in sign.inputs}
    for name, value in _by_name(sign, args, kwargs):
        if isinstance(value, torch.Tensor) and value.is_nested:
            raise ArgumentError(
                "NL0513",
                f"`{name}` is a nested tensor; formulas compute with dense tensors",
                Label(spans[name]),
                hint="pad it: `torch.nested.to_padded_tensor(X, 0.0)`",
            ) from error


def _by_name(sign: Signature, args: Args, kwargs: Keywords) -> list[tuple[str, Any]]:
    return [*zip((one.name for one in sign.inputs), args, strict=False), *kwargs.items()]


def _check_integers(sign: Signature, args: Args, kwargs: Keywords, error: Exception) -> None:
    spans = {one.name: one.span for one in sign.inputs} | option_spans(sign)
    for name, value in _by_name(sign, args, kwargs):
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ArgumentError(
                "NL0526",
                f"`{name}` is an integer that does not fit into 64 bits",
                Label(spans[name]),
                hint=f"as a real number it does: `{name}=float(…)`",
            ) from error
