"""In which order to contract, where sizes decide: the few choices worth having, and when each is the one to take.

In: the contractions of a graph, whose sizes are expressions, or of several graphs that compute the same. Out: at most
`most` choices of a graph and one path for each contraction, with the guards under which each is the cheapest; the last
has none. What always holds: costs count operations and what is written and read; the sizes that choices are weighed by
are drawn from a fixed seed, so that plans do not vary.

The gradient needs no choice of its own. Seen without its root, the tree of steps is the same for a value and, with the
slope of the value as one leaf more, for each slope that comes of it: every step has the same axes, whichever of its
three neighbours it is done for. So what is best for the value is best for every slope, and they share its steps.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from namedlayers.plan import prefixes
from namedlayers.plan.chains import between_neighbours, chain, tree
from namedlayers.plan.plan import Guard
from namedlayers.plan.search import CALL, COPIED, HELD, Costs, Path, Sizes, best_paths, costs, steps
from namedlayers.program.graph import Node
from namedlayers.program.size import Atom, SizeExpr, const

Sample = Mapping[str, int]

TYPICAL = 64
LARGEST = 1024
SPREAD = 200
FEWEST = 24
"""So many samples are spread evenly over magnitudes up to the largest; fewer where there is much to be ordered."""
MOST_ALONE = 12
ALONE = ((8, 512), (512, 8))
AT_AN_END = ((1, 512), (1, 64), (16, 1024))
"""A size that differs from all others, and theirs."""
WORTH = 0.005
"""A further choice has to make the excess of the sampled costs smaller by this much."""


FAR = 0.1
"""An excess that is worth more choices than usual: the costs are a tenth over the least, or a few are many times it."""
MOST_ROUNDS = 8
"""How often choices are exchanged for better ones."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A path for each contraction of one of several graphs, and when it is the one to take."""

    paths: tuple[Path, ...]
    guards: tuple[Guard, ...]
    graph: int = 0


def choices(graphs: Sequence[Sequence[Node]], most: int, further: int = 0) -> list[Choice]:
    """The few best choices, the one that is best on the whole last and without guards.

    `graphs`: of each the nodes in question, of which the contractions get paths. `further`: so many choices instead of
    `most`, where those leave costs that are `FAR` from the least.
    """
    samples = _samples(graphs)
    found: dict[Combination, Costs] = {}
    for number, nodes in enumerate(graphs):
        tables = [_table(node, samples) for node in nodes]
        best = [[min(table, key=lambda path: table[path][k]) for table in tables] for k in range(len(samples))]
        for paths in dict.fromkeys(map(tuple, best)):
            found[number, paths] = sum(
                (table[path] for table, path in zip(tables, paths, strict=True)), start=np.ones(len(samples))
            )
    return _guarded(graphs, _few(found, most, further))


def sampled_costs(graphs: Sequence[Sequence[Node]]) -> list[list[float]]:
    """The cost of each graph at each of the sizes assumed, with the best paths there."""
    samples = _samples(graphs)
    best: dict[Node, Costs] = {}
    for node in (one for nodes in graphs for one in nodes):
        if node not in best:
            best[node] = np.minimum.reduce(list(_table(node, samples).values()))
    return [list(sum((best[node] for node in nodes), start=np.ones(len(samples)))) for nodes in graphs]


def cost(node: Node, path: Path) -> SizeExpr:
    """What a node costs, along a path if it is a contraction."""
    if not node.args:
        return const(0)
    total = const(_calls(node, path) * CALL)
    if node.op in prefixes.PREFIXES:
        of_blocks = _CALLS_OF_BLOCKS[node.op] + _CALLS_OF_DECAYS[node.op] * bool(prefixes.decays(node))
        total = total + const(CALL * of_blocks)
        return sum((_all(s.touched) * s.operations + _all(s.made) * HELD for s in prefixes.steps(node)), total)
    if node.op != "contract":
        operations = const(_OPERATIONS_OF_EACH.get(node.op, 1))
        total = total + _elements(node, range(len(node.space)), operations)
        return total + _elements(node, range(node.rank), const(HELD))
    for step in steps(node, path):
        for each, axes in ((step.each, step.touched), (HELD, step.made), *((COPIED, one) for one in step.moved)):
            total = total + _elements(node, axes, const(each))
        total = total + const(CALL * (step.calls - 1 + len(step.moved)))
    return total


