"""Rows of a table by number, and 0 where there is no such row.

In: a table, numbers of rows. Out: the rows. What always holds: the kernel refuses what is out of range, which tells for
nothing that something is; only then, and where nobody can be asked (what is traced or transformed, and other devices),
numbers are compared with the table's size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from namedlayers.emit.eager import visible


def rows(table: Tensor, index: Tensor) -> Tensor:
    """`torch.embedding`, whose table is not empty; 0 for what is out of range.

    >>> rows(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([1, 2, -1]))
    tensor([[3., 4.],
            [0., 0.],
            [0., 0.]])
    """
    if visible(table):
        try:
            return torch.embedding(table, index)
        except IndexError:
            pass
    valid = (index >= 0) & (index < table.size(0))
    found = torch.embedding(table, torch.where(valid, index, 0))
    return torch.where(valid.unsqueeze(-1), found, 0)
