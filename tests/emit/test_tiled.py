"""Calls in a budget of memory: computed in pieces they give what they give whole, and their gradients."""

from __future__ import annotations

import pytest
import torch

import namedlayers as nl
from namedlayers.emit.budget.tiled import Tiled
from namedlayers.errors import SizeError
from namedlayers.inspect.timing import peak_bytes
from namedlayers.plan.holding import peak
from namedlayers.plan.tiling import tiles

PAIRS = "sum[j](exp(-sum[d]((X - Y) ^ 2)) * b)"
KERNEL = f"def f(X[i, d], Y[j, d]; b[j]) -> [i]:\n    return {PAIRS}"
SELF = "sum[j](exp(-sum[d]((X - X[i -> j]) ^ 2)) * b[i -> j])"

CUTTABLE = {
    # name: (text, shapes, the share of what the call needs that it may take, axes that are cut)
    "a kernel over pairs of points": (KERNEL, [(300, 3), (200, 3), (200,)], 5, {"i"}),
    "small pieces of a kernel": (KERNEL, [(300, 3), (280, 3), (280,)], 40, {"i"}),
    "a kernel of points with themselves": (
        f"def f(X[i, d]; b[i]) -> [i] = {SELF}", [(150, 3), (150,)], 5, {"i"},
    ),
    "attention": (
        "def f(Q[q, k], K[s, k], V[s, v]) -> [q, v] = tanh(softmax[s](Q @[k] K)) @[s] V",
        [(200, 4), (100, 4), (100, 5)], 5, {"q"},
    ),
    "in the midst of a network": (
        f"def f(X[i, d], Y[j, d]; b[j], W[i, o], V[o, p]) -> [p]:\n    K = {PAIRS}\n    H = tanh(K @[i] W)\n"
        "    return softmax[p](H @[o] V) + sum[o](H)",
        [(150, 3), (140, 3), (140,), (150, 6), (6, 4)], 10, {"i"},
    ),
    "twice in one network": (
        f"def f(X[i, d], Y[j, d]; b[j]) -> [i]:\n    K = {PAIRS}\n    K = K / sqrt(sum[i](K ^ 2))\n"
        "    return K * sum[j](exp(-sum[d]((X * K - Y) ^ 2)) * b)",
        [(150, 3), (140, 3), (140,)], 10, {"i"},
    ),
    "what both sides sum": (
        "def f(X[i, d], Y[j, d]; b[j]) -> [i], [j]:\n    K = exp(-sum[d]((X - Y) ^ 2))\n    return K @[j] b, sum[i](K)",
        [(150, 3), (140, 3), (140,)], 4, {"i"},
    ),
    "gone through once for each axis": (
        "def f(X[i, d], Y[j, d], u[i], v[j]) -> []:\n    C = sum[d](abs(X - Y))\n    g = v - logsumexp[i](u - C)\n"
        "    h = u - logsumexp[j](g - C)\n    return sum[i, j](exp(g + h - C) * C)",
        [(150, 3), (140, 3), (150,), (140,)], 5, {"i", "j"},
    ),
    "divided by what it sums to": (
        "def f(X[i, d], Y[j, d]) -> []:\n    K = exp(-sum[d](abs(X - Y)))\n    P = K / sum[j](K)\n"
        "    Q = P / sum[i](P)\n    return sum[i, j](Q * Q) + max[i, j](Q)",
        [(150, 3), (140, 3)], 5, {"i"},
    ),
    "divided by a size": (
        "def f(X[i, d], Y[j, d]) -> [i] = sum[j](exp(-sum[d]((X - Y) ^ 2)) / |j|) * |i|",
        [(150, 3), (140, 3)], 5, {"i"},
    ),
    "masked by coordinates": (
        "def f(X[i, d], Y[j, d]) -> [i] = sum[j](where(j <= i, exp(-sum[d]((X - Y) ^ 2)), 0))",
        [(150, 3), (140, 3)], 5, {"i"},
    ),
    "masked above a diagonal": (
        "def f(X[i, d], Y[j, d]) -> [j] = sum[i](where(j > i + 2, 0, exp(-sum[d]((X - Y) ^ 2))))",
        [(150, 3), (140, 3)], 5, {"j"},
    ),
    "a step of a contraction": (
        "def f(A[i, j], B[j, k], C[k, l]; v[l]) -> [i] = sum[l](tanh(sum[j, k](A * B * C)) * v)",
        [(90, 4), (4, 5), (5, 100), (100,)], 4, {"i"},
    ),
    "a sum over what is cut": (
        "def f(X[t, i]; W[i, o]) -> [] = sum[t, o](tanh(X @[i] W))", [(600, 3), (3, 7)], 5, {"t"},
    ),
    "two results": (
        "def f(X[b, i]; W[i, o]) -> [b], [b]:\n    Y = tanh(X @[i] W)\n    return sum[o](Y), sum[o](Y * Y * Y)",
        [(500, 3), (3, 20)], 4, {"b"},
    ),
    "a mean over what is cut": (
        "def f(X[t, i]; W[i, o]) -> [o] = mean[t](tanh(X @[i] W))", [(601, 3), (3, 7)], 4, {"t"},
    ),
    "a mean over all": (
        "def f(X[t, i]; W[i, o]) -> [] = mean[t, o](tanh(X @[i] W))", [(601, 3), (3, 7)], 5, {"t"},
    ),
    "a logsumexp over what is cut": (
        "def f(X[i, d], Y[j, d]) -> [i] = logsumexp[j](-sum[d]((X - Y) ^ 2))", [(5, 3), (700, 3)], 5, {"j"},
    ),
    "both axes of a logsumexp": (
        "def f(X[i, d], Y[j, d]) -> [] = logsumexp[i, j](-sum[d]((X - Y) ^ 2))", [(300, 3), (280, 3)], 300, {"i", "j"},
    ),
    "a logsumexp of what is masked": (
        "def f(X[i, d], Y[j, d]) -> [i] = logsumexp[j](where(j < i, -sum[d]((X - Y) ^ 2), -inf))",
        [(6, 3), (700, 3)], 4, {"j"},
    ),
    "an extreme over what is cut": (
        "def f(X[i, d], Y[j, d]) -> [i], [i]:\n    D = sum[d](abs(X - Y))\n    return min[j](D), max[j](D)",
        [(6, 3), (700, 3)], 4, {"j"},
    ),
    "a sum that a softmax weighs": (
        "def f(X[i, d], Y[j, d], V[j, v]) -> [v, i] = softmax[j](-sum[d](abs(X - Y))) @[j] V",
        [(5, 3), (600, 3), (600, 4)], 5, {"j"},
    ),
    "both axes of a softmax": (
        "def f(X[h, i, d], Y[j, d], V[h, j, v]) -> [h, i, v] = softmax[j](-sum[d](abs(X - Y))) @[j] V",
        [(1, 400, 3), (500, 3), (1, 500, 4)], 10, {"i", "j"},
    ),
    "a softmax of what is masked": (
        "def f(X[i, d], Y[j, d], V[j, v]) -> [i, v] = softmax[j](where(j < 2 * i, -sum[d](abs(X - Y)), -inf)) @[j] V",
        [(5, 3), (600, 3), (600, 4)], 3, {"j"},
    ),
    "two sums that a softmax weighs": (
        "def f(X[i, d], Y[j, d], V[j, v], w[j]) -> [i, v]:\n    P = softmax[j](-sum[d](abs(X - Y)))\n"
        "    return (P @[j] V) * (P @[j] w) + logsumexp[j](-sum[d](abs(X - Y)))",
        [(5, 3), (600, 3), (600, 4), (600,)], 4, {"j"},
    ),
    "the place of an extreme over what is cut": (
        "def f(X[i, d], Y[j, d], V[j, v]) -> [i, v]:\n    S = sum[d](tanh(X * Y))\n"
        "    return V[j = argmin[j](S)] * sum[d](X) + sum[j, d](Y)",
        [(3, 3), (900, 3), (900, 2)], 5, {"j"},
    ),
    "the place of an extreme": (
        "def f(X[i, d], Y[j, d], V[j, v]) -> [i, v]:\n    S = sum[d](tanh(X * Y))\n"
        "    return V[j = argmax[j](S)] * sum[j](S)",
        [(150, 3), (140, 3), (140, 2)], 5, {"i"},
    ),
    "sorted": (
        "def f(X[i, d], Y[j, d]) -> [i], [i]:\n    D = sum[d](abs(X - Y))\n"
        "    return sort[j](D)[j = 5], mean[k](topk[j, k = 3](-D) * D[j = argsort[j](-D)][j = 0])",
        [(150, 3), (140, 3)], 5, {"i"},
    ),
    "running along another axis": (
        "def f(X[i, d], Y[j, d]) -> [i] = max[j](cumsum[j](sin(sum[d](abs(X - Y)))))", [(150, 3), (140, 3)], 5, {"i"},
    ),
    "steps of another axis": (
        "def f(X[i, d], Y[j, d]) -> [i]:\n    K = exp(-sum[d](abs(X - Y)))\n"
        "    return max[j](K[j = 2 * j + 1] - K[j = 2 * j]) + sum[j](flip[j](K) * K)",
        [(150, 3), (140, 3)], 5, {"i"},
    ),
    "another axis split, joined and padded": (
        "def f(X[i, d], Y[j, d]) -> [i]:\n    K = exp(-sum[d](abs(X - Y)))\n"
        "    P = max[a](K[j -> (a = 4, b)])\n    Q = concat[b](P, pad[b](P * P; before = 1, after = 2))\n"
        "    return min[b](cummax[b](Q)) + prod[b](1 + P)",
        [(150, 3), (140, 3)], 5, {"i"},
    ),
    "a recurrence along another axis": (
        "def f(A[t, b, h], X[t, b, h], S[b, h]) -> [b, t]:\n    scan t with s = S:\n"
        "        s = sigmoid(A) * s + tanh(X)\n    return sum[h](s * s)",
        [(50, 30, 8), (50, 30, 8), (30, 8)], 4, {"b"},
    ),
    "a recurrence with more axes than its steps": (
        "def f(D[t, b, d], A[d, n], X[t, b, d], B[t, b, n]) -> [t, d]:\n    scan t reversed with h = zeros[b, d, n]:\n"
        "        h = exp(-D * D * A * A) * h + D * B * X\n        y = max[n](h)\n    return max[b](y)",
        [(20, 6, 30), (30, 4), (20, 6, 30), (20, 6, 4)], 4, {"d"},
    ),
    "systems of equations": (
        "def f(X[n, i], Y[n, j]; B[i, j]) -> [n]:\n    A = exp(X * Y - 2) + eye[i, j] * 9\n"
        "    return sum[j](solve[i, j](A + B, X)) + det[i, j](A / 9)",
        [(150, 4), (150, 4), (4, 4)], 5, {"n"},
    ),
    "an option": (
        "def f(X[i, d], Y[j, d]; s = 0.5) -> [i] = sum[j](exp(-s * sum[d]((X - Y) ^ 2)))",
        [(150, 3), (140, 3)], 5, {"i"},
    ),
}  # fmt: skip


