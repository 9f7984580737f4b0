"""In which order to contract: paths of n-ary contractions, their costs as polynomials, and the few worth having.

In: the contractions of a graph, whose sizes are expressions, or of several graphs that compute the same. Out: at most
`most` choices of a graph and one path for each contraction, with the guards under which each is the cheapest; the last
has none. What always holds: costs count multiplications and additions; the sizes that choices are weighed by are drawn
from a fixed seed, so that plans do not vary.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from opt_einsum import paths as opt_einsum_paths

from namedlayers.plan.plan import Guard
from namedlayers.program.graph import Node
from namedlayers.program.size import Atom, SizeExpr, const

Path = tuple[tuple[int, ...], ...]
Sample = Mapping[str, int]

SAMPLES = 24
LARGEST = 1024
TYPICAL = 64
HELD = 8
"""Writing and reading one element of a value takes as long as so many operations, where graphs are compared."""
WORTH = 0.02
"""A further choice has to make the sampled costs smaller by this much, as a mean of logarithms."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A path for each contraction of one of several graphs, and when it is the one to take."""

    paths: tuple[Path, ...]
    guards: tuple[Guard, ...]
    graph: int = 0


def choices(graphs: Sequence[Sequence[Node]], most: int) -> list[Choice]:
    """The few best choices, the one that is best on the whole last and without guards.

    `graphs`: of each the nodes in question, of which the contractions get paths.
    """
    samples = sample_sizes(_symbols(graphs))
    held = HELD if len(graphs) > 1 else 0
    costs: dict[Combination, Sequence[float]] = {}
    for number, nodes in enumerate(graphs):
        tables = [_table(node, samples, held) for node in nodes]
        best = [[min(table, key=lambda path: table[path][k]) for table in tables] for k in range(len(samples))]
        for paths in dict.fromkeys(map(tuple, best)):
            costs[number, paths] = [
                sum(table[path][k] for table, path in zip(tables, paths, strict=True)) + 1 for k in range(len(samples))
            ]
    return _guarded(graphs, _few(costs, most), held)


def sampled_costs(graphs: Sequence[Sequence[Node]]) -> list[list[float]]:
    """The cost of each graph at each of the sizes assumed, with the best paths there."""
    samples = sample_sizes(_symbols(graphs))
    best: dict[Node, list[float]] = {}
    for node in (one for nodes in graphs for one in nodes):
        if node not in best:
            best[node] = list(map(min, *_table(node, samples, HELD).values(), [math.inf] * len(samples)))
    return [[sum(best[node][k] for node in nodes) + 1 for k in range(len(samples))] for nodes in graphs]


def cost(node: Node, path: Path, held: int = 0) -> SizeExpr:
    """Multiplications and additions of a contraction along a path; of what is none, one for each element.

    Each element of a value that is made counts for `held` more.
    """
    if not node.args:
        return const(0)
    if node.op != "contract":
        operations, made = const(_OPERATIONS_OF_EACH.get(node.op, 1)), const(held)
        return _elements(node, range(len(node.space)), operations) + _elements(node, range(node.rank), made)
    total = const(0)
    for touched, kept in steps(node, path):
        total = total + _elements(node, touched, const(1 if touched == kept else 2))
        total = total + _elements(node, kept, const(held))
    return total


def steps(node: Node, path: Path) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """For each pairwise contraction the positions that it touches, and those that its result keeps."""
    operands = [frozenset(arg.axes) for arg in node.args]
    result = frozenset(range(node.rank))
    for pair in path:
        taken = [operands[k] for k in pair]
        operands = [o for k, o in enumerate(operands) if k not in pair]
        touched = frozenset().union(*taken)
        kept = touched & result.union(*operands)
        operands.append(kept)
        yield tuple(sorted(touched)), tuple(sorted(kept))


def sample_sizes(symbols: Sequence[str]) -> list[Sample]:
    """Sizes to weigh choices by: all typical, then spread evenly over magnitudes."""
    source = random.Random(0)
    samples: list[Sample] = [dict.fromkeys(symbols, TYPICAL)]
    if symbols:
        samples += [{s: round(LARGEST ** source.random()) for s in symbols} for _ in range(SAMPLES - 1)]
    return samples


# --- helpers ----------------------------------------------------------------------------------------------------------


def _symbols(graphs: Sequence[Sequence[Node]]) -> list[str]:
    return sorted({s for nodes in graphs for node in nodes for size in node.space for s in size.symbols})


