"""Prints fx graphs as Python: the one printer of everything that runs.

In: fx nodes, with what `Lowering` noted in their `meta`. Out: lines of Python, one an operation, each with a comment
that says which part of the formula it computes and in which axes. What always holds: text of the user's reaches the
output only inside comments of one line and string literals; equal graphs print equally.

`Printer` is the `CodeGen` of the modules: their `forward` is the prologue and the same body that the function has.

`meta` keys: `prologue` (computed there, not in the body), `inline` (print inside its user if it has only one),
`temporary` (a tensor that may be large: dropped after its last use), `axes`, `spans`, `rule`, `text` (what the comment
says).
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx
from torch.fx.graph import CodeGen, PythonCode

from namedlayers.emit.choices import remembered
from namedlayers.emit.expressions import GLOBALS, Expressions
from namedlayers.emit.prologue import Prologue


class Printer(CodeGen):
    """The code generator of one variant's module; `fail` tells what is wrong where a check of the prologue fails."""

    def __init__(self, prologue: Prologue, fail: Callable | None = None) -> None:
        super().__init__()
        self.prologue = prologue
        self.fail = fail

    def __deepcopy__(self, memo: dict) -> Printer:
        return self

    def _gen_python_code(self, nodes: Iterable[fx.Node], root_module: str, *_: object, **__: object) -> PythonCode:
        listed = list(nodes)
        extra: dict[str, Any] = {}
        body = body_lines(listed, extra, root_module)
        lines = [*self.prologue.lines(used_sizes(listed)), *body]
        header = f"def forward({', '.join((root_module, *_arguments(listed)))}):"
        source = "\n".join(["", "", header, *(f"    {line}" for line in lines), ""])
        names = {**GLOBALS, "fail": self.fail, "assume": self.prologue.assume, **extra}
        given: dict[str, Any] = {"src": source, "globals": names}
        for missing in dataclasses.fields(PythonCode):  # which fields there are differs between versions of torch
            if missing.name not in given and missing.default is dataclasses.MISSING:
                given[missing.name] = {} if "map" in missing.name or "counter" in missing.name else None
        return PythonCode(**given)


@dataclass(frozen=True, slots=True)
class Choice:
    """How it is told which of several variants runs: under the first condition that holds, or else the last. `name` is
    that of its number; `costs` are lines that compute what several conditions compare."""

    name: str
    costs: tuple[str, ...]
    conditions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Printable:
    """Variants (condition, why, graph); the last one's condition is not asked."""

    choice: Choice | None
    variants: tuple[tuple[str, str, fx.Graph], ...]


def print_function(
    name: str, prologue: Prologue, printable: Printable, comment: str, sizes: Sequence[str] = ()
) -> tuple[str, dict[str, Any]]:
    """The source of the function that picks a variant and runs it, and the globals that it needs. `sizes` are further
    arguments."""
    variants = printable.variants
    # What is assigned anywhere in a function is local all over it, and its own name is a global.
    taken = frozenset({name, *(node.name for _, _, graph in variants for node in graph.nodes)})
    extra: dict[str, Any] = {}
    before, body = _chosen(printable.choice, name, prologue, taken)
    used = frozenset(word for line in body for word in _identifiers(line))
    for number, (condition, why, graph) in enumerate(variants):
        lines = body_lines(list(graph.nodes), extra, taken=taken)
        used |= used_sizes(graph.nodes) | frozenset(_identifiers(condition))
        if number < len(variants) - 1:
            body += [f"if {condition}:" + _comment(why), *(f"    {line}" for line in lines)]
        else:
            body += lines
    header = f"def {name}({', '.join((*prologue.arguments, *sizes))}):" + _comment(comment, 200)
    lines = [*prologue.lines(used), *body]
    source = "\n".join([*before, header, *(f"    {line}" for line in lines), ""])
    return source, {**GLOBALS, "assume": prologue.assume, "remembered": remembered, **extra}


