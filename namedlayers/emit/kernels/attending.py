"""`scaled_dot_product_attention` as it is called at run time: so that torch takes its fused kernel, and that all
derivatives exist.

In: what torch's function takes, in four dimensions. Out: what it gives. What always holds: second derivatives and
tangents, which the fused kernels lack, come from the same formula in differentiable operations; the first ones, where
no second are asked for, from the kernel.

On the CPU there is no kernel where a gradient flows into the mask (learned positions), nor one for few keys with long
features (channels that attend to each other), nor one for keys that are no more than twice their features and lie
turned in memory: two products and a softmax are faster than what torch makes of it. The kernel wants features side by
side in memory, and values as wide as keys: features are copied where they are not, and zeros make the narrower of the
two as wide as the other.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from namedlayers.emit.kernels.eager import forward_mode, visible
from namedlayers.emit.kernels.looking import softmax


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    members: int = 1,
) -> Tensor:
    """As `F.scaled_dot_product_attention`, differentiable as often as one likes. `members`: so many sets of queries,
    one after the other, share keys and values, and none sees more than another.

    >>> q = torch.ones(1, 1, 2, 3, requires_grad=True)
    >>> (slope,) = torch.autograd.grad(scaled_dot_product_attention(q, q, q).sum(), q, create_graph=True)
    >>> torch.autograd.grad((slope**2).sum(), q)[0].shape
    torch.Size([1, 1, 2, 3])
    """
    if not visible(query):
        further = not torch.compiler.is_compiling() and (forward_mode() or _derived_again(query, key, value))
        return (_written_out if further else _as_torch)(query, key, value, attn_mask, is_causal, scale, enable_gqa)
    if attn_mask is not None and not enable_gqa and _is_learned(attn_mask):
        return _by_products(query, key, value, attn_mask, scale)
    if attn_mask is None and not is_causal and not enable_gqa and _is_of_channels(query, key, value):
        scores = torch.matmul(query, key.mT)
        scale = query.size(-1) ** -0.5 if scale is None else scale
        return torch.matmul(softmax(scores if scale == 1 else scores * scale, -1), value)
    if not query.stride(-1) == key.stride(-1) == value.stride(-1) == 1:
        query, key, value = (one if one.stride(-1) == 1 else one.contiguous() for one in (query, key, value))
    if members > 1 and query.size(2) >= members * MANY_QUERIES:
        heads = query.unflatten(2, (members, -1)).flatten(1, 2)
        found = scaled_dot_product_attention(heads, key, value, None, False, scale, True)
        return found.unflatten(1, (-1, members)).flatten(2, 3)
    wide, width = query.size(-1), value.size(-1)
    if wide == width or max(wide, width) > MOST_PADDING * min(wide, width):
        return _one_kernel(query, key, value, attn_mask, is_causal, scale, enable_gqa)
    scale = wide**-0.5 if scale is None else scale
    query, key, value = (F.pad(one, (0, max(wide, width) - one.size(-1))) for one in (query, key, value))
    return _one_kernel(query, key, value, attn_mask, is_causal, scale, enable_gqa)[..., :width]


# --- helpers ----------------------------------------------------------------------------------------------------------

MOST_PADDING = 4
"""So many times as wide as the other may keys or values be, if zeros are to cost less than doing without the kernel."""

MANY_QUERIES = 192
"""With so many queries it does not pay that keys are read for several sets of them at once: the kernel takes long
blocks as it is, and still longer ones, of all sets, want more memory for each thread."""

LONG, TIMES = 256, 4
"""Features are long from so many on, if they are so many times as many as the keys."""

_FLASH = 1
"""torch's number of the kernel; the others on the CPU are made of differentiable operations."""


def _one_kernel(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scale: float | None, grouped: bool
) -> Tensor:
    """The kernel that torch would choose, on plain tensors on the CPU."""
    derived = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)
    # torch divides by the number of heads to choose.
    if derived and key.size(1) and not torch.is_autocast_enabled("cpu"):
        chosen = torch._fused_sdp_choice(query, key, value, mask, 0.0, causal, scale=scale, enable_gqa=grouped)
        if chosen == _FLASH:
            return _Flash.apply(query, key, value, mask, causal, scale, grouped)
    return _as_torch(query, key, value, mask, causal, scale, grouped)


