"""What depends on how far a place and a position lie apart, whichever is first: on either side of a diagonal it is a
function of their difference.

In: an operand in which absolute values, larger ones or smaller ones of linear forms of coordinates stand. Out: the
triangle where the first of these has one sign; and in a half of all pairs the form that each is there. What always
holds: where a form is 0, both halves are right.
"""

from __future__ import annotations

from namedlayers.plan.rules.linear_forms import Form, Triangle, less_than, linear_form, not_negative
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg

FOLDS = frozenset({"abs", "maximum", "minimum"})
THROUGH = frozenset({"exp", "pow", "mul", "div", "neg", "add", "sub"})
"""What a fold may be looked for below, in a factor that has one."""

DEEPEST = 8


def ridge(scope: Scope, arg: Arg) -> Triangle | None:
    """The half of all pairs on one side of the first fold in `arg`."""
    waiting = [(arg, 0)]
    while waiting:
        one, depth = waiting.pop()
        found = _where(scope, one) if one.node.op in FOLDS else None
        if found is not None:
            return found
        if depth < DEEPEST and one.node.op in THROUGH | FOLDS and one.node.rank > 1:
            waiting += [(inner, depth + 1) for inner in reversed(scope.operands(one))]
    return None


def unfolded(scope: Scope, arg: Arg, half: Triangle) -> Form | None:
    """The linear form that a fold of such is in a half."""
    if arg.node.op not in FOLDS:
        return None
    forms = [linear_form(scope, one, lambda inner: unfolded(scope, inner, half)) for one in scope.operands(arg)]
    if any(form is None for form in forms):
        return None
    first, *rest = (form or {} for form in forms)
    other = rest[0] if rest else {c: -size for c, size in first.items()}
    for more, less in ((first, other), (other, first)):
        where = not_negative(less_than(less, more))
        if where is not None and half.lies_in(where):
            return less if arg.node.op == "minimum" else more
    return None


def chosen(scope: Scope, arg: Arg, half: Triangle) -> Arg | None:
    """The operand of `minimum` or `maximum` that it is in a half."""
    if arg.node.op not in ("maximum", "minimum"):
        return None
    form = unfolded(scope, arg, half)
    return next((one for one in scope.operands(arg) if form is not None and linear_form(scope, one) == form), None)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _where(scope: Scope, fold: Arg) -> Triangle | None:
    forms = [linear_form(scope, one) for one in scope.operands(fold)]
    if any(form is None for form in forms):
        return None
    first, *rest = (form or {} for form in forms)
    return not_negative(less_than(rest[0], first) if rest else first)
