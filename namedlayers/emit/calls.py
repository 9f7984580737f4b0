"""Makes fx nodes: what is called, with which arguments, and what its dimensions are.

In: functions, methods and `Value`s. Out: an `fx.Graph` and the `Value`s that its nodes hold. What always holds: every
node knows the axes of its dimensions, the spans of the text and the rule that it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import fx

from namedlayers.emit.names import Names
from namedlayers.emit.prologue import Prologue
from namedlayers.emit.value import Value
from namedlayers.program.graph import Node
from namedlayers.program.program import Kind, Program


class Calls:
    """Attributes: `program`, `prologue`, `fx` (the graph being built), `inputs` (its placeholders), `node` (the planned
    node that is being emitted)."""

    node: Node

    def __init__(self, program: Program, prologue: Prologue, names: Names) -> None:
        self.program = program
        self.prologue = prologue
        self.names = names
        self.fx = fx.Graph()
        self.inputs = [self.fx.create_node("placeholder", name, name=name) for name in prologue.arguments]
        for given, node in zip(program.inputs, self.inputs, strict=True):
            node.meta["kind"] = None if given.role == "option" else given.kind
            node.meta["rank"] = len(given.axes)
        self._labels = -1000

    def call(
        self,
        target: Callable | str,
        args: Sequence[Any],
        axes: Iterable[int],
        options: Mapping[str, Any] | None = None,
        *,
        kind: Kind | None = None,
        weak: bool | None = None,
        inline: bool = False,
        wish: str = "",
    ) -> Value:
        """A tensor with dimensions `axes`: `target` is a function, or the name of a method of the first argument;
        `options` are keyword arguments. Its kind and weakness are the emitted node's unless they are given; what is
        not real is weak."""
        axes = tuple(axes)
        kind = self.node.kind if kind is None else kind
        weak = kind < Kind.REAL or (self.node.weak if weak is None else weak)
        held = self.raw(target, args, options or {}, wish or self._wish(target, inline))
        held.meta["axes"] = tuple(self.axis_name(axis) for axis in axes)
        held.meta["temporary"] = bool(axes)
        held.meta["kind"] = kind
        if inline:
            held.meta["inline"] = True
        return Value(held, axes, kind, weak)

    def raw(self, target: Callable | str, args: Sequence[Any], options: Mapping[str, Any], wish: str) -> fx.Node:
        held = self.fx.create_node(
            "call_method" if isinstance(target, str) else "call_function",
            target, unwrap(tuple(args)), unwrap(dict(options)), name=self.names.fresh(wish),
        )  # fmt: skip
        held.meta |= {"spans": self.node.spans, "rule": self.node.rule, "axes": None, "planned": self.node.number}
        return held

    def number(self, target: Callable, *args: Any, kind: Kind) -> Value:
        """A Python number that is computed at the call."""
        held = self.raw(target, args, {}, "n")
        held.meta["inline"] = True
        return Value(held, (), kind, weak=True, number=True)

    def inline(self, target: Callable, *args: Any) -> fx.Node:
        """Something that is no tensor and is printed where it is used."""
        held = self.raw(target, args, {}, "n")
        held.meta["inline"] = True
        return held

    def axis_name(self, axis: int) -> str:
        if axis >= 0:
            return self.node.names[axis] if axis < len(self.node.names) else f"a{axis}"
        for arg in self.node.args:
            if -1 - axis < len(arg.axes) and arg.axes[-1 - axis] < 0:
                return arg.node.names[-1 - axis]
        return "_"

    def fresh_label(self) -> int:
        """An axis label that is nothing in the index space."""
        self._labels -= 1
        return self._labels

    def _wish(self, target: Callable | str, inline: bool) -> str:
        return "v" if inline else wish_for(target)


def wish_for(target: Any) -> str:
    """What the result of a function, or of a method, would be called.

    >>> wish_for("unsqueeze"), wish_for(min)
    ('unsqueeze', 'min')
    """
    name = target if isinstance(target, str) else getattr(target, "__name__", "value")
    return _PLAIN.get(name, name.lstrip("_"))


_PLAIN = {
    "scaled_dot_product_attention": "attended", "truediv": "div", "_safe_softmax": "softmax", "matmul": "product",
    "linear": "product", "add_product": "product", "getitem": "part", "mv": "product", "vector_matrix": "product",
    "weighted_rows": "product", "matrix_vector": "product", "matrix_columns": "product", "add_onto": "product",
}  # fmt: skip


def unwrap(value: Any) -> Any:
    """Values replaced by what holds them, inside tuples, lists, dicts and slices too."""
    if isinstance(value, Value):
        return value.held
    if isinstance(value, tuple):
        return tuple(map(unwrap, value))
    if isinstance(value, list):
        return list(map(unwrap, value))
    if isinstance(value, dict):
        return {key: unwrap(item) for key, item in value.items()}
    if isinstance(value, slice):
        return slice(unwrap(value.start), unwrap(value.stop), unwrap(value.step))
    return value
