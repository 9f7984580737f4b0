"""What a user may rely on, on one screen."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

import namedlayers as nl

TEXT = """
    def attention(Q[query, key], K[seq, key], V[seq, val]; M[query, seq] = 0) -> [query, val]:
        scores = Q @[key] K / sqrt(|key|) + M
        return softmax[seq](scores) @[seq] V
"""
attention = nl.compile(TEXT)
q, k, v = torch.randn(2, 8, 5, 16), torch.randn(2, 8, 7, 16), torch.randn(2, 8, 7, 16)
expected = scaled_dot_product_attention(q, k, v)


def test_call_it_with_torch_tensors() -> None:
    torch.testing.assert_close(attention(q[0, 0], k[0, 0], v[0, 0]), expected[0, 0])


def test_leading_dimensions_lift() -> None:
    torch.testing.assert_close(attention(q, k, v), expected)


def test_by_name() -> None:
    mask = torch.zeros(5, 7).masked_fill(torch.rand(5, 7) < 0.3, -torch.inf)
    found = attention(K=k, Q=q, V=v, M=mask)
    torch.testing.assert_close(found, scaled_dot_product_attention(q, k, v, mask).nan_to_num(0.0))


def test_named_tensors_match_by_name() -> None:
    names = ("batch heads query key", "heads seq batch key", "batch heads seq val")
    found = attention(*map(nl.named, (q, k.permute(1, 2, 0, 3), v), names))
    torch.testing.assert_close(found.align("batch heads query val"), expected)


def test_options() -> None:
    pool = nl.compile("def pool1d(X[seq]; k = 2) -> [seq] = max[part](pool[seq, part = k](X))")
    x = torch.tensor([1.0, 5, 2, 3, 0, 4])
    assert pool(x).tolist() == [5, 3, 4] and pool(x, k=3).tolist() == [5, 4]


def test_definitions_of_a_text_and_of_several_results() -> None:
    stats = nl.loads("def both(X[i]) -> [], []:\n    return mean[i](X), var[i](X)\n\ndef double(X) = 2 * X")
    mean, var = stats.both(torch.tensor([1.0, 3.0]))
    assert (mean, var, stats.double(torch.tensor(4.0))) == (2, 1, 8)


def test_an_error_points_at_the_text() -> None:
    with pytest.raises(nl.AxisError) as error:
        nl.compile("def f(X[channel]) = sum[chanel](X)")
    message = str(error.value)
    assert error.value.code in message and "^^^^^^" in message and "`channel`" in message
    with pytest.raises(nl.SizeError, match="`seq`.*7.*6"):
        attention(q, k, v[:, :, :6])


def test_look_at_every_stage() -> None:
    assert attention.signature == TEXT.strip().splitlines()[0].rstrip(":")
    assert "softmax" in str(attention.program) or "logsumexp" in str(attention.program)
    assert isinstance(attention.graph, torch.fx.GraphModule)
    assert "scaled_dot_product_attention" in attention.code
    assert attention.explain()


def test_gradients_and_the_rest_of_torch() -> None:
    one = [t[0, 0].double().requires_grad_() for t in (q, k, v)]
    assert torch.autograd.gradcheck(attention, one)
    each = torch.func.vmap(attention)(q[0], k[0], v[0])
    torch.testing.assert_close(each, expected[0])
    found = torch.compile(attention, fullgraph=True, backend="eager")(q, k, v)
    torch.testing.assert_close(found, expected)


def test_it_is_what_the_definition_says() -> None:
    found = attention.reference(q, k, v)
    assert found.dtype == torch.float64
    torch.testing.assert_close(attention(q.double(), k.double(), v.double()), found)
