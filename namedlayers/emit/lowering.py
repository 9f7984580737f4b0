"""Builds the fx graph of one variant: what the emitters of single operations stand on.

In: a planned graph and its program. Out: an `fx.Graph` of public torch operations, and for each node of the plan a `Value`.
What always holds: sizes are read from the inputs, never literals (constants of the text aside); numbers stay Python
numbers until they meet a tensor; tensors made of nothing lie on the device of the first tensor input.

Precision. A weak real tensor (coordinates, tables: no real input took part) is computed in the working dtype, which is
that of the first real input or float32, whichever is larger, and cast where it meets a real tensor that is not weak.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import fx

from namedlayers.emit.names import Names, identifier
from namedlayers.emit.prologue import Prologue
from namedlayers.emit.value import Value, adjacent, own
from namedlayers.errors import Span
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.program import Kind, Program
from namedlayers.program.size import SizeExpr, SizeLike, Symbol, size_expr

Emitter = Callable[["Lowering", Node], Value]
EMITTERS: dict[str, Emitter] = {}
"""The emitter of each operation of a planned graph."""


def emits(*ops: str) -> Callable[[Emitter], Emitter]:
    """Declares the emitter of some operations."""

    def register(emitter: Emitter) -> Emitter:
        for op in ops:
            assert op not in EMITTERS, op
            EMITTERS[op] = emitter
        return emitter

    return register


class Lowering:
    """Attributes: `program`, `fx` (the graph being built), `node` (the one being emitted), `values` by node number.

    `floors`: pairs of sizes of which the variant's guards say that the first is at least the second. `assumed`: sizes
    that an `optimistic` emission took not to be 0, so that its variant must ask for it.
    """

    def __init__(
        self, graph: Graph, program: Program, prologue: Prologue, names: Names,
        floors: Sequence[tuple[SizeExpr, SizeExpr]] = (), optimistic: bool = False,
    ) -> None:  # fmt: skip
        self.program = program
        self.planned = graph
        self.prologue = prologue
        self.names = names
        self.fx = fx.Graph()
        self.values: dict[int, Value] = {}
        self.wants: dict[int, tuple[int, ...]] = {}
        self.floors = tuple(floors)
        self.optimistic = optimistic
        self.assumed: dict[SizeExpr, None] = {}
        self.finals: dict[Span, int] = {}
        self.node: Node
        self._sizes: dict[SizeExpr, fx.Node] = {}
        self._shared: dict[str, fx.Node] = {}
        self.inputs = [self.fx.create_node("placeholder", n, name=n) for n in prologue.arguments]
        for node, name in zip(self.inputs, prologue.arguments, strict=True):
            assert node.name == name
        self._read_shapes()
        self._statements = {
            (s.source.start, s.source.end): s.name for s in program.statements if identifier(s.name).strip("_")
        }

    # --- making fx nodes ----------------------------------------------------------------------------------------------

    def call(
        self,
        target: Callable | str,
        args: Sequence[Any],
        axes: Iterable[int],
        *,
        kind: Kind | None = None,
        weak: bool | None = None,
        inline: bool = False,
        wish: str = "",
        **kwargs: Any,
    ) -> Value:
        """A tensor: `target` is a function, or the name of a method of the first argument."""
        axes = tuple(axes)
        held = self.raw(target, args, kwargs, wish or self._wish(target, inline))
        held.meta["axes"] = tuple(self.axis_name(axis) for axis in axes)
        held.meta["temporary"] = bool(axes)
        if inline:
            held.meta["inline"] = True
        return Value(held, axes, self.node.kind if kind is None else kind, self.node.weak if weak is None else weak)

    def raw(self, target: Callable | str, args: Sequence[Any], kwargs: dict[str, Any], wish: str) -> fx.Node:
        held = self.fx.create_node(
            "call_method" if isinstance(target, str) else "call_function",
            target, unwrap(tuple(args)), unwrap(kwargs), name=self.names.fresh(wish),
        )  # fmt: skip
        held.meta |= {"spans": self.node.spans, "rule": self.node.rule, "axes": None}
        return held

    def number(self, target: Callable, *args: Any, kind: Kind) -> Value:
        """A Python number that is computed at the call."""
        held = self.raw(target, args, {}, "n")
        held.meta["inline"] = True
        return Value(held, (), kind, weak=True, number=True)

    # --- operands -----------------------------------------------------------------------------------------------------

    def operand(self, arg: Arg) -> Value:
        """The operand with its axes in the user's index space; an axis that occurs twice is read along the diagonal."""
        value = self.values[arg.node.number]
        axes = tuple(own(k) if arg.axes[k] < 0 else arg.axes[k] for k in value.axes)
        value = Value(value.held, axes, value.kind, value.weak, value.number)
        for axis in sorted({a for a in axes if axes.count(a) > 1}):
            while value.axes.count(axis) > 1:
                first = value.axes.index(axis)
                second = value.axes.index(axis, first + 1)
                left = tuple(a for d, a in enumerate(value.axes) if d not in (first, second))
                value = self.call(
                    "diagonal", (value, 0, first, second), (*left, axis), kind=value.kind, weak=value.weak, inline=True
                )
        return value

    def operands(self, node: Node) -> list[Value]:
        return [self.operand(arg) for arg in node.args]

    def wanted(self) -> tuple[int, ...]:
        """The order in which the result's axes are liked best by whoever uses it."""
        return self.wants.get(self.node.number, tuple(range(self.node.rank)))

    # --- sizes --------------------------------------------------------------------------------------------------------

    def size(self, size: SizeLike) -> fx.Node | int:
        """A size as a number: a Python integer where it is one for all sizes, else a node."""
        size = size_expr(size)
        if size.value is not None:
            return size.value
        if size not in self._sizes:
            self._sizes[size] = self._polynomial(size)
        return self._sizes[size]

    def space(self, axis: int) -> SizeExpr:
        """The size of an axis of the index space of the node that is being emitted."""
        if axis >= 0:
            return self.node.space[axis]
        arg = next(a for a in self.node.args if -1 - axis < len(a.axes) and a.axes[-1 - axis] < 0)
        return arg.node.sizes[-1 - axis]

    def axis_name(self, axis: int) -> str:
        if axis >= 0:
            return self.node.names[axis] if axis < len(self.node.names) else f"a{axis}"
        for arg in self.node.args:
            if -1 - axis < len(arg.axes) and arg.axes[-1 - axis] < 0:
                return arg.node.names[-1 - axis]
        return "_"

    def at_least_one(self, size: SizeExpr) -> bool:
        """Whether a size is provably not 0 where this variant runs."""
        if (size - 1).nonnegative:
            return True
        return any((size - 1 - left + right).nonnegative for left, right in self.floors)

    def assume(self, size: SizeExpr) -> bool:
        """Whether a size may be taken not to be 0: proved, or assumed where there is a variant for the other case."""
        if not self.at_least_one(size) and self.optimistic:
            self.assumed[size] = None
        return self.optimistic or self.at_least_one(size)

    def extent(self, axes: Iterable[int]) -> SizeExpr:
        """The product of the sizes of some axes."""
        product = size_expr(1)
        for axis in axes:
            product = product * self.space(axis)
        return product

    def _polynomial(self, size: SizeExpr) -> fx.Node:
        total: fx.Node | int | None = None
        for monomial, c in size.terms:
            factors: list[fx.Node | int] = [self._atom(atom) for atom in monomial]
            if abs(c) != 1 or not factors:
                factors.insert(0, abs(c))
            product = factors[0]
            for factor in factors[1:]:
                product = self._sum(operator.mul, product, factor)
            if total is None:
                total = product if c > 0 else -product if isinstance(product, int) else self._sum(operator.neg, product)
            else:
                total = self._sum(operator.add if c > 0 else operator.sub, total, product)
        assert isinstance(total, fx.Node)
        return total

    def _atom(self, atom: Any) -> fx.Node | int:
        if isinstance(atom, Symbol):
            return self._sizes[SizeExpr({(atom,): 1})]
        return self._sum(operator.floordiv, self.size(atom.numerator), self.size(atom.denominator))

    def _sum(self, target: Callable, *args: Any) -> fx.Node:
        held = self.fx.create_node("call_function", target, args, {}, name=self.names.fresh("n"))
        held.meta |= {"inline": True, "axes": None}
        return held

    def _read_shapes(self) -> None:
        """The nodes that stand for what the prologue computes. Those that nothing uses are erased at the end."""
        numbers = {given.name: number for number, given in enumerate(self.program.inputs)}
        dims: dict[tuple[int, int], fx.Node] = {}
        for place, name in self.prologue.dims.items():
            number, axis = place
            node = self.fx.create_node("call_method", "size", (self.inputs[number], axis), {}, name=name)
            node.meta |= {"prologue": True, "axes": None}
            dims[place] = node
        for recipe in self.program.recipes:
            dim, name = dims[numbers[recipe.input], recipe.axis], self.prologue.symbols[recipe.symbol]
            before = len(self.fx.nodes)
            node = dim
            if dim.name != name:
                if recipe.rest != 0:
                    node = self._sum(operator.sub, node, self.size(recipe.rest))
                node = self._sum(operator.floordiv, node, self.size(recipe.factor))
                for made in list(self.fx.nodes)[before:]:
                    made.meta["prologue"] = True
                node.name = name
            self._sizes[SizeExpr({(Symbol(recipe.symbol),): 1})] = node

    # --- dtypes and devices -------------------------------------------------------------------------------------------

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

    def inline(self, target: Callable, *args: Any) -> fx.Node:
        """Something that is no tensor and is printed where it is used."""
        held = self.raw(target, args, {}, "n")
        held.meta["inline"] = True
        return held

    def cast(self, value: Value, dtype: Any, kind: Kind, *, weak: bool | None = None) -> Value:
        weak = value.weak if weak is None else weak
        return self.call("to", (value, dtype), value.axes, kind=kind, weak=weak, inline=True)

    def working(self, value: Value) -> Value:
        """A tensor that is not real yet as a real one."""
        if value.number or value.kind in (Kind.REAL, Kind.COMPLEX):
            return value
        return self.cast(value, self.dtype(), Kind.REAL)

    def integer(self, value: Value) -> Value:
        """A boolean as 0 or 1."""
        if value.kind is not Kind.BOOL:
            return value
        if value.number:
            return self.number(operator.pos, value, kind=Kind.INT) if not value.literal else \
                Value(int(value.held), (), Kind.INT, True, True)  # type: ignore[arg-type]
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
        return self.call(torch.full, ((), value), (), kind=value.kind, weak=True, inline=True, dtype=dtype,
                         **self.device())  # fmt: skip

    def meet(self, values: Sequence[Value], kind: Kind | None = None) -> list[Value]:
        """The operands of an operation on real or complex numbers, in one precision, as torch promotes them.

        Integers next to a real tensor, and Python numbers, need nothing: torch gives them its dtype.
        """
        kind = self.node.kind if kind is None else kind
        strong = next((v for v in values if not v.number and not v.weak and v.kind is Kind.REAL), None)
        if strong is not None:
            return [self._joined(v, strong) for v in values]
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

    # --- dimensions ---------------------------------------------------------------------------------------------------

    def permuted(self, value: Value, axes: Sequence[int]) -> Value:
        """The same with its dimensions in the order `axes` (all of its axes)."""
        axes = tuple(axes)
        if axes == value.axes:
            return value
        order = [value.dim(axis) for axis in axes]
        moved = [d for d, k in enumerate(order) if d != k]
        if len(moved) == 2:
            target, args = ("t", ()) if len(axes) == 2 else ("transpose", tuple(moved))
        else:
            target, args = "permute", tuple(order)
        return self.call(target, (value, *args), axes, kind=value.kind, weak=value.weak, inline=True)

    def aligned(self, value: Value, layout: Sequence[int]) -> Value:
        """The same so that it broadcasts against a tensor with dimensions `layout`."""
        if value.number:
            return value
        value = self.permuted(value, [axis for axis in layout if axis in value.axes])
        first = next((d for d, axis in enumerate(layout) if axis in value.axes), len(layout))
        missing = [axis for axis in layout[first:] if axis not in value.axes]
        if len(missing) <= 1:
            for d in (list(layout[first:]).index(axis) for axis in missing):
                shape = tuple(layout[first:])
                return self.call("unsqueeze", (value, d), shape, kind=value.kind, weak=value.weak, inline=True)
            return value
        index = tuple(slice(None) if axis in value.axes else None for axis in layout[first:])
        while index and index[-1] == slice(None) and None in index and index.count(None) and len(index) > 1:
            index = index[:-1]
        return self.call(
            operator.getitem, (value, index), tuple(layout[first:]), kind=value.kind, weak=value.weak, inline=True
        )

    def filled(self, value: Value, axes: Iterable[int]) -> Value:
        """The same with all of `axes` among its dimensions, new ones in front."""
        value = self.tensor(value)
        missing = [axis for axis in axes if axis not in value.axes]
        if not missing:
            return value
        sizes = [self.size(self.space(axis)) for axis in missing]
        shape = (*sizes, *(-1 for _ in value.axes))
        if not value.axes:
            source = value.held
            if isinstance(source, fx.Node) and source.target is torch.full and not source.users:
                made = self.call(torch.full, (shape, source.args[1]), missing, kind=value.kind, weak=value.weak,
                                 **source.kwargs)  # fmt: skip
                return made
        return self.call("expand", (value, *shape), (*missing, *value.axes), kind=value.kind, weak=value.weak, inline=True)

    def merged(self, value: Value, group: Sequence[int], label: int) -> Value:
        """The same with the axes `group`, which it has, as one called `label`, at the place of the first of them.

        A group of one is renamed; an empty group becomes a new dimension of size 1 at the end.
        """
        group = tuple(group)
        if not group:
            return self.call("unsqueeze", (value, -1), (*value.axes, label), kind=value.kind, weak=value.weak, inline=True)
        if not adjacent(value.axes, group):
            rest = [axis for axis in value.axes if axis not in group]
            place = len([a for a in value.axes[: value.dim(group[0])] if a not in group])
            value = self.permuted(value, [*rest[:place], *group, *rest[place:]])
        start = value.dim(group[0])
        axes = (*value.axes[:start], label, *value.axes[start + len(group) :])
        if len(group) == 1:
            return Value(value.held, axes, value.kind, value.weak, value.number)
        end = start + len(group) - 1
        return self.call("flatten", (value, start, end), axes, kind=value.kind, weak=value.weak, inline=True)

    def unmerged(self, value: Value, label: int, group: Sequence[int], *, inline: bool = True) -> Value:
        """The inverse of `merged`; the sizes of `group` are those of the index space."""
        return self.split(value, label, group, [self.size(self.space(axis)) for axis in group], inline=inline)

    def split(self, value: Value, label: int, group: Sequence[int], sizes: Sequence[Any], *, inline: bool = True) -> Value:
        place = value.dim(label)
        axes = (*value.axes[:place], *group, *value.axes[place + 1 :])
        if len(group) == 1:
            return Value(value.held, axes, value.kind, value.weak, value.number)
        if not group:
            return self.call("squeeze", (value, place), axes, kind=value.kind, weak=value.weak, inline=inline)
        return self.call(
            "unflatten", (value, place, tuple(sizes)), axes, kind=value.kind, weak=value.weak, inline=inline
        )

    def renamed(self, value: Value, names: dict[int, int]) -> Value:
        """The same with axes called otherwise."""
        axes = tuple(names.get(axis, axis) for axis in value.axes)
        return Value(value.held, axes, value.kind, value.weak, value.number)

    def fresh_label(self) -> int:
        """An axis label that is nothing in the index space."""
        self._next_label = getattr(self, "_next_label", -1000) - 1
        return self._next_label

    # --- names --------------------------------------------------------------------------------------------------------

    def _wish(self, target: Callable | str, inline: bool) -> str:
        if inline:
            return "v"
        name = target if isinstance(target, str) else getattr(target, "__name__", "value")
        return _PLAIN.get(name, name.lstrip("_"))

    def statement_name(self, node: Node) -> str:
        """The name of the statement that a node computes, if it is one."""
        for span in node.spans:
            name = self._statements.get((span.start, span.end))
            if name is not None and self.finals.get(span) == node.number:
                return name
        return ""


_PLAIN = {
    "scaled_dot_product_attention": "attended", "truediv": "div", "_safe_softmax": "softmax", "matmul": "product",
    "linear": "product", "getitem": "part", "log_softmax": "log_softmax",
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
