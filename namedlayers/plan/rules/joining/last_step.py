"""The last step of a contraction of three and more operands, as a product of two that a summand may join.

In: sums one of whose terms is a contraction whose order is known. Out: the same sums, in which that contraction has two
operands, and what is made before is a contraction of its own; the rules for a product and a summand do the rest. What
always holds: this happens only where they will: `A @ B @ C + D` is one kernel less, and one value less that is written
and read. Chains whose order the call chooses have no last step that is known.
"""

from __future__ import annotations

from opt_einsum.paths import linear_to_ssa, ssa_to_linear

from namedlayers.plan.chains import chain
from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.joining import sums
from namedlayers.plan.rules.windows import convolution
from namedlayers.plan.search import Path
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

Side = tuple[tuple[int, ...], Path]
"""The operands that one side of the last step is made of, and in which order."""
Found = tuple[Arg, Arg, tuple[Side, Side]]


def has_long(nodes: list[Node]) -> bool:
    """Whether there is anything to do."""
    return any(_is_long(node) for node in nodes)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _is_long(node: Node) -> bool:
    return node.op == "contract" and len(node.args) > 2 and bool(node.attr("path")) and node.kind is Kind.REAL


def _match(scope: Scope, node: Node) -> Outcome:
    for product, summand in (node.args, node.args[::-1]):
        inner = product.node
        if not _is_long(inner) or not scope.once(inner) or chain(inner) is not None:
            continue
        if node.kind is not Kind.REAL or summand.node.kind is not Kind.REAL:
            continue
        sides = _sides(inner)
        left, right = (_axes(scope, product, side) for side in sides)
        result = set(product.axes)
        free = [left & result, right & result]
        if left & right & result or not all(free) or (left | right) - result != left & right:
            continue
        if set(summand.axes) in (*free, result) and result == set(range(node.rank)):
            return Match((product, summand, sides), (inner,))
    return None


def _build(scope: Scope, node: Node, found: Found) -> Arg:
    product, summand, sides = found
    operands = scope.operands(product)
    parts = []
    for (numbers, path), other in zip(sides, sides[::-1], strict=True):
        taken = [operands[k] for k in numbers]
        if len(taken) == 1:
            parts += taken
            continue
        axes = {axis for one in taken for axis in one.axes}
        kept = sorted(axes & (set(product.axes) | _axes_of(scope, product, other)))
        parts.append(
            scope.build("contract", taken, kept, sorted(axes - set(kept)), kind=node.kind, attrs={"path": path})
        )
    inner = sorted({axis for one in parts for axis in one.axes} - set(product.axes))
    last = scope.build("contract", parts, range(node.rank), inner, kind=node.kind, attrs={"path": ((0, 1),)})
    return scope.apply("add", last, summand)


def _sides(node: Node) -> tuple[Side, Side]:
    """What the two sides of the last step are made of."""
    count = len(node.args)
    path = node.attr("path")
    steps = linear_to_ssa(path)
    first, second = steps[-1]
    return _side(first, steps, count), _side(second, steps, count)


def _side(number: int, steps: list[tuple[int, ...]], count: int) -> Side:
    leaves: list[int] = []
    taken: list[int] = []
    waiting = [number]
    while waiting:
        one = waiting.pop()
        if one < count:
            leaves.append(one)
        else:
            taken.append(one)
            waiting += steps[one - count]
    leaves.sort()
    names = {one: k for k, one in enumerate((*leaves, *sorted(taken)))}
    own = [tuple(names[part] for part in steps[one - count]) for one in sorted(taken)]
    return tuple(leaves), tuple(tuple(sorted(pair)) for pair in ssa_to_linear(own)) if own else ()


def _axes_of(scope: Scope, product: Arg, side: Side) -> set[int]:
    operands = scope.operands(product)
    return {axis for k in side[0] for axis in operands[k].axes}


def _axes(scope: Scope, product: Arg, side: Side) -> set[int]:
    """The axes of what a side gives: of a single operand all of them."""
    own = _axes_of(scope, product, side)
    operands = scope.operands(product)
    if len(side[0]) == 1:
        return own
    others = {axis for k, one in enumerate(operands) if k not in side[0] for axis in one.axes}
    return own & (set(product.axes) | others)


RULES = (
    Rule("last step of a contraction", "exact", ("add",), _match, _build),
    *convolution.BIASES,
    *sums.RULES,
)
"""What is done where orders are known."""
