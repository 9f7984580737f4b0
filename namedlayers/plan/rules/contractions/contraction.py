"""Sums of products become contractions, contractions of contractions one, and sums that stand alone are done alone.

`forming` makes a `contract` of a sum whose operand is a product; numbers and scalars are taken out, an axis that one
factor alone has is summed there. `merging` runs once everything else is recognised: a contraction whose only use is in
another becomes part of it, so that the order of all of them is planned together.
"""

from __future__ import annotations

from collections.abc import Callable

from namedlayers.plan.rule import Match, Near, Outcome, Rule
from namedlayers.plan.view import Product, Scope
from namedlayers.program.graph import Arg, Node
from namedlayers.program.program import Kind


def _taken_apart(scope: Scope) -> Callable[[Node], bool]:
    """Which products below a sum are taken apart: outer products, which are dear to keep, and multiples by scalars.

    A product along axes that one factor has anyway stays: it costs no more than that factor.
    """

    def through(node: Node) -> bool:
        ranks = [arg.node.rank for arg in node.args]
        return node.rank > max(ranks) or (min(ranks) == 0 or node.op == "neg") and scope.once(node)

    return through


def _sum_of_product(scope: Scope, node: Node) -> Outcome:
    (body,) = node.args
    through = _taken_apart(scope)
    if body.node.op not in ("mul", "div", "neg") or not (scope.once(body.node) or through(body.node)):
        return None
    product = scope.product(body, through)
    if not any(part.node.rank for part in product.top):
        return None
    return Match(product, product.nodes)


def _build_sum_of_product(scope: Scope, node: Node, product: Product) -> Arg:
    consumed = set(range(node.rank, len(node.space)))
    scalars = tuple(a for a in product.top if not a.node.rank)
    under = tuple(a for a in product.bottom if not a.node.rank)
    operands = with_divisors(scope, [a for a in product.top if a.node.rank], [a for a in product.bottom if a.node.rank])
    core = contraction(scope, operands, consumed)
    missing = [c for c in range(node.rank) if c not in core.axes]
    assert not missing, "an elementwise node has the axes of its operands"
    whole = scope.multiply(Product(product.number, (core, *scalars), under))
    return _ordered(scope, whole, node)


def contraction(scope: Scope, operands: list[Arg], consumed: set[int]) -> Arg:
    """The sum over `consumed` of the product of operands, each axis summed where it alone is."""
    kind = max((a.node.kind for a in operands), key=lambda k: k.value)
    for k, operand in enumerate(operands):
        elsewhere = {c for j, other in enumerate(operands) if j != k for c in other.axes}
        own = [c for c in operand.axes if c in consumed and c not in elsewhere]
        if own and len(operands) > 1:
            operands[k] = scope.reduce("sum", operand, own)
            consumed = consumed - set(own)
    if len(operands) == 1:
        return scope.reduce("sum", operands[0], sorted(consumed))
    result = sorted({c for a in operands for c in a.axes} - consumed)
    if not consumed:
        product = operands[0]
        for operand in operands[1:]:
            product = scope.apply("mul", product, operand)
        return product
    kind = max(kind, scope.root.kind, key=lambda k: k.value)
    return scope.build("contract", operands, result, sorted(consumed), kind=kind, attrs={"path": ()})


def with_divisors(scope: Scope, factors: list[Arg], divisors: list[Arg]) -> list[Arg]:
    """Each divisor goes under the smallest factor that has its axes; one that no factor covers is a factor 1 / d."""
    for d in divisors:
        fitting = [k for k, a in enumerate(factors) if set(d.axes) <= set(a.axes)]
        if fitting:
            k = min(fitting, key=lambda k: (len(factors[k].axes), k))
            factors[k] = scope.apply("div", factors[k], d)
        else:
            factors.append(scope.apply("div", scope.number(1), d))
    return factors


def _ordered(scope: Scope, value: Arg, node: Node) -> Arg:
    """Elementwise and contraction nodes are built with sorted axes, which is the root's order."""
    assert value.axes == tuple(range(node.rank))
    return value


def _sum_of_two(scope: Scope, node: Node) -> Outcome:
    """sum(a * b), nothing taken apart further"""
    (body,) = node.args
    if body.node.op != "mul" or not all(a.node.rank for a in body.node.args):
        return None
    if not (scope.once(body.node) or _taken_apart(scope)(body.node)):
        return None
    return Match(scope.operands(body), (body.node,))


def _build_sum_of_two(scope: Scope, node: Node, operands: tuple[Arg, ...]) -> Arg:
    consumed = range(node.rank, len(node.space))
    return scope.build("contract", operands, range(node.rank), consumed, kind=node.kind, attrs={"path": ()})


