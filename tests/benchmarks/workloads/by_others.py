"""Contractions as other packages express them, from one pattern: `"i k, k j, j -> i"`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from tests.benchmarks.workload import Function, Other


def einx_dot(pattern: str) -> Other:
    def make() -> Function:
        import einx

        return lambda *operands: einx.dot(pattern, *operands)

    return Other(make)


def einops_dot(pattern: str) -> Other:
    def make() -> Function:
        from einops import einsum

        return lambda *operands: einsum(*operands, pattern)

    return Other(make)


def tensorgrad_dot(pattern: str) -> Other:
    """tensorgrad's own calls take named tensors, which torch has no more: what it generates is called instead."""

    def make() -> Function:
        from sympy import symbols
        from tensorgrad import Variable
        from tensorgrad.compiler.runtime import compile_to_callable

        before, after = pattern.split(" -> ")
        axes = [operand.split() for operand in before.split(", ")]
        size = {axis: symbols(axis) for operand in axes for axis in operand}
        variables = [Variable(f"x{k}", **{axis: size[axis] for axis in one}) for k, one in enumerate(axes)]
        product: Any = variables[0]
        for variable in variables[1:]:
            product = product @ variable
        program = compile_to_callable(product)
        order = [variables.index(variable) for variable in program.vars]
        ((moved, names),) = program._wrap_plans
        made: dict[tuple[int, ...], Callable[..., tuple[Tensor, ...]]] = {}

        def run(*operands: Tensor) -> Tensor:
            shapes = tuple(number for operand in operands for number in operand.shape)
            if shapes not in made:
                found = zip((axis for operand in axes for axis in operand), shapes, strict=True)
                made[shapes] = program.codegen.specialize({size[axis]: number for axis, number in found})
            (result,) = made[shapes](*(operands[k] for k in order))
            result = result if moved is None else result.permute(moved)
            return result.permute([names.index(axis) for axis in after.split()])

        return run

    return Other(make)
