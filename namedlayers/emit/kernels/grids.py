"""`grid_sample` of images as one call, for a compiler too.

In: images [n, c, height, width], and for each of them places [n, rows, columns, 2] as shares of its axes, the last axis
first. Out: [n, c, rows, columns]. What always holds: it is torch's kernel, linear, with zeros around.

torch.compile would write the kernel out, number by number, which on the CPU takes three to five times as long: there it
gets an operator. Its slopes are torch's own kernel, which it does not write out. What transforms a call knows torch's
kernel, and not the operator.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels.in_graphs import in_graph

FEW = 1 << 13
"""So few numbers are written out in less time than an operator takes to be called."""


def read_grid(x: Tensor, grid: Tensor) -> Tensor:
    """
    >>> read_grid(torch.tensor([[[[1.0, 3.0]]]]), torch.zeros(1, 1, 1, 2))
    tensor([[[[2.]]]])
    """
    if is_dynamo_compiling() and not is_exporting() and x.is_cpu and x.dim() == 4 and not _is_small(x, grid):
        return _traced(x, grid)
    return _read(x, grid)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _is_small(x: Tensor, grid: Tensor) -> bool:
    return bool(x.size(0) * x.size(1) * grid.size(1) * grid.size(2) < FEW)


@in_graph
def _traced(x: Tensor, grid: Tensor) -> Tensor:
    if torch._C._functorch.peek_interpreter_stack() is not None:  # a transform: it knows torch's own
        return _read(x, grid)
    found: Tensor = _Read.apply(x, grid)
    return found


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(x, grid)
        found: Tensor = torch.ops.namedlayers.read_grid(x, grid)
        return found

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None]:
        to_x, to_grid = ctx.needs_input_grad
        found = torch.ops.aten.grid_sampler_2d_backward(slope, *ctx.saved_tensors, 0, 0, False, [to_x, True])
        return found[0] if to_x else None, found[1] if to_grid else None


def _read(x: Tensor, grid: Tensor) -> Tensor:
    return torch.grid_sampler(x, grid, 0, 0, False)


def _fake(x: Tensor, grid: Tensor) -> Tensor:
    return x.new_empty(x.size(0), x.size(1), grid.size(1), grid.size(2))


_operators = torch.library.Library("namedlayers", "FRAGMENT")  # (operators by `custom_op` would take longer to call)
_operators.define("read_grid(Tensor x, Tensor grid) -> Tensor")
_operators.impl("read_grid", _read, "CompositeExplicitAutograd")
torch.library.register_fake("namedlayers::read_grid", _fake, lib=_operators)
