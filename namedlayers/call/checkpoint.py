"""What is wrong with a checkpoint, in terms of the text.

In: a module, what it declares, a state dict. Out: misfits by key, and the error that tells them. What always holds:
whatever torch would load is loaded; only what it refuses is told here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from namedlayers.errors import FormulaError, Label, near_miss
from namedlayers.program.structure import Declared

MOST_SHOWN = 6
"""So many keys are told of; a checkpoint that does not fit has often hundreds."""


class LoadError(FormulaError, RuntimeError):
    """A state dict that does not fit a module; a RuntimeError, as torch's own."""

    __str__ = FormulaError.__str__


Misfits = dict[str, tuple[Declared, str]]
"""By key: what is declared, and in words how the checkpoint's tensor differs."""


def misfits(module: nn.Module, declared: Iterable[Declared], state_dict: Mapping[str, Any], prefix: str) -> Misfits:
    """The tensors of a state dict whose shapes are not those of the parameters, as far as these are known."""
    found: Misfits = {}
    for one in declared:
        key = prefix + one.path
        given, held = state_dict.get(key), _held(module, one.path)
        if given is None or held is None or is_lazy(given) or is_lazy(held[1]) or not hasattr(given, "shape"):
            continue
        owner, tensor = held
        # A lazy module has just taken the checkpoint's shape: what is declared must agree.
        lazy = isinstance(owner, LazyModuleMixin) and len(one.sizes) == given.ndim
        known = (size.value for size in one.sizes) if lazy else (None for _ in range(tensor.ndim))
        wanted = tuple(n if value is None else value for n, value in zip(tensor.shape, known, strict=True))
        if tuple(given.shape) != wanted and not (wanted == () and tuple(given.shape) == (1,)):
            found[key] = one, _difference(one, wanted, tuple(given.shape))
    return found


def explained(
    module: nn.Module, declared: Sequence[Declared], state_dict: Mapping[str, Any], missing: Sequence[str],
    unexpected: Sequence[str], error: Exception | None = None,
) -> Exception:  # fmt: skip
    """The error for a state dict that was not loaded as a whole; torch's own `error` where it is about other things."""
    wrong = misfits(module, declared, state_dict, "")
    if error is not None and not wrong:
        return error
    if error is not None:
        own = module.state_dict(keep_vars=True)
        missing = [key for key in own if key not in state_dict]
        unexpected = [key for key in state_dict if key not in own]
    by_path = {one.path: one for one in declared}
    name = module._get_name()
    said: list[str] = []
    labels: list[Label] = []
    if wrong:
        said.append(f"{_count(wrong, 'tensor')} of the checkpoint {_have(wrong)} other sizes than `{name}`")
        labels += [Label(one.span, f"`{key}`: {text}") for key, (one, text) in _first(wrong.items())]
    if missing:
        said.append(f"the checkpoint lacks {_listed(missing)}")
        labels += [Label(by_path[key].span, f"`{key}` is missing") for key in _first(missing) if key in by_path]
    if unexpected:
        said.append(f"`{name}` has no {_listed(unexpected)}")
    code = "NL0533" if wrong else "NL0534" if missing else "NL0535"
    return LoadError(code, "; ".join(said), *labels, hint=_hint(missing or list(by_path), unexpected))


def _held(module: nn.Module, path: str) -> tuple[nn.Module, torch.Tensor] | None:
    """A tensor by its path, with the module that has it."""
    *above, name = path.split(".")
    for part in above:
        inner = module._modules.get(part)
        if inner is None:
            return None
        module = inner
    tensor: torch.Tensor | None = module._parameters.get(name)
    tensor = module._buffers.get(name) if tensor is None else tensor
    return None if tensor is None else (module, tensor)


def _difference(one: Declared, wanted: tuple[int, ...], given: tuple[int, ...]) -> str:
    if len(wanted) != len(given):
        return f"`{one}` has {len(wanted)} axes, the checkpoint's tensor has the shape {given}"
    shown = [axes[0][0] if len(axes) == 1 else f"({', '.join(axis for axis, _ in axes)})" for axes in one.dimensions]
    differing = [
        f"`{axis}` has size {here}, in the checkpoint {there}"
        for axis, here, there in zip(shown, wanted, given, strict=True)
        if here != there
    ]
    return ", ".join(differing)


def _hint(candidates: Sequence[str], unexpected: Sequence[str]) -> str:
    """Which parameters the strange keys may mean, or where such keys come from."""
    near = [(key, near_miss(key, candidates)) for key in _first(unexpected)]
    told = [f"`{key}`: {text}" for key, text in near if text]
    if told:
        return "; ".join(told)
    if unexpected and all(key.startswith(("module.", "_orig_mod.")) for key in unexpected):
        return "the checkpoint was made of a wrapped module: load it into that, or take the prefix away"
    return "`nl.load_weights` reads checkpoints of other models, by a mapping" if unexpected else ""


def _first(items: Iterable[Any]) -> list[Any]:
    return list(items)[:MOST_SHOWN]


def _listed(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - MOST_SHOWN} more" if len(keys) > MOST_SHOWN else ""
    return ", ".join(f"`{key}`" for key in _first(keys)) + more


def _count(items: Mapping[str, Any], noun: str) -> str:
    return f"1 {noun}" if len(items) == 1 else f"{len(items)} {noun}s"


def _have(items: Mapping[str, Any]) -> str:
    return "has" if len(items) == 1 else "have"
