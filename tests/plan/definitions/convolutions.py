"""Convolutions of one to three space axes, with everything that a kernel does besides."""

from __future__ import annotations

from tests.plan.definitions.table import Case

SIZES = {"x": 9, "y": 8, "z": 6, "k": 3, "l": 2, "m": 2}
ONE, TWO = "X[c, x]; W[o, c, k]", "X[c, x, y]; W[o, c, k, l]"
LIFTS = ("X",)


def _case(
    name: str, signature: str, body: str, ops: tuple[str, ...] = ("conv",), lifts: tuple[str, ...] = LIFTS
) -> Case:
    return Case(name, signature, body, ops, lifts, SIZES)


FLIPPED = ("conv", "index")

CASES = (
    _case("conv1d", ONE, "W @[c, k] unroll[x, k](X)"),
    _case("conv1d by an index", ONE, "W @[c, k] X[x = x + k]"),
    _case("conv1d with bias", "X[c, x]; W[o, c, k], b[o]", "W @[c, k] unroll[x, k](X) + b"),
    _case("strided", ONE, "W @[c, k] X[x = 2 * x + k]"),
    _case("dilated", ONE, "W @[c, k] X[x = x + 2 * k]"),
    _case("strided, dilated, padded", ONE, "W @[c, k] unroll[x, k](X; stride = 2, dilation = 2, padding = 1)"),
    _case("padded by fill", ONE, "W @[c, k] X[x = x + k - 1; fill = 0]"),
    _case("padded before", ONE, "W @[c, k] pad[x](X; before = |k| - 1)[x = x + k]"),
    _case(
        "padded circularly", ONE, 'W @[c, k] unroll[x, k](X; padding = 1, mode = "circular")', ("conv", "pad_around"),
    ),
    _case("causal", ONE, "W @[c, k] X[x = x + k - (|k| - 1); fill = 0]"),
    _case("causal, by delays", ONE, "W @[c, k] X[x = x - k; fill = 0]", FLIPPED),
    _case("padded by fill, two axes", TWO, "W @[c, k, l] X[x = x + k - 1, y = y + l; fill = 0]"),
    _case("of a circle", ONE, "W @[c, k] X[x = (x + k - 1) % |x|]", ("conv", "pad_around")),
    _case("of a circle, backwards", ONE, "W @[c, k] X[x = (x - k) % |x|]", (*FLIPPED, "pad_around")),
    _case("of the nearest", ONE, "W @[c, k] X[x = clip(x + k - 1, 0, |x| - 1)]", ("conv", "pad_around")),
    _case("of two circles", TWO, "W @[c, k, l] X[x = (x + k) % |x|, y = (y + l - 1) % |y|]", ("conv", "pad_around")),
    _case("true convolution", ONE, "W @[c, k] X[x = x + |k| - 1 - k]", FLIPPED),
    _case("flipped kernel", ONE, "flip[k](W) @[c, k] unroll[x, k](X)", FLIPPED),
    _case("flipped twice", ONE, "flip[k](W) @[c, k] X[x = x + |k| - 1 - k]"),
    _case("of the whole axis", "X[c, x]; W[o, c, x]", "W @[c, x] X", ("contract",)),
    _case("pointwise", "X[c, x, y]; W[o, c]", "W @[c] X", ("contract",)),
    _case("conv2d", TWO, "W @[c, k, l] unroll[x, y, k, l](X)"),
    _case("conv2d, unlike ways", TWO, "W @[c, k, l] X[x = 2 * x + k, y = y + 2 * l]"),
    _case("one way after the other", TWO, "W @[c, k, l] unroll[x, k](unroll[y, l](X; padding = 1); stride = 2)"),
    _case("along one axis of two", "X[c, x, y]; W[o, c, k]", "W @[c, k] unroll[x, k](X)"),
    _case("along one axis, over all of the other", "X[c, x, y]; W[o, c, k, y]", "W @[c, k, y] unroll[x, k](X)"),
    _case("conv3d", "X[c, x, y, z]; W[o, c, k, l, m]", "W @[c, k, l, m] unroll[x, y, z, k, l, m](X)"),
    _case("depthwise", "X[c, x]; W[c, k]", "W @[k] unroll[x, k](X)"),
    _case("depthwise with a multiplier", "X[c, x]; W[c, o, k]", "W @[k] unroll[x, k](X)"),
    _case("shared by channels", "X[c, x]; W[o, k]", "W @[k] unroll[x, k](X)"),
    _case("shared by the channels of a head", "X[h, c, x]; W[h, k]", "W @[k] unroll[x, k](X)"),
    _case("of softmaxed kernels", "X[x, h, c]; W[h, k]", "softmax[k](W) @[k] unroll[x, k](X)", ("conv", "softmax")),
    _case("groups as an axis", "X[g, c, x]; W[g, o, c, k]", "W @[c, k] unroll[x, k](X)"),
    _case(
        "groups as a split", "X[c = 4, x]; W[o = 6, m, k]",
        "(W[o -> (g = 2, o)] @[m, k] unroll[x, k](X[c -> (g = 2, m)]))[(g, o) -> o]",
        ("conv", "merge", "split", "split"),
    ),
    _case("separable", "X[c, x]; D[c, k], P[o, c]", "P @[c] (D @[k] unroll[x, k](X))", ("contract", "conv")),
)  # fmt: skip

# Missed as `where(not 0 < Y, 0, Y)`.
PENDING = (
    _case("conv1d and relu", "X[c, x]; W[o, c, k], b[o]", "relu(W @[c, k] unroll[x, k](X) + b)", ("conv", "relu")),
)
