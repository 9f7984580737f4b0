"""What a user may rely on of layers, on one screen."""

import copy
import pickle

import pytest
import torch

import namedlayers as nl

TEXT = """
    from linear import Linear

    layer FeedForward[layer](X[layer]; width = 4 * |layer|, p = 0.1) -> [layer]:
        up = Linear[layer -> hidden = width]
        down = Linear[hidden -> layer]
        return dropout(down(relu(up(X))); p = p)

    layer Net[layer](X[layer]; depth = 2) -> [layer]:
        repeat depth as block:
            param scale[layer] ~ ones
            X = X + scale * FeedForward[layer](X)
        return X
"""
Net = nl.loads(TEXT).Net
x = torch.randn(5, 8)


def test_a_layer_makes_modules() -> None:
    net = Net(layer=8, depth=3)
    assert isinstance(net, torch.nn.Module) and net(x).shape == (5, 8)
    assert [name for name, _ in net.named_parameters() if name.startswith("block.2")] == [
        f"block.2.{name}" for name in ("scale", *(f"feed_forward.{w}" for w in ("up.W", "up.b", "down.W", "down.b")))
    ]
    assert net.block[0].feed_forward.up.W.shape == (32, 8)


def test_sizes_may_wait_for_the_data() -> None:
    net = Net()
    assert net(x).shape == (5, 8) and net.block[0].scale.shape == (8,)


def test_it_is_a_module_like_any_other() -> None:
    net = torch.nn.Sequential(Net(layer=8), torch.nn.Linear(8, 2)).eval()
    expected = net(x)
    assert torch.equal(copy.deepcopy(net)(x), expected) and torch.equal(pickle.loads(pickle.dumps(net))(x), expected)
    found = torch.func.functional_call(net, dict(net.state_dict()), x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.compile(net, fullgraph=True, backend="eager")(x), expected)
    assert net.double()(x.double()).dtype == torch.float64


def test_it_learns() -> None:
    torch.manual_seed(0)
    net, target = Net(layer=8, depth=1), x.roll(1, 1)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(net(x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_a_scan_is_a_recurrence() -> None:
    rnn = nl.compile("""
        layer RNN(X[time, input]; h0[hidden] = 0) -> [time, hidden]:
            param Wh[hidden', hidden] ~ orthogonal
            param Wi[hidden', input]  ~ xavier_uniform(input, hidden')
            scan time with h = h0:
                h = tanh(Wh @[hidden] h + Wi @[input] X)[hidden' -> hidden]
            return h
    """)(hidden=4)
    short, long = torch.randn(2, 3, 8), torch.randn(2, 50, 8)
    assert rnn(short).shape == (2, 3, 4) and rnn(long).shape == (2, 50, 4)
    state = torch.tanh(rnn.Wi @ short[0, 0])
    torch.testing.assert_close(rnn(short)[0, 0], state)


def test_foreign_weights_load_by_the_names_of_axes() -> None:
    theirs = torch.nn.Linear(8, 6)
    ours = nl.compile("layer Heads(X[layer]) -> [heads, key]:\n    param W[heads = 2, key, layer] ~ zeros\n"
                      "    return W @[layer] X")(layer=8, key=3)  # fmt: skip
    nl.load_weights(ours, {"weight": theirs.weight}, {"weight": "W[heads key, layer]"})
    torch.testing.assert_close(ours(x).flatten(1), x @ theirs.weight.T)


def test_an_error_points_at_the_text() -> None:
    with pytest.raises(nl.FormulaError) as error:
        Net(layer=8).load_state_dict(Net(layer=4).state_dict())
    assert "block.0.scale" in str(error.value) and "`layer`" in str(error.value)
    with pytest.raises(nl.SizeError, match="`output`"):
        nl.load("linear").Linear(input=3)
