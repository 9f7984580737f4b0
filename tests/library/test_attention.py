"""Attention against torch.nn.MultiheadAttention, scaled_dot_product_attention, and the papers' definitions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import namedlayers as nl
from tests.library.beside import Beside, Weights
from tests.library.test_position import rotate_halves

ATTENTION = nl.load("attention")

CAUSAL = torch.ones(5, 5, dtype=torch.bool).tril()
ALLOW = torch.tensor([[1, 0, 1, 1, 0, 1], [1, 1, 0, 0, 0, 1], [0, 1, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1]], dtype=torch.bool)
PRESENT = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)


# --- torch.nn.MultiheadAttention --------------------------------------------------------------------------------------


def packed(weights: Weights) -> dict[str, Tensor]:
    """Self-attention stores its three maps as torch does."""
    found = {"W": weights["in_proj_weight"], "out_proj.W": weights["out_proj.weight"]}
    if "in_proj_bias" in weights:
        found |= {"b": weights["in_proj_bias"], "out_proj.b": weights["out_proj.bias"]}
    return found


def apart(weights: Weights) -> dict[str, Tensor]:
    """Three maps, packed by torch into one unless the features are of different sizes."""
    if "in_proj_weight" in weights:
        maps = weights["in_proj_weight"].chunk(3)
    else:
        maps = tuple(weights[f"{one}_proj_weight"] for one in "qkv")
    found = {f"{one}_proj.W": W for one, W in zip("qkv", maps, strict=True)} | {
        "out_proj.W": weights["out_proj.weight"]
    }
    if "in_proj_bias" in weights:
        found |= {f"{one}_proj.b": b for one, b in zip("qkv", weights["in_proj_bias"].chunk(3), strict=True)}
        found |= {"out_proj.b": weights["out_proj.bias"]}
    return found


def torch_attention(features: int, heads: int, **options: Any) -> nn.Module:
    return nn.MultiheadAttention(features, heads, batch_first=True, **options)


def of_itself(theirs: nn.Module, X: Tensor, *masks: Tensor, **options: Any) -> Tensor:
    return theirs(X, X, X, need_weights=False, **options)[0]


def of_three(theirs: nn.Module, Q: Tensor, K: Tensor, V: Tensor, *masks: Tensor, **options: Any) -> Tensor:
    return theirs(Q, K, V, need_weights=False, **options)[0]


def itself(*shape: int, heads: int = 2, run: Any = of_itself, bias: bool = True, **ours: Any) -> Beside:
    named = {key: ours.pop(key) for key in ("M", "allow", "present") if key in ours}
    return Beside(
        lambda: ATTENTION.SelfAttention(heads=heads, bias=bias, **ours),
        lambda: torch_attention(shape[-1], heads, bias=bias),
        packed, (shape,), run, named,
    )  # fmt: skip


def three(*shapes: tuple[int, ...], heads: int = 2, run: Any = of_three, bias: bool = True, **ours: Any) -> Beside:
    named = {key: ours.pop(key) for key in ("M", "allow", "present") if key in ours}
    return Beside(
        lambda: ATTENTION.MultiHeadAttention(heads=heads, bias=bias, **ours),
        lambda: torch_attention(shapes[0][-1], heads, bias=bias),
        apart, shapes, run, named,
    )  # fmt: skip


def masked(one: nn.Module, X: Tensor, M: Tensor) -> Tensor:
    """An additive mask a head, as torch wants it."""
    return of_itself(one, X, attn_mask=M.repeat_interleave(2, 0))


MULTI_HEAD = {
    "self": itself(2, 5, 6),
    "self, without a batch": itself(5, 6),
    "self, one head": itself(2, 5, 3, heads=1),
    "self, as many heads as features": itself(2, 5, 4, heads=4),
    "self, one place": itself(2, 1, 6),
    "self, no place": itself(2, 0, 6),
    "self, an empty batch": itself(0, 5, 6),
    "self, no bias": itself(2, 5, 6, bias=False),
    "self, causal": itself(
        2, 5, 6, causal=True, run=lambda m, X: of_itself(m, X, attn_mask=~CAUSAL)
    ),
    "self, what is present": itself(
        2, 5, 6, present=PRESENT, run=lambda m, X, present: of_itself(m, X, key_padding_mask=~present)
    ),
    "self, what is present, causal": itself(
        2, 5, 6, causal=True, present=PRESENT,
        run=lambda m, X, present: of_itself(m, X, key_padding_mask=~present, attn_mask=~CAUSAL),
    ),
    "self, added to the scores": itself(2, 5, 6, M=(2, 5, 5), run=masked),
    "self, a window": itself(
        2, 5, 6, causal=True, window=2, run=lambda m, X: of_itself(m, X, attn_mask=~CAUSAL | CAUSAL.tril(-2))
    ),
    "three": three((2, 4, 6), (2, 7, 6), (2, 7, 6)),
    "three, without a batch": three((4, 6), (7, 6), (7, 6)),
    "three, one place each": three((2, 1, 6), (2, 1, 6), (2, 1, 6)),
    "three, no query": three((2, 0, 6), (2, 3, 6), (2, 3, 6)),
    "three, no bias": three((2, 4, 6), (2, 7, 6), (2, 7, 6), bias=False, heads=3),
    "three, what is allowed": three(
        (4, 6), (6, 6), (6, 6), allow=ALLOW, run=lambda m, *given: of_three(m, *given[:3], attn_mask=~given[3])
    ),
    "cross": Beside(
        lambda: ATTENTION.CrossAttention(heads=3), lambda: torch_attention(6, 3, kdim=4, vdim=4),
        apart, ((2, 3, 6), (2, 5, 4)), lambda m, X, Y: m(X, Y, Y)[0],
    ),
    "cross, what is present": Beside(
        lambda: ATTENTION.CrossAttention(heads=2), lambda: torch_attention(6, 2, kdim=4, vdim=4),
        apart, ((2, 3, 6), (2, 5, 4)), lambda m, X, Y, present: m(X, Y, Y, key_padding_mask=~present)[0],
        {"present": PRESENT},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MULTI_HEAD)
def test_heads_are_those_of_torch(name: str) -> None:
    MULTI_HEAD[name].check(name)


def test_the_weights_of_attention() -> None:
    Q, K = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    found = ATTENTION.attention_weights(Q, K, scale=0.3)
    torch.testing.assert_close(found, (0.3 * Q @ K.mT).softmax(-1))


def test_the_heads_share_the_features() -> None:
    with pytest.raises(nl.SizeError, match="share the features"):
        ATTENTION.SelfAttention(heads=4)(torch.randn(2, 5, 6))


def test_what_is_forbidden_everywhere_gives_0() -> None:
    Q, K, V = (torch.randn(2, 3, 4, requires_grad=True) for _ in range(3))
    Y = ATTENTION.attention(Q, K, V, allow=torch.zeros(2, 3, 3, dtype=torch.bool))
    assert (Y == 0).all()
    assert all((one == 0).all() for one in torch.autograd.grad(Y.sum(), (Q, K, V)))


# --- groups of heads --------------------------------------------------------------------------------------------------


class Grouped(nn.Module):
    """As Llama 2 and 3 attend: rotary embeddings of halves, keys and values shared by the heads of a group."""

    def __init__(self, features: int, heads: int, groups: int, *, turned: bool, causal: bool) -> None:
        super().__init__()
        self.heads, self.groups, self.turned, self.causal = heads, groups, turned, causal
        key = features // heads
        self.q, self.o = nn.Linear(features, heads * key, bias=False), nn.Linear(heads * key, features, bias=False)
        self.k, self.v = nn.Linear(features, groups * key, bias=False), nn.Linear(features, groups * key, bias=False)

    def forward(self, X: Tensor) -> Tensor:
        q, k, v = (
            one(X).unflatten(-1, (n, -1)).transpose(-3, -2)
            for one, n in ((self.q, self.heads), (self.k, self.groups), (self.v, self.groups))
        )
        if self.turned:
            q, k = rotate_halves(q, 10000, 0), rotate_halves(k, 10000, 0)
        Y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal, enable_gqa=True)
        return self.o(Y.transpose(-3, -2).flatten(-2))


def grouped(*shape: int, heads: int, groups: int, turned: bool = False, causal: bool = False) -> Beside:
    turn = {"turn": "rotary_halves"} if turned else {}
    space = nl.loads(
        """
        from attention import GroupedQueryAttention
        from position import rotary_halves

        layer Turned[seq, layer](X[seq, layer]; heads, groups, causal = False) -> [seq, layer]:
            attend = GroupedQueryAttention[
                seq, layer; heads = heads, groups = groups, causal = causal, turn = rotary_halves
            ]
            return attend(X)
        """
    )
    ours = space.Turned if turn else ATTENTION.GroupedQueryAttention
    prefix = "attend." if turn else ""
    return Beside(
        lambda: ours(heads=heads, groups=groups, causal=causal),
        lambda: Grouped(shape[-1], heads, groups, turned=turned, causal=causal),
        lambda weights: {f"{prefix}W{one}": weights[f"{one}.weight"] for one in "qkvo"},
        (shape,),
    )


GROUPED = {
    "two groups": grouped(2, 5, 8, heads=4, groups=2),
    "causal": grouped(2, 5, 8, heads=4, groups=2, causal=True),
    "turned": grouped(2, 5, 8, heads=4, groups=2, turned=True, causal=True),
    "multi-query": grouped(2, 5, 8, heads=4, groups=1),
    "multi-query, causal, turned": grouped(2, 5, 8, heads=2, groups=1, turned=True, causal=True),
    "as many groups as heads": grouped(2, 5, 6, heads=3, groups=3),
    "one place": grouped(2, 1, 8, heads=4, groups=2),
    "no batch": grouped(5, 8, heads=4, groups=2),
}


@pytest.mark.parametrize("name", GROUPED)
def test_groups_of_heads(name: str) -> None:
    GROUPED[name].check(name)


def test_groups_must_share_the_heads() -> None:
    with pytest.raises(nl.FormulaError, match="share the heads"):
        ATTENTION.GroupedQueryAttention(heads=4, groups=3)(torch.randn(2, 5, 8))


# --- without scores ---------------------------------------------------------------------------------------------------


def by_scores(Q: Tensor, K: Tensor, V: Tensor, allow: Tensor | None = None) -> Tensor:
    """Transformers are RNNs, equation 3: similarities are products of features."""
    A = (F.elu(Q) + 1) @ (F.elu(K) + 1).mT
    A = A if allow is None else A * allow
    return A @ V / A.sum(-1, keepdim=True)


def causally(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    return by_scores(Q, K, V, torch.ones(Q.shape[-2], Q.shape[-2], dtype=torch.float64).tril())


def in_blocks(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    return ATTENTION.blockwise_linear_attention(Q, K, V, block=4)


LINEAR = {
    "linear": (ATTENTION.linear_attention, by_scores),
    "causal": (ATTENTION.causal_linear_attention, causally),
    "in blocks": (in_blocks, causally),
}


@pytest.mark.parametrize("shape", [(1, 1), (4, 3), (5, 4), (8, 1), (2, 3, 11, 4)])
@pytest.mark.parametrize("name", LINEAR)
def test_linear_attention(name: str, shape: tuple[int, ...]) -> None:
    ours, theirs = LINEAR[name]
    Q, K, V = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(3))
    found, wanted = ours(Q, K, V), theirs(Q, K, V)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-10)
    weights = torch.randn_like(wanted)
    gradients, expected = (torch.autograd.grad(Y, (Q, K, V), weights) for Y in (found, wanted))
    torch.testing.assert_close(gradients, expected, rtol=1e-8, atol=1e-9)
