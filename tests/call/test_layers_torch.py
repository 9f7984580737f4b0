"""Modules in the workflows of torch: copies, checkpoints, modes, hooks, transformations, compilers, wrappers."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn.utils import parametrizations, parametrize

import namedlayers as nl
from tests.call.layers import LAYERS, TEXT, TWINS, made, translated

OWNING = ("Linear", "BatchNorm", "FeedForward", "Classifier", "LayerNorm")

# --- copies -----------------------------------------------------------------------------------------------------------


def saved(module: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def loaded(module: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    found = made(type(module).__name__)[0].to(next(module.parameters()).dtype)
    found.load_state_dict(torch.load(file, weights_only=True))
    return found


COPIES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
    "torch.save": saved,
    "state_dict": loaded,
}


@pytest.mark.parametrize("name", OWNING)
@pytest.mark.parametrize("way", COPIES)
def test_copies(way: str, name: str) -> None:
    module, x = made(name, dtype=torch.float64)
    module(x.double())
    found = COPIES[way](module)
    torch.testing.assert_close(dict(found.state_dict()), dict(module.state_dict()), rtol=0, atol=0)
    assert type(found).__name__ == name and repr(found) == repr(module)
    torch.testing.assert_close(found.eval()(x.double()), module.eval()(x.double()), rtol=0, atol=0)
    if way != "copy":
        with torch.no_grad():
            next(found.parameters()).add_(1)
        assert not torch.equal(next(found.parameters()), next(module.parameters()))


def test_a_pickle_needs_only_its_text(tmp_path: Path) -> None:
    Path(tmp_path / "own.nl").write_text(TEXT)
    module = nl.load(tmp_path / "own.nl").Classifier(input=3, hidden=6, classes=2).eval()
    x = torch.randn(5, 3)
    torch.save({"module": module, "x": x, "y": module(x)}, tmp_path / "module.pt")
    (tmp_path / "own.nl").unlink()
    code = (
        "import torch; d = torch.load('module.pt', weights_only=False);"
        "torch.testing.assert_close(d['module'](d['x']), d['y'], rtol=0, atol=0);"
        "print(d['module'].linear(d['x']).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "torch.Size([5, 6])", done.stderr


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_copies_of_modules_that_wait_for_sizes(way: str) -> None:
    module = LAYERS.Classifier(hidden=6, classes=2)
    found = COPIES[way](module)
    x = torch.randn(5, 3)
    assert found(x).shape == (5, 2) and found.linear.W.shape == (6, 3)
    assert isinstance(module.linear.W, nn.UninitializedParameter)


def test_copies_of_a_derived_class() -> None:
    module, x = made("Linear")

    class Twofold(type(module)):  # type: ignore[misc]
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return 2 * super().forward(*args, **kwargs)

    expected = 2 * module(x)
    module.__class__ = Twofold
    torch.testing.assert_close(module(x), expected)
    found = copy.deepcopy(module)
    assert type(found) is Twofold
    torch.testing.assert_close(found(x), expected)


def test_loading_into_a_module_that_waits_for_sizes() -> None:
    module, x = made("Classifier")
    lazy = LAYERS.Classifier(hidden=6, classes=2)
    lazy.load_state_dict(module.state_dict())
    torch.testing.assert_close(lazy.eval()(x), module.eval()(x), rtol=0, atol=0)


def test_loading_what_is_there() -> None:
    module, _ = made("Linear")
    found = module.load_state_dict({"W": torch.ones(4, 3), "w": torch.ones(1)}, strict=False)
    assert found == (["b"], ["w"]) and module.W.sum() == 12
    module.load_state_dict({"W": torch.zeros(4, 3), "b": torch.zeros(4)}, assign=True)
    assert isinstance(module.W, nn.Parameter) and module.W.sum() == 0


def test_what_does_not_fit_is_told_by_a_whole_of_torch_too() -> None:
    whole = nn.Sequential(made("FeedForward")[0], nn.Linear(3, 3))
    state = whole.state_dict()
    state["0.block.0.up.W"] = torch.zeros(12, 5)
    with pytest.raises(RuntimeError, match="0.block.0.up.W: `layer` has size 3, in the checkpoint 5"):
        whole.load_state_dict(state)


def test_an_error_of_loading_is_a_runtime_error() -> None:
    with pytest.raises(RuntimeError) as caught:
        made("Linear")[0].load_state_dict({})
    assert isinstance(caught.value, nl.FormulaError) and caught.value.code == "NL0534"
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), RuntimeError)


# --- among modules of torch -------------------------------------------------------------------------------------------


def test_in_a_sequence_that_learns() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), LAYERS.LayerNorm(ax=8), nn.ReLU(), LAYERS.Linear(output=1))
    x = torch.randn(64, 3)
    model(x)
    optimizer = torch.optim.AdamW(model.parameters(), 0.05)
    target = x.square().sum(-1, keepdim=True)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = (model(x) - target).square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_moves_and_modes() -> None:
    module, x = made("Classifier")
    assert module.double()(x.double()).dtype is torch.float64
    assert module.bfloat16()(x.bfloat16()).dtype is torch.bfloat16
    module.float().share_memory()
    assert module.linear.W.is_shared()
    assert not module.eval().batch_norm.training and module.train().batch_norm.training
    module.requires_grad_(False)
    assert not module(x).requires_grad
    module.to("meta")
    assert module(x.to("meta")).is_meta
    module.to_empty(device="cpu").reset_parameters()
    assert module(x).isfinite().all()


def frozen(module: nn.Module) -> None:
    module.batch_norm.eval()


def thawed(module: nn.Module) -> None:
    module.eval()
    module.batch_norm.train()


@pytest.mark.parametrize("change", [frozen, thawed])
def test_parts_have_modes_of_their_own(change: Callable[[nn.Module], None]) -> None:
    module, x = made("Classifier")
    other = TWINS["Classifier"]()
    module.load_state_dict(translated("Classifier", other.state_dict()))
    for one in (module, other):
        one(x)
        change(one)
    torch.testing.assert_close(module(x), other(x))
    torch.testing.assert_close(compiled(module)(x), other(x))
    torch.testing.assert_close(copy.deepcopy(module)(x), copy.deepcopy(other)(x))
    torch.testing.assert_close(dict(module.state_dict()), translated("Classifier", other.state_dict()))
    for one in (module, other):
        one.train()
    torch.testing.assert_close(module(x), other(x))


def test_rounds_have_modes_of_their_own() -> None:
    module = nl.compile(
        "layer Drop[i](X[i]; p = 0.5) -> [i]:\n"
        "    return dropout(X; p = p)\n\n"
        "layer Deep(X[i]) -> [i]:\n"
        "    repeat 3 as block:\n"
        "        param w[i] ~ ones\n"
        "        inner = Drop[i]\n"
        "        X = dropout(inner(w * X); p = 0.9)\n"
        "    return X"
    )(i=100)
    x = torch.ones(100)

    def values() -> set[float]:
        return set(module(x).detach().round().tolist())

    for block in module.block:
        block.eval()
    assert values() == {1.0}
    module.block[1].inner.train()
    assert values() == {0.0, 2.0}
    module.eval()
    assert values() == {1.0}
    module.block[2].training = True
    assert values() == {0.0, 10.0}


def test_under_autocast() -> None:
    module, x = made("Linear")
    with torch.autocast("cpu", torch.bfloat16):
        assert module(x).dtype is torch.bfloat16


def test_first_calls_from_several_threads() -> None:
    make = nl.compile(TEXT, "FeedForward")
    modules = [make(layer=3) for _ in range(4)]
    inputs = [torch.randn(shape) for shape in ((3,), (5, 3), (2, 5, 3))]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda k: modules[k % 4](inputs[k % 3]), range(48)))
    for k, one in enumerate(found):
        torch.testing.assert_close(one, modules[k % 4](inputs[k % 3]))


def test_averaged_and_counted() -> None:
    from torch.optim.swa_utils import AveragedModel
    from torch.utils.flop_counter import FlopCounterMode

    module, x = made("Classifier")
    averaged = AveragedModel(module)
    averaged.update_parameters(module)
    torch.testing.assert_close(averaged.eval()(x), module.eval()(x))
    with FlopCounterMode(display=False) as counter:
        module(x)
    assert counter.get_total_flops() == 2 * 5 * (3 * 6 + 6 * 2)


def test_hooks_of_the_whole_run() -> None:
    module, x = made("FeedForward")
    seen: list[str] = []
    module.register_forward_pre_hook(lambda *_: seen.append("before"))
    handle = module.register_forward_hook(lambda *_: seen.append("after"))
    module.register_full_backward_hook(lambda *_: seen.append("backward"))
    module(x.requires_grad_()).sum().backward()
    handle.remove()
    module(x)
    assert seen == ["before", "after", "backward", "before"]


def test_hooks_of_state_dicts_run() -> None:
    module, _ = made("Linear")
    module.register_state_dict_post_hook(lambda _, state, prefix, __: state.update({f"{prefix}more": 1}))
    module.register_load_state_dict_pre_hook(lambda _, state, *__: state.pop("more"))
    module.load_state_dict(module.state_dict())
    assert module.state_dict()["more"] == 1


# --- parametrizations -------------------------------------------------------------------------------------------------


class Doubled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


@pytest.mark.parametrize("deep", [False, True])
def test_parametrized(deep: bool) -> None:
    module, x = made("Classifier" if deep else "Linear")
    module.eval()
    part = module.linear if deep else module
    plain = copy.deepcopy(module)
    with torch.no_grad():
        (plain.linear if deep else plain).W.mul_(2)
    parametrize.register_parametrization(part, "W", Doubled())
    torch.testing.assert_close(module(x), plain(x))
    torch.testing.assert_close(copy.deepcopy(module)(x), plain(x))
    module(x).sum().backward()
    assert part.parametrizations.W.original.grad is not None
    parametrize.remove_parametrizations(part, "W")
    torch.testing.assert_close(module(x), plain(x))


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm", "orthogonal"])
def test_parametrizations_of_torch(name: str) -> None:
    torch.manual_seed(0)
    module, x = made("Linear")
    other = nn.Linear(3, 4)
    module.load_state_dict({"W": other.weight.detach(), "b": other.bias.detach()})
    torch.manual_seed(1)
    getattr(parametrizations, name)(module, "W")
    torch.manual_seed(1)
    getattr(parametrizations, name)(other, "weight")
    torch.testing.assert_close(module(x), other(x))


def test_pruned() -> None:
    from torch.nn.utils import prune

    module, x = made("Linear")
    prune.l1_unstructured(module, "W", amount=0.5)
    assert (module.W == 0).sum() == 6
    torch.testing.assert_close(module(x), x @ module.W.T + module.b)


# --- torch.func -------------------------------------------------------------------------------------------------------


def loss_of(module: nn.Module, x: torch.Tensor) -> Callable[[dict[str, torch.Tensor]], torch.Tensor]:
    buffers = {key: value.clone() for key, value in module.named_buffers()}
    return lambda parameters: functional_call(module, (parameters, buffers), (x,)).square().sum()


@pytest.mark.parametrize("name", OWNING)
def test_functional_gradients(name: str) -> None:
    module, x = made(name)
    parameters = {key: one.detach() for key, one in module.named_parameters()}
    found = grad(loss_of(module.eval(), x))(parameters)
    module(x).square().sum().backward()
    torch.testing.assert_close(found, {key: one.grad for key, one in module.named_parameters()}, rtol=1e-4, atol=1e-5)
    directions = {key: torch.randn_like(one) for key, one in parameters.items()}
    _, tangent = jvp(loss_of(module, x), (parameters,), (directions,))
    expected = sum((found[key] * directions[key]).sum() for key in found)
    torch.testing.assert_close(tangent, expected, rtol=1e-3, atol=1e-4)


def test_gradients_of_single_examples_and_ensembles() -> None:
    module, x = made("FeedForward")
    parameters = {key: one.detach() for key, one in module.named_parameters()}
    each = vmap(grad(lambda p, one: functional_call(module, p, (one,)).square().sum()), in_dims=(None, 0))(
        parameters, x
    )
    whole = grad(loss_of(module, x))(parameters)
    torch.testing.assert_close({key: one.sum(0) for key, one in each.items()}, whole, rtol=1e-4, atol=1e-5)
    models = [made("FeedForward")[0] for _ in range(3)]
    stacked, _ = torch.func.stack_module_state(models)  # type: ignore[arg-type]
    found = vmap(lambda p: functional_call(module, p, (x,)))(stacked)
    torch.testing.assert_close(found, torch.stack([model(x) for model in models]))


@pytest.mark.parametrize(
    ("path", "given", "told"),
    [
        ("linear.W", torch.zeros(9, 3), r"axis `hidden` of `linear\.W` must have size 6, but has size 9"),
        ("linear.W", torch.zeros(9), r"`linear\.W` has 1 axis"),
        ("linear.W", torch.zeros(6, 3, dtype=torch.float64), r"the parameter `linear\.W` is float64"),
        ("linear.b", torch.zeros(6, device="meta"), r"`linear\.b` on meta"),
    ],
)
def test_what_does_not_fit_is_called_by_its_path(path: str, given: torch.Tensor, told: str) -> None:
    module = LAYERS.Classifier(hidden=6, classes=2)
    module(torch.randn(5, 3))
    with pytest.raises(nl.FormulaError, match=told):
        functional_call(module, {path: given}, (torch.randn(5, 3),))


def test_functional_calls_write_the_states_that_are_given() -> None:
    module, x = made("BatchNorm")
    buffers = {key: value.clone() for key, value in module.named_buffers()}
    functional_call(module, buffers, (x,))
    assert buffers["seen"] == 1 and module.seen == 0
    torch.testing.assert_close(buffers["running_mean"], 0.1 * x.mean(0))


# --- compilers --------------------------------------------------------------------------------------------------------


def compiled(module: nn.Module) -> Callable[..., Any]:
    torch._dynamo.reset()
    return torch.compile(module, fullgraph=True, backend="eager")


@pytest.mark.parametrize("name", OWNING)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("warm", [True, False])
def test_compiles_without_a_break(name: str, training: bool, warm: bool) -> None:
    module, x = made(name)
    module.train(training)
    other = copy.deepcopy(module)
    if warm:
        module(x), other(x)
    found, expected = compiled(module)(x), other(x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(dict(module.state_dict()), dict(other.state_dict()))
    found.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close([p.grad for p in module.parameters()], [p.grad for p in other.parameters()])


def test_compiles_for_any_size_once() -> None:
    module, _ = made("FeedForward")
    torch._dynamo.reset()
    graphs: list[Any] = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph

    call = torch.compile(module, fullgraph=True, dynamic=True, backend=backend)
    for batch in (2, 5, 7):
        x = torch.randn(batch, 3)
        torch.testing.assert_close(call(x), module(x))
    assert len(graphs) == 1


@pytest.mark.parametrize("inside", [False, True])
def test_compiles_before_sizes_are_known(inside: bool) -> None:
    module = LAYERS.FeedForward()
    x = torch.randn(5, 3)
    found = compiled(nn.Sequential(nn.Tanh(), module) if inside else module)(x)
    torch.testing.assert_close(found, module(x.tanh() if inside else x))


def test_compiles_parametrized() -> None:
    module, x = made("FeedForward")
    parametrize.register_parametrization(module.block[0].up, "W", Doubled())
    torch.testing.assert_close(compiled(module)(x), module(x))


BATCH = torch.export.Dim("batch", min=2)


@pytest.mark.parametrize("name", OWNING)
def test_exported(name: str) -> None:
    module, x = made(name)
    exported = torch.export.export(module.eval(), (x,), dynamic_shapes={"X": {0: BATCH}})
    other = torch.randn(3, 3)
    torch.testing.assert_close(exported.module()(other), module(other))
    assert set(exported.state_dict) == set(module.state_dict())
    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    torch.testing.assert_close(torch.export.load(file).module()(other), module(other))


def test_exported_with_states_that_are_written() -> None:
    module, x = made("BatchNorm")
    exported = torch.export.export(module, (x,)).run_decompositions()
    assert set(exported.graph_signature.buffers_to_mutate.values()) == {"running_mean", "running_var", "seen"}
    found = exported.module()
    torch.testing.assert_close(found(x), module(x))
    torch.testing.assert_close(found.running_var, module.running_var)


@pytest.mark.parametrize("name", ["FeedForward", "Classifier"])
def test_exported_to_onnx(name: str) -> None:
    import onnxruntime

    module, x = made(name)
    shapes = {"X": {0: BATCH}}
    program = torch.onnx.export(module.eval(), (x,), dynamo=True, dynamic_shapes=shapes, verbose=False)
    assert program is not None
    names = {value.name for value in program.model.graph.initializers.values()}
    assert list(module.state_dict())[-2] in names  # the last matrix; what lies before may be folded into others
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    other = torch.randn(4, 3)
    (found,) = session.run(None, {session.get_inputs()[0].name: other.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), module(other).detach(), rtol=1e-4, atol=1e-5)


# --- checkpointing ----------------------------------------------------------------------------------------------------


def kept(module: nn.Module, x: torch.Tensor) -> tuple[int, list[torch.Tensor]]:
    """How many numbers a call keeps for its gradients, and these."""
    count = 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = module(x)
    return count, list(torch.autograd.grad(result.square().sum(), list(module.parameters())))


@pytest.mark.parametrize("way", ["plain", "compiled", "pickled"])
def test_checkpointed(way: str) -> None:
    module = LAYERS.FeedForward(layer=8, n=4)
    x = torch.randn(64, 8)
    many, expected = kept(module, x)
    module.checkpoint("block")
    if way == "pickled":
        module = pickle.loads(pickle.dumps(module))
    if way == "compiled":
        result = compiled(module)(x)
        found = list(torch.autograd.grad(result.square().sum(), list(module.parameters())))
    else:
        few, found = kept(module, x)
        assert 3 * few < many
    torch.testing.assert_close(found, expected)
    assert kept(module.checkpoint(), x)[0] == many


def test_checkpointed_blocks_draw_the_same_again() -> None:
    module = nl.compile(
        "layer Deep(X[i]; n = 3) -> [i]:\n"
        "    repeat n as block:\n"
        "        param w[i] ~ ones\n"
        "        X = dropout(w * X; p = 0.5)\n"
        "    return X"
    )(i=100)
    x = torch.ones(100)
    found = []
    for blocks in ((), ("block",)):
        module.checkpoint(*blocks)
        torch.manual_seed(0)
        found.append((module(x), *torch.autograd.grad(module(x).sum(), list(module.parameters()))))
    torch.testing.assert_close(*found)
