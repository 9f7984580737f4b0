"""Whatever is given to a function, it answers with a result or with a FormulaError that has a code and can be shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import namedlayers as nl
from namedlayers.codes import CODES
from tests.call.formulas import FORMULAS

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.complex64)
AXES = ("query", "key", "seq", "val", "batch", "a", "b", "i", "x", "chans", "layer", "vocab", "n", "d", "h", "w")

shapes = st.lists(st.integers(0, 3), max_size=4).map(tuple)


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    return torch.ones(draw(shapes)).to(draw(st.sampled_from(DTYPES)))


@st.composite
def named(draw: st.DrawFn) -> nl.NamedTensor:
    tensor = draw(tensors())
    return nl.named(tensor, draw(st.permutations(AXES))[: tensor.ndim])


arrays = shapes.map(np.ones)
numbers = st.sampled_from((0, 1, 2, True, 2.5, float("inf"), 1j, -1, np.float32(2), np.int64(1), 2**70))
others = st.sampled_from((None, "relu", "same", {}, object(), (1, 2), (), [], b"x", np.array(["a"]), torch.bool, max))
plain = st.one_of(tensors(), tensors(), named(), named(), arrays, numbers)
lists = st.one_of(st.lists(tensors(), max_size=3), st.lists(st.one_of(plain, others), max_size=2))
values = st.one_of(plain, plain, plain, others, lists)
names = [port.name for name in FORMULAS for port in FORMULAS[name].inputs]
keywords = st.sampled_from((*names, "k", "n", "by", "p", "flag", "stride", "training", "g", "eps", "nothing"))


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(sorted(FORMULAS)),
    st.lists(values, max_size=4),
    st.dictionaries(keywords, values, max_size=2),
)
def test_a_result_or_a_formula_error(name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    function = FORMULAS[name]
    try:
        result = function(*args, **kwargs)
    except nl.FormulaError as error:
        assert error.code in CODES
        assert str(error).startswith(f"{error.code}: ")
        return
    results = result if isinstance(result, tuple) else (result,)
    assert len(results) == len(function.outputs)
    assert all(isinstance(one, (torch.Tensor, nl.NamedTensor)) for one in results)
