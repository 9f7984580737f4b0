"""Layers: what is declared, how instances are called and share, what a state becomes. Modules against plain torch."""

from __future__ import annotations

import torch

import namedlayers as nl

LINEAR = """
layer Linear[input -> output](X[input]; bias = True) -> [output]:
    param W[output, input] ~ kaiming_uniform(input; a = sqrt(5))
    Y = W @[input] X
    if bias:
        param b[output] ~ uniform(-1 / sqrt(|input|), 1 / sqrt(|input|))
        Y = Y + b
    return Y
"""


def shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """What a module owns, in order."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def owned(text: str, sizes: dict[str, int] | None = None, **options: object) -> dict[str, tuple[int, ...]]:
    return shapes(nl.compile(LINEAR + text)(**(sizes or {}), **options))


# --- what there is, and what it is called -----------------------------------------------------------------------------


def test_names_and_order_are_those_of_the_text() -> None:
    net = """
layer Net[a](X[a]; width = 5) -> [a]:
    param scale[a] ~ ones
    down = Linear[hidden -> a; bias = False]
    up = Linear[a -> hidden = width]
    return scale * down(relu(up(X)))
"""
    assert list(owned(net, {"a": 3}).items()) == [
        ("scale", (3,)), ("down.W", (3, 5)), ("up.W", (5, 3)), ("up.b", (5,)),
    ]  # fmt: skip


def test_a_layer_written_in_place_is_called_after_its_type() -> None:
    net = """
layer Net[a](X[a]) -> [c]:
    return Linear[b -> c = 2](relu(Linear[a -> b = 4](X)))
"""
    assert owned(net, {"a": 3}) == {"linear.W": (2, 4), "linear.b": (2,), "linear_2.W": (4, 3), "linear_2.b": (4,)}


def test_an_instance_that_is_used_twice_is_shared() -> None:
    net = """
layer Net[a](X[a], Y[a]) -> [b]:
    f = Linear[a -> b = 2]
    return f(X) * f(Y)
"""
    module = nl.compile(LINEAR + net)(a=3)
    assert shapes(module) == {"f.W": (2, 3), "f.b": (2,)}
    x, y = torch.randn(4, 3), torch.randn(4, 3)
    assert torch.allclose(module(x, y), (x @ module.f.W.T + module.f.b) * (y @ module.f.W.T + module.f.b))


def test_the_axes_of_an_instance_are_its_own_at_each_use() -> None:
    net = """
layer Bottleneck[a](X[a]) -> [a]:
    state last[b] ~ zeros
    Y = relu(Linear[a -> b = 2](X))
    if training:
        last = Y
    return Linear[b -> a](Y)

layer Net[a](X[a]) -> [a]:
    f = Bottleneck[a]
    scan step = 2 with x = X:
        x = tanh(x + X)
    return f(f(x[step = -1]))
"""
    module = nl.compile(LINEAR + net)(a=3)
    assert len(shapes(module)) == 5
    x = torch.randn(3)
    f = module.f
    once = lambda y: f.linear_2.W @ torch.relu(f.linear.W @ y + f.linear.b) + f.linear_2.b  # noqa: E731
    start = torch.tanh(torch.tanh(x + x) + x)
    assert torch.allclose(module(x), once(once(start)), atol=1e-6)
    assert torch.allclose(f.last, torch.relu(f.linear.W @ once(start) + f.linear.b), atol=1e-6)


def test_a_cell_inside_a_scan() -> None:
    net = """
