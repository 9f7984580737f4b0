"""A sequence one step behind another: what begins it may lie before the other already."""

from __future__ import annotations

import pytest
import torch

from namedlayers.emit.kernels.behind import behind


@pytest.mark.parametrize("reverse", (False, True))
@pytest.mark.parametrize("dim", (0, 1, 2))
@pytest.mark.parametrize("order", ((0, 1, 2), (1, 0, 2), (2, 1, 0)))
@pytest.mark.parametrize("shape", ((5, 4, 3), (2, 2, 2), (5, 1, 3), (1, 1, 1)))
def test_nothing_is_copied_that_lies_so(
    shape: tuple[int, ...], order: tuple[int, ...], dim: int, reverse: bool
) -> None:
    wide = [size + (k == dim) for k, size in enumerate(shape)]
    whole = torch.randn([wide[k] for k in order]).permute(*(order.index(k) for k in range(3)))
    length = whole.shape[dim] - 1
    first, every = whole.select(dim, -1 if reverse else 0), whole.narrow(dim, int(not reverse), length)
    found = behind(first, every, dim, reverse)
    torch.testing.assert_close(found, whole.narrow(dim, int(reverse), length), rtol=0, atol=0)
    assert found.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()
    elsewhere = behind(first.clone(), every, dim, reverse)
    torch.testing.assert_close(elsewhere, found, rtol=0, atol=0)


def test_what_lies_otherwise_is_copied() -> None:
    """Something else of the same memory, something turned round, something that is recorded."""
    x = torch.arange(24.0).view(4, 2, 3)
    for first in (x[1], x[3], x[0, :1].expand(2, 3), x.transpose(1, 2)[0].reshape(2, 3)):
        torch.testing.assert_close(behind(first, x[1:], 0, False), torch.cat((first[None], x[1:3])))
    y = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(behind(y[0], y[1:], 0, False).square().sum(), y)
    torch.testing.assert_close(slope[:3], 2 * x[:3])
    assert not slope[3].any()