def _tiled(text: str, args: list[torch.Tensor], share: float, *, kept: bool = False) -> tuple[nl.Function, Tiled]:
    function = nl.compile(text)
    made = function.specialize(*args).compiled
    needed = peak(made.variants[made.select(*_all(made, args))].graph, made.sizes(*_all(made, args)), 8, kept=kept)
    return function, Tiled(made, max(1, int(needed / share)) + (_slopes(*args) if kept else 0))


def _slopes(*args: torch.Tensor) -> int:
    """The bytes of the slopes of these, which there must be room for."""
    return sum(one.nbytes for one in args if one.requires_grad)


def _all(made, args):  # type: ignore[no-untyped-def]
    """With what the options are."""
    return [*args, *(0.5 for given in made.program.inputs if given.role == "option")]


def _cut(tiled: Tiled) -> set[str]:
    """The axes that were cut."""
    (found,) = tiled.known.values()
    names = set()
    for stage in found.stages:
        symbols = dict(stage.made.part.sizes)
        names |= {str(symbols[cut.tile.symbol])[1:-1] for cut in stage.cuts if cut.step < cut.size}
    return names


@pytest.mark.parametrize("name", CUTTABLE)
def test_pieces_make_the_whole(name: str) -> None:
    text, shapes, share, axes = CUTTABLE[name]
    args = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    function, tiled = _tiled(text, args, share)
    torch.testing.assert_close(tiled(*_all(tiled.compiled, args)), function(*args))
    assert axes <= _cut(tiled)


