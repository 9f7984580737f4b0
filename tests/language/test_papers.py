"""Formulas of papers, as a reader would type them: values and gradients are those of torch, written by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import namedlayers as nl


@dataclass(frozen=True)
class Paper:
    """`given` are the shapes of the inputs, after which `labels` come, if there are any; what `positive` names (by
    number) is no less than 0. `by` and `without` are words that the code holds, and does not hold."""

    text: str
    given: tuple[tuple[int, ...], ...]
    hand: Callable[..., Tensor]
    labels: tuple[int, ...] = ()
    positive: tuple[int, ...] = ()
    by: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


def gating(z: Tensor, w: Tensor, b: Tensor) -> Tensor:
    left, right = z.chunk(2, -1)
    right = F.layer_norm(right, right.shape[-1:])
    return left * (torch.einsum("ts,bsh->bth", w, right) + b[:, None])


def performer(q: Tensor, k: Tensor, v: Tensor, w: Tensor) -> Tensor:
    def features(x: Tensor) -> Tensor:
        x = x / x.shape[-1] ** 0.25
        return torch.exp(x @ w.T - (x**2).sum(-1, keepdim=True) / 2) / len(w) ** 0.5

    weights = features(q) @ features(k).mT
    return weights @ v / weights.sum(-1, keepdim=True)


def retention(q: Tensor, k: Tensor, v: Tensor, gamma: Tensor) -> Tensor:
    steps = torch.arange(q.shape[1])
    apart = steps[:, None] - steps
    return (q @ k.mT * torch.where(apart >= 0, gamma ** apart.clamp(min=0), 0)) @ v


def wkv(k: Tensor, v: Tensor, w: Tensor, u: Tensor) -> Tensor:
    a, b = torch.zeros_like(k[:, 0]), torch.zeros_like(k[:, 0])
    found = []
    for t in range(k.shape[1]):
        now = torch.exp(u + k[:, t])
        found.append((a + now * v[:, t]) / (b + now))
        a = torch.exp(-w) * a + torch.exp(k[:, t]) * v[:, t]
        b = torch.exp(-w) * b + torch.exp(k[:, t])
    return torch.stack(found, 1)


def routing(u: Tensor) -> Tensor:
    b, v = torch.zeros(u.shape[:-1]), u
    for _ in range(3):
        s = torch.einsum("bij,bijd->bjd", b.softmax(2), u)
        n = s.norm(dim=-1, keepdim=True)
        v = n**2 / (1 + n**2) * s / n
        b = b + torch.einsum("bijd,bjd->bij", u, v)
    return v


def attending_to_neighbours(x: Tensor, near: Tensor, w: Tensor, a: Tensor, b: Tensor) -> Tensor:
    h = torch.einsum("hof,nf->hno", w, x)
    scores = F.leaky_relu((h * a[:, None]).sum(-1)[:, :, None] + (h * b[:, None]).sum(-1)[:, None], 0.2)
    return (scores.masked_fill(near <= 0, -math.inf).softmax(-1) @ h).transpose(0, 1)


def log_partition(emitted: Tensor, moves: Tensor, start: Tensor) -> Tensor:
    a = start + emitted[:, 0]
    for k in range(1, emitted.shape[1]):
        a = torch.logsumexp(a[:, :, None] + moves, 1) + emitted[:, k]
    return torch.logsumexp(a, 1)


def ctc(x: Tensor, labels: Tensor) -> Tensor:
    lengths = torch.tensor([len(x)]), torch.tensor([len(labels)])
    return F.ctc_loss(x.log_softmax(-1)[:, None], labels[None], *lengths, reduction="sum")


def soft_dtw(x: Tensor, y: Tensor) -> Tensor:
    cost = ((x[:, None] - y) ** 2).sum(-1)
    far = torch.tensor(math.inf)
    best = {(i, j): far for i in range(-1, len(x)) for j in range(-1, len(y))} | {(-1, -1): torch.tensor(0.0)}
    for i in range(len(x)):
        for j in range(len(y)):
            before = torch.stack([best[i - 1, j], best[i, j - 1], best[i - 1, j - 1]])
            best[i, j] = cost[i, j] - 0.5 * torch.logsumexp(-before / 0.5, 0)
    return best[len(x) - 1, len(y) - 1]


def relative(q: Tensor, k: Tensor, r: Tensor, u: Tensor, v: Tensor) -> Tensor:
    apart = torch.arange(q.shape[1])[:, None] - torch.arange(k.shape[1])
    content = torch.einsum("bihd,bjhd->bhij", q + u, k)
    place = torch.einsum("bihd,ijhd->bhij", q + v, r[apart.clamp(min=0)])
    return ((content + place) / q.shape[-1] ** 0.5).masked_fill(apart < 0, -math.inf).softmax(-1)


def selective(x: Tensor, delta: Tensor, b: Tensor, c: Tensor, a: Tensor, d: Tensor) -> Tensor:
    h, found = torch.zeros(*x.shape[::2], b.shape[-1]), []
    for t in range(x.shape[1]):
        h = torch.exp(-delta[:, t, :, None] * a) * h + (delta[:, t] * x[:, t])[..., None] * b[:, t, None]
        found.append((h * c[:, t, None]).sum(-1) + d * x[:, t])
    return torch.stack(found, 1)


def delta_rule(q: Tensor, k: Tensor, v: Tensor, beta: Tensor) -> Tensor:
    s, found = torch.zeros(len(q), q.shape[-1], v.shape[-1]), []
    for t in range(q.shape[1]):
        missed = v[:, t] - torch.einsum("bd,bdv->bv", k[:, t], s)
        s = s + torch.einsum("bd,bv->bdv", k[:, t], beta[:, t, None] * missed)
        found.append(torch.einsum("bd,bdv->bv", q[:, t], s))
    return torch.stack(found, 1)


def encoding(x: Tensor) -> Tensor:
    angle = x[..., None] * math.pi * 2.0 ** torch.arange(4)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)


def additive(h: Tensor, m: Tensor, w: Tensor, u: Tensor, v: Tensor) -> Tensor:
    return torch.einsum("bs,bse->be", (torch.tanh((h @ w.T)[:, None] + m @ u.T) @ v).softmax(-1), m)


def dynamic(x: Tensor, w: Tensor) -> Tensor:
    kernel = torch.einsum("hkc,btc->bthk", w, x).softmax(-1)
    windows = F.pad(x, (0, 0, 2, 0)).unfold(1, 3, 1).unflatten(2, (2, -1))
    return torch.einsum("bthk,bthrk->bthr", kernel, windows).flatten(2)


PAPERS = {
    "gMLP, Liu et al. 2021, equations 2 and 4": Paper("""
