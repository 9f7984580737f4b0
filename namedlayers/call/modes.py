"""Parts in another mode than the whole: a batch norm that is frozen by `.eval()` inside a model that is trained.

In: the structure of a layer, its module. Out: the modes of its parts, where one differs, for the program to know. What
always holds: only parts for whose text the mode matters are asked, so that other layers pay nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from namedlayers.program.elaboration.stars import mentioned
from namedlayers.program.namespace import Namespace
from namedlayers.program.structure import Structure
from namedlayers.syntax import tree

Modes = tuple[tuple[str, bool], ...]
"""Paths of parts, and whether they are in training; empty where all are in the mode of the whole."""

_MODAL = frozenset({"training", "dropout"})
"""What a text names whose meaning depends on the mode."""


def modal_parts(namespace: Namespace, definition: tree.Definition, structure: Structure) -> tuple[str, ...]:
    """The paths of the parts for which the mode matters: instances by their own text, rounds by that around them."""
    known: dict[int, bool] = {}
    texts: dict[str, bool] = {"": _is_modal(namespace, definition, known)}
    found = []
    for part in structure.parts:
        if part.definition is not None:
            modal = _is_modal(part.namespace, part.definition, known)
        else:
            around = part.path.rpartition(".")[0].rpartition(".")[0]
            modal = texts[around]
        texts[part.path] = modal
        if modal:
            found.append(part.path)
    return tuple(found)


def differing(paths: tuple[str, ...]) -> Callable[[nn.Module], Modes]:
    """What finds the modes of these parts of a module; nothing where all are in that of the module itself."""
    split = [(path, tuple(path.split("."))) for path in paths]

    def find(module: nn.Module) -> Modes:
        training, same = module.training, True
        found = []
        for path, names in split:
            part: Any = module
            for name in names:
                part = part._modules[name]
            mode = part.training
            found.append((path, mode))
            same = same and mode is training
        return () if same else tuple(found)

    return find


def _is_modal(namespace: Namespace, definition: tree.Definition, known: dict[int, bool]) -> bool:
    """Whether a text, or a `def` that it calls, names what depends on the mode; layers in it answer for themselves."""
    if id(definition) not in known:
        names = mentioned(definition.body)
        known[id(definition)] = bool(names & _MODAL)
        known[id(definition)] |= any(
            _is_modal(origin, inner, known)
            for inner, origin in filter(None, map(namespace.find, sorted(names)))
            if inner.kind == "def" and inner is not definition
        ) or bool(_whole_modules(namespace, definition))
    return known[id(definition)]


def _whole_modules(namespace: Namespace, definition: tree.Definition) -> set[str]:
    """Modules of which a text uses something, as `norm.LayerNorm`: what, is not looked for."""
    return mentioned(definition.body) & namespace.modules.keys()
