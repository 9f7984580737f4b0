"""What loading does: from where, into what, and what it says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.modules.lazy import LazyModuleMixin

import namedlayers as nl
from tests.weights.modules import zeros

LINEAR = """
layer Linear(X[input = 3]) -> [output]:
    param W[output = 4, input] ~ zeros
    param b[output] ~ zeros
    state calls[] ~ 0
    return W @[input] X + b
"""

MAPPING = """
    # theirs            ours
    fc.weight        -> W[output, input]
    fc.bias          -> b
    batches          -> calls
    head.{*rest}     -> _   # not used here
"""


def theirs() -> dict[str, torch.Tensor]:
    return {
        "fc.weight": torch.arange(12.0).reshape(4, 3),
        "fc.bias": torch.arange(4.0),
        "batches": torch.tensor(7),
        "head.0.weight": torch.ones(2),
    }


def check(module: nn.Module) -> None:
    assert torch.equal(module.W, theirs()["fc.weight"])
    assert torch.equal(module.b, theirs()["fc.bias"])
    assert module.calls == 7 and module.calls.dtype is torch.int64


FILES: dict[str, Callable[[Path, dict[str, torch.Tensor]], None]] = {
    "weights.safetensors": lambda path, tensors: save_file(tensors, path),
    "weights.pt": lambda path, tensors: torch.save(tensors, path),
    "weights.pth": lambda path, tensors: torch.save(tensors, path),
    "weights.npz": lambda path, tensors: np.savez(path, **{key: one.numpy() for key, one in tensors.items()}),
}


@pytest.mark.parametrize("name", FILES)
def test_files(name: str, tmp_path: Path) -> None:
    FILES[name](tmp_path / name, theirs())
    module = zeros(LINEAR)
    report = nl.load_weights(module, tmp_path / name, MAPPING)
    check(module)
    assert report.complete and len(report.loaded) == 3


def test_a_dict_inside_a_checkpoint(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "model": theirs()}, tmp_path / "run.pt")
    module = zeros(LINEAR)
    nl.load_weights(module, f"{tmp_path / 'run.pt'}:model", MAPPING)
    check(module)
    with pytest.raises(nl.FormulaError, match="NL0614") as caught:
        nl.load_weights(module, tmp_path / "run.pt", MAPPING)
    assert "run.pt:model` means the tensors in it" in caught.value.hint
    with pytest.raises(nl.FormulaError, match="holds no dict of tensors called `modle`") as caught:
        nl.load_weights(module, f"{tmp_path / 'run.pt'}:modle", MAPPING)
    assert caught.value.hint == "did you mean `model`?"


def test_a_pickled_object_is_not_loaded(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(nl.FormulaError, match="NL0614"):
        nl.load_weights(zeros(LINEAR), tmp_path / "model.pt", MAPPING)


def test_a_mapping_is_a_dict_or_a_text() -> None:
    module = zeros(LINEAR)
    mapping = {"fc.weight": "W[output, input]", "fc.bias": ("b",), "batches": "calls[]", "head.{*rest}": None}
    nl.load_weights(module, theirs(), mapping)
    check(module)


def test_numpy_arrays_and_other_types_are_converted() -> None:
    module = zeros(LINEAR).double()
    found = {key: one.numpy() for key, one in theirs().items()} | {"fc.weight": theirs()["fc.weight"].half()}
    report = nl.load_weights(module, found, MAPPING)
    check(module)
    assert [one.dtypes for one in report.loaded] == [
        ("float16", "float64"),
        ("float32", "float64"),
        ("int64", "int64"),
    ]
    assert str(report) == (
        "3 tensors fill 3 parameters and states\n"
        "  converted: 1 from float16 to float64\n"
        "  converted: 1 from float32 to float64\n"
        "  left out: `head.0.weight`"
    )
    assert "    fc.weight -> W (float16 as float64)" in report.details().splitlines()


def test_what_is_missing_and_unused_is_reported() -> None:
    module = zeros(LINEAR)
    report = nl.load_weights(module, theirs(), "fc.weight -> W\nfc.scale -> b", strict=False)
    assert torch.equal(module.W, theirs()["fc.weight"]) and not module.b.any()
    assert report.missing == ("b", "calls")
    assert report.unused == ("fc.bias", "batches", "head.0.weight")
    assert report.unmatched == ("fc.scale",)
    assert not report.complete
    assert str(report) == (
        "1 tensor fills 1 parameter or state\n"
        "  nothing fills: `b`, `calls`\n"
        "  no line is for: `fc.bias`, `batches`, `head.0.weight`\n"
        "  no key is like: `fc.scale`"
    )


def test_what_is_left_out_need_not_be_there() -> None:
    found = {key: value for key, value in theirs().items() if not key.startswith("head")}
    assert nl.load_weights(zeros(LINEAR), found, MAPPING).complete


def test_parameters_keep_their_identity_and_their_gradients() -> None:
    module = zeros(LINEAR)
    before, module.W.grad = module.W, torch.ones(4, 3)
    nl.load_weights(module, theirs(), MAPPING)
    assert module.W is before and module.W.requires_grad and torch.equal(before.grad, torch.ones(4, 3))
    source = theirs()
    nl.load_weights(module, source, MAPPING)
    source["fc.weight"].zero_()
    check(module)  # a copy


def test_layers_beside_ordinary_modules() -> None:
    module = nn.Sequential(nn.Embedding(5, 3), zeros(LINEAR), nn.Linear(4, 2), zeros(LINEAR))
    other = nn.ModuleDict(
        {"embed": nn.Embedding(5, 3), "a": nn.Linear(3, 4), "out": nn.Linear(4, 2), "b": nn.Linear(3, 4)}
    )
    report = nl.load_weights(
        module,
        other.state_dict(),
        """
        embed.weight -> 0.weight
        a.weight -> 1.W[output, input]
        a.bias -> 1.b
        out.{name} -> 2.{name}
        b.weight -> 3.W[output, input]
        b.bias -> 3.b
        """,
        strict=False,
    )
    assert report.missing == ("1.calls", "3.calls")
    assert torch.equal(module[2].weight, other["out"].weight) and torch.equal(module[3].W, other["b"].weight)


def test_one_tensor_may_fill_several_parameters_whole() -> None:
    module = zeros(
        "layer L(X):\n    param E[vocab = 3, layer = 2] ~ zeros\n    param D[layer, vocab] ~ zeros\n    return X\n"
    )
    shared = torch.arange(6.0).reshape(3, 2)
    mapping = "tied -> E[vocab, layer]\ntied -> D[vocab, layer]"
    nl.load_weights(module, {"tied": shared}, mapping)
    assert torch.equal(module.E, shared) and torch.equal(module.D, shared.T)
    assert nl.foreign_weights(module, mapping).keys() == {"tied"}


def test_lines_with_two_placeholders_and_numbers_that_are_counted_otherwise() -> None:
    module = zeros(
        """
