"""A definition in LaTeX and in MathML.

In: a definition, and its program if that is known. Out: text. What always holds:
the LaTeX is one `aligned` environment, for any display; it needs the packages amsmath and amssymb.
"""

from __future__ import annotations

from collections.abc import Sequence

from namedlayers.inspect import mathematics as m
from namedlayers.inspect.equations import Line, lines_of, nested
from namedlayers.inspect.mathematics import Math
from namedlayers.program.namespace import Namespace
from namedlayers.program.program import Program
from namedlayers.syntax import tree


def lines(definition: tree.Definition, namespace: Namespace, program: Program | None) -> list[Line]:
    """The lines of a definition; its program says which inputs and results are integers, and the axes of results that
    the text leaves out."""
    if program is None:
        return lines_of(definition, namespace)
    kinds, of_all = ({one.name: one.kind for one in some} for some in (program.inputs, program.values))
    results = program.outputs[: len(program.outputs) - len(program.writes)]
    return lines_of(definition, namespace, kinds, tuple((one.axes, of_all[one.value]) for one in results))


def latex(lines: Sequence[Line]) -> str:
    """The lines under one another, by their signs of equality or, where there are blocks, by where they begin."""
    rows = [f"  {left.latex.strip()} & {right.latex.strip()}" for left, right in _columns(lines)]
    body = " \\\\\n".join(row.replace("   ", "  ") if row.strip() else row for row in rows)
    return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"


def mathml(lines: Sequence[Line]) -> str:
    """The same as an element of a page; each row says by `data-spans` which text it is of."""
    rows = []
    for line, (left, right) in zip(lines, _columns(lines), strict=True):
        spans = f"{line.span.start}-{line.span.end}"
        rows.append(f'<mtr data-spans="{spans}"><mtd>{left.mathml}</mtd><mtd>{right.mathml}</mtd></mtr>')
    kind = "blocks" if nested(lines) else "aligned"
    return f'<math display="block"><mtable class="{kind}" displaystyle="true">{"".join(rows)}</mtable></math>'


def _columns(lines: Sequence[Line]) -> list[tuple[Math, Math]]:
    if not nested(lines):
        return [(line.left, line.right) for line in lines]
    return [(m.NOTHING, m.row(m.quad(line.depth), line.left, line.right)) for line in lines]
