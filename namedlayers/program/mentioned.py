"""What a program mentions, in its own statements and in the bodies that they run: axes, symbols, functions.

In: a program or a body. Out: sets. What always holds: a body that is run twice is looked at twice, and nothing twice
in a way that matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from funsor.terms import Binary, Funsor, Reduce, Unary

from namedlayers.program.dressed import Size
from namedlayers.program.printed_primitives import FORMS
from namedlayers.program.program import Body, Input, Program, Statement
from namedlayers.program.regions import BUNDLES
from namedlayers.program.size import SizeExpr, size_expr
from namedlayers.program.terms import REDUCE_OF, Axes, Primitive, Ref, SizeOf, operation_name
from namedlayers.program.walk import subterms

Block = Program | Body


def plain(axis: str) -> str:
    """The name of a bound axis without what funsor appends."""
    return _BOUND.sub("", axis)


_BOUND = re.compile(r"__BOUND_\d+$")


def body_of(term: Funsor) -> Body | None:
    """The body that a term runs."""
    return dict(term.attrs)["body"] if isinstance(term, Primitive) and term.op in BUNDLES else None


def blocks(block: Block, calls: bool = True) -> Iterator[Block]:
    """A block and those that its statements run; `calls`: also those that are called, and not only scanned."""
    yield block
    for statement in block.statements:
        body = body_of(statement.term)
        if body is not None and (calls or statement.term.op == "scan"):
            yield from blocks(body, calls)


def values(block: Block, calls: bool = True) -> Iterator[Input | Statement]:
    for one in blocks(block, calls):
        yield from one.values


def all_terms(block: Block, calls: bool = True) -> Iterator[Funsor]:
    for one in blocks(block, calls):
        for statement in one.statements:
            yield from subterms(statement.term)


def axis_names(block: Block) -> dict[str, set[SizeExpr]]:
    """Every axis that occurs in a text of the block, with all sizes that it has."""
    found: dict[str, set[SizeExpr]] = {}

    def see(axes: Axes | Iterable[tuple[str, SizeExpr]]) -> None:
        for axis, size in axes:
            found.setdefault(plain(axis), set()).add(size_expr(size))

    for one in values(block, calls=False):
        see(one.axes)
    for term in all_terms(block, calls=False):
        see((axis, size_expr(domain.size)) for axis, domain in term.inputs.items())
        if isinstance(term, Primitive):
            see(term.axes)
            for operand in term.operands:
                see(operand.axes if isinstance(operand, Ref) else ())
    return found


def symbols(block: Block, more: Iterable[SizeExpr] = ()) -> set[str]:
    """The symbols that a text of the block has to spell, itself or for what it calls; `more` are sizes beside it."""
    sizes = [*more, *(size for one in values(block) for _, size in one.axes)]
    for term in all_terms(block):
        sizes += [size_expr(domain.size) for domain in term.inputs.values()]
        if isinstance(term, SizeOf):
            sizes.append(size_expr(term.size))
        if isinstance(term, Primitive):
            sizes += _in(term.attrs) + _in(term.operands)
    return {name for size in sizes for name in size.symbols}


def _in(value: Any) -> list[SizeExpr]:
    """The sizes at any depth of an attribute."""
    if isinstance(value, tuple):
        return [size for part in value for size in _in(part)]
    return [value.expr] if isinstance(value, Size) else []


def functions(block: Block) -> set[str]:
    """The functions that the text calls, more or less: a definition in it must have none of their names."""
    found = {"index", "expand"}
    for term in all_terms(block):
        if isinstance(term, Primitive):
            found |= FORMS[term.op].names if term.op in FORMS else set()
        elif isinstance(term, Unary | Binary):
            found.add(operation_name(term.op))
        elif isinstance(term, Reduce):
            found.add(REDUCE_OF[term.op])
    return found


def draws_in_training(block: Block) -> bool:
    """Whether the text computes it in training only."""
    return any(isinstance(term, Primitive) and term.op == "dropout" for term in all_terms(block))
