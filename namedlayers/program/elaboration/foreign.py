"""What names of other libraries are called here.

In: a name that is not defined. Out: the hint of the error, by the name. Only for what people are known to type.
"""

from __future__ import annotations

_CONTRACT = "a contraction is written `A @[axis] B`"
_ORDER = "axes have no order here; to rename one, write `X[old -> new]`"
_SHAPE = "merge axes with `X[(h, w) -> layer]`, split one with `X[layer -> (heads = 8, key)]`"
_MEET = "axes meet by name: values without the axis are repeated along it, and nothing needs to be expanded"
_NOTHING = "there is no such value: an input may be left out where it has a default, as in `M[seq] = 0`"
_LOGIC = "write `A and B`, `A or B`, `not A`"
_INPUTS = "precision and device are those of the inputs: convert these"
_SELECT = "select with `X[axis = 0]`"
_AGAIN = f"{_MEET}; `X[seq = index[again = 6] % |seq|]` repeats an axis that there is"
_SCATTER = "where values go is a sum over where they come from: `sum[edge](where(index[node = 5] == I, X, 0))`"
_COUNTED = "how many there are would depend on the data, and sizes do not; keep all, and `where(condition, X, 0)`"
_FROM = "begin the text with `from"

FOREIGN: dict[str, str] = {
    **dict.fromkeys(("einsum", "matmul", "mm", "bmm", "dot", "inner", "tensordot"), _CONTRACT),
    **dict.fromkeys(("transpose", "permute", "swapaxes", "moveaxis", "movedim", "t", "T", "mT"), _ORDER),
    **dict.fromkeys(("reshape", "view", "flatten", "unflatten", "rearrange"), _SHAPE),
    **dict.fromkeys(("unsqueeze", "squeeze", "broadcast_to", "expand_as"), _MEET),
    **dict.fromkeys(("repeat", "tile"), _AGAIN),
    "repeat_interleave": "each element n times is `X[seq = seq // n]`",
    **dict.fromkeys(("select", "index_select", "take", "gather", "embedding"), f"{_SELECT}, gather with `X[axis = I]`"),
    **dict.fromkeys(("cat", "concatenate"), "it is called `concat`: `concat[axis](A, B)`"),
    **dict.fromkeys(("len", "shape", "size"), "the size of an axis is written `|axis|`"),
    **dict.fromkeys(("arange", "iota"), "the coordinates of an axis are `index[axis]`, or its name"),
    **dict.fromkeys(
        ("layer_norm", "instance_norm"), "`standardize[axis](X)` subtracts the mean and divides by the deviation"
    ),
    "batch_norm": f"the layer is `BatchNorm`: {_FROM} norm import BatchNorm`; stateless, `standardize[batch](X)`",
    "rms_norm": f"the layer is `RMSNorm`: {_FROM} norm import RMSNorm`",
    "scaled_dot_product_attention": "write `softmax[seq](Q @[key] K / sqrt(|key|)) @[seq] V`: it runs as that kernel",
    "mse_loss": f"it is called `mse`: {_FROM} losses import mse`",
    "l1_loss": f"it is called `l1`: {_FROM} losses import l1`",
    "huber_loss": f"it is called `huber`: {_FROM} losses import huber`",
    "smooth_l1_loss": f"it is called `smooth_l1`: {_FROM} losses import smooth_l1`",
    "nll_loss": f"it is called `nll`: {_FROM} losses import nll`",
    "kl_div": f"it is called `kl`: {_FROM} losses import kl`",
    "binary_cross_entropy": f"it is called `bce`: {_FROM} losses import bce`",
    "binary_cross_entropy_with_logits": f"it is called `bce_with_logits`: {_FROM} losses import bce_with_logits`",
    **dict.fromkeys(
        ("interpolate", "upsample"), f"there is `upsample_nearest`: {_FROM} vision import upsample_nearest`"
    ),
    "cdist": "distances are `sqrt(sum[k]((A - B) ^ 2))`, of values that share only the axis `k`",
    **dict.fromkeys(("reduce",), "name what reduces and its axes: `mean[h, w](X)`"),
    **dict.fromkeys(("diag", "diagonal"), "a diagonal is read with `A[j = i]`, and made with `where(i == j, x, 0)`"),
    "reciprocal": "write `1 / X`",
    "kron": "a product is `A * B`; its axes are merged with `X[(i, k) -> row, (j, l) -> column]`",
    "linspace": "write it from the coordinates: `a + (b - a) * index[k = 5] / 4`",
    "logit": "write `log(p / (1 - p))`",
    "erfc": "write `1 - erf(X)`",
    "nan_to_num": "write `where(isnan(X), 0, X)`",
    "count_nonzero": "write `sum[axis](X != 0)`",
    **dict.fromkeys(("unfold", "im2col"), "windows are `unroll[seq, kernel](X)`"),
    **dict.fromkeys(("nanmean",), "write `sum[axis](where(isnan(X), 0, X)) / sum[axis](not isnan(X))`"),
    **dict.fromkeys(("rfft", "irfft"), "there are `fft[time -> freq](X)` and `ifft`; slice the half that you need"),
    **dict.fromkeys(("scatter", "scatter_add", "index_add", "segment_sum"), _SCATTER),
    **dict.fromkeys(("nonzero", "unique", "masked_select"), _COUNTED),
    **dict.fromkeys(("median", "quantile"), "it is read off what is sorted: `sort[seq](X)[seq = (|seq| - 1) // 2]`"),
    **dict.fromkeys(("svd", "qr", "pinv"), "there are `inv`, `solve`, `cholesky`, `det`, `eigh` and `inv_sqrt`"),
    "inverse": "it is called `inv`: `inv[i, j](A)`",
    "meshgrid": "nothing is needed: the coordinates of two axes meet by name",
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), "a convolution is `W @[chans, kernel] unroll[seq, kernel](X)`"),
    **dict.fromkeys(
        ("maxpool", "maxpool1d", "maxpool2d", "MaxPool1d", "MaxPool2d"), "write `max[kernel](pool[seq, kernel = 2](X))`"
    ),
    **dict.fromkeys(
        ("avgpool", "avgpool1d", "avgpool2d", "AvgPool1d", "AvgPool2d"),
        "write `mean[kernel](pool[seq, kernel = 2](X))`",
    ),
    **dict.fromkeys(("amax", "reduce_max"), "it is called `max`"),
    **dict.fromkeys(("amin", "reduce_min"), "it is called `min`"),
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max"), "it is called `clip`: `clip(X, lo, hi)`"),
    **dict.fromkeys(("randn", "randn_like"), "numbers of mean 0 and deviation 1 are `normal[axis]`"),
    **dict.fromkeys(("rand", "rand_like", "random"), "numbers between 0 and 1 are `uniform[axis]`"),
    **dict.fromkeys(("multinomial", "choice"), "a draw is `categorical[axis](logits)`"),
    **dict.fromkeys(("full", "full_like"), "a number is the same at every coordinate: write it where it is needed"),
    **dict.fromkeys(("ones_like", "zeros_like"), "write 1 or 0, or name the axes: `zeros[axis]`"),
    **dict.fromkeys(("tril", "triu"), "a triangle is `where(column <= row, X, 0)`, by the coordinates of two axes"),
    **dict.fromkeys(("masked_fill",), "it is called `where`: `where(mask, value, X)`"),
    **dict.fromkeys(("chunk", "split"), "split an axis, `X[axis -> (k = 2, part)]`, or slice it, `X[axis = 0:4]`"),
    **dict.fromkeys(("pow", "square"), "a power is written `X ^ 2`"),
    **dict.fromkeys(("outer", "mul", "multiply"), "a product is `A * B`; axes that one lacks are lifted over"),
    **dict.fromkeys(("add", "subtract", "sub", "div", "divide"), "arithmetic is written with signs: `A + B`, `A / B`"),
    **dict.fromkeys(("Σ", "∑", "reduce_sum", "nansum"), "it is called `sum`: `sum[axis](X)`"),
    **dict.fromkeys(("Π", "∏", "product"), "it is called `prod`: `prod[axis](X)`"),
    **dict.fromkeys(("parameter", "Parameter", "param"), "a layer declares it on a line: `param W[axes] ~ zeros`"),
    **dict.fromkeys(("buffer", "register_buffer", "state"), "a layer declares it on a line: `state s[axes] ~ zeros`"),
    **dict.fromkeys(("none", "null", "nil"), _NOTHING),
    **dict.fromkeys(("logical_and", "logical_or", "logical_not", "bitwise_and", "bitwise_or"), _LOGIC),
    **dict.fromkeys(("equal", "not_equal", "greater", "less"), "comparisons are written with signs: `A == B`, `A < B`"),
    **dict.fromkeys(("isclose", "allclose"), "write `abs(A - B) < 1e-6`"),
    **dict.fromkeys(("stop_gradient", "no_grad"), "it is called `detach`: `detach(X)`"),
    **dict.fromkeys(("to", "float", "double", "half", "bfloat16", "type", "astype", "cuda", "cpu"), _INPUTS),
    **dict.fromkeys(("vmap", "map"), "a formula applies to tensors that have more axes than it names, once for each"),
    **dict.fromkeys(
        ("item", "numpy", "tolist"), "a formula computes with tensors only; what it gives is read in Python"
    ),
    "None": _NOTHING,
    **dict.fromkeys(("ln",), "it is called `log`"),
    **dict.fromkeys(("swish",), "it is called `silu`"),
    **dict.fromkeys(("ifelse", "cond", "if_else"), "it is called `where`: `where(condition, then, otherwise)`"),
}

_DIMENSIONS = frozenset({"dim", "dims", "axis", "axes"})
_KEPT = frozenset({"keepdim", "keepdims"})


def dimension(function: str, option: str) -> str:
    """What to write instead of an option that says dimensions by number; empty if it is none."""
    if option in _KEPT:
        return "leave it out: values meet by the names of their axes"
    return f"axes stand in brackets, by name: `{function}[seq](…)`" if option in _DIMENSIONS else ""


def numbered(axis: str) -> str:
    """What to write instead of the number of a dimension in brackets, `dim = -1`; empty if the name says none."""
    named = "axes have names instead of numbers: write `softmax[seq](X)`"
    return named if axis in _DIMENSIONS else ""
