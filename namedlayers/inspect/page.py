"""All views of a definition on one page: the formula, its text, its program, graph, code, rules and cost.

In: what a definition is for one kind of call. Out: a `Page`, one file of HTML. What always holds: the page loads
nothing; texts of the user's are escaped; what is of a piece of the text says so by `data-spans`, and `page.js` lights
up together what belongs together.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from torch import fx

from namedlayers.errors import Source, Span
from namedlayers.files import write_text
from namedlayers.inspect.graph import COLUMNS, bodies, row, text_of
from namedlayers.inspect.latex import lines, mathml
from namedlayers.inspect.spans import spans_of, written
from namedlayers.inspect.svg import graph_svg
from namedlayers.plan.plan import Plan
from namedlayers.program.mentioned import blocks
from namedlayers.program.namespace import Namespace
from namedlayers.program.program import Program
from namedlayers.syntax import tree


class Specialised(Protocol):
    """What a page is made of."""

    @property
    def namespace(self) -> Namespace: ...

    @property
    def definition(self) -> tree.Definition: ...

    @property
    def program(self) -> Program: ...

    @property
    def plan(self) -> Plan: ...

    @property
    def graph(self) -> fx.GraphModule: ...

    @property
    def code(self) -> str: ...

    def explain(self) -> str: ...

    def cost(self) -> Any: ...


@dataclass(frozen=True)
class Page:
    """A page about the definition `name`; notebooks show it in place."""

    name: str
    html: str

    def at(self, path: str | Path | None) -> Page:
        """The same, written to a file if there is a path."""
        if path is not None:
            write_text(path, self.html)
        return self

    def __repr__(self) -> str:
        return f"<page of {self.name}: {len(self.html):,} characters of HTML; `.show(path)` writes it>"

    def _repr_html_(self) -> str:
        inner = html.escape(self.html, quote=True)
        return f'<iframe srcdoc="{inner}" style="width: 100%; height: 80vh; border: 0"></iframe>'


def page(shown: Specialised) -> Page:
    """The page. The graph is drawn where igraph is installed, and is a table beside that."""
    source = shown.definition.span.source
    formula = mathml(lines(shown.definition, shown.namespace, shown.program))
    panels = [
        _panel("formula", "Formula", formula),
        _panel("source", "Text", f'<pre id="text">{_marked(shown.definition.span, _numbers(shown))}</pre>'),
        _panel("cost", "Cost", f"<pre>{html.escape(str(shown.cost()))}</pre>"),
        _panel("explain", "Rules", _pre(_explained(shown, source))),
        _panel("program", "Program", _pre(_program(shown.program, source))),
        _panel("code", "Code", _pre(_code(shown.code, shown.graph, source))),
        _panel("graph", "Graph", _graph(shown.graph, source)),
    ]
    name = shown.definition.name
    title = f"<h1>{html.escape(name)}</h1><p>{html.escape(source.name)}, line {shown.definition.span.line}</p>"
    return Page(name, _PAGE.format(
        title=html.escape(name), style=_file("page.css"), head=title, panels="\n".join(panels), script=_file("page.js")
    ))  # fmt: skip


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}</style>
<header>{head}</header>
<main>
{panels}
</main>
<script>
{script}</script>
</html>
"""


def _file(name: str) -> str:
    return resources.files("namedlayers.inspect").joinpath(name).read_text(encoding="utf-8")


def _panel(kind: str, title: str, body: str) -> str:
    return f'<section id="{kind}"><h2>{title}</h2><div class="body">{body}</div></section>'


# --- lines, each with the spans that it is of -------------------------------------------------------------------------

Line = tuple[str, str]
"""A line of HTML, and its spans as `written` writes them."""


def _pre(found: Iterable[Line]) -> str:
    return f"<pre>{''.join(_tagged(line, spans) for line, spans in found)}</pre>"


def _tagged(line: str, spans: str) -> str:
    return f'<span class="line"{f" data-spans={chr(34)}{spans}{chr(34)}" if spans else ""}>{line}\n</span>'


def _program(program: Program, source: Source) -> Iterator[Line]:
    """The printed program; a line is known by the name that it assigns."""
    spans: dict[str, list[Span]] = {}
    for block in blocks(program):
        for given in block.inputs:
            spans.setdefault(given.name, [given.span])
        for statement in block.statements:
            spans.setdefault(statement.name, [statement.source])
    returned = [span for output in program.outputs for span in spans.get(output.value, ())]
    for line in str(program).splitlines():
        found = _ASSIGNED.match(line)
        names = found[1].split(", ") if found else []
        told = returned if line.lstrip().startswith("return ") else [s for name in names for s in spans.get(name, ())]
        yield html.escape(line), written(told, source)


