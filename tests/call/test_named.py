"""Named tensors: how they are made, and how a call with them matches, lifts and answers."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch.utils import _pytree as pytree

import namedlayers as nl
from tests.call.formulas import FORMULAS, softmax_attention

f = FORMULAS


def test_names_are_strings_in_any_spelling() -> None:
    x = torch.zeros(2, 3)
    for axes in ("batch seq", "batch, seq", " batch,seq ", ["batch", "seq"], ("batch", "seq")):
        assert nl.named(x, axes).axes == ("batch", "seq")
    assert nl.named(x, "seq seq′").axes == ("seq", "seq'")
    assert nl.named(torch.zeros(()), "").axes == ()
    assert nl.named(x, "batch seq").sizes == {"batch": 2, "seq": 3}
    assert repr(nl.named(x, "batch seq")) == "NamedTensor[batch=2, seq=3](float32)"


def test_numpy_arrays_may_be_named() -> None:
    assert nl.named(np.ones((2, 3)), "a b").tensor.dtype is torch.float64


def test_align() -> None:
    x = torch.randn(2, 3, 4)
    named = nl.named(x, "a b c")
    torch.testing.assert_close(named.align("c a b"), x.permute(2, 0, 1))
    assert named.align("a b c").data_ptr() == x.data_ptr()


def test_matched_by_name_and_not_by_place() -> None:
    q, k, v = torch.randn(2, 4), torch.randn(3, 4), torch.randn(3, 5)
    result = f.attention(nl.named(q.mT, "key query"), nl.named(k.mT, "key seq"), nl.named(v, "seq val"))
    assert result.axes == ("query", "val")
    torch.testing.assert_close(result.tensor, softmax_attention(q, k, v))


def test_lifted_over_all_other_axes() -> None:
    """The batch of Q and K, the heads of Q and V: each result coordinate is one call of the formula."""
    q, k, v = torch.randn(2, 6, 3, 4), torch.randn(6, 5, 4), torch.randn(2, 5, 7)
    result = f.attention(
        nl.named(q, "heads batch query key"), nl.named(k, "batch seq key"), nl.named(v, "heads seq val")
    )
    assert set(result.axes) == {"heads", "batch", "query", "val"}
    for head in range(2):
        for item in range(6):
            one = softmax_attention(q[head, item], k[item], v[head])
            torch.testing.assert_close(result.align("heads batch query val")[head, item], one)


def test_parameters_lift_too() -> None:
    images, kernels = torch.randn(4, 3, 9), torch.randn(2, 5, 3, 2)
    result = f.conv(nl.named(images, "batch chans seq"), nl.named(kernels, "model chans' chans kernel"))
    for model in range(2):
        expected = torch.nn.functional.conv1d(images, kernels[model])
        torch.testing.assert_close(result.align("model batch chans' seq")[model], expected)


def test_sizes_of_one_name_must_agree() -> None:
    with pytest.raises(nl.SizeError, match="batch"):
        f.two(nl.named(torch.ones(2, 3), "batch a"), nl.named(torch.ones(4, 3), "batch a"))


def test_scalars_go_with_named_tensors() -> None:
    x = nl.named(torch.ones(2, 3), "batch seq")
    for two in (2.0, 2, torch.tensor(2.0), np.float32(2), nl.named(torch.tensor(2.0), "")):
        result = f.scale(x, two)
        assert result.axes == ("batch", "seq")
        torch.testing.assert_close(result.tensor, torch.full((2, 3), 2.0))
    weights = nl.named(torch.tensor([1.0, 2.0]), "batch")
    torch.testing.assert_close(f.scale(x, weights).align("batch seq"), torch.tensor([[1.0] * 3, [2.0] * 3]))


def test_several_results_are_all_named() -> None:
    x = nl.named(torch.ones(4, 3), "batch a")
    total, product = f.two(x, x)
    assert (total.axes, product.axes) == (("batch", "a"), ("batch",))


def test_lists_of_named_tensors_are_aligned_and_stacked() -> None:
    items = [nl.named(torch.ones(2, 3), "batch x"), nl.named(2 * torch.ones(3, 2), "x batch")]
    result = f.fuse(items, nl.named(torch.tensor([1.0, 10.0]), "i"))
    torch.testing.assert_close(result.align("batch x"), torch.full((2, 3), 21.0))


def test_an_axis_of_another_input_is_an_error() -> None:
    with pytest.raises(nl.AxisError, match="query"):
        f.attention(
            nl.named(torch.ones(2, 4), "query key"),
            nl.named(torch.ones(3, 4, 2), "seq key query"),
            nl.named(torch.ones(3, 5), "seq val"),
        )


def test_mixed_precision() -> None:
    result = f.two(nl.named(torch.ones(3), "a"), nl.named(torch.ones(3, dtype=torch.float64), "a"))
    assert [one.tensor.dtype for one in result] == [torch.float64] * 2


def test_pickled_and_seen_by_pytrees() -> None:
    x = nl.named(torch.arange(6.0).view(2, 3), "batch seq")
    again = pickle.loads(pickle.dumps(x))
    assert again.axes == x.axes
    torch.testing.assert_close(again.tensor, x.tensor)
    doubled = pytree.tree_map(lambda tensor: 2 * tensor, {"x": [x]})["x"][0]
    torch.testing.assert_close(doubled.align("seq batch"), 2 * x.tensor.mT)
    spec = pytree.tree_structure(x)
    assert pytree.treespec_loads(pytree.treespec_dumps(spec)) == spec