def _chosen(
    choice: Choice | None, function: str, prologue: Prologue, taken: frozenset[str]
) -> tuple[list[str], list[str]]:
    """The lines of a function from sizes to the number of a variant, and the line that calls it."""
    if choice is None:
        return [], []
    words = {word for line in (*choice.costs, *choice.conditions) for word in _identifiers(line)}
    given = ", ".join(symbol for symbol in prologue.symbols.values() if symbol in words)
    name = f"{function}_{choice.name}"
    while name in taken:
        name += "_"
    lines = list(choice.costs)
    for number, condition in enumerate(choice.conditions):
        lines += [f"if {condition}:", f"    return {number}"]
    lines.append(f"return {len(choice.conditions)}")
    source = ["@remembered", f"def {name}({given}):", *(f"    {line}" for line in lines), "", ""]
    return source, [f"{choice.name} = {name}({given})"]


def used_sizes(nodes: Iterable[fx.Node]) -> frozenset[str]:
    """The names that the prologue has to compute for these nodes."""
    body = [node for node in nodes if "prologue" not in node.meta]
    return frozenset(n.name for node in body for n in node.all_input_nodes if "prologue" in n.meta)


def body_lines(
    nodes: list[fx.Node], extra: dict[str, Any], root: str = "self", taken: frozenset[str] = frozenset()
) -> list[str]:
    """The statements of a body. Functions that `GLOBALS` does not reach are added to `extra`, under names that are not
    `taken`."""
    printed = Expressions(extra, root, taken | {node.name for node in nodes})
    steps: list[tuple[fx.Node, str]] = []
    for node in nodes:
        if node.op == "placeholder" or "prologue" in node.meta or printed.inlines(node) or _unpacked(node):
            continue
        steps.append((node, printed.statement(node)))
    dropped = _drops([node for node, _ in steps], printed)
    return [text + dropped.get(node, "") + note(node) for node, text in steps]


# --- several results --------------------------------------------------------------------------------------------------


def _unpacked(node: fx.Node) -> bool:
    """Whether a part of a tuple gets its name where the tuple is made."""
    return node.target is operator.getitem and isinstance(node.args[0], fx.Node) and "parts" in node.args[0].meta


# --- comments and temporaries -----------------------------------------------------------------------------------------


def note(node: fx.Node) -> str:
    """The comment behind a statement."""
    text, axes = node.meta.get("text", ""), node.meta.get("axes")
    if node.op == "output" or (not text and axes is None):
        return ""
    shown = f"[{', '.join(axes)}]" if axes is not None else ""
    return _comment(f"{_one_line(text, 60)}  {shown}" if text and shown else _one_line(text, 60) or shown, 160)


def _comment(text: str, longest: int = 100) -> str:
    text = _one_line(text, longest)
    return f"  # {text}" if text else ""


def _one_line(text: str, longest: int) -> str:
    """`text` without anything that could end the comment that it stands in."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split(" ")).strip()
    text = text if "  " in text and len(text) <= longest else " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _drops(steps: list[fx.Node], printed: Expressions) -> dict[fx.Node, str]:
    """`; del x` for the steps after which a temporary is not needed, as long as something is still to be computed."""
    last: dict[fx.Node, fx.Node] = {}
    for step in steps:
        for used in _uses(step, printed):
            last[used] = step
    found: dict[fx.Node, list[str]] = {}
    for used, step in last.items():
        if used.meta.get("temporary") and step not in steps[-2:]:
            found.setdefault(step, []).append(used.name)
    return {step: f"; del {', '.join(names)}" for step, names in found.items()}


def _uses(node: fx.Node, printed: Expressions) -> Iterable[fx.Node]:
    for used in node.all_input_nodes:
        yield from _uses(used, printed) if printed.inlines(used) and "prologue" not in used.meta else (used,)


def _arguments(nodes: list[fx.Node]) -> list[str]:
    return [node.name for node in nodes if node.op == "placeholder"]


def _identifiers(expression: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "_" else " " for c in expression).split()
