"""A compiled layer, as its user holds it: called with sizes and options, it gives modules.

In: a layer's definition. Out: `torch.nn.Module`s, and views of every stage. What always holds: what is wrong with the
text is an error here; what is wrong with the sizes and options, when a module is made.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

from namedlayers.call.classes import Classes, classes
from namedlayers.call.definition import Definition
from namedlayers.call.making import make
from namedlayers.call.module import Layer
from namedlayers.call.settings import by_position, no_such_setting, read_settings, read_size
from namedlayers.call.settled import MadeOfSizes, Settled, Stars
from namedlayers.call.specialise import Specialisation, bounded
from namedlayers.errors import ArgumentError, Label
from namedlayers.program.namespace import Namespace
from namedlayers.program.spec import Static
from namedlayers.syntax import tree

MOST_SETTLED = 256
"""With how many different options and sizes a layer remembers to have been made; the oldest go first."""


class LayerType(Definition):
    """A `layer`, compiled. Made by `namedlayers.compile`, or found in what `load` and `loads` return.

    Called with sizes by the names of axes, and with options, it gives a `torch.nn.Module`. Sizes that the data decide
    may be left to the first call; the others must be given. The views are those of the layer for any sizes, in
    evaluation, its parameters being inputs; a module has the views for its own sizes.

    >>> import torch
    >>> import namedlayers as nl
    >>> Scale = nl.compile("layer Scale(X[seq]):\\n    param by[seq] ~ ones\\n    return by * X")
    >>> Scale(seq=3)
    Scale(X[seq=3])
    >>> Scale(seq=3)(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """

    def __call__(self, *arguments: Any, **settings: Any) -> Layer:
        """A module with new parameters. `dtype=` and `device=` are those of its tensors, as torch modules have them."""
        if arguments:
            raise by_position(self.definition, self._signature)
        found = read_settings(self.definition, self._signature, settings, self._options)
        missing = [one for one in self._signature.options if one.name in self._unsettled() and one.name not in settings]
        if missing:
            names = " and ".join(f"`{one.name}`" for one in missing)
            labels = [Label(one.span, "not given") for one in missing]
            raise ArgumentError("NL0501", f"{self.name}() needs {names}", *labels)
        options, sizes = {**self._options, **found.options}, dict(found.sizes)
        if found.inner:
            free = self.settled(options, sizes, found.stars).structure.free
            for name, value in found.inner.items():
                if name not in {axis for axis, _ in free.values()}:
                    raise no_such_setting(self.definition, self._signature, name)
                sizes[name] = read_size(self.definition, self._signature, name, value)
        settled = self.settled(options, sizes, found.stars)
        return make(settled, found.dtype, found.device)

    @cached_property
    def classes(self) -> Classes:
        """The classes of its modules."""
        return classes(self.definition)

    def settled(
        self,
        options: Mapping[str, Static],
        sizes: Mapping[str, int],
        stars: Stars,
        checkpoint: frozenset[str] = frozenset(),
    ) -> Settled:
        """What all modules with these options and sizes share."""
        key = repr((sorted(options.items()), sorted(sizes.items()), sorted(stars.items()), sorted(checkpoint)))
        with self._lock:
            found = self._made.get(key)
            if found is None:
                found = self._made[key] = Settled(self, options, sizes, stars, checkpoint)
                bounded(self._made, MOST_SETTLED)
            return found

    def beside(self, namespace: Namespace, definition: tree.Definition) -> LayerType:
        """The type of a layer that is used in this one."""
        with self._lock:
            found = self._beside.get(id(definition))
            if found is None:
                found = LayerType(namespace, definition, manner=self.manner, checked=True)
                self._beside[id(definition)] = found
            return found

    # --- looking ------------------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[str, ...]:
        """What its modules own, by path, with the axes of each: `W[output, input]`."""
        return tuple(map(str, self._plain().structure.declared))

    def __repr__(self) -> str:
        return f"<namedlayers {self._signature}>"

    def _begin(self) -> None:
        self._made: dict[object, Settled] = {}
        self._beside: dict[int, LayerType] = {}
        self._lock = threading.RLock()

    def _check(self) -> None:
        """What is wrong with it whatever its sizes are; one that is made of sizes is checked when these are given."""
        with suppress(MadeOfSizes):
            self._plain().check()

    def _default(self) -> Specialisation:
        return self._plain().default(False)

    def _plain(self) -> Settled:
        """Without any size."""
        self._check_settled("look at a module")
        return self.settled(self._options, {}, {})
