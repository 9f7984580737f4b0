"""Runs a formula through emission in two ways, as planned and as written, and compares both with the reference.

In: a text and arrays. Out: nothing, or an AssertionError. As written means: the numbered graph without any rule, so
that every operation is emitted in its plainest form too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from namedlayers.emit.build import Compiled, build
from namedlayers.plan.plan import Plan, Variant
from namedlayers.plan.planner import plan
from namedlayers.plan.regions import regions
from namedlayers.program.graph import Graph, Region
from namedlayers.program.numbering import number
from namedlayers.program.program import Program
from namedlayers.reference import evaluate
from tests.helpers import Evaluated, tensor

Arrays = Mapping[str, np.ndarray]


def program_of(text: str, arrays: Arrays, **options: Any) -> Program:
    return Evaluated(text, arrays, None, None, options).program


def compiled(text: str, arrays: Arrays, **options: Any) -> Compiled:
    """As planned."""
    program = program_of(text, arrays, **options)
    return build(program, plan(number(program)))


def as_written(text: str, arrays: Arrays, **options: Any) -> Compiled:
    """Without any rule."""
    program = program_of(text, arrays, **options)
    return build(program, unplanned(number(program)))


def unplanned(graph: Graph) -> Plan:
    """A plan that changes nothing, not in bodies either."""
    bodies: dict[Region, Plan] = {}
    for region in regions(graph.live()):
        inner = unplanned(region.graph)
        bodies |= {**inner.bodies, region: inner}
    return Plan((Variant((), graph, ""),), (), bodies)


WAYS = {"planned": compiled, "as written": as_written}


def tensors(made: Compiled, arrays: Arrays, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """The arguments in the program's order."""
    return [tensor(arrays[given.name].copy(), dtype) for given in made.program.inputs]


def run(made: Compiled, args: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    found = made.function(*args)
    return found if isinstance(found, tuple) else (found,)


def agree(made: Compiled, arrays: Arrays, dtype: torch.dtype = torch.float64, tolerance: float = 1e-9) -> None:
    """The function and the module of the variant that it picks give what the reference gives."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        wanted = evaluate(made.program, dict(arrays))
        args = tensors(made, arrays, dtype)
        found = run(made, args)
        module = made.modules[made.select(*args)]
        again = module(*args)
    again = again if isinstance(again, tuple) else (again,)
    for got, same, want in zip(found, again, wanted, strict=True):
        assert tuple(got.shape) == want.shape
        assert torch.equal(got, same) or torch.equal(got.isnan(), same.isnan())
        rough = max(tolerance, 2e-5) if got.dtype in (torch.float32, torch.complex64) else tolerance
        np.testing.assert_allclose(got.detach().to(_numpy(got)).numpy(), want, rtol=rough, atol=rough)
        assert got.dtype.is_complex == (want.dtype.kind == "c")
        assert got.dtype.is_floating_point == (want.dtype.kind == "f")


def traced(
    function: Callable[..., Any], *, dynamic: bool | None = None
) -> tuple[Callable[..., Any], list[torch.fx.GraphModule]]:  # fmt: skip
    """The function under torch.compile, and a list that its graphs come into as they are made."""
    made: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> torch.fx.GraphModule:
        made.append(graph)
        return graph

    return torch.compile(function, fullgraph=True, dynamic=dynamic, backend=keep), made


def run_with_hash_seed(script: str) -> str:
    """What a script prints in a process in which sets and dictionaries of names are gone through in another order."""
    path = os.pathsep.join(p for p in sys.path if p)
    return subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": path},
    ).stdout  # fmt: skip


def _numpy(value: torch.Tensor) -> torch.dtype:
    return torch.float32 if value.dtype in (torch.bfloat16, torch.float16) else value.dtype


def body(made: Compiled) -> list[str]:
    """The lines of the body of a function with one variant, without comments."""
    lines = [line.split("  #")[0].strip() for line in made.code.splitlines()]
    skip = next((k + 1 for k, line in enumerate(lines) if line.startswith("fail(")), None)
    if skip is None:
        skip = max((k + 1 for k, line in enumerate(lines) if line.endswith(".shape")), default=1)
    return [line for line in lines[skip:] if line]