def sample_sizes(symbols: Sequence[str], ends: Sequence[str] = (), spread: int = FEWEST) -> list[Sample]:
    """Sizes to weigh choices by: all typical; one that differs from all others; then spread evenly over magnitudes.

    `ends` are sizes of results, which are small more often than others: a chain of matrices ends in few vectors.
    """
    source = random.Random(0)
    samples: list[Sample] = [dict.fromkeys(symbols, TYPICAL)]
    for chosen, pairs in ((symbols, ALONE), (ends, AT_AN_END)):
        for one, others in pairs:
            samples += [dict.fromkeys(symbols, others) | {symbol: one} for symbol in chosen[:MOST_ALONE]]
    if symbols:
        samples += [{s: round(LARGEST ** source.random()) for s in symbols} for _ in range(spread)]
    return samples


# --- helpers ----------------------------------------------------------------------------------------------------------


def _samples(graphs: Sequence[Sequence[Node]]) -> list[Sample]:
    nodes = [node for one in graphs for node in one]
    ends = {s for node in nodes if node.op == "contract" for size in node.sizes for s in size.symbols}
    symbols = {s for node in nodes for size in node.space for s in size.symbols}
    return sample_sizes(sorted(symbols), sorted(ends), max(FEWEST, SPREAD // max(1, len(nodes))))


def _table(node: Node, samples: Sequence[Sample]) -> dict[Path, Costs]:
    """For each path that is worth a thought the cost at each of the sizes."""
    if not node.args:
        return {(): np.zeros(len(samples))}
    sizes = np.array([[float(_evaluated(size, sample)) for sample in samples] for size in node.space])
    sizes = sizes.reshape(len(node.space), len(samples))
    if node.op == "contract":
        found = {path: costs(node, path, sizes) for path in best_paths(node, sizes)}
        return _of_chain(node, found)
    if node.op in prefixes.PREFIXES:
        return {(): np.array([_of_prefixes(node, sample) for sample in samples])}
    each = _OPERATIONS_OF_EACH.get(node.op, 1)
    return {(): each * _product(sizes) + HELD * _product(sizes[: node.rank]) + _calls(node, ()) * CALL}


def _calls(node: Node, path: Path) -> int:
    """How many calls a node takes, views not counted."""
    return len(path) if node.op == "contract" else _CALLS.get(node.op, 1)


def _of_chain(node: Node, found: dict[Path, Costs]) -> dict[Path, Costs]:
    """Of a chain of matrices the order that is best on the whole, at the cost of the best: the call compares them."""
    matrices = chain(node)
    near = [path for path in found if matrices and between_neighbours(tree(path, matrices.matrices))]
    if not near:
        return found
    least = np.minimum.reduce(list(found.values()))
    return {min(near, key=lambda path: _excess(found[path], least)): least}


def _of_prefixes(node: Node, sample: Sample) -> float:
    def elements(sizes: Iterable[SizeExpr]) -> float:
        return math.prod((_evaluated(size, sample) for size in sizes), start=1.0)

    found = prefixes.steps_at(node, lambda size: _evaluated(size, sample))
    total = sum(elements(step.touched) * step.operations + elements(step.made) * HELD for step in found)
    return total + CALL * len(found)


def _product(sizes: Sizes) -> Costs:
    return np.multiply.reduce(sizes, axis=0)


def _evaluated(size: SizeExpr, sample: Sample) -> int:
    """A size that some sizes assumed give, one at least; they need not be sizes that a call can have."""
    try:
        return max(1, size.evaluate(sample))
    except ZeroDivisionError:
        return 1


def _all(sizes: Iterable[SizeExpr]) -> SizeExpr:
    return math.prod(sizes, start=const(1))


def _elements(node: Node, axes: Iterable[int], each: SizeExpr) -> SizeExpr:
    for position in axes:
        each = each * node.space[position]
    return each


_OPERATIONS_OF_EACH = {"linear": 2}
"""How many operations one element of the index space takes, where it is not one."""

_CALLS = {
    "prefix_product": 4,
    "prefix_sum": 2,
    **dict.fromkeys("expand split merge index part final piece".split(), 0),
}
"""How many calls a node takes, where it is not one."""

_CALLS_OF_BLOCKS = {"prefix_product": 36, "prefix_sum": 0}
"""How many calls' time it takes to go by blocks, which short axes do without,"""

_CALLS_OF_DECAYS = {"prefix_product": 32, "prefix_sum": 48}
"""and to make the weights of blocks and of the sums between them."""

Combination = tuple[int, tuple[Path, ...]]
"""The number of a graph, and a path for each of its nodes."""


def _few(found: Mapping[Combination, Costs], most: int, further: int) -> list[Combination]:
    """So many choices as are enough, of those that are best together."""
    least = np.minimum.reduce(list(found.values()))
    for count in range(most, max(most, further) + 1):
        chosen = _exchanged(_improving(found, least, count), found, least)
        if _excess(np.minimum.reduce([found[one] for one in chosen]), least) <= FAR:
            break
    return chosen


def _improving(found: Mapping[Combination, Costs], least: Costs, most: int) -> list[Combination]:
    """The choice that is best on the whole, then those that improve most on what is there.

    What counts is by which factor the cost exceeds the least one: the mean of its logarithm and of that cubed, so
    that a choice which is far from the best for some sizes is not made up for by many that are near it.
    """
    chosen: list[Combination] = []
    reached = np.full(len(least), math.inf)
    while len(chosen) < min(most, len(found)):
        candidates = [one for one in found if one not in chosen]
        best = min(candidates, key=lambda one: _excess(np.minimum(reached, found[one]), least))
        improved = np.minimum(reached, found[best])
        if chosen and _excess(reached, least) - _excess(improved, least) < WORTH:
            break
        chosen.append(best)
        reached = improved
    return chosen


def _exchanged(chosen: list[Combination], found: Mapping[Combination, Costs], least: Costs) -> list[Combination]:
    """The same with one after the other replaced by what suits the others better, until nothing does; the one that is
    best on the whole stays in front."""
    for _ in range(MOST_ROUNDS):
        before = list(chosen)
        for k in range(len(chosen) if len(chosen) > 1 else 0):
            reached = np.minimum.reduce([found[one] for j, one in enumerate(chosen) if j != k])
            candidates = [chosen[k], *(one for one in found if one not in chosen)]
            chosen[k] = min(candidates, key=lambda one: _excess(np.minimum(reached, found[one]), least))
        if chosen == before:
            break
    first = min(chosen, key=lambda one: _excess(found[one], least))
    return [first, *(one for one in chosen if one != first)]


def _excess(reached: Costs, least: Costs) -> float:
    logs = np.log(reached / least)
    return float(np.mean(logs + logs**3))


def _guarded(graphs: Sequence[Sequence[Node]], chosen: list[Combination]) -> list[Choice]:
    totals = _apart([
        sum((cost(node, path) for node, path in zip(graphs[number], paths, strict=True)), const(0))
        for number, paths in chosen
    ])  # fmt: skip
    found = [
        Choice(
            _of_contractions(graphs[number], paths),
            tuple(
                guard for j in range(len(chosen)) if j != k and (guard := no_dearer(totals[k], totals[j])) is not None
            ),
            number,
        )
        for k, (number, paths) in enumerate(chosen)
    ]
    return [*found[1:], replace(found[0], guards=())]


def _of_contractions(nodes: Sequence[Node], paths: tuple[Path, ...]) -> tuple[Path, ...]:
    return tuple(path for node, path in zip(nodes, paths, strict=True) if node.op == "contract")


# --- comparing sums of products ---------------------------------------------------------------------------------------

Monomials = dict[tuple[Atom, ...], int]


def no_dearer(left: SizeExpr, right: SizeExpr) -> Guard | None:
    """`left <= right` for sizes; None where it holds for all."""
    if not any(count > 0 for _, count in (left - right).terms):
        return None
    return Guard(left, "<=", right)


def _apart(totals: list[SizeExpr]) -> list[SizeExpr]:
    """Totals without what all of them have: terms, factors of the numbers, sizes. Sizes are not negative."""
    counts: list[Monomials] = [dict(total.terms) for total in totals]
    for monomial in list(counts[0]):
        least = min(one.get(monomial, 0) for one in counts)
        for one in counts:
            one[monomial] = one.get(monomial, 0) - least
    counts = [{monomial: count for monomial, count in one.items() if count} for one in counts]
    divisor = math.gcd(*(count for one in counts for count in one.values())) or 1
    shared = _shared([monomial for one in counts for monomial in one])
    return [
        SizeExpr({_without(monomial, shared): count // divisor for monomial, count in one.items()}) for one in counts
    ]


def _without(monomial: tuple[Atom, ...], atoms: Sequence[Atom]) -> tuple[Atom, ...]:
    rest = list(monomial)
    for atom in atoms:
        rest.remove(atom)
    return tuple(rest)


def _shared(monomials: Sequence[tuple[Atom, ...]]) -> list[Atom]:
    """The atoms that all monomials have."""
    if not monomials:
        return []
    common = list(monomials[0])
    for monomial in monomials[1:]:
        left = list(monomial)
        kept = []
        for atom in common:
            if atom in left:
                left.remove(atom)
                kept.append(atom)
        common = kept
    return common
