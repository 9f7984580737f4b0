"""Tree to text: one canonical layout.

In: a module. Out: its text, in which nothing is lost: it parses to an equal tree, all comments are there, and so are
the blank lines between statements (one where there were several). Formatting what was formatted changes nothing.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from namedlayers.syntax import tree
from namedlayers.syntax.document import INDENT, NOTHING, Broken, Document, Group, Nest, bracketed, joined, render
from namedlayers.syntax.phrases import document, quoted, standing_alone

WIDTH = 120
_NEVER = 1 << 60

_Comment = tuple[int, int, str]
_Clause = tuple[Document, int, Sequence[tree.Statement]]


def format_module(module: tree.Module) -> str:
    """The canonical text of a module.

    >>> from namedlayers.syntax import parse
    >>> print(format_module(parse("def f[ a ](X[a];k=(2)) :  # twice\\n  return X**k")), end="")
    def f[a](X[a]; k = 2):  # twice
        return X ^ k
    """
    return _Page(module).module(module.items)


def format_expr(expression: tree.Node, width: int | None = None) -> str:
    """The canonical text of an expression, an axis or an entry, on one line unless a `width` is given.

    >>> from namedlayers.syntax import parse
    >>> format_expr(parse("def f(X) = (A+(B))*(-C)").items[0].body[0].values[0])
    '(A + B) * -C'
    """
    if width is None:
        return render(document(expression), 0, _NEVER)
    return render(standing_alone(expression), 0, width)  # type: ignore[arg-type]


class _Lines:
    """Where things stand in the text that was read, and which of its comments are still to be written."""

    def __init__(self, module: tree.Module) -> None:
        self.source = module.span.source.text
        self.starts = [0, *(at + 1 for at, character in enumerate(self.source) if character == "\n")]
        self.comments = sorted(module.comments)
        self.taken = 0

    def line(self, position: int) -> int:
        return bisect.bisect_right(self.starts, position)

    def column(self, position: int) -> int:
        return position - self.starts[self.line(position) - 1] + 1

    def written(self, line: int, until: int | None = None) -> str:
        """What stands on a line, up to a column; nothing where the text has no such line."""
        if not 1 <= line <= len(self.starts):
            return ""
        start = self.starts[line - 1]
        end = self.starts[line] if line < len(self.starts) else len(self.source)
        return self.source[start : end if until is None else min(end, start + until - 1)].strip()

    def blank_before(self, line: int) -> bool:
        return line > 1 and not self.written(line - 1)

    def head_of_else(self, node: tree.If) -> int:
        """The line of the `else` that belongs to the statements in `node.otherwise`."""
        first = self.line(node.otherwise[0].span.start)
        last = self.line(node.body[-1].span.end)
        return next((at for at in range(first, last, -1) if self.written(at).startswith("else")), first)

    def ahead(self, before: int) -> list[_Comment]:
        """The comments still to be written that stand before a line."""
        return self.comments[self.taken : bisect.bisect_left(self.comments, (before,), self.taken)]

    def take(self, count: int) -> list[_Comment]:
        self.taken += count
        return self.comments[self.taken - count : self.taken]


class _Page:
    """The lines written so far."""

    def __init__(self, module: tree.Module) -> None:
        self.read = _Lines(module)
        self.lines: list[str] = []
        self.block_begins = True

    def module(self, items: Sequence[tree.Import | tree.Definition]) -> str:
        starts = [*(self.read.line(item.span.start) for item in items[1:]), _NEVER]
        previous = None
        for item, until in zip(items, starts, strict=True) if items else ():
            apart = previous is not None and not _adjacent(previous, item)
            if isinstance(item, tree.Definition) and not item.inline:
                self.compound([(_definition_head(item), self.read.line(item.span.start), item.body)], 0, until, apart)
            else:
                text = _import(item) if isinstance(item, tree.Import) else _inline(item)
                self.simple(item, text, 0, apart)
            previous = item
        self.comments(self.read.ahead(_NEVER), 0)
        return "".join(line + "\n" for line in self.lines)

    def block(self, body: Sequence[tree.Statement], depth: int, until: int) -> None:
        """Write statements, and the comments after them that are indented as they are."""
        for at, statement in enumerate(body):
            following = self.read.line(body[at + 1].span.start) if at + 1 < len(body) else until
            if type(statement) in _SIMPLE:
                self.simple(statement, _SIMPLE[type(statement)](statement), depth)
            else:
                self.compound(self.clauses(statement), depth, following)
        column = self.read.column(body[0].span.start)
        after = self.read.ahead(until)
        outside = (at for at, comment in enumerate(after) if comment[1] < column)
        self.comments(after[: next(outside, len(after))], depth)

    def clauses(self, statement: tree.Statement) -> list[_Clause]:
        """The heads of a compound statement, each with its line and its block."""
        start = self.read.line(statement.span.start)
        if isinstance(statement, tree.Repeat):
            return [(_repeat_head(statement), start, statement.body)]
        if isinstance(statement, tree.Scan):
            return [(_scan_head(statement), start, statement.body)]
        assert isinstance(statement, tree.If), "there are no other compound statements"
        clauses: list[_Clause] = [(_head("if", statement.condition), start, statement.body)]
        while len(statement.otherwise) == 1 and isinstance(statement.otherwise[0], tree.If):
            statement = statement.otherwise[0]
            clauses.append((_head("elif", statement.condition), self.read.line(statement.span.start), statement.body))
        if statement.otherwise:
            clauses.append(("else:", self.read.head_of_else(statement), statement.otherwise))
        return clauses

    def simple(self, node: tree.Node, text: Document, depth: int, apart: bool = False) -> None:
        """Write what takes one line, or several in brackets. Comments inside it are written before it."""
        last = self.read.line(max(node.span.start, node.span.end - 1))
        within = self.read.ahead(last + 1)
        trailing = within[-1][2] if within and within[-1][0] == last else ""
        apart = self.comments(within[: -1 if trailing else None], depth, apart)
        self.read.take(1 if trailing else 0)
        self.line(text, depth, apart or self.read.blank_before(self.read.line(node.span.start)), trailing)

    def compound(self, clauses: Sequence[_Clause], depth: int, until: int, apart: bool = False) -> None:
        ends = [*(line for _, line, _ in clauses[1:]), until]
        for (head, line, body), end in zip(clauses, ends, strict=True):
            within = self.read.ahead(self.read.line(body[0].span.start))
            before = [at for at, comment in enumerate(within) if comment[0] < line]
            beside = [at for at, comment in enumerate(within) if self.read.written(comment[0], comment[1])]
            trailing = within[beside[-1]][2] if beside and beside[-1] >= len(before) else ""
            leading = beside[-1] if trailing else len(before)
            apart = self.comments(within[:leading], depth, apart)
            self.read.take(1 if trailing else 0)
            self.line(head, depth, apart or self.read.blank_before(line), trailing)
            self.block_begins, apart = True, False
            self.block(body, depth + 1, end)

    def comments(self, taken: Sequence[_Comment], depth: int, apart: bool = False) -> bool:
        """Write comments on lines of their own; what is left of `apart`, a blank line that must come first."""
        for line, _, text in self.read.take(len(taken)):
            self.line(text, depth, apart or self.read.blank_before(line))
            apart = False
        return apart

    def line(self, text: Document, depth: int, apart: bool, trailing: str = "") -> None:
        if apart and not self.block_begins:
            self.lines.append("")
        margin = depth * INDENT
        self.lines.append(" " * margin + render(text, margin, WIDTH) + (f"  {trailing}" if trailing else ""))
        self.block_begins = False


# --- what stands on the lines -----------------------------------------------------------------------------------------


def _adjacent(first: tree.Node, second: tree.Node) -> bool:
    """Whether two items may follow each other without a blank line."""
    if isinstance(first, tree.Definition) and isinstance(second, tree.Definition):
        return first.inline and second.inline
    return isinstance(first, tree.Import) and isinstance(second, tree.Import)


def _import(node: tree.Import) -> Document:
    if node.names is None:
        return f"import {node.module}"
    names = Nest((NOTHING, joined(name.name for name in node.names)))
    return Group((f"from {node.module} import ", Broken("("), names, Broken(","), NOTHING, Broken(")")))


def _definition_head(node: tree.Definition) -> Document:
    return (_signature(node), ":")


def _inline(node: tree.Definition) -> Document:
    body = node.body[0]
    assert isinstance(body, tree.Return), "an inline definition is one return"
    return (_signature(node), " = ", standing_alone(body.values[0]))


def _signature(node: tree.Definition) -> Document:
    axes: Document = bracketed("[", map(document, node.axes), "]") if node.axes else ()
    inputs = bracketed("(", map(document, node.data), ")", map(document, node.parameters))
    return (f"{node.kind} {node.name}", axes, inputs, _results(node))


def _results(node: tree.Definition) -> Document:
    """Results stay on one line, so that a long head breaks at its inputs; only very long ones do not."""
    if node.results is None:
        return ()
    results: Document = (" -> ", _commas(map(document, node.results)))
    flat = render(results, 0, WIDTH)
    return results if "\n" in flat else flat


def _head(word: str, condition: tree.Expr) -> Document:
    return (f"{word} ", standing_alone(condition), ":")


def _repeat_head(node: tree.Repeat) -> Document:
    return ("repeat ", standing_alone(node.count), f" as {node.index.name}:" if node.index else ":")


def _scan_head(node: tree.Scan) -> Document:
    size: Document = () if node.axis.size is None else (" = ", standing_alone(node.axis.size))
    starts = ((carry.name, " = ", standing_alone(carry.start)) for carry in node.carries)
    carries: Document = (" with ", _commas(starts)) if node.carries else ()
    return (f"scan {node.axis.name}", size, " reversed" if node.backwards else "", carries, ":")


def _assign(node: tree.Assign) -> Document:
    return (", ".join(target.name for target in node.targets), " = ", standing_alone(node.value))


def _equation(node: tree.Equation) -> Document:
    return (document(node.size), " = ", standing_alone(node.value))


def _require(node: tree.Require) -> Document:
    message: Document = () if node.message is None else (", ", quoted(node.message))
    return ("require ", standing_alone(node.condition), message)


def _return(node: tree.Return) -> Document:
    return ("return ", _commas(map(standing_alone, node.values)))


def _declare(node: tree.Declare) -> Document:
    axes = bracketed("[", map(document, node.axes), "]")
    return (f"{node.kind} {node.name}", axes, " ~ ", standing_alone(node.initial))


def _commas(pieces: Iterable[Document]) -> Document:
    first, *others = pieces
    return (first, tuple((", ", piece) for piece in others))


_SIMPLE: dict[type, Callable[[Any], Document]] = {
    tree.Assign: _assign,
    tree.Equation: _equation,
    tree.Require: _require,
    tree.Return: _return,
    tree.Declare: _declare,
}
