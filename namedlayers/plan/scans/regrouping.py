"""The body of a scan written so that as much as possible is free of the carried values.

In: a body's graph and how many of its inputs are carried. Out: a graph with the same inputs and results. What always
holds: sums and products are only put in another order (what is free of carried values comes first), quotients by one
divisor added before they are divided, and factors of a sum put into the factors of its terms; a product with pieces
put together is the sum of the products with the pieces; products of one value with several weights are one product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from namedlayers.plan.rewrite import Rewriter
from namedlayers.plan.rule import Match, Outcome, Rule
from namedlayers.plan.scans import selecting
from namedlayers.plan.scans.block import copied
from namedlayers.plan.scans.cutting import cut
from namedlayers.plan.scans.packing import packed
from namedlayers.plan.view import Product, Scope, Sum
from namedlayers.program.graph import Arg, Graph, Node
from namedlayers.program.program import Kind
from namedlayers.program.size import const


def regrouped(graph: Graph, carries: int) -> Graph:
    """The body with sums regrouped, pieces apart and weights packed."""
    if any(node.op == "div" for node in graph.nodes):
        graph = rewritten(graph, _quotients(carries))
    return cut(packed(rewritten(graph, (*_rules(carries), *_factors(carries))), carries), carries)


def with_parts_apart(graph: Graph, carries: int) -> Graph:
    """The body with sums regrouped, pieces apart, and indices below what they read: each gate by itself."""
    return rewritten(graph, (*selecting.RULES, *_rules(carries)))


def _rules(carries: int) -> tuple[Rule, ...]:
    bound = Bound(carries)
    return (
        Rule("pieces of a joined value", "algebraic", ("reduce sum",), bound.pieces, _build_pieces),
        Rule("what is free of carried values", "algebraic", ("add", "sub"), bound.sum, _build_sum),
    )


def _quotients(carries: int) -> tuple[Rule, ...]:
    bound = Bound(carries)
    return (
        Rule("quotients that are summed", "algebraic", ("reduce sum",), bound.summed_quotient, _build_summed),
        Rule("quotients by one divisor", "algebraic", ("add", "sub"), bound.quotients, _build_quotients),
    )


def _factors(carries: int) -> tuple[Rule, ...]:
    bound = Bound(carries)
    return (
        Rule("a factor of a sum of products", "algebraic", ("mul",), bound.distributed, _build_distributed),
        Rule("factors that are free of carried values", "algebraic", ("mul", "div"), bound.product, _build_product),
    )


def rewritten(graph: Graph, rules: Sequence[Rule]) -> Graph:
    """A body after rules, its inputs first."""
    target = Graph()
    for node in graph.nodes:
        if node.op == "input":
            target.node(
                "input", (), node.space, node.rank, node.kind, attrs=dict(node.attrs), weak=node.weak,
                names=node.names, spans=node.spans,
            )  # fmt: skip
    target.outputs += Rewriter(target, lambda node: True).rewrite(graph.outputs, rules)
    return copied(target)


@dataclass(slots=True)
class Bound:
    """Tells which nodes depend on carried values: the first `carries` inputs."""

    carries: int
    _known: dict[int, bool] = field(default_factory=dict)

    def __call__(self, node: Node) -> bool:
        waiting = [node]
        while waiting:
            one = waiting[-1]
            missing = [arg.node for arg in one.args if arg.node.number not in self._known]
            if missing and one.number not in self._known:
                waiting += missing
                continue
            waiting.pop()
            own = one.op == "input" and one.number < self.carries
            self._known[one.number] = own or any(self._known[arg.node.number] for arg in one.args)
        return self._known[node.number]

    def sum(self, scope: Scope, node: Node) -> Outcome:
        """Several summands that are free of carried values beside some that are not."""
        if not self(node):
            return None
        total = scope.sum(scope.whole(), lambda one: self(one) and scope.once(one))
        kept = tuple(pair for pair in total.terms if self(pair[1].node))
        free = tuple(pair for pair in total.terms if not self(pair[1].node))
        count = len(free) + (total.number != 0)
        if count < 2 or not kept or not free:
            return None
        ranks = [term.node.rank for _, term in free]
        if len({axis for _, term in free for axis in term.axes}) > max(ranks):
            return None  # their sum would be larger than each
        return Match((Sum(0, kept), Sum(total.number, free)), total.nodes)

    def product(self, scope: Scope, node: Node) -> Outcome:
        """Several factors that are free of carried values beside some that are not."""
        if not self(node) or node.kind is not Kind.REAL:
            return None
        whole = scope.product(scope.whole(), lambda one: self._opens(scope, one))
        bound = tuple(one for one in whole.top if self(one.node))
        free = tuple(one for one in whole.top if not self(one.node) and one.node.rank)
        scalars = tuple(one for one in whole.top if not self(one.node) and not one.node.rank)
        under = whole.bottom
        if any(self(one.node) for one in under) or not free or not bound:
            return None
        if len(free) + len(under) + (whole.number != 1) < 2:
            return None
        if len({axis for one in (*free, *under) for axis in one.axes}) > max(one.node.rank for one in free):
            return None  # their product would be larger than each
        return Match(((*bound, *scalars), Product(whole.number, free, under)), whole.nodes)

    def summed_quotient(self, scope: Scope, node: Node) -> Outcome:
        """The sum of a quotient, or of what is negated, whose divisor is the same along what is summed over."""
        (body,) = node.args
        if body.node.op not in ("div", "neg") or not self(body.node) or node.kind is not Kind.REAL:
            return None
        top, *under = scope.operands(body)
        if any(axis >= node.rank for one in under for axis in one.axes):
            return None
        gone = range(node.rank, len(node.space))
        return Match((body.node.op, top, under), (body.node,)) if set(gone) <= set(top.axes) else None

    def quotients(self, scope: Scope, node: Node) -> Outcome:
        """Several summands that are divided by the same."""
        if not self(node) or node.kind is not Kind.REAL:
            return None
        total = scope.sum(scope.whole(), lambda one: self(one) and scope.once(one))
        over: dict[Arg, list[tuple[int, Arg]]] = {}
        for sign, term in total.terms:
            if term.node.op == "div" and self(term.node) and scope.once(term.node):
                top, divisor = scope.operands(term)
                over.setdefault(divisor, []).append((sign, top))
        several = next(((divisor, tops) for divisor, tops in over.items() if len(tops) > 1), None)
        if several is None:
            return None
        divisor, tops = several
        gone = {(sign, top) for sign, top in tops}
        rest = tuple((sign, term) for sign, term in total.terms if (sign, _top(scope, term, divisor)) not in gone)
        return Match((Sum(total.number, rest), Sum(0, tuple(tops)), divisor), total.nodes)

    def distributed(self, scope: Scope, node: Node) -> Outcome:
        """A sum of products of carried and of other values, times another value."""
        if not self(node) or node.kind is not Kind.REAL:
            return None
        for many, factor in (pair := scope.operands(scope.whole()), pair[::-1]):
            if self(factor.node) or not factor.node.rank or many.node.op not in ("add", "sub") or not self(many.node):
                continue
            if not scope.once(many.node):
                continue
            total = scope.sum(many, lambda one: self(one) and scope.once(one))
            terms = [scope.product(term, lambda one: self._opens(scope, one)) for _, term in total.terms]
            if total.number == 0 and all(self._takes(term, factor) for term in terms):
                signs = [sign for sign, _ in total.terms]
                return Match((tuple(zip(signs, terms, strict=True)), factor), total.nodes)
        return None

    def _opens(self, scope: Scope, node: Node) -> bool:
        """Whether a product may be taken apart: one that is used once, or a quotient by what is free of carried values,
        which leaves the loop where it is only needed after it."""
        if node.op not in ("mul", "div") or not self(node):
            return False
        return scope.once(node) or (node.op == "div" and not self(node.args[1].node))

    def _takes(self, term: Product, factor: Arg) -> bool:
        """Whether a factor can be put into what a product has that is free of carried values, as large as that is."""
        free = [one for one in term.top if not self(one.node)]
        return any(set(factor.axes) <= set(one.axes) for one in free) and not any(self(one.node) for one in term.bottom)

    def pieces(self, scope: Scope, node: Node) -> Outcome:
        """The sum over an axis along which carried and other values are joined, times weights."""
        (body,) = node.args
        if body.node.op != "mul" or not self(body.node):
            return None
        for joined, weights in (pair := scope.operands(body), pair[::-1]):
            one = joined.node
            if one.op != "concat" or self(weights.node) or all(self(arg.node) for arg in one.args):
                continue
            axis = one.attr("axis")
            assert isinstance(axis, int)
            if joined.axes[axis] >= node.rank and joined.axes[axis] in weights.axes and self(one):
                return Match((joined, weights, axis), (body.node, one))
        return None


# --- helpers ----------------------------------------------------------------------------------------------------------


def _top(scope: Scope, term: Arg, divisor: Arg) -> Arg | None:
    """What a term divides by just this, if it does."""
    if term.node.op != "div":
        return None
    top, under = scope.operands(term)
    return top if under == divisor else None


def _build_sum(scope: Scope, node: Node, found: tuple[Sum, Sum]) -> Arg:
    kept, free = found
    return scope.apply("add", total(scope, kept), total(scope, free))


def _build_product(scope: Scope, node: Node, found: tuple[tuple[Arg, ...], Product]) -> Arg:
    bound, free = found
    return scope.multiply(Product(1, (*bound, scope.multiply(free)), ()))


def _build_distributed(scope: Scope, node: Node, found: tuple[tuple[tuple[int, Product], ...], Arg]) -> Arg:
    signed, factor = found
    terms = [(sign, scope.multiply(Product(one.number, (*one.top, factor), one.bottom))) for sign, one in signed]
    return total(scope, Sum(0, tuple(terms)))


def _build_summed(scope: Scope, node: Node, found: tuple[str, Arg, list[Arg]]) -> Arg:
    op, top, under = found
    return scope.apply(op, scope.reduce("sum", top, range(node.rank, len(node.space))), *under)


def _build_quotients(scope: Scope, node: Node, found: tuple[Sum, Sum, Arg]) -> Arg:
    rest, tops, divisor = found
    quotient = scope.apply("div", total(scope, tops), divisor)
    if not rest.terms and rest.number == 0:
        return quotient
    return total(scope, Sum(rest.number, ((1, quotient), *rest.terms)))


def total(scope: Scope, terms: Sum) -> Arg:
    """The node of a sum."""
    ordered = sorted(terms.terms, key=lambda pair: -pair[0])
    result: Arg | None = None
    for sign, term in ordered:
        if result is None:
            result = term if sign > 0 else scope.apply("neg", term)
        else:
            result = scope.apply("add" if sign > 0 else "sub", result, term)
    if result is None:
        return scope.number(terms.number)
    return result if terms.number == 0 else scope.apply("add", result, scope.number(terms.number))


def _build_pieces(scope: Scope, node: Node, found: tuple[Arg, Arg, int]) -> Arg:
    joined, weights, axis = found
    consumed = tuple(c for c in range(node.rank, len(node.space)) if c != joined.axes[axis])
    result: Arg | None = None
    start = const(0)
    for piece in joined.node.args:
        own = piece.axes.index(-1)
        size = piece.node.sizes[own]
        along = scope.fresh(size, scope.names[joined.axes[axis]])
        axes = tuple(along if k == own else joined.axes[position] for k, position in enumerate(piece.axes))
        factor = _slice(scope, weights, joined.axes[axis], along, start)
        product = scope.apply("mul", Arg(piece.node, axes), factor)
        product = scope.reduce("sum", product, (along, *consumed))
        result = product if result is None else scope.apply("add", result, product)
        start = start + size
    assert result is not None
    return result


def _slice(scope: Scope, value: Arg, axis: int, along: int, start: object) -> Arg:
    """The value from `start` on, along a new coordinate instead of `axis`."""
    own = value.axes.index(axis)
    result = tuple(along if k == own else c for k, c in enumerate(value.axes))
    arg = Arg(value.node, tuple(-1 if k == own else c for k, c in enumerate(value.axes)))
    entry = (own, ((own, const(1)),), start)
    return scope.build("index", (arg,), result, kind=value.node.kind, attrs={"entries": (entry,)})
