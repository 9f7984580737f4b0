"""Layers as modules: what they own, how it begins, what they compute, and how they show themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import init

import namedlayers as nl
from tests.call.layers import LAYERS, SHAPES, TEXT, TWINS, made, translated


def twin(name: str) -> torch.nn.Module:
    return TWINS[name]()


# --- beside torch's ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TWINS)
def test_begins_and_computes_as_torch_does(name: str) -> None:
    """Initial values, results, gradients, states after several calls, and evaluation, number for number."""
    torch.manual_seed(0)
    module, x = made(name)
    torch.manual_seed(0)
    other = twin(name)
    if name != "Classifier":  # there the text has its norm before what it is applied to
        torch.testing.assert_close(dict(module.state_dict()), translated(name, other.state_dict()), rtol=0, atol=0)
    module.load_state_dict(translated(name, other.state_dict()))
    for step in range(3):
        torch.manual_seed(step)
        found = module(x)
        torch.manual_seed(step)
        expected = other(x)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    if module.state_dict():
        found.square().sum().backward()
        expected.square().sum().backward()
        gradients = translated(name, {key: one.grad for key, one in other.named_parameters()})
        torch.testing.assert_close(
            {k: one.grad for k, one in module.named_parameters()}, gradients, rtol=1e-4, atol=1e-5
        )
    torch.testing.assert_close(dict(module.state_dict()), translated(name, other.state_dict()))
    torch.testing.assert_close(module.eval()(x), other.eval()(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(SHAPES.keys() - {"Noise"}))
@pytest.mark.parametrize("training", [True, False])
def test_computes_what_the_reference_says(name: str, training: bool) -> None:
    module, x = made(name)
    module.train(training)
    expected = module.reference(x)
    torch.testing.assert_close(module(x).double(), expected, rtol=1e-5, atol=1e-6)


def test_a_result_is_the_old_value_of_a_state_that_is_written() -> None:
    module = LAYERS.Shift()
    for before, new in (([1, 2, 3], [2, 3, 4]), ([0, 0, 0], [1, 1, 1]), ([2, 3, 4], [3, 4, 5]), ([1, 1, 1], [2, 2, 2])):
        found = module()
        torch.testing.assert_close(found, (torch.tensor(before).float(), torch.tensor(new).float()))
    torch.testing.assert_close(module.old, torch.tensor([3.0, 4.0, 5.0]))


def test_a_state_that_the_gradient_needs_is_written() -> None:
    module = nl.compile(
        "layer Book(X[i]) -> [i]:\n"
        "    state code[i] ~ ones\n"
        "    Y = code * X ^ 2\n"
        "    code = 0.5 * code + 0.5 * X\n"
        "    return Y"
    )(i=3)
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (found,) = torch.autograd.grad(module(x).sum(), x)
    torch.testing.assert_close(found, 2 * x.detach())
    torch.testing.assert_close(module.code, 0.5 + 0.5 * x.detach())
    assert not module.code.requires_grad


def test_states_of_modules_that_share_programs_are_their_own() -> None:
    one, x = made("BatchNorm")
    other, _ = made("BatchNorm")
    one(x)
    assert (one.seen, other.seen) == (1, 0)
    assert one._whole is other._whole


def test_evaluation_writes_nothing() -> None:
    module, x = made("BatchNorm")
    before = {key: value.clone() for key, value in module.state_dict().items()}
    module.eval()(x)
    torch.testing.assert_close(dict(module.state_dict()), before, rtol=0, atol=0)


# --- initial values ---------------------------------------------------------------------------------------------------

# Initialisers on `W[a, b]` of 6 x 4 beside what fills a tensor in the same way.
INITIALISERS: dict[str, Callable[[torch.Tensor], Any]] = {
    "zeros": init.zeros_,
    "ones": init.ones_,
    "constant(2.5)": lambda t: init.constant_(t, 2.5),
    "uniform": init.uniform_,
    "uniform(-1, |a|)": lambda t: init.uniform_(t, -1, 6),
    "normal(0; std = 0.02)": lambda t: init.normal_(t, 0, 0.02),
    "trunc_normal(std = 0.5)": lambda t: init.trunc_normal_(t, std=0.5),
    "trunc_normal": init.trunc_normal_,
    "xavier_uniform(b, a)": init.xavier_uniform_,
    "xavier_uniform(b, a; gain = 3)": lambda t: init.xavier_uniform_(t, 3),
    "xavier_normal(b, a)": init.xavier_normal_,
    "kaiming_uniform(b)": init.kaiming_uniform_,
    "kaiming_uniform(a)": lambda t: init.kaiming_uniform_(t, mode="fan_out"),
    "kaiming_uniform(b; a = sqrt(5))": lambda t: init.kaiming_uniform_(t, 5**0.5),
    'kaiming_normal(b; nonlinearity = "relu")': lambda t: init.kaiming_normal_(t, nonlinearity="relu"),
    "orthogonal": init.orthogonal_,
    "orthogonal(gain = 2)": lambda t: init.orthogonal_(t, 2),
    "eye": init.eye_,
    "sparse(0.5)": lambda t: init.sparse_(t, 0.5),
    "log(a + 1)": lambda t: t.copy_(torch.arange(1, 7).double().log()[:, None].expand(6, 4)),
    "b / |b| - a": lambda t: t.copy_(torch.arange(4) / 4 - torch.arange(6)[:, None]),
    "-0.5": lambda t: t.fill_(-0.5),
}


@pytest.mark.parametrize("initialiser", INITIALISERS)
@pytest.mark.parametrize("lazy", [False, True])
def test_begins_as(initialiser: str, lazy: bool) -> None:
    make = nl.compile(f"layer F(X[a, b]) -> [a, b]:\n    param W[a, b] ~ {initialiser}\n    return W * X")
    module = make() if lazy else make(a=6, b=4)
    torch.manual_seed(1)
    module(torch.ones(6, 4)) if lazy else module.reset_parameters()
    torch.manual_seed(1)
    expected = torch.empty(6, 4)
    INITIALISERS[initialiser](expected)
    torch.testing.assert_close(module.W.detach(), expected, rtol=1e-6, atol=1e-7)


def test_begins_by_dirac() -> None:
    make = nl.compile("layer F(X[i]) -> [o, k]:\n    param W[o, i, k] ~ dirac(groups = 2)\n    return W @[i] X")
    torch.testing.assert_close(make(o=4, i=2, k=3).W.detach(), init.dirac_(torch.empty(4, 2, 3), 2))


def test_merged_axes_are_stored_as_one_and_their_fans_multiply() -> None:
    torch.manual_seed(0)
    module = LAYERS.Heads(layer=6, heads=3)
    torch.manual_seed(0)
    torch.testing.assert_close(module.W.detach(), init.xavier_uniform_(torch.empty(6, 6)))
    x = torch.randn(6)
    torch.testing.assert_close(module(x), module.W @ x)


def test_resetting_begins_anew() -> None:
    module, _ = made("Classifier")
    torch.manual_seed(3)
    module.reset_parameters()
    first = {key: value.clone() for key, value in module.state_dict().items()}
    torch.manual_seed(3)
    module.reset_parameters()
    torch.testing.assert_close(dict(module.state_dict()), first, rtol=0, atol=0)
    module.linear.reset_parameters()
    assert not torch.equal(module.linear.W, first["linear.W"])
    assert torch.equal(module.linear_2.W, first["linear_2.W"])


# --- sizes and options ------------------------------------------------------------------------------------------------

KEYS = {
    "Linear": "W b",
    "BatchNorm": "gamma beta running_mean running_var seen",
    "FeedForward": "block.0.up.W block.0.up.b block.0.down.W block.0.down.b "
    "block.1.up.W block.1.up.b block.1.down.W block.1.down.b",
    "LayerNorm": "gamma beta",
    "Noise": "",
}


@pytest.mark.parametrize("name", KEYS)
def test_names_and_order_are_those_of_the_text(name: str) -> None:
    module, _ = made(name)
    assert list(module.state_dict()) == KEYS[name].split()
    assert [one.path for one in module.declared] == KEYS[name].split()


# Ways of making a module, a shape of data, and the shapes of what it has after a call.
WAYS: dict[str, tuple[Callable[[], nl.Layer], tuple[int, ...], dict[str, tuple[int, ...]]]] = {
    "all sizes": (lambda: LAYERS.Linear(input=3, output=4), (2, 3), {"W": (4, 3), "b": (4,)}),
    "the data's size at the first call": (lambda: LAYERS.Linear(output=4), (2, 3), {"W": (4, 3), "b": (4,)}),
    "an option": (lambda: LAYERS.Linear(input=3, output=4, bias=False), (3,), {"W": (4, 3)}),
    "an option of compiling": (lambda: nl.compile(TEXT, "Linear", bias=False)(output=4), (3,), {"W": (4, 3)}),
    "more rounds": (lambda: LAYERS.FeedForward(n=3), (2, 5), {"block.2.down.W": (5, 20)}),
    "an option that is a size": (lambda: LAYERS.FeedForward(width=7), (2, 5), {"block.1.down.W": (5, 7)}),
    "an axis of the body": (lambda: LAYERS.Classifier(hidden=6, classes=2), (5, 3), {"linear_2.W": (2, 6)}),
    "a star of one axis": (lambda: LAYERS.LayerNorm(ax=3), (2, 3), {"gamma": (3,)}),
    "a star of two axes": (lambda: LAYERS.LayerNorm(ax=(4, 3)), (2, 4, 3), {"gamma": (4, 3)}),
    "a star of no axis": (lambda: LAYERS.LayerNorm(ax=()), (2,), {"gamma": ()}),
    "a star at the first call": (lambda: LAYERS.LayerNorm(), (2, 3), {"beta": (3,)}),
    "numpy's integers": (lambda: LAYERS.Linear(input=torch.tensor(3).numpy()[()], output=4), (3,), {"W": (4, 3)}),
    "size 0": (lambda: LAYERS.Linear(input=3, output=0), (2, 3), {"W": (0, 3)}),
    "merged": (lambda: LAYERS.Heads(heads=4), (2, 8), {"W": (8, 8)}),
}


@pytest.mark.parametrize("way", WAYS)
def test_sizes_come_from(way: str) -> None:
    make, shape, expected = WAYS[way]
    module = make()
    module(torch.randn(shape))
    found = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    assert {key: found[key] for key in expected} == expected
    assert not [part for part in module.modules() if isinstance(part, torch.nn.modules.lazy.LazyModuleMixin)]


MADE_OF_SIZES = {
    "an if": "layer F(X[i]) -> [i]:\n    if |i| > 3:\n        param W[i] ~ ones\n        X = W + X\n    return X",
    "a repeat": "layer F(X[i]) -> [i]:\n    repeat |i| // 4:\n        param W[i] ~ ones\n        X = W + X\n"
    "    return X",
    "int": "layer F(X[i]) -> [i]:\n    param W[h = int(0.3 * |i|), i] ~ ones\n    return X + sum[h](W)",
}


@pytest.mark.parametrize("what", MADE_OF_SIZES)
def test_what_is_made_of_sizes_is_made_when_they_are_given(what: str) -> None:
    kind = nl.compile(MADE_OF_SIZES[what])
    for size, more in (3, 0), (4, 1):
        assert kind(i=size)(torch.zeros(size)).tolist() == [more] * size
    outer = nl.loads(f"{MADE_OF_SIZES[what]}\n\nlayer G(X[j]) -> [j]:\n    f = F[]\n    return f(X[j -> i])[i -> j]").G
    assert outer(j=4)(torch.zeros(4)).tolist() == [1] * 4
    for one in kind, outer:
        with pytest.raises(nl.SizeError, match=r"(?s)NL0528.*hint: `.\(.=…\)`"):
            one()


def test_options_at_a_call_change_what_is_computed_only() -> None:
    module, x = made("BatchNorm")
    torch.testing.assert_close(
        module(x, eps=1.0), torch.nn.functional.batch_norm(x, None, None, training=True, eps=1.0)
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.complex64])
def test_tensors_have_the_dtype_and_device_that_are_given(dtype: torch.dtype) -> None:
    module = LAYERS.Classifier(input=3, hidden=6, classes=2, dtype=dtype, device="meta")
    assert {one.dtype for one in module.parameters()} == {dtype} and module.linear.W.is_meta
    assert module.batch_norm.seen.dtype is torch.int64
    lazy = LAYERS.Linear(output=4, dtype=dtype)
    lazy(torch.ones(2, 3, dtype=dtype))
    assert lazy.W.dtype is dtype


def test_an_axis_may_be_called_dtype() -> None:
    module = nl.compile("layer F(X[dtype]) -> [dtype]:\n    param w[dtype] ~ ones\n    return w * X")(dtype=3)
    assert module.w.shape == (3,)


def test_what_is_called_as_a_view_is_found_before_the_view() -> None:
    module = nl.compile(
        "layer Linear[a -> b](X[a]) -> [b]:\n    param code[b, a] ~ ones\n    return code @[a] X\n\n"
        "layer F(X[i]) -> [i]:\n    graph = Linear[i -> i']\n    return graph(X)[i' -> i]"
    )
    found = module(**{"i": 2, "i'": 2})
    assert found.graph.code.shape == (2, 2) and list(found.state_dict()) == ["graph.code"]
    assert found(torch.ones(2)).tolist() == [2.0, 2.0]
    assert "Linear" in repr(found) and "graph_code" in found.code


# --- parts ------------------------------------------------------------------------------------------------------------


def test_a_part_is_a_layer_by_itself() -> None:
    module, x = made("Classifier")
    hidden = module.linear(x)
    torch.testing.assert_close(hidden, x @ module.linear.W.T + module.linear.b)
    module.eval()
    torch.testing.assert_close(module.linear_2(torch.relu(module.batch_norm(hidden))), module(x))
    assert module.linear.program.name == "Linear" and module.linear.name == "Linear"


def test_a_part_keeps_its_options_and_stars() -> None:
    text = TEXT + (
        "\nlayer Net(X[h, w]) -> [h, w]:\n"
        "    norm = LayerNorm[h, w]\n"
        "    return norm(Linear[w -> w' = |w|; bias = False](X)[w' -> w])\n"
    )
    module = nl.compile(text)(h=2, w=3)
    x = torch.randn(5, 2, 3)
    assert list(module.state_dict()) == ["norm.gamma", "norm.beta", "linear.W"]
    torch.testing.assert_close(module.norm(module.linear(x)), module(x))
    torch.testing.assert_close(module.norm(x), torch.nn.functional.layer_norm(x, (2, 3)))


def test_a_part_has_the_sizes_that_data_decided_and_no_others() -> None:
    text = TEXT + (
        "\nlayer Outer(X[batch, layer]; width = 2 * |layer|) -> [batch, layer]:\n"
        "    inner = FeedForward[layer; width = width, n = 1]\n"
        "    return inner(BatchNorm(X[layer -> chans])[chans -> layer])\n"
    )
    module = nl.compile(text)()
    x = torch.randn(5, 3)
    module(x)
    assert module.inner.block[0].up.W.shape == (6, 3)
    for batch in (5, 7):
        module.eval()
        x = torch.randn(batch, 3)
        torch.testing.assert_close(module.inner(module.batch_norm(x)), module(x))


def test_tied_replaced_and_moved_parameters_are_used() -> None:
    module, x = made("FeedForward")
    module.block[1] = module.block[0]
    first = module.block[0]
    expected = x
    for _ in range(2):
        expected = expected + first.down(torch.relu(first.up(expected)))
    torch.testing.assert_close(module(x), expected)
    first.up.W = torch.nn.Parameter(torch.zeros(12, 3))
    first.up.b = torch.nn.Parameter(torch.zeros(12))
    first.down.b.data = torch.ones(3)
    torch.testing.assert_close(module(x), x + 2)


# --- what it shows ----------------------------------------------------------------------------------------------------

SHOWN = {
    "Linear(X[input=3] -> [output=4])": lambda: LAYERS.Linear(input=3, output=4),
    "Linear(X[input=3] -> [output=4]; bias=False)": lambda: LAYERS.Linear(input=3, output=4, bias=False),
    "Linear(X[input] -> [output=4])": lambda: LAYERS.Linear(output=4),
    "LayerNorm(X[ax_1=2, ax_2=3])": lambda: LAYERS.LayerNorm(ax=(2, 3)),
    "Noise(X[i] -> [i]; p=0.1)": lambda: LAYERS.Noise(p=0.1),
    "Linear(X[input=3] -> [output=12])": lambda: made("FeedForward")[0].block[0].up,
    "<namedlayers layer Noise(X[i]; p = 0.5) -> [i]>": lambda: LAYERS.Noise,
}


@pytest.mark.parametrize("text", SHOWN)
def test_shows_itself(text: str) -> None:
    assert repr(SHOWN[text]()) == text


def test_a_tree_shows_its_parts() -> None:
    module = LAYERS.FeedForward(n=2)
    assert repr(module).startswith(
        "FeedForward(\n  X[layer] -> [layer]; n=2\n  (block): ModuleList(\n    (0-1): 2 x Round("
    )
    module(torch.randn(2, 3))
    assert repr(module).startswith("FeedForward(\n  X[layer=3] -> [layer]; n=2\n")


def test_views() -> None:
    module, x = nl.compile(TEXT, "Linear")(input=3, output=4), torch.randn(5, 3)
    assert module.name == type(module).__name__ == "Linear" and module.source == TEXT
    assert module.inputs == (("X", ("input",)),) and module.outputs == (("Y", ("output",)),)
    assert [str(one) for one in module.declared] == ["W[output, input]", "b[output]"]
    assert LAYERS.Linear.parameters == ("W[output, input]", "b[output]")
    assert "W @[input] X" in str(module.program) and "F.linear" in module.code
    assert "linear" in module.explain()
    assert "W @[input] X" in str(module.program)
    torch.testing.assert_close(module(x), module.graph(x, module.W, module.b))
    assert module.specialize(x).code == module.code != module.specialize(x[0]).code
    assert str(inspect.signature(module.forward)) == "(X, *, bias=True)"
    assert re.match(r"layer Linear\[input -> output\]\(X\[input\]", module.signature)
    assert {"program", "graph", "code", "W"} <= set(dir(module))


def test_views_are_of_the_mode() -> None:
    module, _ = made("BatchNorm")
    assert len(module.program.writes) == 3
    assert module.eval().program.writes == ()


def test_named_tensors_go_in_and_out() -> None:
    module, x = made("BatchNorm")
    found = module(nl.named(x.T, "chans batch"))
    assert found.axes == ("batch", "chans") and module.seen == 1
    with pytest.raises(nl.AxisError, match="NL0323"):
        module(nl.named(torch.zeros(2, 3, 4), "time chans batch"))


def test_programs_are_made_once_for_all_modules_that_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    from namedlayers.call.specialise import Specialisations

    compiled: list[str] = []
    compile_ = Specialisations._compile

    def counted(self: Specialisations, program: Any) -> Any:
        compiled.append(program.name)
        return compile_(self, program)

    monkeypatch.setattr(Specialisations, "_compile", counted)
    make = nl.compile(TEXT, "Linear")
    for _ in range(3):
        module = make(input=3, output=4)
        for mode in (True, False):  # it computes the same in both
            module.train(mode)(torch.randn(2, 3))
    assert compiled == ["Linear"]


def test_only_what_modules_have_is_taken() -> None:
    words = ("place", "path", "whole", "steps", "symbols", "tensors")
    text = "".join(f"    param {word}[i] ~ ones\n    X = X * {word}\n" for word in words)
    module = nl.compile(f"layer F(X[i]) -> [i]:\n{text}    return X\n")(i=2)
    assert tuple(module.state_dict()) == words
    assert module(torch.ones(2)).tolist() == [1.0, 1.0]