@pytest.mark.parametrize("name", CUTTABLE)
def test_gradients_come_in_pieces_too(name: str) -> None:
    text, shapes, share, _ = CUTTABLE[name]
    args = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    function, tiled = _tiled(text, args, share, kept=True)
    whole = (tiled(*_all(tiled.compiled, args)), function(*args))
    results = [one if isinstance(one, tuple) else (one,) for one in whole]
    ours, theirs = (torch.autograd.grad(sum(part.sin().sum() for part in one), args) for one in results)
    torch.testing.assert_close(ours, theirs)
    assert _cut(tiled)


def test_draws_are_not_computed_anew() -> None:
    """What is gone through twice has the same draws each time, so that it cannot be made in pieces."""
    text = (
        "def f(X[i, d], Y[j, d]) -> []:\n    K = exp(uniform[i, j] - sum[d](abs(X - Y)))\n    P = K / sum[j](K)\n"
        "    return sum[i, j]((P / sum[i](P)) ^ 2)"
    )
    _, tiled = _tiled(text, [torch.randn(150, 3), torch.randn(140, 3)], 5)
    with pytest.raises(SizeError, match="NL0431"):
        tiled(torch.randn(150, 3), torch.randn(140, 3))


@pytest.mark.parametrize("axes", ["i, j", "j"])
def test_draws_of_pieces_are_drawn_again(axes: str) -> None:
    """Each piece has draws of its own, which the backward pass draws once more; what pieces share is not cut."""
    text = f"def f(X[i, d], Y[j, d]) -> [i] = sum[j](exp(-sum[d](abs(X - Y))) * uniform[{axes}])"
    args = [torch.randn(one, dtype=torch.float64, requires_grad=True) for one in [(150, 3), (140, 3)]]
    _, tiled = _tiled(text, args, 5, kept=True)
    found = tiled(*args)
    assert _cut(tiled) == {"j"} if axes == "j" else _cut(tiled)
    state = torch.get_rng_state()
    (slope,) = torch.autograd.grad(found.sum(), args[:1])
    assert torch.equal(torch.get_rng_state(), state)
    direction = torch.randn_like(slope) * 1e-7
    again = []
    for sign in (1, -1):
        torch.manual_seed(1)
        again.append(tiled(args[0] + sign * direction, args[1]).sum())
    torch.manual_seed(1)
    (slope,) = torch.autograd.grad(tiled(*args).sum(), args[:1])
    torch.testing.assert_close((again[0] - again[1]) / 2, (slope * direction).sum(), rtol=1e-4, atol=1e-12)


