"""Brackets after a value: renames, merges, splits, selections, slices, indices by coordinates and by tensors.

In: a value and the entries between its brackets. Out: a value. What always holds: all entries apply at once (axes that
steps make are given names of their own until the end); what is not proved to be in range is checked at the call.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from namedlayers.errors import ArgumentError, AxisError, Label, SizeError, Span, near_miss
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.affine import Affine, affine, coordinates_of
from namedlayers.program.elaboration.context import Context, hint_of, missing_axis, spelled
from namedlayers.program.elaboration.stars import unzip
from namedlayers.program.elaboration.values import Environment, Static, Value
from namedlayers.program.program import Check, Kind
from namedlayers.program.size import SizeExpr, const
from namedlayers.syntax import tree


@dataclass(frozen=True, slots=True)
class Plain:
    """An entry with its stars expanded: sources and targets are axes of the text, one by one."""

    sources: tuple[tree.Axis, ...]
    targets: tuple[tree.Axis, ...] | None
    value: tree.Expr | tree.Slice | None
    env: Environment
    span: Span


def index(ctx: Context, base: Value, expr: tree.Index, env: Environment) -> Value:
    """`base[entries; options]`."""
    fill = _fill(ctx, expr, env)
    plain = [one for entry in expr.entries for one in _expand(ctx, entry, env)]
    if not plain:
        raise AxisError("NL0310", "nothing stands between the brackets", Label(expr.span), hint="leave them away")
    base = ctx.let(base, hint_of(base.draft))
    state = _Steps(ctx, expr, base, _sources(ctx, base, plain))
    computed = [one for one in plain if one.value is not None]
    state.by_value(computed, fill)
    for one in plain:
        if one.value is None:
            state.reshape(one)
    return state.finish()


def _fill(ctx: Context, expr: tree.Index, env: Environment) -> Value | None:
    fill = None
    for option in expr.options:
        if option.name != "fill":
            raise ArgumentError(
                "NL0219", f"an index has no option `{option.name or option.span.text}`", Label(option.span),
                hint="its option is `fill`, the value read outside the axis",
            )  # fmt: skip
        fill = ctx.value(ctx.evaluate(option.value, env), option.value.span)
        if fill.axes:
            raise ArgumentError("NL0220", "`fill` is a number", Label(option.value.span, f"this {ctx.axes_of(fill)}"))
    return fill


def _expand(ctx: Context, entry: tree.Entry, env: Environment) -> list[Plain]:
    """The entry once for each axis of its star, if it has one outside a group."""
    if entry.target is None and entry.value is None:
        raise AxisError(
            "NL0310", f"`{entry.span.text}` alone says nothing about the axis", Label(entry.span),
            hint=f"rename it (`{entry.span.text} -> …`) or index it (`{entry.span.text} = …`); "
            "a value's axes are not written",
        )  # fmt: skip
    found = []
    starred = isinstance(entry.source, tree.Axis) and entry.source.star
    for inner in unzip(ctx, entry, env) if starred else [env]:
        sources = _items(ctx, entry.source, inner, starred)
        targets = None if entry.target is None else _items(ctx, entry.target, inner, starred)
        found.append(Plain(sources, targets, entry.value, inner, entry.span))
    return found


def _items(ctx: Context, part: tree.Axis | tree.Group, env: Environment, zipped: bool) -> tuple[tree.Axis, ...]:
    """The axes of a source or target; a star inside a group stands for its axes."""
    items = part.items if isinstance(part, tree.Group) else (part,)
    listed: list[tree.Axis] = []
    for item in items:
        if item.star and not (zipped and isinstance(env.axes.get(item.name), str)):
            names = {axis: name for name, axis in env.axes.items() if isinstance(axis, str)}
            for axis in ctx.axis(item, env):
                name = names.get(axis, axis)
                env.axes.setdefault(name, axis)
                listed.append(tree.Axis(item.span, name))
        else:
            listed.append(tree.Axis(item.span, item.name, False, item.size))
    return tuple(listed)


def _sources(ctx: Context, base: Value, plain: list[Plain]) -> dict[str, Plain]:
    """Each indexed axis with its entry; every source must be there, and once only."""
    found: dict[str, Plain] = {}
    for one in plain:
        for node in one.sources:
            if node.name not in one.env.axes:
                shown = {ctx.display.get(a, a) for a in base.axes}
                raise AxisError(
                    "NL0301", f"{spelled(base)} has no axis `{node.name}`", Label(node.span),
                    Label(base.span, f"this {ctx.axes_of(base)}"), hint=near_miss(node.name, shown),
                )  # fmt: skip
            (axis,) = ctx.axis(node, one.env)
            if axis not in base.axes:
                what = "this renames" if one.targets is not None else "this indexes"
                raise missing_axis(ctx, what, axis, base, node.span)
            if axis in found:
                raise AxisError(
                    "NL0303", f"`{node.name}` is indexed twice",
                    Label(node.span), Label(found[axis].span, "first here"),
                    hint="all entries apply at once; one after the other is `X[…][…]`",
                )  # fmt: skip
            found[axis] = one
            if node.size is not None:
                ctx.same_size(axis, base.axes[axis], ctx.length(node, one.env), base.span, node.span)
    return found


class _Steps:
    """The value on its way: entries are applied one kind after the other, names are settled at the end."""

    def __init__(self, ctx: Context, expr: tree.Index, base: Value, sources: dict[str, Plain]) -> None:
        self.ctx, self.span, self.value, self.sources = ctx, expr.span, base, sources
        self.base = base
        self.final: dict[str, str] = {}

    # --- indices by value ---------------------------------------------------------------------------------------------

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
            elif not self._repeat(axis, one):
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
        hint = f"`[{one.span.text}; fill = 0]` reads 0 there"
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
                    hint="`where(mask, a, b)` chooses by a condition" if found.kind is Kind.BOOL else "",
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

    # --- renames, merges, splits --------------------------------------------------------------------------------------

    def reshape(self, one: Plain) -> None:
        ctx = self.ctx
        assert one.targets is not None
        sources = [ctx.axis(node, one.env)[0] for node in one.sources]
        if len(sources) == 1:
            source = sources[0]
        else:
            source = self._merge(sources, one)
        if len(one.targets) == 1:
            (target,) = one.targets
            size = self.value.axes[source]
            name = ctx.introduce(target, one.env)
            if target.size is not None:
                ctx.same_size(name, size, ctx.length(target, one.env), self.base.span, target.span)
            ctx.record(name, size, one.env)
            self.final[source] = name
        else:
            self._split(source, one)

    def _merge(self, sources: list[str], one: Plain) -> str:
        ctx = self.ctx
        value = ctx.materialise(self.value, sources)
        product = const(1)
        for axis in sources:
            product = product * value.axes[axis]
        into = self._temporary("merged")
        axes = {into if a == sources[0] else a: product if a == sources[0] else s
                for a, s in value.axes.items() if a not in sources[1:]}  # fmt: skip
        attrs = {"axes": tuple(sources), "into": into}
        self.value = ctx.primitive("merge", (value,), axes, self.span, attrs, hint=self._hint())
        return into

    def _split(self, source: str, one: Plain) -> None:
        """At most one part's size is left to be solved: it is the quotient, which must be exact."""
        ctx, env = self.ctx, one.env
        assert one.targets is not None
        value = ctx.materialise(self.value, [source])
        whole = value.axes[source]
        sizes: list[SizeExpr | None] = []
        # A part that keeps the name of what is split is a new axis: it has not the old one's size.
        own = {node.name for node in one.sources}
        names = [
            ctx.axis(target, env)[0] if target.name in own else ctx.introduce(target, env) for target in one.targets
        ]
        for name, target in zip(names, one.targets, strict=True):
            known = env.sizes.get(name) if name not in env.clashing and target.name not in own else None
            sizes.append(ctx.length(target, env) if target.size is not None else known)
        known_product = const(1)
        for size in sizes:
            known_product = known_product * (size if size is not None else 1)
        shown = f"axis `{self._shown(one)}`" if len(one.sources) == 1 else "the merged axis"
        labels = (Label(one.span), *ctx.known_size(source, whole))
        missing = [k for k, size in enumerate(sizes) if size is None]
        if len(missing) > 1:
            raise SizeError(
                "NL0411", f"nothing says how {shown} divides between {ctx.shown(names[k] for k in missing)}",
                Label(one.span), hint=f"give one a size: `{one.targets[missing[0]].name} = 8`",
            )  # fmt: skip
        if missing:
            check = Check(
                whole % known_product if known_product != 0 else whole, "==", const(0), "NL0412",
                f"{shown}{self._long(whole)} does not divide by {known_product}: {{left}} left over", labels,
            )  # fmt: skip
            if known_product == 0:
                raise SizeError("NL0405", "an axis is divided by zero", Label(one.span))
            sizes[missing[0]] = ctx.solver.divide(whole, known_product, check, one.targets[missing[0]].name)
        else:
            ctx.solver.require(
                Check(
                    whole,
                    "==",
                    known_product,
                    "NL0413",
                    f"{shown} has size {{left}}, but its parts make {{right}}",
                    labels,
                )
            )
        parts = []
        for name, found in zip(names, sizes, strict=True):
            assert found is not None
            ctx.record(name, found, env)
            part = self._temporary(name) if name in value.axes else name
            self.final[part] = name
            parts.append((part, ctx.solver.normal(found)))
        if len({name for name, _ in parts}) < len(parts):
            twice = next(node for k, node in enumerate(one.targets) if node.name in {n.name for n in one.targets[:k]})
            raise AxisError("NL0303", f"`{twice.name}` is named twice", Label(twice.span))
        axes: dict[str, SizeExpr] = {}
        for axis, size in value.axes.items():
            axes |= dict(parts) if axis == source else {axis: size}
        attrs = {"axis": source, "into": tuple(parts)}
        self.value = ctx.primitive("split", (value,), axes, self.span, attrs, hint=self._hint())

    def _shown(self, one: Plain) -> str:
        """The entry's axis as the user knows it: inside a definition of the prelude, the caller's name."""
        (axis,) = self.ctx.axis(one.sources[0], one.env)
        return self.ctx.display.get(axis, axis)

    def _temporary(self, hint: str) -> str:
        return self.ctx.new_axis(hint)

    def _hint(self) -> str:
        form, parts = self.base.draft.form, self.base.draft.parts
        return parts[0] if form == "leaf" else ""

    # --- names --------------------------------------------------------------------------------------------------------

    def finish(self) -> Value:
        """The value with its axes under their final names, which must be different."""
        value, final = self.value, self.final
        axes: dict[str, SizeExpr] = {}
        for axis, size in value.axes.items():
            name = final.get(axis, axis)
            if name in axes:
                place = self.ctx.places.get(name, self.span)
                own = place.source is self.span.source and self.span.start <= place.start < self.span.end
                raise AxisError(
                    "NL0304", f"the result would have axis {self.ctx.shown([name])} twice",
                    Label(place if own else self.span), Label(self.base.span, f"this {self.ctx.axes_of(self.base)}"),
                    hint="choose a name that is free",
                )  # fmt: skip
            axes[name] = size
        virtual = frozenset(final.get(a, a) for a in value.virtual)
        draft = value.draft
        if draft.form == "leaf":
            name, old = draft.parts
            draft = v.Draft("leaf", (name, tuple((final.get(a, a), s) for a, s in old)))
        return Value(draft, axes, value.kind, self.span, virtual)


class WantsInteger(Exception):
    """An index that is no integer: `inputs` are those that it is computed from, which may be why; `error` says so."""

    def __init__(self, inputs: tuple[str, ...], error: ArgumentError) -> None:
        super().__init__(inputs, error)
        self.inputs = inputs
        self.error = error


_KIND_WORDS = {Kind.BOOL: "a truth value", Kind.REAL: "a real number", Kind.COMPLEX: "a complex number"}
