"""Modules some of whose sizes the data decide, at the first call, as torch's Lazy modules.

In: the arguments of the first call. Out: the tensors have their sizes and first values, and the modules are ordinary
ones from then on. What always holds: sizes follow from data and from what was given, never from one another's guesses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from namedlayers.call.budget import BUDGET, says_budget
from namedlayers.call.forms import all_as_torch
from namedlayers.call.initialise import initialise
from namedlayers.call.module import Layer
from namedlayers.call.owner import Round
from namedlayers.errors import ArgumentError, Label
from namedlayers.program.elaborate import structure
from namedlayers.program.sizes_at_call import solve_sizes
from namedlayers.program.spec import TRAINING
from namedlayers.program.structure import Declared


class LazyLayer(LazyModuleMixin, Layer):
    """A layer that waits for its first call."""

    cls_to_become = Layer

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Takes the sizes from the arguments of a call."""
        if self._path:
            raise ArgumentError(
                "NL0539", f"`{self._path}` gets its sizes when the whole `{self._whole.layer.name}` is called",
                Label(self._whole.parts[self._path].span), hint="call the whole first, or give it the sizes",
            )  # fmt: skip
        _begin(self, args, kwargs)


class LazyRound(LazyModuleMixin, Round):
    """A round of a `repeat` that waits for the first call of the whole."""

    cls_to_become = Round

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        self.forward()


def _begin(whole: Layer, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Sizes and first values for all that waits in a layer, in the order of the text."""
    from namedlayers.call.making import check_determined, learn

    settled = whole._whole
    if says_budget(kwargs, settled.names):
        kwargs = {name: value for name, value in kwargs.items() if name != BUDGET}
    args, kwargs = all_as_torch(args, kwargs)
    run = whole._steps(settled).run(args, kwargs)
    options = tuple((name, True if name == TRAINING else value) for name, value in run.spec.options)
    found = structure(settled.layer.namespace, settled.layer.definition, replace(run.spec, options=options))
    check_determined(settled, found)  # a number given for an input has none of its axes
    given = run.arguments(args, kwargs, tuple(torch.empty(0) for _ in run.made.program.owned))
    shapes = {one.name: tuple(getattr(given[one.name], "shape", ())) for one in found.program.inputs}
    symbols = solve_sizes(found.program, shapes)
    waiting = [one for one in found.declared if _fits(whole, one, symbols)]
    # Only what parameters depend on belongs to the module; the other sizes are those of this call.
    lasting = {name for one in settled.structure.declared for size in one.sizes for name in size.symbols}
    whole._symbols.update((name, size) for name, size in symbols.items() if name in lasting)
    for one in settled.structure.declared:
        learn(whole._symbols, one, _owner(whole, one)[1])
    for one in waiting:
        initialise(one, _owner(whole, one)[1], symbols)
    for module in whole.modules():
        if module is not whole and isinstance(module, (LazyLayer, LazyRound)):
            _become_ordinary(module)


def _fits(whole: Layer, one: Declared, symbols: Mapping[str, int]) -> bool:
    """Makes a tensor that waits; False if it is there already."""
    owner, tensor = _owner(whole, one)
    if not is_lazy(tensor):
        return False
    tensor.materialize(tuple(size.evaluate(symbols) for size in one.sizes))
    return True


def _owner(whole: nn.Module, one: Declared) -> tuple[nn.Module, Any]:
    owner = whole
    *above, name = one.path.split(".")
    for part in above:
        owner = getattr(owner, part)
    return owner, getattr(owner, name)


def _become_ordinary(module: Any) -> None:
    """What torch does with a lazy module after its first call."""
    module._initialize_hook.remove()
    module._load_hook.remove()
    del module._initialize_hook, module._load_hook
    module.__class__ = module.cls_to_become