def _table(node: Node, samples: Sequence[Sample], held: int) -> dict[Path, list[float]]:
    """For each path that is worth a thought the cost at each of the sizes."""
    sizes = [[_evaluated(size, sample) for size in node.space] for sample in samples]
    if node.op == "contract":
        return {path: [_cost(node, path, numbers, held) for numbers in sizes] for path in _candidates(node, sizes)}
    if not node.args:
        return {(): [0.0] * len(samples)}
    each = _OPERATIONS_OF_EACH.get(node.op, 1)
    return {(): [float(each * math.prod(n) + held * math.prod(n[: node.rank])) for n in sizes]}


def _evaluated(size: SizeExpr, sample: Sample) -> int:
    """A size that some sizes assumed give, one at least; they need not be sizes that a call can have."""
    try:
        return max(1, size.evaluate(sample))
    except ZeroDivisionError:
        return 1


def _elements(node: Node, axes: Iterable[int], each: SizeExpr) -> SizeExpr:
    for position in axes:
        each = each * node.space[position]
    return each


_OPERATIONS_OF_EACH = {"linear": 2}
"""How many operations one element of the index space takes, where it is not one."""


def _cost(node: Node, path: Path, sizes: Sequence[int], held: int) -> float:
    total = 0.0
    for touched, kept in steps(node, path):
        total += math.prod(sizes[p] for p in touched) * (1 if touched == kept else 2)
        total += math.prod(sizes[p] for p in kept) * held
    return total


def _candidates(node: Node, sizes: Sequence[Sequence[int]]) -> tuple[Path, ...]:
    """All paths of up to four operands; of more, those that are best for some sample."""
    if len(node.args) <= 4:
        return _all_paths(len(node.args))
    inputs = [frozenset(arg.axes) for arg in node.args]
    result = frozenset(range(node.rank))
    found: dict[Path, None] = {}
    for numbers in sizes[: 8 if len(node.args) <= 8 else 3]:
        path = opt_einsum_paths.auto(inputs, result, dict(enumerate(numbers)))
        found[tuple(tuple(sorted(pair)) for pair in path)] = None
    return tuple(found)


@cache
def _all_paths(operands: int) -> tuple[Path, ...]:
    """One path for each way to put brackets around operands, whatever the order of steps that do not depend."""
    found: dict[frozenset[frozenset[int]], Path] = {}
    _extend([frozenset({k}) for k in range(operands)], (), frozenset(), found)
    return tuple(found.values())


def _extend(
    groups: list[frozenset[int]],
    path: Path,
    made: frozenset[frozenset[int]],
    found: dict[frozenset[frozenset[int]], Path],
) -> None:
    if len(groups) == 1:
        found.setdefault(made, path)
        return
    for j in range(1, len(groups)):
        for i in range(j):
            joined = groups[i] | groups[j]
            rest = [g for k, g in enumerate(groups) if k not in (i, j)]
            _extend([*rest, joined], (*path, (i, j)), made | {joined}, found)


Combination = tuple[int, tuple[Path, ...]]
"""The number of a graph, and paths for its contractions."""


def _few(costs: Mapping[Combination, Sequence[float]], most: int) -> list[Combination]:
    """The choice that is best on the whole, then those that improve most on what is there."""
    chosen: list[Combination] = []
    reached = [math.inf] * len(next(iter(costs.values())))
    while len(chosen) < min(most, len(costs)):
        candidates = [c for c in costs if c not in chosen]
        best = min(candidates, key=lambda c: _mean_log(map(min, reached, costs[c])))
        improved = list(map(min, reached, costs[best]))
        if chosen and _mean_log(reached) - _mean_log(improved) < WORTH:
            break
        chosen.append(best)
        reached = improved
    return chosen


def _mean_log(costs: Iterator[float] | Sequence[float]) -> float:
    logs = [math.log(cost) for cost in costs]
    return sum(logs) / len(logs)


def _guarded(graphs: Sequence[Sequence[Node]], chosen: list[Combination], held: int) -> list[Choice]:
    totals = [
        sum((cost(node, path, held) for node, path in zip(graphs[number], paths, strict=True)), const(0))
        for number, paths in chosen
    ]
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


def no_dearer(left: SizeExpr, right: SizeExpr) -> Guard | None:
    """`left <= right` for sizes, without what both sides share; None where it holds for all sizes."""
    difference = left - right
    terms = difference.terms
    divisor = math.gcd(*(c for _, c in terms)) or 1
    shared = _shared([m for m, _ in terms])
    up: dict[tuple[Atom, ...], int] = {}
    down: dict[tuple[Atom, ...], int] = {}
    for monomial, c in terms:
        rest = list(monomial)
        for atom in shared:
            rest.remove(atom)
        (up if c > 0 else down)[tuple(rest)] = abs(c) // divisor
    if not up:
        return None
    return Guard(SizeExpr(up), "<=", SizeExpr(down))


def _shared(monomials: list[tuple[Atom, ...]]) -> list[Atom]:
    """The atoms that all monomials have; sizes are not negative, so they may be cancelled."""
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
