"""The time below which no machine can go: what it moves a second, and what it computes a second, measured.

In: a device. Out: a `Machine`, and from a `Cost`'s figures the bound in seconds. What always holds: both speeds are
measured, by a copy and by a matrix product of that device; nothing is read from a data sheet.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from namedlayers.inspect.timing import medians
from namedlayers.plan.cost import Figures


@dataclass(frozen=True, slots=True)
class Machine:
    """Bytes read and written a second, and floating-point operations a second, of float32.

    >>> Machine(bandwidth=1e9, flops=2e9).seconds(Figures(flops=4_000_000, bytes=1_000_000, peak=0))
    0.002
    """

    bandwidth: float
    flops: float

    def seconds(self, cost: Figures) -> float:
        """The least time in which a call of this cost can run: all that is moved, or all that is computed."""
        return max(cost.bytes / self.bandwidth, cost.flops / self.flops)


def measured(device: torch.device | str = "cpu") -> Machine:
    """The machine as it is now, with the number of threads that torch has."""
    cuda = torch.device(device).type == "cuda"
    numbers, rows = (2**28, 8192) if cuda else (2**24, 1024)
    source = torch.ones(numbers, device=device)
    target = torch.empty_like(source)
    left = torch.ones(rows, rows, device=device)
    product = torch.empty_like(left)
    sides = {"copy": lambda: target.copy_(source), "matmul": lambda: torch.mm(left, left, out=product)}
    found = medians(sides, rounds=9, device=device)
    return Machine(2 * source.nbytes / found["copy"], 2 * rows**3 / found["matmul"])
