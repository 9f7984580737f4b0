"""Renames, merges and splits between the brackets.

In: entries `source -> target`. Out: the value with other axes. What always holds: at most one part's size of a split is
left to be solved, and it is the exact quotient.
"""

from __future__ import annotations

from namedlayers.errors import AxisError, Label, SizeError
from namedlayers.program.elaboration.reading import Reading
from namedlayers.program.elaboration.steps import Plain
from namedlayers.program.program import Check
from namedlayers.program.size import SizeExpr, const


class Reshaping(Reading):
    """Applies the entries that have a target."""

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
