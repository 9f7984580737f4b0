"""Contractions: of two operands, of several, and what hides one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.benchmarks.workload import EDGE, Formula, Function, Other, Workload, integers, normal
from tests.benchmarks.workloads.by_others import einops_dot, einx_dot, tensorgrad_dot

GROUP = "Contractions"
UNROLLED = "torch.compile unrolls the loop: minutes"

BROADCAST = Formula("def product(A[i, k], B[k, j]) -> [i, j] = sum[k](A * B)")
ONE_HOT = Formula("def embed(I[seq]; E[vocab, layer]) -> [seq, layer] = one_hot[vocab](I) @[vocab] E")
BIAS = Formula("def linear(X[input]; W[output, input], b[output]) -> [output] = W @[input] X + b")
CHAIN = Formula("""
def chain(A[a, b], B[b, c], C[c, d], D[d, e], E[e, f]) -> [a, f] = A @[b] B @[c] C @[d] D @[e] E
""")
VECTOR = Formula("def apply(A[i, k], B[k, j], x[j]) -> [i] = (A @[k] B) @[j] x")
TOKENS = Formula("def pool(X[batch, seq, layer]; w[seq]) -> [batch, layer] = sum[seq](X * w)")
BILINEAR = Formula("""
def attend(X[query, l], Y[seq, m], Z[seq, n]; Wq[key, l], Wk[key, m], Wv[val, n]) -> [query, val]:
    return sum[l, m, n, key, seq](X * Y * Z * Wq * Wk * Wv)
""")
TUCKER = Formula("""
def score(X[batch, i], Y[batch, j], Z[batch, k]; A[i, p], B[j, q], C[k, r], G[p, q, r]) -> [batch]:
    return sum[i, j, k, p, q, r](X * Y * Z * A * B * C * G)
""")
TRAIN = Formula("""
def value(X[batch, site, d]; T[site, left, d, right]) -> [batch]:
    scan site with v = ones[left]:
        v = (v @[left] (T @[d] X))[right -> left]
    return sum[left](v[site = -1])