def _sum_of_expanded(scope: Scope, node: Node) -> Outcome:
    """The sum over an axis along which the operand is constant"""
    (body,) = node.args
    if body.node.op != "expand":
        return None
    (inner,) = scope.operands(body)
    gone = tuple(c for c in range(node.rank, len(node.space)) if c not in inner.axes)
    return Match((inner, gone), (body.node,)) if gone else None


def _build_sum_of_expanded(scope: Scope, node: Node, found: tuple[Arg, tuple[int, ...]]) -> Arg:
    inner, gone = found
    total = scope.reduce("sum", inner, [c for c in range(node.rank, len(node.space)) if c not in gone], kind=node.kind)
    size = scope.sizes[gone[0]]
    for c in gone[1:]:
        size = size * scope.sizes[c]
    product = scope.apply("mul", total, scope.size(size))
    if product.axes == tuple(range(node.rank)):
        return product
    axes = tuple((c, node.space[c]) for c in range(node.rank) if c not in product.axes)
    return scope.build(
        "expand", (product,), range(node.rank), kind=node.kind, attrs={"axes": tuple(c for c, _ in axes)}
    )


def _contraction_of_contractions(scope: Scope, node: Node) -> Outcome:
    operands: list[Arg] = []
    consumed = list(range(node.rank, len(node.space)))
    parts: list[Node] = []
    for arg in node.args:
        if _is_contraction(arg.node) and scope.once(arg.node):
            operands += scope.operands(arg)
            consumed += scope.consumed(arg)
            parts.append(arg.node)
        else:
            operands.append(arg)
    return Match((operands, consumed), tuple(parts)) if parts else None


def _is_contraction(node: Node) -> bool:
    return node.op == "contract" or (
        node.op == "reduce" and node.attr("op") == "sum" and node.args[0].node.op == "contract"
    )


def _build_merged(scope: Scope, node: Node, found: tuple[list[Arg], list[int]]) -> Arg:
    operands, consumed = found
    return scope.build("contract", operands, range(node.rank), consumed, kind=node.kind, attrs={"path": ()})


# --- factors on both sides --------------------------------------------------------------------------------------------


def _between_factors(scope: Scope, node: Node) -> Outcome:
    """A @ x / (norm(A) * norm(x)): factors that each lie along axes of one operand, of more than one operand.

    Before the sum they are multiplied where sizes make that cheaper. (Over an empty axis the sum of quotients is 0,
    also where the text divides it by 0.)
    """
    product = scope.product(scope.whole(), scope.once)
    cores = [a for a in product.top if a.node.op == "contract" and scope.once(a.node)]
    if len(cores) != 1 or sorted(cores[0].axes) != list(range(node.rank)):
        return None
    (core,) = cores
    factors = [a for a in (*product.top, *product.bottom) if a.node.rank and a is not core]
    if len({a.axes for a in factors}) < 2 or any(a.node.kind is not Kind.REAL for a in (core, *factors)):
        return None
    operands = scope.operands(core)
    sides = [[k for k, one in enumerate(operands) if set(a.axes) <= set(one.axes)] for a in factors]
    if not all(sides):
        return Near("a factor lies along axes of both sides of the contraction")
    if set(sides[0]).intersection(*sides):
        return None  # all stand on one operand: after the contraction they cost no more than before it
    return Match((core, product), (core.node, *product.nodes))


def _build_between_factors(scope: Scope, node: Node, found: tuple[Arg, Product]) -> Arg:
    """Numbers go where they are multiplied by least: to the factor with the fewest axes."""
    core, product = found
    parts = [Product(1, (a,), ()) for a in product.top if a.node.rank and a is not core]
    parts += [Product(1, (), (a,)) for a in product.bottom if a.node.rank]
    parts.sort(key=lambda part: (*part.top, *part.bottom)[0].node.rank)
    scalars, under = (tuple(a for a in side if not a.node.rank) for side in (product.top, product.bottom))
    parts[0] = Product(product.number, (*parts[0].top, *scalars), (*parts[0].bottom, *under))
    factors = [scope.multiply(part) for part in parts]
    operands = (*scope.operands(core), *factors)
    attrs: dict[str, tuple] = {"path": ()}
    return scope.build("contract", operands, range(node.rank), scope.consumed(core), kind=node.kind, attrs=attrs)


FORMING = (
    Rule("sum of a constant axis", "algebraic", ("reduce sum",), _sum_of_expanded, _build_sum_of_expanded),
    Rule("contraction", "algebraic", ("reduce sum",), _sum_of_product, _build_sum_of_product),
    Rule("contraction of two", "exact", ("reduce sum",), _sum_of_two, _build_sum_of_two),
)
MERGING = (
    Rule("factors of both sides", "algebraic", ("mul", "div"), _between_factors, _build_between_factors),
    Rule(
        "contraction of contractions",
        "algebraic",
        ("contract", "reduce sum"),
        _contraction_of_contractions,
        _build_merged,
    ),
)
