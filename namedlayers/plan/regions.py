"""Bodies inside a plan: which are run, and what of their results is needed.

In: nodes. Out: regions, and rules. What always holds: a body is a graph of its own, which the rules around it do not
look into; what is read at the last step only is not collected at the others.
"""

from __future__ import annotations

from collections.abc import Iterable

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Node, Region
from namedlayers.program.size import SizeExpr, size_expr
from namedlayers.program.terms import BINARY, UNARY

RUNS = frozenset({"call", "scan", "pulled_back"})
"""What runs a region."""


def regions(nodes: Iterable[Node]) -> tuple[Region, ...]:
    """The regions that some nodes run, each once."""
    return tuple(dict.fromkeys(region_of(node) for node in nodes if node.op in RUNS))


def region_of(node: Node) -> Region:
    """The region that a node runs."""
    found = node.attr("region")
    assert isinstance(found, Region)
    return found


# --- helpers ----------------------------------------------------------------------------------------------------------


def _last_step(scope: Scope, node: Node) -> Outcome:
    """Y[time = -1] of what a scan over time made; Y[time = 0] if it went backwards."""
    (arg,) = node.args
    part = arg.node
    if part.op != "part" or arg.axes != (-1, *range(node.rank)):
        return None
    (bundle,) = (a.node for a in part.args)
    if bundle.op != "scan":
        return None
    last = 0 if bundle.attr("reverse") else part.sizes[0] - 1
    return Match((bundle, part.attr("number")), (part,)) if node.attr("entries") == ((0, (), last),) else None


def _build_last_step(scope: Scope, node: Node, found: tuple[Node, int]) -> Arg:
    bundle, number = found
    return scope.build(
        "final", (Arg(bundle, ()),), range(node.rank), kind=node.kind, attrs={"number": number}, weak=node.weak
    )


DEEPEST = 16
"""How many operations may lie between a scan and where its last step is read."""

_THROUGH = frozenset({*UNARY, *BINARY, *"where lerp relu sigmoid silu gelu softplus reduce contract linear".split()})
"""Operations that mean the same at one coordinate of an axis which they keep."""


def _of_made(scope: Scope, node: Node) -> Outcome:
    """f(Y)[time = -1] of what a scan made: f of the last step. What is read at one step is computed at one."""
    (arg,) = node.args
    entries = node.attr("entries")
    assert isinstance(entries, tuple)
    if arg.axes.count(-1) != 1 or len(set(arg.axes)) < len(arg.axes) or not scope.once(arg.node):
        return None
    axis = arg.axes.index(-1)
    made = arg.node
    if entries not in (((axis, (), size_expr(0)),), ((axis, (), made.sizes[axis] - 1),)):
        return None
    return Match(entries[0][2], (made,)) if _is_made(made, axis) else None


def _is_made(node: Node, axis: int) -> bool:
    """Whether all that varies along the axis comes from scans, and goes through operations (one at least) that keep
    it."""
    waiting, found = [(node, axis, 0)], False
    while waiting:
        one, along, depth = waiting.pop()
        if one.op == "part" and depth:
            if along != 0 or one.args[0].node.op != "scan":
                return False
            found = True
        elif one.op in _THROUGH and depth < DEEPEST and all(a.axes.count(along) < 2 for a in one.args):
            waiting += [(a.node, a.axes.index(along), depth + 1) for a in one.args if along in a.axes]
        elif depth == 0:
            return False
    return found


def _build_of_made(scope: Scope, node: Node, offset: SizeExpr) -> Arg:
    (arg,) = node.args
    made = arg.node
    operands = [_at(scope, one, offset) for one in scope.operands(arg)]
    return scope.build(
        made.op, operands, range(node.rank), scope.consumed(arg), kind=made.kind, attrs=dict(made.attrs), weak=made.weak
    )


def _at(scope: Scope, arg: Arg, offset: SizeExpr) -> Arg:
    """An operand at one place of the axis that has none in the result, if it has it."""
    if -1 not in arg.axes:
        return arg
    kept = [c for c in arg.axes if c >= 0]
    attrs = {"entries": ((arg.axes.index(-1), (), offset),)}
    return scope.build("index", (arg,), kept, kind=arg.node.kind, attrs=attrs, weak=arg.node.weak)


LAST_STEPS: tuple[Rule, ...] = (
    Rule("last step", "exact", ("index",), _last_step, _build_last_step),
    Rule("only the last step", "exact", ("index",), _of_made, _build_of_made),
)
