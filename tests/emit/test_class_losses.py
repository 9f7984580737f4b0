"""Losses of classes, compiled: values, gradients, what is refused, every way to run them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.emit.emitters.losses import smoothed_loss, weighted_loss
from tests.emit.harness import WAYS, agree, as_written, compiled, run, tensors

HEAD = "def f(Z[b, c], T[b]; w[c]) -> "
BODIES = {
    "each": "[b] = -w[c = T] * log_softmax[c](Z)[c = T]",
    "mean": "[] = sum[b](-w[c = T] * log_softmax[c](Z)[c = T]) / sum[b](w[c = T])",
    "ignored": """[]:
    y = where(T != 1, T, 0)
    u = (T != 1) * w[c = y]
    return sum[b](-u * log_softmax[c](Z)[c = y]) / sum[b](u)
""",
    "smoothed": """[]:
    P = log_softmax[c](Z)
    y = where(T != 1, T, 0)
    u = (T != 1) * w[c = y]
    return sum[b](0.8 * (-u * P[c = y]) - 0.2 * (T != 1) * mean[c](w * P)) / sum[b](u)
""",
    "smoothed, each": """[b]:
    P = log_softmax[c](Z)
    return -0.8 * w[c = T] * P[c = T] - 0.2 * mean[c](w * P)
""",
    "likelihoods": "[] = sum[b](-w[c = T] * Z[c = T]) / sum[b](w[c = T])",
    "likelihoods, smoothed": "[b] = -0.8 * (w[c = T] * Z[c = T]) - 0.2 * mean[c](w * Z)",
}
PLAIN = {
    "mean": "[] = -mean[b](log_softmax[c](Z)[c = T])",
    "sum": "[] = -sum[b](Z[c = T])",
    "one-hot": "[b] = -(one_hot[c](T) @[c] log_softmax[c](Z))",
    "smoothed": "[] = -0.8 * mean[b](log_softmax[c](Z)[c = T]) - 0.2 * mean[b, c](log_softmax[c](Z))",
    "smoothed likelihoods": """[b], [b, c]:
    P = log_softmax[c](Z)
    return -0.8 * P[c = T] - 0.2 * mean[c](P), P
