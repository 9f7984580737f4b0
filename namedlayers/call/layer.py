"""A compiled layer, as its user holds it: called with sizes and options, it gives modules.

In: a layer's definition. Out: `torch.nn.Module`s, and views of every stage. What always holds: what is wrong with the
text is an error here; what is wrong with the sizes and options, when a module is made.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import fx

from namedlayers.call.classes import Classes, classes
from namedlayers.call.making import make
from namedlayers.call.manner import Manner
from namedlayers.call.module import Layer
from namedlayers.call.packing import Packed, pack, unpack
from namedlayers.call.ports import Port, inputs, outputs
from namedlayers.call.settings import by_position, check_options, no_such_setting, read_settings, read_size
from namedlayers.call.settled import Settled, Stars
from namedlayers.call.specialise import bounded
from namedlayers.errors import ArgumentError, Label
from namedlayers.program.elaborate import check_definition
from namedlayers.program.namespace import Namespace
from namedlayers.program.program import Program
from namedlayers.program.signature import signature
from namedlayers.program.spec import Static
from namedlayers.syntax import tree

if TYPE_CHECKING:
    from namedlayers.plan.cost import Cost, Figures


MOST_SETTLED = 256
"""With how many different options and sizes a layer remembers to have been made; the oldest go first."""


class LayerType:
    """A `layer`, compiled. Made by `namedlayers.compile`, or found in what `load` and `loads` return.

    Called with sizes by the names of axes, and with options, it gives a `torch.nn.Module`. Sizes that the data decide
    may be left to the first call; the others must be given.

    >>> import torch
    >>> import namedlayers as nl
    >>> Scale = nl.compile("layer Scale(X[seq]):\\n    param by[seq] ~ ones\\n    return by * X")
    >>> Scale(seq=3)
    Scale(X[seq=3])
    >>> Scale(seq=3)(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        namespace: Namespace,
        definition: tree.Definition,
        *,
        manner: Manner = Manner(),  # noqa: B008
        options: Mapping[str, Static] | None = None,
        checked: bool = False,
    ) -> None:
        self.namespace = namespace
        self.definition = definition
        self.manner = manner
        self._options = dict(options or {})
        self._made: dict[object, Settled] = {}
        self._beside: dict[int, LayerType] = {}
        self._lock = threading.RLock()
        self._signature = signature(definition)
        manner.check(self._signature)
        self.__name__ = self.__qualname__ = definition.name
        self.__doc__ = f"{self._signature}\n\n{definition.span.text}"
        if not checked:
            check_definition(namespace, definition)
            check_options(definition, self._signature, self._options)
            if not self._unsettled():
                self._plain().check()

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

    def with_options(self, **options: Any) -> LayerType:
        """The same layer with these options settled, as `compile(text, **options)` does it."""
        settled = {**self._options, **options}
        return LayerType(self.namespace, self.definition, manner=self.manner, options=settled)

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

    # --- looking: at the layer for any sizes, its parameters being inputs ---------------------------------------------

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def source(self) -> str:
        """The text that it was compiled from."""
        return self.namespace.text

    @property
    def signature(self) -> str:
        """The head of the definition."""
        return str(self._signature)

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The tensors that its modules take, each with the axes of the signature."""
        return inputs(self._signature)

    @property
    def outputs(self) -> tuple[Port, ...]:
        """The results, each with its axes in the order of torch tensors."""
        stated = self._signature.outputs
        if stated is None:
            program = self.program
            stated = tuple(one.axes for one in program.outputs[: len(program.outputs) - len(program.writes)])
        return outputs(self.definition, stated)

    @property
    def parameters(self) -> tuple[str, ...]:
        """What its modules own, by path, with the axes of each: `W[output, input]`."""
        return tuple(map(str, self._plain().structure.declared))

    @property
    def program(self) -> Program:
        """The program in evaluation; `str()` prints it as statements. A module has the views for its own sizes."""
        return self._plain().default(False).program

    @property
    def graph(self) -> fx.GraphModule:
        """The torch.fx graph, in evaluation."""
        return self._plain().default(False).graph

    @property
    def code(self) -> str:
        """The Python that runs, in evaluation."""
        return self._plain().default(False).code

    def explain(self) -> str:
        """Which rules fired where, and which nearly did and why not."""
        return self._plain().default(False).explain()

    def cost(self, **sizes: int) -> Cost | Figures:
        """What a call of a module costs: operations, bytes moved and held, as formulas in the sizes or as numbers."""
        return self._plain().default(False).cost(**sizes)

    def __repr__(self) -> str:
        return f"<namedlayers {self._signature}>"

    def _plain(self) -> Settled:
        """Without any size."""
        missing = self._unsettled()
        if missing:
            names, settle = ", ".join(f"`{name}`" for name in missing), ", ".join(f"{name}=…" for name in missing)
            raise ArgumentError(
                "NL0501", f"the program depends on {names}", Label(self._signature.span),
                hint=f"settle the options: `{self.name}.with_options({settle})`, or look at a module",
            )  # fmt: skip
        return self.settled(self._options, {}, {})

    def _unsettled(self) -> list[str]:
        """The options that have no value before a module is made."""
        return [one.name for one in self._signature.options if one.default is None and one.name not in self._options]

    # --- one object, wherever it goes ---------------------------------------------------------------------------------

    def __copy__(self) -> LayerType:
        return self

    def __deepcopy__(self, memo: dict) -> LayerType:
        return self

    def __reduce__(self) -> tuple:
        return _restore, (pack(self.namespace), self.name, self.manner, self._options)


def _restore(packed: Packed, name: str, manner: Manner, options: Mapping[str, Static]) -> LayerType:
    namespace = unpack(packed)
    return LayerType(namespace, namespace.definitions[name], manner=manner, options=options, checked=True)
