"""The public entrances: texts and files in, functions out.

In: formulas as text, paths, names of library modules. Out: `Function`s, and namespaces of them. What always holds:
nothing of a text is run; what is wrong with it is a FormulaError that points at it.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from namedlayers.call.function import Function
from namedlayers.call.layer import LayerType
from namedlayers.call.manner import Backend, Manner, Numerics, Precision, manner_of
from namedlayers.call.packing import Packed, pack, unpack
from namedlayers.call.tracing import not_traced
from namedlayers.errors import ArgumentError, FormulaError, FormulaSyntaxError, UnknownNameError, near_miss
from namedlayers.program.namespace import Namespace as Definitions
from namedlayers.program.namespace import library_modules, load_file, load_library, load_text


def compile(
    source: str,
    name: str | None = None,
    *,
    semiring: str = "sum-product",
    semiring_inputs: Iterable[str] | None = None,
    numerics: Numerics = "default",
    max_memory: int | str | None = None,
    backend: Backend = "python",
    precision: Precision | None = None,
    **options: Any,
) -> Function | LayerType:
    """The definition `name` of a text, or its last one: a `def` as a function of torch tensors, a `layer` as what makes
    `torch.nn.Module`s.

    `options` settle options of the definition. `numerics="strict"` turns off the rewrites that may change how a result
    overflows or underflows; `"fast"` adds those that lose digits. `max_memory` ("2GiB", or bytes) bounds what a call
    takes for intermediate values: where they would take more, it is computed in pieces along an axis.
    `backend="inductor"` has torch compile what was lowered: elementwise chains become one kernel, for seconds of
    compiling at the first call. `backend="cudagraph"` records what runs on a CUDA device once for each kind of call,
    and then replays it with one launch. `precision="bfloat16"` (or `"float16"`) rounds what enters matrix products,
    convolutions and attention; they are summed in float32, and everything else is as given.

    `semiring` says what sums and products are: `"log"` (of logarithms: log-sum-exp and +), `"complex-log"`,
    `"max-plus"`, `"min-plus"`, `"max-product"`, `"min-product"`, `"boolean"`. Its values are the data, or the inputs
    that `semiring_inputs` names; everything else is ordinary.

    >>> import torch
    >>> dot = compile("def dot(a[i], b[i]) = a @[i] b")
    >>> dot(torch.ones(3), torch.ones(3))
    tensor(3.)
    >>> longest = compile("def path(d[a, b], e[b, c]) = d @[b] e", semiring="max-plus")
    >>> longest(torch.tensor([[1.0, 2.0]]), torch.tensor([[5.0], [3.0]]))
    tensor([[6.]])
    """
    manner = manner_of(numerics, semiring, semiring_inputs, max_memory, backend, precision)
    _check_text(source)
    word = source.strip()
    if word.endswith(".nl") and "\n" not in word or word in library_modules():
        noun = "a file" if word.endswith(".nl") else "a module of the library"
        raise ArgumentError(
            "NL0505", f"a formula is text, and `{word}` names {noun}", hint=f'`nl.load("{word}")` reads it'
        )
    return _compile(load_text(source), name, manner, options)


def loads(text: str, name: str = "<formula>") -> Namespace:
    """The definitions of a text, compiled when they are first used; errors show `name` as the file's.

    >>> pair = loads("def twice(x[]) = 2 * x\\ndef half(x[]) = x / 2")
    >>> pair, pair.half(3.0)
    (<namedlayers definitions twice, half>, tensor(1.5000))
    """
    _check_text(text)
    return Namespace(load_text(text, name))


def load(path_or_module: str | Path) -> Namespace:
    """The definitions of a file (`"lenet.nl"`), or of a module of the library that ships with the package."""
    if not isinstance(path_or_module, (str, PathLike)):
        what = type(path_or_module).__name__
        raise ArgumentError("NL0505", f"a file is named by its path, not by {what}", hint="`nl.loads` reads text")
    name = str(path_or_module)
    # A module's name has neither an ending nor folders; a file of that very name comes first.
    if name.isidentifier() and not Path(name).is_file():
        found = load_library(name)
        if found is None:
            hint = near_miss(name, library_modules()) or "a file is given with its ending: `lenet.nl`"
            raise UnknownNameError("NL0203", f"there is no module `{name}` in the library", hint=hint)
        return Namespace(found)
    module = name.removesuffix(".nl")
    if module in library_modules() and not Path(name).exists():
        hint = f"without its ending the library's module is meant: `nl.load({module!r})`"
        raise FormulaError("NL0611", f"there is no file `{name}`", hint=hint)
    return Namespace(load_file(path_or_module))


class Namespace:
    """Definitions by name, in brackets or (unless the name begins with `_`) as attributes.

    Iterating gives the names in the order of the text.
    """

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._lock = threading.RLock()
        self._functions = SimpleNamespace()
        self._key = f"{definitions.name}-{next(_numbers)}"
        _all[self._key] = self

    def __getitem__(self, name: str) -> Any:
        if name not in self._definitions.definitions:
            raise _no_such_name(self._definitions, name)
        return getattr(self._functions, _compiled(self._key, name))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what Python asks of any object
            raise AttributeError(name)
        return getattr(self._functions, _compiled(self._key, name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._definitions.definitions)

    def __len__(self) -> int:
        return len(self._definitions.definitions)

    def __contains__(self, name: object) -> bool:
        return name in self._definitions.definitions

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __repr__(self) -> str:
        return f"<namedlayers definitions {', '.join(self)}>"

    def __reduce__(self) -> tuple:
        return _restore, (pack(self._definitions),)


def _restore(packed: Packed) -> Namespace:
    return Namespace(unpack(packed))


_numbers = itertools.count(1)
_all: weakref.WeakValueDictionary[str, Namespace] = weakref.WeakValueDictionary()


@not_traced
def _compiled(key: str, name: str) -> str:
    """Compiles a definition of a namespace, so that it is an attribute of `_functions`, and returns its name."""
    space = _all[key]
    with space._lock:
        if not hasattr(space._functions, name):
            if name not in space._definitions.definitions:
                error = _no_such_name(space._definitions, name)
                raise NoSuchDefinition(error.code, error.message, hint=error.hint)
            setattr(space._functions, name, _compile(space._definitions, name, Manner(), {}))
    return name


class NoSuchDefinition(FormulaError, AttributeError):
    """An attribute that is not there, as `hasattr` and `getattr` with a default expect it."""

    __str__ = FormulaError.__str__


def _check_text(source: object) -> None:
    if not isinstance(source, str):
        raise ArgumentError("NL0505", f"a formula is text, not {type(source).__name__}", hint="`nl.load` reads files")


def _compile(
    definitions: Definitions, name: str | None, manner: Manner, options: dict[str, Any]
) -> Function | LayerType:
    if name is None:
        if not definitions.definitions:
            raise FormulaSyntaxError("NL0241", "the text defines nothing", hint="begin with `def name(…) = …`")
        name = next(reversed(definitions.definitions))
    if name not in definitions.definitions:
        raise _no_such_name(definitions, name)
    definition = definitions.definitions[name]
    kind = LayerType if definition.kind == "layer" else Function
    return kind(definitions, definition, manner=manner, options=options)


def _no_such_name(definitions: Definitions, name: str) -> UnknownNameError:
    names = list(definitions.definitions)
    defines = f"it defines {', '.join(f'`{one}`' for one in names)}" if names else "it defines nothing"
    return UnknownNameError(
        "NL0242", f"{definitions.name} has no definition `{name}`", hint=near_miss(str(name), names) or defines
    )
