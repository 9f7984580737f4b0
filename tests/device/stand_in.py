"""A CUDA device for a machine that has none: what computes is the CPU, what may not happen on a device is an error.

In: nothing; to import this module, before torch, is to have the device. Out: `OnDevice`, the tensors that lie there:
their numbers are those of a tensor on the CPU. What always holds: a tensor of the device never meets one of the CPU,
but for a number where torch takes one; where the host would have to wait for the device (`.item()`, a copy to the CPU,
a shape that depends on numbers) it is an error, unless `waiting` says that it may.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def _load() -> None:
    """Compiles and loads what torch asks about devices."""
    spec = find_spec("torch")
    assert spec is not None and spec.origin is not None
    torch_at = Path(spec.origin).parent
    source, libraries = Path(__file__).with_name("device.cpp"), torch_at / "lib"
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "device.so"
        command = [os.environ.get("CXX", "g++"), "-std=c++20", "-shared", "-fPIC", "-DNDEBUG", f"-I{torch_at}/include"]
        command += [str(source), f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-ltorch_cpu", "-lc10", "-o", str(made)]
        subprocess.run(command, check=True)
        ctypes.CDLL(str(made))


_load()
os.environ["TRITON_INTERPRET"] = "1"  # Triton's kernels run in Python

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402
from torch.utils._python_dispatch import return_and_correct_aliasing  # noqa: E402
from triton.runtime.interpreter import GridExecutor  # noqa: E402

DEVICE = torch.device("cuda", 0)


class OnDevice(Tensor):
    """A tensor of the device; `inner` holds its numbers."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> OnDevice:
        found = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=DEVICE, layout=inner.layout,
        )  # fmt: skip
        torch._C._set_conj(found, inner.is_conj())
        torch._C._set_neg(found, inner.is_neg())
        found.inner = inner
        return found

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:  # fmt: skip
        return _run(func, args, dict(kwargs or {}))

    def data_ptr(self) -> int:
        return self.inner.data_ptr()

    def untyped_storage(self) -> Any:
        return self.inner.untyped_storage()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnDevice({self.inner!r})"


class HostWaits(RuntimeError):
    """The host would have to wait for the device."""


class TwoDevices(RuntimeError):
    """Tensors of two devices meet."""


@contextmanager
def strict() -> Iterator[None]:
    """In here the host may not wait."""
    with _waits(False):
        yield


@contextmanager
def waiting() -> Iterator[None]:
    """In here it may: a test looks at what it got."""
    with _waits(True):
        yield


# --- helpers ----------------------------------------------------------------------------------------------------------

_may_wait = True


@contextmanager
def _waits(may: bool) -> Iterator[None]:
    global _may_wait  # of all threads: backward passes run in threads of their own
    before, _may_wait = _may_wait, may
    try:
        yield
    finally:
        _may_wait = before


# What tells the host numbers, or has a shape that depends on them.
_WAITING = frozenset(
    "_local_scalar_dense item is_nonzero equal nonzero nonzero_static masked_select unique_dim unique_consecutive "
    "_unique2 bincount allclose".split()
)
# What takes a number of the CPU beside tensors of the device, besides pointwise operations: it is handed over by value.
_BY_VALUE = frozenset("fill_ masked_fill masked_fill_ index_put_ index_put _index_put_impl_ where".split())
# A buffer that a device has no need of.
_ON_HOSTS_ONLY = frozenset(("log_sigmoid_forward",))
_MOVING = frozenset(("copy_", "_to_copy", "_copy_from"))


