"""A compiled definition, as its user holds it: called with tensors, and looked at.

In: a definition and what compiling has settled. Out: results, and views of every stage. What always holds: a call does
nothing symbolic unless it is the first of its kind; a function never changes what it computes; any number of threads
may call it.

Bare tensors and plain options take the straight way: a table from their types and ranks to the compiled Python. All
other calls, and those that torch.compile traces, go by `steps`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import fx

from namedlayers.call.bind import option_spans
from namedlayers.call.blame import OF_TORCH, blame
from namedlayers.call.fits import check_option
from namedlayers.call.forms import all_as_torch, as_numpy, form, quick_key, read
from namedlayers.call.manner import Manner, manner_of
from namedlayers.call.packing import Packed, pack, unpack
from namedlayers.call.ports import Port, inputs, outputs
from namedlayers.call.specialise import Specialisation, Specialisations
from namedlayers.call.steps import Run, Steps
from namedlayers.call.tracing import is_traced
from namedlayers.call.words import listed
from namedlayers.errors import ArgumentError, Label, SizeError, near_miss
from namedlayers.program.elaborate import check_definition
from namedlayers.program.namespace import Namespace
from namedlayers.program.program import Program
from namedlayers.program.signature import signature
from namedlayers.program.spec import NeedsStatic, Spec, Static
from namedlayers.syntax import tree

if TYPE_CHECKING:
    from namedlayers.plan.cost import Cost, Figures


class Function:
    """A `def`, compiled. Made by `namedlayers.compile`, or found in what `load` and `loads` return.

    Tensors are given in the signature's order or by name, options by name.

    >>> import namedlayers as nl
    >>> scale = nl.compile("def scale(X[seq]; by = 2) -> [seq] = X * by")
    >>> scale(torch.ones(3), by=5)
    tensor([5., 5., 5.])
    """

    def __init__(
        self,
        namespace: Namespace,
        definition: tree.Definition,
        *,
        manner: Manner = Manner(),  # noqa: B008
        options: Mapping[str, Static] | None = None,
    ) -> None:
        self._namespace = namespace
        self._definition = definition
        self._options = dict(options or {})
        self._manner = manner
        check_definition(namespace, definition)
        self._signature = signature(definition)
        manner.check(self._signature)
        settled = Spec(options=tuple(sorted(self._options.items())))
        self._specialisations = Specialisations(namespace, definition, settled, manner)
        self._check_options()
        self._steps = Steps(self._signature, settled, self._specialisations)
        self._straight_way = self._steps.straight_way
        self._default: Specialisation | None = None
        self._written_out: Function | None = None
        self.__name__ = self.__qualname__ = definition.name
        self.__doc__ = f"{self._signature}\n\n{definition.span.text}"

    # --- calling ------------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if is_traced():
            given, keywords = all_as_torch(args, kwargs)
            return self._steps.run_traced(given, keywords)(given, keywords)
        straight = self._straight_way(args, kwargs)
        if straight is not None:
            function, pick, _ = straight
            try:
                return function(*(args + pick(kwargs))) if kwargs else function(*args)
            except OF_TORCH as error:
                return self._after(error, self._steps.run(args, kwargs), args, kwargs)
        quick = quick_key(args, kwargs)
        if quick is not None:
            run = self._steps.run_quickly(quick, args, kwargs)
        else:
            args, kwargs = all_as_torch(args, kwargs)
            run = self._steps.run(args, kwargs)
        try:
            return run(args, kwargs)
        except OF_TORCH as error:
            return self._after(error, run, args, kwargs)

    def specialize(self, *args: Any, **kwargs: Any) -> Specialisation:
        """What a call with these arguments runs: `.program`, `.graph` (of the variant for their sizes), `.code`,
        `.explain()`. Nothing is computed."""
        args, kwargs = all_as_torch(args, kwargs)
        run = self._steps.run(args, kwargs)
        sizes = run.made.compiled.sizes(*run.arguments(args, kwargs).values())
        return replace(run.made, variant=run.made.compiled.select_for(sizes), sizes=sizes)

    def with_options(self, **options: Any) -> Function:
        """The same definition with these options settled, as `compile(text, **options)` does it.

        >>> import namedlayers as nl
        >>> pool = nl.compile("def pool1d[seq](X[seq]; k) = max[part](pool[seq, part = k](X))")
        >>> pool.with_options(k=2)(torch.tensor([1.0, 3.0, 2.0, 0.0]))
        tensor([3., 2.])
        """
        settled = {**self._options, **options}
        return Function(self._namespace, self._definition, manner=self._manner, options=settled)

    def under(self, semiring: str, inputs: Iterable[str] | None = None) -> Function:
        """The same formula under a semiring, of which `inputs` (else the data) are values; see `compile`.

        >>> import namedlayers as nl
        >>> total = nl.compile("def total(X[i]; W[i]) = sum[i](W * X)")
        >>> total.under("max-plus")(torch.tensor([1.0, 2.0]), W=torch.tensor([5.0, 3.0]))
        tensor(6.)
        """
        found = manner_of(semiring=semiring, semiring_inputs=inputs)
        manner = replace(self._manner, semiring=found.semiring, values=found.values)
        return Function(self._namespace, self._definition, manner=manner, options=self._options)

    def within(self, max_memory: int | str) -> Function:
        """The same, with at most so much memory for intermediate values; see `compile`."""
        manner = replace(self._manner, max_memory=manner_of(max_memory=max_memory).max_memory)
        return Function(self._namespace, self._definition, manner=manner, options=self._options)

    def reference(self, *args: Any, dtype: Any = np.float64, **kwargs: Any) -> Any:
        """The same call evaluated by definition, slowly, in numpy; reals are computed as `dtype`.

        >>> import namedlayers as nl
        >>> mean = nl.compile("def mean(X[seq]) = sum[seq](X) / |seq|")
        >>> mean.reference(torch.tensor([1.0, 2.0, 4.5]))
        tensor(2.5000, dtype=torch.float64)
        """
        from namedlayers.reference import evaluate

        args, kwargs = all_as_torch(args, kwargs)
        run = self._steps.run(args, kwargs)
        given = {name: as_numpy(value) for name, value in run.arguments(args, kwargs).items()}
        results = tuple(torch.as_tensor(result) for result in evaluate(run.made.program, given, dtype))
        result = results[0] if len(results) == 1 else results
        return result if run.finish is None else run.finish(result)

    # --- looking ------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._definition.name

    @property
    def source(self) -> str:
        """The text that it was compiled from."""
        return self._namespace.text

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
            stated = tuple(one.axes for one in self._default_specialisation().program.outputs)
        return outputs(self._definition, stated)

    @property
    def program(self) -> Program:
        """The program; `str()` prints it as statements. This and the views below are those of the newest kind of call,
        and before any call those of the default one; `specialize` gives them for particular arguments.
        """
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

    def __repr__(self) -> str:
        return f"<namedlayers function {self._signature}>"

    def _after(self, error: Exception, run: Run, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What becomes of a call that torch refused: the formula as it is written, where a kernel lacks what
        is asked of it (forward derivatives of a fused attention, say), else an error that says what is wrong."""
        if isinstance(error, NotImplementedError) and self._manner.numerics != "strict":
            if self._written_out is None:
                strict = replace(self._manner, numerics="strict")
                self._written_out = Function(self._namespace, self._definition, manner=strict, options=self._options)
            return self._written_out(*args, **kwargs)
        blame(self._signature, run, args, kwargs, error)
        raise error

    def _shown(self) -> Specialisation:
        return self._steps.latest or self._default_specialisation()

    def _default_specialisation(self) -> Specialisation:
        hint = f"give examples of the arguments: `{self.name}.specialize(…)`"
        if self._unsettled():
            missing = self._unsettled()
            message = f"the program depends on {listed(missing)}"
            settle = ", ".join(f"{name}=…" for name in missing)
            also = f", or settle the options: `{self.name}.with_options({settle})`"
            raise ArgumentError("NL0501", message, Label(self._signature.span), hint=hint + also)
        if self._default is None:
            try:
                self._default = self._specialisations.get(self._specialisations.default())
            except NeedsStatic as needs:
                names = ", ".join(f"|{name}|" for name in sorted(needs.axes))
                message = f"the program depends on {names}, which only a call says"
                raise SizeError("NL0426", message, Label(self._signature.span), hint=hint) from None
        return self._default

    # --- compiling ----------------------------------------------------------------------------------------------------

    def _check_options(self) -> None:
        known = option_spans(self._signature)
        for name, value in self._options.items():
            if name not in known:
                hint = near_miss(name, known) or f"its options are {listed(known)}"
                label = Label(self._signature.span)
                raise ArgumentError("NL0503", f"`{self.name}` has no option `{name}`", label, hint=hint)
            check_option(name, known[name], read(form(value)))
        if not self._unsettled():
            self._specialisations.default()

    def _unsettled(self) -> list[str]:
        """The options that have no value without a call."""
        return [one.name for one in self._signature.options if one.default is None and one.name not in self._options]

    # --- one object, wherever it goes ---------------------------------------------------------------------------------

    def __copy__(self) -> Function:
        return self

    def __deepcopy__(self, memo: dict) -> Function:
        return self

    def __reduce__(self) -> tuple:
        return _restore, (pack(self._namespace), self.name, self._manner, self._options)


def _restore(packed: Packed, name: str, manner: Manner, options: Mapping[str, Static]) -> Function:
    namespace = unpack(packed)
    return Function(namespace, namespace.definitions[name], manner=manner, options=options)
