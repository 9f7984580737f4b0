"""Helpers that run a formula every way there is and compare the results with expected ones.

In: a text, arguments, expected values. Out: nothing, or an AssertionError. The reference interpreter runs the text by
definition in float64; the compiled function runs it in torch, in float64 and in float32, from bare tensors or from
named ones; its gradients are compared with given ones, or along a random direction with finite differences of the
reference.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import namedlayers as nl
from namedlayers.call.named import NamedTensor, named
from namedlayers.program.elaborate import elaborate
from namedlayers.program.namespace import load_text
from namedlayers.program.program import Kind, Program
from namedlayers.program.signature import name_axes, signature
from namedlayers.program.spec import Given, NeedsStatic, Spec
from namedlayers.reference import evaluate


@dataclass(frozen=True)
class Named:
    """An argument with the names of its axes, or an expected result that is to come with them."""

    array: Any
    axes: str


Expected = Any
"""An array, a number, a `Named`, or a tuple of these: one for each result."""


def check(
    text: str,
    inputs: Mapping[str, Any],
    expected: Expected,
    name: str | None = None,
    *,
    folder: Path | None = None,
    gradients: bool | Mapping[str, Any] = True,
    cotangents: Mapping[int, Any] | None = None,
    rtol: float = 1e-9,
    atol: float = 1e-10,
    single: bool = True,
    **options: Any,
) -> None:
    """Assert that the definition (the last, or `name`) of `text` gives `expected`, evaluated and compiled.

    `gradients`: False where there is none, True to compare with finite differences, or the expected ones by input for
    `cotangents` by result. `single`: whether float32 is computed too.
    """
    arrays = {key: one.array if isinstance(one, Named) else np.asarray(one) for key, one in inputs.items()}
    evaluated = Evaluated(text, inputs, name, folder, options)
    results = evaluated(arrays)
    wanted = expected if isinstance(expected, tuple) else (expected,)
    assert len(results) == len(wanted)
    for axes, result, want in zip(evaluated.axes, results, wanted, strict=True):
        _same(result, _ordered(want, axes), rtol, atol, "by the reference")
    compiled = Compiled(text, inputs, name, folder, options)
    for dtype in (torch.float64, torch.float32) if single else (torch.float64,):
        found = compiled(arrays, dtype)
        # Where no argument is real, reals are of torch's default type.
        real = dtype if any(array.dtype.kind in "fc" for array in arrays.values()) else torch.get_default_dtype()
        assert len(found) == len(wanted)
        for tensor, want in zip(found, wanted, strict=True):
            values, axes = (tensor.tensor, tensor.axes) if isinstance(tensor, NamedTensor) else (tensor, None)
            want = _ordered(want, axes)
            assert values.dtype is _of_kind(want.dtype.kind, real), f"{values.dtype} from {dtype}"
            rough = (3e-4, 3e-4) if real is torch.float32 else (rtol, atol)
            _same(values.detach().numpy(), want, *rough, f"compiled, {dtype}")
    if isinstance(gradients, Mapping):
        _check_given(compiled, arrays, gradients, cotangents or {}, rtol, atol)
    elif gradients:
        _check_directions(compiled, evaluated, arrays)


def check_calls(operation: str, text: str, inputs: Mapping[str, Any], expected: Expected | None) -> None:
    """That a formula gives what is expected (None: what the reference gives), by a call of this operation."""
    function = nl.compile(text)
    check(text, inputs, function.reference(**inputs).numpy() if expected is None else expected)
    function(**{name: torch.as_tensor(value) for name, value in inputs.items()})
    assert operation in function.code, function.code


@dataclass
class Case:
    """A row of a table: the text, its arguments, and what numpy says about them.

    An argument is an array, or a shape (a tuple) of normal numbers, or either of these in `Named`.
    """

    text: str
    expected: Callable[..., Expected]
    inputs: dict[str, Any] = field(default_factory=dict)
    name: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        rng = np.random.default_rng(zlib.crc32(self.text.encode()))
        inputs = {key: _filled(one, rng) for key, one in self.inputs.items()}
        arrays = [one.array if isinstance(one, Named) else one for one in inputs.values()]
        check(self.text, inputs, self.expected(*arrays), self.name, **self.settings, **self.options)


def case(text: str, expected: Callable[..., Expected], /, **inputs: Any) -> Case:
    """A row without options."""
    return Case(text, expected, inputs)


# --- the ways to run it -----------------------------------------------------------------------------------------------


class Evaluated:
    """A definition run by the reference: arrays by input name in, results in the order of their axes out."""

    def __init__(
        self, text: str, inputs: Mapping[str, Any], name: str | None, folder: Path | None, options: Mapping[str, Any]
    ) -> None:
        self.program, self.options = _program(text, inputs, name, folder, options)
        self.axes = [output.axes for output in self.program.outputs]

    def __call__(self, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        return evaluate(self.program, {**arrays, **self.options})


class Compiled:
    """The same definition compiled: arrays in, torch tensors (or named ones) out."""

    def __init__(
        self, text: str, inputs: Mapping[str, Any], name: str | None, folder: Path | None, options: Mapping[str, Any]
    ) -> None:
        space = nl.loads(text) if folder is None else _load_from(folder, text)
        self.function = getattr(space, name or list(load_text(text, folder=folder).definitions)[-1])
        self.axes = {key: one.axes for key, one in inputs.items() if isinstance(one, Named)}
        self.options = options

    def __call__(self, arrays: Mapping[str, np.ndarray], dtype: torch.dtype = torch.float64) -> tuple[Any, ...]:
        return self.of({key: tensor(array, dtype) for key, array in arrays.items()})

    def of(self, tensors: Mapping[str, torch.Tensor]) -> tuple[Any, ...]:
        given = {key: named(one, self.axes[key]) if key in self.axes else one for key, one in tensors.items()}
        found = self.function(**given, **self.options)
        return found if isinstance(found, tuple) else (found,)


def tensor(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """An array as a tensor: reals as `dtype`, complex numbers of the same precision."""
    if array.dtype.kind == "f":
        return torch.tensor(array.copy(), dtype=dtype)
    if array.dtype.kind == "c":
        return torch.tensor(array.copy(), dtype=dtype.to_complex())
    return torch.tensor(array.copy())


_KINDS = {"b": Kind.BOOL, "i": Kind.INT, "u": Kind.INT, "f": Kind.REAL, "c": Kind.COMPLEX}


def _of_kind(kind: str, real: torch.dtype) -> torch.dtype:
    """The element type of a result of this numpy kind where reals are `real`."""
    return {"b": torch.bool, "i": torch.int64, "f": real, "c": real.to_complex()}[kind]


def _program(
    text: str, inputs: Mapping[str, Any], name: str | None, folder: Path | None, options: Mapping[str, Any]
) -> tuple[Program, dict[str, Any]]:
    """The program that a call with these arguments runs, and the options whose numbers it takes at the call."""
    shapes = []
    for key, one in inputs.items():
        array, axes = (one.array, tuple(one.axes.split())) if isinstance(one, Named) else (one, None)
        shapes.append((key, _KINDS[np.asarray(array).dtype.kind], np.shape(array), axes))
    # What stands in a folder may be another text the next time.
    make = _elaborated if folder is None else _elaborated.__wrapped__
    program, numbers = make(
        text, tuple(shapes), name, folder, tuple((key, type(one), one) for key, one in options.items())
    )
    return program, {key: options[key] for key in numbers}


@lru_cache(256)  # tests run one text in several ways: as planned, as written, by the reference
def _elaborated(
    text: str, shapes: tuple[tuple[str, Kind, tuple[int, ...], tuple[str, ...] | None], ...], name: str | None,
    folder: Path | None, typed: tuple[tuple[str, type, Any], ...],
) -> tuple[Program, frozenset[str]]:  # fmt: skip
    """The program, and the names of the options whose numbers it takes at the call."""
    options = {key: one for key, _, one in typed}
    space = load_text(text, folder=folder)
    definition = space.definitions[name] if name else list(space.definitions.values())[-1]
    kinds = {key: kind for key, kind, _, _ in shapes}
    axes = name_axes(signature(definition), {key: len(shape) for key, _, shape, named in shapes if named is None})
    axes |= {key: named for key, _, _, named in shapes if named is not None}
    order = [one.name for one in signature(definition).inputs if one.name in kinds]
    given = tuple((key, Given(kinds[key], axes.get(key, ()))) for key in order)
    numbers = {key for key, value in options.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    sizes: dict[str, int] = {}
    while True:
        fixed = tuple((key, value) for key, value in sorted(options.items()) if key not in numbers)
        scalars = tuple((key, _KINDS[np.asarray(options[key]).dtype.kind]) for key in sorted(numbers))
        try:
            program = elaborate(space, definition, Spec(given, fixed, scalars, tuple(sorted(sizes.items()))))
            return program, frozenset(numbers)
        except NeedsStatic as needs:
            known = {
                axis: size
                for key, _, shape, _ in shapes
                if key in axes
                for axis, size in zip(axes[key], shape, strict=True)
            }
            assert needs.options & numbers or needs.axes - sizes.keys(), needs
            numbers -= needs.options
            sizes |= {axis: known[axis] for axis in needs.axes}


def _load_from(folder: Path, text: str) -> Any:
    path = folder / "main.nl"
    path.write_text(text, encoding="utf-8")
    return nl.load(path)


# --- comparisons ------------------------------------------------------------------------------------------------------


def _check_given(
    compiled: Compiled, arrays: Mapping[str, np.ndarray], gradients: Mapping[str, Any], cotangents: Mapping[int, Any],
    rtol: float, atol: float,
) -> None:  # fmt: skip
    tensors = {key: tensor(array, torch.float64).requires_grad_(key in gradients) for key, array in arrays.items()}
    found = compiled.of(tensors)
    outputs = [found[k].tensor if isinstance(found[k], NamedTensor) else found[k] for k in cotangents]
    orders = [found[k].axes if isinstance(found[k], NamedTensor) else None for k in cotangents]
    weights = [torch.tensor(_ordered(one, axes)) for one, axes in zip(cotangents.values(), orders, strict=True)]
    computed = torch.autograd.grad(outputs, [tensors[key] for key in gradients], weights)
    for key, got in zip(gradients, computed, strict=True):
        _same(got.numpy(), np.asarray(gradients[key]), rtol, atol, f"the gradient of {key}")


def _check_directions(compiled: Compiled, evaluated: Evaluated, arrays: Mapping[str, np.ndarray]) -> None:
    """The compiled gradient along a random direction is the slope of the reference there."""
    rng = np.random.default_rng(7)
    free = [key for key, array in arrays.items() if array.dtype.kind == "f"]
    tensors = {key: tensor(array, torch.float64).requires_grad_(key in free) for key, array in arrays.items()}
    found = compiled.of(tensors)
    outputs = [one.tensor if isinstance(one, NamedTensor) else one for one in found]
    kept = [k for k, one in enumerate(outputs) if one.is_floating_point() or one.is_complex()]
    if not free or not kept:
        return
    order = [one.axes if isinstance(one, NamedTensor) else None for one in found]
    # Where a result is infinite, no slope is asked for.
    weights = {k: np.where(torch.isfinite(outputs[k]), rng.standard_normal(outputs[k].shape), 0.0) for k in kept}
    parts = {k: outputs[k].real + outputs[k].imag if outputs[k].is_complex() else outputs[k] for k in kept}
    total = sum(
        (torch.where(torch.tensor(weights[k]) == 0, 0.0, part) * torch.tensor(weights[k])).sum()
        for k, part in parts.items()
    )
    if not total.requires_grad:
        return
    got = torch.autograd.grad(total, [tensors[key] for key in free], allow_unused=True)
    direction = {key: np.where(np.isfinite(arrays[key]), rng.standard_normal(arrays[key].shape), 0.0) for key in free}
    slope = 0.0
    for key, gradient in zip(free, got, strict=True):
        if gradient is not None:
            assert torch.isfinite(gradient).all(), f"the gradient of {key} is not finite: {gradient}"
            slope += float((gradient.numpy() * direction[key]).sum())

    def along(step: float) -> float:
        moved = {key: array + step * direction[key] if key in free else array for key, array in arrays.items()}
        with np.errstate(all="ignore"):
            results = evaluated(moved)
        sums = 0.0
        for k in kept:
            result = results[k]
            if order[k] is not None:
                result = result.transpose([evaluated.axes[k].index(axis) for axis in order[k]])
            result = result.real + result.imag
            sums += float((np.where(np.isfinite(result), result, 0.0) * weights[k]).sum())
        return sums

    step = 1e-5
    numeric = (8 * (along(step) - along(-step)) - (along(2 * step) - along(-2 * step))) / (12 * step)
    assert np.isclose(slope, numeric, rtol=1e-6, atol=1e-6), f"the gradient gives {slope}, finite differences {numeric}"


def _same(got: np.ndarray, want: np.ndarray, rtol: float, atol: float, how: str) -> None:
    assert got.shape == want.shape, f"{how}: shape {got.shape}, expected {want.shape}"
    if want.dtype.kind in "bi":
        assert got.dtype.kind == want.dtype.kind, f"{how}: {got.dtype}, expected {want.dtype}"
        np.testing.assert_array_equal(got, want, err_msg=how)
    else:
        assert got.dtype.kind == want.dtype.kind, f"{how}: {got.dtype}, expected {want.dtype}"
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=how)


def _ordered(want: Any, axes: tuple[str, ...] | None) -> np.ndarray:
    """The expected array, its axes in the result's order."""
    if not isinstance(want, Named):
        return np.asarray(want)
    names = want.axes.split()
    assert axes is not None and sorted(axes) == sorted(names), f"axes {axes}, expected {names}"
    return np.asarray(want.array).transpose([names.index(axis) for axis in axes])


def _filled(one: Any, rng: np.random.Generator) -> Any:
    if isinstance(one, Named):
        return Named(_filled(one.array, rng), one.axes)
    if isinstance(one, tuple):
        return rng.standard_normal(one)
    return np.asarray(one)