def gating(Z[seq, chans]; W[seq', seq], b[seq']) -> [seq, half]:
    P = Z[chans -> (two = 2, half)]
    V = standardize[half](P[two = 1])
    return P[two = 0] * (W @[seq] V + b)[seq' -> seq]
""", ((2, 6, 8), (6, 6), (6,)), gating, by=("layer_norm",)),
    "Performer, Choromanski et al. 2021, section 2.3": Paper("""
def features(X[d]; W[m, d]) -> [m] = exp(W @[d] X - sum[d](X ^ 2) / 2) / sqrt(|m|)

def performer(Q[query, d], K[seq, d], V[seq, val]; W[m, d]) -> [query, val]:
    q = features(Q / |d| ^ 0.25, W)
    k = features(K / |d| ^ 0.25, W)
    return (q @[m] (k @[seq] V)) / (q @[m] sum[seq](k))
""", ((2, 5, 4), (2, 7, 4), (2, 7, 3), (6, 4)), performer),
    "RetNet, Sun et al. 2023, in parallel": Paper("""
def retention(Q[seq, d], K[seq, d], V[seq, val]; gamma[]) -> [seq, val]:
    Q = Q[seq -> t]
    return ((Q @[d] K * where(t >= seq, gamma ^ (t - seq), 0)) @[seq] V)[t -> seq]
""", ((2, 6, 4), (2, 6, 4), (2, 6, 3), ()), retention, positive=(3,)),
    "RetNet, Sun et al. 2023, recurrent": Paper("""
def retention(Q[seq, d], K[seq, d], V[seq, val]; gamma[]) -> [seq, val]:
    scan seq with S = zeros[d, val]:
        S = gamma * S + K * V
        O = Q @[d] S
    return O
""", ((2, 6, 4), (2, 6, 4), (2, 6, 3), ()), retention, positive=(3,)),
    "RWKV, Peng et al. 2023, equation 16": Paper("""
def wkv(K[time, chan], V[time, chan]; w[chan], u[chan]) -> [time, chan]:
    scan time with a = 0, b = 0:
        Y = (a + exp(u + K) * V) / (b + exp(u + K))
        a = exp(-w) * a + exp(K) * V
        b = exp(-w) * b + exp(K)
    return Y
""", ((2, 6, 4), (2, 6, 4), (4,), (4,)), wkv, positive=(2,)),
    "Capsules, Sabour et al. 2017, procedure 1": Paper("""
def squash[d](s[d]) -> [d] = sum[d](s ^ 2) / (1 + sum[d](s ^ 2)) * s / norm[d](s)

def routing(u[i, j, d]; rounds = 3) -> [j, d]:
    b = zeros[i, j]
    repeat rounds:
        v = squash[d](softmax[j](b) @[i] u)
        b = b + u @[d] v
    return v
""", ((2, 5, 3, 4),), routing),
    "Graph attention, Velickovic et al. 2018, equations 3 to 5": Paper("""
def attend(X[node, feat], near[node, node']; W[head, out, feat], a[head, out], b[head, out]) -> [node, head, out]:
    H = W @[feat] X
    E = a @[out] H + (b @[out] H)[node -> node']
    P = softmax[node'](where(near > 0, where(E > 0, E, 0.2 * E), -inf))
    return P @[node'] H[node -> node']
""", ((5, 4), (5, 5), (2, 3, 4), (2, 3), (2, 3)), attending_to_neighbours, by=("leaky_relu",)),
    "Conditional random fields, Lafferty et al. 2001": Paper("""
def log_partition(emitted[time, tag]; moves[tag, tag'], start[tag]) -> []:
    scan step = |time| - 1 with a = start + emitted[time = 0]:
        a = logsumexp[tag](a + moves)[tag' -> tag] + emitted[time = step + 1]
    return logsumexp[tag](a[step = -1])
""", ((2, 6, 4), (4, 4), (4,)), log_partition, by=("log_product",)),
    "CTC, Graves et al. 2006, equations 6 to 8": Paper("""
def ctc(X[time, symbol], label[place]) -> []:
    spaced = stack[two](0 * label, label)[(place, two) -> before]
    at = pad[before](spaced; after = 1)[before -> s]
    emitted = log_softmax[symbol](X)[symbol = at]
    free = at != 0 and at != at[s = s - 2; fill = 0]
    scan time with a = where(s == 0, 0, -inf):
        stays = logaddexp(a, a[s = s - 1; fill = -inf])
        a = logaddexp(stays, where(free, a[s = s - 2; fill = -inf], -inf)) + emitted
    last = a[time = -1]
    return -logaddexp(last[s = -1], last[s = -2])
""", ((6, 4),), ctc, labels=(1, 2, 2)),
    "Soft-DTW, Cuturi and Blondel 2017, algorithm 1": Paper("""
def soft_dtw(X[i, d], Y[j, d]; gamma = 0.5) -> []:
    D = sum[d]((X - Y) ^ 2)
    scan i with above = zeros[j] + inf:
        corner = where(j > 0, above[j = j - 1; fill = inf], where(i == 0, 0, inf))
        entered = -gamma * logaddexp(-above / gamma, -corner / gamma)
        scan j with left = inf:
            left = D - gamma * logaddexp(-entered / gamma, -left / gamma)
        above = left
    return above[i = -1, j = -1]
""", ((5, 3), (4, 3)), soft_dtw),
    "Transformer-XL, Dai et al. 2019, section 3.3": Paper("""
def relative(Q[i, h, d], K[j, h, d]; R[apart, h, d], u[h, d], v[h, d]) -> [h, i, j]:
    content = (Q + u) @[d] K
    place = (Q + v) @[d] R[apart = i - j; fill = 0]
    return softmax[j](where(j <= i, content + place, -inf) / sqrt(|d|))
""", ((2, 5, 2, 3), (2, 5, 2, 3), (5, 2, 3), (2, 3), (2, 3)), relative),
    "Mamba, Gu and Dao 2023, algorithm 2": Paper("""
def selective(X[t, c], delta[t, c], B[t, n], C[t, n]; A[c, n], D[c]) -> [t, c]:
    scan t with h = zeros[c, n]:
        h = exp(-delta * A) * h + delta * X * B
        y = C @[n] h + D * X
    return y
""", ((2, 6, 4), (2, 6, 4), (2, 6, 3), (2, 6, 3), (4, 3), (4,)), selective, positive=(1, 4)),
    "DeltaNet, Schlag et al. 2021, equations 23 to 25": Paper("""
def delta_rule(Q[t, d], K[t, d], V[t, v], beta[t]) -> [t, v]:
    scan t with S = zeros[d, v]:
        S = S + K * beta * (V - K @[d] S)
        o = Q @[d] S
    return o
""", ((2, 6, 4), (2, 6, 4), (2, 6, 3), (2, 6)), delta_rule, positive=(3,)),
    "NeRF, Mildenhall et al. 2020, equation 4": Paper("""
def encoding(x[coord]; bands = 4) -> [feat]:
    angle = 2.0 ^ index[band = bands] * pi * x
    return stack[two](sin(angle), cos(angle))[(coord, band, two) -> feat]
""", ((5, 3),), encoding),
    "RWKV, Peng et al. 2023, section 3.1: the step before": Paper("""
def shift(X[time, chan]; mu[chan]) -> [time, chan] = mu * X + (1 - mu) * X[time = time - 1; fill = 0]
""", ((2, 6, 4), (4,)), lambda x, mu: torch.lerp(F.pad(x, (0, 0, 1, 0))[:, :-1], x, mu),
        by=("F.pad", "lerp"), without=("arange", "index_select")),
    "Additive attention, Bahdanau et al. 2015, section A.1.2: one query each, the same for all": Paper("""
def additive(h[d], M[s, e]; W[a, d], U[a, e], v[a]) -> [e]:
    return softmax[s](v @[a] tanh(W @[d] h + U @[e] M)) @[s] M
""", ((2, 4), (2, 5, 3), (6, 4), (6, 3), (6,)), additive, without=("scaled_dot_product_attention",)),
    "Dynamic convolutions, Wu et al. 2019, section 4: one key for all": Paper("""
def dynamic(X[t, c]; W[h, k = 3, c]) -> [t, c]:
    P = X[c -> (h = 2, r)]
    return (softmax[k](W @[c] X) @[k] unroll[t, k](P; padding = (2, 0)))[(h, r) -> c]
""", ((2, 5, 4), (2, 3, 4)), dynamic, without=("scaled_dot_product_attention",)),
}  # fmt: skip


@pytest.mark.parametrize("name", PAPERS)
def test_paper(name: str) -> None:
    paper = PAPERS[name]
    torch.manual_seed(0)
    given = [torch.randn(shape, dtype=torch.float64) for shape in paper.given]
    given = [one.abs() if k in paper.positive else one for k, one in enumerate(given)]
    if "near[node, node']" in paper.text:
        given[1] = torch.eye(5, dtype=torch.float64) + (torch.rand(5, 5) < 0.5)
    leaves = [one.requires_grad_() for one in given]
    labels = [torch.tensor(paper.labels)] if paper.labels else []
    function = nl.compile(paper.text)
    torch.set_default_dtype(torch.float64)
    try:
        wanted = paper.hand(*leaves, *labels)
    finally:
        torch.set_default_dtype(torch.float32)
    found = function(*leaves, *labels)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(found.detach(), function.reference(*(one.detach() for one in (*leaves, *labels))))
    slope = torch.randn_like(wanted)
    for one, other in zip(*(torch.autograd.grad(y, leaves, slope, allow_unused=True) for y in (found, wanted)),
                          strict=True):  # fmt: skip
        assert (one is None or not one.any()) if other is None else torch.allclose(one, other, rtol=1e-7, atol=1e-9)
    assert all(word in function.code for word in paper.by), function.code
    assert not any(word in function.code for word in paper.without), function.code
