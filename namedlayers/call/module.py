"""Layers as `torch.nn.Module`s: what a layer type makes, and what its parts are.

In: arguments, and the tensors that the modules hold. Out: results; states are written. What always holds: the module
tree, with its names and shapes, is that of the text; the whole runs as one program, so that its parts' tensors are
used, but not their `forward`; a part that is called by itself runs a program of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import fx
from torch.nn.parameter import is_lazy

from namedlayers.call.blame import OF_TORCH, blame
from namedlayers.call.budget import says_budget
from namedlayers.call.forms import all_as_torch, as_numpy, as_reals, quick_key
from namedlayers.call.owned import Tensors
from namedlayers.call.owner import Owner
from namedlayers.call.ports import Port, inputs, outputs
from namedlayers.call.settled import Settled
from namedlayers.call.shown import shown
from namedlayers.call.specialise import Specialisation
from namedlayers.call.steps import Run, Steps
from namedlayers.call.straight import ELSEWHERE
from namedlayers.call.tracing import is_traced
from namedlayers.errors import FormulaError
from namedlayers.program.program import Program
from namedlayers.program.structure import Declared

if TYPE_CHECKING:
    from namedlayers.inspect.page import Page
    from namedlayers.plan.cost import Cost, Figures


class Layer(Owner):
    """A layer as a module. Made by a `LayerType`; the parts of a layer are `Layer`s too.

    Beside what every module has: `name`, `source`, `signature`, `inputs`, `outputs`, `declared` (what it owns), and of
    the newest kind of call `program`, `graph`, `code`, `latex()` and `show(path)`. (Parameters that are called so are
    found first.)

    A call may say `max_memory=` (see `compile`) for itself, unless an input is called so.
    """

    if TYPE_CHECKING:
        name: str
        source: str
        signature: str
        inputs: tuple[Port, ...]
        outputs: tuple[Port, ...]
        declared: tuple[Declared, ...]
        program: Program
        graph: fx.GraphModule
        code: str
        latex: Callable[[], str]
        show: Callable[..., Page]

    def __init__(self, whole: Settled, symbols: dict[str, int]) -> None:
        super().__init__(whole, symbols)
        self._settled: Settled | None = whole

    def _place(self, path: str) -> None:
        super()._place(path)
        self._settled = None  # made when the part is called by itself

    # --- calling ------------------------------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        settled = self._settled
        if settled is None:
            settled = self._own_settled()
        if kwargs and says_budget(kwargs, settled.names):
            settled = settled.budgets.taken_out(kwargs)
        steps = settled.steps[self.training] if not settled.modal else self._steps(settled)
        if is_traced():
            given, keywords = all_as_torch(args, kwargs)
            run = steps.run_traced(given, keywords)
            return run(given, keywords, self._tensors(run.made))
        try:
            result = steps.straight.run(args, kwargs, self)
        except _MAY_FAIL as error:
            return self._after(error, settled, args, kwargs)
        if result is not ELSEWHERE:
            return result
        quick = quick_key(args, kwargs)
        if quick is not None:
            run = steps.run_quickly(quick, args, kwargs)
        else:
            args, kwargs = all_as_torch(args, kwargs)
            run = steps.run(args, kwargs)
        try:
            return run(args, kwargs, self._tensors(run.made))
        except _MAY_FAIL as error:
            return self._after(error, settled, args, kwargs)

    def specialize(self, *args: Any, **kwargs: Any) -> Specialisation:
        """What a call with these arguments runs: `.program`, `.graph` (of the variant for their sizes), `.code`,
        `.explain()`. Nothing is computed."""
        run, given = self._prepared(args, kwargs)
        sizes = run.made.compiled.sizes(*given.values())
        return replace(run.made, variant=run.made.compiled.select_for(sizes), sizes=sizes)

    def reference(self, *args: Any, dtype: Any = np.float64, **kwargs: Any) -> Any:
        """The same call evaluated by definition, slowly, in numpy; reals are computed as `dtype`. States stay."""
        from namedlayers.reference import evaluate

        run, given = self._prepared(args, kwargs)
        found = evaluate(run.made.program, {name: as_numpy(value) for name, value in given.items()}, as_reals(dtype))
        kept = len(found) - len(run.made.program.writes)
        results = tuple(torch.tensor(one) for one in found[:kept])
        result = results[0] if kept == 1 else results
        return result if run.finish is None else run.finish(result)

    def checkpoint(self, *blocks: str) -> Self:
        """From now on, what the rounds of these `repeat` blocks compute is not kept for the backward pass, but computed
        anew there; random numbers are the same. Without names: of none. Returns the module."""
        settled = self._own_settled().checkpointing(blocks)
        if not self._path:
            for module in self.modules():
                if isinstance(module, Owner) and module._whole is self._whole and module is not self:
                    module._whole = settled
            self._whole = settled
        self._settled = settled
        return self

    def explain(self) -> str:
        """Which rules fired where, and which nearly did and why not."""
        return self._shown().explain()

    def cost(self, **sizes: int) -> Cost | Figures:
        """Operations, bytes moved, and bytes held at most, in a call: formulas in the sizes, or numbers where these are
        given."""
        return self._shown().cost(**sizes)

    # --- looking ------------------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        """Views come after parameters and parts, so that these may have any name."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name not in VIEWS:
                raise
        return VIEWS[name](self)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *VIEWS]

    def extra_repr(self) -> str:
        return shown(self._whole, self._path, self._symbols, self._shape_of)

    def _get_name(self) -> str:
        return self._whole.layer_of(self._path).name

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _own_settled(self) -> Settled:
        if self._settled is None:
            self._settled = self._whole.part(self._path, self._symbols)
        return self._settled

    def _steps(self, settled: Settled) -> Steps:
        """The steps of calls in the present mode."""
        return settled.steps_in(self.training, settled.differing(self))

    def _shown(self) -> Specialisation:
        settled = self._own_settled()
        return settled.shown(self.training, settled.differing(self))

    def _tensors(self, made: Specialisation) -> Tensors:
        owned = made.owned
        if owned is None:
            return ()
        try:
            return owned.fetch(self)
        except KeyError:
            return owned.find(self)

    def _prepared(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Run, dict[str, Any]]:
        """The step of a call, and all that its program takes."""
        args, kwargs = all_as_torch(args, kwargs)
        run = self._steps(self._own_settled()).run(args, kwargs)
        return run, run.arguments(args, kwargs, self._tensors(run.made))

    def _after(self, error: Exception, called: Settled, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What becomes of a call that torch refused: the formula as it is written, where a kernel lacks what is asked
        of it, else an error that says what is wrong."""
        if isinstance(error, FormulaError):
            raise error
        args, kwargs = all_as_torch(args, kwargs)
        settled = called
        if isinstance(error, NotImplementedError) and settled.layer.manner.numerics != "strict":
            settled = settled.written_out
        run = settled.steps_in(self.training, settled.differing(self)).run(args, kwargs)
        owned = run.made.owned
        tensors = owned.find(self) if owned is not None else ()
        if settled is not called:
            return run(args, kwargs, tensors)
        if not any(map(is_lazy, tensors)):
            blame(settled.signature, run, args, kwargs, error, tensors)
        raise error

    def _shape_of(self, path: str) -> tuple[int, ...] | None:
        """The shape of a tensor by its path in the whole, for those of this module."""
        name = path.removeprefix(f"{self._path}.") if self._path else path
        if "." in name:
            return None
        tensor = self._parameters.get(name, self._buffers.get(name))
        return None if tensor is None or is_lazy(tensor) else tuple(tensor.shape)


_MAY_FAIL = (*OF_TORCH, AttributeError, ValueError)
"""A tensor that somebody has made None has no attributes, and one of other axes cannot be taken apart."""

VIEWS: Mapping[str, Callable[[Layer], Any]] = {
    "name": lambda self: self._get_name(),
    "source": lambda self: self._own_settled().layer.source,
    "signature": lambda self: str(self._own_settled().signature),
    "inputs": lambda self: inputs(self._own_settled().signature),
    "outputs": lambda self: _outputs(self),
    "declared": lambda self: self._own_declared(),
    "program": lambda self: self._shown().program,
    "graph": lambda self: self._shown().graph,
    "code": lambda self: self._shown().code,
    "latex": lambda self: self._shown().latex,
    "show": lambda self: self._shown().show,
}


def _outputs(self: Layer) -> tuple[Port, ...]:
    settled = self._own_settled()
    stated = settled.signature.outputs
    if stated is None:
        program = settled.default(self.training, settled.differing(self)).program
        stated = tuple(one.axes for one in program.outputs[: len(program.outputs) - len(program.writes)])
    return outputs(settled.layer.definition, stated)
