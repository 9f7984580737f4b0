"""What several rules build or ask: minus a value, the same value along other axes, squares, roots, counts."""

from __future__ import annotations

from dataclasses import replace

from namedlayers.plan.view import Product, Scope, constant, size_of
from namedlayers.program.graph import Arg
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const


def negative(scope: Scope, x: Arg) -> Arg:
    """-x, where x is itself a negation without the two."""
    product = scope.own_product(x)
    if product.number != 1:
        return scope.multiply(replace(product, number=-product.number))
    if x.node.op == "sub":
        first, second = scope.operands(x)
        if first.node.kind == second.node.kind == x.node.kind:
            return scope.apply("sub", second, first)
    return scope.apply("neg", x)


def renaming(inner: Arg, outer: Arg, consumed: tuple[int, ...]) -> dict[int, int] | None:
    """How to name `consumed` so that `inner` becomes `outer`; None if it does not."""
    if inner.node is not outer.node:
        return None
    found: dict[int, int] = {}
    for a, b in zip(inner.axes, outer.axes, strict=True):
        if a in consumed:
            if found.setdefault(a, b) != b:
                return None
        elif a != b:
            return None
    return found if len(found) == len(consumed) and len(set(found.values())) == len(found) else None


def reduced(scope: Scope, arg: Arg, op: str) -> tuple[Arg, tuple[int, ...]] | None:
    """`(operand, consumed)` if `arg` is a reduction by `op`."""
    if arg.node.op not in ("reduce", "extreme") or arg.node.attr("op") != op:
        return None
    return scope.operands(arg)[0], scope.consumed(arg)


def statistic(scope: Scope, arg: Arg, op: str) -> tuple[Arg, tuple[int, ...]] | None:
    """`(operand, consumed)` if `arg` is a `statistic` by `op` (var and std: with ddof 0)."""
    node = arg.node
    if node.op != "statistic" or node.attr("op") != op or node.attr("ddof") != 0:
        return None
    return scope.operands(arg)[0], scope.consumed(arg)


def square_root(scope: Scope, arg: Arg) -> Arg | None:
    """What `arg` is the square root of."""
    return _power(scope, arg, "sqrt", 0.5)


def inverse_root(scope: Scope, arg: Arg) -> Arg | None:
    """What `arg` is one over the square root of."""
    return _power(scope, arg, "rsqrt", -0.5)


def square_of(scope: Scope, arg: Arg) -> Arg | None:
    """The real x (or |x|) that `arg` is the square of."""
    if arg.node.kind == Kind.COMPLEX:
        return None
    if arg.node.op == "mul":
        first, second = scope.operands(arg)
        return first if first == second else None
    return _power(scope, arg, "", 2)


def sum_of_squares(scope: Scope, arg: Arg) -> tuple[Arg, tuple[int, ...]] | None:
    """`(x, consumed)` if `arg` is the sum of x squared; `abs` inside the square is left in."""
    found = reduced(scope, arg, "sum")
    if found is not None:
        x = square_of(scope, found[0])
        return (x, found[1]) if x is not None else None
    if arg.node.op == "contract" and arg.node.kind != Kind.COMPLEX:
        operands = scope.operands(arg)
        if len(operands) == 2 and operands[0] == operands[1]:
            return operands[0], scope.consumed(arg)
    return None


def count(scope: Scope, axes: tuple[int, ...]) -> SizeExpr:
    """The product of the sizes of coordinates."""
    total = const(1)
    for c in axes:
        total = total * scope.sizes[c]
    return total


def averaged(product: Product, part: Arg, count: SizeExpr) -> Product | None:
    """What is left of a product beside `part / count`, if it divides its factor `part` by so many."""
    top = list(product.top)
    top.remove(part)
    number = product.number
    if count.value and not isinstance(number, complex):
        whole = round(number * count.value)
        if whole and abs(number * count.value / whole - 1) <= 1e-15:
            return Product(whole, tuple(top), product.bottom)
    sizes = [(arg, size) for arg in product.bottom if (size := size_of(arg.node)) is not None]
    for chosen in (sizes, *([pair] for pair in sizes)):
        total, rest = const(1), list(product.bottom)
        for arg, size in chosen:
            total = total * size
            rest.remove(arg)
        if total == count:
            return Product(number, tuple(top), tuple(rest))
    return None


def divisor(product: Product, part: Arg) -> SizeExpr | None:
    """The size by which a product divides its factor `part`, if it does nothing else."""
    total = const(1)
    for arg in product.bottom:
        size = size_of(arg.node)
        if size is None:
            return None
        total = total * size
    if product.top != (part,):
        return None
    number = product.number
    if number == 1:
        return total
    if isinstance(number, complex) or number <= 0:
        return None
    whole = round(1 / number)
    return total * whole if whole > 0 and abs(number * whole - 1) <= 1e-15 else None


def _power(scope: Scope, arg: Arg, op: str, exponent: float) -> Arg | None:
    if arg.node.op == op:
        return scope.operands(arg)[0]
    if arg.node.op == "pow":
        base, power = scope.operands(arg)
        if constant(power.node) == exponent:
            return base
    return None