def _run(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    name = func._schema.name.split("::")[-1]
    _check(func, name, args, kwargs)
    given, named = pytree.tree_map(_inner, (tuple(args), kwargs))
    instead = _INSTEAD.get(name)
    found = instead(*given, **named) if instead else func(*given, **named)
    if _to_host(name, kwargs):
        return found
    if _capturing is not None:
        _capturing.append((instead or func, given, named, found))
    made = return_and_correct_aliasing(func, args, kwargs, pytree.tree_map(_outer, found))
    for one in pytree.tree_leaves((args, kwargs, made)):
        assert not isinstance(one, OnDevice) or one.shape == one.inner.shape or name in _ON_HOSTS_ONLY, func
    return made


def _to_host(name: str, kwargs: Mapping[str, Any]) -> bool:
    return name == "_to_copy" and torch.device(kwargs.get("device") or DEVICE).type == "cpu"


def _inner(x: Any) -> Any:
    if isinstance(x, torch.device):
        return torch.device("cpu") if x.type == "cuda" else x
    return x.inner if isinstance(x, OnDevice) else x


def _outer(x: Any) -> Any:
    return OnDevice(x) if type(x) is Tensor else x


def _check(func: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    tensors = [one for one in pytree.tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
    placed = [one for one in tensors if isinstance(one, OnDevice)]
    if not _may_wait and placed:
        masks = name in ("index", "index_put", "index_put_", "_index_put_impl_") and any(
            one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1]
        )
        # A copy from memory that may be paged out has ended when the call has.
        copied = _to_host(name, kwargs) or (name == "copy_" and len(placed) < 2)
        lengths = name == "repeat_interleave" and kwargs.get("output_size") is None
        if name in _WAITING or masks or copied or lengths:
            raise HostWaits(f"{func} waits for the device")
    if name in _MOVING or not placed or len(placed) == len(tensors):
        return
    numbers = torch.Tag.pointwise in func.tags or name in _BY_VALUE
    if not numbers or any(one.dim() for one in tensors if not isinstance(one, OnDevice)):
        raise TwoDevices(f"{func}: Expected all tensors to be on the same device, but found some on cuda:0 and on cpu")


def _lstm_cell(inputs: Tensor, hidden: Tensor, cell: Tensor, *biases: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Torch's kernels for devices, of which the CPU has none."""
    gates = sum((one for one in biases if one is not None), inputs + hidden)
    i, f, g, o = gates.chunk(4, 1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    cell = f * cell + i * g
    return o * cell.tanh(), cell, torch.cat([i, f, g, o], 1)


def _lstm_cell_back(
    slope: Tensor | None, cell_slope: Tensor | None, before: Tensor, cell: Tensor, kept: Tensor, biased: bool
) -> tuple[Tensor | None, ...]:  # fmt: skip
    if slope is None and cell_slope is None:
        return None, None, None
    i, f, g, o = kept.chunk(4, 1)
    slope = torch.zeros_like(cell) if slope is None else slope
    total = slope * o * (1 - cell.tanh() ** 2) + (0 if cell_slope is None else cell_slope)
    parts = [
        total * g * i * (1 - i),
        total * before * f * (1 - f),
        total * i * (1 - g * g),
        slope * cell.tanh() * o * (1 - o),
    ]
    gates = torch.cat(parts, 1)
    return gates, total * f, gates.sum(0) if biased else None


def _gru_cell(inputs: Tensor, hidden: Tensor, state: Tensor, *biases: Tensor | None) -> tuple[Tensor, Tensor]:
    given, held = (
        gates if bias is None else gates + bias
        for gates, bias in zip((inputs, hidden), biases or (None, None), strict=True)
    )
    (r, i, n), (at_r, at_i, at_n) = given.chunk(3, 1), held.chunk(3, 1)
    r, i = (r + at_r).sigmoid(), (i + at_i).sigmoid()
    n = (n + r * at_n).tanh()
    return n + i * (state - n), torch.cat([r, i, n, state, at_n], 1)


def _gru_cell_back(slope: Tensor, kept: Tensor, biased: bool) -> tuple[Tensor | None, ...]:
    r, i, n, state, at_n = kept.chunk(5, 1)
    new = slope * (1 - i) * (1 - n * n)
    gates = [new * at_n * r * (1 - r), slope * (state - n) * i * (1 - i)]
    inputs, hidden = torch.cat([*gates, new], 1), torch.cat([*gates, new * r], 1)
    return inputs, hidden, slope * i, *((one.sum(0) if biased else None) for one in (inputs, hidden))


def _zeros(size: Sequence[int], **kwargs: Any) -> Tensor:
    """Zeros that have no memory, of which the dispatcher would have to know."""
    return torch.zeros(size, **kwargs)


_INSTEAD: dict[str, Callable[..., Any]] = {
    "_efficientzerotensor": _zeros,
    "_thnn_fused_lstm_cell": _lstm_cell,
    "_thnn_fused_lstm_cell_backward_impl": _lstm_cell_back,
    "_thnn_fused_gru_cell": _gru_cell,
    "_thnn_fused_gru_cell_backward": _gru_cell_back,
}


def _made(func: Any, *args: Any, **kwargs: Any) -> Any:
    """What makes tensors of nothing on the device."""
    return _run(func, args, kwargs)


_OTHERS = torch.library.Library("_", "IMPL", "CUDA")
_OTHERS.fallback(_made)
# Torch would begin with nothing and let a kernel make it larger.
_GROWING = torch.library.Library("aten", "IMPL", "CUDA")
for _name in ("arange", "eye", "linspace", "logspace", "randperm"):
    _packet = getattr(torch.ops.aten, _name)
    for _overload in _packet.overloads():
        if "out" not in _overload:
            _op = getattr(_packet, _overload)
            _GROWING.impl(
                _op._schema.name.removeprefix("aten::") + f".{_overload}".removesuffix(".default"), partial(_made, _op)
            )


# --- what Python asks about devices -----------------------------------------------------------------------------------


class _Here:
    """A device, or a stream, that is the current one anyway."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __enter__(self) -> _Here:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def wait_stream(self, other: object) -> None:
        pass


_capturing: list[tuple[Callable[..., Any], Any, Any, Any]] | None = None


class _Graph:
    """What a call did, once more: every operation into the memory that it had."""

    def __init__(self) -> None:
        self.done: list[tuple[Callable[..., Any], Any, Any, Any]] = []

    def replay(self) -> None:
        for func, given, named, found in self.done:
            again = func(*given, **named)
            for old, new in zip(pytree.tree_leaves(found), pytree.tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)

    def pool(self) -> object:
        return self


@contextmanager
def _captured(graph: _Graph, pool: object = None) -> Iterator[None]:
    global _capturing
    _capturing = graph.done
    try:
        with strict():
            yield
    finally:
        _capturing = None


def _launch(self: Any, *args: Any, **kwargs: Any) -> None:
    """A Triton kernel, on the numbers of what it is given."""
    given, named = pytree.tree_map(_inner, (args, kwargs))
    if any(isinstance(one, OnDevice) for one in args) and any(type(one) is Tensor for one in args):
        raise TwoDevices("a kernel is given tensors on two devices")
    launch(self, *given, **named)
    if _capturing is not None:
        _capturing.append((partial(launch, self), given, named, None))


launch, GridExecutor.__call__ = GridExecutor.__call__, _launch


def _set_sync_debug_mode(mode: str) -> None:
    global _may_wait
    _may_wait = mode != "error"


_ASKED: dict[str, Any] = {
    "_lazy_init": lambda: None,
    "is_available": lambda: True,
    "CUDAGraph": _Graph,
    "graph": _captured,
    "device": _Here,
    "stream": _Here,
    "Stream": _Here,
    "current_stream": _Here,
    "current_device": lambda: 0,
    "is_current_stream_capturing": lambda: _capturing is not None,
    "is_bf16_supported": lambda including_emulation=True: True,
    "synchronize": lambda device=None: None,
    "memory_allocated": lambda device=None: 0,
    "max_memory_allocated": lambda device=None: 1,
    "reset_peak_memory_stats": lambda device=None: None,
    "get_device_name": lambda device=None: "a stand-in",
    "set_sync_debug_mode": _set_sync_debug_mode,
}
for _name, _answer in _ASKED.items():
    setattr(torch.cuda, _name, _answer)
