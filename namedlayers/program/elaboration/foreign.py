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

FOREIGN: dict[str, str] = {
    **dict.fromkeys(("einsum", "matmul", "mm", "bmm", "dot", "inner", "tensordot"), _CONTRACT),
    **dict.fromkeys(("transpose", "permute", "swapaxes", "moveaxis", "movedim", "t", "T", "mT"), _ORDER),
    **dict.fromkeys(("reshape", "view", "flatten", "unflatten", "rearrange"), _SHAPE),
    **dict.fromkeys(("unsqueeze", "squeeze", "broadcast_to", "repeat_interleave", "tile"), _MEET),
    **dict.fromkeys(("select", "index_select", "take", "gather", "embedding"), f"{_SELECT}, gather with `X[axis = I]`"),
    **dict.fromkeys(("cat", "concatenate"), "it is called `concat`: `concat[axis](A, B)`"),
    **dict.fromkeys(("len", "shape", "size"), "the size of an axis is written `|axis|`"),
    **dict.fromkeys(("arange", "iota"), "the coordinates of an axis are `index[axis]`, or its name"),
    **dict.fromkeys(
        ("layer_norm", "normalize"), "`standardize[axis](X)` subtracts the mean and divides by the deviation"
    ),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), "a convolution is `W @[chans, kernel] unroll[seq, kernel](X)`"),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "maxpool"), "write `max[kernel](pool[seq, kernel = 2](X))`"),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avgpool"), "write `mean[kernel](pool[seq, kernel = 2](X))`"),
    **dict.fromkeys(("amax", "reduce_max"), "it is called `max`"),
    **dict.fromkeys(("amin", "reduce_min"), "it is called `min`"),
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max"), "it is called `clip`: `clip(X, lo, hi)`"),
    **dict.fromkeys(("randn", "randn_like"), "numbers of mean 0 and deviation 1 are `normal[axis]`"),
    **dict.fromkeys(("rand", "rand_like", "random"), "numbers between 0 and 1 are `uniform[axis]`"),
    **dict.fromkeys(("multinomial", "choice"), "a draw is `categorical[axis](logits)`"),
    **dict.fromkeys(("full", "full_like"), "a number is the same at every coordinate: write it where it is needed"),
    **dict.fromkeys(("ones_like", "zeros_like"), "write 1 or 0, or name the axes: `zeros[axis]`"),
    **dict.fromkeys(("tril", "triu"), "a triangle is `where(column <= row, X, 0)`, by the coordinates of two axes"),
    **dict.fromkeys(("masked_fill", "masked_select"), "it is called `where`: `where(mask, value, X)`"),
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
