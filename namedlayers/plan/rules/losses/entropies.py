"""Cross entropy of a yes or no, from its logit: every way to write it is one polynomial.

With S = softplus(-x) it is S + x - x y; where y = 1 counts w times, S + x - x y + (w - 1) S y. What is written is
multiplied out in x, S and relu(x), by softplus(x) = S + x, softplus(-|x|) = S + x - relu(x) and log_sigmoid(x) = -S.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.rules.build import negative
from namedlayers.plan.view import Number, Product, Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind

DEEPEST = 5
"""So deep below the root lies what is looked at."""
MOST = 24
"""As many monomials are no longer multiplied out."""

Atom = Arg | str
Monomial = tuple[Atom, ...]
Polynomial = dict[Monomial, Number]

_X, _S, _R = "x", "softplus", "relu"
_ENTROPY: Polynomial = {(_S,): 1, (_X,): 1}


@dataclass(frozen=True, slots=True)
class Entropy:
    """Of the logit `x` and the answer `y`, which counts `weight` times if it is 1."""

    x: Arg
    y: Arg
    weight: Arg | None


def _entropy(scope: Scope, node: Node) -> Outcome:
    """softplus(-x) + (1 - y) * x"""
    if node.kind is not Kind.REAL or not node.rank:
        return None
    whole = scope.whole()
    for x in dict.fromkeys(_logits(scope, whole, DEEPEST)):
        polynomial = _multiplied_out(scope, whole, x, DEEPEST)
        sign = -1 if polynomial.get((_S,)) == -1 else 1
        found = _answer(scope, x, {monomial: sign * number for monomial, number in polynomial.items()})
        if found is not None and all(sorted(z.axes) == list(range(node.rank)) for z in (found.x, found.y)):
            return Match((found, sign), tuple(arg.node for arg in node.args))
    return None


def _build_entropy(scope: Scope, node: Node, match: tuple[Entropy, int]) -> Arg:
    found, sign = match
    operands = (found.x, found.y) if found.weight is None else (found.x, found.y, found.weight)
    attrs = {"function": "entropy", "reduction": "none"}
    losses = scope.build("difference", operands, range(node.rank), kind=node.kind, attrs=attrs)
    return losses if sign > 0 else scope.apply("neg", losses)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _logits(scope: Scope, arg: Arg, depth: int) -> Iterator[Arg]:
    """What softplus is taken of below `arg`, and its opposite, if that is there."""
    if _is_soft(arg.node):
        (z,) = scope.operands(arg)
        z = _opposite(scope, z) or z
        yield scope.operands(z)[0] if z.node.op == "abs" else z
    elif depth and arg.node.op in ("add", "sub", "mul", "div", "neg"):
        for inner in scope.operands(arg):
            yield from _logits(scope, inner, depth - 1)


def _is_soft(node: Node) -> bool:
    return node.op == "softplus" or node.op == "activation" and node.attr("function") == "log_sigmoid"


def _opposite(scope: Scope, z: Arg) -> Arg | None:
    """x if z is -x."""
    product = scope.own_product(z) if z.node.op in ("neg", "mul", "div") else Product(1, (), ())
    return product.top[0] if product.number == -1 and len(product.top) == 1 and not product.bottom else None


def _multiplied_out(scope: Scope, arg: Arg, x: Arg, depth: int) -> Polynomial:
    """`arg` as a polynomial in x, softplus(-x), relu(x) and what is none of these."""
    known = _known(scope, arg, x)
    if known is not None:
        return known
    if arg.node.op in ("add", "sub") and depth:
        first, second = (_multiplied_out(scope, one, x, depth - 1) for one in scope.operands(arg))
        return _added(first, second, -1 if arg.node.op == "sub" else 1)
    product = scope.own_product(arg)
    if product.top == (arg,) or not depth and product.top:
        return {(arg,): 1}
    total: Polynomial = {(): product.number}
    for factor in product.top:
        total = _times(total, _multiplied_out(scope, factor, x, depth - 1))
    for divisor in product.bottom:
        total = _times(total, {(divisor, "under"): 1})
    return total


def _known(scope: Scope, arg: Arg, x: Arg) -> Polynomial | None:
    if arg == x:
        return {(_X,): 1}
    if _is_soft(arg.node):
        (z,) = scope.operands(arg)
        sign: Number = 1 if arg.node.op == "softplus" else -1
        if z == x:
            return {(_S,): 1, (_X,): 1} if sign == 1 else {(_S,): -1}
        below = _opposite(scope, z)
        if below == x:
            return {(_S,): 1} if sign == 1 else {(_S,): -1, (_X,): -1}
        size = below if sign == 1 else z
        if size is not None and size.node.op == "abs" and scope.operands(size)[0] == x:
            return {(_S,): sign, (_X,): sign, (_R,): -sign}
    if arg.node.op == "relu":
        (z,) = scope.operands(arg)
        if z == x:
            return {(_R,): 1}
        if _opposite(scope, z) == x:
            return {(_R,): 1, (_X,): -1}
    return None


def _added(first: Polynomial, second: Polynomial, sign: int) -> Polynomial:
    total = dict(first)
    for monomial, number in second.items():
        total[monomial] = total.get(monomial, 0) + sign * number
    return {monomial: number for monomial, number in total.items() if number != 0}


def _times(first: Polynomial, second: Polynomial) -> Polynomial:
    if len(first) * len(second) > MOST:
        return {(): 0}
    total: Polynomial = {}
    for one, a in first.items():
        for other, b in second.items():
            monomial = tuple(sorted((*one, *other), key=_order))
            total[monomial] = total.get(monomial, 0) + a * b
    return {monomial: number for monomial, number in total.items() if number != 0}


def _order(atom: Atom) -> tuple[object, ...]:
    return (0, atom) if isinstance(atom, str) else (1, atom.node.number, atom.axes)


def _answer(scope: Scope, x: Arg, found: Polynomial) -> Entropy | None:
    """Which cross entropy a polynomial is."""
    if x.node.kind is not Kind.REAL or x.node.weak or any(found.get(m) != n for m, n in _ENTROPY.items()):
        return None
    rest = {monomial: number for monomial, number in found.items() if monomial not in _ENTROPY}
    answers = [monomial[1] for monomial, number in rest.items() if monomial[:1] == (_X,) and len(monomial) == 2]
    if len(answers) != 1 or not isinstance(y := answers[0], Arg) or rest.pop((_X, y)) != -1:
        return None
    if y.node.kind is not Kind.REAL or y.node.weak:
        return None
    if not rest:
        return Entropy(x, y, None)
    extra = rest.pop((_S, y), 0)
    if not rest:
        return Entropy(x, y, scope.number(1.0 + extra.real)) if extra.real > -1 else None
    if extra != -1 or len(rest) != 1:
        return None
    ((monomial, number),) = rest.items()
    others = [atom for atom in monomial if atom not in (_S, y)]
    if len(monomial) != 3 or len(others) != 1 or not isinstance(w := others[0], Arg) or number != 1:
        return None
    real = w.node.kind is Kind.REAL and set(w.axes) <= set(x.axes)
    return Entropy(x, y, w) if real else None


def _log_of_sigmoid(scope: Scope, node: Node) -> Outcome:
    """log(sigmoid(x)), log(1 - sigmoid(x))"""
    (inner,) = node.args
    if node.op == "log" and inner.node.op == "sigmoid":
        return Match((scope.operands(inner)[0], False), (inner.node,))
    for total in scope.sums(inner):
        if total.number == (1 if node.op == "log" else 0) and len(total.terms) == 1:
            ((sign, term),) = total.terms
            if sign < 0 and term.node.op == "sigmoid":
                return Match((scope.operands(term)[0], True), (inner.node, term.node))
    return None


def _build_log_of_sigmoid(scope: Scope, node: Node, found: tuple[Arg, bool]) -> Arg:
    x, opposite = found
    x = negative(scope, x) if opposite else x
    attrs = {"function": "log_sigmoid"}
    return scope.build("activation", (x,), range(node.rank), kind=node.kind, attrs=attrs)


def _double(scope: Scope, node: Node) -> Outcome:
    """What is left of the sign of a cross entropy that stood in a difference"""
    (inner,) = node.args
    if inner.node.op != "neg":
        return None
    (x,) = scope.operands(inner)
    return Match(x, (inner.node,)) if x.node.op == "difference" else None


def _build_double(scope: Scope, node: Node, found: Arg) -> Arg:
    return found


RULES = (Rule("log sigmoid", "algebraic", ("log", "log1p"), _log_of_sigmoid, _build_log_of_sigmoid),)
LAST = (
    Rule("cross entropy of a logit", "algebraic", ("add", "sub", "neg"), _entropy, _build_entropy),
    Rule("double negation", "exact", ("neg",), _double, _build_double),
)
