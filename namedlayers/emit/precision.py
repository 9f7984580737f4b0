"""Dtypes and devices.

In: values of any kinds. Out: values that may meet in one torch operation. What always holds: numbers stay Python
numbers until they must be tensors; tensors made of nothing lie on the device of the first tensor input.

A weak real tensor (of coordinates, counts, conditions: of nothing real) is computed in the working dtype, which is that
of the first real input or float32, whichever is larger, and cast where it meets a real tensor that is not weak.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from namedlayers.emit.names import Names
from namedlayers.emit.prologue import Prologue
from namedlayers.emit.sizes import Sizes
from namedlayers.emit.value import Value
from namedlayers.program.program import Kind, Program
from namedlayers.program.size import SizeExpr


class Precision(Sizes):
    """Casts, and what they need."""

    def __init__(
        self, program: Program, prologue: Prologue, names: Names,
        floors: Sequence[tuple[SizeExpr, SizeExpr]], optimistic: bool,
    ) -> None:  # fmt: skip
        super().__init__(program, prologue, names, floors, optimistic)
        self._shared: dict[str, fx.Node] = {}

    def device(self) -> dict[str, fx.Node]:
        """The keyword argument that puts a new tensor where the inputs are."""
        found = self._first(lambda given: True)
        if found is None:
            return {}
        return {"device": self._once("device", lambda: self.raw(getattr, (found, "device"), {}, "on"))}

    def dtype(self) -> fx.Node:
        """The working dtype, always a real one."""

        def make() -> fx.Node:
            found = self._first(lambda given: given.kind is Kind.REAL)
            if found is None:
                found = self._first(lambda given: given.kind is Kind.COMPLEX)
                if found is None:
                    return self.raw(torch.get_default_dtype, (), {}, "dtype")
                found = self.inline(getattr, found, "real")
            given = self.inline(getattr, found, "dtype")
            return self.raw(torch.promote_types, (given, torch.float32), {}, "dtype")

        return self._once("dtype", make)

    def dtype_of(self, value: Value) -> fx.Node:
        return self.inline(getattr, value, "dtype")

    def cast(self, value: Value, dtype: Any, kind: Kind, *, weak: bool | None = None) -> Value:
        weak = value.weak if weak is None else weak
        return self.call("to", (value, dtype), value.axes, kind=kind, weak=weak, inline=True)

    def working(self, value: Value) -> Value:
        """A tensor that is not real yet as a real one."""
        if value.number or value.kind in (Kind.REAL, Kind.COMPLEX):
            return value
        return self.cast(value, self.dtype(), Kind.REAL)

    def raised(self, value: Value) -> tuple[Value, Callable[[Value], Value]]:
        """A tensor in float32 at least, for what torch has not in half precision; and what undoes it."""
        if value.kind is not Kind.REAL:
            return value, lambda result: result
        given = self.dtype_of(value)
        raised = self.cast(value, self.inline(torch.promote_types, given, torch.float32), Kind.REAL)
        return raised, lambda result: self.cast(result, self.dtype_of(value), Kind.REAL)

    def out_of_complex(self, value: Value) -> Value:
        """A real value made of complex ones, in the precision of the real inputs: no complex number is as short as a
        half, so that what was raised for them comes back here."""
        for given, node in zip(self.program.inputs, self.inputs, strict=True):
            if given.kind is Kind.REAL and given.role != "option":
                return self.cast(value, self.inline(getattr, node, "dtype"), Kind.REAL)
        return value

    def integer(self, value: Value) -> Value:
        """A boolean as 0 or 1."""
        if value.kind is not Kind.BOOL:
            return value
        if value.literal:
            return Value(int(value.held), (), Kind.INT, True, True)  # type: ignore[arg-type]
        if value.number:
            return self.number(operator.pos, value, kind=Kind.INT)
        return self.cast(value, torch.int64, Kind.INT)

    def truth(self, value: Value) -> Value:
        """Whether it is not 0."""
        if value.kind is Kind.BOOL:
            return value
        if value.literal:
            return Value(bool(value.held), (), Kind.BOOL, True, True)
        if value.number:
            return self.number(operator.ne, value, 0, kind=Kind.BOOL)
        return self.call(operator.ne, (value, 0), value.axes, kind=Kind.BOOL, inline=True)

    def tensor(self, value: Value, like: Value | None = None) -> Value:
        """A number as a tensor without axes, in the precision of `like`, else the working one."""
        if not value.number:
            return value
        if value.kind is Kind.COMPLEX:
            dtype: Any = self.inline(torch.promote_types, self.dtype(), torch.complex64)
        elif value.kind is Kind.REAL:
            dtype = self.dtype() if like is None or like.kind is not Kind.REAL else self.dtype_of(like)
        else:
            dtype = torch.bool if value.kind is Kind.BOOL else torch.int64
        options = {"dtype": dtype, **self.device()}
        return self.call(torch.full, ((), value), (), options, kind=value.kind, weak=True, inline=True)

    def meet(self, values: Sequence[Value], kind: Kind | None = None) -> list[Value]:
        """The operands of an operation on real or complex numbers, in one precision, as torch promotes them.

        Integers next to a real tensor, Python numbers, and tensors without axes next to one with axes need nothing:
        torch gives them its dtype.
        """
        kind = self.node.kind if kind is None else kind
        strong = next((v for v in values if not v.number and not v.weak and v.kind is Kind.REAL), None)
        if strong is not None:
            return [v if v.axes == () != strong.axes else self._joined(v, strong) for v in values]
        if kind in (Kind.REAL, Kind.COMPLEX) and not any(
            v.kind in (Kind.REAL, Kind.COMPLEX) and not v.number for v in values
        ):
            return [self.working(v) for v in values]
        return list(values)

    def _joined(self, value: Value, strong: Value) -> Value:
        if value.weak and not value.number and value.kind is Kind.REAL:
            return self.cast(value, self.dtype_of(strong), Kind.REAL, weak=False)
        return value

    def alike(self, values: Sequence[Value]) -> list[Value]:
        """As `meet`, for torch functions that promote nothing: tensors of one kind and one precision."""
        values = self.meet([self.tensor(v) for v in values])
        strong = next((v for v in values if not v.weak and v.kind is Kind.REAL), None)
        values = values if strong is None else [self._joined(v, strong) for v in values]
        top = max((v.kind for v in values), key=lambda kind: kind.value)
        if top is Kind.BOOL:
            return values
        if top is Kind.INT:
            return [self.integer(v) for v in values]
        first = next((v for v in values if v.kind is top and not v.weak), None)
        first = first or next(v for v in values if v.kind is top)
        return [v if v.kind is top else self.cast(v, self.dtype_of(first), top, weak=first.weak) for v in values]

    def _first(self, which: Callable) -> fx.Node | None:
        for given, node in zip(self.program.inputs, self.inputs, strict=True):
            if given.role != "option" and which(given):
                return node
        return None

    def _once(self, key: str, make: Callable[[], fx.Node]) -> fx.Node:
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]