layer Cell[input, hidden](x[input], h[hidden]) -> [hidden]:
    new = Linear[input -> hidden'](x) + Linear[hidden -> hidden'; bias = False](h)
    return tanh(new)[hidden' -> hidden]

layer Net(X[time, input]) -> [time, hidden]:
    cell = Cell[input, hidden = 4]
    scan time with h = zeros[hidden]:
        h = cell(X, h)
    return h
"""
    module = nl.compile(LINEAR + net)(input=3)
    assert list(shapes(module)) == ["cell.linear.W", "cell.linear.b", "cell.linear_2.W"]
    x, h, found = torch.randn(2, 5, 3), torch.zeros(2, 4), []
    cell = module.cell
    for t in range(5):
        h = torch.tanh(x[:, t] @ cell.linear.W.T + cell.linear.b + h @ cell.linear_2.W.T)
        found.append(h)
    assert torch.allclose(module(x), torch.stack(found, 1), atol=1e-6)


def test_rounds_of_a_repeat_are_numbered() -> None:
    net = """
layer Net[a](X[a]; depth = 2) -> [a]:
    repeat depth as block:
        param g[a] ~ ones
        X = X + g * Linear[a -> b = |a|](X)[b -> a]
    return X
"""
    found = owned(net, {"a": 3}, depth=3)
    assert list(found) == [f"block.{k}.{name}" for k in range(3) for name in ("g", "linear.W", "linear.b")]
    module = nl.compile(LINEAR + net)(a=3)
    x = y = torch.randn(5, 3)
    for block in module.block:
        y = y + block.g * (y @ block.linear.W.T + block.linear.b)
    assert torch.allclose(module(x), y, atol=1e-6)


def test_rounds_that_differ_are_written_out() -> None:
    net = """
layer Net[a](X[a]; depth = 3) -> [a]:
    repeat depth as k:
        param g[a] ~ k + 1
        X = X + k * g
    return X
"""
    module = nl.compile(net)(a=2)
    assert torch.equal(module(torch.zeros(2)).detach(), torch.tensor([8.0, 8.0]))  # 0 * 1 + 1 * 2 + 2 * 3


def test_repeats_inside_repeats() -> None:
    net = """
layer Net[a](X[a]) -> [a]:
    repeat 2 as stage:
        repeat 3 as block:
            X = tanh(Linear[a -> b = |a|](X)[b -> a])
    return X
"""
    module = nl.compile(LINEAR + net)(a=2)
    assert len(shapes(module)) == 12
    x = y = torch.randn(3, 2)
    for stage in module.stage:
        for block in stage.block:
            y = torch.tanh(y @ block.linear.W.T + block.linear.b)
    assert torch.allclose(module(x), y, atol=1e-6)


def test_two_blocks_of_one_name() -> None:
    net = """
layer Net[a](X[a]) -> [a]:
    repeat 2 as block:
        param g[a] ~ ones
        X = g * X
    repeat 2 as block:
        param g[a] ~ ones
        X = g + X
    return X
"""
    assert list(owned(net, {"a": 1})) == ["block.0.g", "block.1.g", "block_2.0.g", "block_2.1.g"]


def test_a_parameter_may_be_stored_merged() -> None:
    net = """
layer Heads(X[layer]) -> [heads, key]:
    |key| = |layer| // |heads|
    param W[(heads = 2, key), layer] ~ xavier_uniform(layer, (heads, key))
    return W @[layer] X
"""
    module = nl.compile(net)(layer=6)
    assert shapes(module) == {"W": (6, 6)}
    x = torch.randn(4, 6)
    assert torch.allclose(module(x), (x @ module.W.T).unflatten(1, (2, 3)), atol=1e-6)
    assert nl.compile(net)(layer=6, heads=3)(x).shape == (4, 3, 2)  # the size in the text is a default


def test_an_instance_overrides_the_size_of_its_parameter() -> None:
    net = """
layer Heads[layer](X[layer]) -> [heads]:
    param W[heads = 2, layer] ~ ones
    return W @[layer] X

layer Net[layer](X[layer]) -> []:
    return sum[heads](Heads[layer; heads = 5](X))
"""
    assert owned(net, {"layer": 3}) == {"heads.W": (5, 3)}


def test_a_star_stands_for_several_axes() -> None:
    norm = """
layer Norm[*ax](X[*ax]; eps = 1e-5) -> [*ax]:
    param g[*ax] ~ ones
    param b[*ax] ~ zeros
    return standardize[*ax](X; eps = eps) * g + b
"""
    module = nl.compile(norm)(ax=(2, 3))
    x = torch.randn(4, 2, 3)
    assert torch.allclose(module(x), torch.nn.functional.layer_norm(x, (2, 3)), atol=1e-5)


def test_a_layer_may_be_an_option() -> None:
    net = """
layer Residual[a](X[a]; inner = Linear) -> [a]:
    f = inner[a -> b = |a|]
    return X + f(X)[b -> a]
"""
    assert owned(net, {"a": 2}) == {"f.W": (2, 2), "f.b": (2,)}


def test_a_def_applies_an_instance_that_it_is_given() -> None:
    net = """
def twice(X; f) = f(f(X))

layer Scale[a](X[a]) -> [a]:
    param g[a] ~ 3.0
    return g * X

layer Net[a](X[a]) -> [a]:
    scale = Scale[a]
    return twice(X; f = scale)
"""
    module = nl.compile(net)(a=2)
    assert shapes(module) == {"scale.g": (2,)}
    assert torch.equal(module(torch.ones(2)).detach(), torch.full((2,), 9.0))


def test_several_results() -> None:
    net = LINEAR + "\nlayer Two[a](X[a]) -> [b], [c]:\n    return Linear[a -> b = 2](X), Linear[a -> c = 3](X)\n"
    one, two = nl.compile(net)(a=4)(torch.randn(5, 4))
    assert one.shape == (5, 2) and two.shape == (5, 3)


# --- how parameters begin ---------------------------------------------------------------------------------------------


def test_initial_values() -> None:
    net = """
layer Begin[a, b](X[a, b]; start = 0.5) -> [a, b]:
    param zero[a] ~ zeros
    param same[a, b] ~ start
    param ramp[a] ~ log(a + 1)
    param grid[a, b] ~ a * |b| + b
    param noisy[a, b] ~ 0.0 * normal[a, b] + 2
    state count[] ~ 0
    state mask[a, b] ~ a <= b
    return X * zero * same * ramp * grid * noisy
"""
    module = nl.compile(net)(a=3, b=2)
    assert torch.equal(module.zero.data, torch.zeros(3))
    assert torch.equal(module.same.data, torch.full((3, 2), 0.5))
    assert torch.allclose(module.ramp.data, torch.log(torch.arange(3) + 1.0))
    assert torch.equal(module.grid.data, torch.arange(6.0).reshape(3, 2))
    assert torch.equal(module.noisy.data, torch.full((3, 2), 2.0))
    assert module.count.dtype is torch.int64 and module.mask.dtype is torch.bool
    assert torch.equal(module.mask, torch.tensor([[True, True], [False, True], [False, False]]))


def test_initialisers_draw_what_torch_draws() -> None:
    torch.manual_seed(3)
    ours = nl.compile(LINEAR)(input=4, output=3)
    torch.manual_seed(3)
    theirs = torch.nn.Linear(4, 3)
    assert torch.equal(ours.W, theirs.weight) and torch.equal(ours.b, theirs.bias)


# --- states -----------------------------------------------------------------------------------------------------------

COUNTER = """
layer Counter(X[i]) -> [i]:
    state calls[] ~ 0
    state total[i] ~ zeros
    if training:
        calls = calls + 1
        total = total + X
    return X + total
"""


def test_a_state_is_written_after_the_call_and_seen_by_later_lines() -> None:
    module = nl.compile(COUNTER)(i=2)
    x = torch.ones(2, requires_grad=True)
    assert torch.equal(module(x).detach(), torch.tensor([2.0, 2.0]))
    assert torch.equal(module(x).detach(), torch.tensor([3.0, 3.0]))
    assert module.calls == 2 and torch.equal(module.total, torch.tensor([2.0, 2.0]))
    assert not module.total.requires_grad
    module.eval()
    module(x)
    assert module.calls == 2


def test_an_instance_that_is_applied_twice_has_one_state() -> None:
    net = COUNTER + "\nlayer Net(X[i]) -> [i]:\n    count = Counter\n    return count(count(X))\n"
    module = nl.compile(net)(i=1)
    module(torch.ones(1))
    assert module.count.calls == 2
    assert torch.equal(module.count.total, torch.tensor([3.0]))  # 1, and then 1 + 1


def test_each_round_has_its_own_state() -> None:
    net = COUNTER + "\nlayer Net(X[i]) -> [i]:\n    repeat 3 as block:\n        X = Counter(X)\n    return X\n"
    module = nl.compile(net)(i=1)
    module(torch.ones(1))
    assert [float(block.counter.total) for block in module.block] == [1.0, 2.0, 4.0]


# --- recurrence -------------------------------------------------------------------------------------------------------


def test_a_recurrent_layer_is_torchs() -> None:
    net = """
layer RNN(X[time, input]; h0[hidden] = 0) -> [time, hidden]:
    param Wi[hidden', input] ~ xavier_uniform(input, hidden')
    param Wh[hidden', hidden] ~ orthogonal
    param b[hidden'] ~ zeros
    scan time with h = h0:
        h = tanh(Wh @[hidden] h + Wi @[input] X + b)[hidden' -> hidden]
    return h
"""
    ours, theirs = nl.compile(net)(input=3, hidden=4), torch.nn.RNN(3, 4, batch_first=True)
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(ours.Wi)
        theirs.weight_hh_l0.copy_(ours.Wh)
        theirs.bias_ih_l0.copy_(ours.b)
        theirs.bias_hh_l0.zero_()
    x = torch.randn(2, 5, 3)
    assert torch.allclose(ours(x), theirs(x)[0], atol=1e-6)
    start = torch.randn(4)
    assert torch.allclose(ours(x[0], h0=start), theirs(x[:1], start[None, None])[0][0], atol=1e-6)


def test_parameters_declared_inside_a_scan_are_the_same_at_each_step() -> None:
    net = """
layer Decay(X[time, i]) -> [time, i]:
    scan time with h = zeros[i]:
        param a[i] ~ 0.5
        h = a * h + Linear[i -> j = |i|](X)[j -> i]
    return h
"""
    module = nl.compile(LINEAR + net)(i=2)
    assert shapes(module) == {"a": (2,), "linear.W": (2, 2), "linear.b": (2,)}
    x, h, found = torch.randn(4, 2), torch.zeros(2), []
    for row in x:
        h = module.a * h + row @ module.linear.W.T + module.linear.b
        found.append(h)
    assert torch.allclose(module(x), torch.stack(found), atol=1e-6)


def test_a_parameter_along_the_scanned_axis_is_seen_at_the_step() -> None:
    net = """
layer Timed[time](X[time]) -> [time]:
    scan time with h = 0.0:
        param w[time] ~ time + 1
        h = h + w * X
    return h
"""
    module = nl.compile(net)(time=3)
    assert torch.equal(module(torch.ones(3)).detach(), torch.tensor([1.0, 3.0, 6.0]))
