"""Definitions by name: of a text, of the modules that it imports, of the prelude.

In: a text, a path, or the name of a module of the shipped library. Out: a `Namespace`. What always holds: nothing of a
text is run; imports are looked up beside the file first, then in the library; each file is read once a process.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from namedlayers.errors import FormulaSyntaxError, Label, Span, UnknownNameError, near_miss
from namedlayers.files import read_source
from namedlayers.program.elaboration.places import head
from namedlayers.syntax import parse, tree


@dataclass(eq=False, slots=True)
class Namespace:
    """`definitions` are the text's own, in order; `imported` and `modules` what it brings in."""

    name: str
    text: str
    definitions: dict[str, tree.Definition]
    imported: dict[str, tuple[tree.Definition, Namespace]] = field(default_factory=dict)
    modules: dict[str, Namespace] = field(default_factory=dict)

    def find(self, name: str) -> tuple[tree.Definition, Namespace] | None:
        """The definition that `name` means here, with the namespace it was written in; the prelude comes last."""
        if name in self.definitions:
            return self.definitions[name], self
        if name in self.imported:
            return self.imported[name]
        base = prelude()
        return (base.definitions[name], base) if name in base.definitions else None

    def names(self) -> set[str]:
        """Every name that `find` knows."""
        return {*self.definitions, *self.imported, *prelude().definitions}


def load_text(text: str, name: str = "<formula>", folder: Path | None = None) -> Namespace:
    """The namespace of a text; modules that it imports are looked for in `folder`, then in the library."""
    return _load(text, name, folder, ())


def load_file(path: str | Path) -> Namespace:
    """The namespace of a file."""
    source, path = read_source(path), Path(path)
    return _load(source.text, source.name, path.parent, (path.resolve(),))


def load_library(module: str) -> Namespace | None:
    """A module of the shipped library, or None."""
    return _library(module) if module in library_modules() else None


@functools.cache
def library_modules() -> tuple[str, ...]:
    """The names of the library's modules."""
    folder = resources.files("namedlayers") / "library"
    return tuple(sorted(entry.name[:-3] for entry in folder.iterdir() if entry.name.endswith(".nl")))


def library_module_of(name: str) -> str | None:
    """The module of the library that defines `name` and must be imported for it; None if there is none.

    >>> library_module_of("hardsigmoid"), library_module_of("softmax")
    ('activation', None)
    """
    modules = (module for module in library_modules() if module != "prelude")
    return next((module for module in modules if name in _library(module).definitions), None)


_lock = threading.RLock()
_cache: dict[str, Namespace] = {}


def prelude() -> Namespace:
    """The definitions that every text sees."""
    return _library("prelude")


def _library(module: str) -> Namespace:
    found = _cache.get(module)
    if found is None:
        with _lock:
            found = _cache.get(module)
            if found is None:
                text = (resources.files("namedlayers") / "library" / f"{module}.nl").read_text(encoding="utf-8")
                found = _cache[module] = _load(text, f"{module}.nl", None, (), shipped=True)
    return found


def _load(text: str, name: str, folder: Path | None, above: tuple[Path, ...], *, shipped: bool = False) -> Namespace:
    module = parse(text, name, shipped=shipped)
    space = Namespace(name, text, {})
    for item in module.items:
        if isinstance(item, tree.Definition):
            earlier = space.definitions.get(item.name)
            if earlier is not None:
                raise FormulaSyntaxError(
                    "NL0202",
                    f"`{item.name}` is defined twice",
                    Label(head(item), "again here"),
                    Label(head(earlier), "first here"),
                    hint="the first one would never be used",
                )
            space.definitions[item.name] = item
        else:
            _bring_in(space, item, folder, above)
    return space


def _bring_in(space: Namespace, item: tree.Import, folder: Path | None, above: tuple[Path, ...]) -> None:
    source = _find_module(item, folder, above)
    if item.names is None:
        space.modules[item.module.rsplit(".", 1)[-1]] = source
        return
    for wanted in item.names:
        definition = source.definitions.get(wanted.name)
        if definition is None:
            raise UnknownNameError(
                "NL0204",
                f"module `{item.module}` has no definition `{wanted.name}`",
                Label(wanted.span),
                hint=near_miss(wanted.name, source.definitions) or f"it has {', '.join(sorted(source.definitions))}",
            )
        space.imported[wanted.name] = (definition, source)


def _find_module(item: tree.Import, folder: Path | None, above: tuple[Path, ...]) -> Namespace:
    if folder is not None:
        path = folder.joinpath(*item.module.split(".")).with_suffix(".nl")
        if path.is_file():
            if path.resolve() in above:
                raise FormulaSyntaxError(
                    "NL0205", f"module `{item.module}` imports itself, directly or through others", Label(_module(item))
                )
            source = read_source(path, Label(_module(item)))
            return _load(source.text, source.name, path.parent, (*above, path.resolve()))
    found = load_library(item.module)
    if found is None:
        raise UnknownNameError(
            "NL0203",
            f"there is no module `{item.module}` beside the file or in the library",
            Label(_module(item)),
            hint=_PYTHON
            if item.module.split(".")[0] in MODULES_OF_PYTHON
            else near_miss(item.module, {*library_modules(), *_beside(folder)}),
        )
    return found


MODULES_OF_PYTHON = frozenset(
    "torch numpy math jax flax einops einx tensorflow keras scipy typing functools itertools random os sys".split()
)
"""Those that people import beside formulas."""

_PYTHON = "imports bring in formulas, never Python; what formulas compute with needs no import: `exp`, `softmax`, `pi`"


def _module(item: tree.Import) -> Span:
    """The module's name in an import."""
    at = item.span.start + item.span.text.find(item.module)
    return Span(item.span.source, at, at + len(item.module)) if at >= item.span.start else item.span


def _beside(folder: Path | None) -> list[str]:
    """The names of the formula files in a folder."""
    return sorted(path.stem for path in folder.glob("*.nl")) if folder is not None else []
