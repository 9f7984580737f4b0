"""What contractions copy on their way: no more than `torch.einsum`, and nothing where everything lies as it should."""

from __future__ import annotations

import math
import random

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import namedlayers as nl


class Copies(TorchDispatchMode):
    """The sizes of the tensors that are copied."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[int] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func.overloadpacket in (torch.ops.aten.clone, torch.ops.aten.copy_):
            self.found.append(math.prod(args[0].shape))
        return func(*args, **(kwargs or {}))


def _copied(function, args) -> list[int]:  # type: ignore[no-untyped-def]
    function(*args)
    with Copies() as seen:
        function(*args)
    return seen.found


NOTHING = {
    "a chain": ("A[a, b], B[b, c], C[c, d], D[d, e]", "A @[b] B @[c] C @[d] D", "a, e"),
    "a chain, transposed": ("A[b, a], B[b, c], C[d, c], D[d, e]", "A @[b] B @[c] C @[d] D", "e, a"),
    "a bilinear form": ("x[n, i], A[i, j], y[n, j]", "sum[i, j](x * A * y)", "n"),
    "bilinear attention": (
        "Q[b, q, d], U[d, r], W[e, r], K[b, s, e], V[b, s, v]", "sum[d, r, e, s](Q * U * W * K * V)", "b, q, v",
    ),
    "Tucker": ("G[p, q, r], A[i, p], B[j, q], C[k, r]", "sum[p, q, r](G * A * B * C)", "i, j, k"),
    "modes of a tensor": ("X[i, j, k], B[j, r], C[k, r]", "sum[j, k](X * B * C)", "i, r"),
    "a Kronecker product with a vector": ("A[i, j], B[k, l], x[j, l]", "sum[j, l](A * B * x)", "i, k"),
    "a batch, last": ("A[i, j, b], x[j, b]", "sum[j](A * x)", "i, b"),
    "a batch of vectors": ("x[i, b], y[i, b]", "sum[i](x * y)", "b"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_is_copied(name: str) -> None:
    signature, expression, result = NOTHING[name]
    letters = sorted({letter for letter in signature if letter.islower() and signature.count(letter) > 0})
    function = nl.compile(f"def f({signature}) -> [{result}] = {expression}")
    for sizes in (dict.fromkeys(letters, 4), {letter: 3 + k for k, letter in enumerate(letters)}):
        shapes = [[sizes[axis] for axis in part.split("[")[1].split(", ")] for part in signature.split("]")[:-1]]
        assert not _copied(function, [torch.randn(shape) for shape in shapes])


def _random(source: random.Random) -> tuple[list[str], list[str]]:
    letters = "abcdefg"
    operands = [
        "".join(source.sample(letters[: source.randint(3, 6)], source.randint(1, 3)))
        for _ in range(source.randint(2, 4))
    ]
    used = sorted(set("".join(operands)))
    return operands, source.sample(used, source.randint(0, min(3, len(used))))


def _formula(operands: list[str], result: list[str]) -> str:
    signature = ", ".join(f"T{k}[{', '.join(axes)}]" for k, axes in enumerate(operands))
    product = " * ".join(f"T{k}" for k in range(len(operands)))
    summed = sorted(set("".join(operands)) - set(result))
    whole = f"sum[{', '.join(summed)}]({product})" if summed else product
    return f"def f({signature}) -> [{', '.join(result)}] = {whole}"


def test_no_more_is_copied_than_by_einsum() -> None:
    source = random.Random(1)
    ours = theirs = 0
    for _ in range(120):
        operands, result = _random(source)
        function = nl.compile(_formula(operands, result))
        equation = f"{','.join(operands)}->{''.join(result)}"
        sizes = {axis: source.choice([5, 7, 9, 11]) for axis in "abcdefg"}
        args = [torch.randn([sizes[axis] for axis in axes], dtype=torch.float64) for axes in operands]
        torch.testing.assert_close(function(*args), torch.einsum(equation, *args))
        ours += sum(_copied(function, args))
        theirs += sum(_copied(lambda *args, equation=equation: torch.einsum(equation, *args), args))
    assert ours <= 1.1 * theirs
