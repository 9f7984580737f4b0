"""Blocks of networks: multi-head attention, an encoder, LeNet, a residual block of a ResNet."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.benchmarks.workload import Formula, Function, Other, Workload, normal
from tests.benchmarks.workloads.convolution import windows

GROUP = "Blocks"

SELF_ATTENTION = """
def attend(X[seq, layer]; Wq[heads, key, layer], Wk[heads, key, layer], Wv[heads, val, layer], Wo[layer, heads, val]
) -> [seq, layer]:
    Q = (Wq @[layer] X)[seq -> query]
    A = softmax[seq](Q @[key] (Wk @[layer] X) / sqrt(|key|))
    return (Wo @[heads, val] (A @[seq] (Wv @[layer] X)))[query -> seq]
"""
ENCODER = f"""{SELF_ATTENTION}
def norm(X[layer]; gamma[layer], beta[layer]) -> [layer] = gamma * standardize[layer](X) + beta

def encoder(X[seq, layer]; Wq[heads, key, layer], Wk[heads, key, layer], Wv[heads, val, layer], Wo[layer, heads, val],
            g1[layer], b1[layer], U[hidden, layer], u[hidden], V[layer, hidden], v[layer], g2[layer], b2[layer]
) -> [seq, layer]:
    X = norm(X + attend(X; Wq, Wk, Wv, Wo); g1, b1)
    return norm(X + V @[hidden] gelu(U @[layer] X + u) + v; g2, b2)