""",
}
SHAPED = {
    "space": "def f(Z[b, c, x, y], T[b, x, y]) -> [b, x, y] = -log_softmax[c](Z)[c = T]",
    "classes last": "def f(Z[b, x, y, c], T[y, b, x]) -> [] = -mean[b, x, y](log_softmax[c](Z)[c = T])",
    "classes first": "def f(Z[c, b, x, y], T[b, x, y]) -> [x, b, y] = logsumexp[c](Z) - Z[c = T]",
    "between": "def f(Z[b, x, c, y], T[b, x, y]) -> [b, x] = -sum[y](log_softmax[c](Z)[c = T])",
    "one target": "def f(Z[c], T[]) -> [] = -log_softmax[c](Z)[c = T]",
}


def arrays(seed: int = 0, b: int = 5, c: int = 4) -> dict[str, np.ndarray]:
    source = np.random.default_rng(seed)
    return {"Z": source.standard_normal((b, c)), "T": source.integers(0, max(c, 1), b), "w": source.random(c) + 0.1}


def texts() -> dict[str, str]:
    plain = {f"plain {name}": HEAD.replace("; w[c]", "") + body + "\n" for name, body in PLAIN.items()}
    return {name: HEAD + body + "\n" for name, body in BODIES.items()} | plain


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", texts())
def test_values(name: str, way: str) -> None:
    text = texts()[name]
    given = {one: value for one, value in arrays().items() if f"{one}[" in text}
    for dtype in (torch.float64, torch.float32):
        agree(WAYS[way](text, given), given, dtype)


@pytest.mark.parametrize("name", SHAPED)
def test_axes_in_any_order(name: str) -> None:
    text, sizes, source = SHAPED[name], {"b": 2, "c": 4, "x": 3, "y": 2}, np.random.default_rng(1)
    axes = {one: text.split(f"{one}[")[1].split("]")[0].replace(" ", "").split(",") for one in "ZT"}
    z = source.standard_normal([sizes[a] for a in axes["Z"]])
    t = np.asarray(source.integers(0, 4, [sizes[a] for a in axes["T"] if a]))
    agree(compiled(text, {"Z": z, "T": t}), {"Z": z, "T": t})


@pytest.mark.parametrize("name", texts())
def test_nothing_at_all(name: str) -> None:
    text = texts()[name]
    for b, c in ((0, 4), (0, 0)):
        given = {one: value for one, value in arrays(b=b, c=c).items() if f"{one}[" in text}
        agree(compiled(text, given), given)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("name", texts())
def test_gradients(name: str, learned: bool) -> None:
    """As written and as planned, with weights that are learned, which torch's losses refuse."""
    text = texts()[name]
    given = {one: value for one, value in arrays().items() if f"{one}[" in text}
    found = []
    for way in (compiled, as_written):
        made = way(text, given)
        args = tensors(made, given)
        for arg in args:
            arg.requires_grad_(arg.is_floating_point() and (learned or arg is args[0]))
        results = run(made, args)
        wanted = [arg for arg in args if arg.requires_grad]
        found.append((results[0].detach(), *torch.autograd.grad(results[0].sin().sum(), wanted)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("wrong", [-1, -2, -100, 4, 2**40, -(2**63), 1 - 2**63, 2**63 - 1])
@pytest.mark.parametrize("reduce", ["", "mean[b]"])
def test_targets_that_are_none_are_refused(wrong: int, reduce: str) -> None:
    f = nl.compile(f"def f(Z[b, c], T[b]) = {reduce}(-log_softmax[c](Z)[c = T])\n")
    z = torch.randn(3, 4)
    f(z, torch.tensor([0, 1, 2]))
    with pytest.raises(nl.FormulaError, match=f"index {wrong} is out of range"):
        f(z, torch.tensor([0, wrong, 2]))


def test_only_what_is_left_out_is_not_refused() -> None:
    f = nl.compile("def f(Z[b, c], T[b]) = sum[b](where(T != -1, -log_softmax[c](Z)[c = where(T != -1, T, 0)], 0))\n")
    z = torch.randn(3, 4)
    torch.testing.assert_close(f(z, torch.tensor([0, -1, -1])), -torch.log_softmax(z, 1)[0, 0])
    with pytest.raises(nl.FormulaError, match="index -2 is out of range"):
        f(z, torch.tensor([0, -1, -2]))


def test_targets_of_any_width() -> None:
    f = nl.compile("def f(Z[b, c], T[b], B[b]) = sum[b](where(B, -log_softmax[c](Z)[c = where(B, T, 0)], 0))\n")
    z, t, b = torch.randn(3, 4), torch.tensor([0, 9, 2]), torch.tensor([True, False, True])
    for dtype in (torch.int64, torch.int32, torch.int16, torch.uint8):
        torch.testing.assert_close(f(z, t.to(dtype), b), f(z, t, b))


def test_what_is_kept_may_be_said_in_numbers() -> None:
    f = nl.compile("def f(Z[b, c], T[b], B[b]) = sum[b](where(B, -log_softmax[c](Z)[c = where(B, T, 0)], 0))\n")
    z, t, b = torch.randn(3, 4), torch.tensor([0, 9, 2]), torch.tensor([1, 0, -2])
    for dtype in (torch.int64, torch.float32):
        torch.testing.assert_close(f(z, t, b.to(dtype)), f(z, t, b != 0))


ENTROPY = nl.compile("def f(Z[b, c], T[b]) = -mean[b](log_softmax[c](Z)[c = T])\n")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_numbers(dtype: torch.dtype) -> None:
    z, t = torch.randn(6, 5), torch.tensor([0, 4, 2, 2, 1, 3])
    found = ENTROPY(z.to(dtype), t.to(torch.int32))
    assert found.dtype is dtype
    torch.testing.assert_close(found.float(), ENTROPY(z, t), rtol=2e-2, atol=2e-2)


def transforms() -> dict[str, Callable[[Callable[..., Tensor]], Callable[..., Tensor]]]:
    return {
        "grad": torch.func.grad,
        "hessian": torch.func.hessian,
        "compile": lambda f: torch.compile(f, backend="aot_eager"),
        "vmap": lambda f: lambda z, t: torch.vmap(f)(torch.stack([z, -z]), torch.stack([t, t])),
    }


@pytest.mark.parametrize("way", transforms())
def test_ways_to_run(way: str) -> None:
    z, t = torch.randn(6, 5, dtype=torch.float64), torch.tensor([0, 4, 2, 2, 1, 3])

    def by_hand(z: Tensor, t: Tensor) -> Tensor:
        return -torch.log_softmax(z, 1).gather(1, t[:, None]).mean()

    transform = transforms()[way]
    torch.testing.assert_close(transform(ENTROPY)(z, t), transform(by_hand)(z, t))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("logits", [False, True])
def test_learned_weights_give_what_fixed_ones_do(reduction: str, smoothing: float, logits: bool) -> None:
    x, t, w = torch.randn(6, 5, 2), torch.randint(0, 5, (6, 2)), torch.rand(5)
    t[0, 1] = -2
    options = {"ignore_index": -2, "label_smoothing": smoothing, "reduction": reduction, "logits": logits}
    fixed, learned = weighted_loss(x, t, w, **options), weighted_loss(x, t, w.requires_grad_(), **options)
    assert learned.requires_grad
    torch.testing.assert_close(fixed, learned)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_smoothing_of_likelihoods_is_that_of_logits(reduction: str) -> None:
    x, t = torch.randn(6, 5), torch.tensor([0, 4, -2, 2, 1, 3])
    found = smoothed_loss(torch.log_softmax(x, 1), t, ignore_index=-2, label_smoothing=0.3, reduction=reduction)
    wanted = torch.nn.functional.cross_entropy(x, t, ignore_index=-2, label_smoothing=0.3, reduction=reduction)
    torch.testing.assert_close(found, wanted)


def test_targets_that_count_nowhere() -> None:
    """They are left out on every path: where the kernel may be asked, and where it may not."""
    f = nl.compile("def f(Z[b, c], T[b]) -> [b] = -(one_hot[c](T) @[c] log_softmax[c](Z))\n")
    lifted = torch.func.vmap(f)
    z = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    for targets in ([0, 1, 2, 3, 3], [-1, -2, -100, 4, 2]):
        t = torch.tensor(targets)
        wanted = -torch.where((t >= 0) & (t < 4), torch.log_softmax(z, 1).gather(1, t.clamp(0, 3)[:, None])[:, 0], 0)
        for way in (f, torch.compile(f, backend="aot_eager"), lambda z, t: lifted(z[None], t[None])[0]):
            found = way(z, t)
            torch.testing.assert_close(found, wanted)
            (slope,) = torch.autograd.grad(found.sum(), z)
            torch.testing.assert_close(slope, torch.autograd.grad(wanted.sum(), z, retain_graph=True)[0])
