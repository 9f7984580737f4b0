"""A loop compiled by torch's inductor: all steps are one function in C++, and all that lies between two products of a
step is one kernel.

In: the function of a step, as its fx graph, and its `Loop`. Out: a function of the loop's tensors and sizes that gives
all values of all steps, stacked in front. What always holds: numbers of steps share what was compiled; what cannot be
compiled gives None, and the loop runs as it would otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from namedlayers.emit.expressions import GLOBALS, expression
from namedlayers.emit.functions import execute
from namedlayers.emit.loops.compiled_steps import Split, split
from namedlayers.emit.loops.scanning import Loop
from namedlayers.emit.names import Names
from namedlayers.emit.printer import note

if TYPE_CHECKING:
    from namedlayers.emit.bodies import BodyFunction


FEWEST = 4
"""A compiled step costs about as much by itself as one call of torch does, and its functions are no faster than torch's
are: a step of fewer operations beside views is faster in place."""


class Compiled:
    """The loop of a step. What is compiled is made when it is first wanted; `failure`: why it could not be."""

    def __init__(self, step: BodyFunction, loop: Loop) -> None:
        self.step, self.loop = step, loop
        self.name = f"compiled_{step.name}"
        self.failure = ""

    def run(self, tensors: Sequence[Tensor], steps: int, sizes: Sequence[int]) -> Sequence[Tensor] | None:
        """All values of all steps, of which there are two at least."""
        if self.failure or self._function is None or any(one.device.type != "cpu" for one in tensors):
            return None
        given = [one.detach().contiguous() for one in tensors]
        for one, is_ in zip(given, self.loop.scanned, strict=True):
            if is_:
                torch._dynamo.mark_dynamic(one, 0)
        if _by_places(self.loop):
            places = torch.arange(steps)
            torch._dynamo.mark_dynamic(places := places.flip(0) if self.loop.reverse else places, 0)
            given.append(places)
        try:
            with torch._dynamo.config.patch(capture_scalar_outputs=True):
                return self._function(*given, *sizes)
        except _failures() as error:
            self.failure = _told(error)
            return None

    @cached_property
    def source(self) -> str:
        """What is compiled; empty if that cannot be."""
        found = self._split
        return "" if found is None else _text(self.name, found, self.loop)[0]

    @cached_property
    def _split(self) -> Split | None:
        step, loop = self.step, self.loop
        if len(step.graphs) != 1 or loop.draws or not loop.carries or not step.outputs:
            return None
        found = split(step.graphs[0], loop)
        return None if found is None or found.work < FEWEST else found

    @cached_property
    def _function(self) -> Callable[..., Sequence[Tensor]] | None:
        if self._split is None:
            return None
        code, namespace = _text(self.name, self._split, self.loop)
        function = execute(self.name, code, namespace)
        return torch.compile(function, fullgraph=True, options={"cpp_wrapper": True})


class Quick:
    """A generated function, compiled for tensors of all sizes; as it is where that cannot be, which `failure` tells."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._quick = torch.compile(function, dynamic=True, fullgraph=True)
        self.failure = ""

    def __call__(self, *given: Any) -> Any:
        if not self.failure:
            try:
                return self._quick(*given)
            except _failures() as error:
                self.failure = _told(error)
        return self._function(*given)


# --- text -------------------------------------------------------------------------------------------------------------


def _text(name: str, found: Split, loop: Loop) -> tuple[str, dict[str, Any]]:
    """The source of the function that is compiled, and its globals."""
    from torch._higher_order_ops.scan import scan  # slow to import

    own: dict[str, Any] = {"scan": scan}
    taken = frozenset(node.name for node in found.graph.nodes)
    names = Names({name, *own, *taken})
    step, carried, now, stacked = (names.fresh(wish) for wish in ("step", "carried", "now", "stacked"))
    given = {
        node: names.fresh(f"{node.name}_all")
        if is_
        else names.fresh(f"{node.name}_first")
        if k < loop.carries
        else node.name
        for k, (node, is_) in enumerate(zip(found.inputs, loop.scanned, strict=True))
    }
    before, within = (
        [f"{one.name} = {expression(one, own, taken)}{note(one)}" for one in _shown(part)]
        for part in (found.before, found.within)
    )
    onward = [_fresh(found, k) for k in range(loop.carries)]
    results = [_fresh(found, k, beside=k < loop.carries) for k in range(len(found.made))]
    walked = [(node.name, given[node]) for node, is_ in zip(found.inputs, loop.scanned, strict=True) if is_]
    looked: list[str] = []
    here, sequences = [now for now, _ in walked], [every for _, every in walked]
    places = []
    if _by_places(loop):
        place, at = names.fresh("place"), names.fresh("at")
        looked = [f"{at} = {place}.item()", f"torch._check({at} >= 0)"]
        for now_here, whole in walked:
            looked += [f"torch._check({at} < {whole}.shape[0])", f"{now_here} = {whole}.select(0, {at})"]
        here, sequences = [place], [names.fresh("places")]
        places = sequences
    starts = found.inputs[: loop.carries]
    lines = [
        *before,
        f"def {step}({carried}, {now}):",
        f"    {_tuple(node.name for node in starts)} = {carried}",
        f"    {_tuple(here)} = {now}",
        *(f"    {line}" for line in looked),
        *(f"    {line}" for line in within),
        f"    return {_tuple(onward)}, {_tuple(results)}",
        f"_, {stacked} = scan({step}, {_tuple(given[node] for node in starts)}, {_tuple(sequences)})",
        f"return [one.flip(0) for one in {stacked}]" if loop.reverse else f"return {stacked}",
    ]
    header = f"def {name}({', '.join((*given.values(), *places, *(node.name for node in found.sizes)))}):"
    return "\n".join([header, *(f"    {line}" for line in lines), ""]), {**GLOBALS, **own}


def _by_places(loop: Loop) -> bool:
    """Whether steps are told where they are and look there: with no sequence to go through, or backwards, for which
    torch would turn each sequence round."""
    return loop.reverse or not any(loop.scanned)


def _failures() -> tuple[type[Exception], ...]:
    """What torch raises for what it cannot compile."""
    from torch._dynamo import exc  # slow to import, and there when it is asked for

    return exc.TorchDynamoException, exc.FailOnRecompileLimitHit


def _told(error: Exception) -> str:
    """What torch says first, and of what it wraps the kind and the first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    return f"{type(error).__name__}: {' '.join(lines[:2])}"


def _shown(nodes: Sequence[Any]) -> list[Any]:
    return [node for node in nodes if not (node.meta.get("inline") and len(node.users) == 1)]


def _fresh(found: Split, number: int, *, beside: bool = False) -> str:
    """A value that a step returns, in memory of its own; `beside`: it is handed on, too."""
    name = found.made[number].name
    return name if found.own(number) and not beside else f"{name}.clone()"


def _tuple(names: Any) -> str:
    return f"({', '.join(names)},)"
