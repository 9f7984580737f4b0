"""The nearest points, and how far they are.

In: points as rows. Out: for each the number of the nearest of the others, or its distance. What always holds: at a tie
the first number counts, and the slope of a distance goes to all that are as near, in equal parts; the slope of a
distance of 0 is 0. Transformed, exported, on other devices and of few points all distances are there. For torch.compile
the number of the nearest is an operator, which looks when it runs; of up to `WHOLE` pairs it is told in compiled code,
and the operator is asked only where rounding leaves more than two numbers open.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.emitters.distances import distances, square_distances
from namedlayers.emit.kernels import nearest as kernel
from namedlayers.emit.kernels.derivable import in_front
from namedlayers.emit.kernels.in_graphs import in_graph
from namedlayers.emit.kernels.reading import rows_of_each
from namedlayers.emit.lowering import Lowering, emits
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind

_ROWS, _AMONG, _FEATURES = -101, -102, -103


@emits("nearest")
def emit_nearest(lo: Lowering, node: Node) -> Value:
    x, y = lo.alike(lo.operands(node))
    x, y = lo.filled(x, node.args[0].axes), lo.filled(y, node.args[1].axes)
    batch = tuple(a for a in x.axes if a in y.axes and a < node.rank)
    rows = tuple(a for a in x.axes if a < node.rank and a not in batch)
    features = tuple(a for a in x.axes if a >= node.rank)
    among = tuple(a for a in y.axes if a not in x.axes)
    sizes = [lo.size(lo.space(a)) for a in rows]
    x = lo.merged(lo.permuted(x, (*batch, *rows, *features)), features, _FEATURES)
    y = lo.merged(lo.permuted(y, (*batch, *among, *features)), features, _FEATURES)
    x, y = lo.merged(x, rows, _ROWS), lo.merged(y, among, _AMONG)
    if node.attr("op") == "index":
        found = lo.call(nearest, (x, y), (*batch, _ROWS), kind=Kind.INT, inline=len(rows) != 1)
    else:
        found = lo.call(least, (x, y, bool(node.attr("root"))), (*batch, _ROWS), inline=len(rows) != 1)
    return lo.split(found, _ROWS, rows, sizes, inline=False)


def nearest(x: Tensor, y: Tensor) -> Tensor:
    """The numbers of the nearest rows of y, for rows of x, for batches of both.

    >>> nearest(torch.tensor([[0.0, 0.0], [3.0, 3.0]]), torch.tensor([[3.0, 4.0], [1.0, 0.0]]))
    tensor([1, 0])
    """
    x, y = x.detach(), y.detach()
    if kernel.is_taken(x, y):
        return kernel.nearest(x, y)
    if is_dynamo_compiling() and not is_exporting() and kernel.may_be_taken(x, y):
        found: Tensor
        many = x.dim() > 2 or x.shape[0] * y.shape[0] > WHOLE
        found = torch.ops.namedlayers.nearest(x, y) if many else _traced(x, y)
        return found
    return square_distances(x, y.mT).min(-1)[1]


def least(x: Tensor, y: Tensor, root: bool) -> Tensor:
    """How far the nearest rows of y are, or the square of that.

    >>> least(torch.tensor([[0.0, 0.0], [3.0, 3.0]]), torch.tensor([[3.0, 4.0], [2.0, 0.0]]), False)
    tensor([4., 1.])
    """
    if y.shape[-2] == 0:
        return x.new_full(x.shape[:-1], torch.inf)
    if not kernel.is_taken(x, y):
        return (distances if root else square_distances)(x, y.mT).amin(-1)
    if torch.is_grad_enabled() and (x.requires_grad or y.requires_grad):
        number, several = kernel.all_nearest(x.detach(), y.detach())
        if several is not None:
            return _shared(x, y, root, *several)
    else:
        number = kernel.nearest(x, y)
    return _length(x - _read(y, number), root)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _read(y: Tensor, number: Tensor) -> Tensor:
    return torch.embedding(y, number) if y.dim() == 2 else rows_of_each(y, number, None)


def _length(x: Tensor, root: bool) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1) if root else (x * x).sum(-1)


def _shared(x: Tensor, y: Tensor, root: bool, row: Tensor, column: Tensor) -> Tensor:
    """The mean over all pairs that are as near."""
    each = _length(x.flatten(0, -2)[row] - y.flatten(0, -2)[column], root)
    count = torch.bincount(row, minlength=x.shape[:-1].numel())
    return each.new_zeros(len(count)).index_add(0, row, each / count[row]).view(x.shape[:-1])


# --- for torch.compile ------------------------------------------------------------------------------------------------


WHOLE = 1 << 22
"""Up to so many pairs a compiler may hold: it asks each of them in one pass."""


@in_graph  # it is traced from tensor to tensor, not line by line
def _traced(x: Tensor, y: Tensor) -> Tensor:
    found: Tensor
    transformed = torch._C._functorch.peek_interpreter_stack() is not None
    whole = not torch.is_autocast_enabled("cpu") and kernel.has_whole_products()
    if transformed or not whole or not _known(x, y):
        found = torch.ops.namedlayers.nearest(x, y)
        return found
    told, last = _told(x, y)
    (found,) = torch.ops.higher_order.cond((told - last < last).all(), _of_two, _of_more, (told, last, x, y))
    return found


def _known(*tensors: Tensor) -> bool:
    return not any(isinstance(size, torch.SymInt) for x in tensors for size in x.shape)


def _told(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """What `kernel.settled` takes, the sum of k + number over all that are near, and of these the last, in operations
    that a compiler fuses. Of one or two, what is left without the last is less than the last; of more, it is 2k and
    above, and of none it is 0, as the last is."""
    k = y.shape[0]
    squares = (y * y).sum(-1)
    scores = squares - 2 * torch.mm(x, y.mT)
    far = scores.amin(-1) + kernel.slack((x * x).sum(-1).sqrt(), squares.amax(), y.shape[1])
    far, which = far.unsqueeze(-1), torch.arange(k, 2 * k, dtype=x.dtype)
    # Compared twice: a compiler would write down what two reductions take.
    return torch.where(scores <= far, which, 0).sum(-1), torch.where(far >= scores, which, 0).amax(-1)


def _of_two(told: Tensor, last: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor]:
    """Where no row has more than two that are near: differences decide between them."""
    first = torch.where(told == last, last, told - last)
    one, other = ((number - y.shape[0]).long() for number in (first, last))
    squares, others = ((x - torch.embedding(y, number)).square().sum(-1) for number in (one, other))
    return (torch.where(others < squares, other, one),)


def _of_more(told: Tensor, last: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor]:
    return (torch.ops.namedlayers.settled_nearest(told, x, y),)


def _settled(told: Tensor, x: Tensor, y: Tensor) -> Tensor:
    found = kernel.settled(told, x, y) if kernel.is_taken(x, y) else None
    return nearest(x, y) if found is None else found


def _number_shape(x: Tensor, y: Tensor) -> Tensor:
    return x.new_empty(x.shape[:-1], dtype=torch.int64)


def _in_batches(info: Any, dims: tuple[int | None, ...], x: Tensor, y: Tensor) -> tuple[Tensor, int]:
    return torch.ops.namedlayers.nearest(*in_front(info.batch_size, (x, y), dims)), 0


_operators = torch.library.Library("namedlayers", "FRAGMENT")  # (operators by `custom_op` would take longer to call)
_operators.define("nearest(Tensor x, Tensor y) -> Tensor")
_operators.impl("nearest", nearest, "CompositeExplicitAutograd")  # (a compiled graph runs untraced)
torch.library.register_fake("namedlayers::nearest", _number_shape, lib=_operators)
torch.library.register_vmap("namedlayers::nearest", _in_batches, lib=_operators)
_operators.define("settled_nearest(Tensor told, Tensor x, Tensor y) -> Tensor")
_operators.impl("settled_nearest", _settled, "CompositeExplicitAutograd")
torch.library.register_fake("namedlayers::settled_nearest", lambda _, x, y: _number_shape(x, y), lib=_operators)