def test_places_in_pieces_are_those_of_the_whole() -> None:
    """The first of several, or the first that is no number."""
    function = nl.compile("def f(X[d], Y[j, d]) -> [] = argmax[j](sum[d](tanh(exp(Y)) * X))")
    x, y = torch.rand(4), torch.randn(2000, 4)
    for places, value in (([1500, 300, 301], 9.0), ([1900, 1200], torch.nan)):
        y[places] = value
        assert function(x, y, max_memory=9000) == min(places) == function(x, y)


def test_sums_of_rows_come_in_pieces() -> None:
    """What is made of the ends of each edge, and added up at them."""
    text = "def f(X[i, d], I[e], J[e]) -> [i] = one_hot[i](I) @[e] exp(-sum[d](abs(X[i = I] - X[i = J])))"
    x = torch.randn(20, 3, dtype=torch.float64, requires_grad=True)
    first, second = torch.randint(20, (2, 3000))
    function, tiled = _tiled(text, [x, first, second], 8, kept=True)
    found, wanted = tiled(x, first, second), function(x, first, second)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(*(torch.autograd.grad(one.sin().sum(), x) for one in (found, wanted)))
    assert _cut(tiled) == {"e"}


HELD = [
    "a kernel over pairs of points", "the place of an extreme", "sorted", "both axes of a logsumexp",
]  # fmt: skip


