"""The character GPT: the same function as one written by hand, and one that learns."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch.nn.functional import embedding, gelu, layer_norm, linear, scaled_dot_product_attention

import namedlayers as nl
from tests.examples.scripts import script

SHORT = ["--steps", "40", "--batch", "8", "--depth", "2", "--length", "60", "--threads", "1"]


@pytest.fixture(scope="module")
def gpt() -> ModuleType:
    return script("gpt")


def test_it_learns_and_writes(gpt: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    before, after, written = gpt.main(SHORT)
    # At first all 103 characters are about as likely; soon it knows at least how often each is.
    assert 6 < before < 7.5 and after < 4.5
    assert len(written) == 60 and written in capsys.readouterr().out
    assert gpt.main(SHORT) == (before, after, written)
    assert gpt.main([*SHORT, "--seed", "1"])[2] != written


@torch.no_grad()
def test_it_is_what_torch_computes(gpt: ModuleType) -> None:
    torch.manual_seed(0)
    model = nl.load(gpt.FORMULA).GPT(vocab=50, depth=3)
    text = torch.randint(50, (2, 20))
    torch.testing.assert_close(model(text), by_hand(model.state_dict(), text, depth=3))


@torch.no_grad()
def test_it_does_not_see_the_future(gpt: ModuleType) -> None:
    model = nl.load(gpt.FORMULA).GPT(vocab=50)
    text = torch.randint(50, (20,))
    torch.testing.assert_close(model(text)[:10], model(text[:10]))


def test_what_it_says_next_follows_the_logits(gpt: ModuleType) -> None:
    choose = nl.load(gpt.FORMULA).choose
    logits = torch.tensor([[0.0, 9.0, 0.0], [0.0, 1.0, -torch.inf]]).expand(1000, 2, 3)
    torch.manual_seed(0)
    warm = choose(logits).bincount(minlength=3) / 1000
    torch.testing.assert_close(warm[:2], torch.tensor([0.0, 1.0]).softmax(0), rtol=0, atol=0.05)
    assert warm[2] == 0
    assert (choose(logits, temperature=0.05) == 1).all()


def by_hand(state: dict[str, torch.Tensor], text: torch.Tensor, depth: int) -> torch.Tensor:
    """The same network as torch operations."""
    size = state["character"].shape[1]
    x = embedding(text, state["character"]) + state["position"][: text.shape[-1]]
    for at in range(depth):
        p = {name.removeprefix(f"block.{at}."): value for name, value in state.items()}
        y = layer_norm(x, [size], p["layer_norm.gamma"], p["layer_norm.beta"])
        q, k, v = (
            linear(y, p[f"attention.W{one}"].flatten(0, 1)).unflatten(-1, (4, -1)).transpose(1, 2) for one in "qkv"
        )
        y = scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + linear(y, p["attention.Wo"].flatten(1, 2))
        y = layer_norm(x, [size], p["layer_norm_2.gamma"], p["layer_norm_2.beta"])
        y = gelu(linear(y, p["feed_forward.up.W"], p["feed_forward.up.b"]))
        x = x + linear(y, p["feed_forward.down.W"], p["feed_forward.down.b"])
    x = layer_norm(x, [size], state["layer_norm.gamma"], state["layer_norm.beta"])
    return linear(x, state["character"])