""")


def broadcast(a: Tensor, b: Tensor) -> Tensor:
    return (a.unsqueeze(2) * b.unsqueeze(0)).sum(1)


def one_hot(i: Tensor, e: Tensor) -> Tensor:
    return F.one_hot(i, len(e)).to(e.dtype) @ e


def bias(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return torch.einsum("bsi,oi->bso", x, w) + b


def chain(a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor) -> Tensor:
    return a @ b @ c @ d @ e


def multi_dot(*matrices: Tensor) -> Tensor:
    return torch.linalg.multi_dot(matrices)


def from_the_right(a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor) -> Tensor:
    return a @ (b @ (c @ (d @ e)))


def vector(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    return (a @ b) @ x


def vector_by_hand(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    return a @ (b @ x)


def weighted_tokens(x: Tensor, w: Tensor) -> Tensor:
    return (x * w.unsqueeze(1)).sum(1)


def weighted_tokens_by_matmul(x: Tensor, w: Tensor) -> Tensor:
    return w @ x


def weighted_tokens_by_bmm(x: Tensor, w: Tensor) -> Tensor:
    return torch.bmm(w.expand(len(x), 1, len(w)), x).squeeze(1)


def bilinear(x: Tensor, y: Tensor, z: Tensor, wq: Tensor, wk: Tensor, wv: Tensor) -> Tensor:
    with torch.backends.opt_einsum.flags(enabled=False):
        return torch.einsum("ql,sm,sn,kl,km,vn->qv", x, y, z, wq, wk, wv)


def bilinear_planned(x: Tensor, y: Tensor, z: Tensor, wq: Tensor, wk: Tensor, wv: Tensor) -> Tensor:
    return torch.einsum("ql,sm,sn,kl,km,vn->qv", x, y, z, wq, wk, wv)


def bilinear_by_hand(x: Tensor, y: Tensor, z: Tensor, wq: Tensor, wk: Tensor, wv: Tensor) -> Tensor:
    return (x @ wq.t()) @ ((y @ wk.t()).t() @ (z @ wv.t()))


def tucker(x: Tensor, y: Tensor, z: Tensor, a: Tensor, b: Tensor, c: Tensor, g: Tensor) -> Tensor:
    with torch.backends.opt_einsum.flags(enabled=False):
        return torch.einsum("bi,bj,bk,ip,jq,kr,pqr->b", x, y, z, a, b, c, g)


def tucker_planned(x: Tensor, y: Tensor, z: Tensor, a: Tensor, b: Tensor, c: Tensor, g: Tensor) -> Tensor:
    return torch.einsum("bi,bj,bk,ip,jq,kr,pqr->b", x, y, z, a, b, c, g)


def tucker_by_hand(x: Tensor, y: Tensor, z: Tensor, a: Tensor, b: Tensor, c: Tensor, g: Tensor) -> Tensor:
    left = ((x @ a) @ g.flatten(1)).unflatten(1, g.shape[1:])
    middle = torch.bmm((y @ b).unsqueeze(1), left).squeeze(1)
    return (middle * (z @ c)).sum(1)


def train(x: Tensor, t: Tensor) -> Tensor:
    v = torch.ones(len(x), t.shape[1], device=x.device)
    for site in range(len(t)):
        v = torch.einsum("bl,ldr,bd->br", v, t[site], x[:, site])
    return v.sum(1)


def train_by_hand(x: Tensor, t: Tensor) -> Tensor:
    matrices = torch.einsum("sldr,bsd->sblr", t, x)
    v = torch.ones(len(x), 1, t.shape[1], device=x.device)
    for one in matrices:
        v = torch.bmm(v, one)
    return v.sum((1, 2))


WORKLOADS = (
    Workload(
        name="broadcast multiply, then sum",
        group=GROUP,
        ours=BROADCAST,
        by_hand={"mm": torch.mm},
        naive=broadcast,
        others={"einx": einx_dot("i k, k j -> i j")},
        inputs=(normal("i k"), normal("k j")),
        full={"i": 256, "k": 256, "j": 256},
        quick={"i": 4, "k": 5, "j": 6},
    ),
    Workload(
        name="one-hot contraction",
        group=GROUP,
        ours=ONE_HOT,
        by_hand={"embedding": F.embedding},
        naive=one_hot,
        inputs=(integers("batch seq", "vocab"), normal("vocab layer")),
        full={"batch": 16, "seq": 64, "vocab": 10_000, "layer": 64},
        quick={"batch": 2, "seq": 5, "vocab": 7, "layer": 4},
    ),
    Workload(
        name="contraction and bias",
        group=GROUP,
        ours=BIAS,
        by_hand={"linear": F.linear},
        naive=bias,
        others={"einx": Other(lambda: _einx_linear())},
        inputs=(normal("batch seq input"), normal("output input", 0.05), normal("output")),
        full={"batch": 16, "seq": 128, "input": 512, "output": 512},
        quick={"batch": 2, "seq": 3, "input": 4, "output": 5},
    ),
    Workload(
        name="chain of five matrices",
        group=GROUP,
        ours=CHAIN,
        by_hand={"multi_dot": multi_dot, "best order": from_the_right},
        naive=chain,
        edges={"naive": EDGE},
        others={
            "einops": einops_dot("a b, b c, c d, d e, e f -> a f"),
            "tensorgrad": tensorgrad_dot("a b, b c, c d, d e, e f -> a f"),
        },
        inputs=tuple(normal(axes, 0.1) for axes in ("a b", "b c", "c d", "d e", "e f")),
        full={"a": 512, "b": 512, "c": 512, "d": 512, "e": 512, "f": 8},
        quick={"a": 5, "b": 6, "c": 7, "d": 4, "e": 3, "f": 2},
    ),
    Workload(
        name="(A @ B) @ x",
        group=GROUP,
        ours=VECTOR,
        by_hand={"A @ (B @ x)": vector_by_hand},
        naive=vector,
        edges={"naive": EDGE},
        others={
            "einx": einx_dot("i k, k j, j -> i"),
            "einops": einops_dot("i k, k j, j -> i"),
            "tensorgrad": tensorgrad_dot("i k, k j, j -> i"),
        },
        inputs=(normal("i k"), normal("k j"), normal("j")),
        full={"i": 512, "k": 512, "j": 512},
        quick={"i": 4, "k": 5, "j": 6},
    ),
    Workload(
        name="weighted sum of tokens",
        group=GROUP,
        ours=TOKENS,
        by_hand={"bmm": weighted_tokens_by_bmm, "matmul": weighted_tokens_by_matmul},
        naive=weighted_tokens,
        inputs=(normal("batch seq layer"), normal("seq", 0.1)),
        full={"batch": 32, "seq": 196, "layer": 512},
        quick={"batch": 2, "seq": 3, "layer": 4},
    ),
    Workload(
        name="bilinear attention, six operands",
        group=GROUP,
        ours=BILINEAR,
        by_hand={"best order": bilinear_by_hand, "torch.einsum": bilinear_planned},
        naive=bilinear,
        edges={"naive": 0.1, "torch.einsum": EDGE},
        others={
            "einops": einops_dot("q l, s m, s n, k l, k m, v n -> q v"),
            "tensorgrad": tensorgrad_dot("q l, s m, s n, k l, k m, v n -> q v"),
        },
        inputs=tuple(normal(axes, 0.3) for axes in ("query l", "seq m", "seq n", "key l", "key m", "val n")),
        full={"query": 64, "seq": 64, "l": 24, "m": 24, "n": 24, "key": 24, "val": 24},
        quick={"query": 4, "seq": 5, "l": 3, "m": 2, "n": 3, "key": 4, "val": 2},
    ),
    Workload(
        name="Tucker score, seven operands",
        group=GROUP,
        ours=TUCKER,
        by_hand={"best order": tucker_by_hand, "torch.einsum": tucker_planned},
        naive=tucker,
        edges={"naive": 0.1},
        inputs=(
            *(normal(f"batch {axis}", 0.3) for axis in "ijk"),
            *(normal(f"{axis} 16", 0.3) for axis in "ijk"),
            normal("16 16 16", 0.3),
        ),
        full={"batch": 256, "i": 12, "j": 12, "k": 12},
        quick={"batch": 3, "i": 4, "j": 5, "k": 2},
    ),
    Workload(
        name="tensor train of 16 cores",
        group=GROUP,
        ours=TRAIN,
        by_hand={"bmm by bmm": train_by_hand, "einsum by einsum": train},
        naive=train,
        inputs=(normal("batch 16 d", 0.5), normal("16 bond d bond", 0.3)),
        full={"batch": 64, "d": 4, "bond": 32},
        quick={"batch": 3, "d": 2, "bond": 4},
        left_out={f"{side}, compiled": UNROLLED for side in ("naive", "bmm by bmm", "einsum by einsum")},
    ),
)


def _einx_linear() -> Function:
    import einx

    return lambda x, w, b: einx.add("... o, o", einx.dot("... i, o i -> ... o", x, w), b)
