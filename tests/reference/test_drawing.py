"""Random numbers of the reference: what torch draws under the same seed, in the order of the term's axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from namedlayers.errors import FormulaError
from namedlayers.program.program import Program
from namedlayers.program.size import symbol
from namedlayers.reference import evaluate
from tests.programs import Builder

i, j = symbol("i"), symbol("j")
RNG = np.random.default_rng(0)
A = RNG.normal(size=(5, 4))


def drawn(op: str, operands: tuple[Any, ...], axes: str, dtype: Any = np.float32, given: Any = A, **attrs: Any) -> Any:
    """A draw for an input A[i, j], under seed 1."""
    torch.manual_seed(1)
    return evaluate(program(op, operands, axes, **attrs), {"A": given}, dtype)[0]


def program(op: str, operands: tuple[Any, ...], axes: str, **attrs: Any) -> Program:
    b = Builder()
    b.input("A", "i j")
    listed = tuple(b.ref(one) if isinstance(one, str) else one for one in operands)
    if op != "dropout":
        attrs["axes"] = tuple((axis, symbol(axis)) for axis in axes.split())
    b.let("Y", b.primitive(op, listed, axes, site=0, **attrs))
    return b.program("Y")


def torchs(draw: Any) -> np.ndarray:
    torch.manual_seed(1)
    return np.asarray(draw().numpy())


def test_uniform_and_normal() -> None:
    assert np.array_equal(drawn("random", (), "i j", distribution="uniform"), torchs(lambda: torch.rand(5, 4)))
    assert np.array_equal(drawn("random", (), "j i", distribution="normal"), torchs(lambda: torch.randn(4, 5)))
    assert drawn("random", (), "i", np.float64, distribution="normal").dtype == np.float64
    assert drawn("random", (), "i j", given=np.zeros((0, 4)), distribution="uniform").shape == (0, 4)


def test_bernoulli() -> None:
    p = 1 / (1 + np.exp(-A))
    expected = torchs(lambda: torch.bernoulli(torch.tensor(p.T, dtype=torch.float32).contiguous()))
    found = drawn("random", ("A",), "j i", given=p, distribution="bernoulli")
    assert found.dtype == bool
    assert np.array_equal(found, expected != 0)
    everywhere = drawn("random", (1,), "i j", distribution="bernoulli")
    assert everywhere.all() and everywhere.shape == (5, 4)


def test_dropout() -> None:
    expected = torchs(lambda: torch.nn.functional.dropout(torch.tensor(A, dtype=torch.float32), 0.3))
    np.testing.assert_allclose(drawn("dropout", ("A", 0.3), "i j"), expected, rtol=1e-6)
    assert np.array_equal(drawn("dropout", ("A", 0), "i j"), A.astype(np.float32))
    assert np.array_equal(drawn("dropout", ("A", 1.0), "i j"), np.zeros_like(A))


def test_what_is_dropped_is_0_even_if_it_was_infinite() -> None:
    found = drawn("dropout", ("A", 0.5), "i j", given=np.full((50, 4), np.inf))
    assert set(np.unique(found)) == {0.0, np.inf}


def test_categorical() -> None:
    expected = torchs(
        lambda: torch.multinomial(torch.softmax(torch.tensor(A.T, dtype=torch.float32), -1), 1, replacement=True)[:, 0]
    )
    found = drawn("categorical", ("A",), "j", axis="i")
    assert found.dtype == np.int64
    assert np.array_equal(found, expected)


def test_categorical_has_its_weights() -> None:
    """Over an axis that the weights lack, each coordinate is drawn apart."""
    logits = np.log(np.array([0.5, 0.25, 0.25, 1e-300]))
    b = Builder()
    b.input("A", "j")
    b.input("N", "n")
    axes = (("n", symbol("n")),)
    b.let("Y", b.primitive("categorical", (b.ref("A"),), "n", axes=axes, axis="j", site=0))
    torch.manual_seed(0)
    (found,) = evaluate(b.program("Y"), {"A": logits, "N": np.zeros(20000)})
    np.testing.assert_allclose(np.bincount(found, minlength=4) / 20000, [0.5, 0.25, 0.25, 0], atol=0.015)


def test_nothing_to_draw() -> None:
    assert drawn("categorical", ("A",), "i", given=np.zeros((0, 4)), axis="j").shape == (0,)
    assert drawn("categorical", ("A",), "i", given=np.zeros((0, 0)), axis="j").shape == (0,)


@pytest.mark.parametrize(
    ("op", "operands", "axes", "attrs"),
    [
        ("dropout", ("A", 1.5), "i j", {}),
        ("dropout", ("A", float("nan")), "i j", {}),
        ("random", (-0.1,), "i j", {"distribution": "bernoulli"}),
        ("categorical", ("A",), "i", {"axis": "j"}),
    ],
)
def test_what_is_no_probability(op: str, operands: tuple[Any, ...], axes: str, attrs: dict[str, Any]) -> None:
    with pytest.raises(FormulaError, match="NL0588"):
        drawn(op, operands, axes, given=np.full((3, 2), -np.inf), **attrs)


def test_each_step_of_a_scan_draws_anew() -> None:
    inside = Builder()
    inside.input("h", "i")
    inside.let("n", inside.primitive("random", (), "i", axes=(("i", i),), distribution="normal", site=0))
    b = Builder()
    b.input("h", "i")
    b.input("X", "time")
    b.scan("s", inside.body("n"), b.ref("h"))
    b.part("p", "s", 0, "time i")
    torch.manual_seed(3)
    (found,) = evaluate(b.program("p"), {"h": np.zeros(2), "X": np.zeros(4)}, np.float32)
    torch.manual_seed(3)
    assert np.array_equal(found, np.stack([torch.randn(2).numpy() for _ in range(4)]))
