"""Tensors in files: `.npy`, `.npz`, `.pt` and `.safetensors`.

In: a path, with `:key` where a file holds several tensors. Out: torch tensors on the CPU, or a `FormulaError`.
What always holds: nothing in a file is run. numpy reads without pickles, torch reads weights only; what either of them
refuses is refused here, with the reason.
"""

from __future__ import annotations

import pickle
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from namedlayers.errors import FormulaError, near_miss
from namedlayers.files import cannot_open, cannot_write, split_name


def read_tensor(spec: str) -> torch.Tensor:
    """The tensor in a file; `weights.npz:W` is the one called `W` of several."""
    path, key = split_name(spec)
    found = _read(path)
    if key is None and len(found) == 1:
        (key,) = found
    if key is None:
        raise FormulaError("NL0615", f"`{path}` holds {len(found)} tensors", hint=_choice(path, found))
    if key not in found:
        hint = near_miss(key, found) or _choice(path, found)
        raise FormulaError("NL0615", f"`{path}` holds no tensor called `{key}`", hint=hint)
    return _as_tensor(found[key], spec)


def read_tensors(spec: str) -> dict[str, torch.Tensor]:
    """All tensors in a file, by name; `checkpoint.pt:model` means those that lie in a dict called `model`."""
    path, key = split_name(spec)
    found = _read(path)
    if key is not None and not isinstance(found.get(key), Mapping):
        hint = near_miss(key, found) or _choice(path, found)
        raise FormulaError("NL0615", f"`{path}` holds no dict of tensors called `{key}`", hint=hint)
    if key is None and "" in found:
        held = "one tensor, without a name" if isinstance(found[""], np.ndarray | torch.Tensor) else _kind(found[""])
        hint = "what belongs where is told by names: `torch.save(module.state_dict(), …)`"
        raise FormulaError("NL0614", f"`{path}` holds {held}, and no dict of tensors", hint=hint)
    for name, value in (found := found if key is None else found[key]).items():
        if isinstance(value, Mapping):
            hint = f"`{path}:{name}` means the tensors in it"
            raise FormulaError("NL0614", f"`{path}` holds no tensor at `{name}`, but a dict", hint=hint)
    return {str(name): _as_tensor(value, f"{path}:{name}") for name, value in found.items()}


