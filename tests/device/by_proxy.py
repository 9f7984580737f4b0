"""A plugin of pytest: whatever a test calls runs on the stand-in for a device, and comes back.

In: a run of pytest, with `-p tests.device.by_proxy`. Out: the same tests, in which each function that was compiled
computes on the device: its arguments go there, its results and its gradients come back. `--every N` runs each N-th row
of a test's table, from the first: rows differ in numbers that the CPU has shown. What always holds: between those the
host waits for nothing; what is traced or transformed runs as ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest

from tests.device import stand_in  # before torch

import torch  # isort: skip
from torch import Tensor
from torch.nn import Parameter

from namedlayers.emit.build import Compiled
from namedlayers.emit.kernels import eager


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every", default=1, type=int, help="run each so-many-th row of a test's table")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    seen: Counter[str] = Counter()
    chosen, others = [], []
    for item in items:
        test = item.nodeid.split("[")[0]
        (others if seen[test] % config.getoption("--every") else chosen).append(item)
        seen[test] += 1
    config.hook.pytest_deselected(items=others)
    items[:] = chosen


class Sent(torch.autograd.Function):
    """To the device; its slope comes back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        with stand_in.waiting():
            return x.to(stand_in.DEVICE)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return Fetched.apply(slope)  # type: ignore[no-any-return]


class Fetched(torch.autograd.Function):
    """From the device; its slope goes there."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        with stand_in.waiting():
            return x.cpu()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return Sent.apply(slope)  # type: ignore[no-any-return]


def there(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, on the device."""

    @wraps(function)
    def run(*args: Any) -> Any:
        tensors = [one for one in args if isinstance(one, Tensor)]
        if not tensors or not all(map(eager.visible, tensors)):
            return function(*args)
        found = function(*(Sent.apply(one) if isinstance(one, Tensor) else one for one in args))
        if isinstance(found, tuple):
            return tuple(map(_back, found))
        return _back(found)

    return run


def _back(found: Any) -> Any:
    if not isinstance(found, Tensor):
        return found
    assert found.is_cuda, "a result lies where the arguments do"
    return Fetched.apply(found)


def _made(self: Compiled, *args: Any, **kwargs: Any) -> None:
    _init(self, *args, **kwargs)
    object.__setattr__(self, "function", there(self.function))


def _told(x: Tensor) -> bool:
    """What the host waits for deliberately."""
    with stand_in.waiting():
        return bool(x)


eager.told = _told
_init = Compiled.__init__
Compiled.__init__ = _made  # type: ignore[method-assign]
eager.PLAIN = frozenset((Tensor, Parameter, stand_in.OnDevice))
stand_in._set_sync_debug_mode("error")
