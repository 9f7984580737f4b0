"""Hard sigmoids, gates, slices that drop out, weighted cross entropies, compiled: values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import namedlayers as nl
from tests.emit.harness import WAYS, agree, as_written, compiled, run, tensors

TEXTS = {
    "hard sigmoid": "def f(X[i, j]) = clip(X + 3, 0, 6) / 6",
    "gated half": """
def f(X[i, j]) -> [i, j]:
    return X[j -> (half = 2, j)][half = 0] * sigmoid(X[j -> (half = 2, j)][half = 1])
""",
    "gated half of the first axis": """
def f(X[j, i]) -> [i, j]:
    return X[j -> (half = 2, j)][half = 0] * sigmoid(X[j -> (half = 2, j)][half = 1])
""",
    "numbers that torch knows": """
def f(X[i, j]):
    A = clip(4 * X, 0, 6) + where(abs(X) > 0.5, X, 0) + where(X > 0, X, 0.01 * X)
    B = X - clip(X, -0.5, 0.5)
    return A * clip(X, -1, 1) + B * where(X > 0, X, exp(X) - 1)
""",
    "others": """
def f(X[i, j]):
    A = clip(4 * X, 0, 5) + where(abs(X) > 0.25, X, 0) + where(X > 0, X, 0.1 * X)
    B = X - clip(X, -0.75, 0.75)
    return A * clip(X, -1, 2) + B * where(X > 0, X, 2 * (exp(X) - 1))
""",
    "yes or no": "def f(X[i, j], Y[j, i]) = softplus(X) - X * Y",
    "yes or no, weighted": "def f(X[i, j], Y[i, j]) = mean[i, j](3 * Y * softplus(-X) + (1 - Y) * softplus(X))",
    "yes or no, learned": "def f(X[i, j], Y[i, j]; W[j]) = sum[i, j](W * Y * softplus(-X) + (1 - Y) * softplus(X))",
    "yes or no, learned for each": "def f(X[i, j], Y[j, i]; W[i]) = W * Y * softplus(-X) + (1 - Y) * softplus(X)",
}
SIZES = {"i": 3, "j": 4}


def arrays(text: str, sizes: dict[str, int]) -> dict[str, np.ndarray]:
    source = np.random.default_rng(0)
    head = text[: text.index(")")]
    shapes = {one: head.split(f"{one}[")[1].split("]")[0].split(", ") for one in "XYW" if f"{one}[" in head}
    return {one: source.standard_normal([sizes[axis] for axis in axes]) for one, axes in shapes.items()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TEXTS)
def test_values(name: str, way: str) -> None:
    for sizes in (SIZES, {"i": 0, "j": 4}, {"i": 1, "j": 2}):
        given = arrays(TEXTS[name], sizes)
        for dtype in (torch.float64, torch.float32):
            agree(WAYS[way](TEXTS[name], given), given, dtype)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("name", TEXTS)
def test_gradients(name: str, learned: bool) -> None:
    given = arrays(TEXTS[name], SIZES)
    found = []
    for way in (compiled, as_written):
        made = way(TEXTS[name], given)
        args = tensors(made, given)
        for k, arg in enumerate(args):
            arg.requires_grad_(learned or k == 0)
        (result,) = run(made, args)
        wanted = [arg for arg in args if arg.requires_grad]
        found.append((result.detach(), *torch.autograd.grad(result.sin().sum(), wanted)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


SLICES = {
    "channels": ("def f(X[b, c, x, y]) -> [b, c, x, y] = X * (bernoulli[b, c](0.75) / 0.75)", (2, 3)),
    "samples": ("def f(X[b, c, x, y]) -> [b, c, x, y] = X * (bernoulli[b](0.75) / 0.75)", (1, 2, 3)),
    "not the first": ("def f(X[b, c, x, y]) -> [y, b, c, x] = X * (bernoulli[c, y](0.75) / 0.75)", (1, 3)),
    "three": ("def f(X[b, c, x, y]) -> [b, c, x, y] = X * (bernoulli[b, y, x](0.75) / 0.75)", (1,)),
    "at the call": ("def f(X[b, c, x, y]; p = 0.25) -> [b, c, x, y] = X * (bernoulli[b, c](1 - p) / (1 - p))", (2, 3)),
}


@pytest.mark.parametrize("name", SLICES)
def test_slices_drop_out_together(name: str) -> None:
    text, together = SLICES[name]
    f = nl.compile(text + "\n")
    x = torch.rand(40, 30, 6, 5) + 1
    torch.manual_seed(0)
    found = f(x)
    assert "feature_dropout" in f.code
    ratio = found / (x.permute(3, 0, 1, 2) if name == "not the first" else x)
    low, high = ratio.amin(together), ratio.amax(together)
    torch.testing.assert_close(low, high)
    assert set(low.flatten().mul(3).round().tolist()) == {0, 4}
    assert abs(float((low > 0).double().mean()) - 0.75) < 0.2
    torch.manual_seed(0)
    assert torch.equal(f(x), found)


def test_a_channel_dropout_has_the_gradient_of_what_is_left() -> None:
    f = nl.compile("def f(X[b, c, x]) -> [b, c, x] = X * (bernoulli[b, c](0.5) / 0.5)\n")
    x = torch.rand(4, 5, 6, requires_grad=True)
    found = f(x)
    (slope,) = torch.autograd.grad(found.sum(), x)
    torch.testing.assert_close(slope * x, found)


ROWS = nl.compile("def f(I[b, s], E[v, d]) -> [b, s, d] = one_hot[v](I) @[v] E\n")


def test_rows_that_are_none_are_0() -> None:
    table = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    lifted = torch.func.vmap(ROWS, in_dims=(0, None))
    for numbers in ([[0, 3], [2, 2]], [[0, -1], [4, 2]]):
        index = torch.tensor(numbers)
        wanted = (
            torch.nn.functional.one_hot(torch.where((index >= 0) & (index < 4), index, 4), 5)[..., :4].double() @ table
        )
        for way in (ROWS, torch.compile(ROWS, backend="aot_eager"), lambda i, e: lifted(i[None], e)[0]):
            found = way(index, table)
            torch.testing.assert_close(found, wanted)
            (slope,) = torch.autograd.grad(found.square().sum(), table)
            torch.testing.assert_close(slope, torch.autograd.grad(wanted.square().sum(), table, retain_graph=True)[0])
    assert ROWS(torch.zeros(2, 0, dtype=torch.long), torch.zeros(0, 3)).shape == (2, 0, 3)
    assert torch.equal(ROWS(torch.zeros(2, 1, dtype=torch.long), torch.zeros(0, 3)), torch.zeros(2, 1, 3))


def test_numbers_that_torch_knows_are_not_passed() -> None:
    code = nl.compile(TEXTS["numbers that torch knows"]).specialize(torch.ones(2, 2)).code
    for call in ("relu6(", "hardshrink(X)", "leaky_relu(X)", "hardtanh(X)", "softshrink(X)", "elu(X)"):
        assert call in code
    code = nl.compile(TEXTS["others"]).specialize(torch.ones(2, 2)).code
    for call in ("hardshrink(X, 0.25)", "leaky_relu(X, 0.1)", "hardtanh(X, ", "softshrink(X, 0.75)", "elu(X, 2"):
        assert call in code
