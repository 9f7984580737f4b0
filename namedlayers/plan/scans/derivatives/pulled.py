"""Derivatives that are left to torch, of one operation at a time: `pulled_back`.

In: an operation that takes part in a step. Out: a node that runs it again, as a body of its own, and asks torch for
what comes back to one of its operands. What always holds: the body has that operation and the constants that it takes,
and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

from namedlayers.plan.scans.derivatives.term import Back, Term
from namedlayers.plan.scans.held import free_name
from namedlayers.program.graph import Arg, Graph, Node, Region
from namedlayers.program.program import AxesOf, Body, Input, Kind, Output
from namedlayers.program.size import const, size_expr


def pulled_back(node: Node, g: Term, number: int) -> Term | None:
    """What comes back to operand `number`, by its axes, where `g` comes back to the node, with all axes of it. None
    where the text says nothing of the node."""
    if not node.spans:
        return None
    region = _alone(node)
    wanted = node.args[number].node
    scope = g.scope
    axes = tuple(scope.fresh(wanted.sizes[k], wanted.names[k]) for k in range(wanted.rank))
    given = [arg.node for arg in node.args if arg.node.op != "const"]
    number -= sum(arg.node.op == "const" for arg in node.args[:number])
    places = tuple(tuple(range(one.rank)) for one in given)
    args = tuple(Arg(one, (-1,) * one.rank) for one in (*given, g.arg.node))
    made = scope.build(
        "pulled_back", args, axes, kind=Kind.REAL, weak=False,
        attrs={"region": region, "places": (*places, g.arg.axes), "number": number},
    )  # fmt: skip
    return Term(scope, made)


def by_torch(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...] | None:
    """To each operand that is real."""
    return _of(node, g, operands, range(len(operands)))


# --- helpers ----------------------------------------------------------------------------------------------------------


def _alone(node: Node) -> Region:
    """A body that does what the node does."""
    graph, inputs, args = Graph(), [], []
    for k, arg in enumerate(node.args):
        one = arg.node
        if one.op == "const":  # a number of the host: kernels take some as such only
            made = graph.node("const", (), one.space, one.rank, one.kind, attrs=dict(one.attrs), weak=one.weak)
            args.append(Arg(made, arg.axes))
            continue
        made = graph.node(
            "input", (), one.sizes, one.rank, one.kind, attrs={"name": f"x{k}"}, weak=one.weak,
            names=one.names[: one.rank], spans=one.spans,
        )  # fmt: skip
        args.append(Arg(made, arg.axes))
        inputs.append(Input(f"x{k}", _named(one), "data", one.kind, node.spans[0]))
    same = graph.node(
        node.op, tuple(args), node.space, node.rank, node.kind, attrs=dict(node.attrs), weak=node.weak,
        names=node.names, spans=node.spans, rule=node.rule,
    )  # fmt: skip
    graph.outputs.append(Arg(same, tuple(range(node.rank))))
    name = str(dict(node.attrs).get("op", node.op)) if node.op in ("reduce", "cumulative") else node.op
    output = Output("y", tuple(name for name, _ in _named(node)))
    return Region(Body(f"{name}_again", tuple(inputs), (), (output,), node.spans[0]), graph)


def _named(node: Node) -> AxesOf:
    names: list[str] = []
    for name in node.names[: node.rank]:
        names.append(free_name(name, names))
    return tuple(zip(names, node.sizes, strict=True))


def _convolved(node: Node, g: Term, operands: tuple[Term, ...]) -> tuple[Term | None, ...] | None:
    """To the data a transposed convolution, where that is known to be as long; a bias is a summand."""
    found = _of(node, g, operands, (0, 1))
    if found is None:
        return None
    to_data = _transposed(node, g, operands) if node.op == "conv" else None
    return (to_data or found[0], found[1], g)[: len(operands)]


def _transposed(node: Node, g: Term, operands: tuple[Term, ...]) -> Term | None:
    x, w = (one.arg for one in operands[:2])
    space = node.attr("space")
    assert isinstance(space, tuple)
    kernels = [kernel for _, _, kernel, *_ in space]
    outs = [c for c in w.axes if c < node.rank and c not in x.axes]
    order = sorted(x.axes)
    consumed = [*outs, *kernels]
    entries = []
    for source, position, kernel, stride, dilation, before, after in space:
        if size_expr(stride) != 1 or size_expr(before) != size_expr(after):
            return None
        at = order.index(x.axes[source]), len(order) + consumed.index(kernel)
        entries.append((g.arg.axes.index(position), *at, stride, dilation, before, const(0)))
    where = {position for _, position, *_ in space}
    operand = Arg(g.arg.node, tuple(-1 if c in where else c for c in g.arg.axes))
    attrs = {"space": tuple(entries), "bias": False}
    made = g.scope.build("conv_transpose", (operand, w), order, consumed, kind=Kind.REAL, attrs=attrs)
    return Term(g.scope, made)


def _of(
    node: Node, g: Term, operands: tuple[Term, ...], numbers: range | tuple[int, ...]
) -> tuple[Term | None, ...] | None:
    found: list[Term | None] = []
    for k, operand in enumerate(operands):
        if k not in numbers or operand.arg.node.kind is not Kind.REAL or operand.arg.node.weak:
            found.append(None)
            continue
        part = pulled_back(node, g, k)
        if part is None:
            return None
        found.append(Term(g.scope, Arg(part.arg.node, operand.arg.axes)))
    return tuple(found)


TABLE: Mapping[str, Back] = {
    **dict.fromkeys((
        "distance", "nearest", "row_products", "grouped_product", "rotation", "recurrence", "solve", "inv", "cholesky",
        "det", "eigenvalues", "arrange", "eigenvectors", "sort", "pool", "adaptive_max", "adaptive_mean",
        "pad_around", "reduce prod", "prefix_product", "prefix_sum", "outer_mean", "row_sums", "chosen_row_sums",
        "window_product", "wave", "harmonics", "sample",
    ), by_torch),
    **dict.fromkeys(("conv", "conv_transpose", "long_conv"), _convolved),
}  # fmt: skip