_ASSIGNED = re.compile(r"\s*([^\W\d][\w']*(?:, [^\W\d][\w']*)*),? = ")


def _code(code: str, graph: fx.GraphModule, source: Source) -> Iterator[Line]:
    """The generated Python; a line is known by the name that it assigns and by what its comment says."""
    nodes: dict[str, list[fx.Node]] = {}
    for module in _modules(graph):
        for node in module.graph.nodes:
            nodes.setdefault(node.name, []).append(node)
    for line in code.splitlines():
        statement, sign, comment = line.partition("  # ")
        found = _ASSIGNED.match(statement)
        named = [node for name in (found[1].split(", ") if found else ()) for node in nodes.get(name, ())]
        said = [node for node in named if comment and " ".join(text_of(node, "text").split())[:20] in comment]
        told = (said or named)[:1]
        shown = html.escape(statement) + (f'<i class="comment">{html.escape(sign + comment)}</i>' if sign else "")
        yield shown, spans_of(told[0], source) if told else ""


def _modules(graph: fx.GraphModule) -> Iterator[fx.GraphModule]:
    yield graph
    for _, body in bodies(graph):
        yield from _modules(body)


def _explained(shown: Specialised, source: Source) -> Iterator[Line]:
    """The report on the rules; a line that names a rule is of what the lines below it quote."""
    known = {f"{span.source.name}:{span.line}: {_flat(span)[:40]}": span for span in _quoted(shown.plan)}
    found: list[tuple[str, list[Span]]] = []
    for line in shown.explain().splitlines():
        place = _PLACE.match(line)
        span = known.get(f"{place[1]}{place[2].rstrip('…')[:40]}") if place else None
        found.append((line, [span] if span else []))
    for number, (line, spans) in enumerate(found):
        below = list(spans)
        after = number + 1
        while not spans and after < len(found) and found[after][1]:
            below += found[after][1]
            after += 1
        yield html.escape(line), written(below, source)


_PLACE = re.compile(r"\s+(\S.*?:\d+: )(.*)")


def _quoted(plan: Plan) -> Iterator[Span]:
    for event in plan.events:
        yield from event.spans
    for inner in plan.bodies.values():
        yield from _quoted(inner)


def _flat(span: Span) -> str:
    return " ".join(span.text.split())


# --- the text ---------------------------------------------------------------------------------------------------------


def _numbers(shown: Specialised) -> set[int]:
    """Where pieces begin or end that anything is of."""
    source = shown.definition.span.source
    spans = [span for block in blocks(shown.program) for one in block.inputs for span in (one.span,)]
    spans += [one.source for block in blocks(shown.program) for one in block.statements]
    spans += [
        span for module in _modules(shown.graph) for node in module.graph.nodes for span in node.meta.get("spans", ())
    ]
    spans += _quoted(shown.plan)
    spans += [line.span for line in lines(shown.definition, shown.namespace, shown.program)]
    return {at for span in spans if span.source.text == source.text for at in (span.start, span.end)}


def _marked(own: Span, ends: set[int]) -> str:
    """The whole text in pieces that are lit together, each saying where it begins and ends; `own` is the definition."""
    text = own.source.text
    cuts = sorted({0, own.start, own.end, len(text), *(at for at in ends if 0 < at < len(text))})
    pieces = []
    for start, end in zip(cuts, cuts[1:], strict=False):
        kind = "own" if own.start <= start < own.end else "other"
        pieces.append(f'<span class="{kind}" data-from="{start}" data-to="{end}">{html.escape(text[start:end])}</span>')
    return "".join(pieces)


# --- the graph --------------------------------------------------------------------------------------------------------


def _graph(graph: fx.GraphModule, source: Source) -> str:
    drawn = f'<div class="drawing">{graph_svg(graph, source)}</div>' if find_spec("igraph") else ""
    tables = [_table(graph, source)]
    tables += [f"<h3>{html.escape(name)}</h3>{_table(body, source)}" for name, body in bodies(graph)]
    return f"{drawn}<details{'' if drawn else ' open'}><summary>as a table</summary>{''.join(tables)}</details>"


def _table(graph: fx.GraphModule, source: Source) -> str:
    head = "".join(f"<th>{column}</th>" for column in COLUMNS)
    rows = []
    for node in graph.graph.nodes:
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row(node))
        rows.append(f'<tr data-spans="{spans_of(node, source)}">{cells}</tr>')
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"
