"""Steps one after the other, written out: what is computed where nothing faster is known.

In: the function of a step, the tensors that it runs with, the order of the steps. Out: all values of all steps, or what
comes back through them. What always holds: no state of the thread changes what is computed: neither autocast nor, where
a seed is given, the generator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from namedlayers.emit.loops.steps_by_name import Step


def no_steps(step: Step, tensors: Sequence[Tensor], scanned: Sequence[bool], sizes: Sequence[int]) -> list[Tensor]:
    """The values of no steps; a step on the device `meta` says what they look like."""
    likes = [one.to("meta") for one in tensors]
    args = [one.new_empty(one.shape[1:]) if is_ else one for one, is_ in zip(likes, scanned, strict=True)]
    return [one.new_empty((0, *one.shape), device=device_of(tensors)) for one in listed(step(*args, *sizes))]


def run(
    step: Step, tensors: Sequence[Tensor], scanned: Sequence[bool], carries: int, order: Sequence[int],
    sizes: Sequence[int], begin: Callable[[int], object],
) -> list[Tensor]:  # fmt: skip
    """All values of all steps; `begin` is told where each step is."""
    now, collected = list(tensors), []
    for at in order:
        begin(at)
        args = [one[at] if is_ else held for one, is_, held in zip(tensors, scanned, now, strict=True)]
        made = listed(step(*args, *sizes))
        now[:carries] = made[:carries]
        collected.append(made)
    if order[0] > order[-1]:
        collected.reverse()
    return [torch.stack(values) for values in zip(*collected, strict=True)]


def pulled_back(
    made: Sequence[Tensor], slopes: Sequence[Tensor | None], starts: dict[int, Tensor], *, further: bool = False
) -> dict[int, Tensor | None]:
    """The gradients of `starts`, from those of what was made of them; `further`: they have gradients in turn."""
    ends = [(one, slope) for one, slope in zip(made, slopes, strict=True) if slope is not None and one.requires_grad]
    reached = {k: one for k, one in starts.items() if one.requires_grad}
    if not ends or not reached:
        return dict.fromkeys(starts)
    values, outer = zip(*ends, strict=True)
    found = torch.autograd.grad(values, list(reached.values()), outer, create_graph=further, allow_unused=True)
    return dict.fromkeys(starts) | dict(zip(reached, found, strict=True))


def order_of(steps: int, reverse: bool) -> list[int]:
    return list(range(steps))[:: -1 if reverse else 1]


def listed(found: Any) -> list[Tensor]:
    return list(found) if isinstance(found, tuple) else [found]


def added(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return one if other is None else other if one is None else one + other


def differentiable(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def device_of(tensors: Sequence[Tensor]) -> torch.device:
    return tensors[0].device if tensors else torch.device("cpu")


_WITHHELD = tuple(
    getattr(torch._C.DispatchKey, name)
    for name in (
        "AutogradFunctionality ADInplaceOrView Conjugate Negative ZeroTensor FuncTorchBatched "
        "FuncTorchBatchedDecomposition FuncTorchDynamicLayerBackMode FuncTorchDynamicLayerFrontMode "
        "FuncTorchGradWrapper FuncTorchVmapMode"
    ).split()
)
"""What torch leaves out below an operator, or below a mode of Python's that sees operators."""


@contextmanager
def afresh() -> Iterator[None]:
    """As at top level: derivatives are recorded, `vmap` works, conjugates are taken."""
    gone = [key for key in _WITHHELD if torch._C._dispatch_tls_is_dispatch_key_excluded(key)]
    for key in gone:
        torch._C._dispatch_tls_set_dispatch_key_excluded(key, False)
    try:
        yield
    finally:
        for key in gone:
            torch._C._dispatch_tls_set_dispatch_key_excluded(key, True)


@contextmanager
def plainly(seed: Tensor | None, tensors: Sequence[Tensor]) -> Iterator[Callable[[int], object]]:
    """Without autocast, whose state is not part of a graph; what is given sets the random state of a step."""
    device = device_of(tensors)
    with afresh(), torch.autocast(device.type, enabled=False):
        if seed is None:
            yield lambda at: None
        else:
            start = int(seed)
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                yield lambda at: torch.manual_seed(start + at)