@pytest.mark.parametrize("slopes", [False, True])
@pytest.mark.parametrize("name", HELD)
def test_what_is_held_is_within_the_budget(name: str, slopes: bool) -> None:
    text, shapes, _, _ = CUTTABLE[name]
    args = [torch.randn([3 * one if one > 9 else one for one in shape]) for shape in shapes]
    function = nl.compile(text)

    def call(budget: int | None) -> None:
        given = [one.requires_grad_(slopes) for one in args]
        found = function(*given, max_memory=budget)
        if slopes:
            torch.autograd.grad(sum(one.sum() for one in (found if isinstance(found, tuple) else (found,))), given)

    whole = peak_bytes(lambda: call(None))
    assert peak_bytes(lambda: call(whole // 12)) < 1.6 * whole / 12


LOSSES = {
    "a mean of losses": "mean[b](-log_softmax[c](Z)[c = T])",
    "a sum of losses": "sum[b](-log_softmax[c](Z)[c = T])",
    "losses": "-log_softmax[c](Z)[c = T]",
    "smoothed": "mean[b](-0.9 * log_softmax[c](Z)[c = T] - 0.1 * mean[c](log_softmax[c](Z)))",
    "a sum of those that count": "sum[b](where(T == 1, 0, -log_softmax[c](Z)[c = T]))",
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_many_classes_come_in_pieces(name: str) -> None:
    """What is dear is the logits."""
    text = f"def f(X[b, d], T[b]; W[c, d]):\n    Z = X @[d] W\n    return {LOSSES[name]}\n"
    function = nl.compile(text)
    x, w = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in [(400, 3), (50, 3)])
    target = torch.arange(400) % 50
    made = function.specialize(x, target, w).compiled
    needed = peak(made.variants[made.select(x, target, w)].graph, made.sizes(x, target, w), 8, kept=True)
    tiled = Tiled(made, needed // 4 + _slopes(x, w))
    found, wanted = tiled(x, target, w), function(x, target, w)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(
        *(torch.autograd.grad((one * torch.arange(1.0, 1 + one.numel())).sum(), (x, w)) for one in (found, wanted))
    )
    assert _cut(tiled) == {"b"}


@pytest.mark.parametrize("name", ["a mean of those that count", "a weighted mean"])
def test_means_of_what_counts_are_not_put_together(name: str) -> None:
    weight = "where(T == 1, 0, 1)" if "count" in name else "w[c = T]"
    text = (
        "def f(Z[b, c], T[b]; w[c]) -> []:\n"
        f"    k = {weight}\n    return sum[b](-k * log_softmax[c](Z)[c = T]) / sum[b](k)\n"
    )
    made = nl.compile(text).specialize(torch.randn(6, 3), torch.zeros(6, dtype=torch.int64), torch.rand(3)).compiled
    (variant,) = made.variants[:1]
    assert any(node.op == "class_loss" for node in variant.graph.live())
    assert not [tile for tile in tiles(variant.graph) if tile.joined]


COUNTED = {
    # name: (which targets count, for how much, smoothing, roles of the loss)
    "those that are not left out": ("T != 1", "1", "0.0", ("ignored",)),
    "all, as it turns out": ("T == T", "w[c = y]", "0.0", ("kept", "weight")),
    "both": ("T != 1", "w[c = y]", "0.0", ("ignored", "weight")),
    "both, smoothed": ("T != 1", "w[c = y]", "0.1", ("ignored", "weight", "smoothing")),
    "those in a mask": ("M", "w[c = y]", "0.0", ("kept", "weight")),
}


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("left_out", ["some", "all of a piece"])
def test_means_of_what_counts_are_quotients_of_sums(name: str, left_out: str) -> None:
    kept, weight, smoothing, roles = COUNTED[name]
    smooth = f"    loss = (1 - {smoothing}) * loss - {smoothing} * kept * mean[c](w * log_p)\n"
    text = (
        f"def f(Z[b, c], T[b], M[b]; w[c]) -> []:\n    log_p = log_softmax[c](tanh(Z))\n    kept = {kept}\n"
        f"    y = where(kept, T, 0)\n    v = kept * {weight}\n    loss = -v * log_p[c = y]\n"
        f"{smooth if smoothing != '0.0' else ''}    return sum[b](loss) / sum[b](v)\n"
    )
    z, w = torch.randn(400, 30, dtype=torch.float64, requires_grad=True), torch.rand(30, dtype=torch.float64) + 0.5
    target = torch.arange(400) % 30
    if left_out != "some":
        target[:200] = 1
    args = (z, target, target != 1, w)
    function = nl.compile(text)
    made = function.specialize(*args).compiled
    graph = made.variants[made.select(*args)].graph
    (loss,) = (node for node in graph.live() if node.op == "class_loss")
    assert (loss.attr("reduction"), loss.attr("roles")) == ("mean", roles)
    tiled = Tiled(made, peak(graph, made.sizes(*args), 8, kept=True) // 4 + _slopes(z))
    found, wanted = tiled(*args), function(*args)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(*(torch.autograd.grad(one, z)[0] for one in (found, wanted)))
    assert _cut(tiled) == {"b"}


def test_weights_of_pieces_are_those_of_the_whole() -> None:
    """Logits that are far apart, or infinite, in some pieces or in all."""
    text = CUTTABLE["a softmax of what is masked"][0].replace("-sum[d]", "-300 * sum[d]")
    args = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in [(5, 3), (600, 3), (600, 4)]]
    function, tiled = _tiled(text, args, 10, kept=True)
    found, wanted = tiled(*args), function(*args)
    torch.testing.assert_close(found, wanted)
    assert (wanted[0] == 0).all() and _cut(tiled)
    ours, theirs = (torch.autograd.grad(one.sin().sum(), args) for one in (found, wanted))
    torch.testing.assert_close(ours, theirs)
    assert all(one.isfinite().all() for one in ours)


def test_second_derivatives() -> None:
    args = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in [(30, 2), (20, 2), (20,)]]
    function, tiled = _tiled(KERNEL, args, 5, kept=True)
    found = []
    for one in (tiled, function):
        slopes = torch.autograd.grad(one(*args).sin().sum(), args, create_graph=True)
        found.append(torch.autograd.grad(sum(slope.cos().sum() for slope in slopes), args))
    torch.testing.assert_close(*found)
    assert _cut(tiled)


def test_a_call_may_say_its_budget() -> None:
    args = [torch.randn(s, dtype=torch.float64) for s in [(300, 3), (280, 3), (280,)]]
    function = nl.compile(KERNEL)
    with _Allocated() as made:
        found = function(*args, max_memory="200KiB")
    assert made.largest < 200 << 10
    torch.testing.assert_close(found, function(X=args[0], Y=args[1], b=args[2], max_memory=None))
    with pytest.raises(nl.ArgumentError, match="NL0547"):
        function(*args, max_memory="much")
    traced = torch.compile(lambda *args: function(*args, max_memory="200KiB"), backend="eager", fullgraph=True)
    torch.testing.assert_close(traced(*args), found)


def test_pieces_where_torch_traces() -> None:
    function, whole = nl.compile(KERNEL, max_memory="300KiB"), nl.compile(KERNEL)
    traced = torch.compile(
        lambda x, y, b: function(2 * x, y, b).sin(), backend="aot_eager", dynamic=True, fullgraph=True
    )
    for count in (300, 410):
        args = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in [(count, 3), (280, 3), (280,)]]
        found = traced(*args)
        slopes = torch.autograd.grad(found.sum(), args)
        expected = whole(2 * args[0], *args[1:]).sin()
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(slopes, torch.autograd.grad(expected.sum(), args))
    tiled = function.specialize(*args).compiled.function
    assert len(tiled.known) == 4 and all(found.stages for found in tiled.known.values())  # each size, with slopes too


def test_an_export_is_whole() -> None:
    class Module(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return function(x, y, b)

    function = nl.compile(KERNEL, max_memory="300KiB")
    args = tuple(torch.randn(s) for s in [(300, 3), (280, 3), (280,)])
    exported = torch.export.export(Module(), args)
    assert not any("pieces" in str(node.target) for node in exported.graph.nodes)
    torch.testing.assert_close(exported.module()(*args), function(*args))


@pytest.mark.parametrize("precision", ["bfloat16", None])
def test_parts_are_computed_in_the_precision_asked_for(precision: str | None) -> None:
    args = [torch.randn(s) for s in [(300, 3), (280, 3), (280,)]]
    text = "def f(X[i, d], Y[j, d]; b[j]) -> [i] = tanh(X @[d] Y) @[j] b"
    small, whole = (nl.compile(text, precision=precision, max_memory=most) for most in ("200KiB", None))
    torch.testing.assert_close(
        small(*args), whole(*args), rtol=1e-2 if precision else 1e-5, atol=0.2 if precision else 1e-4
    )
    assert torch.equal(small(*args), nl.compile(text, max_memory="200KiB")(*args)) is (precision is None)


def test_an_input_may_be_called_like_the_budget() -> None:
    function = nl.compile("def f(X[i]; max_memory[i]) -> [i] = X * max_memory")
    assert function(torch.ones(2), max_memory=torch.full((2,), 3.0)).tolist() == [3.0, 3.0]


NOT_CUT = {
    "coordinates": "def f(X[t]) -> [t] = X * t",
    "sizes": "def f(X[t]) -> [t] = X / |t|",
    "a softmax along it": "def f(X[t]) -> [t] = softmax[t](X)",
    "running": "def f(X[t]) -> [t] = cumsum[t](X)",
    "steps": "def f(X[t]) -> [t]:\n    scan t with s = 0:\n        s = s / 2 + X\n    return s",
    "windows": "def f(X[t]) -> [t, k] = unroll[t, k = 2](X)",
    "both sides of one axis": "def f(X[t]) -> [t, t'] = X * X[t -> t']",
    "what comes after a sum": "def f(X[t]) -> [] = tanh(sum[t](X))",
    "a variance": "def f(X[t]) -> [] = var[t](X)",
    "a product": "def f(X[t]) -> [] = prod[t](X)",
    "a softmax, then more": "def f(X[t]) -> [] = sum[t](tanh(softmax[t](X)))",
}


@pytest.mark.parametrize("name", NOT_CUT)
def test_what_depends_on_the_axis_is_not_cut(name: str) -> None:
    made = nl.compile(NOT_CUT[name]).specialize(torch.randn(9)).compiled
    assert all(not tiles(variant.graph) for variant in made.variants)


def test_what_fits_is_not_cut() -> None:
    args = [torch.randn(4, 3), torch.randn(5, 3), torch.randn(5)]
    tiled = Tiled(nl.compile(KERNEL).specialize(*args).compiled, 1 << 20)
    tiled(*args)
    assert [found.stages for found in tiled.known.values()] == [()]


def test_what_cannot_fit_is_an_error() -> None:
    x = torch.randn(1000)
    tiled = Tiled(nl.compile("def f(X[t]) -> [t] = cumsum[t](X)").specialize(x).compiled, 100)
    with pytest.raises(SizeError, match=r"NL0431.*3\.9 KiB"):
        tiled(x)


class _Allocated(torch.utils._python_dispatch.TorchDispatchMode):
    """The size of the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        found = func(*args, **(kwargs or {}))
        for one in found if isinstance(found, (tuple, list)) else (found,):
            if isinstance(one, torch.Tensor) and one.numel() and one._base is None:
                self.largest = max(self.largest, one.untyped_storage().nbytes())
        return found


@pytest.mark.parametrize("slopes", [False, True])
def test_nothing_larger_than_the_budget_is_made(slopes: bool) -> None:
    args = [torch.randn(s, requires_grad=slopes) for s in [(900, 3), (800, 3), (800,)]]
    function = nl.compile(KERNEL, max_memory="1MiB")
    with _Allocated() as made:
        result = function(*args)
        if slopes:
            result.sum().backward()
    assert 0 < made.largest < 1 << 20


LAYER = (
    "layer Smooth(X[i, d], Y[j, d]) -> [i, o]:\n    param W[o, d] ~ normal(0, 1)\n    state seen[o] ~ zeros\n"
    "    H = mean[j](tanh(X * W * Y))\n    seen = seen + max[i, d](H)\n    return sum[d](H)\n"
)


def test_a_call_of_a_module_may_say_its_budget() -> None:
    module = nl.compile(LAYER)(o=4)
    x, y = torch.randn(60, 3), torch.randn(500, 3)
    with pytest.raises(nl.ArgumentError, match="NL0547"):
        module(x, y, max_memory="none")
    with _Allocated() as made:
        found = module(x, y, max_memory="100KiB")  # the first call, which decides sizes
    assert made.largest < 100 << 10
    seen = module.seen.clone()
    assert (seen != 0).all()
    torch.testing.assert_close(found, module(x, Y=y))
    torch.testing.assert_close(module.seen, 2 * seen)
    (ours,) = torch.autograd.grad(module(x, Y=y, max_memory=100 << 10).sum(), module.W)
    torch.testing.assert_close(ours, *torch.autograd.grad(module(x, y).sum(), module.W))
    traced = torch.compile(lambda x, y: module(x, y, max_memory="100KiB"), backend="eager", fullgraph=True)
    torch.testing.assert_close(traced(x, y), found)


@pytest.mark.parametrize("budget", [200_000, 100_000, 64_000, 40_000])
def test_weights_stay_weights_in_pieces(budget: int) -> None:
    """A bilinear form, which is one product with the weights and one with what is made of them, holds no more."""
    function = nl.compile("def f(X[b, i], Y[b, j]; W[o, i, j]) -> [b, o] = W @[i] X @[j] Y", max_memory=budget)
    x, y, w = torch.randn(128, 32), torch.randn(128, 48), torch.randn(24, 32, 48)
    torch.testing.assert_close(function(x, y, w), torch.nn.functional.bilinear(x, y, w), rtol=1e-4, atol=1e-3)
    assert peak_bytes(lambda: function(x, y, w)) <= budget
