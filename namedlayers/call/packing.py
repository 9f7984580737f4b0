"""Namespaces as texts, for pickles.

In: a namespace. Out: a `Packed`, which has the texts of the namespace and of all files that it imports, and becomes an
equal namespace again wherever it is unpickled, whether those files are there or not. What always holds: nothing but
texts and names is pickled; the modules of the shipped library are those of the version that unpickles, and what this
has not is an error that says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from namedlayers.errors import UnknownNameError
from namedlayers.program.namespace import Namespace, library_modules, load_library
from namedlayers.syntax import parse, tree


@dataclass(frozen=True, slots=True)
class Packed:
    """`imported` are the definitions brought in by name, `modules` the modules brought in whole, each with its origin;
    `text` is None for a module of the library."""

    name: str
    text: str | None
    imported: tuple[tuple[str, Packed], ...] = ()
    modules: tuple[tuple[str, Packed], ...] = ()


def pack(space: Namespace) -> Packed:
    """The texts of a namespace."""
    return _pack(space, {})


def unpack(packed: Packed) -> Namespace:
    """The namespace of texts."""
    return _unpack(packed, {})


def unpacked(packed: Packed, name: str) -> tuple[Namespace, tree.Definition]:
    """The namespace of texts, and one of its definitions."""
    space = unpack(packed)
    return space, _defined(space, name)


def _pack(space: Namespace, done: dict[int, Packed]) -> Packed:
    found = done.get(id(space))
    if found is None:
        module = space.name.removesuffix(".nl")
        if module in library_modules() and load_library(module) is space:
            found = Packed(module, None)
        else:
            imported = tuple((name, _pack(origin, done)) for name, (_, origin) in space.imported.items())
            modules = tuple((name, _pack(origin, done)) for name, origin in space.modules.items())
            found = Packed(space.name, space.text, imported, modules)
        done[id(space)] = found
    return found


def _unpack(packed: Packed, done: dict[int, Namespace]) -> Namespace:
    found = done.get(id(packed))
    if found is None:
        found = load_library(packed.name) if packed.text is None else _parsed(packed, done)
        if found is None:
            raise UnknownNameError("NL0203", f"there is no module `{packed.name}` in the library", hint=_VERSIONS)
        done[id(packed)] = found
    return found


def _parsed(packed: Packed, done: dict[int, Namespace]) -> Namespace:
    assert packed.text is not None
    space = Namespace(packed.name, packed.text, {})
    for item in parse(packed.text, packed.name).items:
        if isinstance(item, tree.Definition):
            space.definitions[item.name] = item
    for name, origin in packed.imported:
        module = _unpack(origin, done)
        space.imported[name] = _defined(module, name), module
    space.modules.update({name: _unpack(origin, done) for name, origin in packed.modules})
    return space


def _defined(space: Namespace, name: str) -> tree.Definition:
    if name not in space.definitions:
        raise UnknownNameError("NL0204", f"module `{space.name}` has no definition `{name}`", hint=_VERSIONS)
    return space.definitions[name]


_VERSIONS = "it was pickled with another version of this package"
