"""Formulas as files that run without Python's compiler of formulas: torch programs, ONNX models, compiled packages.

In: a function or a module, and the sizes of its inputs' axes. Out: a file. What always holds: inputs are called as in
the formula; axes that are said to be dynamic may have any size where the file is run, from the least one on that torch
finds the formula to take (two, at least); what cannot be written is refused before torch begins to work.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from namedlayers.errors import FormulaError, near_miss
from namedlayers.inspect.views import examples


def export(
    function: Any, sizes: Mapping[str, int], path: str | Path, form: str | None = None, dynamic: Collection[str] = ()
) -> dict[str, int]:
    """Writes a function or module for inputs whose axes have these sizes, the `dynamic` ones being open. Returns the
    least sizes of these in the file.

    `form` is `pt2` (`torch.export.load` reads it), `onnx`, or `aoti`, a package that is compiled for this machine
    (`torch._inductor.aoti_load_package`); if it is not given, the first of them that the path's ending is of. Raises
    FormulaError.
    """
    path = Path(path)
    form = _form(path, form)
    program, least = _exported(function, sizes, dynamic)
    names = list(_given(function, sizes)), [port.name for port in function.outputs]
    try:
        with _without_advice():
            FORMS[form].write(program, path, *names)
    except (OSError, RuntimeError, torch.onnx.OnnxExporterError) as error:
        raise _refused(function, form, error) from None
    return least


def exported(function: Any, sizes: Mapping[str, int], dynamic: Collection[str] = ()) -> torch.export.ExportedProgram:
    """The same as a program of torch.

    >>> import namedlayers as nl
    >>> double = nl.compile("def double(X[seq]) -> [seq] = 2 * X")
    >>> exported(double, {"seq": 3}, ["seq"]).module()(torch.ones(5))
    tensor([2., 2., 2., 2., 2.])
    """
    return _exported(function, sizes, dynamic)[0]


# --- helpers ----------------------------------------------------------------------------------------------------------

LEAST = 2
"""Torch takes a size of 0 or 1 for something else than a size."""

TRIED = (3, 4, 6, 8, 12, 16)
"""The least sizes that are tried where torch does not say which it takes."""


def _exported(
    function: Any, sizes: Mapping[str, int], dynamic: Collection[str]
) -> tuple[torch.export.ExportedProgram, dict[str, int]]:
    """The program, and the least size of each open axis in it."""
    given = _given(function, sizes)
    known = {axis: size for axes, tensor in given.values() for axis, size in zip(axes, tensor.shape, strict=True)}
    for axis in dynamic:
        if axis not in known:
            hint = near_miss(axis, known) or f"the inputs have {', '.join(f'`{one}`' for one in sorted(known))}"
            raise FormulaError("NL0617", f"no input of `{function.name}` has an axis `{axis}`", hint=hint)
    _check_open(given, dynamic)
    call, tensors = _Call(function, list(given)), tuple(tensor for _, tensor in given.values())
    names = _identifiers(dynamic)
    least = dict.fromkeys(dynamic, LEAST)
    while True:
        dims = {axis: torch.export.Dim(names[axis], min=least[axis]) for axis in dynamic}
        shapes = tuple({k: dims[axis] for k, axis in enumerate(axes) if axis in dims} for axes, _ in given.values())
        try:
            return torch.export.export(call, tensors, dynamic_shapes={"tensors": shapes}, strict=False), least
        except (RuntimeError, torch._dynamo.exc.UserError) as error:
            larger = {axis: _larger(str(error), name, least[axis]) for axis, name in names.items()}
            if larger == least or any(size is None or size > known[axis] for axis, size in larger.items()):
                raise _closed(function, error) or _refused(function, "pt2", error) from None
            least = {axis: size for axis, size in larger.items() if size is not None}


def _identifiers(axes: Collection[str]) -> dict[str, str]:
    """A name for torch of each axis."""
    found: dict[str, str] = {}
    for axis in axes:
        name = axis.replace("'", "_prime")
        while name in found.values():
            name += "_"
        found[axis] = name
    return found


def _larger(told: str, name: str, least: int) -> int | None:
    """The least size of an open axis with which torch may take it, as far as it tells; None where another size does not
    help."""
    conditions = [one for one in _conditions(told) if one.startswith(f"{name} = ")]
    if conditions:
        asked = re.fullmatch(rf"{name} = Dim\('{name}', min=(\d+)\)", conditions[0])
        return int(asked[1]) if asked and int(asked[1]) > least else None
    blamed = re.match(r"Constraints violated \((.*?)\)!", told)
    if blamed is not None and name in blamed[1].split(", ") and not _conditions(told):
        return next((size for size in TRIED if size > least), None)
    return least


def _conditions(told: str) -> list[str]:
    """What torch asks of open sizes; not the names that it needs to say so."""
    asked = told.partition("Suggested fixes:\n")[2].split("\n\n")[0]
    return [line.strip() for line in asked.splitlines() if not re.match(r"\s*_\w+ = Dim", line)]


class _Call(nn.Module):
    """A function or module, called with its required inputs by position."""

    def __init__(self, function: Any, names: list[str]) -> None:
        super().__init__()
        self.function, self.names = function, names

    def forward(self, *tensors: Tensor) -> Any:
        return self.function(**dict(zip(self.names, tensors, strict=True)))


def _given(function: Any, sizes: Mapping[str, int]) -> dict[str, tuple[tuple[str, ...], Tensor]]:
    """The required inputs with their axes, and a tensor for each."""
    return {
        name: (axes, torch.zeros(tensor.shape, dtype=tensor.dtype)) for name, axes, tensor in examples(function, sizes)
    }


def _program(program: torch.export.ExportedProgram, path: Path, inputs: list[str], outputs: list[str]) -> None:
    torch.export.save(program, path)


def _onnx(program: torch.export.ExportedProgram, path: Path, inputs: list[str], outputs: list[str]) -> None:
    from namedlayers.emit.log_products.log_product import WRITTEN_OUT

    if any(node.target in WRITTEN_OUT for node in program.graph.nodes):  # ONNX knows no operators of ours
        program = program.run_decompositions(dict(WRITTEN_OUT))
    names = [name if outputs.count(name) == 1 else f"{name}_{k}" for k, name in enumerate(outputs, 1)]
    made = torch.onnx.export(program, (), dynamo=True, input_names=inputs, output_names=names, verbose=False)
    assert made is not None
    made.save(path)


@contextmanager
def _without_advice() -> Iterator[None]:
    """What torch says to its own developers, and of packages that a formula does not need, is not said."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


