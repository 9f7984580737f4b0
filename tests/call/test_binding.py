"""Which argument becomes which input, in every way that a call may be written; and what is never guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.call.blame import check_devices
from tests.call.formulas import FORMULAS, softmax_attention

Q, K, V, M = (torch.randn(*shape, dtype=torch.float64) for shape in ((2, 4), (3, 4), (3, 5), (2, 3)))
ATTENTION = softmax_attention(Q, K, V)

f = FORMULAS

SAME: list[tuple[str, Callable[[], Any], Any]] = [
    ("positional", lambda: f.attention(Q, K, V), ATTENTION),
    ("keywords", lambda: f.attention(V=V, Q=Q, K=K), ATTENTION),
    ("mixed", lambda: f.attention(Q, V=V, K=K), ATTENTION),
    ("a parameter by position", lambda: f.attention(Q, K, V, M), softmax_attention(Q, K, V, M)),
    ("a parameter by name", lambda: f.attention(Q, K, V, M=M), softmax_attention(Q, K, V, M)),
    ("a number for a tensor with axes", lambda: f.fuse(torch.ones(2, 3), 0.5), torch.ones(3)),
    ("a number for a scalar", lambda: f.scale(torch.ones(3), 2.0), torch.full((3,), 2.0)),
    ("an integer for a scalar", lambda: f.scale(torch.ones(3), 2), torch.full((3,), 2.0)),
    ("a numpy number", lambda: f.scale(torch.ones(3), np.float64(2)), torch.full((3,), 2.0)),
    ("a tensor for a scalar", lambda: f.scale(torch.ones(3), torch.tensor(2.0)), torch.full((3,), 2.0)),
    ("an option by name", lambda: f.scale(torch.ones(3), by=3.0), torch.full((3,), 3.0)),
    ("an option as a numpy number", lambda: f.scale(torch.ones(3), by=np.int64(3)), torch.full((3,), 3.0)),
    ("only numbers", lambda: f.plus(2.0, 3.0), torch.tensor(5.0)),
    ("a number that float32 cannot hold", lambda: f.scale(torch.ones(1), 1e300), torch.tensor([float("inf")])),
    ("numpy", lambda: f.attention(Q.numpy(), K.numpy(), V.numpy()), ATTENTION),
    ("numpy and torch", lambda: f.attention(Q, K.numpy(), V), ATTENTION),
    ("numpy with other strides", lambda: f.double(np.arange(4.0)[::-1]), torch.tensor([6.0, 4.0, 2.0, 0.0]).double()),
    ("numpy of foreign order", lambda: f.double(np.arange(2, dtype=">f8")), torch.tensor([0.0, 2.0]).double()),
    ("numpy that is read-only", lambda: f.double(np.broadcast_to(1.0, (2,))), torch.tensor([2.0, 2.0]).double()),
    ("a list", lambda: f.fuse([torch.ones(3), torch.ones(3)], torch.ones(2)), torch.full((3,), 2.0)),
    ("a tuple of tensors", lambda: f.fuse((torch.ones(3), torch.ones(3)), torch.ones(2)), torch.full((3,), 2.0)),
    ("a list of arrays", lambda: f.fuse([np.ones(3), np.ones(3)], 1.0), torch.full((3,), 2.0).double()),
    (
        "a list of tensors with leading axes",
        lambda: f.fuse([torch.ones(7, 3), torch.ones(7, 3)], torch.ones(2)),
        torch.full((7, 3), 2.0),
    ),
    ("several results", lambda: f.two(torch.ones(3), torch.ones(3)), (torch.full((3,), 2.0), torch.tensor(3.0))),
    ("an option that is a definition", lambda: f.act(torch.ones(2)), torch.ones(2)),
    ("another definition", lambda: f.act(torch.ones(2), g="neg"), -torch.ones(2)),
    ("an option along axes", lambda: f.pool2d(torch.arange(8.0).view(2, 4), stride=(1, 2)), torch.tensor([[5.0, 7.0]])),
    ("one option for all axes", lambda: f.pool2d(torch.arange(8.0).view(2, 4), stride=1), torch.tensor([[5.0, 6, 7]])),
    ("not training", lambda: f.mode(1.0), torch.tensor(2.0)),
    ("training", lambda: f.mode(1.0, training=True), torch.tensor(3.0)),
]  # fmt: skip


@pytest.mark.parametrize(("call", "expected"), [row[1:] for row in SAME], ids=[row[0] for row in SAME])
def test_ways_of_calling(call: Callable[[], Any], expected: Any) -> None:
    torch.testing.assert_close(call(), expected)


# Leading dimensions of bare data: how many each tensor has in front, and the shape of the result; None: an error.
LEADING: list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...] | None]] = [
    ((), (), (), (2, 5)),
    ((7,), (7,), (7,), (7, 2, 5)),
    ((7,), (), (), (7, 2, 5)),
    ((), (7,), (7,), (7, 2, 5)),
    ((6, 7), (6, 7), (), (6, 7, 2, 5)),
    ((6, 7), (7,), (), None),
    ((7,), (6, 7), (6, 7), None),
    ((7,), (6,), (), None),
    ((7,), (1,), (), None),
]


@pytest.mark.parametrize(("q", "k", "v", "shape"), LEADING)
def test_leading_dimensions(q: tuple, k: tuple, v: tuple, shape: tuple | None) -> None:
    tensors = torch.randn(*q, 2, 4), torch.randn(*k, 3, 4), torch.randn(*v, 3, 5)
    if shape is None:
        with pytest.raises(nl.FormulaError):
            f.attention(*tensors)
        return
    result = f.attention(*tensors)
    assert result.shape == shape
    torch.testing.assert_close(result, softmax_attention(*tensors))


def test_a_batch_is_never_zipped_with_output_channels() -> None:
    """Four images, and a kernel with four output channels: which four belongs to which is not for us to guess."""
    images, kernel = torch.randn(4, 3, 9), torch.randn(4, 3, 2)
    assert f.conv(images, kernel).shape == (4, 4, 8)
    torch.testing.assert_close(f.conv(images, kernel), torch.nn.functional.conv1d(images, kernel))
    with pytest.raises(nl.ArgumentError, match="nl.named"):
        f.conv(images, kernel[:, None].expand(4, 4, 3, 2))
    lifted = f.conv(nl.named(images, "batch chans seq"), nl.named(torch.randn(4, 4, 3, 2), "batch chans' chans kernel"))
    assert lifted.axes == ("batch", "chans'", "seq")


def test_errors_are_those_that_callers_of_torch_expect() -> None:
    with pytest.raises(TypeError):
        f.attention(Q, K)
    with pytest.raises(ValueError, match="size"):
        f.attention(Q, K, V[:2])
    with pytest.raises(nl.FormulaError) as caught:
        f.attention(Q, K)
    assert caught.value.code == "NL0501"
    assert [span.text for span in caught.value.spans] == ["V[seq, val]"]


def test_tensors_on_two_devices() -> None:
    program = f.two.specialize(torch.ones(3), torch.ones(3)).program
    given = {"X": torch.ones(3), "Y": torch.ones(3, device="meta")}
    with pytest.raises(nl.ArgumentError, match="NL0519: `X` is on cpu and `Y` on meta"):
        check_devices(program, given, RuntimeError())
    check_devices(program, {"X": torch.ones(3), "Y": torch.ones(3)}, RuntimeError())


@pytest.mark.parametrize(
    "text",
    [
        "def f(X[i], b[]) -> [i] = X * b",
        "def f(X[i], b[]) -> [i]:\n    scan i with h = 0:\n        h = tanh(b * h + X)\n    return h",
    ],
    ids=["a product", "a scan"],
)
def test_numbers_may_lie_on_the_cpu_and_nowhere_else(text: str) -> None:
    here, there = (lambda *shape: torch.ones(shape)), (lambda *shape: torch.ones(shape, device="meta"))
    assert nl.compile(text)(there(3), here()).is_meta
    with pytest.raises(nl.ArgumentError, match="NL0519: `X` is on cpu and `b` on meta"):
        nl.compile(text)(here(3), there())


PROMOTED: list[tuple[torch.dtype, torch.dtype, torch.dtype]] = [
    (torch.float32, torch.float64, torch.float64),
    (torch.float16, torch.float32, torch.float32),
    (torch.float16, torch.bfloat16, torch.float32),
    (torch.complex64, torch.float64, torch.complex128),
    (torch.float64, torch.complex64, torch.complex128),
    (torch.int32, torch.float16, torch.float16),
    (torch.int64, torch.float64, torch.float64),
    (torch.bool, torch.float32, torch.float32),
]


@pytest.mark.parametrize(("left", "right", "result"), PROMOTED)
def test_mixed_precision_is_promoted(left: torch.dtype, right: torch.dtype, result: torch.dtype) -> None:
    x, y = torch.ones(3, dtype=left), torch.ones(3, dtype=right)
    assert torch.result_type(x, y) == result
    total, product = f.two(x, y)
    assert (total.dtype, product.dtype) == (result, result)
    torch.testing.assert_close(product, torch.tensor(3, dtype=result))


def test_a_tensor_without_axes_does_not_promote() -> None:
    assert f.scale(torch.ones(3), torch.tensor(2.0, dtype=torch.float64)).dtype is torch.float32
    assert f.scale(torch.ones(3, dtype=torch.float64), torch.tensor(2.0)).dtype is torch.float64
    assert f.scale(torch.ones(3, dtype=torch.bfloat16), 2.0).dtype is torch.bfloat16


def test_autocast_is_left_to_autocast() -> None:
    x, y = torch.randn(2, 3), torch.randn(3, 4, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert f.matmul(x, y).dtype is torch.bfloat16
        assert f.matmul(x, y.double()).dtype is torch.float64
    assert f.matmul(x, y).dtype is torch.float32
