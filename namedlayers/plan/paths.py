"""In which order to contract: paths of n-ary contractions, their costs as polynomials, and the few worth having.

In: the contractions of a graph, whose sizes are expressions. Out: at most `most` choices of one path for each, with the
guards under which each is the cheapest; the last has none. What always holds: costs count multiplications and
additions; the sizes that choices are weighed by are drawn from a fixed seed, so that plans do not vary.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
WORTH = 0.02
"""A further choice has to make the sampled costs smaller by this much, as a mean of logarithms."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A path for each contraction, and when it is the one to take."""

    paths: tuple[Path, ...]
    guards: tuple[Guard, ...]


def choices(contractions: Sequence[Node], most: int) -> list[Choice]:
    """The few best choices, the one that is best on the whole last and without guards."""
    if not contractions:
        return [Choice((), ())]
    samples = sample_sizes(sorted({s for node in contractions for size in node.space for s in size.symbols}))
    best: list[list[Path]] = [[] for _ in samples]
    tables: list[dict[Path, list[float]]] = []
    for node in contractions:
        sizes = [[max(1, size.evaluate(sample)) for size in node.space] for sample in samples]
        table = {path: [_cost(node, path, numbers) for numbers in sizes] for path in _candidates(node, sizes)}
        tables.append(table)
        for k in range(len(samples)):
            best[k].append(min(table, key=lambda path: table[path][k]))
    combined = list(dict.fromkeys(tuple(paths) for paths in best))
    costs = {
        paths: [sum(table[path][k] for table, path in zip(tables, paths, strict=True)) for k in range(len(samples))]
        for paths in combined
    }
    return _guarded(contractions, _few(costs, most))


def cost(node: Node, path: Path) -> SizeExpr:
    """Multiplications and additions of a contraction along a path."""
    total = const(0)
    for touched, kept in steps(node, path):
        product = const(1 if touched == kept else 2)
        for position in touched:
            product = product * node.space[position]
        total = total + product
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


def _cost(node: Node, path: Path, sizes: Sequence[int]) -> float:
    total = 0.0
    for touched, kept in steps(node, path):
        total += math.prod(sizes[p] for p in touched) * (1 if touched == kept else 2)
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


Combination = tuple[Path, ...]


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


def _guarded(contractions: Sequence[Node], chosen: list[Combination]) -> list[Choice]:
    totals = [sum((cost(n, p) for n, p in zip(contractions, paths, strict=True)), const(0)) for paths in chosen]
    found = []
    for k in range(1, len(chosen)):
        guards = [no_dearer(totals[k], totals[j]) for j in range(len(chosen)) if j != k]
        found.append(Choice(chosen[k], tuple(g for g in guards if g is not None)))
    return [*found, Choice(chosen[0], ())]


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
