"""A compiled `def`, as its user holds it: called with tensors, and looked at.

In: a definition and what compiling has settled. Out: results, and views of every stage. What always holds: a call does
nothing symbolic unless it is the first of its kind; any number of threads may call a function.

Bare tensors and plain options take the straight way: a table from their types and ranks to the compiled Python. All
other calls, and those that torch.compile traces, go by `steps`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from namedlayers.call.blame import OF_TORCH, blame
from namedlayers.call.budget import Budgets, says_budget
from namedlayers.call.definition import Definition
from namedlayers.call.forms import all_as_torch, as_numpy, as_reals, quick_key
from namedlayers.call.specialise import Specialisation, Specialisations
from namedlayers.call.steps import Run, Steps
from namedlayers.call.straight import ELSEWHERE
from namedlayers.call.tracing import Traced, is_traced
from namedlayers.errors import Label, SizeError
from namedlayers.program.spec import NeedsStatic, Spec


class Function(Traced, Definition):
    """A `def`, compiled. Made by `namedlayers.compile`, or found in what `load` and `loads` return.

    Tensors are given in the signature's order or by name, options by name. The views are those of the newest kind of
    call, and before any call those of the default one; `specialize` gives them for particular arguments.

    >>> import namedlayers as nl
    >>> scale = nl.compile("def scale(X[seq]; by = 2) -> [seq] = X * by")
    >>> scale(torch.ones(3), by=5)
    tensor([5., 5., 5.])

    A call may say `max_memory=` (see `compile`) for itself, unless an input is called so.
    """

    # --- calling ------------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs and says_budget(kwargs, self._names):
            return self._budgets.taken_out(kwargs)(*args, **kwargs)
        if is_traced():
            given, keywords = all_as_torch(args, kwargs)
            return self._steps.run_traced(given, keywords)(given, keywords)
        try:
            result = self._straight.run(args, kwargs, None)
        except OF_TORCH as error:
            return self._after(error, self._steps.run(args, kwargs), args, kwargs)
        if result is not ELSEWHERE:
            return result
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
        results = tuple(torch.tensor(result) for result in evaluate(run.made.program, given, as_reals(dtype)))
        result = results[0] if len(results) == 1 else results
        return result if run.finish is None else run.finish(result)

    def __repr__(self) -> str:
        return f"<namedlayers function {self._signature}>"

    def _begin(self) -> None:
        settled = Spec(options=tuple(sorted(self._options.items())))
        self._specialisations = Specialisations(self.namespace, self.definition, settled, self.manner)
        self._steps = Steps(self._signature, settled, self._specialisations)
        self._straight = self._steps.straight
        self._written_out: Function | None = None
        self._budgets = Budgets(lambda most: self._again(manner=replace(self.manner, max_memory=most)))
        sign = self._signature
        self._names = frozenset([*(one.name for one in sign.inputs), *(one.name for one in sign.options)])

    def _check(self) -> None:
        self._specialisations.default()

    def _after(self, error: Exception, run: Run, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What becomes of a call that torch refused: the formula as it is written, where a kernel lacks what
        is asked of it (forward derivatives of a fused attention, say), else an error that says what is wrong."""
        if isinstance(error, NotImplementedError) and self.manner.numerics != "strict":
            if self._written_out is None:
                self._written_out = self._again(manner=replace(self.manner, numerics="strict"))
            return self._written_out(*args, **kwargs)
        blame(self._signature, run, args, kwargs, error)
        raise error

    def _shown(self) -> Specialisation:
        return self._steps.latest or self._default()

    def _default(self) -> Specialisation:
        examples = f"give examples of the arguments: `{self.name}.specialize(…)`"
        self._check_settled(examples)
        try:
            return self._specialisations.get(self._specialisations.default())
        except NeedsStatic as needs:
            names = ", ".join(f"|{name}|" for name in sorted(needs.axes))
            message = f"the program depends on {names}, which only a call says"
            raise SizeError("NL0426", message, Label(self._signature.span), hint=examples) from None
