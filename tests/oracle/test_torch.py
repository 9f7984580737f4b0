"""The ordinary layers of torch, in the configurations in which they differ: values and gradients against torch itself.

The formulas are those of the reference cases (`formulas/torch.nl`), and those below where a layer has options that the
cases do not use.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import namedlayers as nl

FORMULAS = nl.load(Path(__file__).parent / "formulas" / "torch.nl")

MORE = nl.loads(
    """
    def conv2d(
        x[chan, height, width];
        weight[chan_out, chan, kheight, kwidth], bias[chan_out],
        stride = 1, padding = 0, dilation = 1, mode = "zeros"
    ) -> [chan_out, height, width]:
        windows = unroll[height, width, kheight, kwidth](
            x; stride = stride, padding = padding, dilation = dilation, mode = mode
        )
        return weight @[chan, kheight, kwidth] windows + bias

    def conv_transpose1d(
        x[chan, width]; weight[chan, chan_out, kwidth], bias[chan_out],
        stride = 1, padding = 0, dilation = 1, output_padding = 0
    ) -> [chan_out, width]:
        terms = weight @[chan] x
        return fold[width, kwidth](
            terms; stride = stride, padding = padding, dilation = dilation, output_padding = output_padding
        ) + bias

    def max_pool1d(x[width]; k, stride, padding = 0, dilation = 1) -> [width]:
        return max[kernel](
            unroll[width, kernel = k](x; stride = stride, padding = padding, dilation = dilation, value = -inf)
        )

    def avg_pool1d(x[width]; k, stride, padding = 0) -> [width]:
        return mean[kernel](unroll[width, kernel = k](x; stride = stride, padding = padding))

    def lp_pool1d(x[width]; k, p) -> [width] = sum[kernel](pool[width, kernel = k](x; remainder = "drop") ^ p) ^ (1 / p)

    def batch_norm(x[batch, chan, width]; weight[chan], bias[chan], eps = 1e-5) -> [batch, chan, width]:
        return standardize[batch, width](x; eps = eps) * weight + bias

    def local_response(x[chan, width]; n, alpha, beta, k) -> [chan, width]:
        energy = mean[near](unroll[chan, near = n](x ^ 2; padding = (n // 2, (n - 1) // 2)))
        return x / (k + alpha * energy) ^ beta

    def bilinear(x[a], y[b]; weight[out, a, b], bias[out]) -> [out] = weight @[a] x @[b] y + bias

    def cosine(x[dim], y[dim]; eps = 1e-8):
        return x @[dim] y / (maximum(norm[dim](x), eps) * maximum(norm[dim](y), eps))

    def distances(x[i, dim], y[j, dim]) -> [i, j] = norm[dim](x - y)

    def normalize(x[dim]; eps = 1e-12) = x / maximum(norm[dim](x), eps)

    def glu(x[dim]) -> [dim]:
        halves = x[dim -> (half = 2, dim)]
        return halves[half = 0] * sigmoid(halves[half = 1])

    def weighted_cross_entropy(logits[batch, cls], target[batch]; weight[cls]):
        loss = -log_softmax[cls](logits)[cls = target]
        w = weight[cls = target]
        return sum[batch](w * loss) / sum[batch](w)

    def smoothed_cross_entropy(logits[batch, cls], target[batch]; smoothing):
        wanted = (1 - smoothing) * one_hot[cls](target) + smoothing / |cls|
        return -mean[batch](wanted @[cls] log_softmax[cls](logits))

    def ignoring_cross_entropy(logits[batch, cls], target[batch]; ignore):
        kept = target != ignore
        loss = -log_softmax[cls](logits)[cls = where(kept, target, 0)]
        return sum[batch](kept * loss) / sum[batch](kept)

    def binary_cross_entropy_with_logits(x[i], y[i]) = mean[i](maximum(x, 0) - x * y + softplus(-abs(x)))

    def huber(x[i], y[i]; delta = 1.0):
        d = abs(x - y)
        return mean[i](where(d < delta, d ^ 2 / 2, delta * (d - delta / 2)))

    def kl_div(log_p[i, j], q[i, j]) = sum[i, j](q * (log(q) - log_p)) / |i|

    def grouped_query_attention(q[head, query, dim], k[group, key, dim], v[group, key, val]) -> [head, query, val]:
        Q = q[head -> (group = |group|, member)]
        A = softmax[key](Q @[dim] k / sqrt(|dim|))
        return (A @[key] v)[(group, member) -> head]

    def causal_attention(q[query, dim], k[key, dim], v[key, val]) -> [query, val]:
        return softmax[key](q @[dim] k / sqrt(|dim|) + where(query >= key, 0, -inf)) @[key] v

    def shuffle_channels(x[chan, width]; groups) -> [chan, width] = x[chan -> (g = groups, c)][(c, g) -> chan]

    def pixel_unshuffle(x[chan, height, width]; r) -> [chan, height, width]:
        return x[height -> (height, rh = r), width -> (width, rw = r)][(chan, rh, rw) -> chan]

    def nearest(x[height, width]; k) -> [height, width] = x[height = height // k, width = width // k]

    def adaptive_avg_pool1d(x[width]; n) -> [width] = mean[part](x[width -> (width = n, part)])

    def embedding_bag(idx[bag, item]; weight[vocab, dim]) -> [bag, dim] = mean[item](weight[vocab = idx])

    def prelu(x[chan, width]; a[chan]) -> [chan, width] = maximum(x, 0) + a * minimum(x, 0)

    def elu(x; alpha = 1.0) = where(x > 0, x, alpha * (exp(minimum(x, 0)) - 1))

    def leaky(x; slope = 0.01) = where(x > 0, x, slope * x)

    def hardtanh(x) = clip(x, -1, 1)

    def mish(x) = x * tanh(softplus(x))

    def softmin(x[i]) = softmax[i](-x)

    def logsigmoid(x) = -softplus(-x)
    """
)

IDS = torch.tensor([[0, 3, 1], [4, 4, 2]])
CLASSES = torch.tensor([0, 3, 1, 3, 2])

Row = tuple[Any, Callable[..., Any], dict[str, Any], dict[str, Any]]


def row(function: Any, original: Callable[..., Any], options: dict[str, Any] | None = None, /, **inputs: Any) -> Row:
    """A formula, what torch computes from the same tensors, options of the formula, and shapes or constants."""
    return function, original, options or {}, inputs


def conv(options: dict[str, Any], kernel: tuple[int, int] = (3, 3), **same: Any) -> Row:
    given = {key: value for key, value in options.items() if key != "groups"} | same
    return row(
        MORE.conv2d,
        lambda x, w, b: F.conv2d(x, w, b, **options),
        given,
        x=(2, 3, 8, 7),
        weight=(4, 3, *kernel),
        bias=(4,),
    )


def padded_conv(mode: str, torch_mode: str) -> Row:
    return row(
        MORE.conv2d,
        lambda x, w, b: F.conv2d(F.pad(x, (1, 1, 1, 1), torch_mode), w, b),
        {"padding": 1, "mode": mode},
        x=(2, 3, 5, 6),
        weight=(4, 3, 3, 3),
        bias=(4,),
    )


def transposed(**options: Any) -> Row:
    return row(
        MORE.conv_transpose1d,
        lambda x, w, b: F.conv_transpose1d(x, w, b, **options),
        options,
        x=(2, 3, 5),
        weight=(3, 4, 3),
        bias=(4,),
    )


LAYERS = {
    "conv2d": conv({}),
    "conv2d, stride": conv({"stride": 2}),
    "conv2d, unequal strides": conv({"stride": (2, 3)}),
    "conv2d, padding": conv({"padding": 1}),
    "conv2d, unequal padding": conv({"padding": (2, 0)}),
    "conv2d, dilation": conv({"dilation": 2}),
    "conv2d, all of it": conv({"stride": (2, 1), "padding": (1, 3), "dilation": (1, 2)}, (3, 2)),
    "conv2d, same": conv({"padding": "same"}),
    "conv2d, same, even kernels": conv({"padding": "same"}, (2, 4)),
    "conv2d, same, dilated": conv({"padding": "same", "dilation": 2}, (3, 2)),
    "conv2d, valid": conv({"padding": "valid"}),
    "conv2d, a kernel of one": conv({}, (1, 1)),
    "conv2d, the whole image": conv({}, (8, 7)),
    "conv2d, circular": padded_conv("circular", "circular"),
    "conv2d, reflect": padded_conv("reflect", "reflect"),
    "conv2d, replicate": padded_conv("replicate", "replicate"),
    "conv2d, grouped": row(
        FORMULAS.conv2d_grouped,
        lambda x, w, b: F.conv2d(x, w, b, groups=2, stride=2, padding=1),
        {"groups": 2, "stride": 2, "padding": 1},
        x=(2, 4, 6, 5),
        weight=(6, 2, 3, 3),
        bias=(6,),
    ),
    "conv2d, depthwise with a multiplier": row(
        FORMULAS.conv2d_grouped,
        lambda x, w, b: F.conv2d(x, w, b, groups=3),
        {"groups": 3},
        x=(2, 3, 6, 5),
        weight=(6, 1, 2, 3),
        bias=(6,),
    ),
    "conv1d": row(
        FORMULAS.conv1d,
        lambda x, w, b: F.conv1d(x, w, b, stride=3, padding=2, dilation=2),
        {"stride": 3, "padding": 2, "dilation": 2},
        x=(2, 3, 12),
        weight=(4, 3, 3),
        bias=(4,),
    ),
    "conv_transpose1d": transposed(),
    "conv_transpose1d, stride": transposed(stride=3),
    "conv_transpose1d, padding": transposed(stride=2, padding=1),
    "conv_transpose1d, output padding": transposed(stride=2, padding=1, output_padding=1),
    "conv_transpose1d, dilation": transposed(stride=2, dilation=3),
    "max_pool1d, overlapping": row(
        MORE.max_pool1d, lambda x: F.max_pool1d(x, 3, 2), {"k": 3, "stride": 2}, x=(2, 3, 9)
    ),
    "max_pool1d, padded": row(
        MORE.max_pool1d, lambda x: F.max_pool1d(x, 3, 2, 1), {"k": 3, "stride": 2, "padding": 1}, x=(2, 3, 9)
    ),
    "max_pool1d, dilated": row(
        MORE.max_pool1d, lambda x: F.max_pool1d(x, 3, 1, 0, 2), {"k": 3, "stride": 1, "dilation": 2}, x=(2, 3, 9)
    ),
    "avg_pool1d, counting padding": row(
        MORE.avg_pool1d, lambda x: F.avg_pool1d(x, 3, 2, 1), {"k": 3, "stride": 2, "padding": 1}, x=(2, 3, 9)
    ),
    "lp_pool1d": row(MORE.lp_pool1d, lambda x: F.lp_pool1d(x, 2, 3), {"k": 3, "p": 2}, x=(2, 8)),
    "batch_norm, training": row(
        MORE.batch_norm,
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        x=(4, 3, 5),
        weight=(3,),
        bias=(3,),
    ),
    "local_response_norm": row(
        MORE.local_response,
        lambda x: F.local_response_norm(x, 3, 0.1, 0.75, 2.0),
        {"n": 3, "alpha": 0.1, "beta": 0.75, "k": 2.0},
        x=(2, 5, 4),
    ),
    "bilinear": row(MORE.bilinear, F.bilinear, x=(2, 3), y=(2, 4), weight=(5, 3, 4), bias=(5,)),
    "cosine_similarity": row(MORE.cosine, lambda x, y: F.cosine_similarity(x, y, -1), x=(4, 3), y=(4, 3)),
    "cdist": row(MORE.distances, torch.cdist, x=(5, 3), y=(4, 3)),
    "normalize": row(MORE.normalize, lambda x: F.normalize(x, dim=-1), x=(4, 3)),
    "glu": row(MORE.glu, lambda x: F.glu(x, -1), x=(4, 6)),
    "layer_norm of two axes": row(
        nl.compile("def f(x[a, b]; w[a, b], c[a, b]) = standardize[a, b](x) * w + c"),
        lambda x, w, c: F.layer_norm(x, (3, 4), w, c),
        x=(2, 3, 4),
        w=(3, 4),
        c=(3, 4),
    ),
    "rms_norm with eps": row(
        nl.compile("def f(x[d]; w[d]) = x * rsqrt(mean[d](x ^ 2) + 1e-3) * w"),
        lambda x, w: F.rms_norm(x, (5,), w, 1e-3),
        x=(2, 3, 5),
        w=(5,),
    ),
    "cross_entropy, weighted": row(
        MORE.weighted_cross_entropy,
        lambda x, i, w: F.cross_entropy(x, i, w),
        logits=(5, 4),
        target=CLASSES,
        weight=torch.tensor([0.5, 1.0, 2.0, 0.1]),
    ),
    "cross_entropy, smoothed": row(
        MORE.smoothed_cross_entropy,
        lambda x, i: F.cross_entropy(x, i, label_smoothing=0.2),
        {"smoothing": 0.2},
        logits=(5, 4),
        target=CLASSES,
    ),
    "cross_entropy, some ignored": row(
        MORE.ignoring_cross_entropy,
        lambda x, i: F.cross_entropy(x, i, ignore_index=3),
        {"ignore": 3},
        logits=(5, 4),
        target=CLASSES,
    ),
    "binary_cross_entropy_with_logits": row(
        MORE.binary_cross_entropy_with_logits, F.binary_cross_entropy_with_logits, x=(6,), y=torch.linspace(0, 1, 6)
    ),
    "huber_loss": row(MORE.huber, F.huber_loss, x=(6,), y=(6,)),
    "kl_div": row(
        MORE.kl_div,
        lambda p, q: F.kl_div(p, q, reduction="batchmean"),
        log_p=(3, 4),
        q=torch.linspace(0.1, 0.9, 12).reshape(3, 4),
    ),
    "scaled_dot_product_attention": row(
        nl.compile("def f(q[i, d], k[j, d], v[j, e]) -> [i, e] = softmax[j](q @[d] k / sqrt(|d|)) @[j] v"),
        F.scaled_dot_product_attention,
        q=(2, 3, 5, 4),
        k=(2, 3, 6, 4),
        v=(2, 3, 6, 2),
    ),
    "scaled_dot_product_attention, causal, more keys": row(
        MORE.causal_attention,
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        q=(2, 3, 4),
        k=(2, 6, 4),
        v=(2, 6, 2),
    ),
    "scaled_dot_product_attention, causal, more queries": row(
        MORE.causal_attention,
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        q=(2, 6, 4),
        k=(2, 3, 4),
        v=(2, 3, 2),
    ),
    "scaled_dot_product_attention, grouped queries": row(
        MORE.grouped_query_attention,
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        q=(2, 6, 5, 4),
        k=(2, 3, 7, 4),
        v=(2, 3, 7, 4),
    ),
    "channel_shuffle": row(MORE.shuffle_channels, lambda x: F.channel_shuffle(x, 2), {"groups": 2}, x=(2, 6, 3)),
    "pixel_unshuffle": row(MORE.pixel_unshuffle, lambda x: F.pixel_unshuffle(x, 2), {"r": 2}, x=(2, 3, 4, 6)),
    "interpolate, nearest": row(MORE.nearest, lambda x: F.interpolate(x, scale_factor=3), {"k": 3}, x=(2, 1, 3, 4)),
    "adaptive_avg_pool1d": row(MORE.adaptive_avg_pool1d, lambda x: F.adaptive_avg_pool1d(x, 3), {"n": 3}, x=(2, 6)),
    "embedding_bag": row(MORE.embedding_bag, lambda i, w: F.embedding_bag(i, w), idx=IDS, weight=(5, 3)),
    "prelu": row(MORE.prelu, F.prelu, x=(2, 3, 4), a=(3,)),
    "elu": row(MORE.elu, F.elu, x=(3, 4)),
    "leaky_relu": row(MORE.leaky, F.leaky_relu, x=(3, 4)),
    "hardtanh": row(MORE.hardtanh, F.hardtanh, x=(3, 4)),
    "mish": row(MORE.mish, F.mish, x=(3, 4)),
    "softmin": row(MORE.softmin, lambda x: F.softmin(x, -1), x=(3, 4)),
    "logsigmoid": row(MORE.logsigmoid, F.logsigmoid, x=(3, 4)),
    "gelu, tanh": row(
        nl.compile('def f(x) = gelu(x; approximate = "tanh")'), lambda x: F.gelu(x, approximate="tanh"), x=(3, 4)
    ),
    "silu": row(nl.compile("def f(x) = silu(x)"), F.silu, x=(3, 4)),
    "softplus": row(nl.compile("def f(x) = softplus(x)"), F.softplus, x=(3, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_formula_computes_what_torch_computes(name: str) -> None:
    function, original, options, shapes = LAYERS[name]
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    inputs = {key: _filled(one, generator) for key, one in shapes.items()}
    free = [tensor for tensor in inputs.values() if tensor.requires_grad]
    found, expected = function(**inputs, **options), original(*inputs.values())
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    weights = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    gradients, wanted = (torch.autograd.grad(one, free, weights) for one in (found, expected))
    for one, other in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def _filled(one: Any, generator: torch.Generator) -> torch.Tensor:
    if isinstance(one, tuple):
        return torch.randn(one, generator=generator, dtype=torch.float64).requires_grad_()
    return one.double() if one.is_floating_point() else one
