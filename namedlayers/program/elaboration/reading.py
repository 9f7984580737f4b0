"""Indices by value: selections, slices, coordinates and tensors between the brackets.

In: entries `axis = value`. Out: the value, read there. What always holds: what is affine becomes one `index`, the rest
one `gather`; what is not proved to be in range is checked at the call.
"""

from __future__ import annotations

from dataclasses import replace

from namedlayers.errors import ArgumentError, AxisError, Label, SizeError
from namedlayers.program.elaboration.affine import Affine, affine, coordinates_of
from namedlayers.program.elaboration.steps import Plain, Steps
from namedlayers.program.elaboration.values import Static, Value
from namedlayers.program.program import Check, Kind
from namedlayers.program.size import SizeExpr, const
from namedlayers.syntax import tree


class Reading(Steps):
    """Applies the entries that have a value."""

    def by_value(self, entries: list[Plain], fill: Value | None) -> None:
        ctx = self.ctx
        gathers: list[tuple[str, Value]] = []
        affine: list[tuple[str, Affine, Plain]] = []
        new: dict[str, SizeExpr] = {}
        for one in entries:
            (node,) = self._single(one)
            (axis,) = ctx.axis(node, one.env)
            found = self._affine(axis, one)
            if isinstance(found, Affine) and fill is None:
                new |= self._new_axes(axis, found, one, keep_size=False)
                affine.append((axis, found, one))
                continue
            if isinstance(found, Affine):
                new |= self._new_axes(axis, found, one, keep_size=True)
                gathers.append((axis, coordinates_of(ctx, found, new, self.base, one.span)))
            elif fill is not None or not self._repeat(axis, one):  # with a `fill` the size stays
                gathers.append((axis, self._computed(axis, one)))
        if affine:
            self._affine_step(affine, new)
        if gathers:
            self._gather_step(gathers, fill)

    def _single(self, one: Plain) -> tuple[tree.Axis, ...]:
        if len(one.sources) != 1 or one.targets is not None:
            raise AxisError("NL0310", "an index is for one axis, not for a group", Label(one.span))
        return one.sources

    def _affine(self, axis: str, one: Plain) -> Affine | None:
        """The index as an affine expression of coordinates, if it is one; selections count from the end."""
        ctx, size = self.ctx, self.base.axes[axis]
        if isinstance(one.value, tree.Slice):
            return self._slice(axis, one, one.value)
        assert one.value is not None
        found = affine(ctx, one.value, one.env, axis)
        if isinstance(found, Affine) and found.coefficients.get(axis) == 0:
            raise SizeError(
                "NL0408", f"the index does not move along `{self._shown(one)}`: its step is 0", Label(one.span),
                hint="a stride is at least 1",
            )  # fmt: skip
        if isinstance(found, Affine):
            found = Affine({name: c for name, c in found.coefficients.items() if c != 0}, found.offset)
        if isinstance(found, Affine) and not found.coefficients:
            offset = ctx.solver.normal(found.offset)
            if offset.value is not None and offset.value < 0:
                offset = offset + size
            return Affine({}, offset)
        return found

    def _slice(self, axis: str, one: Plain, value: tree.Slice) -> Affine:
        ctx, size = self.ctx, self.base.axes[axis]
        step = 1 if value.step is None else ctx.size(value.step, one.env, "a step").value
        if step is None or step == 0:
            assert value.step is not None
            raise ArgumentError("NL0221", "a step is an integer other than 0", Label(value.step.span))
        ends = (const(0), size) if step > 0 else (size - 1, const(-1))
        start = ends[0] if value.start is None else self._from_end(ctx.size(value.start, one.env), size)
        stop = ends[1] if value.stop is None else self._from_end(ctx.size(value.stop, one.env), size)
        length = (stop - start + (step - 1)) // step if step > 0 else (start - stop - step - 1) // (-step)
        name = self._shown(one)
        slice_ = f"the slice along `{name}`"
        past = f"{slice_} ends at {{right}}, but the axis has size {{left}}"
        early = f"{slice_} begins at {{left}}, before the axis does"
        limits: tuple[tuple[SizeExpr, SizeExpr, str], ...] = ((size, stop, past), (start, const(0), early))
        if step < 0:
            past = f"{slice_} begins at {{right}}, past the last coordinate {{left}}"
            early = f"{slice_} ends at {{left}}, before the axis does"
            limits = ((size - 1, start, past), (stop, const(-1), early))
        for left, right, message in (*limits, (length, const(0), f"{slice_} ends before it begins")):
            labels = (Label(one.span), *ctx.known_size(axis, size))
            ctx.solver.require(Check(left, ">=", right, "NL0406", message, labels))
        return Affine({axis: const(step)}, start, length)

    @staticmethod
    def _from_end(position: SizeExpr, size: SizeExpr) -> SizeExpr:
        return position + size if position.value is not None and position.value < 0 else position

    def _new_axes(self, axis: str, found: Affine, one: Plain, *, keep_size: bool) -> dict[str, SizeExpr]:
        """The sizes of the axes that the index makes: the indexed one's own, or one that has no size yet."""
        ctx, size = self.ctx, self.base.axes[axis]
        sizes: dict[str, SizeExpr] = {}
        unknown: list[str] = []
        for name in found.coefficients:
            if name == axis:
                unknown.append(name)
            elif name in self.base.axes and name not in self.sources:
                sizes[name] = self.base.axes[name]
            elif name in one.env.sizes and name not in one.env.clashing:
                sizes[name] = one.env.sizes[name]
            else:
                unknown.append(name)
        if len(unknown) > 1:
            shown = ctx.shown(unknown)
            raise SizeError(
                "NL0407", f"nothing says how the index divides between {shown}", Label(one.span),
                hint=f"give one a size where it is introduced, for example "
                f"`{ctx.display.get(unknown[-1], unknown[-1])} = 3`",
            )  # fmt: skip
        last, low = found.offset, found.offset
        for name, c in found.coefficients.items():
            if name in sizes:
                if c.nonnegative:
                    last = last + c * (sizes[name] - 1)
                else:
                    low = low + c * (sizes[name] - 1)
        if unknown:
            (name,) = unknown
            c = found.coefficients[name]
            sizes[name] = found.length if found.length is not None else self._own_size(c, last, size, one, keep_size)
            if c.nonnegative:
                last = last + c * (sizes[name] - 1)
            else:
                low = low + c * (sizes[name] - 1)
        if not keep_size:
            self._in_range(
                axis, low, last, size, one, solved=bool(unknown) and found.coefficients[unknown[0]].nonnegative
            )
        for name, new_size in sizes.items():
            if name != axis and name not in self.base.axes:
                ctx.record(name, new_size, one.env)
        return sizes

    def _own_size(self, c: SizeExpr, last: SizeExpr, size: SizeExpr, one: Plain, keep_size: bool) -> SizeExpr:
        ctx = self.ctx
        if keep_size or not c.nonnegative:
            return size
        step = f"the index does not move along `{self._shown(one)}`: its step is {{left}}"
        ctx.solver.require(Check(c, ">=", const(1), "NL0408", step, (Label(one.span),), "a stride is at least 1"))
        length = (size - 1 - last) // c + 1
        reach = ctx.solver.normal(last + 1)
        message = f"the window of {reach} elements is longer than axis `{self._shown(one)}`{self._long(size)}"
        (axis,) = ctx.axis(one.sources[0], one.env)
        labels = (Label(one.span), *ctx.known_size(axis, size))
        ctx.solver.require(Check(length, ">=", const(0), "NL0409", message, labels))
        return length

    def _long(self, size: SizeExpr) -> str:
        """A size for a message where it is known; a call's report says itself how long each axis is."""
        known = self.ctx.solver.normal(size).value
        return "" if known is None else f" of size {known}"

    def _in_range(self, axis: str, low: SizeExpr, last: SizeExpr, size: SizeExpr, one: Plain, *, solved: bool) -> None:
        ctx, name = self.ctx, self._shown(one)
        labels = (Label(one.span), *ctx.known_size(axis, size))
        before = f"the index along `{name}` reaches {{left}}, before the first coordinate"
        past = f"the index along `{name}` reaches {{right}}, past the last coordinate {{left}}"
        hint = "" if one.span.source.shipped else f"`[{one.span.text}; fill = 0]` reads 0 there"
        if isinstance(one.value, (tree.Number, tree.Unary)):  # a selection, which may count from the end
            before = past = f"axis `{name}`{self._long(size)} has no coordinate {one.value.span.text}"
            hint = ""
        ctx.solver.require(Check(low, ">=", const(0), "NL0410", before, labels, hint))
        if not solved:
            ctx.solver.require(Check(size - 1, ">=", last, "NL0410", past, labels, hint))

    def _affine_step(self, entries: list[tuple[str, Affine, Plain]], new: dict[str, SizeExpr]) -> None:
        ctx = self.ctx
        indexed = {axis for axis, _, _ in entries}
        value = ctx.materialise(self.value, [*indexed, *new])
        axes = {a: s for a, s in value.axes.items() if a not in indexed}
        for _, found, _ in entries:
            for name in found.coefficients:
                axes.setdefault(name, new[name])
        attrs = tuple(
            sorted((axis, tuple(sorted(found.coefficients.items())), found.offset) for axis, found, _ in entries)
        )
        self.value = ctx.primitive("index", (value,), axes, self.span, {"entries": attrs}, hint=self._hint())

    def _computed(self, axis: str, one: Plain) -> Value:
        """The index as a tensor: its own axis's name in it means a new axis of the old size."""
        ctx = self.ctx
        assert one.value is not None and not isinstance(one.value, tree.Slice)
        env = replace(one.env, sizes={**one.env.sizes, axis: self.base.axes[axis]}, clashing=one.env.clashing - {axis})
        found = ctx.value(ctx.evaluate(one.value, env), one.value.span)
        if found.kind is not Kind.INT:
            raise WantsInteger(
                ctx.inputs_of(found),
                ArgumentError(
                    "NL0222", f"an index is an integer, not {_KIND_WORDS[found.kind]}", Label(one.value.span),
                    hint=_INTEGER_HINTS.get(found.kind, ""),
                ),
            )  # fmt: skip
        return found

    def _repeat(self, axis: str, one: Plain) -> bool:
        """`X[seq = seq // k]`: each element k times."""
        ctx, expr = self.ctx, one.value
        if not (isinstance(expr, tree.Binary) and expr.op == "//" and isinstance(expr.left, tree.Name)):
            return False
        if one.env.axes.get(expr.left.name) != axis or expr.left.name in one.env.values:
            return False
        times = ctx.evaluate(expr.right, one.env)
        if isinstance(times, Value) and times.kind is Kind.INT and ctx.depends(times.draft)[0]:
            times = Static(ctx.known(times, expr.right.span, "how often each element is repeated"), expr.right.span)
        if not isinstance(times, Static) or not isinstance(times.value, (int, SizeExpr)):
            return False
        k = ctx.size(expr.right, one.env)
        ctx.solver.require(
            Check(k, ">=", const(1), "NL0405", "an index is divided by {left}", (Label(expr.right.span),))
        )
        copy = ctx.new_axis("copy")
        value = ctx.materialise(self.value, [axis])
        expanded = ctx.primitive("expand", (value,), {**value.axes, copy: k}, self.span, {"axes": ((copy, k),)})
        axes = {a: (s * k if a == axis else s) for a, s in value.axes.items()}
        self.value = ctx.primitive(
            "merge", (expanded,), axes, self.span, {"axes": (axis, copy), "into": axis}, hint=self._hint()
        )
        return True

    def _gather_step(self, gathers: list[tuple[str, Value]], fill: Value | None) -> None:
        ctx = self.ctx
        indexed = [axis for axis, _ in gathers]
        value = ctx.materialise(self.value, [*indexed])
        axes = {a: s for a, s in value.axes.items() if a not in indexed}
        for _, found in gathers:
            for name, size in found.axes.items():
                if name in axes:
                    ctx.same_size(name, axes[name], size, value.span, found.span)
                else:
                    axes[name] = size
        operands = [value, *(ctx.materialise(found, found.virtual) for _, found in gathers)]
        if fill is not None:
            operands.append(fill)
        kind = max(value.kind, fill.kind, key=lambda k: k.value) if fill is not None else value.kind
        attrs = {"axes": tuple(indexed), "fill": fill is not None}
        self.value = ctx.primitive("gather", tuple(operands), axes, self.span, attrs, kind=kind, hint=self._hint())


class WantsInteger(Exception):
    """An index that is no integer: `inputs` are those that it is computed from, which may be why; `error` says so."""

    def __init__(self, inputs: tuple[str, ...], error: ArgumentError) -> None:
        super().__init__(inputs, error)
        self.inputs = inputs
        self.error = error


_KIND_WORDS = {Kind.BOOL: "a truth value", Kind.REAL: "a real number", Kind.COMPLEX: "a complex number"}
_INTEGER_HINTS = {
    Kind.BOOL: "`where(mask, a, b)` chooses by a condition",
    Kind.REAL: "`int(…)` makes an integer of a real number, towards zero: `int(floor(x))`, `int(round(x))`",
}
