"""Scans: as loops against the definition, as one operator where torch traces them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from namedlayers.emit.build import Compiled
from tests.emit.harness import WAYS, agree, compiled, run, tensors

SCANS: dict[str, tuple[str, dict[str, str]]] = {
    "one carry": (
        "def f(X[b, t, i]; W[h, h'], V[i, h'], h0[h] = 0) -> [b, t, h]:\n"
        "    scan t with h = h0:\n"
        "        h = sin(W @[h] h + V @[i] X)[h' -> h]\n"
        "    return h",
        {"X": "b t i", "W": "h h", "V": "i h"},
    ),
    "backwards": (
        "def f(X[t, b, h]; W[h, h']) -> [t, b, h], [b, h]:\n"
        "    scan t reversed with h = cos(X[t = -1]):\n"
        "        h = sin((W @[h] h)[h' -> h] + X)\n"
        "    return h, h[t = 0]",
        {"X": "t b h", "W": "h h"},
    ),
    "two carries": (
        "def f(X[t, h]; A[h]) -> [t, h], [h]:\n"
        "    scan t with c = A, h = 2 * A:\n"
        "        c = sigmoid(X + h) * c + sin(h)\n"
        "        h = sin(c) * h\n"
        "        y = max[h](h) + min[h](c)\n"
        "    return h + y, c[t = -1]",
        {"X": "t h", "A": "h"},
    ),
    "the last step": (
        "def f(X[h, t]; W[k, h]) -> [k]:\n"
        "    scan t with h = 0:\n"
        "        h = sin(h + X)\n"
        "        y = W @[h] h\n"
        "    return tanh(y[t = -1])",
        {"X": "h t", "W": "k h"},
    ),
    "no sequence": (
        "def f(X[h]; W[h, h']) -> [step, h]:\n"
        "    scan step = 4 with h = X:\n"
        "        h = sin((W @[h] h)[h' -> h]) + h\n"
        "    return h",
        {"X": "h", "W": "h h"},
    ),
    "integers": (
        "def f(X[t, h]) -> [t, h], [t]:\n"
        "    scan t with n = 1, h = X[t = 0]:\n"
        "        n = (3 * n + 1) % 7\n"
        "        h = sin(h) * n + X\n"
        "    return h, n",
        {"X": "t h"},
    ),
    "inside another": (
        "def f(X[t, u, h]; W[h, h']) -> [t, h]:\n"
        "    scan t with h = X[t = 0, u = 0]:\n"
        "        scan u with g = h:\n"
        "            g = sin((W @[h] g)[h' -> h] + X)\n"
        "        h = g[u = -1] * sin(h)\n"
        "    return h",
        {"X": "t u h", "W": "h h"},
    ),
    "complex": (
        "def f(X[t, h]; A[h]) -> [t, h]:\n"
        "    scan t with h = 1j * A:\n"
        "        h = sin(h) * conj(h) + X\n"
        "    return real(h) + imag(h)",
        {"X": "t h", "A": "h"},
    ),
}
"""Bodies that no kernel covers, and the axes of their inputs."""

SIZES = {"b": 2, "i": 2, "h": 3, "k": 2, "u": 2}


def made_of(name: str, steps: int, way: str = "planned") -> tuple[Compiled, dict[str, np.ndarray]]:
    text, inputs = SCANS[name]
    rng = np.random.default_rng(steps)
    sizes = {**SIZES, "t": steps}
    arrays = {key: 0.6 * rng.standard_normal([sizes[a] for a in axes.split()]) for key, axes in inputs.items()}
    return WAYS[way](text, arrays), arrays


def free(made: Compiled, arrays: dict[str, np.ndarray]) -> list[torch.Tensor]:
    return [one.requires_grad_() for one in tensors(made, arrays)]


# --- loops ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("steps", (1, 2, 5))
@pytest.mark.parametrize("name", SCANS)
def test_values(name: str, steps: int, way: str) -> None:
    agree(*made_of(name, steps, way))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ("one carry", "two carries", "no sequence"))
def test_no_steps(name: str, way: str) -> None:
    """Results are empty, of the right shapes and precisions; the gradients of all inputs are 0."""
    text, inputs = SCANS[name]
    text = text.replace("step = 4", "step = 0").replace(", c[t = -1]", "").replace("-> [t, h], [h]", "-> [t, h]")
    arrays = {key: np.ones([{**SIZES, "t": 0}[a] for a in axes.split()]) for key, axes in inputs.items()}
    made = WAYS[way](text, arrays)
    agree(made, arrays)
    (found,) = run(made, tensors(made, arrays, torch.float32))
    assert found.numel() == 0 and found.dtype is torch.float32
    given = free(made, arrays)
    (found,) = run(made, given)
    for one, slope in zip(given, torch.autograd.grad(found.sum(), given, materialize_grads=True), strict=True):
        assert torch.equal(slope, torch.zeros_like(one))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SCANS)
def test_derivatives(name: str, way: str) -> None:
    made, arrays = made_of(name, 3, way)
    args = free(made, arrays)
    reals = [k for k, one in enumerate(run(made, args)) if one.is_floating_point()]

    def function(*given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = run(made, list(given))
        return tuple(found[k] for k in reals)

    assert torch.autograd.gradcheck(function, args, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, args, fast_mode=True)


@pytest.mark.parametrize("name", SCANS)
def test_vmap_and_forward_mode(name: str) -> None:
    made, arrays = made_of(name, 3, "as written")
    args = tensors(made, arrays)
    pairs = [torch.stack([one, one]) for one in args]
    found = torch.func.vmap(made.function)(*pairs)
    for got, want in zip(found if isinstance(found, tuple) else (found,), run(made, args), strict=True):
        torch.testing.assert_close(got[1], want)
    value, _ = torch.func.jvp(made.function, tuple(args), tuple(map(torch.ones_like, args)))
    torch.testing.assert_close(value, made.function(*args))


@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16))
def test_a_start_that_is_a_number_takes_the_precision_of_the_steps(dtype: torch.dtype) -> None:
    made, arrays = made_of("one carry", 3)
    (found,) = run(made, tensors(made, arrays, dtype))
    assert found.dtype is dtype


@pytest.mark.parametrize("way", WAYS)
def test_a_number_that_the_call_gives(way: str) -> None:
    text = "def f(X[t, h]; s = 1.5) -> [t, h]:\n    scan t with h = s:\n        h = sin(h + X) * s\n    return h"
    arrays = {"X": np.ones((3, 2)), "s": np.asarray(0.7)}
    made = WAYS[way](text, {"X": arrays["X"]}, s=0.7)
    agree(made, arrays)
    x = torch.ones(3, 2, dtype=torch.float64)
    torch.testing.assert_close(made.function(x, 0.7), run(made, tensors(made, arrays))[0])


def test_what_is_read_at_the_last_step_is_neither_collected_nor_computed_before() -> None:
    made, _ = made_of("the last step", 3)
    assert "append" not in made.code
    assert "tanh" not in made.code.split("def f(")[0] and "matmul" not in made.code.split("def f(")[0]
    made, _ = made_of("backwards", 3)
    (plain,) = [part for part in made.code.split("def ") if "append" in part and "_back(" not in part]
    assert plain.count("append") == 1  # the other result is what the loop ends with


def test_a_body_is_one_function_and_permutes_nothing() -> None:
    made, _ = made_of("one carry", 3)
    assert made.code.count("def step(") == 1 and made.code.count("def scan_t(") == 1
    step = made.code.split("\n\n")[0]
    assert "transpose" not in step and ".t()" not in step


# --- one operator -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCANS)
def test_one_graph_for_all_lengths(name: str) -> None:
    """Values and gradients, nothing compiled anew."""
    made, _ = made_of(name, 3, "as written")
    counters.clear()
    quick = torch.compile(made.function, fullgraph=True, dynamic=True, backend="aot_eager")
    for steps in (4, 2, 9):
        _, arrays = made_of(name, steps)
        found, expected = (results(function, free(made, arrays)) for function in (quick, made.function))
        torch.testing.assert_close(found, expected)
    assert counters["stats"]["unique_graphs"] == 1


def results(function: Any, args: list[torch.Tensor]) -> list[torch.Tensor]:
    """The results of a function, and the gradients of their sine."""
    found = function(*args)
    listed = list(found) if isinstance(found, tuple) else [found]
    total = sum(one.sin().sum() for one in listed if one.is_floating_point())
    return [*listed, *torch.autograd.grad(total, [one for one in args if one.requires_grad])]


class Module(torch.nn.Module):
    def __init__(self, made: Compiled) -> None:
        super().__init__()
        self.made = made

    def forward(self, *args: torch.Tensor) -> Any:
        return self.made.function(*args)


def exported(name: str, *, strict: bool = False, dynamic: bool = True) -> tuple[Compiled, torch.export.ExportedProgram]:
    made, arrays = made_of(name, 4, "as written")
    auto = torch.export.Dim.AUTO
    shapes = {"args": tuple(dict.fromkeys(range(one.ndim), auto) for one in arrays.values())} if dynamic else None
    args = tuple(tensors(made, arrays))
    return made, torch.export.export(Module(made), args, dynamic_shapes=shapes, strict=strict)


@pytest.mark.parametrize("strict", (False, True))
@pytest.mark.parametrize("name", ("one carry", "backwards", "inside another"))
def test_export(name: str, strict: bool) -> None:
    made, program = exported(name, strict=strict)
    assert "namedlayers.scan" in program.graph_module.code
    _, arrays = made_of(name, 7)
    args = tensors(made, arrays)
    torch.testing.assert_close(program.module()(*args), made.function(*args))


@pytest.mark.parametrize("strict", (False, True))
def test_a_length_that_is_fixed_is_exported_step_by_step(strict: bool) -> None:
    """So that back ends which know no operators of ours can run it."""
    made, program = exported("one carry", strict=strict, dynamic=False)
    assert "namedlayers" not in program.graph_module.code
    _, arrays = made_of("one carry", 4)
    args = tensors(made, arrays)
    torch.testing.assert_close(program.module()(*args), made.function(*args))


@pytest.mark.parametrize("name", ("one carry", "backwards", "two carries"))
def test_the_operator_has_all_derivatives(name: str) -> None:
    made, program = exported(name)
    module = program.module()
    args = free(made, made_of(name, 3)[1])
    assert torch.autograd.gradcheck(module, args, fast_mode=True)
    assert torch.autograd.gradgradcheck(module, args, fast_mode=True)


def test_the_operator_is_registered_rightly() -> None:
    """Its schema, its shapes, its gradient and its traced form, as torch checks them."""
    made, _ = exported("one carry")
    seen: list[tuple[Any, ...]] = []
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.ops.namedlayers.scan.default:
                seen.append(args)
            return func(*args, **(kwargs or {}))

    module = exported("one carry")[1].module()
    with Watch():
        module(*tensors(made, made_of("one carry", 3)[1]))
    body, given, *rest = seen[0]
    given = [one.detach().requires_grad_() for one in given]
    torch.library.opcheck(torch.ops.namedlayers.scan, (body, given, *rest))


@pytest.mark.parametrize("name", SCANS)
def test_vmap_of_the_operator(name: str) -> None:
    made, arrays = made_of(name, 3, "as written")
    args = tensors(made, arrays)
    many = [torch.stack([one, one + 0.1]) for one in args]
    lifted = torch.func.vmap(made.function, tuple(0 if k % 2 == 0 else None for k in range(len(args))))
    given = [many[k] if k % 2 == 0 else one for k, one in enumerate(args)]
    found = torch.compile(lifted, fullgraph=True, backend="aot_eager")(*given)
    torch.testing.assert_close(found, lifted(*given))


def test_autocast_around_a_graph() -> None:
    made, arrays = made_of("one carry", 3)
    args = tensors(made, arrays, torch.float32)
    quick = torch.compile(made.function, fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", torch.bfloat16):
        found = quick(*args)
    torch.testing.assert_close(found.float(), made.function(*args), rtol=0.05, atol=0.05)


def test_a_body_that_is_not_there() -> None:
    from namedlayers.emit.loops.steps_by_name import step_of
    from namedlayers.errors import ArgumentError

    with pytest.raises(ArgumentError) as caught:
        step_of("0123456789abcdef")
    assert caught.value.code == "NL0440"


def test_equal_bodies_have_one_key_in_every_process() -> None:
    """The key is in exported programs."""
    made = compiled(SCANS["no sequence"][0], {"X": np.ones(3), "W": np.ones((3, 3))})
    again = compiled(SCANS["no sequence"][0], {"X": np.ones(2), "W": np.ones((2, 2))})
    assert made.code == again.code
    keys = [one.function.__globals__["scan_step"].__globals__["loop"].key for one in (made, again)]
    assert keys[0] == keys[1]


# --- in place ---------------------------------------------------------------------------------------------------------

HAZARDS: dict[str, tuple[str, dict[str, str]]] = {
    "a carried value that is a view": (
        "def f(X[t, h, h']; W[h, h']) -> [h, h']:\n"
        "    scan t with a = W, b = W:\n"
        "        c = sin(a[h -> h', h' -> h] + X)\n"
        "        a = b\n"
        "        b = c\n"
        "    return a[t = -1] + 2 * b[t = -1]",
        {"X": "t h h", "W": "h h"},
    ),
    "one value twice": (
        "def f(X[t, h]; A[h]) -> [t, h], [t, h], [h]:\n"
        "    scan t reversed with a = A, b = A:\n"
        "        before = b\n"
        "        a = sin(b * X + a)\n"
        "        b = a\n"
        "    return a, before, b[t = 0]",
        {"X": "t h", "A": "h"},
    ),
    "steps that are not first": (
        "def f(X[h, t]; A[h]) -> [h, t]:\n    scan t with a = A:\n        a = sin(a * X + 1)\n    return a",
        {"X": "h t", "A": "h"},
    ),
}


@pytest.mark.parametrize("steps", (1, 2, 4))
@pytest.mark.parametrize("name", HAZARDS)
def test_nothing_is_written_over_too_early(name: str, steps: int) -> None:
    """Without gradients a loop writes in place, with them it does not; both are the definition."""
    text, inputs = HAZARDS[name]
    rng = np.random.default_rng(steps)
    arrays = {
        key: rng.standard_normal([{**SIZES, "t": steps}[a] for a in axes.split()]) for key, axes in inputs.items()
    }
    made = compiled(text, arrays)
    assert "scan_t_in_place(" in made.code
    agree(made, arrays)
    torch.testing.assert_close(run(made, free(made, arrays)), run(made, tensors(made, arrays)))


def test_a_start_of_another_precision_is_no_obstacle() -> None:
    """The first step says that the carried value changes; the plain loop runs instead."""
    made, arrays = made_of("two carries", 3)
    x, a = tensors(made, arrays)
    found = run(made, [x, a.float()])
    torch.testing.assert_close(found, run(made, [x, a.float().requires_grad_()]))
    assert found[0].dtype is torch.float64


def test_weights_are_laid_once_for_all_steps() -> None:
    made = compiled(
        "def f(X[t, b, h]; W[h', h], V[h', h]) -> [t, b, h]:\n    scan t with h = X[t = 0]:\n"
        "        h = sin(W @[h] sin(V @[h] h)[h' -> h] + X[h -> h'])[h' -> h]\n    return h",
        {"X": np.ones((2, 3, 4)), "W": np.ones((4, 4)), "V": np.ones((4, 4))},
    )
    quick = made.code.split("def scan_t_in_place")[1].split("def ")[0]
    before, again = quick.split("    for ")
    assert before.count("packed(") == 2 and ".t()" not in again
    assert again.count("out=") == 2 and again.count(".sin_()") == 2  # one memory for each product and its sine
