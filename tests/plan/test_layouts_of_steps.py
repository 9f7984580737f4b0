"""How what a contraction makes on its way lies, and that orders in which less is copied are preferred."""

from __future__ import annotations

import itertools

import pytest
import torch

import namedlayers as nl
from namedlayers.plan.layouts import laid
from namedlayers.plan.plan import Guard
from namedlayers.plan.search import steps
from tests.plan.formulas import planned

CASES: dict[str, tuple[str, str, str, str]] = {
    # name: (operands, pairs of the path, result, the operands that are copied)
    "a chain": ("ab bc cd", "12 01", "ad", ""),
    "the middle of a core": ("pqr bq", "01", "bpr", "pqr"),
    "the end of a core": ("pqr br", "01", "bpq", ""),
    "a core from its end to its middle": ("pqr kr jq", "01 01", "kjp", ""),
    "three sides of a core": ("bsi btj buk ijk", "03 12 01", "bstu", ""),
    "a batch innermost": ("isb bsj", "01", "bij", "isb"),
    "a batch in the midst": ("ibs bsj", "01", "bij", ""),
    "two summed axes in two orders": ("aij bji", "01", "ab", "aij"),
    "heads after attention": ("bhst bthv hvo", "01 01", "bso", "bthv bshv"),
    "vectors with matrices": ("bij bj", "01", "bi", ""),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_copied(name: str) -> None:
    operands, pairs, result, copied = CASES[name]
    numbers = {letter: k for k, letter in enumerate(result)}
    for letter in operands.replace(" ", ""):
        numbers.setdefault(letter, len(numbers))
    layouts = tuple(tuple(numbers[a] for a in one) for one in operands.split())
    path = tuple((int(pair[0]), int(pair[1])) for pair in pairs.split())
    wanted = tuple(numbers[a] for a in result)
    found = laid(layouts, path, frozenset(wanted), wanted, None)
    assert found.orders[-1] == wanted
    moved = [sorted(one) for one in itertools.chain.from_iterable(found.moved)]
    assert moved == [sorted(numbers[a] for a in one) for one in copied.split()]


@pytest.mark.parametrize("order", list(itertools.permutations("pqr")))
def test_a_core_is_not_turned_round(order: tuple[str, ...]) -> None:
    """Of orders that cost the same, one is taken in which the middle of the core is not summed over first."""
    core = ", ".join(order)
    found = planned(f"X[b, p], Y[b, q], Z[b, r], G[{core}]", "sum[p, q, r](X * Y * Z * G)")
    sizes = dict.fromkeys(found.program.symbols, 24)
    taken = next(v for v in found.plan.variants if all(_holds(guard, sizes) for guard in v.guards))
    (contraction,) = (node for node in taken.graph.live() if node.op == "contract")
    assert not any(step.moved for step in steps(contraction, contraction.attr("path")))  # type: ignore[arg-type]


def _holds(guard: Guard, sizes: dict[str, int]) -> bool:
    return guard.left.evaluate(sizes) <= guard.right.evaluate(sizes)


def test_what_is_the_same_is_computed_once() -> None:
    function = nl.compile("def f(X[b, i]; V[i, k]) -> [b] = sum[i, j, k](X * X[i -> j] * V * V[i -> j])")
    x, v = torch.randn(40, 64, dtype=torch.float64), torch.randn(64, 3, dtype=torch.float64)
    torch.testing.assert_close(function(x, v), (x @ v).square().sum(1))
    squares = [part for part in function.code.split("return") if "product * product" in part]
    assert len(squares) == 1 and squares[0].rpartition("variant ==")[2].count("matmul") <= 2
