"""Attention in its forms, beside `scaled_dot_product_attention`; linear attention, written quadratically."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.benchmarks.workload import Formula, Function, Other, Workload, chances, normal

GROUP = "Attention"

PLAIN = Formula("""
def attention(Q[query, key], K[seq, key], V[seq, val]) -> [query, val]:
    return softmax[seq](Q @[key] K / sqrt(|key|)) @[seq] V
""")
CAUSAL = Formula("""
def attention(Q[query, key], K[seq, key], V[seq, val]) -> [query, val]:
    scores = Q @[key] K / sqrt(|key|)
    return softmax[seq](where(seq <= query, scores, -inf)) @[seq] V
""")
MASKED = Formula("""
def attention(Q[query, key], K[seq, key], V[seq, val]; allow[query, seq]) -> [query, val]:
    scores = Q @[key] K / sqrt(|key|)
    return softmax[seq](where(allow, scores, -inf)) @[seq] V
""")
GROUPED = Formula("""
def attention(Q[group, member, query, key], K[group, seq, key], V[group, seq, val]) -> [group, member, query, val]:
    return softmax[seq](Q @[key] K / sqrt(|key|)) @[seq] V
""")
QUADRATIC = Formula("""
def attention(Q[query, key], K[seq, key], V[seq, val]) -> [query, val]:
    S = exp(Q) @[key] exp(K)
    return (S @[seq] V) / sum[seq](S)
""")

CAUSALLY = Formula("""
def attention(Q[query, key], K[seq, key], V[seq, val]) -> [query, val]:
    S = where(seq <= query, exp(Q) @[key] exp(K), 0)
    return (S @[seq] V) / sum[seq](S)
""")

RETAINED = Formula("""
def attention(Q[query, key], K[seq, key], V[seq, val], decay) -> [query, val]:
    return where(seq <= query, decay^(query - seq) * (Q @[key] K), 0) @[seq] V
""")
GATED = Formula("""
def attention(Q[query, key], K[query, key], V[query, val], G[query]) -> [query, val]:
    |seq| = |query|
    gates = cumsum[query](-log(1 + exp(-4 - G)))
    kept = exp(gates - gates[query -> seq])
    return where(index[seq] <= index[query], kept * (Q @[key] K[query -> seq]), 0) @[seq] V[query -> seq]
