"""Batches of matrices with a vector each. Of small matrices torch's `bmm` takes one element after the other, and of
larger ones the vector should stand on the left.

In: matrices [..., row, column] and vectors [..., row] or [..., column], all of one batch. Out: for each matrix the sum
of its rows, or of its columns, weighted by the vector. What always holds: where `bmm` is the faster, it is `bmm`; what
is made on the way is as long as a block, and the slope at the matrices is the only other value of their size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling, is_exporting

from namedlayers.emit.kernels.derivable import Derivable, Plain, Tensors, at_hand
from namedlayers.emit.kernels.eager import all_visible

SMALL = 400
"""Of fewer products a matrix, `bmm` has loops of its own on CPUs, without vector instructions."""
MANY = 2**13
"""Of fewer elements in all, a call less is worth more."""
WORTH = 2**17
"""Up to so many elements in all, slopes by `bmm` take less than a function of our own adds to a backward pass."""
LARGE = 2**20
"""From so many elements on, slopes at weights that all matrices share are not left to a compiler: with its sum over the
batch and the columns at once a call takes a quarter longer than with a product for each matrix."""
BLOCK = 2**17
"""So many elements are a block, about."""
FEW = 4
"""So many rows or columns are added up one by one: a sum along so short an axis has no vector instructions."""

WIDE = torch.backends.cpu.get_cpu_capability() == "AVX512"
"""Whether sums along rows of small matrices have vectors so wide that they are faster than `bmm`. With vectors half as
wide, they take 1.2 to 2.2 times as long."""
LANES = 16
"""Sums of rows so long are faster than `bmm` with any vectors."""

_ACCURATE = (torch.float32, torch.float64)


def mv(matrix: Tensor, vector: Tensor) -> Tensor:
    """`torch.mv`, which takes tensors of one precision only; under autocast there may be two.

    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     mv(torch.ones(2, 3), torch.ones(3, dtype=torch.bfloat16))
    tensor([3., 3.], dtype=torch.bfloat16)
    """
    return torch.mv(matrix, vector) if matrix.dtype is vector.dtype else torch.matmul(matrix, vector)


def vector_matrix(vectors: Tensor, matrices: Tensor, spare: bool = False) -> Tensor:
    """The rows of each matrix, weighted by its vector and summed.

    >>> vector_matrix(torch.tensor([[1.0, 2.0]]), torch.tensor([[[3.0, 4.0], [5.0, 6.0]]]))
    tensor([[13., 16.]])
    """
    if is_dynamo_compiling() and not is_exporting() and matrices.dtype in _ACCURATE:
        return _at_once(matrices, vectors, -2)  # which fuses with what comes before and after
    if _is_small(matrices) and _is_worth(matrices, vectors, matrices.size(-1) >= LANES) and _pays(matrices, vectors):
        return _applied(_OF_ROWS, matrices, vectors, spare)
    return _product(vectors.unsqueeze(-2), matrices).squeeze(-2)


def matrix_vector(matrices: Tensor, vectors: Tensor, spare: bool = False) -> Tensor:
    """The columns of each matrix, weighted by its vector and summed.

    >>> matrix_vector(torch.tensor([[[3.0, 4.0], [5.0, 6.0]]]), torch.tensor([[1.0, 2.0]]))
    tensor([[11., 17.]])
    """
    if is_dynamo_compiling() and not is_exporting() and matrices.dtype in _ACCURATE:
        return _at_once(matrices, vectors, -1)
    if _is_small(matrices):
        worth = _is_worth(matrices, vectors, False)
    else:
        worth = matrices.numel() > WORTH or not _is_learned(matrices, vectors)
    if worth and _pays(matrices, vectors):
        return _applied(_OF_COLUMNS, matrices, vectors, spare)
    return _product(matrices, vectors.unsqueeze(-1)).squeeze(-1)


def weighted_rows(weights: Tensor, matrices: Tensor) -> Tensor:
    """The rows of each matrix, with the same weights for all matrices, summed.

    >>> weighted_rows(torch.tensor([1.0, 2.0]), torch.tensor([[[3.0, 4.0], [5.0, 6.0]]]))
    tensor([[13., 16.]])
    """
    if is_dynamo_compiling() and not is_exporting() and matrices.dtype in _ACCURATE:
        is_learned = torch.is_grad_enabled() and weights.requires_grad
        if _is_small(matrices) or matrices.numel() < LARGE or not is_learned:
            return _at_once(matrices, weights, -2)
    count, rows, columns = matrices.shape  # at once: after a large kernel each further look is a miss in the caches
    if rows * columns < SMALL and _pays(matrices, weights):  # a copy and one product take a third of many small ones
        return torch.mv(matrices.transpose(0, 1).flatten(1).t(), weights).view(count, columns)
    return torch.bmm(weights.expand(count, 1, rows), matrices).squeeze(1)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _applied(function: _Weighted, matrices: Tensor, vectors: Tensor, spare: bool) -> Tensor:
    if spare and not _is_learned(matrices, vectors):
        return _weighted(matrices, vectors, function.dim, over=True)
    return at_hand(function, matrices, vectors)[0]


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Of three dimensions, `matmul` comes to `bmm` by a detour."""
    return torch.bmm(left, right) if left.dim() == 3 else torch.matmul(left, right)


