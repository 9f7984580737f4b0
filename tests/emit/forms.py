"""Formulas by signature and body: their text, inputs, values by the reference, and slopes.

In: `X[a, b]; B[b]` and statements; sizes of the axes. Out: what tests of many spellings compare. What always holds: an
input `B` is boolean and leaves something of every row; `T` and `m` are positive; the others are normal numbers.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import torch

import namedlayers as nl
from tests.emit.harness import program_of
from tests.helpers import Evaluated


def text_of(signature: str, body: str) -> str:
    lines = [line.strip() for line in body.strip().splitlines()]
    return "\n".join([f"def f({signature}):", *(f"    {line}" for line in lines)]) + "\n"


def inputs_of(text: str, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Normal numbers, positive ones for `T` and `m`, and conditions that leave something of every row."""
    rng = np.random.default_rng(zlib.crc32(text.encode()))
    found: dict[str, np.ndarray] = {}
    for part in text[text.index("(") + 1 : text.index("):")].replace(";", ",").replace("],", "]|").split("|"):
        name, axes = part.strip().rstrip("]").split("[")
        shape = tuple(sizes[axis.strip().rstrip("'")] for axis in axes.split(",") if axis.strip())
        values = rng.normal(size=shape)
        if name == "B":
            values = rng.random(shape) < 0.6
            values[..., :1] = True
        found[name] = np.abs(values) + 0.5 if name in ("T", "m") else values
    return found


def reference(text: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    with np.errstate(all="ignore"):
        (found,) = Evaluated(text, arrays, None, None, {})(arrays)
    return found


def slopes(text: str, arrays: Mapping[str, np.ndarray]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    function = nl.compile(text)
    given = [torch.tensor(arrays[one.name]) for one in program_of(text, arrays).inputs]
    reals = [one.requires_grad_() for one in given if one.is_floating_point()]
    found = function(*given)
    return found, list(torch.autograd.grad(found.sum(), reals, allow_unused=True, materialize_grads=True))
