"""Whether a tensor's numbers may be looked at while a call runs.

In: a tensor. Out: yes or no. What always holds: where the answer is yes, nothing records or transforms what is done to
the tensor but autograd in its usual direction, and nothing has to be waited for; so that what is done next may depend
on its numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, compiler
from torch._subclasses import FakeTensor
from torch.autograd import forward_ad
from torch.compiler import is_dynamo_compiling
from torch.nn import Parameter

PLAIN = frozenset((Tensor, Parameter))
"""The classes of tensors on which an operation does just what it says."""
# By their own names: after a large kernel nothing is in the caches, and every step of the way to a function counts. For
# the same reason nobody asks `is_compiling`: what else it tells of has fake tensors or a mode of dispatch. Nor is
# `is_exporting` called for the flag that it returns.
_transforms = torch._C._functorch.peek_interpreter_stack
_modes = torch._C._len_torch_dispatch_stack
_in_batches = torch._C._functorch.is_legacy_batchedtensor
_RECORDING = (torch._C._TorchDispatchModeKey.PROXY, torch._C._TorchDispatchModeKey.FAKE)


def visible(x: Tensor) -> bool:
    """Whether the numbers of `x` are at hand.

    >>> visible(torch.ones(2)), torch.func.vmap(lambda x: torch.tensor(visible(x)))(torch.ones(2))
    (True, tensor([False, False]))
    """
    return (
        not is_dynamo_compiling()
        and not compiler._is_exporting_flag
        and type(x) in PLAIN
        and x.is_cpu
        and _transforms() is None
        and not _modes()
        and forward_ad._current_level < 0
    )


def unrecorded() -> bool:
    """Whether nothing records or transforms what is done now but autograd in its usual direction.

    >>> unrecorded(), torch.func.vmap(lambda x: torch.tensor(unrecorded()))(torch.ones(2))
    (True, tensor([False, False]))
    """
    return (
        not is_dynamo_compiling()
        and not compiler._is_exporting_flag
        and _transforms() is None
        and not _modes()
        and forward_ad._current_level < 0
        and torch._C._get_tracing_state() is None
    )


def all_visible(*tensors: Tensor) -> bool:
    """Whether the numbers of all are at hand, in fewer steps than if each is asked for alone.

    >>> all_visible(torch.ones(2), torch.ones(3)), all_visible(torch.ones(2), torch.ones(2, device="meta"))
    (True, False)
    """
    if (
        is_dynamo_compiling()
        or compiler._is_exporting_flag
        or _transforms() is not None
        or _modes()
        or forward_ad._current_level >= 0
    ):
        return False
    for x in tensors:
        if type(x) not in PLAIN or not x.is_cpu:
            return False
    return True


def refuses(x: Tensor) -> bool:
    """Whether a kernel that is given `x` says at once what it does not take. (A transform hands on what it is told; a
    tensor that is spread over processes may not.)

    >>> refuses(torch.ones(2)), refuses(torch.ones(2, device="meta"))
    (True, False)
    """
    # What is exported is traced by torch.compile, or has fake tensors.
    return not is_dynamo_compiling() and type(x) in PLAIN and x.is_cpu and not _modes()


def told(x: Tensor) -> bool:
    """What one element says, for which the host waits if it lies on a device: for what is asked once in many steps."""
    return bool(x)


def without_numbers(*tensors: Tensor) -> bool:
    """Whether there is nothing to look at, whoever waits: fake tensors, those on `meta`, and what `make_fx` records.

    >>> without_numbers(torch.ones(2)), without_numbers(torch.ones(2, device="meta"))
    (False, True)
    """
    if all(map(visible, tensors)):
        return False
    if any(torch._C._get_dispatch_mode(key) is not None for key in _RECORDING):
        return True
    return any(x.is_meta or isinstance(x, FakeTensor) for x in tensors)


def batched_backward(*slopes: Tensor) -> bool:
    """Whether a backward pass is for several slopes at once (`is_grads_batched`): a vmap that nothing else tells of."""
    return any(map(_in_batches, slopes))


def forward_mode() -> bool:
    """Whether tangents may be carried along."""
    return forward_ad._current_level >= 0
