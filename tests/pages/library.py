"""docs/library.md, made from the library's files: what each definition is, where it comes from, and its text.

In: `namedlayers/library/*.nl`. Out: the page; `python -m tests.pages.library` writes it. What always holds: a
definition's comment, as it stands above it, is what the page says of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from namedlayers.program.signature import Signature, signature
from namedlayers.syntax import tree
from namedlayers.syntax.parser import parse

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "namedlayers" / "library"
PAGE = ROOT / "docs" / "library.md"

BLANK = "\n\n"

INTRODUCTION = """\
# The library

Layers and functions that ship with the package, written in the language: this page is made from their files in
`namedlayers/library`, with their comments. Each can be read, imported into a text, or loaded from Python:

```nl
from feedforward import FeedForward
from norm import LayerNorm

layer Block[layer](X[layer]; depth = 2) -> [layer]:
    repeat depth as block:
        norm = LayerNorm[layer]
        feed = FeedForward[layer; width = 2 * |layer|]
        X = X + feed(norm(X))
    return X
```

```python
import torch
import namedlayers as nl

norm = nl.load("norm").LayerNorm()
assert norm(torch.randn(2, 5, 16)).shape == (2, 5, 16)  # sizes are found at the first call
assert norm.gamma.shape == (16,)
```

A layer is a `torch.nn.Module` ([modules.md](modules.md)); a `def` is a function, whose parameters are given at the
call. Axes before the `(` may be renamed where it is used. The tests compare every layer with torch's own, or with a
computation by hand where torch has none.

| module | layers | functions |
| --- | --- | --- |
"""

END = """\
---

This page is made from the library's files: `python -m tests.pages.library` writes it anew, and a test says when that is
due.
"""


def page() -> str:
    """The whole page."""
    paths = sorted(FOLDER.glob("*.nl"), key=lambda path: (path.stem == "prelude", path.stem))
    modules = {path.stem: parse(path.read_text(encoding="utf-8")) for path in paths}
    rows = [_row(name, module) for name, module in modules.items()]
    texts = [piece for name, module in modules.items() for piece in _module(name, module)]
    return "\n".join([INTRODUCTION + "\n".join(rows) + "\n", *texts, END])


def definitions(module: tree.Module) -> list[tree.Definition]:
    return [item for item in module.items if isinstance(item, tree.Definition)]


def _row(name: str, module: tree.Module) -> str:
    kinds = [", ".join(_link(name, one.name) for one in definitions(module) if one.kind == k) for k in ("layer", "def")]
    return f"| [{name}](#{name}) | {kinds[0]} | {kinds[1]} |"


def _module(name: str, module: tree.Module) -> Iterator[str]:
    text = module.items[0].span.source.text
    yield f"## {name}\n\n{_prose(text.partition(BLANK)[0])}\n"
    title = ""
    for definition in definitions(module):
        before = text[: definition.span.start]
        titles = re.findall(r"^# --- (.*?) -+$", before, re.M)
        if titles and titles[-1] != title:
            title = titles[-1]
            yield f"**{title[:1].upper()}{title[1:]}**\n"
        yield _definition(name, definition, _comment(before))


def _definition(module: str, definition: tree.Definition, comment: str) -> str:
    lines = [f'<a id="{_anchor(module, definition.name)}"></a>', "", f"### {definition.name}", ""]
    lines += [_prose(comment), ""] if comment else []
    if not definition.inline:  # one line says it all
        lines += [f"- {one}" for one in (*_facts(signature(definition)), *_owns(definition))] + [""]
    return "\n".join([*lines, f"```text\n{definition.span.text.rstrip()}\n```\n"])


def _facts(sign: Signature) -> Iterator[str]:
    for role, what in (("data", "takes"), ("parameter", "parameters of the call")):
        shown = [f"`{one.name}[{', '.join(one.axes)}]`" if one.axes else f"`{one.name}`" for one in sign.inputs
                 if one.role == role]  # fmt: skip
        if shown:
            yield f"{what} {', '.join(shown)}"
    if sign.outputs is not None:
        yield "gives " + ", ".join(f"`[{', '.join(axes)}]`" for axes in sign.outputs)
    options = [one.name if one.default is None else f"{one.name} = {one.default}" for one in sign.options]
    if options:
        yield f"options {', '.join(f'`{one}`' for one in options)}"


def _owns(definition: tree.Definition) -> Iterator[str]:
    for kind, what in (("param", "learns"), ("state", "keeps")):
        found = [one for one in _declared(definition.body) if one.kind == kind]
        shown = dict.fromkeys(" ".join(one.span.text.removeprefix(kind).split()) for one in found)
        if shown:
            yield f"{what} {', '.join(f'`{one}`' for one in shown)}"


def _declared(statements: tuple[tree.Statement, ...]) -> Iterator[tree.Declare]:
    for one in statements:
        if isinstance(one, tree.Declare):
            yield one
        elif isinstance(one, tree.If):
            yield from _declared((*one.body, *one.otherwise))
        elif isinstance(one, tree.Repeat | tree.Scan):
            yield from _declared(one.body)


def _comment(before: str) -> str:
    """The comment that ends just before a definition."""
    found = re.search(r"(?:^#(?! ---).*\n)+\Z", before, re.M)
    return found[0] if found else ""


def _prose(comment: str) -> str:
    """A comment as Markdown; what is between backquotes stays."""
    text = " ".join(line.removeprefix("#").strip() for line in comment.splitlines() if line.startswith("#"))
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([*_<\[\]|])", r"\\\1", p) for p in pieces)


def _link(module: str, name: str) -> str:
    return f"[{name}](#{_anchor(module, name)})"


def _anchor(module: str, name: str) -> str:
    return f"{module}.{name}"


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
