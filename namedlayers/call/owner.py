"""What holds the tensors of a layer: its names, its checkpoints, its copies, and the hooks that would not run.

In: a settled layer. Out: the base of all its modules, and what a round of a `repeat` is. What always holds: whatever
torch does with the tensors of a module it can do here; what does not fit is told in terms of the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from namedlayers.call.checkpoint import explained, misfits
from namedlayers.call.settled import Settled
from namedlayers.errors import ArgumentError, Label
from namedlayers.program.structure import Declared


class Owner(nn.Module):
    """What holds parameters of a layer: the whole (`_path` is empty), a part of it, or a round of a `repeat`.

    `_symbols` are the sizes that data have decided; the whole and its parts share them.
    """

    _path = ""

    def __init__(self, whole: Settled, symbols: dict[str, int]) -> None:
        super().__init__()
        self._whole = whole
        self._symbols = symbols

    def _place(self, path: str) -> None:
        """Makes this a part of the whole."""
        self._path = path

    def reset_parameters(self) -> None:
        """Gives all parameters and states their initial values anew, in the order of the text, those of parts too."""
        from namedlayers.call.making import begin

        begin(self, self._own_declared(), self._symbols)

    # --- checkpoints --------------------------------------------------------------------------------------------------

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As torch does it; what does not fit is told in terms of the text, as a FormulaError (and RuntimeError)."""
        try:
            found = super().load_state_dict(state_dict, strict=False, assign=assign)
        except RuntimeError as error:
            raise explained(self, self._own_declared(), state_dict, [], [], error) from None
        if strict and (found.missing_keys or found.unexpected_keys):
            raise explained(self, self._own_declared(), state_dict, found.missing_keys, found.unexpected_keys)
        return found

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str],
        unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        said: list[str] = []
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, said)
        own = [one for one in self._own_declared() if "." not in one.path]
        wrong = misfits(self, own, state_dict, prefix)
        # Torch's own words stay where they are about something else.
        error_msgs += [one for one in said if not any(one.startswith(f"size mismatch for {key}:") for key in wrong)]
        error_msgs += [f"{key}: {text}" for key, (_, text) in wrong.items()]

    def _own_declared(self) -> tuple[Declared, ...]:
        """What lies in this module and its parts, by the paths from here."""
        declared = self._whole.structure.declared
        if not self._path:
            return declared
        start = f"{self._path}."
        return tuple(replace(one, path=one.path.removeprefix(start)) for one in declared if one.path.startswith(start))

    # --- hooks --------------------------------------------------------------------------------------------------------

    def register_forward_pre_hook(self, *args: Any, **kwargs: Any) -> Any:
        self._check_hook()
        return super().register_forward_pre_hook(*args, **kwargs)

    def register_forward_hook(self, *args: Any, **kwargs: Any) -> Any:
        self._check_hook()
        return super().register_forward_hook(*args, **kwargs)

    def register_full_backward_pre_hook(self, *args: Any, **kwargs: Any) -> Any:
        self._check_hook()
        return super().register_full_backward_pre_hook(*args, **kwargs)

    def register_full_backward_hook(self, *args: Any, **kwargs: Any) -> Any:
        self._check_hook()
        return super().register_full_backward_hook(*args, **kwargs)

    # --- copies -------------------------------------------------------------------------------------------------------

    def __reduce_ex__(self, protocol: Any) -> tuple:
        """As what it was made from: the class of a layer is made from its text; one derived from it is Python's."""
        lazy = isinstance(self, LazyModuleMixin)
        if type(self) is not self._whole.module_class(self._path, lazy):
            return super().__reduce_ex__(protocol)  # type: ignore[return-value]
        return _empty, (self._whole, self._path, lazy), self.__getstate__()

    def _check_hook(self) -> None:
        if self._path:
            whole = self._whole.layer.name
            raise ArgumentError(
                "NL0532", f"a hook on `{self._path}` would not run: the parts of `{whole}` run as one program",
                Label(self._whole.parts[self._path].span, "this part"),
                hint=f"hook the whole `{whole}`, or return from the layer what the hook is to see",
            )  # fmt: skip


class Round(Owner):
    """What a round of a `repeat` owns."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        span = self._whole.parts[self._path].span
        raise ArgumentError(
            "NL0539", f"`{self._path}` is a round of a `repeat`, which runs only in the whole", Label(span),
            hint="call the whole, or an instance inside the round",
        )  # fmt: skip


def _empty(whole: Settled, path: str, lazy: bool) -> Owner:
    """A module without anything in it, which unpickling and copying fill."""
    cls = whole.module_class(path, lazy)
    return cls.__new__(cls)