layer Linear[input -> output](X[input]) -> [output]:
    param W[output, input] ~ zeros
    return W @[input] X

layer Net(X[layer = 2]) -> [layer]:
    repeat 2 as block:
        up = Linear[layer -> hidden = 3]
        down = Linear[hidden -> layer]
        X = down(up(X))
    return X
"""
    )
    assert sorted(dict(module.named_parameters())) == [
        "block.0.down.W",
        "block.0.up.W",
        "block.1.down.W",
        "block.1.up.W",
    ]
    found = {
        f"layers_{k}/{name}/kernel": torch.randn(shape)
        for k in (1, 2)
        for name, shape in (("up", (2, 3)), ("down", (3, 2)))
    }
    mapping = "layers_{k}/{name}/kernel -> block.{k - 1}.{name}.W[input, output]"
    nl.load_weights(module, found, mapping)
    assert torch.equal(module.get_parameter("block.1.down.W"), found["layers_2/down/kernel"].T)
    back = nl.foreign_weights(module, mapping)
    assert back.keys() == found.keys() and all(torch.equal(back[key], found[key]) for key in found)


def test_packed_projections_of_torch() -> None:
    module = zeros(
        """
layer Attention(X[layer = 6]):
    param Wq[heads = 2, key = 3, layer] ~ zeros
    param Wk[heads, key, layer] ~ zeros
    param Wv[heads, val = 3, layer] ~ zeros
    param b[qkv = 3, heads, key] ~ zeros
    param Wo[layer, heads, val] ~ zeros
    return X
"""
    )
    other = nn.MultiheadAttention(6, 2)
    nn.init.normal_(other.in_proj_bias)
    mapping = {
        "in_proj_weight": ("Wq[heads key, layer]", "Wk[heads key, layer]", "Wv[heads val, layer]"),
        "in_proj_bias": "b[qkv heads key]",
        "out_proj.weight": "Wo[layer, heads val]",
        "out_proj.bias": None,
    }
    nl.load_weights(module, other.state_dict(), mapping)
    q, k, v = other.in_proj_weight.chunk(3)
    for ours, part in ((module.Wq, q), (module.Wk, k), (module.Wv, v)):
        assert torch.equal(ours.flatten(0, 1), part)
    assert torch.equal(module.b.flatten(), other.in_proj_bias)
    assert torch.equal(module.Wo.flatten(1), other.out_proj.weight)


LAZY = """
layer Linear[input -> output](X[input]) -> [output]:
    param W[output, input] ~ xavier_uniform(input, output)
    param b[output] ~ zeros
    return W @[input] X + b

layer Net(X[layer]) -> [layer]:
    param heads_of[(heads = 2, key), layer] ~ zeros
    up = Linear[layer -> hidden = 4 * |layer|]
    down = Linear[hidden -> layer]
    return down(up(X)) + sum[heads, key](heads_of)
"""

NAMES = """
    {name}.weight -> {name}.W[output, input]
    {name}.bias   -> {name}.b
    extra         -> heads_of[key, heads, layer]
