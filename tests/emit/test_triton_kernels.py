"""The Triton kernels where there is no device for them: run in Python, and compiled for devices that are not there.

Triton decides when it is imported whether kernels are run in Python, so these tests have processes of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The kernels by themselves, and behind the function; numerical derivatives would take thousands of calls.
INTERPRETED = [
    ["tests/emit/interpreted_kernels.py"],
    ["tests/emit/test_log_product.py", "-k", "exact and 300 or weight_of_zero or empty or grad or hessian"],
]


@pytest.mark.parametrize("which", INTERPRETED, ids=["kernels", "function"])
def test_interpreted(which: list[str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-W", "ignore", *which]
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    run = subprocess.run(command, cwd=ROOT, env=env | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


COMPILE = """
import torch, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from namedlayers.emit.log_products import triton_kernels as kernels
from namedlayers.emit.log_products.triton_log_product import _least

VALUES = {"TILE_M": 32, "TILE_N": 32, "TILE_K": 32, "LEAST": _least(getattr(torch, dtype))}
SHORT = {"float32": "fp32", "float64": "fp64"}[dtype]
SCALARS = ("rows", "inner", "columns", "least")

def kind(name):
    if name == "flags":
        return "*i8"
    if name.rpartition("_")[2] in ("row", "inner", "column", "batch") or name in SCALARS:
        return "fp32" if name == "least" else "i32"
    return "*" + SHORT

for name in names:
    kernel = getattr(kernels, name)
    parameters = [one.name for one in kernel.params]
    for linear in (False, True) if not every else (False,):
        constants = {one: VALUES.get(one, linear) for one in parameters if one.isupper()}
        types = {one: "constexpr" if one.isupper() else kind(one) for one in parameters}
        for once in [None, *({"inner", "rows", "columns"} & set(parameters))] if every else [None]:
            known = constants | ({once: 1} if once else {})
            source = ASTSource(kernel, types | ({once: "constexpr"} if once else {}), constexprs=known)
            made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 4})
            assert len(made.asm["cubin"]) and made.metadata.shared <= 99 * 1024, name
"""


# With `every`, also for sizes that are 1, which Triton makes constants.
@pytest.mark.parametrize(("dtype", "capability", "every"), [("float32", 90, True), ("float64", 80, False)])
def test_compiled_for_a_device(dtype: str, capability: int, every: bool, tmp_path: Path) -> None:
    names = ["finish", "shift", "share", "settle"] + ["whole"] * (dtype == "float32")
    code = f"dtype, capability, every, names = {dtype!r}, {capability}, {every}, {names!r}\n{COMPILE}"
    env = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    env["TRITON_CACHE_DIR"] = str(tmp_path)
    command = [sys.executable, "-W", "ignore", "-c", code]
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
