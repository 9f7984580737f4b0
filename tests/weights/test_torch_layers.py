"""Weights of torch's own layers, loaded into the library's: the same results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

import namedlayers as nl


@dataclass(frozen=True)
class Case:
    """`layer` of the library, as `module.Layer`, made with `settings`; an argument is a tensor."""

    layer: str
    settings: dict[str, Any]
    theirs: nn.Module
    mapping: str
    argument: torch.Tensor


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


LINEAR = "weight -> W[output, input]\nbias -> b"

NORM = "weight -> gamma\nbias -> beta"

RECURRENT = """
    weight_ih_l0 -> {gate}Wx[{gates}hidden', input]
    weight_hh_l0 -> {gate}Wh[{gates}hidden', hidden]
    bias_ih_l0   -> {gate}bx[{gates}hidden']
    bias_hh_l0   -> {gate}bh[{gates}hidden']
"""


def recurrent(gates: str) -> str:
    return RECURRENT.replace("{gates}", gates).replace("{gate}", "")


ENCODER = """
    layers.{l}.self_attn.in_proj_weight  -> block.{l}.encode.attend.W[qkv heads key, layer]
    layers.{l}.self_attn.in_proj_bias    -> block.{l}.encode.attend.b[qkv heads key]
    layers.{l}.self_attn.out_proj.weight -> block.{l}.encode.attend.out_proj.W[output, input]
    layers.{l}.self_attn.out_proj.bias   -> block.{l}.encode.attend.out_proj.b
    layers.{l}.linear1.weight            -> block.{l}.encode.feed.up.W[output, input]
    layers.{l}.linear1.bias              -> block.{l}.encode.feed.up.b
    layers.{l}.linear2.weight            -> block.{l}.encode.feed.down.W[output, input]
    layers.{l}.linear2.bias              -> block.{l}.encode.feed.down.b
    layers.{l}.norm{k}.weight            -> block.{l}.encode.norm{k}.gamma
    layers.{l}.norm{k}.bias              -> block.{l}.encode.norm{k}.beta
"""

CASES = [
    Case("linear.Linear", {"output": 4}, nn.Linear(3, 4), LINEAR, normal(2, 3)),
    Case(
        "linear.Embedding", {"vocab": 7, "layer": 3}, nn.Embedding(7, 3), "weight -> E", torch.tensor([[1, 6], [0, 2]])
    ),
    Case("norm.LayerNorm", {}, nn.LayerNorm(5), NORM, normal(2, 5)),
    Case(
        "norm.BatchNorm",
        {"space": (6,)},
        nn.BatchNorm1d(5).eval(),
        NORM + "\nrunning_{what} -> running_{what}\nnum_batches_tracked -> batches",
        normal(4, 5, 6),
    ),
    Case(
        "conv.Conv2d",
        {"output": 4, "kernel": 3, "stride": 2},
        nn.Conv2d(3, 4, 3, 2),
        "weight -> W[output, member, kh, kw]\nbias -> b",
        normal(2, 3, 9, 8),
    ),
    Case("recurrent.RNN", {"hidden": 4}, nn.RNN(3, 4, batch_first=True), recurrent(""), normal(2, 6, 3)),
    Case("recurrent.LSTM", {"hidden": 4}, nn.LSTM(3, 4, batch_first=True), recurrent("gate "), normal(2, 6, 3)),
    Case("recurrent.GRU", {"hidden": 4}, nn.GRU(3, 4, batch_first=True), recurrent("gate "), normal(2, 6, 3)),
    Case(
        "transformer.Encoder",
        {"layers": 2, "heads": 2, "width": 16},
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=False),
        ENCODER,
        normal(2, 5, 8),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.layer)
def test_same_results(case: Case) -> None:
    module, _, layer = case.layer.partition(".")
    ours = nl.load(module)[layer](**case.settings)
    generator = torch.Generator().manual_seed(1)
    for tensor in case.theirs.parameters():
        nn.init.normal_(tensor, generator=generator)
    report = nl.load_weights(ours, case.theirs.state_dict(), case.mapping)
    assert report.complete
    found, wanted = ours.eval()(case.argument), case.theirs.eval()(case.argument)
    first = [one[0] if isinstance(one, tuple) else one for one in (found, wanted)]
    torch.testing.assert_close(*first)
    back = nl.foreign_weights(ours, case.mapping)
    state = case.theirs.state_dict()
    assert back.keys() == state.keys() and all(torch.equal(back[key], state[key].to(back[key].dtype)) for key in state)
