"""Attention: a softmax of scaled and masked scores, contracted with values.

Scores are a contraction of a query and a key; a scale may stand on either of them or on the scores, since forming
contractions takes scalars out. Masks are added after the scale, or choose -inf by a condition; a comparison of the
coordinates of the query's and the key's axis is a causal mask.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.rules.masks import chosen, negated, together
from namedlayers.plan.view import Product, Scope, constant, is_number
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind


@dataclass(frozen=True, slots=True)
class Scores:
    """`scale * contract(query, key) + masks`, with -inf where one of `allows` is false."""

    product: Arg
    scale: Product
    masks: tuple[tuple[int, Arg], ...] = ()
    allows: tuple[Arg, ...] = ()
    nodes: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Attention:
    query: Arg
    key: Arg
    value: Arg
    scores: Scores
    features: tuple[int, ...]
    positions: tuple[int, ...]
    causal: tuple[int, int] | None
    sides: Sides


@dataclass(frozen=True, slots=True)
class Sides:
    """A scale in three: what lies along the query's axes, along the key's, and numbers."""

    query: Product
    key: Product
    rest: Product


def _attention(scope: Scope, node: Node) -> Outcome:
    if len(node.args) != 2:
        return None
    near: Outcome = None
    for weights, value in (node.args, node.args[::-1]):
        if weights.node.op == "softmax":
            outcome = _check(scope, node, weights, value)
            if isinstance(outcome, Match):
                return outcome
            near = near or outcome
    return near


def _check(scope: Scope, node: Node, weights: Arg, value: Arg) -> Outcome:
    axes = weights.node.attr("axes")
    assert isinstance(axes, tuple)
    positions = tuple(weights.axes[p] for p in axes)
    (logits,) = scope.operands(weights)
    scores = _scores(scope, logits)
    spans = weights.node.spans
    if isinstance(scores, Near):
        return scores
    if scores is None:
        return None
    if not scope.once(weights.node):
        return Near("the weights are used elsewhere too, so they have to be computed", spans)
    if set(positions) != set(range(node.rank, len(node.space))) or not set(positions) <= set(value.axes):
        return Near("the axes of the softmax are not those that the values are summed over", spans)
    features = scope.consumed(scores.product)
    for query, key in _orders(scope.operands(scores.product)):
        if set(positions) <= set(key.axes) and not set(positions) & set(query.axes):
            break
    else:
        return Near("no side of the scores has all the axes of the softmax and the other none", spans)
    if not set(features) <= set(query.axes) & set(key.axes):
        return Near("an axis is summed in one side of the scores alone", spans)
    if not all(a.node.kind == Kind.REAL for a in (query, key, value)):
        return Near("attention is of reals", spans)
    sides = _sides(scope, scores.scale, query, key)
    if sides is None:
        return Near("what the scores are multiplied by lies along axes of both sides", spans)
    staying = set(range(node.rank))
    queries = staying & set(query.axes) - set(key.axes) - set(value.axes)
    if not queries and (set(query.axes) ^ set(key.axes)) & set(value.axes) & staying:
        return Near("one query, or its keys, are the same for several values: the scores are one product", spans)
    extra = {c for _, m in scores.masks for c in m.axes} | {c for a in scores.allows for c in a.axes}
    if not extra <= set(query.axes) | set(key.axes):
        return Near("a mask has axes that the scores lack", spans)
    scores, causal = _causal(scope, scores, queries, positions)
    found = Attention(query, key, value, replace(scores, scale=sides.rest), features, positions, causal, sides)
    return Match(found, (weights.node, *scores.nodes))


def _sides(scope: Scope, scale: Product, query: Arg, key: Arg) -> Sides | None:
    """Factors along axes of the query alone are multiplied into it, and so for the key; numbers stay a scale."""
    parts: tuple[tuple[list[Arg], list[Arg]], ...] = (([], []), ([], []), ([], []))
    for k, factors in enumerate((scale.top, scale.bottom)):
        for factor in factors:
            axes = set(factor.axes)
            place = 2 if not axes else 0 if axes <= set(query.axes) else 1 if axes <= set(key.axes) else None
            if place is None or (axes and factor.node.kind == Kind.COMPLEX):
                return None
            parts[place][k].append(factor)
    numbers = (1, 1, scale.number)
    sided = [Product(number, tuple(top), tuple(bottom)) for number, (top, bottom) in zip(numbers, parts, strict=True)]
    return Sides(*sided)


def _orders(operands: tuple[Arg, ...]) -> tuple[tuple[Arg, ...], ...]:
    return (operands, operands[::-1]) if len(operands) == 2 else ()


def _scores(scope: Scope, logits: Arg) -> Scores | Near | None:
    """The scores with their masks; None where no contraction of two is in sight."""
    if logits.node.op == "where":
        return _chosen(scope, logits)
    outer = _scale_of_a_sum(scope, logits)
    if outer is not None:
        scale, inner_sum = outer
        inner = _scores(scope, inner_sum)
        return _rescaled(scope, inner, scale) if isinstance(inner, Scores) else inner
    total = scope.sum(logits)
    found: Scores | None = None
    masks: list[tuple[int, Arg]] = []
    allows: list[Arg] = []
    for sign, term in total.terms:
        inner = None if found is not None else _scaled(scope, sign, term)
        if inner is None and found is None and term.node.op in ("where", "mul", "div") and sign > 0:
            nested = _scores(scope, term) if term != logits else None
            inner = nested if isinstance(nested, Scores) else None
        if inner is not None:
            found = inner
        else:
            allow = _allow(scope, term) if sign > 0 else None
            if allow is not None:
                allows.append(allow)
            else:
                masks.append((sign, term))
    if found is None:
        factors = (factor for _, term in total.terms for factor in scope.product(term).top)
        if any(factor.node.op in ("tanh", "clip") for factor in factors):
            return Near(
                "between the scores and the softmax stands another operation than scales and masks", logits.node.spans
            )
        return None
    if not scope.once(found.product.node):
        return Near("the scores are used elsewhere too, so they have to be computed", found.product.node.spans)
    # A number added to all scores changes nothing in a softmax, but an infinite one would: it stays a mask.
    if total.number != 0:
        masks.append((1, scope.number(total.number)))
    nodes = (*found.nodes, *total.nodes)
    return replace(found, masks=(*found.masks, *masks), allows=(*found.allows, *allows), nodes=nodes)


def _scale_of_a_sum(scope: Scope, logits: Arg) -> tuple[Product, Arg] | None:
    """(scores + masks) / sqrt(n): the scale and the sum."""
    product = scope.product(logits, lambda n: n.op != "neg")
    sums = [a for a in product.top if a.node.op in ("add", "sub", "where") and a.node.rank]
    rest = tuple(a for a in product.top if a not in sums)
    if len(sums) != 1 or not product.nodes or any(a.node.rank for a in (*rest, *product.bottom)):
        return None
    return Product(product.number, rest, product.bottom), sums[0]


def _rescaled(scope: Scope, scores: Scores, scale: Product) -> Scores | None:
    """Each summand scaled by itself. A condition that chooses -inf stays one only under a positive scale."""
    if scores.allows and not _positive(scale):
        return None
    inner = scores.scale
    both = Product(inner.number * scale.number, (*inner.top, *scale.top), (*inner.bottom, *scale.bottom))
    masks = tuple(
        (sign, scope.multiply(Product(scale.number, (mask, *scale.top), scale.bottom))) for sign, mask in scores.masks
    )
    return replace(scores, scale=both, masks=masks)


def _positive(scale: Product) -> bool:
    """Whether a scale is made of positive numbers, sizes and their roots."""
    number = scale.number
    return (
        not isinstance(number, complex)
        and number > 0
        and all(_positive_node(a.node) for a in (*scale.top, *scale.bottom))
    )


def _positive_node(node: Node) -> bool:
    value = constant(node)
    if value is not None:
        return not isinstance(value, complex) and value > 0
    return node.op == "size" or node.op in ("sqrt", "rsqrt", "pow") and _positive_node(node.args[0].node)


def _scaled(scope: Scope, sign: int, term: Arg) -> Scores | None:
    """A contraction of two, times what may be a scale."""
    product = scope.product(term)
    contractions = [a for a in product.top if a.node.op == "contract" and len(a.node.args) == 2]
    others = tuple(a for a in product.top if a not in contractions)
    if len(contractions) != 1:
        return None
    scale = Product(sign * product.number, others, product.bottom)
    return Scores(contractions[0], scale, nodes=(contractions[0].node, *product.nodes))


def _chosen(scope: Scope, arg: Arg) -> Scores | Near | None:
    """where(allow, scores, -inf), where(forbid, -inf, scores)"""
    part = chosen(scope, arg, -inf)
    if part is None or not part[1].node.rank:
        return _by_a_number(scope, arg)
    allow, scores = part
    inner = _scores(scope, scores)
    if not isinstance(inner, Scores):
        return inner
    return replace(inner, allows=(*inner.allows, allow), nodes=(*inner.nodes, arg.node))


def _by_a_number(scope: Scope, arg: Arg) -> Near | None:
    """where(allow, scores, -1e9)"""
    _, *sides = scope.operands(arg)
    for scores, other in (sides, sides[::-1]):
        number = constant(other.node)
        if number is not None and scores.node.rank and isinstance(_scores(scope, scores), Scores):
            return Near(
                f"the mask chooses {number}, not -inf: where it leaves nothing, all places count alike", arg.node.spans
            )
    return None


def _allow(scope: Scope, mask: Arg) -> Arg | None:
    """The condition under which the mask is 0, if it is -inf otherwise."""
    conditions = []
    while (part := chosen(scope, mask, -inf)) is not None:
        conditions.append(part[0])
        mask = part[1]
    return together(scope, conditions) if is_number(mask, 0) else None


def _causal(
    scope: Scope, scores: Scores, queries: set[int], positions: tuple[int, ...]
) -> tuple[Scores, tuple[int, int] | None]:
    """Takes one causal condition out of the allowed ones."""
    if len(positions) != 1:
        return scores, None
    for k, allow in enumerate(scores.allows):
        pair = _not_after(scope, allow)
        if pair is not None and pair[0] in queries and pair[1] == positions[0]:
            return replace(scores, allows=scores.allows[:k] + scores.allows[k + 1 :]), pair
    return scores, None


def _not_after(scope: Scope, allow: Arg) -> tuple[int, int] | None:
    """`(query, position)` if `allow` says position <= query of coordinates."""
    if allow.node.op == "not":
        (inner,) = scope.operands(allow)
        allow = negated(scope, inner)
    op = allow.node.op
    if op not in ("le", "ge"):
        return None
    low, high = scope.operands(allow) if op == "le" else scope.operands(allow)[::-1]
    if low.node.op == high.node.op == "coord":
        return high.axes[0], low.axes[0]
    return None


def _times(scope: Scope, one: Arg, side: Product, features: set[int]) -> Arg:
    """A query or key with its part of the scale: factors that no feature has are multiplied by each other first."""
    own = scope.product(one, scope.once)
    top, bottom = (tuple(x for x in part if not features & set(x.axes)) for part in (own.top, own.bottom))
    scale = Product(own.number, (*side.top, *top), (*side.bottom, *bottom))
    if not (top or bottom) or len(scale.top) + len(scale.bottom) < 2:
        return scope.multiply(replace(side, top=(one, *side.top))) if side.top or side.bottom else one
    above, below = (tuple(x for x in part if features & set(x.axes)) for part in (own.top, own.bottom))
    return scope.apply("mul", scope.multiply(Product(1, above, below)), scope.multiply(scale))


def _build(scope: Scope, node: Node, found: Attention) -> Arg:
    sides = found.sides
    query, key = (
        _times(scope, one, side, set(found.features))
        for side, one in ((sides.query, found.query), (sides.key, found.key))
    )
    roles, operands = ["query", "key", "value"], [query, key, found.value]
    mask: Arg | None = None
    for sign, term in found.scores.masks:
        if mask is None:
            mask = term if sign > 0 else scope.apply("neg", term)
        else:
            mask = scope.apply("add" if sign > 0 else "sub", mask, term)
    allow = together(scope, found.scores.allows)
    scale = found.scores.scale
    if mask is not None:
        roles.append("mask")
        operands.append(mask)
    if allow is not None:
        roles.append("allow")
        operands.append(allow)
    if scale.number != 1 or scale.top or scale.bottom:
        roles.append("scale")
        operands.append(scope.multiply(scale))
    result = tuple(range(node.rank))
    consumed = (*found.positions, *found.features)
    at = {c: k for k, c in enumerate((*result, *consumed))}
    causal = () if found.causal is None else tuple(at[c] for c in found.causal)
    attrs = {"roles": tuple(roles), "causal": causal}
    return scope.build("attention", operands, result, consumed, kind=node.kind, attrs=attrs)


RULES = (Rule("attention", "algebraic", ("contract",), _attention, _build),)
