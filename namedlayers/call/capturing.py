"""Calls recorded on a device and replayed: the kernels of a call as one CUDA graph, its gradient as another.

In: a compiled program and a recorder. Out: a function that takes and gives the same. What always holds: a kind of call
(shapes, strides, precisions, which tensors want gradients, options) is recorded once; a call copies its arguments to
where the recording reads them, but for what a module owns, which is read where it lies; results and gradients are
copies, so that a later call never changes them; a gradient for whose call the recording has since run again runs that
call once more, first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from namedlayers.call.specialise import bounded
from namedlayers.emit.build import Compiled
from namedlayers.errors import ArgumentError, Label
from namedlayers.program.graph import Node
from namedlayers.program.regions import DRAWS

MOST = 16
"""How many kinds of calls of a program are kept recorded, each with its memory; the oldest go first."""

R = TypeVar("R")


class Recorder(Protocol):
    """What records: CUDA, and in tests something that can be looked at."""

    device: str
    """The type of the devices whose work is recorded."""

    def ready(self) -> bool:
        """Whether there is such a device."""

    def warm(self, run: Callable[[], object]) -> None:
        """Runs what is to be recorded, so that all that happens only once has happened."""

    def record(self, run: Callable[[], R], after: Any = None) -> tuple[Callable[[], None], R, Any]:
        """Records a run. Returns what replays it, its result (tensors, which every replay fills anew), and what a
        recording `after` it, which shares its memory, needs to know."""


class CUDA:
    """Records CUDA graphs."""

    device = "cuda"

    def ready(self) -> bool:
        return torch.cuda.is_available()

    def warm(self, run: Callable[[], object]) -> None:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM):
                run()
        torch.cuda.current_stream().wait_stream(aside)

    def record(self, run: Callable[[], R], after: Any = None) -> tuple[Callable[[], None], R, Any]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=after):
            result = run()
        return graph.replay, result, graph.pool()


class Captured:
    """The function of `compiled`, recorded. `most` kinds of calls are kept."""

    def __init__(self, compiled: Compiled, recorder: Recorder, most: int = MOST) -> None:
        self.function: Callable[..., Any] = compiled.function
        self._program, self._recorder, self._most = compiled.program, recorder, most
        self._fixed = frozenset(k for k, given in enumerate(compiled.program.inputs) if given.owned)
        self._draws = any(_draws(node) for variant in compiled.variants for node in variant.graph.live())
        self._draws |= any(body.draws for body in compiled.bodies)
        self._known: dict[Hashable, _Recording] = {}
        self._lock = threading.RLock()

    def __call__(self, *args: Any) -> Any:
        if torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None:
            return self.function(*args)  # what traces or transforms a call wants to see its operations
        slopes = torch.is_grad_enabled() and any(isinstance(one, Tensor) and one.requires_grad for one in args)
        with self._lock:
            key = self._key(slopes, args)
            recording = self._known.get(key)
            if recording is None:
                self._check(args)
                recording = self._known[key] = self._record(slopes, args)
                bounded(self._known, self._most)
        tensors = [one for one in args if isinstance(one, Tensor)]
        found = _Replay.apply(recording, *tensors) if slopes else recording.run(tensors)[0]
        return found[0] if recording.single else found

    @property
    def recorded(self) -> int:
        """How many kinds of calls are recorded now."""
        return len(self._known)

    def _key(self, slopes: bool, args: Sequence[Any]) -> Hashable:
        kinds: list[Hashable] = [slopes, torch.is_inference_mode_enabled(), *_autocast(self._recorder.device)]
        for k, one in enumerate(args):
            if isinstance(one, Tensor):
                place = one.data_ptr() if k in self._fixed else None
                kinds.append((one.shape, one.stride(), one.dtype, one.device, slopes and one.requires_grad, place))
            else:
                kinds.append((type(one), repr(one)))
        return tuple(kinds)

    def _check(self, args: Sequence[Any]) -> None:
        label = Label(self._program.span)
        if not self._recorder.ready():
            raise ArgumentError(
                "NL0570", '`backend="cudagraph"` records what a CUDA device does, and torch finds none', label,
                hint="compile it without `backend`, or with `inductor`",
            )  # fmt: skip
        for given, one in zip(self._program.inputs, args, strict=True):
            if isinstance(one, Tensor) and one.device.type != self._recorder.device:
                raise ArgumentError(
                    "NL0571", f'`backend="cudagraph"` needs tensors on a CUDA device, and `{given.called}` is on '
                    f"{one.device}", label, hint=f'`{given.called}.to("cuda")`',
                )  # fmt: skip

    def _record(self, slopes: bool, args: Sequence[Any]) -> _Recording:
        found = _Recording(self.function, args, self._fixed, slopes, self._draws)
        cached = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)  # what it keeps would lie where only the recording writes
        try:
            return self._recorded(found)
        finally:
            torch.set_autocast_cache_enabled(cached)

    def _recorded(self, found: _Recording) -> _Recording:
        found.warm(self._recorder)  # what is wrong with the call is an error as in any call
        try:
            found.record(self._recorder)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ArgumentError(
                "NL0572", f"`{self._program.name}` cannot be recorded as a CUDA graph: {first}",
                Label(self._program.span), hint="compile it without `backend`, or with `inductor`",
            ) from error  # fmt: skip
        return found


# --- helpers ----------------------------------------------------------------------------------------------------------

_WARM = 3


class _Recording:
    """One kind of call. `single`: it gives a tensor, not a tuple; `sloping`: which results have gradients; `turn`: how
    often it was run."""

    def __init__(
        self, function: Callable[..., Any], args: Sequence[Any], fixed: frozenset[int], slopes: bool, draws: bool
    ) -> None:  # fmt: skip
        self._function, self._draws, self._slopes = function, draws, slopes
        self._lock = threading.RLock()
        self._live: tuple[Tensor, ...] = ()
        self.turn = 0
        self.single = False
        self._arguments = [_standing(one, k in fixed, slopes) if isinstance(one, Tensor) else one
                           for k, one in enumerate(args)]  # fmt: skip
        standing = [(k, one) for k, one in enumerate(self._arguments) if isinstance(one, Tensor)]
        self._inputs = [one for _, one in standing]
        self._copied = [n for n, (k, _) in enumerate(standing) if k not in fixed]
        self._wanting = [n for n, one in enumerate(self._inputs) if slopes and one.requires_grad]
        self._fill([one for one in args if isinstance(one, Tensor)])

    def warm(self, recorder: Recorder) -> None:
        recorder.warm(self._both)

    def record(self, recorder: Recorder) -> None:
        self._replay, found, memory = recorder.record(self._forward)
        self._outputs = [one.detach() for one in found]
        self.sloping = [n for n, one in enumerate(found) if one.requires_grad]
        self._given = [torch.empty_like(self._outputs[n]) for n in self.sloping]
        if self.sloping:
            self._replay_back, self._found, _ = recorder.record(self._backward, memory)
        self._live = ()

    def run(self, tensors: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], int]:
        """The results of a call, and which turn of the recording it was."""
        with self._lock, torch.no_grad():
            self._fill(tensors)
            self._replay()
            self.turn += 1
            return tuple(one.clone() for one in self._outputs), self.turn

    def back(self, turn: int, tensors: Sequence[Tensor], slopes: Sequence[Tensor]) -> list[Tensor | None]:
        """The gradients of a call. What the turn has left is used up by them."""
        with self._lock, torch.no_grad():
            if turn != self.turn:
                if self._draws:
                    raise ArgumentError(
                        "NL0574", "the gradient of a recorded call that draws random numbers comes after another call "
                        "of its kind, or for the second time: run again, the call would draw others",
                        hint="compute the gradient after each call, or compile without `cudagraph`",
                    )  # fmt: skip
                self.run(tensors)
            for place, slope in zip(self._given, (slopes[n] for n in self.sloping), strict=True):
                place.copy_(slope)
            self._replay_back()
            self.turn += 1
            found = dict(zip(self._wanting, self._found, strict=True))
            return [None if (one := found.get(n)) is None else one.clone() for n in range(len(self._inputs))]

    def _fill(self, tensors: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for n in self._copied:
                self._inputs[n].copy_(tensors[n])

    def _forward(self) -> tuple[Tensor, ...]:
        with torch.set_grad_enabled(self._slopes):
            found = self._function(*self._arguments)
        self.single = not isinstance(found, tuple)
        self._live = (found,) if self.single else found
        return self._live

    def _backward(self) -> tuple[Tensor | None, ...]:
        outputs = [self._live[n] for n in self.sloping]
        return torch.autograd.grad(outputs, self._wanted(), self._given, allow_unused=True)

    def _both(self) -> None:
        outputs = [one for one in self._forward() if one.requires_grad]
        if outputs:
            torch.autograd.grad(outputs, self._wanted(), [torch.zeros_like(one) for one in outputs], allow_unused=True)
        self._live = ()

    def _wanted(self) -> list[Tensor]:
        return [self._inputs[n] for n in self._wanting]


class _Replay(torch.autograd.Function):
    """A recorded call in the eyes of autograd."""

    @staticmethod
    def forward(ctx: Any, recording: _Recording, *tensors: Tensor) -> tuple[Tensor, ...]:
        outputs, ctx.turn = recording.run(tensors)
        ctx.recording = recording
        ctx.save_for_backward(*tensors)
        ctx.mark_non_differentiable(*(one for n, one in enumerate(outputs) if n not in recording.sloping))
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        return None, *ctx.recording.back(ctx.turn, ctx.saved_tensors, slopes)


def _draws(node: Node) -> bool:
    return node.op in DRAWS or bool(dict(node.attrs).get("site"))


def _standing(given: Tensor, fixed: bool, slopes: bool) -> Tensor:
    """The tensor that a recording reads: where a module's lies, else a place of its own."""
    found = given.detach() if fixed else torch.empty_like(given)
    return found.requires_grad_(slopes and given.requires_grad)


def _autocast(device: str) -> tuple[Hashable, ...]:
    return (torch.get_autocast_dtype(device),) if torch.is_autocast_enabled(device) else ()
