"""Products in less precision than the rest: by option, and by autocast; against the definition in float64."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.errors import ArgumentError

EPS = {"bfloat16": 2.0**-8, "float16": 2.0**-11}

# Formulas of each kind of product, with the sizes of their axes.
PRODUCTS = {
    "matrix": ("def f(X[i, j]; W[j, k]) -> [i, k] = X @[j] W", {"X": (5, 40), "W": (40, 3)}),
    "bias": ("def f(X[i, j]; W[j, k], b[k]) -> [i, k] = X @[j] W + b", {"X": (5, 40), "W": (40, 3), "b": (3,)}),
    "onto": ("def f(H[i, k], X[i, j]; W[j, k]) -> [i, k] = H + X @[j] W", {"H": (5, 3), "X": (5, 40), "W": (40, 3)}),
    "batches": ("def f(X[b, i, j], Y[b, j, k]) -> [b, i, k] = X @[j] Y", {"X": (2, 5, 40), "Y": (2, 40, 3)}),
    "vectors": ("def f(a[j], b[j]) -> [] = a @[j] b", {"a": (40,), "b": (40,)}),
    "three": (
        "def f(A[i, j], B[j, k], C[k, l]) -> [i, l] = A @[j] B @[k] C", {"A": (5, 8), "B": (8, 40), "C": (40, 3)},
    ),
    "attention": (
        "def f(Q[i, k], K[j, k], V[j, v], M[i, j]) -> [i, v] = softmax[j](Q @[k] K / sqrt(|k|) + M) @[j] V",
        {"Q": (5, 8), "K": (6, 8), "V": (6, 3), "M": (5, 6)},
    ),
    "convolution": (
        "def f[seq](X[c, seq]; W[d, c, k], b[d]) -> [d, seq]:\n"
        "    return sum[c, k](W * pool[seq, part = |k|](X)[part -> k]) + b",
        {"X": (4, 20), "W": (3, 4, 5), "b": (3,)},
    ),
    "scan": (
        "def f(X[t, i]; W[i, j], U[j, j']) -> [t, j]:\n"
        "    scan t with h = zeros[j]:\n        h = h / 2 + tanh(W @[i] X + (U @[j] h)[j' -> j])\n    return h",
        {"X": (6, 4), "W": (4, 3), "U": (3, 3)},
    ),
}  # fmt: skip


def _tensors(shapes: dict[str, tuple[int, ...]], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


def _gradients(function: Callable[..., Tensor], given: dict[str, Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
    leaves = {name: one.detach().clone().requires_grad_() for name, one in given.items()}
    found = function(**leaves)
    slope = torch.linspace(-1, 1, found.numel(), dtype=found.dtype).reshape(found.shape)
    return found.detach(), torch.autograd.grad(found, list(leaves.values()), slope)


def _close(found: Tensor, wanted: Tensor, digits: float) -> None:
    size = float(wanted.abs().amax())
    torch.testing.assert_close(found.double(), wanted.double(), rtol=digits, atol=digits * max(size, 1e-3))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_by_option(name: str, precision: str) -> None:
    text, shapes = PRODUCTS[name]
    plain, rounded = nl.compile(text), nl.compile(text, precision=precision)
    given = _tensors(shapes)
    exact, found = _gradients(plain, given), _gradients(rounded, given)
    assert found[0].dtype is torch.float32
    assert f"torch.{precision}" in rounded.code
    assert not torch.equal(found[0], exact[0])
    _close(found[0], exact[0], 8 * EPS[precision])
    for one, wanted in zip(found[1], exact[1], strict=True):
        assert one.dtype is torch.float32
        _close(one, wanted, 16 * EPS[precision])
    _close(rounded(**_tensors(shapes, torch.float64)), exact[0], 8 * EPS[precision])
    assert rounded(**_tensors(shapes, torch.float64)).dtype is torch.float64


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_operands_are_rounded_and_sums_are_not(precision: str) -> None:
    """The digits of a sum of many: in the precision itself, it would stop growing at 256 or 2048."""
    total = nl.compile("def f(a[i, j], b[j]) -> [i] = a @[j] b", precision=precision)
    found = total(torch.ones(2, 4096), torch.ones(4096))
    torch.testing.assert_close(found, torch.full((2,), 4096.0))
    fine = 1 + EPS[precision] / 4
    assert total(torch.full((1, 1), fine), torch.ones(1)).item() == 1.0


ELSEWHERE = {
    "softmax": "def f(X[i, j]) = softmax[j](X)",
    "layer norm": "def f(X[i, j]) = (X - mean[j](X)) / sqrt(var[j](X) + 1e-5)",
    "sum": "def f(X[i, j]) = sum[j](X)",
    "logsumexp": "def f(X[i, j]) = logsumexp[j](X)",
    "log product": "def f(X[i, j]; W[j, k]) -> [i, k] = logsumexp[j](X + W)",
    "elementwise": "def f(X[i, j]; W[j, k]) = X * W",
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_everything_else_is_as_given(name: str) -> None:
    text = ELSEWHERE[name]
    given = _tensors({"X": (5, 40), "W": (40, 3)})
    given = given if "W" in text else {"X": given["X"]}
    plain, rounded = nl.compile(text), nl.compile(text, precision="bfloat16")
    assert torch.equal(plain(**given), rounded(**given))
    assert plain.code == rounded.code


def test_integers_and_complex_numbers_have_no_other_precision() -> None:
    text = "def f(X[i, j], Y[j, k]) -> [i, k] = X @[j] Y"
    rounded = nl.compile(text, precision="bfloat16")
    x, y = torch.randn(2, 3, dtype=torch.complex64), torch.randn(3, 2, dtype=torch.complex64)
    torch.testing.assert_close(rounded(x, y), x @ y)
    n = torch.arange(6).reshape(2, 3) * 1001
    assert torch.equal(rounded(n, n.T), n @ n.T)


def test_what_a_product_is_added_to_keeps_its_digits() -> None:
    text, shapes = PRODUCTS["onto"]
    given = {name: torch.zeros(shape) for name, shape in shapes.items()} | {"H": torch.full((5, 3), 1.0001)}
    assert torch.equal(nl.compile(text, precision="bfloat16")(**given), given["H"])


LAYER = """
layer Block[hidden](X[seq, feature]):
    param up[hidden, feature] ~ normal
    param down[feature, hidden] ~ normal
    return X + down @[hidden] relu(up @[feature] X)