""")


def scores(q: Tensor, k: Tensor) -> Tensor:
    return torch.einsum("...qk,...sk->...qs", q, k) / math.sqrt(q.shape[-1])


def weighted(a: Tensor, v: Tensor) -> Tensor:
    return torch.einsum("...qs,...sv->...qv", a, v)


def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return weighted(torch.softmax(scores(q, k), -1), v)


def plain_by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    places = torch.arange(k.shape[-2], device=q.device)
    later = places > torch.arange(q.shape[-2], device=q.device)[:, None]
    return weighted(torch.softmax(scores(q, k).masked_fill(later, -math.inf), -1), v)


def causal_by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def masked(q: Tensor, k: Tensor, v: Tensor, allow: Tensor) -> Tensor:
    return weighted(torch.softmax(torch.where(allow, scores(q, k), -math.inf), -1), v)


def masked_by_hand(q: Tensor, k: Tensor, v: Tensor, allow: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=allow)


def grouped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    found = torch.einsum("bgmqk,bgsk->bgmqs", q, k) / math.sqrt(q.shape[-1])
    return torch.einsum("bgmqs,bgsv->bgmqv", torch.softmax(found, -1), v)


def grouped_by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    found = F.scaled_dot_product_attention(q.flatten(1, 2), k, v, enable_gqa=True)
    return found.unflatten(1, q.shape[1:3])


def quadratic(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    found = torch.einsum("qk,sk->qs", q.exp(), k.exp())
    return torch.einsum("qs,sv->qv", found, v) / found.sum(1, keepdim=True)


def linear_by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    keys, queries = k.exp(), q.exp()
    return (queries @ (keys.t() @ v)) / (queries @ keys.sum(0)).unsqueeze(1)


def causally(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    found = torch.einsum("qk,sk->qs", q.exp(), k.exp()).tril()
    return torch.einsum("qs,sv->qv", found, v) / found.sum(1, keepdim=True)


def causally_by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """In blocks of 64: what is within, and what the sums of all blocks before give."""
    queries, keys, values = (one.unflatten(0, (-1, min(64, q.shape[0]))) for one in (q.exp(), k.exp(), v))
    within = torch.bmm(queries, keys.mT).tril()
    before = torch.bmm(keys.mT, values).cumsum(0) - torch.bmm(keys.mT, values)
    sums = keys.sum(1).cumsum(0) - keys.sum(1)
    found = torch.baddbmm(torch.bmm(within, values), queries, before)
    total = within.sum(2) + torch.bmm(queries, sums.unsqueeze(2)).squeeze(2)
    return (found / total.unsqueeze(2)).flatten(0, 1)


def retained(q: Tensor, k: Tensor, v: Tensor, decay: Tensor) -> Tensor:
    places = torch.arange(q.shape[1], device=q.device)
    far = (places[:, None] - places).clamp(min=0)
    weights = (decay[:, None, None] ** far).tril()
    return torch.einsum("hqs,hsv->hqv", torch.einsum("hqk,hsk->hqs", q, k) * weights, v)


def retained_by_hand(q: Tensor, k: Tensor, v: Tensor, decay: Tensor) -> Tensor:
    """In blocks of 64, with a state that goes from block to block."""
    size = min(64, q.shape[1])
    queries, keys, values = (one.unflatten(1, (-1, size)) for one in (q, k, v))
    at = torch.arange(size, device=q.device)
    weights = (decay[:, None, None] ** (at[:, None] - at).clamp(min=0)).tril()
    within = ((queries @ keys.mT) * weights.unsqueeze(1)) @ values
    sums = (keys * (decay[:, None] ** (size - 1 - at))[:, None, :, None]).mT @ values
    before = states(sums, (decay**size)[:, None].expand(-1, sums.shape[1]))
    return (within + (queries * (decay[:, None] ** (at + 1))[:, None, :, None]) @ before).flatten(1, 2)


def gated(q: Tensor, k: Tensor, v: Tensor, gate: Tensor) -> Tensor:
    gates = F.logsigmoid(gate + 4).cumsum(1)
    places = torch.arange(q.shape[1], device=q.device)
    kept = (gates[:, :, None] - gates[:, None]).masked_fill(places > places[:, None], -math.inf).exp()
    return torch.einsum("hqs,hsv->hqv", torch.einsum("hqk,hsk->hqs", q, k) * kept, v)


def gated_by_hand(q: Tensor, k: Tensor, v: Tensor, gate: Tensor) -> Tensor:
    size = min(64, q.shape[1])
    queries, keys, values = (one.unflatten(1, (-1, size)) for one in (q, k, v))
    gates = F.logsigmoid(gate + 4).unflatten(1, (-1, size)).cumsum(2)  # from the beginning of each block
    at = torch.arange(size, device=q.device)
    kept = (gates[..., :, None] - gates[..., None, :]).masked_fill(at > at[:, None], -math.inf).exp()
    within = ((queries @ keys.mT) * kept) @ values
    sums = (keys * (gates[..., -1:] - gates).exp().unsqueeze(-1)).mT @ values
    before = states(sums, gates[..., -1].exp())
    return (within + (queries * gates.exp().unsqueeze(-1)) @ before).flatten(1, 2)


def states(sums: Tensor, decay: Tensor) -> Tensor:
    """What each block finds: the sums of all before it, each as it has decayed."""
    state, found = torch.zeros_like(sums[:, 0]), []
    for block in range(sums.shape[1]):
        found.append(state)
        state = state * decay[:, block, None, None] + sums[:, block]
    return torch.stack(found, 1)


def einx_attention() -> Function:
    import einx

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        found = einx.dot("b h q k, b h s k -> b h q s", q, k) / math.sqrt(q.shape[-1])
        return einx.dot("b h q s, b h s v -> b h q v", einx.softmax("b h q [s]", found), v)

    return run


def einops_grouped() -> Function:
    from einops import einsum

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        found = einsum(q, k, "b g m q k, b g s k -> b g m q s") / math.sqrt(q.shape[-1])
        return einsum(torch.softmax(found, -1), v, "b g m q s, b g s v -> b g m q v")

    return run


DECAYS = normal("head", 0.01, 0.95)
SIZES = {"batch": 4, "heads": 8, "query": 512, "seq": 512, "key": 64}
TINY = {"batch": 2, "heads": 2, "query": 16, "seq": 16, "key": 8}
QKV = (normal("batch heads query key"), normal("batch heads seq key"), normal("batch heads seq key"))
GROUPS = {"batch": 4, "group": 2, "member": 4, "query": 512, "seq": 512, "key": 64}
TINY_GROUPS = {"batch": 2, "group": 2, "member": 2, "query": 16, "seq": 16, "key": 8}

WORKLOADS = (
    Workload(
        name="attention",
        group=GROUP,
        ours=PLAIN,
        by_hand={"sdpa": plain_by_hand},
        naive=plain,
        others={"einx": Other(einx_attention)},
        inputs=QKV,
        full=SIZES,
        quick=TINY,
    ),
    Workload(
        name="attention, causal",
        group=GROUP,
        ours=CAUSAL,
        by_hand={"sdpa": causal_by_hand},
        naive=causal,
        inputs=QKV,
        full=SIZES,
        quick=TINY,
    ),
    Workload(
        name="attention, boolean mask",
        group=GROUP,
        ours=MASKED,
        by_hand={"sdpa": masked_by_hand},
        naive=masked,
        inputs=(*QKV, chances("query seq", 0.8)),
        full=SIZES,
        quick=TINY,
    ),
    Workload(
        name="attention, grouped queries",
        group=GROUP,
        ours=GROUPED,
        by_hand={"sdpa": grouped_by_hand},
        naive=grouped,
        others={"einops": Other(einops_grouped)},
        inputs=(
            normal("batch group member query key"),
            normal("batch group seq key"),
            normal("batch group seq key"),
        ),
        full=GROUPS,
        quick=TINY_GROUPS,
    ),
    Workload(
        name="linear attention, written quadratically",
        group=GROUP,
        ours=QUADRATIC,
        by_hand={"linear form": linear_by_hand},
        naive=quadratic,
        edges={"naive": 0.1},
        inputs=(normal("query key", 0.5), normal("seq key", 0.5), normal("seq key")),
        full={"query": 4096, "seq": 4096, "key": 64},
        quick={"query": 32, "seq": 32, "key": 8},
    ),
    Workload(
        name="causal linear attention, written quadratically",
        group=GROUP,
        ours=CAUSALLY,
        by_hand={"in blocks": causally_by_hand},
        naive=causally,
        edges={"naive": 0.1},
        inputs=(normal("query key", 0.5), normal("seq key", 0.5), normal("seq key")),
        full={"query": 4096, "seq": 4096, "key": 64},
        quick={"query": 32, "seq": 32, "key": 8},
    ),
    Workload(
        name="retention, written quadratically",
        group=GROUP,
        ours=RETAINED,
        by_hand={"in blocks": retained_by_hand},
        naive=retained,
        edges={"naive": 0.25},
        inputs=(normal("head query key", 0.1), normal("head seq key", 0.1), normal("head seq key"), DECAYS),
        full={"head": 4, "query": 4096, "seq": 4096, "key": 64},
        quick={"head": 2, "query": 32, "seq": 32, "key": 8},
    ),
    Workload(
        name="gated linear attention, written quadratically",
        group=GROUP,
        ours=GATED,
        by_hand={"in blocks": gated_by_hand},
        naive=gated,
        edges={"naive": 0.25},
        inputs=(
            normal("head query key", 0.1),
            normal("head query key", 0.1),
            normal("head query key"),
            normal("head query"),
        ),
        full={"head": 4, "query": 4096, "key": 64},
        quick={"head": 2, "query": 32, "key": 8},
    ),
)
