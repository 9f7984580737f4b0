"""A matrix times each of many: what is summed over lies in their columns, so that nothing is turned.

In: a matrix [row, inner], matrices [batch, inner, column] or one of them, perhaps a bias [row]. Out: [batch, row,
column]. What always holds: it is a product of matrices for each of the batch, with the bias where the sum begins (for
torch.compile, where it ends). Its slope at the matrix is one for each of the batch, which are then added; where these
would be more than the data, all columns are turned and multiplied at once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.narrowing import add_product

TWICE = 2
"""So many times the data may the slopes at the matrix be."""


def matrix_columns(matrix: Tensor, columns: Tensor, bias: Tensor | None = None) -> Tensor:
    """
    >>> matrix_columns(torch.tensor([[1.0, 2.0]]), torch.ones(2, 2, 3), torch.tensor([1.0]))
    tensor([[[4., 4., 4.]],
    <BLANKLINE>
            [[4., 4., 4.]]])
    """
    if columns.dim() == 2:
        return torch.mm(matrix, columns) if bias is None else add_product(bias.unsqueeze(-1), matrix, columns)
    if _turns(matrix, columns):
        return F.linear(columns.mT, matrix, bias).mT
    each = matrix.expand(columns.size(0), -1, -1)
    if bias is None:
        return torch.bmm(each, columns)
    if is_dynamo_compiling() and not is_exporting():
        found = torch.bmm(each, columns)
        return found + bias.unsqueeze(-1).to(found.dtype)  # in the loop of whoever takes the result
    return torch.baddbmm(bias.unsqueeze(-1), each, columns)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _turns(matrix: Tensor, columns: Tensor) -> bool:
    if not (matrix.requires_grad and torch.is_grad_enabled()) or is_dynamo_compiling() or is_exporting():
        return False
    rows, inner = matrix.shape
    return rows * inner >= TWICE * columns.size(-1) * (rows + inner)
