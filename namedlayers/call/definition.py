"""A compiled definition, as its user holds it: what a `def` and a `layer` have alike.

In: a definition, options that are settled, a manner. Out: its name and ports, views of every stage, the same definition
compiled otherwise. What always holds: what is wrong with the text is an error when it is compiled; an object never
changes what it means, is the same wherever it is copied to, and pickles as the text that it was made from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from torch import fx

from namedlayers.call.forms import as_torch
from namedlayers.call.manner import Manner, manner_of
from namedlayers.call.packing import Packed, pack, unpacked
from namedlayers.call.ports import Port, inputs, outputs
from namedlayers.call.settings import check_options
from namedlayers.call.specialise import Specialisation, latex
from namedlayers.call.words import listed
from namedlayers.errors import ArgumentError, FormulaError, Label
from namedlayers.program.elaboration.checking import check_definition
from namedlayers.program.namespace import Namespace
from namedlayers.program.program import Program
from namedlayers.program.signature import signature
from namedlayers.program.spec import Static
from namedlayers.syntax import tree

if TYPE_CHECKING:
    from namedlayers.inspect.page import Page
    from namedlayers.plan.cost import Cost, Figures


class Definition(ABC):
    """Attributes: `namespace`, `definition` (the tree) and `manner`. `checked`: it is known that nothing is wrong."""

    def __init__(
        self,
        namespace: Namespace,
        definition: tree.Definition,
        *,
        manner: Manner = Manner(),  # noqa: B008
        options: Mapping[str, Static] | None = None,
        checked: bool = False,
    ) -> None:
        if not checked:
            check_definition(definition)
        self.namespace = namespace
        self.definition = definition
        self.manner = manner
        self._options = {name: as_torch(value) for name, value in (options or {}).items()}
        self._signature = signature(definition)
        manner.check(self._signature)
        self.__name__ = self.__qualname__ = definition.name
        self.__doc__ = f"{self._signature}\n\n{definition.span.text}"
        self._begin()
        if not checked:
            check_options(self._signature, self._options, module=definition.kind == "layer")
            if not self._unsettled():
                self._check()

    # --- compiled otherwise -------------------------------------------------------------------------------------------

    def with_options(self, **options: Any) -> Self:
        """The same definition with these options settled, as `compile(text, **options)` does it.

        >>> import torch
        >>> import namedlayers as nl
        >>> pool = nl.compile("def pool1d[seq](X[seq]; k) = max[part](pool[seq, part = k](X))")
        >>> pool.with_options(k=2)(torch.tensor([1.0, 3.0, 2.0, 0.0]))
        tensor([3., 2.])
        """
        return self._again(options={**self._options, **options})

    def under(self, semiring: str, inputs: Iterable[str] | None = None) -> Self:
        """The same formula under a semiring, of which `inputs` (else the data) are values; see `compile`.

        >>> import torch
        >>> import namedlayers as nl
        >>> total = nl.compile("def total(X[i]; W[i]) = sum[i](W * X)")
        >>> total.under("max-plus")(torch.tensor([1.0, 2.0]), W=torch.tensor([5.0, 3.0]))
        tensor(6.)
        """
        found = manner_of(semiring=semiring, semiring_inputs=inputs)
        return self._again(manner=replace(self.manner, semiring=found.semiring, values=found.values))

    def within(self, max_memory: int | str) -> Self:
        """The same, with at most so much memory for intermediate values; see `compile`."""
        return self._again(manner=replace(self.manner, max_memory=manner_of(max_memory=max_memory).max_memory))

    def at_precision(self, precision: str | None) -> Self:
        """The same, with matrix products, convolutions and attention in this precision; see `compile`."""
        return self._again(manner=replace(self.manner, precision=manner_of(precision=precision).precision))

    # --- looking ------------------------------------------------------------------------------------------------------

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
        """The tensors that it takes, each with the axes of its signature."""
        return inputs(self._signature)

    @property
    def outputs(self) -> tuple[Port, ...]:
        """The results, each with its axes in the order of torch tensors, for inputs without further axes. A result is
        called as in the `return`, or `result` where an expression stands there."""
        stated = self._signature.outputs
        if stated is None:
            program = self._default().program
            stated = tuple(one.axes for one in program.outputs[: len(program.outputs) - len(program.writes)])
        return outputs(self.definition, stated)

    @property
    def program(self) -> Program:
        """The program; `str()` prints it as statements."""
        return self._shown().program

    @property
    def graph(self) -> fx.GraphModule:
        """The torch.fx graph: of the variant for any sizes, where there are several."""
        return self._shown().graph

    @property
    def code(self) -> str:
        """The Python that runs."""
        return self._shown().code

    def explain(self) -> str:
        """Which rules fired where, and which nearly did and why not."""
        return self._shown().explain()

    def cost(self, **sizes: int) -> Cost | Figures:
        """Operations, bytes moved, and bytes held at most: formulas in the sizes, or numbers where these are given.

        >>> import namedlayers as nl
        >>> dot = nl.compile("def dot(a[row, i], b[i]) = a @[i] b")
        >>> print(dot.cost())
        operations  2 * |i| * |row|
        bytes       4 * |i| * |row| + 4 * |i| + 4 * |row|
        peak        4 * |row|
        >>> dot.cost(row=2, i=3).flops
        12
        """
        return self._shown().cost(**sizes)

    def latex(self) -> str:
        r"""The formula as a paper prints it: an `aligned` environment of LaTeX, which needs amsmath and amssymb.

        >>> import namedlayers as nl
        >>> total = nl.compile("def total(X[row, i]) -> [row] = sum[i](X ^ 2)")
        >>> print(total.latex())
        \begin{aligned}
          \operatorname{total} & \colon \mathbb{R}^{\mathsf{row} \times \mathsf{i}} \to \mathbb{R}^{\mathsf{row}} \\
          \operatorname{total}(X) & = \sum\limits_{\mathsf{i}} X^{2}
        \end{aligned}
        """
        try:
            program = self._shown().program
        except FormulaError:  # what is not settled yet, the text is shown without
            program = None
        return latex(self.namespace, self.definition, program)

    def show(self, path: str | Path | None = None) -> Page:
        """All views on one page: the formula, its text, program, graph, code, rules and cost, linked with one another.
        One file of HTML, which needs nothing else, written to `path` if one is given; notebooks display it.

        >>> import namedlayers as nl
        >>> nl.compile("def twice(X[i]) = 2 * X").show().html[:15]
        '<!doctype html>'
        """
        return self._shown().show(path)

    # --- for those who inherit ----------------------------------------------------------------------------------------

    @abstractmethod
    def _begin(self) -> None:
        """Makes what it keeps between calls."""

    @abstractmethod
    def _check(self) -> None:
        """Raises FormulaError for what is wrong with the text; all options have values."""

    @abstractmethod
    def _default(self) -> Specialisation:
        """What a call runs that gives only what it must."""

    def _shown(self) -> Specialisation:
        """What the views are of."""
        return self._default()

    def _unsettled(self) -> list[str]:
        """The options that have no value yet."""
        return [one.name for one in self._signature.options if one.default is None and one.name not in self._options]

    def _check_settled(self, otherwise: str) -> None:
        """Raises ArgumentError where the program depends on options that have no value; `otherwise` they come."""
        missing = self._unsettled()
        if missing:
            settle = ", ".join(f"{name}=…" for name in missing)
            raise ArgumentError(
                "NL0501", f"the program depends on {listed(missing)}", Label(self._signature.span),
                hint=f"settle the options: `{self.name}.with_options({settle})`, or {otherwise}",
            )  # fmt: skip

    def _again(self, *, manner: Manner | None = None, options: Mapping[str, Static] | None = None) -> Self:
        """The same definition in another manner, or with other options."""
        return type(self)(
            self.namespace,
            self.definition,
            manner=self.manner if manner is None else manner,
            options=self._options if options is None else options,
        )

    # --- one object, wherever it goes ---------------------------------------------------------------------------------

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict) -> Self:
        return self

    def __reduce__(self) -> tuple:
        return _restore, (type(self), pack(self.namespace), self.name, self.manner, self._options)


def _restore(
    made: type[Definition], packed: Packed, name: str, manner: Manner, options: Mapping[str, Static]
) -> Definition:
    namespace, definition = unpacked(packed, name)
    return made(namespace, definition, manner=manner, options=options, checked=True)