def _as_torch(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scale: float | None, grouped: bool
) -> Tensor:
    return F.scaled_dot_product_attention(query, key, value, mask, 0.0, causal, scale=scale, enable_gqa=grouped)


def _written_out(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scale: float | None, grouped: bool
) -> Tensor:
    """In differentiable operations. (These add a mask whatever it is made of.)"""
    mask = _added(mask, query.dtype)
    found, _ = torch._scaled_dot_product_attention_math(
        query, key, value, mask, 0.0, causal, None, scale=scale, enable_gqa=grouped
    )
    return found


def _is_learned(mask: Tensor) -> bool:
    """Whether there is a gradient at a mask, which the fused kernel does not give."""
    return torch.is_grad_enabled() and mask.requires_grad and not torch.is_autocast_enabled("cpu")


def _is_of_channels(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether keys are few and features long, as where channels attend to each other: scores are small beside all
    else, and products of matrices go over long rows faster than the kernel does, which is made for short ones. Where
    features lie apart in memory, a product takes them as they are, and the kernel a copy: scores need be no more than
    what would be copied."""
    if query.dtype not in (torch.float32, torch.float64) or torch.is_autocast_enabled("cpu"):
        return False
    queries, features = query.shape[-2:]
    keys = key.size(-2)
    if _is_turned(query) and _is_turned(key):
        return queries * keys <= (queries + keys) * features
    return min(features, value.size(-1)) >= max(LONG, TIMES * queries, TIMES * keys)


def _is_turned(x: Tensor) -> bool:
    """Whether what lies side by side in memory is not the features."""
    return x.stride(-2) == 1 and x.stride(-1) > 1


def _by_products(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float | None) -> Tensor:
    """Two products and a softmax: torch's own form without its kernel scales both sides, and its softmax is slower."""
    scores = torch.matmul(query * (query.size(-1) ** -0.5 if scale is None else scale), key.mT) + mask
    return torch.matmul(softmax(scores, -1), value)


def _added(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """A mask that is added: -inf where a boolean one forbids."""
    if mask is None or mask.dtype is not torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, -torch.inf)


class _Flash(torch.autograd.Function):
    """The fused kernel of the CPU, with a gradient that is differentiable if one is wanted."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scale: float | None,
        grouped: bool,
    ) -> Tensor:  # fmt: skip
        mask = _added(mask, query.dtype)
        found, total = torch._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, causal, attn_mask=mask, scale=scale
        )
        ctx.save_for_backward(query, key, value, mask, found, total)
        ctx.causal, ctx.scale, ctx.grouped = causal, scale, grouped
        return found

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        query, key, value, mask, found, total = ctx.saved_tensors
        if not torch.is_grad_enabled():
            slopes = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default(
                slope, query, key, value, found, total, 0.0, ctx.causal, attn_mask=mask, scale=ctx.scale
            )
            return *slopes, None, None, None, None
        # A gradient of this is wanted. Views tell the operands apart where they are one tensor.
        query, key, value = query.view_as(query), key.view_as(key), value.view_as(value)
        again = _written_out(query, key, value, mask, ctx.causal, ctx.scale, ctx.grouped)
        wanted = [one for one, needed in zip((query, key, value), ctx.needs_input_grad, strict=False) if needed]
        given = iter(torch.autograd.grad(again, wanted, slope, create_graph=True))
        return *(next(given) if needed else None for needed in ctx.needs_input_grad[:3]), None, None, None, None


def _derived_again(*operands: Tensor) -> bool:
    """Whether a transform wants tangents, or gradients that something else differentiates again."""
    if torch._C._functorch.peek_interpreter_stack() is None:
        return False
    kinds = [one.key() for one in torch._C._functorch.get_interpreter_stack()]
    grads = kinds.count(torch._C._functorch.TransformType.Grad)
    return (
        grads > 1
        or torch._C._functorch.TransformType.Jvp in kinds
        or (grads > 0 and any(_innermost(one).requires_grad for one in operands))
    )


def _innermost(x: Tensor) -> Tensor:
    while torch._C._functorch.is_functorch_wrapped_tensor(x):
        x = torch._C._functorch.get_unwrapped(x)
    return x