def _is_learned(matrices: Tensor, vectors: Tensor) -> bool:
    return torch.is_grad_enabled() and (matrices.requires_grad or vectors.requires_grad)


def _is_worth(matrices: Tensor, vectors: Tensor, vectorised: bool) -> bool:
    """Whether small matrices are worth a function of our own: without wide vectors, where slopes are wanted, or the
    loops along rows are `vectorised`."""
    return vectorised or WIDE or _is_learned(matrices, vectors)


def _is_small(matrices: Tensor) -> bool:
    return matrices.size(-1) * matrices.size(-2) < SMALL


def _pays(matrices: Tensor, vectors: Tensor) -> bool:
    return (
        matrices.numel() >= MANY
        and matrices.dtype in _ACCURATE
        and all_visible(matrices, vectors)
        and not torch.is_autocast_enabled("cpu")
    )


@dataclass(frozen=True)
class _Weighted:
    """The sum over `dim` (-2: rows, -1: columns) of matrices weighted by vectors."""

    dim: int
    keeps_results = False

    def __call__(self, *tensors: Tensor) -> Tensors:
        matrices, vectors = tensors
        return (_weighted(matrices, vectors, self.dim),)

    def back(self, wanted: tuple[bool, ...]) -> _Slopes:
        return _slopes(self.dim, wanted)

    def along(self) -> Plain:
        return Plain(lambda matrices, vectors: (_at_once(matrices, vectors, self.dim),), 2, 1).along()


@dataclass(frozen=True)
class _Slopes:
    """Of matrices, vectors and slopes at the sums, the slopes at matrices and vectors."""

    dim: int
    wanted: tuple[bool, ...]
    keeps_results = False

    def __call__(self, *tensors: Tensor) -> Tensors:
        matrices, vectors, slopes = tensors
        # First what takes memory on the way, and then what stays.
        at_vectors = _weighted(matrices, slopes, _other(self.dim)) if self.wanted[1] else vectors
        at_matrices = vectors.unsqueeze(_other(self.dim)) * slopes.unsqueeze(self.dim) if self.wanted[0] else vectors
        return at_matrices, at_vectors

    def back(self, wanted: tuple[bool, ...]) -> Derivable:
        return self._plain().back(wanted)

    def along(self) -> Derivable:
        return self._plain().along()

    def _plain(self) -> Plain:
        def slopes(matrices: Tensor, vectors: Tensor, given: Tensor) -> Tensors:
            other = _other(self.dim)
            return vectors.unsqueeze(other) * given.unsqueeze(self.dim), _at_once(matrices, given, other)

        return Plain(slopes, 3, 2)


@cache
def _slopes(dim: int, wanted: tuple[bool, ...]) -> _Slopes:
    return _Slopes(dim, wanted)


_OF_ROWS, _OF_COLUMNS = _Weighted(-2), _Weighted(-1)


def _other(dim: int) -> int:
    return -3 - dim


def _at_once(matrices: Tensor, vectors: Tensor, dim: int, over: bool = False) -> Tensor:
    multiply = Tensor.mul_ if over else Tensor.mul
    return multiply(matrices, vectors.unsqueeze(_other(dim))).sum(dim)


def _weighted(matrices: Tensor, vectors: Tensor, dim: int, over: bool = False) -> Tensor:
    """Of small matrices as a product and a sum, block by block of the first axis."""
    if not _is_small(matrices):
        return _product(vectors.unsqueeze(-2), matrices if dim == -2 else matrices.mT).squeeze(-2)
    if dim == -1 and not WIDE:
        return _product(matrices, vectors.unsqueeze(-1)).squeeze(-1)
    if 0 < matrices.size(dim) <= FEW and matrices.dtype is vectors.dtype:
        return _one_by_one(matrices, vectors, dim)
    if matrices.numel() <= BLOCK:
        return _at_once(matrices, vectors, dim, over)
    rows = max(1, BLOCK * len(matrices) // matrices.numel())
    blocks = zip(matrices.split(rows), vectors.split(rows), strict=True)
    return torch.cat([_at_once(*block, dim, over) for block in blocks])


def _one_by_one(matrices: Tensor, vectors: Tensor, dim: int) -> Tensor:
    first, *others = zip(matrices.unbind(dim), vectors.unsqueeze(-1).unbind(-2), strict=True)
    total = torch.mul(*first)
    for matrix, weight in others:
        total.addcmul_(matrix, weight)
    return total