"""


def lazy() -> nn.Module:
    """One that learns its sizes from the weights."""
    return nl.compile(LAZY)(key=3)


def wide(size: int = 5) -> dict[str, torch.Tensor]:
    model = nn.ModuleDict({"up": nn.Linear(size, 4 * size), "down": nn.Linear(4 * size, size)})
    return {**model.state_dict(), "extra": torch.randn(3, 2, size)}


def test_a_lazy_module_takes_its_sizes_from_the_weights() -> None:
    module, found = lazy(), wide()
    report = nl.load_weights(module, found, NAMES)
    assert set(report.sizes.values()) == {5}
    assert module.up.W.shape == (20, 5) and module.heads_of.shape == (6, 5)
    x = torch.randn(2, 5)
    wanted = nn.functional.linear(x, found["up.weight"], found["up.bias"])
    wanted = nn.functional.linear(wanted, found["down.weight"], found["down.bias"]) + found["extra"].sum((0, 1))
    torch.testing.assert_close(module(x), wanted)
    assert torch.equal(module.up.W, found["up.weight"])  # the first call leaves them
    assert not isinstance(module, LazyModuleMixin)


def test_what_is_not_filled_waits_for_the_first_call() -> None:
    module, found = lazy(), wide()
    report = nl.load_weights(module, {"up.weight": found["up.weight"]}, NAMES, strict=False)
    assert report.missing == ("heads_of", "up.b", "down.W", "down.b")
    module(torch.ones(5))
    assert module.down.W.shape == (5, 20) and module.down.W.any()
    assert torch.equal(module.up.W, found["up.weight"])


def test_weights_that_disagree_about_a_size_of_a_lazy_module() -> None:
    module, found = lazy(), wide()
    found["down.weight"] = torch.ones(5, 24)
    with pytest.raises(nl.SizeError, match="NL0558: `down.weight` has the size 24 in dimension 1") as caught:
        nl.load_weights(module, found, NAMES)
    assert caught.value.message.endswith("where `down.W` has `input`: 20")
    assert not any(hasattr(one, "grad") and not nn.parameter.is_lazy(one) for one in module.parameters())


def test_weights_that_do_not_say_a_size() -> None:
    module = nl.compile(
        """
        layer L(X[a], Y[b]):
            param W[(a, b)] ~ zeros
            return sum[a, b](W * X * Y)
        """
    )()
    with pytest.raises(nl.SizeError, match="NL0561: the size of `a` in `W` is not known"):
        nl.load_weights(module, {"w": torch.ones(6)}, "w -> W[a b]")
    module = nl.compile(
        """
        layer L(X[a]) -> [gate, a]:
            param W[gate = 3, a] ~ zeros
            return W * X
        """
    )()
    with pytest.raises(nl.SizeError, match=r"NL0561: nothing fills `W\[gate = 0\]`, and `W` has no values yet"):
        nl.load_weights(module, {"w": torch.ones(6)}, "w -> W[gate = 1, a]", strict=False)
    with pytest.raises(nl.SizeError, match="NL0561: `0.weight` is of an ordinary module"):
        nl.load_weights(nn.Sequential(nn.LazyLinear(3)), {"w": torch.ones(3, 2)}, "w -> 0.weight", strict=False)


def test_layers_in_layers_in_containers() -> None:
    """Symbols of two lazy modules in one container are two."""
    module = nn.ModuleList([lazy(), lazy()])
    found = {f"{k}.{key}": value for k, size in enumerate((4, 6)) for key, value in wide(size).items()}
    nl.load_weights(
        module,
        found,
        """
        {k}.{name}.weight -> {k}.{name}.W[output, input]
        {k}.{name}.bias   -> {k}.{name}.b
        {k}.extra         -> {k}.heads_of[key, heads, layer]
        """,
    )
    assert module[0](torch.ones(4)).shape == (4,) and module[1](torch.ones(6)).shape == (6,)
    assert torch.equal(module[1].up.W, found["1.up.weight"])


DEEP = """
layer Deep(X[layer]) -> [layer]:
    repeat 2 as block:
        one = Net[; key = 3]
        X = one(X)
    return X
"""


def test_a_part_of_a_layer_and_a_round_of_a_repeat() -> None:
    net = nl.compile(LAZY + DEEP)(layer=5)
    found = wide()
    nl.load_weights(net.block[1].one.up, {"w": found["up.weight"]}, "w -> W[output, input]", strict=False)
    nl.load_weights(net.block[0], {"w": found["up.weight"]}, "w -> one.up.W[output, input]", strict=False)
    assert torch.equal(net.block[1].one.up.W, found["up.weight"]) and torch.equal(
        net.block[0].one.up.W, found["up.weight"]
    )


@pytest.fixture
def group() -> Iterator[None]:
    """A group of one process."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_a_sharded_module_is_refused(group: None) -> None:
    module = zeros(LINEAR)
    fully_shard(module, mesh=init_device_mesh("cpu", (1,)))
    with pytest.raises(nl.FormulaError, match="NL0562: `W` is spread over several processes") as caught:
        nl.load_weights(module, theirs(), MAPPING)
    assert caught.value.hint == "load before `fully_shard` or the like"
