"""States of blocks, carried from one to the next: what lies before each, as it has decayed, written out for a compiler.

In: what each block adds, [..., n, m], and decays of blocks (`decays.py`). Out: for each block the sum of all before it.
What always holds: nothing that a block does not see takes part in what it gets; all that is computed are sums and
products of whole rows, from which a compiler makes loops that hold a state in a register.

Rows go in parts: what a part adds up to, what lies before each part, and from there on each row. So some three times
the root of n steps are written out, not n, and parts can be computed side by side.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import reduce
from itertools import repeat
from operator import mul

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels.decays import Decays, with_digits

LEAST = 1024
"""Of fewer numbers in a row, a product with all weights is quicker."""


def may_be_written_out(x: Tensor, weights: Decays) -> bool:
    """Whether a compiler is given rows, of which it knows how many they are. Not if weights have slopes: a state that
    is not looked at may be infinite, and would be multiplied by 0."""
    if not is_dynamo_compiling() or is_exporting():
        return False
    from torch.fx.experimental.symbolic_shapes import has_static_value  # slow to import, and there while compiling

    rows, numbers = x.shape[-2:]
    if not (has_static_value(rows) and has_static_value(numbers) and rows > 1 and numbers >= LEAST):
        return False
    return not (torch.is_grad_enabled() and any(one.requires_grad for one in weights.steps(rows)))


def states_before(x: Tensor, weights: Decays) -> Tensor:
    """The sums of [..., n, m] before each of n, as they have decayed.

    >>> decays = Decays.of([("power", 0.5)], torch.ones(3))
    >>> states_before(torch.tensor([[1.0], [2.0], [3.0]]), decays).squeeze(1)
    tensor([0.0000, 1.0000, 2.5000])
    """
    rows = x.size(-2)
    length = math.isqrt(rows - 1) + 1
    more = -rows % length
    carried, joined = (
        F.pad(with_digits(one), (0, 1 + more)).unflatten(-1, (-1, length)).unsqueeze(-1).unbind(-2)
        for one in weights.steps(rows)
    )
    added = F.pad(x, (0, 0, 0, more)).unflatten(-2, (-1, length)).unbind(-2)
    none = x.new_zeros(torch.broadcast_shapes(added[0].shape, carried[0].shape, joined[0].shape))
    *_, of_parts = _carried(none, added, carried, joined)
    before = _carried(none.select(-2, 0), of_parts.unbind(-2), reduce(mul, carried).unbind(-2), repeat(1.0))
    states = _carried(torch.stack(before[:-1], -2), added, carried, joined)
    return torch.stack(states[:-1], -2).flatten(-3, -2).narrow(-2, 0, rows)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _carried(
    state: Tensor, added: Iterable[Tensor], carried: Iterable[Tensor], joined: Iterable[Tensor | float]
) -> list[Tensor]:
    """The state, and what becomes of it with each that is added."""
    states = [state]
    for x, kept, share in zip(added, carried, joined, strict=False):
        states.append(states[-1] * kept + x * share)
    return states