"""
LENET = """
def conv(X[chans, height, width]; W[chans', chans, kh, kw], b[chans']) -> [chans', height, width]:
    return W @[chans, kh, kw] unroll[height, width, kh, kw](X) + b

def lenet(
    X[chans, height, width];
    W1[chans', chans, kh, kw], b1[chans'], W2[chans'', chans', kh, kw], b2[chans''],
    V1[hidden, layer], c1[hidden], V2[class, hidden], c2[class],
) -> [class]:
    H = max[ph, pw](pool[height, width, ph = 2, pw = 2](relu(conv(X; W1, b1))))
    H = relu(conv(H[chans' -> chans]; W2[chans' -> chans, chans'' -> chans'], b2[chans'' -> chans']))
    H = max[ph, pw](pool[height, width, ph = 2, pw = 2](H))
    H = H[(height, width, chans') -> layer]
    H = relu(V1 @[layer] H + c1)
    return softmax[class](V2 @[hidden] H + c2)
"""
RESIDUAL = """
def conv(X[chans, height, width]; W[chans', chans, kh, kw]) -> [chans', height, width]:
    return W @[chans, kh, kw] unroll[height, width, kh, kw](X; padding = 1)

def norm(X[batch, chans, height, width]; gamma[chans], beta[chans]) -> [batch, chans, height, width]:
    return gamma * standardize[batch, height, width](X) + beta

def block(X[batch, chans, height, width];
          W1[chans', chans, kh, kw], g1[chans'], b1[chans'], W2[chans, chans', kh, kw], g2[chans], b2[chans]
) -> [batch, chans, height, width]:
    H = conv(X; W1)[chans' -> chans]
    H = relu(norm(H; g1[chans' -> chans], b1[chans' -> chans]))
    H = conv(H; W2[chans' -> chans, chans -> chans'])[chans' -> chans]
    return relu(norm(H; g2, b2) + X)
"""


def attend(x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor, wo: Tensor) -> Tensor:
    q, k, v = (torch.einsum("bsl,hkl->bhsk", x, w) for w in (wq, wk, wv))
    a = torch.softmax(torch.einsum("bhqk,bhsk->bhqs", q, k) / math.sqrt(q.shape[-1]), -1)
    return torch.einsum("bhqv,lhv->bql", torch.einsum("bhqs,bhsv->bhqv", a, v), wo)


def attend_by_hand(x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor, wo: Tensor) -> Tensor:
    heads = wq.shape[:2]
    q, k, v = (F.linear(x, w.flatten(0, 1)).unflatten(2, heads).transpose(1, 2) for w in (wq, wk, wv))
    return F.linear(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2), wo.flatten(1))


def einx_attend() -> Function:
    import einx

    def run(x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor, wo: Tensor) -> Tensor:
        q, k, v = (einx.dot("b s l, h k l -> b h s k", x, w) for w in (wq, wk, wv))
        a = einx.softmax("b h q [s]", einx.dot("b h q k, b h s k -> b h q s", q, k) / math.sqrt(q.shape[-1]))
        return einx.dot("b h q v, l h v -> b q l", einx.dot("b h q s, b h s v -> b h q v", a, v), wo)

    return run


def einops_attend() -> Function:
    from einops import rearrange

    def run(x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor, wo: Tensor) -> Tensor:
        heads = len(wq)
        q, k, v = (
            rearrange(F.linear(x, rearrange(w, "h k l -> (h k) l")), "b s (h k) -> b h s k", h=heads)
            for w in (wq, wk, wv)
        )
        found = rearrange(F.scaled_dot_product_attention(q, k, v), "b h s v -> b s (h v)")
        return F.linear(found, rearrange(wo, "l h v -> l (h v)"))

    return run


def standardized(x: Tensor, over: tuple[int, ...]) -> Tensor:
    mean = x.mean(over, keepdim=True)
    return (x - mean) / torch.sqrt(((x - mean) ** 2).mean(over, keepdim=True) + 1e-5)


def encoder(x: Tensor, *weights: Tensor) -> Tensor:
    wq, wk, wv, wo, g1, b1, u, cu, v, cv, g2, b2 = weights
    x = g1 * standardized(x + attend(x, wq, wk, wv, wo), (-1,)) + b1
    h = torch.einsum("bsl,hl->bsh", x, u) + cu
    h = 0.5 * h * (1 + torch.erf(h / math.sqrt(2)))
    return g2 * standardized(x + torch.einsum("bsh,lh->bsl", h, v) + cv, (-1,)) + b2


def encoder_by_hand(x: Tensor, *weights: Tensor) -> Tensor:
    wq, wk, wv, wo, g1, b1, u, cu, v, cv, g2, b2 = weights
    x = F.layer_norm(x + attend_by_hand(x, wq, wk, wv, wo), g1.shape, g1, b1)
    return F.layer_norm(x + F.linear(F.gelu(F.linear(x, u, cu)), v, cv), g2.shape, g2, b2)


def lenet(x: Tensor, *parameters: Tensor) -> Tensor:
    w1, b1, w2, b2, v1, c1, v2, c2 = parameters
    for w, b in ((w1, b1), (w2, b2)):
        h = torch.relu(torch.einsum("bchwij,dcij->bdhw", windows(x, w.shape[-1]), w) + b[:, None, None])
        x = windows(h, 2, 2).amax((-2, -1))
    h = x.permute(0, 2, 3, 1).flatten(1)
    h = torch.relu(torch.einsum("bl,hl->bh", h, v1) + c1)
    return torch.softmax(torch.einsum("bh,ch->bc", h, v2) + c2, -1)


def lenet_by_hand(x: Tensor, *parameters: Tensor) -> Tensor:
    w1, b1, w2, b2, v1, c1, v2, c2 = parameters
    h = F.max_pool2d(torch.relu(F.conv2d(x, w1, b1)), 2)
    h = F.max_pool2d(torch.relu(F.conv2d(h, w2, b2)), 2)
    h = h.permute(0, 2, 3, 1).flatten(1)
    return torch.softmax(F.linear(torch.relu(F.linear(h, v1, c1)), v2, c2), -1)


def residual(x: Tensor, w1: Tensor, g1: Tensor, b1: Tensor, w2: Tensor, g2: Tensor, b2: Tensor) -> Tensor:
    h = x
    for w, g, b in ((w1, g1, b1), (w2, g2, b2)):
        h = torch.einsum("bchwij,dcij->bdhw", windows(F.pad(h, (1, 1, 1, 1)), 3), w)
        h = g[:, None, None] * standardized(h, (0, 2, 3)) + b[:, None, None]
        h = torch.relu(h if w is w1 else h + x)
    return h


def residual_by_hand(x: Tensor, w1: Tensor, g1: Tensor, b1: Tensor, w2: Tensor, g2: Tensor, b2: Tensor) -> Tensor:
    h = torch.relu(F.batch_norm(F.conv2d(x, w1, padding=1), None, None, g1, b1, training=True))
    return torch.relu(F.batch_norm(F.conv2d(h, w2, padding=1), None, None, g2, b2, training=True) + x)


HEADS = (
    normal("batch seq layer"),
    *(normal("heads key layer", 0.05) for _ in range(3)),
    normal("layer heads key", 0.05),
)
TOKENS = {"batch": 8, "seq": 128, "layer": 512, "heads": 8, "key": 64}
TINY = {"batch": 2, "seq": 5, "layer": 8, "heads": 2, "key": 4}
WINDOWS = {"naive, compiled": "nested windows corrupt memory under torch.compile (pytorch 191837)"}

WORKLOADS = (
    Workload(
        name="multi-head self-attention",
        group=GROUP,
        ours=Formula(SELF_ATTENTION),
        by_hand={"linear, sdpa": attend_by_hand},
        naive=attend,
        others={"einx": Other(einx_attend), "einops": Other(einops_attend)},
        inputs=HEADS,
        full=TOKENS,
        quick=TINY,
    ),
    Workload(
        name="encoder block",
        group=GROUP,
        ours=Formula(ENCODER),
        by_hand={"linear, sdpa, layer_norm": encoder_by_hand},
        naive=encoder,
        inputs=(
            *HEADS,
            normal("layer"),
            normal("layer"),
            normal("hidden layer", 0.05),
            normal("hidden"),
            normal("layer hidden", 0.05),
            *(normal("layer") for _ in range(3)),
        ),
        full={**TOKENS, "hidden": 2048},
        quick={**TINY, "hidden": 12},
        tolerance=1e-3,
    ),
    Workload(
        name="LeNet",
        group=GROUP,
        ours=Formula(LENET),
        by_hand={"conv2d, max_pool2d, linear": lenet_by_hand},
        naive=lenet,
        inputs=(
            normal("batch 1 28 28"),
            *(normal(axes, 0.125) for axes in ("6 1 5 5", "6", "16 6 5 5", "16", "120 256", "120", "10 120", "10")),
        ),
        full={"batch": 64},
        quick={"batch": 2},
        left_out=WINDOWS,
    ),
    Workload(
        name="ResNet block, training",
        group=GROUP,
        ours=Formula(RESIDUAL),
        by_hand={"conv2d, batch_norm": residual_by_hand},
        naive=residual,
        inputs=(
            normal("batch chans height width"),
            *(normal("chans chans 3 3", 0.1), normal("chans"), normal("chans")) * 2,
        ),
        full={"batch": 8, "chans": 64, "height": 28, "width": 28},
        quick={"batch": 2, "chans": 3, "height": 6, "width": 6},
        left_out=WINDOWS,
        tolerance=1e-3,
    ),
)