"""


def test_parameters_stay_as_they_are() -> None:
    plain = nl.compile(LAYER)(feature=6, hidden=8)
    block = nl.compile(LAYER, precision="bfloat16")(feature=6, hidden=8)
    block.load_state_dict(plain.state_dict())
    x = torch.randn(4, 6)
    found, exact = block(x), plain(x)
    assert found.dtype is torch.float32 and not torch.equal(found, exact)
    _close(found.detach(), exact.detach(), 8 * EPS["bfloat16"])
    found.square().sum().backward()
    exact.square().sum().backward()
    for one, wanted in zip(block.parameters(), plain.parameters(), strict=True):
        assert one.dtype is torch.float32 and one.grad is not None and wanted.grad is not None
        assert one.grad.dtype is torch.float32
        _close(one.grad, wanted.grad, 16 * EPS["bfloat16"])


def test_of_a_semiring_it_means_nothing() -> None:
    text, shapes = PRODUCTS["matrix"]
    given = _tensors(shapes)
    for semiring in ("log", "max-plus"):
        plain, rounded = (nl.compile(text, semiring=semiring, precision=one) for one in (None, "bfloat16"))
        assert torch.equal(plain(given["X"], given["W"].exp()), rounded(given["X"], given["W"].exp()))


def test_it_goes_where_the_function_goes(tmp_path: Path) -> None:
    text, shapes = PRODUCTS["bias"]
    given = _tensors(shapes)
    rounded = nl.compile(text, precision="bfloat16")
    wanted = rounded(**given)
    ways: dict[str, Callable[..., Any]] = {
        "pickled": pickle.loads(pickle.dumps(rounded)),
        "under": rounded.under("sum-product"),
        "at": nl.compile(text).at_precision("bfloat16"),
        "compiled": torch.compile(rounded, fullgraph=True, backend="aot_eager"),
        "inductor": nl.compile(text, precision="bfloat16", backend="inductor"),
    }
    for way in ways.values():
        _close(way(*given.values()), wanted, 2 * EPS["bfloat16"])
        assert not torch.equal(way(*given.values()), nl.compile(text)(**given))
    from namedlayers.exporting import exported

    program = exported(rounded, {"i": 5, "j": 40, "k": 3}, ["i"])
    torch.testing.assert_close(program.module()(*given.values()), wanted)


@pytest.mark.parametrize(
    ("given", "told"),
    [("bfloat", "did you mean `bfloat16`"), ("half", "choose one of"), ("float32", "leave `precision` out"),
     (torch.bfloat16, "did you mean `bfloat16`"), (torch.float32, "leave `precision` out")],
)  # fmt: skip
def test_a_precision_that_there_is_not(given: Any, told: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        nl.compile("def f(X[i]) = X", precision=given)
    assert caught.value.code == "NL0573" and told in caught.value.hint


# --- autocast ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_under_autocast(name: str) -> None:
    text, shapes = PRODUCTS[name]
    function, given = nl.compile(text), _tensors(shapes)
    exact = _gradients(function, given)

    def cast(**given: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return function(**given)

    found = _gradients(cast, given)
    _close(found[0], exact[0], 8 * EPS["bfloat16"])
    for one, wanted in zip(found[1], exact[1], strict=True):
        assert one.dtype is torch.float32
        _close(one, wanted, 20 * EPS["bfloat16"])


DTYPES: dict[str, tuple[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "matrix": ("def f(X[i, j]; W[j, k]) -> [i, k] = X @[j] W", lambda x, w: x @ w),
    "softmax of it": (
        "def f(X[i, j]; W[j, k]) -> [i, k] = softmax[k](X @[j] W)", lambda x, w: torch.softmax(x @ w, -1),
    ),
    "sum of it": ("def f(X[i, j]; W[j, k]) -> [i] = sum[k](tanh(X @[j] W))", lambda x, w: (x @ w).tanh().sum(-1)),
    "added to float32": ("def f(X[i, j]; W[j, j']) = X + (X @[j] W)[j' -> j]", lambda x, w: x + x @ w[:, :1]),
    "norm of it": (
        "def f(X[i, j]; W[j, k]) -> [i, k]:\n    Y = X @[j] W\n"
        "    return (Y - mean[k](Y)) / sqrt(mean[k]((Y - mean[k](Y)) ^ 2) + 1e-5)",
        lambda x, w: torch.nn.functional.layer_norm(x @ w, (3,)),
    ),
    "softmax": ("def f(X[i, j]; W[j, k]) = softmax[j](X)", lambda x, w: torch.softmax(x, -1)),
    "log product": (
        "def f(X[i, j]; W[j, k]) -> [i, k] = logsumexp[j](X + W)", lambda x, w: torch.logsumexp(x[:, :, None] + w, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DTYPES)
def test_precisions_under_autocast_are_torchs(name: str) -> None:
    text, by_hand = DTYPES[name]
    given = _tensors({"X": (5, 40), "W": (40, 40 if "j'" in text else 3)})
    function = nl.compile(text)
    with torch.autocast("cpu", torch.bfloat16):
        found, wanted = function(**given), by_hand(given["X"], given["W"])
    assert found.dtype is wanted.dtype
    _close(found, function(**given), 8 * EPS["bfloat16"])


LONG = {
    "sum": ("def f(X[i, j]) = sum[j](X)", lambda x: x.sum(1)),
    "mean": ("def f(X[i, j]) = mean[j](X)", lambda x: x.mean(1)),
    "softmax": ("def f(X[i, j]) = sum[j](softmax[j](X))", lambda x: torch.ones(len(x))),
    "norm": ("def f(X[i, j]) = sqrt(sum[j](X ^ 2))", lambda x: x.norm(dim=1)),
    "logsumexp": ("def f(X[i, j]) = logsumexp[j](X)", lambda x: torch.logsumexp(x, 1)),
    "log product": (
        "def f(X[i, j]) -> [i]:\n    W = X[i = 0, j -> j] * 0\n    return logsumexp[j](X + W)",
        lambda x: torch.logsumexp(x, 1),
    ),
    "product": ("def f(X[i, j]) -> [i] = X @[j] X[i = 0]", lambda x: x @ x[0]),
}


@pytest.mark.parametrize("cast", [False, True], ids=["half given", "autocast"])
@pytest.mark.parametrize("name", LONG)
def test_half_precision_is_summed_in_float32(name: str, cast: bool) -> None:
    """A sum of 5000 ones would be 256 in bfloat16."""
    text, by_hand = LONG[name]
    x = torch.rand(3, 5000, generator=torch.Generator().manual_seed(0)).bfloat16()
    function = nl.compile(text)
    with torch.autocast("cpu", torch.bfloat16, enabled=cast):
        found = function(x.float() if cast else x)
    _close(found, by_hand(x.double()), 4 * EPS["bfloat16"])


def test_what_autocast_leaves_in_two_precisions_and_a_kernel_does_not_mix_is_told() -> None:
    function = nl.compile("def f(X[b, i]; g[i]) -> [b, i] = standardize[i](X) * g")
    x, g = torch.randn(3, 4), torch.randn(4, dtype=torch.float16)
    assert function(x, g).dtype is torch.float32
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(ArgumentError, match="`g` is float16, and `X` is float32"),
    ):
        function(x, g)