def write_tensors(path: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Writes results under their names; `.npy` takes one, the other kinds any number."""
    write = _WRITERS.get(Path(path).suffix.lower())
    if write is None:
        raise FormulaError("NL0616", f"`{path}` cannot be written: {_KINDS}")
    if not Path(path).parent.is_dir():
        raise FormulaError("NL0616", f"`{path}` cannot be written: there is no folder `{Path(path).parent}`")
    if len(tensors) != 1 and write is _write_npy:
        raise FormulaError(
            "NL0616",
            f"`{path}` holds one tensor, and there are {len(tensors)} results: {', '.join(tensors)}",
            hint=f"write `{Path(path).with_suffix('.npz')}` instead",
        )
    try:
        write(path, {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    except (OSError, RuntimeError, ValueError) as error:
        raise cannot_write(path, error) from None


_KINDS = "its name must end in .npy, .npz, .pt or .safetensors"

# What numpy, zipfile, torch and safetensors were seen to raise for files that are cut short, altered or something else.
_BROKEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def _read(path: str) -> Mapping[str, Any]:
    """All that a file holds, by name; a file with one nameless tensor calls it the empty string."""
    read = _READERS.get(Path(path).suffix.lower())
    try:
        with open(path, "rb"):
            pass
    except (OSError, ValueError) as error:
        raise cannot_open(path, error) from None
    if read is None:
        raise FormulaError("NL0614", f"`{path}` is not a file of tensors: {_KINDS}")
    try:
        return read(path)
    except OSError as error:
        raise cannot_open(path, error) from None
    except _BROKEN as error:
        # The libraries' own words are left out: they advise to load the file unsafely.
        message = f"`{path}` is no {Path(path).suffix} file of tensors, or it is cut short or altered"
        hint = "pickled Python objects are never loaded; save the tensor itself"
        raise FormulaError("NL0614", message, hint=hint) from error


def _read_numpy(path: str) -> Mapping[str, Any]:
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return {"": loaded}
    with loaded:
        return {key: loaded[key] for key in loaded.files}


def _read_torch(path: str) -> Mapping[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch muses about odd headers; what matters becomes an error below
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(loaded, Mapping):
        return {str(key): value for key, value in loaded.items()}
    return {"": loaded}


def _read_safetensors(path: str) -> Mapping[str, Any]:
    torch_side = _safetensors()
    try:
        return torch_side.load_file(path)
    except _safetensors_error() as error:
        raise ValueError(str(error)) from None


def _as_tensor(value: object, spec: str) -> torch.Tensor:
    if isinstance(value, np.ndarray):
        try:
            # torch takes native byte order only, and owns what it may write to.
            return torch.from_numpy(value.astype(value.dtype.newbyteorder("="), order="C", copy=True))
        except TypeError:
            raise FormulaError("NL0614", f"`{spec}` holds {value.dtype}, which torch has no tensors of") from None
    if isinstance(value, torch.Tensor) and _plain(value):
        return value.detach()
    raise FormulaError("NL0614", f"`{spec}` holds no dense tensor, but {_kind(value)}")


def _kind(value: object) -> str:
    """What something is that is no plain tensor."""
    if not isinstance(value, torch.Tensor):
        return f"a Python {type(value).__name__}"
    if value.layout is not torch.strided:
        return str(value.layout)
    return "a quantized tensor" if value.is_quantized else f"a tensor on the device `{value.device}`"


def _plain(tensor: torch.Tensor) -> bool:
    return tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized


def _choice(path: str, found: Mapping[str, Any]) -> str:
    names = sorted(found)
    if names == [""]:
        return f"it holds one tensor, without a name: `{path}`"
    shown = ", ".join(f"`{path}:{name}`" for name in names[:4]) + (", …" if len(names) > 4 else "")
    return f"choose one of them: {shown}" if names else ""


def _write_npy(path: str, tensors: Mapping[str, torch.Tensor]) -> None:
    (tensor,) = tensors.values()
    np.save(path, _as_array(tensor, path), allow_pickle=False)


def _write_npz(path: str, tensors: Mapping[str, torch.Tensor]) -> None:
    arrays = {name: _as_array(tensor, path) for name, tensor in tensors.items()}
    np.savez(path, allow_pickle=False, **arrays)


def _write_torch(path: str, tensors: Mapping[str, torch.Tensor]) -> None:
    torch.save(next(iter(tensors.values())) if len(tensors) == 1 else dict(tensors), path)


def _write_safetensors(path: str, tensors: Mapping[str, torch.Tensor]) -> None:
    try:
        _safetensors().save_file(dict(tensors), path)
    except _safetensors_error() as error:
        raise ValueError(str(error)) from None


def _as_array(tensor: torch.Tensor, path: str) -> np.ndarray:
    try:
        return tensor.numpy()
    except TypeError:
        hint = f"write `{Path(path).with_suffix('.pt')}` instead"
        raise FormulaError("NL0616", f"`{path}` cannot be written: numpy has no {tensor.dtype}", hint=hint) from None


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError:
        hint = "install it with `pip install safetensors`"
        raise FormulaError("NL0614", "the package safetensors, which reads such files, is missing", hint=hint) from None
    return safetensors.torch


def _safetensors_error() -> type[Exception]:
    from safetensors import SafetensorError

    return SafetensorError


_READERS: dict[str, Callable[[str], Mapping[str, Any]]] = {
    ".npy": _read_numpy,
    ".npz": _read_numpy,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".safetensors": _read_safetensors,
}
_WRITERS: dict[str, Callable[[str, Mapping[str, torch.Tensor]], None]] = {
    ".npy": _write_npy,
    ".npz": _write_npz,
    ".pt": _write_torch,
    ".pth": _write_torch,
    ".safetensors": _write_safetensors,
}
