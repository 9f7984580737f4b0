"""Recorded calls: when something is recorded, and what replays give; the recorder here is Python that runs again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import namedlayers as nl
from namedlayers.call.capturing import Captured
from namedlayers.errors import ArgumentError, FormulaError

TEXT = """
def act(X[i, j]; W[j, k], scale = 1.0) -> [i, k], [k]:
    Y = tanh(X @[j] W) * scale
    return Y, sum[i](Y)
"""


class Again:
    """Replays by running again: as a CUDA graph, it writes the results of a replay where those of the recording lie."""

    device = "cpu"

    def __init__(self) -> None:
        self.recordings = 0
        self.replays = 0

    def ready(self) -> bool:
        return True

    def warm(self, run: Callable[[], object]) -> None:
        run()

    def record(self, run: Callable[[], Any], after: Any = None) -> tuple[Callable[[], None], Any, Any]:
        self.recordings += 1
        first = run()
        places = [one.detach() if one is not None else None for one in first]

        def replay() -> None:
            self.replays += 1
            for place, found in zip(places, run(), strict=True):
                if place is not None and place.data_ptr() != found.data_ptr():
                    with torch.no_grad():
                        place.copy_(found)

        return replay, first, "memory"


def _captured(text: str, *args: Any, most: int = 16, **options: Any) -> tuple[Captured, Again, Callable[..., Any]]:
    """The recorded function, its recorder, and what it should do."""
    recorder = Again()
    made = nl.compile(text).specialize(*args, **options).compiled
    return Captured(made, recorder, most), recorder, made.function


@pytest.fixture
def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 3, generator=generator), torch.randn(3, 2, generator=generator)


def test_each_kind_of_call_is_recorded_once(data: tuple[Tensor, Tensor]) -> None:
    x, w = data
    captured, recorder, plain = _captured(TEXT, x, w, scale=1.0)
    for scale in range(3):
        torch.testing.assert_close(captured(x + scale, w, 1.0), plain(x + scale, w, 1.0))
    assert recorder.recordings == captured.recorded == 1 and recorder.replays == 3
    for other in ((x[:2], w, 1.0), (x.double(), w.double(), 1.0), (x, w, 2.0), (x.T.contiguous().T, w, 1.0)):
        torch.testing.assert_close(captured(*other), plain(*other))
        torch.testing.assert_close(captured(*other), plain(*other))
    assert recorder.recordings == captured.recorded == 5


def test_results_are_the_callers(data: tuple[Tensor, Tensor]) -> None:
    x, w = data
    captured, _, _ = _captured(TEXT, x, w, scale=1.0)
    first = captured(x, w, 1.0)
    kept = tuple(one.clone() for one in first)
    captured(-x, w, 1.0)
    torch.testing.assert_close(first, kept)


def test_so_many_recordings_are_kept(data: tuple[Tensor, Tensor]) -> None:
    x, w = data
    captured, recorder, _ = _captured(TEXT, x, w, most=2, scale=1.0)
    for rows in (1, 2, 3, 3, 2, 1):
        captured(x[:rows], w, 1.0)
    assert captured.recorded == 2 and recorder.recordings == 4


@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)], ids=str)
def test_gradients(data: tuple[Tensor, Tensor], wanted: tuple[bool, bool]) -> None:
    x, w = (one.clone().requires_grad_(flag) for one, flag in zip(data, wanted, strict=True))
    captured, recorder, plain = _captured(TEXT, x, w, scale=1.0)
    leaves = [one for one in (x, w) if one.requires_grad]

    def gradients(function: Callable[..., Any], scale: float) -> tuple[Tensor, ...]:
        y, total = function(x * scale, w, 1.0)
        return torch.autograd.grad(y.square().sum() + total.sum() * 3, leaves)

    for scale in (1.0, 2.0):
        torch.testing.assert_close(gradients(captured, scale), gradients(plain, scale))
    assert recorder.recordings == 2  # a call and its gradient
    with torch.no_grad():
        torch.testing.assert_close(captured(x, w, 1.0), plain(x, w, 1.0))
    assert recorder.recordings == 3


def test_gradients_of_calls_in_any_order(data: tuple[Tensor, Tensor]) -> None:
    x, w = data[0], data[1].requires_grad_()
    captured, _, plain = _captured(TEXT, x, w, scale=1.0)

    def both(function: Callable[..., Any]) -> tuple[Tensor, ...]:
        first, second = function(x, w, 1.0)[0], function(x + 1, w, 1.0)[0]
        return torch.autograd.grad((first * second).sum(), w) + torch.autograd.grad(function(-x, w, 1.0)[0].sum(), w)

    torch.testing.assert_close(both(captured), both(plain))


def test_a_gradient_twice(data: tuple[Tensor, Tensor]) -> None:
    x, w = data[0], data[1].requires_grad_()
    captured, _, plain = _captured(TEXT, x, w, scale=1.0)
    y = captured(x, w, 1.0)[0].sum()
    y.backward(retain_graph=True)
    y.backward()
    assert w.grad is not None
    (expected,) = torch.autograd.grad(plain(x, w, 1.0)[0].sum(), w)
    torch.testing.assert_close(w.grad, 2 * expected)


def test_integers_have_no_gradient() -> None:
    x = torch.randn(4, 3, requires_grad=True)
    captured, _, _ = _captured("def f(X[i, j]) -> [i], [i]:\n    return sum[j](X ^ 2), argmax[j](X)", x)
    total, index = captured(x)
    assert not index.requires_grad and torch.equal(index, x.argmax(1))
    total.sum().backward()
    torch.testing.assert_close(x.grad, 2 * x.detach())


def test_parameters_are_read_where_they_lie() -> None:
    module = nl.compile("layer Scale(X[i]) -> [i]:\n    param g[i] ~ normal\n    return g * X")(i=3)
    x = torch.randn(3)
    recorder = Again()
    captured = Captured(module.specialize(x).compiled, recorder)
    captured(x, module.g)
    with torch.no_grad():
        module.g.add_(1)  # as an optimizer does
    torch.testing.assert_close(captured(x, module.g), x * module.g)
    assert recorder.recordings == 2  # a call and its gradient
    module.g = torch.nn.Parameter(torch.ones(3))
    torch.testing.assert_close(captured(x, module.g), x)
    assert recorder.recordings == 4


def test_random_numbers_are_drawn_once() -> None:
    x = torch.ones(100, requires_grad=True)
    captured, _, _ = _captured("def f(X[i]) = X * normal[i]", x)
    first = captured(x)
    captured(x)
    with pytest.raises(ArgumentError) as caught:
        first.sum().backward()
    assert caught.value.code == "NL0574"


def test_what_is_transformed_or_traced_is_not_recorded(data: tuple[Tensor, Tensor]) -> None:
    x, w = data
    captured, recorder, plain = _captured(TEXT, x, w, scale=1.0)
    found = torch.func.vmap(lambda one: captured(one, w, 1.0)[0])(torch.stack([x, -x]))
    torch.testing.assert_close(found, torch.stack([plain(x, w, 1.0)[0], plain(-x, w, 1.0)[0]]))
    compiled = torch.compile(lambda x, w: captured(x, w, 1.0)[0], backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, w), plain(x, w, 1.0)[0])
    assert recorder.recordings == 0


def test_autocast_is_another_kind_of_call(data: tuple[Tensor, Tensor]) -> None:
    x, w = data
    captured, recorder, plain = _captured(TEXT, x, w, scale=1.0)
    captured(x, w, 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(captured(x, w, 1.0), plain(x, w, 1.0))
        assert captured(x, w, 1.0)[0].dtype is torch.bfloat16
    assert recorder.recordings == 2


def test_what_is_wrong_with_a_call_is_its_own_error(data: tuple[Tensor, Tensor]) -> None:
    x, w = data
    captured, recorder, _ = _captured(TEXT, x, w, scale=1.0)
    with pytest.raises(FormulaError) as caught:
        captured(x, w.T.contiguous(), 1.0)
    assert caught.value.code == "NL0485" and recorder.recordings == 0


class Refusing(Again):
    def record(self, run: Callable[[], Any], after: Any = None) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")


class Away(Again):
    device = "xpu"

    def __init__(self, there: bool) -> None:
        super().__init__()
        self.there = there

    def ready(self) -> bool:
        return self.there


@pytest.fixture(
    params=[("NL0570", Away(False)), ("NL0571", Away(True)), ("NL0572", Refusing())], ids=lambda one: one[0]
)
def refusing(request: pytest.FixtureRequest) -> Iterator[tuple[str, Again]]:
    return request.param


def test_refusals(data: tuple[Tensor, Tensor], refusing: tuple[str, Again]) -> None:
    x, w = data
    code, recorder = refusing
    captured = Captured(nl.compile(TEXT).specialize(x, w, scale=1.0).compiled, recorder)
    with pytest.raises(ArgumentError) as caught:
        captured(x, w, 1.0)
    assert caught.value.code == code
    assert captured.recorded == 0


def test_the_back_end_needs_a_device(data: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(ArgumentError) as caught:
        nl.compile(TEXT, backend="cudagraph")(*data)
    assert caught.value.code == ("NL0571" if torch.cuda.is_available() else "NL0570")
