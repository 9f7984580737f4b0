"""A layer beside its original: from the same weights and the same arguments, the same results and the same gradients.

In: ours, theirs, and how their parameters become ours. Out: nothing, or an AssertionError. All is in float64; every
parameter is random, so that nothing agrees because it began with 0.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Beside:
    """A row of a table. `weights` gives our parameters by path from theirs by name (a linear map, so that it serves for
    gradients as well); `run` calls theirs. Arguments are shapes of normal numbers, or tensors."""

    ours: Callable[[], Any]
    theirs: Callable[[], nn.Module]
    weights: Callable[[Weights], dict[str, Tensor]]
    arguments: tuple[Any, ...]
    run: Callable[..., Any] = lambda theirs, *arguments: theirs(*arguments)
    named: dict[str, Any] = field(default_factory=dict)
    """Arguments that ours takes by name, and theirs after the others."""

    def check(self, seed: str) -> None:
        torch.manual_seed(zlib.crc32(seed.encode()))
        ours, theirs = self.ours(), self.theirs().double()
        for parameter in theirs.parameters():
            nn.init.normal_(parameter, std=0.4)
        arguments = [_filled(one) for one in self.arguments]
        named = {key: _filled(one) for key, one in self.named.items()}
        _take(ours, self.weights(dict(theirs.named_parameters())), arguments, named)
        ours.train(theirs.training)
        found, wanted = _results(ours(*arguments, **named)), _results(self.run(theirs, *arguments, *named.values()))
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)
        weights = [torch.randn_like(one) for one in wanted]
        given = [one for one in (*arguments, *named.values()) if one.requires_grad]
        theirs_by_name, ours_by_path = dict(theirs.named_parameters()), dict(ours.named_parameters())
        gradients = _gradients(found, weights, [*given, *ours_by_path.values()])
        expected = _gradients(wanted, weights, [*given, *theirs_by_name.values()])
        by_name = dict(zip(theirs_by_name, expected[len(given) :], strict=True))
        mapped = self.weights(by_name)
        for one, other in zip(
            gradients, [*expected[: len(given)], *(mapped[path] for path in ours_by_path)], strict=True
        ):
            torch.testing.assert_close(one, other.reshape(one.shape), rtol=1e-8, atol=1e-9)


def _take(ours: nn.Module, weights: Mapping[str, Tensor], arguments: list[Tensor], named: dict[str, Tensor]) -> None:
    """Give ours these weights; its sizes are found by a first call."""
    ours.double()
    ours(*arguments, **named)
    held = dict(ours.named_parameters())
    assert held.keys() == weights.keys()
    with torch.no_grad():
        for path, parameter in held.items():
            assert parameter.dtype is torch.float64
            parameter.copy_(weights[path].reshape(parameter.shape))


def _results(found: Any) -> tuple[Tensor, ...]:
    return found if isinstance(found, tuple) else (found,)


def _gradients(results: tuple[Tensor, ...], weights: list[Tensor], of: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(results, of, weights, allow_unused=True, materialize_grads=True) if of else ()


def _filled(one: Any) -> Tensor:
    if isinstance(one, tuple):
        return torch.randn(one, dtype=torch.float64).requires_grad_()
    return one
