"""What names of other libraries are called here.

In: a name that is not defined. Out: the hint of the error, by the name. Only for what people are known to type.
"""

from __future__ import annotations

_CONTRACT = "a contraction is written `A @[axis] B`"
_ORDER = "axes have no order here; to rename one, write `X[old -> new]`"
_SHAPE = "merge axes with `X[(h, w) -> layer]`, split one with `X[layer -> (heads = 8, key)]`"
_MEET = "axes meet by name: values without the axis are repeated along it, and nothing needs to be expanded"
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
    **dict.fromkeys(("clamp",), "it is called `clip`"),
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
