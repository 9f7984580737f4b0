"""The initialisers of `param W[…] ~ name(fans; options)`: those of `torch.nn.init`, by name.

In: nothing; this is the table that the elaborator reads and that modules fill their tensors by. What always holds: a
fan is named by axes, never read off a tensor's layout; options have the defaults of `torch.nn.init`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class InitialiserSpec:
    """`fans` is how many fans are named: 0, 1 (all axes given multiply) or 2 (fan-in, fan-out: an axis or a tuple of
    axes each). `options` are the others, in the order of `torch.nn.init`; `words`: those whose value is a string."""

    fans: int = 0
    options: Mapping[str, float | str] = field(default_factory=dict)
    words: frozenset[str] = frozenset()


_KAIMING = InitialiserSpec(1, {"a": 0.0, "nonlinearity": "leaky_relu"}, frozenset({"nonlinearity"}))

INITIALISERS: dict[str, InitialiserSpec] = {
    "zeros": InitialiserSpec(),
    "ones": InitialiserSpec(),
    "constant": InitialiserSpec(0, {"val": 0.0}),
    "uniform": InitialiserSpec(0, {"a": 0.0, "b": 1.0}),
    "normal": InitialiserSpec(0, {"mean": 0.0, "std": 1.0}),
    "trunc_normal": InitialiserSpec(0, {"mean": 0.0, "std": 1.0, "a": -2.0, "b": 2.0}),
    "xavier_uniform": InitialiserSpec(2, {"gain": 1.0}),
    "xavier_normal": InitialiserSpec(2, {"gain": 1.0}),
    "kaiming_uniform": _KAIMING,
    "kaiming_normal": _KAIMING,
    "orthogonal": InitialiserSpec(0, {"gain": 1.0}),
    "eye": InitialiserSpec(),
    "dirac": InitialiserSpec(0, {"groups": 1.0}),
    "sparse": InitialiserSpec(0, {"sparsity": 0.1, "std": 0.01}),
}
"""`orthogonal`, `eye`, `dirac` and `sparse` see the tensor as it is stored, the first axis being the rows."""