def _package(program: torch.export.ExportedProgram, path: Path, inputs: list[str], outputs: list[str]) -> None:
    from torch._inductor import aoti_compile_and_package

    aoti_compile_and_package(program, package_path=str(path))


@dataclass(frozen=True, slots=True)
class Form:
    """`write` takes a program, a path and the names of inputs and of outputs; files end in `ending`."""

    ending: str
    write: Callable[[torch.export.ExportedProgram, Path, list[str], list[str]], None]


FORMS = {"pt2": Form(".pt2", _program), "onnx": Form(".onnx", _onnx), "aoti": Form(".pt2", _package)}


def _form(path: Path, form: str | None) -> str:
    """The form that is asked for, or the one of the path's ending; raises FormulaError if they do not go together."""
    wanted = [name for name, one in FORMS.items() if one.ending == path.suffix.lower() and form in (None, name)]
    if not wanted:
        endings = dict.fromkeys(f"`{one.ending}`" for name, one in FORMS.items() if form in (None, name))
        what = "an exported formula" if form is None else f"what is exported as {form}"
        message = f"`{path}` cannot be written: {what} is a file that ends in {' or '.join(endings)}"
        raise FormulaError("NL0616", message)
    if not path.parent.is_dir():
        raise FormulaError("NL0616", f"`{path}` cannot be written: there is no folder `{path.parent}`")
    return wanted[0]


def _check_open(given: Mapping[str, tuple[tuple[str, ...], Tensor]], dynamic: Collection[str]) -> None:
    """Raises FormulaError for an open axis whose example torch would take for its only size."""
    for axes, tensor in given.values():
        for axis, size in zip(axes, tensor.shape, strict=True):
            if axis in dynamic and size < LEAST:
                message = f"axis `{axis}` is to be open, and torch takes an example of size {size} for its only size"
                raise FormulaError("NL0660", message, hint=f"give it a size of two or more: `--size {axis}=2`")


def _closed(function: Any, error: Exception) -> FormulaError | None:
    """What to tell where the formula does not take all sizes of an open axis: torch says which it takes."""
    conditions = _conditions(str(error))
    if not conditions:
        return None
    sizes = ", ".join(f"`{one}`" for one in conditions)
    return FormulaError(
        "NL0660", f"`{function.name}` does not take every size of the axes that are to be open: torch finds {sizes}",
        hint="leave `--dynamic` out for an axis whose size the formula fixes",
    )  # fmt: skip


def _refused(function: Any, form: str, error: Exception) -> FormulaError:
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return FormulaError(
        "NL0618", f"torch cannot export `{function.name}` as {form}: {first}",
        hint="docs/support.md says which features can be exported",
    )  # fmt: skip
