"""Transformers against torch.nn's, and the vision transformer against its paper's equations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import namedlayers as nl
from tests.library.beside import Beside, Weights
from tests.library.test_attention import apart, packed

TRANSFORMER = nl.load("transformer")

CAUSAL = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
PRESENT = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], dtype=torch.bool)
GIVEN = torch.tensor([[1, 1, 1, 1, 0, 1], [0, 1, 1, 1, 0, 0]], dtype=torch.bool)


# --- how torch's weights become ours ----------------------------------------------------------------------------------


def under(weights: Weights, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): one for name, one in weights.items() if name.startswith(prefix)}


def prefixed(weights: Weights, prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": one for name, one in weights.items()}


def norm_weights(weights: Weights, name: str) -> dict[str, Tensor]:
    return {f"{name}.gamma": weights[f"{name}.weight"], f"{name}.beta": weights[f"{name}.bias"]}


def encoder_layer(weights: Weights) -> dict[str, Tensor]:
    found = prefixed(packed(under(weights, "self_attn.")), "attend.")
    for ours, theirs in (("up", "linear1"), ("down", "linear2")):
        found |= {f"feed.{ours}.W": weights[f"{theirs}.weight"], f"feed.{ours}.b": weights[f"{theirs}.bias"]}
    for name in ("norm1", "norm2"):
        found |= norm_weights(weights, name)
    return found


def decoder_layer(weights: Weights) -> dict[str, Tensor]:
    look = prefixed(apart(under(weights, "multihead_attn.")), "look.")
    return encoder_layer(weights) | look | norm_weights(weights, "norm3")


def several(one: Any, name: str, layers: int, *, norm_first: bool) -> Any:
    def weights(theirs: Weights) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for k in range(layers):
            found |= prefixed(one(under(theirs, f"layers.{k}.")), f"block.{k}.{name}.")
        return found | (norm_weights(theirs, "norm") if norm_first else {})

    return weights


# --- encoder and decoder ----------------------------------------------------------------------------------------------


def settings(theirs: dict[str, Any]) -> dict[str, Any]:
    """Our options for those of torch."""
    ours = {"heads": 2, "width": 7, "p": 0.0}
    ours |= {"act": theirs["activation"]} if "activation" in theirs else {}
    ours |= {"norm_first": True} if theirs.get("norm_first") else {}
    return ours | ({"eps": theirs["layer_norm_eps"]} if "layer_norm_eps" in theirs else {})


def torch_layer(kind: str, **options: Any) -> nn.Module:
    return getattr(nn, f"Transformer{kind}Layer")(6, 2, 7, 0.0, batch_first=True, **options)


def encoder(
    *shape: int, layers: int | None = None, named: Any = None, run: Any = None, causal: bool = False, **options: Any
) -> Beside:
    norm_first = bool(options.get("norm_first"))
    ours = settings(options) | ({"causal": True} if causal else {})
    if layers is None:
        return Beside(
            lambda: TRANSFORMER.EncoderLayer(**ours), lambda: torch_layer("Encoder", **options),
            encoder_layer, (shape,), run or (lambda m, X: m(X)), named or {},
        )  # fmt: skip
    return Beside(
        lambda: TRANSFORMER.Encoder(layers=layers, **ours),
        lambda: nn.TransformerEncoder(
            torch_layer("Encoder", **options), layers, nn.LayerNorm(6) if norm_first else None,
            enable_nested_tensor=False,
        ),
        several(encoder_layer, "encode", layers, norm_first=norm_first),
        (shape,), run or (lambda m, X: m(X)), named or {},
    )  # fmt: skip


def decoder(
    *shapes: tuple[int, ...],
    layers: int | None = None,
    named: Any = None,
    run: Any = None,
    causal: bool = False,
    **options: Any,
) -> Beside:
    norm_first = bool(options.get("norm_first"))
    ours = settings(options) | {"causal": causal}
    if layers is None:
        return Beside(
            lambda: TRANSFORMER.DecoderLayer(**ours), lambda: torch_layer("Decoder", **options),
            decoder_layer, shapes, run or (lambda m, X, Y: m(X, Y)), named or {},
        )  # fmt: skip
    return Beside(
        lambda: TRANSFORMER.Decoder(layers=layers, **ours),
        lambda: nn.TransformerDecoder(
            torch_layer("Decoder", **options), layers, nn.LayerNorm(6) if norm_first else None
        ),
        several(decoder_layer, "decode", layers, norm_first=norm_first),
        shapes, run or (lambda m, X, Y: m(X, Y)), named or {},
    )  # fmt: skip


TRANSFORMERS = {
    "encoder layer": encoder(2, 5, 6),
    "encoder layer, gelu": encoder(2, 5, 6, activation="gelu"),
    "encoder layer, norm first": encoder(2, 5, 6, norm_first=True),
    "encoder layer, eps": encoder(2, 5, 6, layer_norm_eps=0.1),
    "encoder layer, one place": encoder(2, 1, 6),
    "encoder layer, no place": encoder(2, 0, 6),
    "encoder layer, without a batch": encoder(5, 6),
    "encoder layer, causal": encoder(2, 5, 6, causal=True, run=lambda m, X: m(X, CAUSAL, is_causal=True)),
    "encoder layer, what is present": encoder(
        2, 5, 6, named={"present": PRESENT}, run=lambda m, X, present: m(X, src_key_padding_mask=~present)
    ),
    "encoder": encoder(2, 5, 6, layers=3),
    "encoder, norm first": encoder(2, 5, 6, layers=3, norm_first=True),
    "encoder, one layer": encoder(2, 5, 6, layers=1),
    "encoder, causal, norm first": encoder(
        2, 5, 6, layers=2, causal=True, norm_first=True, activation="gelu",
        run=lambda m, X: m(X, CAUSAL, is_causal=True),
    ),
    "encoder, what is present": encoder(
        2, 5, 6, layers=2, named={"present": PRESENT},
        run=lambda m, X, present: m(X, src_key_padding_mask=~present),
    ),
    "decoder layer": decoder((2, 5, 6), (2, 4, 6)),
    "decoder layer, norm first": decoder((2, 5, 6), (2, 4, 6), norm_first=True),
    "decoder layer, causal": decoder(
        (2, 5, 6), (2, 4, 6), causal=True, run=lambda m, X, Y: m(X, Y, CAUSAL, tgt_is_causal=True)
    ),
    "decoder layer, what is given": decoder(
        (2, 5, 6), (2, 6, 6), named={"given": GIVEN}, run=lambda m, X, Y, given: m(X, Y, memory_key_padding_mask=~given)
    ),
    "decoder layer, one place each": decoder((2, 1, 6), (2, 1, 6)),
    "decoder": decoder((2, 5, 6), (2, 4, 6), layers=3),
    "decoder, norm first, causal": decoder(
        (2, 5, 6), (2, 4, 6), layers=2, norm_first=True, causal=True,
        run=lambda m, X, Y: m(X, Y, CAUSAL, tgt_is_causal=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_are_those_of_torch(name: str) -> None:
    TRANSFORMERS[name].check(name)


# --- images -----------------------------------------------------------------------------------------------------------


class Vision(nn.Module):
    """Equations 1 to 4 of the paper, of torch's parts; patches are cut by a convolution, as the authors' code does."""

    def __init__(self, chans: int, patch: int, places: int, *, layers: int, classes: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(chans, 6, patch, patch)
        self.token, self.place = nn.Parameter(torch.zeros(6)), nn.Parameter(torch.zeros(places + 1, 6))
        one = nn.TransformerEncoderLayer(6, 2, 7, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(one, layers, nn.LayerNorm(6, 1e-6), enable_nested_tensor=False)
        self.head = nn.Linear(6, classes)

    def forward(self, X: Tensor) -> Tensor:
        Z = self.embed(X).flatten(2).mT
        Z = torch.cat([self.token.expand(len(X), 1, 6), Z], 1) + self.place
        return self.head(self.encoder(Z)[:, 0])


def vision(weights: Weights) -> dict[str, Tensor]:
    encoder = several(encoder_layer, "encode", 2, norm_first=True)(under(weights, "encoder."))
    return {
        "embed.W": weights["embed.weight"].flatten(1), "embed.b": weights["embed.bias"],
        "token": weights["token"], "positions": weights["place"],
        "head.W": weights["head.weight"], "head.b": weights["head.bias"],
    } | prefixed(encoder, "encode.")  # fmt: skip


@pytest.mark.parametrize(("chans", "height", "width", "patch"), [(3, 4, 6, 2), (1, 3, 3, 3), (2, 5, 2, 1)])
def test_the_vision_transformer(chans: int, height: int, width: int, patch: int) -> None:
    places = (height // patch) * (width // patch)
    Beside(
        lambda: TRANSFORMER.VisionTransformer(**{"layer": 6, "class": 4}, patch=patch, layers=2, heads=2, hidden=7),
        lambda: Vision(chans, patch, places, layers=2, classes=4),
        vision, ((2, chans, height, width),),
    ).check("vision")  # fmt: skip
