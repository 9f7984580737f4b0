"""Sums of rows that are read are what they are of the rows, with all their derivatives, and refuse what is no row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd

import namedlayers as nl
from namedlayers.emit.kernels.bags import MANY
from namedlayers.emit.kernels.row_sums import row_sums, rows_of
from tests.helpers import check_calls

R = np.random.default_rng(6)
X, Y = R.normal(size=(9, 40)), R.normal(size=(3, 9, 40))
NEAR, EACH = R.integers(0, 9, size=(50, 5)), R.integers(0, 9, size=(3, 50, 5))
WEIGHTS = R.normal(size=(50, 5))
MEANS = X[NEAR].mean(1)

FORMULAS = {
    "sum": ("def f(X[n, d], I[m, k]) -> [m, d] = sum[k](X[n = I])", {"X": X, "I": NEAR}, X[NEAR].sum(1)),
    "mean, turned": ("def f(X[d, n], I[k, m]) -> [d, m] = mean[k](X[n = I])", {"X": X.T, "I": NEAR.T}, MEANS.T),
    "two axes summed": (
        "def f(X[n, d], I[m, k, l]) -> [m, d] = sum[k, l](X[n = I])",
        {"X": X, "I": NEAR.reshape(25, 2, 5)}, X[NEAR.reshape(25, 10)].sum(1),
    ),
    "everything that is read": (
        "def f(X[n, d], I[k]) -> [d] = mean[k](X[n = I])", {"X": X, "I": NEAR[:, 0]}, X[NEAR[:, 0]].mean(0),
    ),
    "several axes that stay": (
        "def f(X[n, h, d], I[a, b, k]) -> [a, h, b, d] = sum[k](X[n = I])",
        {"X": X.reshape(9, 4, 10), "I": NEAR.reshape(10, 5, 5)},
        X.reshape(9, 4, 10)[NEAR.reshape(10, 5, 5)].sum(2).transpose(0, 2, 1, 3),
    ),
    "batches": (
        "def f(X[b, n, d], I[b, m, k]) -> [b, m, d] = mean[k](X[n = I])",
        {"X": Y, "I": EACH}, np.stack([x[i].mean(1) for x, i in zip(Y, EACH, strict=True)]),
    ),
    "its own neighbours": (
        "def f(X[n, d], I[n, k]; W[o, d]) -> [n, o] = W @[d] mean[k](X[n = I])",
        {"X": X, "I": NEAR[:9], "W": R.normal(size=(3, 40))}, None,
    ),
    "weights": (
        "def f(X[n, d], I[m, k]; w[m, k]) -> [m, d] = w @[k] X[n = I]", {"X": X, "I": NEAR, "w": WEIGHTS},
        (WEIGHTS[..., None] * X[NEAR]).sum(1),
    ),
    "weights of some axes, in batches": (
        "def f(X[b, n, d], I[b, m, k]; w[k, b]) -> [b, m, d] = sum[k](w * X[n = I])",
        {"X": Y, "I": EACH, "w": WEIGHTS[:5, :3]}, None,
    ),
    "no rows": ("def f(X[n, d], I[m, k]) -> [m, d] = sum[k](X[n = I])", {"X": X, "I": NEAR[:, :0]}, np.zeros((50, 40))),
    "few": (
        "def f(X[n, d], I[m, k]) -> [m, d] = mean[k](X[n = I])", {"X": X[:, :2], "I": NEAR[:3]}, MEANS[:3, :2],
    ),
}  # fmt: skip

PRODUCTS = {
    "of means": ("W @[d] mean[k](X[n = I])", 3),
    "of sums": ("sum[k](X[n = I]) @[d] W", 60),
    "of rows": ("mean[k]((W @[d] X)[n = I])", 60),
    "of rows, weighed": ("w @[k] (W @[d] X)[n = I]", 3),
    "of sums, weighed": ("W @[d] sum[k](w * X[n = I])", 3),
}


@pytest.mark.parametrize("rows", [9, 700])
@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name: str, rows: int) -> None:
    expression, columns = PRODUCTS[name]
    text = f"def f(X[n, d], I[m, k]; W[o, d], w[m, k]) -> [m, o] = {expression}"
    inputs = {"X": np.resize(X, (rows, 40)), "I": NEAR, "W": R.normal(size=(columns, 40))}
    check_calls("row_products", text, {**inputs, "w": WEIGHTS}, None)


@pytest.mark.parametrize("rows", [9, 700])
@pytest.mark.parametrize("name", PRODUCTS)
def test_what_enters_a_product_is_rounded_where_that_is_asked(name: str, rows: int) -> None:
    """The matrix, and what it is multiplied by: the sums, or the rows."""
    expression, columns = PRODUCTS[name]
    text = f"def f(X[n, d], I[m, k]; W[o, d], w[m, k]) -> [m, o] = {expression}"
    x, w, weights = (torch.tensor(a, dtype=torch.float32, requires_grad=True)
                     for a in (np.resize(X, (rows, 40)), R.normal(size=(columns, 40)), WEIGHTS))  # fmt: skip
    args = (x, torch.tensor(NEAR), w, weights)
    found, exact = nl.compile(text, precision="bfloat16")(*args), nl.compile(text)(*args)
    assert found.dtype is torch.float32 and not torch.equal(found, exact)
    torch.testing.assert_close(found, exact, rtol=2e-2, atol=2e-2 * float(exact.detach().abs().max()))
    slope = torch.linspace(-1, 1, found.numel()).reshape(found.shape)
    slopes = [torch.autograd.grad(one, (x, w), slope) for one in (found, exact)]
    for ours, theirs in zip(*slopes, strict=True):
        assert ours.dtype is torch.float32
        torch.testing.assert_close(ours, theirs, rtol=5e-2, atol=5e-2 * float(theirs.abs().max()))


@pytest.mark.parametrize("name", FORMULAS)
def test_it_is_the_same(name: str) -> None:
    check_calls("row_products" if name == "its own neighbours" else "row_sums", *FORMULAS[name])


def _given(batches: bool) -> tuple[Tensor, Tensor]:
    table, index = (Y, EACH) if batches else (X, NEAR)
    return torch.tensor(table, requires_grad=True), torch.tensor(index)


@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_slopes_of_slopes_and_other_integers(batches: bool, dtype: torch.dtype) -> None:
    table, index = _given(batches)
    cubes: Callable[[Tensor], Tensor] = lambda x: row_sums(x, index.to(dtype), True) ** 3  # noqa: E731
    assert torch.autograd.gradcheck(cubes, table, fast_mode=True)
    assert torch.autograd.gradgradcheck(cubes, table, fast_mode=True)


@pytest.mark.parametrize("batches", [False, True])
def test_slopes_of_slopes_with_weights(batches: bool) -> None:
    table, index = _given(batches)
    weights = torch.randn(index.shape, dtype=table.dtype, requires_grad=True)
    cubes: Callable[[Tensor, Tensor], Tensor] = lambda x, w: row_sums(x, index, False, w) ** 3  # noqa: E731
    assert torch.autograd.gradcheck(cubes, (table, weights), fast_mode=True)
    assert torch.autograd.gradgradcheck(cubes, (table, weights), fast_mode=True)
    found = row_sums(table, index, False, weights)
    slopes = torch.randn(4, *found.shape, dtype=found.dtype)
    several = torch.autograd.grad(found, (table, weights), slopes, is_grads_batched=True, retain_graph=True)
    for k, one in enumerate(slopes):
        for all_of, each in zip(
            several, torch.autograd.grad(found, (table, weights), one, retain_graph=True), strict=True
        ):
            torch.testing.assert_close(all_of[k], each)


@pytest.mark.parametrize("count", [5, 300, 40_000])
@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batches", [False, True])
def test_many_slopes_are_sorted(count: int, kind: torch.dtype, weighted: bool, batches: bool) -> None:
    shape = (2, 600, 7) if batches else (1200, 7)
    table = torch.randn(*shape[:-2], count, 33, requires_grad=True)
    index = torch.randint(0, count, shape).to(kind)
    weights = torch.randn(shape, requires_grad=True) if weighted else None
    assert index.numel() * 33 >= MANY
    learned = [table] if weights is None else [table, weights]
    each = rows_of(table, index)
    plain = each.sum(-2) if weights is None else (each * weights.unsqueeze(-1)).sum(-2)
    found = row_sums(table, index, False, weights)
    for slope in (torch.randn_like(plain), torch.ones(()).expand(plain.shape), torch.randn(plain.mT.shape).mT):
        expected = torch.autograd.grad(plain, learned, slope, retain_graph=True)
        slopes = torch.autograd.grad(found, learned, slope, retain_graph=True)
        torch.testing.assert_close(slopes, expected, rtol=1e-4, atol=1e-4)  # of up to 1680 numbers


@pytest.mark.parametrize("rows", [2, 50])
def test_weights_that_come_out_of_autocast(rows: int) -> None:
    text = "def f(X[n, d], I[m, k], Q[m, e]; W[e, k]) -> [m, d] = sum[k]((Q @[e] W) * X[n = I])"
    given = [torch.tensor(x, dtype=torch.float32) for x in (X, Y[0, :4, :5], Y[1].repeat(6, 0)[:rows, :4])]
    function, index = nl.compile(text), torch.tensor(NEAR[:rows])
    expected = function(given[0], index, given[2], given[1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = function(given[0], index, given[2], given[1])
    torch.testing.assert_close(found.float(), expected, rtol=5e-2, atol=5e-2)


@pytest.mark.parametrize("batches", [False, True])
def test_transforms(batches: bool) -> None:
    table, index = _given(batches)
    found = row_sums(table, index, False)
    slopes = torch.randn(4, *found.shape, dtype=found.dtype)
    each = torch.stack([torch.autograd.grad(found, table, one, retain_graph=True)[0] for one in slopes])
    (several,) = torch.autograd.grad(found, table, slopes, is_grads_batched=True)
    torch.testing.assert_close(several, each)
    lifted = torch.func.vmap(row_sums, (0, None, None))(torch.stack([table, 2 * table]).detach(), index, False)
    torch.testing.assert_close(lifted, torch.stack([found, 2 * found]).detach())
    _, tangent = torch.func.jvp(lambda x: row_sums(x, index, False), (table.detach(),), (table.detach(),))
    torch.testing.assert_close(tangent, found.detach())


@pytest.mark.parametrize(("bags", "each"), [(3, 900), (3, 9000), (300, 9)])
def test_slopes_of_few_sums_of_many_and_of_many_of_few(bags: int, each: int) -> None:
    """Added for several rows at once, for as many as there is room for, for one after the other."""
    table = torch.randn(9, 64, dtype=torch.float64, requires_grad=True)
    index = torch.randint(9, (bags, each))
    found, rows = row_sums(table, index, False), table[index].sum(1)
    slopes = torch.randn(2, *found.shape, dtype=found.dtype)
    for one in slopes:
        ours, theirs = (torch.autograd.grad(sums, table, one, retain_graph=True)[0] for sums in (found, rows))
        torch.testing.assert_close(ours, theirs)
    (several,) = torch.autograd.grad(found, table, slopes, is_grads_batched=True)
    torch.testing.assert_close(several[1], theirs)


@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.parametrize("wrong", [-1, 9])
def test_what_is_no_row_is_refused(batches: bool, wrong: int) -> None:
    table, index = _given(batches)
    index[..., 1, 2] = wrong
    for one in (table, table.detach()):
        with pytest.raises((IndexError, RuntimeError), match="out of (range|bounds)"):
            row_sums(one, index, False)


@pytest.mark.parametrize("text", [
    "def f(X[n, d], I[m, k], w[m, k]) -> [m, d] = sum[k](w * X[n = I])",
    "def f(X[b, n, d], I[b, m, k], w[b, m, k]) -> [b, m, d] = w @[k] X[n = I]",
    "def f(X[b, n, d], I[b, m, k], w[d]) -> [b, m, d] = w * mean[k](X[n = I])",
    "def f(X[n, d], I[m, k], w[o, d]) -> [m, o] = mean[k]((w @[d] X)[n = I])",
])  # fmt: skip
def test_a_compiler_has_operators(text: str) -> None:
    batches = "X[b" in text
    table, index = _given(batches)
    shape = {"w[d]": (40,), "w[o,": (60, 40)}.get(text[text.index("w[") :][:4], tuple(index.shape))
    weights = torch.randn(shape, dtype=table.dtype, requires_grad=True)
    function = nl.compile(text)
    graphs: list[torch.fx.GraphModule] = []

    def seen(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    compiled = torch.compile(function, backend=aot_autograd(fw_compiler=seen), dynamic=False, fullgraph=True)
    expected, found = function(table, index, weights), compiled(table, index, weights)
    torch.testing.assert_close(found, expected)
    slope = torch.randn_like(expected)
    both = [torch.autograd.grad(one, (table, weights), slope) for one in (found, expected)]
    torch.testing.assert_close(*both)
    assert ("namedlayers.bags.default" if batches else "_embedding_bag_forward_only") in graphs[0].code
    assert "aten.embedding.default" not in graphs[0].code
    index[..., 1, 2] = table.shape[-2]
    with pytest.raises((IndexError, RuntimeError), match="out of (range|bounds)|valid range|Expected idx"):
        compiled(table, index, weights)


ANY_SIZES = {
    "def f(X[n, d], I[m, k]) -> [m, d] = mean[k](X[n = I])": ("nd", "mk"),
    "def f(X[n, d], I[m, k], w[m, k]) -> [m, d] = sum[k](w * X[n = I])": ("nd", "mk", "mk"),
    "def f(X[b, n, d], I[b, m, k], w[b, m, k]) -> [b, m, d] = sum[k](w * X[n = I])": ("bnd", "bmk", "bmk"),
    "def f(X[n, d], I[m, k], w[o, d]) -> [m, o] = mean[k]((w @[d] X)[n = I])": ("nd", "mk", "od"),
}


def _sized(axes: tuple[str, ...], **sizes: int) -> list[Tensor]:
    table, index, *weights = (tuple(sizes[axis] for axis in one) for one in axes)
    learned = [torch.randn(shape, requires_grad=True) for shape in (table, *weights)]
    return [learned[0], torch.randint(0, sizes["n"], index), *learned[1:]]


@pytest.mark.parametrize("text", ANY_SIZES)
def test_a_compiler_takes_any_sizes(text: str) -> None:
    function = nl.compile(text)
    torch._dynamo.reset()
    compiled = torch.compile(function, backend="aot_eager", dynamic=True, fullgraph=True)
    for sizes in ((3, 50, 60, 8, 64, 5), (2, 70, 90, 7, 48, 300), (4, 5, 4, 3, 2, 6), (2, 20, 300, 1, 130, 5)):
        given = _sized(ANY_SIZES[text], **dict(zip("bnmkdo", sizes, strict=True)))
        expected, found = function(*given), compiled(*given)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        learned, slope = [x for x in given if x.requires_grad], torch.randn_like(expected)
        both = [torch.autograd.grad(one, learned, slope) for one in (found, expected)]
        torch.testing.assert_close(*both, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("text", ANY_SIZES)
@pytest.mark.parametrize("strict", [False, True])
def test_what_is_exported_takes_any_sizes(text: str, strict: bool) -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.function = nl.compile(text)

        def forward(self, *given: Tensor) -> Tensor:
            return self.function(*given)

    axes, model = ANY_SIZES[text], Model()
    given = _sized(axes, b=3, n=50, m=60, k=8, d=64, o=5)
    dims = {axis: torch.export.Dim(axis, min=2) for axis in "bnmkdo"}
    shapes = (tuple({at: dims[axis] for at, axis in enumerate(one)} for one in axes),)
    program = torch.export.export(model, tuple(given), dynamic_shapes=shapes, strict=strict)
    assert "namedlayers" not in str(program.graph)
    for sizes in (
        {"b": 2, "n": 70, "m": 90, "k": 7, "d": 48, "o": 3},
        {"b": 4, "n": 5, "m": 4, "k": 3, "d": 2, "o": 6},
    ):
        other = _sized(axes, **sizes)
        torch.testing.assert_close(program.module()(*other), model(*other), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lifted", ["table", "index", "weights", "all"])
@pytest.mark.parametrize("compiled", [False, True])
def test_any_argument_is_lifted(lifted: str, compiled: bool) -> None:
    one = torch.tensor(X), torch.tensor(NEAR), torch.tensor(WEIGHTS)
    several = torch.stack([one[0], -one[0]]), torch.stack([one[1], one[1].flip(0)]), torch.stack([one[2], 3 * one[2]])
    at = {"table": (0,), "index": (1,), "weights": (2,), "all": (0, 1, 2)}[lifted]
    given = [several[k] if k in at else one[k] for k in range(3)]
    function = torch.func.vmap(
        lambda x, i, w: row_sums(x, i, False, w), tuple(0 if k in at else None for k in range(3))
    )
    torch._dynamo.reset()
    found = (torch.compile(function, backend="aot_eager") if compiled else function)(*given)
    each = [row_sums(*(x[n] if k in at else x for k, x in enumerate(given[:2])), False,  # type: ignore[misc]
                     given[2][n] if 2 in at else given[2]) for n in range(2)]  # fmt: skip
    torch.testing.assert_close(found, torch.stack(each))


def test_a_compiled_transform_reads_the_rows() -> None:
    table, index = _given(False)
    tables = torch.stack([table, 2 * table]).detach()
    each = torch.compile(torch.func.vmap(row_sums, (0, None, None)), backend="aot_eager")
    torch.testing.assert_close(each(tables, index, False), torch.stack([row_sums(x, index, False) for x in tables]))
