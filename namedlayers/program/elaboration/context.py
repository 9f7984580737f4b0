"""What is shared while one program is elaborated, whole: with the axes that names stand for in an environment.

In: names and sizes of axes, as the text gives them. Out: axes and their sizes. What always holds: a name stands for one
axis in an environment, or for those of a star; a size given twice is an equation.

A `Context` is made of layers, each a module of its own: `state`, `lets`, `operations`, `statics`.
"""

from __future__ import annotations

from namedlayers.errors import AxisError, Label, SizeError, near_miss
from namedlayers.program.elaboration.statics import Statics
from namedlayers.program.elaboration.values import Environment
from namedlayers.program.program import Check
from namedlayers.program.size import SizeExpr, const
from namedlayers.syntax import tree


class Context(Statics):
    __slots__ = ()

    def axis(self, node: tree.Axis, env: Environment, hint: str = "") -> tuple[str, ...]:
        """The axes that a name stands for: one, or those of a star. An unknown name is an error; `hint` says what else
        may have been meant."""
        found = env.axes.get(node.name)
        if found is None:
            raise AxisError(
                "NL0302", f"there is no axis `{node.name}` here", Label(node.span),
                hint=near_miss(node.name, env.axes)
                or "; ".join(filter(None, (self._known_axes(env), hint)))
                or "inputs name their axes: `X[seq]`",
            )  # fmt: skip
        env.used_axes.add(node.name)
        if isinstance(found, tuple) != node.star:
            raise AxisError(
                "NL0309",
                f"`{node.name}` stands for {'several axes' if isinstance(found, tuple) else 'one axis'}",
                Label(node.span),
                hint=f"write `*{node.name}`" if isinstance(found, tuple) else f"write `{node.name}` without the star",
            )
        return found if isinstance(found, tuple) else (found,)

    def introduce(self, node: tree.Axis, env: Environment, size: SizeExpr | None = None) -> str:
        """The axis of a name, made new where the environment does not know it; a size given becomes an equation."""
        if node.star:
            self.axis(node, env)
            raise AxisError("NL0309", f"`*{node.name}` stands for several axes; one is needed here", Label(node.span))
        env.used_axes.add(node.name)
        found = env.axes.get(node.name)
        if isinstance(found, tuple):
            self.axis(node, env)
        if found is None:
            found = env.axes[node.name] = self.new_axis(node.name)
        assert isinstance(found, str)
        if size is None and node.size is not None:
            size = self.length(node, env)
        if size is not None:
            if found in env.declared and found in env.sizes:
                earlier = self.sized.get(found, node.span)
                also = (Label(earlier, f"`{node.name}` has size {{left}} here"),) * (earlier != node.span)
                self.solver.require(
                    Check(
                        env.sizes[found], "==", size, "NL0403",
                        f"axis `{node.name}` has size {{left}}, not {{right}}", (Label(node.span), *also),
                    )
                )  # fmt: skip
            else:
                self.record(found, size, env)
        self.place(found, node.span)
        if node.size is not None and not node.span.source.shipped:
            self.sized.setdefault(found, node.span)
        return found

    def known_size(self, axis: str, size: SizeExpr) -> tuple[Label, ...]:
        """Where the text says how long an axis is, for errors; a call's report tells it of what a call decides."""
        known, place = self.solver.normal(size).value, self.sized.get(axis)
        if known is None or place is None:
            return ()
        return (Label(place, f"`{self.display.get(axis, axis)}` has size {known} here"),)

    def record(self, axis: str, size: SizeExpr, env: Environment) -> None:
        """Note the size that a computed value has along an axis, for `|axis|` of axes that are not declared."""
        if axis in env.declared and axis in env.sizes:
            return
        known = env.sizes.get(axis)
        if known is None:
            env.sizes[axis] = size
        elif self.solver.normal(known) != self.solver.normal(size):
            env.clashing.add(axis)

    def size_of(self, node: tree.Axis, env: Environment) -> SizeExpr:
        """`|axis|`; of a star, the product."""
        product = const(1)
        for axis in self.axis(node, env):
            if axis in env.clashing:
                raise SizeError(
                    "NL0404", f"axis `{node.name}` has different sizes in different values", Label(node.span),
                    hint=f"ask for one value's: `size[{node.name}](…)`",
                )  # fmt: skip
            if axis not in env.sizes:
                place = self.places.get(axis, node.span)
                env.sizes[axis] = self.solver.fresh(
                    self.display.get(axis, node.name), Label(place, "its size is needed")
                )
                env.declared.add(axis)
            product = product * env.sizes[axis]
        return self.solver.normal(product)

    def _known_axes(self, env: Environment) -> str:
        if not env.axes:
            return ""
        return f"the {'axes here are' if len(env.axes) > 1 else 'only axis here is'} {self.shown(sorted(env.axes))}"
