"""The columns of the table in docs/support.md: ways of using a compiled formula, each with the check that it works.

In: a `Feature`. Out: nothing, or an exception that says what does not work. What always holds: a check compares
values with those of plain calls, and plain calls with the definition; it makes its own function, so that no check
depends on another.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

import namedlayers as nl
from tests.support.examples import tensors
from tests.support.features import FEATURES, Feature

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Column:
    """`title` heads the column; `means` says on the page what is tested."""

    title: str
    means: str
    check: Callable[[Feature], None]


def eager(feature: Feature) -> None:
    function = nl.compile(feature.formula)
    for call in (0, 1):
        args, options = arguments(feature, call)
        same(results(function(*args, **options)), results(function.reference(*args, **options)))


def compiled(feature: Feature, backend: str = "aot_eager") -> None:
    function = nl.compile(feature.formula)
    torch._dynamo.reset()
    quick = torch.compile(function, fullgraph=True, dynamic=True, backend=backend)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for call in (0, 1):
            args, options = arguments(feature, call)
            leaves = [replaced(args, [arg.clone().requires_grad_() for arg in differentiable(args)]) for _ in range(2)]
            found, expected = results(quick(*leaves[0], **options)), results(function(*leaves[1], **options))
            same(found, expected)
            if expected[0].requires_grad:
                slopes = [
                    torch.autograd.grad(dot(made, like(made, 0)), differentiable(given))
                    for made, given in zip((found, expected), leaves, strict=True)
                ]
                same(*slopes)


def exported(feature: Feature) -> None:
    program = export(feature.name)
    args, options = arguments(feature, 1, torch.float32)
    same(results(program.module()(*args)), results(nl.compile(feature.formula)(*args, **options)), 1e-5)


def onnx(feature: Feature) -> None:
    import onnxruntime

    program = torch.onnx.export(export(feature.name), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    args, options = arguments(feature, 1, torch.float32)
    given = {port.name: arg.numpy() for port, arg in zip(session.get_inputs(), args, strict=True)}
    found = tuple(torch.from_numpy(result) for result in session.run(None, given))
    same(found, results(nl.compile(feature.formula)(*args, **options)), 1e-4)


def vmapped(feature: Feature) -> None:
    function = nl.compile(feature.formula)
    args, options = arguments(feature, 0)
    several = [torch.stack([arg, arg.flip(0) if arg.ndim else arg + 1, arg]) for arg in args]
    found = results(torch.func.vmap(lambda *one: function(*one, **options))(*several))
    single = [results(function(*one, **options)) for one in zip(*several, strict=True)]
    same(found, tuple(torch.stack(parts) for parts in zip(*single, strict=True)))


def grad(feature: Feature) -> None:
    loss, args = scalar(feature)
    found = torch.func.grad(loss, places(args))(*args)
    direction = like(differentiable(args), 1)
    close(dot(found, direction), slope(loss, args, direction))


def jvp(feature: Feature) -> None:
    loss, args = scalar(feature)
    direction = like(differentiable(args), 1)

    def of_reals(*reals: torch.Tensor) -> torch.Tensor:
        return loss(*replaced(args, reals))

    _, found = torch.func.jvp(of_reals, differentiable(args), direction)
    close(found, slope(loss, args, direction))


def twice(feature: Feature) -> None:
    loss, args = scalar(feature)
    other = like(differentiable(args), 2)

    def along(*given: torch.Tensor) -> torch.Tensor:
        found = torch.autograd.grad(loss(*given), differentiable(given), create_graph=True)
        return dot(found, other)

    direction = like(differentiable(args), 1)
    leaves = replaced(args, [arg.clone().requires_grad_() for arg in differentiable(args)])
    value = along(*leaves)
    found = torch.autograd.grad(value, differentiable(leaves), materialize_grads=True) if value.requires_grad else ()
    assert found or torch.allclose(slope(along, leaves, direction), torch.zeros(()).double(), atol=1e-6)
    close(dot(found, direction) if found else torch.zeros(()).double(), slope(along, leaves, direction))


def autocast(feature: Feature) -> None:
    function = nl.compile(feature.formula)
    args, options = arguments(feature, 0, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = results(function(*args, **options))
    same(
        tuple(one.float() if one.is_floating_point() else one for one in found),
        results(function(*args, **options)),
        0.1,
    )


def in_precision(dtype: torch.dtype, tolerance: float) -> Callable[[Feature], None]:
    def check(feature: Feature) -> None:
        function = nl.compile(feature.formula)
        args, options = arguments(feature, 0, dtype)
        found = results(function(*args, **options))
        exact = results(function.reference(*args, **options))
        for one in found:
            if one.is_floating_point() or one.is_complex():
                assert one.dtype in (dtype, dtype.to_real()), f"the result is {one.dtype}"
        same(tuple(one.to(wide.dtype) for one, wide in zip(found, exact, strict=True)), exact, tolerance)

    return check


def threads(feature: Feature) -> None:
    function = nl.compile(feature.formula)
    calls = [arguments(feature, call) for call in (0, 1)] * 4
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda call: results(function(*call[0], **call[1])), calls))
    for (args, options), result in zip(calls, found, strict=True):
        same(result, results(function(*args, **options)))


def pickled(feature: Feature) -> None:
    function = nl.compile(feature.formula)
    args, options = arguments(feature, 0)
    expected = results(function(*args, **options))
    for again in (pickle.loads(pickle.dumps(function)), copy.deepcopy(function)):
        same(results(again(*args, **options)), expected, 0)


COLUMNS: Mapping[str, Column] = {
    "eager": Column("eager", "a plain call, against the definition evaluated in float64", eager),
    "compile": Column(
        "compile",
        "`torch.compile(f, fullgraph=True, dynamic=True)` with gradients: no graph break, other sizes compile nothing",
        compiled,
    ),
    "export": Column("export", "`torch.export.export` with dynamic dimensions, run at other sizes", exported),
    "onnx": Column("ONNX", "`torch.onnx.export(…, dynamo=True)` of that, run by onnxruntime at other sizes", onnx),
    "vmap": Column("vmap", "`torch.func.vmap`, against calls one by one", vmapped),
    "grad": Column("grad", "`torch.func.grad`, against finite differences", grad),
    "jvp": Column("jvp", "`torch.func.jvp`, against finite differences", jvp),
    "double": Column("grad²", "the gradient of a gradient by autograd, against finite differences", twice),
    "autocast": Column("autocast", '`torch.autocast("cpu", torch.bfloat16)`', autocast),
    "float16": Column("f16", "float16 in, float16 out", in_precision(torch.float16, 2e-2)),
    "bfloat16": Column("bf16", "bfloat16 in, bfloat16 out", in_precision(torch.bfloat16, 1e-1)),
    "complex": Column("complex", "complex128 where the example has reals", in_precision(torch.complex128, 1e-9)),
    "threads": Column("threads", "first calls at two sizes from four threads at once", threads),
    "pickle": Column("pickle", "pickled and restored, and deeply copied", pickled),
}


# --- helpers ----------------------------------------------------------------------------------------------------------


def arguments(feature: Feature, call: int, dtype: torch.dtype = torch.float64) -> tuple[Tensors, Mapping[str, Any]]:
    return tensors(feature.inputs, feature.sizes_of(call), dtype), feature.options[call]


def results(found: Any) -> Tensors:
    return tuple(found) if isinstance(found, tuple | list) else (found,)


def same(found: Tensors, expected: Tensors, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


class Call(torch.nn.Module):
    """A formula as a module, which `torch.export` takes."""

    def __init__(self, feature: Feature) -> None:
        super().__init__()
        self.function = nl.compile(feature.formula)
        self.options = feature.options[0]

    def forward(self, *args: torch.Tensor) -> Any:
        return self.function(*args, **self.options)


@cache
def export(name: str) -> torch.export.ExportedProgram:
    """Made once, because both the export and the ONNX column run it."""
    feature = next(one for one in FEATURES if one.name == name)
    args, _ = arguments(feature, 0, torch.float32)
    free = tuple(dict.fromkeys(range(arg.ndim), torch.export.Dim.AUTO) for arg in args)
    return torch.export.export(Call(feature).eval(), args, dynamic_shapes=(free,))


def differentiable(args: Tensors) -> Tensors:
    return tuple(arg for arg in args if arg.is_floating_point())


def places(args: Tensors) -> tuple[int, ...]:
    return tuple(place for place, arg in enumerate(args) if arg.is_floating_point())


def replaced(args: Tensors, reals: Any) -> Tensors:
    """The arguments with other reals."""
    fresh = iter(reals)
    return tuple(next(fresh) if arg.is_floating_point() else arg for arg in args)


def like(args: Tensors, seed: int) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(arg.shape, generator=generator, dtype=arg.dtype) for arg in args)


def dot(one: Tensors, other: Tensors) -> torch.Tensor:
    return sum(((a * b).sum() for a, b in zip(one, other, strict=True)), torch.zeros((), dtype=torch.float64))


def scalar(feature: Feature) -> tuple[Callable[..., torch.Tensor], Tensors]:
    """A number made of all results, each weighted at random, as a function of the arguments; the arguments."""
    function = nl.compile(feature.formula)
    args, options = arguments(feature, 0)

    def call(*given: torch.Tensor) -> Any:
        return function(*given, **options)

    found = results(call(*args))
    assert all(one.is_floating_point() for one in found), "the results are not real numbers"
    weights = like(found, 0)
    return (lambda *given: dot(results(call(*given)), weights)), args


def slope(function: Callable[..., torch.Tensor], args: Tensors, direction: Tensors, step: float = 1e-6) -> torch.Tensor:
    """The derivative along a direction, by central differences."""
    ends = [
        function(
            *replaced(args, [arg + sign * step * d for arg, d in zip(differentiable(args), direction, strict=True)])
        )
        for sign in (1, -1)
    ]
    return ((ends[0] - ends[1]) / (2 * step)).detach()
