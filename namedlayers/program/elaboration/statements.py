"""Statements: what a block does to the names that it sees, and what it returns.

In: the statements of a block and their environment. Out: what the block returns, or None where it falls through. What
always holds: conditions are decided while compiling; a name that only one branch assigns is undefined afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest

from namedlayers.errors import ArgumentError, FormulaSyntaxError, Label, SizeError, Span
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.declaring import declare, write
from namedlayers.program.elaboration.layers import instance
from namedlayers.program.elaboration.repeats import repeat
from namedlayers.program.elaboration.scans import scan
from namedlayers.program.elaboration.stars import starred, unzip
from namedlayers.program.elaboration.statics import described
from namedlayers.program.elaboration.values import Callee, Environment, Evaluated, Several, Static, Value
from namedlayers.program.program import Check
from namedlayers.program.size import SizeExpr, const
from namedlayers.syntax import tree


def run(ctx: Context, body: tuple[tree.Statement, ...], env: Environment) -> Evaluated | None:
    """What the block returns; None where it ends without `return`."""
    for statement, after in zip_longest(body, body[1:]):
        found = _STATEMENTS[type(statement)](ctx, statement, env)
        if found is not None:
            if after is not None and _returns((statement,)):
                raise _never_reached(after, statement)
            return found
    return None


def _never_reached(after: tree.Statement, statement: tree.Statement) -> FormulaSyntaxError:
    way_out = Label(statement.span, "it returns here")
    if isinstance(statement, tree.If):
        way_out = Label(statement.condition.span, "every branch of this `if` returns")
    return FormulaSyntaxError("NL0233", "this is never reached", Label(after.span), way_out)


def _assign(ctx: Context, statement: tree.Assign, env: Environment) -> None:
    found = ctx.evaluate(statement.value, env)
    if isinstance(found, Callee) and found.definition is not None and found.definition.kind == "layer":
        # A layer that is written alone is an instance of it, too.
        found = instance(ctx, found, tree.Call(statement.value.span, statement.value, None, (), (), ()), env)
    if len(statement.targets) == 1:
        _bind(ctx, statement.targets[0], found, statement.value.span, env)
        return
    if not isinstance(found, Several) or len(found.values) != len(statement.targets):
        count = len(found.values) if isinstance(found, Several) else 1
        raise ArgumentError(
            "NL0213", f"{len(statement.targets)} names are assigned, but there {'is' if count == 1 else 'are'} {count} "
            f"result{'' if count == 1 else 's'}", Label(statement.value.span),
            Label(statement.targets[0].span.to(statement.targets[-1].span), "names"),
        )  # fmt: skip
    for target, value in zip(statement.targets, found.values, strict=True):
        _bind(ctx, target, value, statement.value.span, env)


def _bind(ctx: Context, target: tree.Name, found: Evaluated, span: Span, env: Environment) -> None:
    if isinstance(found, Several):
        raise ArgumentError(
            "NL0213", f"this gives {len(found.values)} results; one name takes one",
            Label(span), Label(target.span, "one name"),
            hint=f"`{target.name}, … = …`",
        )  # fmt: skip
    env.undefined.pop(target.name, None)
    if target.name in env.states:
        env.values[target.name] = write(ctx, target.name, ctx.value(found, span), env)
        return
    env.values[target.name] = ctx.let(found, target.name, span) if isinstance(found, Value) else found


def _equation(ctx: Context, statement: tree.Equation, env: Environment) -> None:
    """`|key| = …`: an axis that is not known yet is introduced with that size."""
    size = ctx.size(statement.value, env)
    product = const(1)
    for node in statement.size.axes:
        if node.name not in env.axes:
            axis = ctx.introduce(node, env)
            if len(statement.size.axes) == 1:
                ctx.not_negative(size, node.name, statement.span)
                env.sizes[axis] = size
                env.declared.add(axis)
                return
        product = product * ctx.size_of(node, env)
    names = ", ".join(node.name for node in statement.size.axes)
    axes = [axis for node in statement.size.axes for axis in ctx.axis(node, env)]
    told = [label for axis in axes for label in ctx.known_size(axis, env.sizes[axis])]
    ctx.solver.require(
        Check(
            product,
            "==",
            size,
            "NL0419",
            f"|{names}| is {{left}}, but the equation says {{right}}",
            (Label(statement.span), *told),
        )
    )


def _require(ctx: Context, statement: tree.Require, env: Environment) -> None:
    for inner in [env] if starred(statement.condition) else unzip(ctx, statement.condition, env):
        _require_one(ctx, statement, statement.condition, inner)


def _require_one(ctx: Context, statement: tree.Require, condition: tree.Expr, env: Environment) -> None:
    message = statement.message or f"`{condition.span.text}` does not hold"
    labels = (Label(condition.span),)
    if isinstance(condition, tree.Binary) and condition.op == "and":
        _require_one(ctx, statement, condition.left, env)
        _require_one(ctx, statement, condition.right, env)
        return
    if isinstance(condition, tree.Compare) and _require_sizes(ctx, condition, env, _plain(message), labels):
        return
    if not _truth(ctx, condition, env, "what is required", "tensors are not checked"):
        raise SizeError("NL0420", message, *labels)


def _require_sizes(
    ctx: Context, condition: tree.Compare, env: Environment, message: str, labels: tuple[Label, ...]
) -> bool:
    """Conditions on sizes are equations for the solver, or checks of the call. False: it is no condition on sizes."""
    found = [ctx.evaluate(operand, env) for operand in condition.operands]
    sizes = [one.value for one in found if isinstance(one, Static)]
    if len(sizes) < len(found) or not any(isinstance(size, SizeExpr) for size in sizes):
        return False
    if any(isinstance(size, bool) or not isinstance(size, (int, SizeExpr)) for size in sizes):
        return False
    exprs = [
        ctx.size_value(one, operand.span, "a size") for one, operand in zip(sizes, condition.operands, strict=True)
    ]
    for op, left, right, node in zip(condition.ops, exprs, exprs[1:], condition.operands, strict=False):
        if op == "==" and right == 0 and isinstance(node, tree.Binary) and node.op == "%":
            whole, part = ctx.size(node.left, env), ctx.size(node.right, env)
            shown = f"{message}: {_plain(str(whole))} leaves over {{left}}"
            check = Check(left, "==", right, "NL0420", shown, labels)
            ctx.solver.divide(whole, part, check)
            continue
        low, relation, high = _RELATIONS[op](left, right)
        sides = [(low, "{left}"), (high, "{right}")]
        told = [f"{_plain(str(size))} is {held}" for size, held in sides if size.value is None]
        shown = f"{message}: {', '.join(told)}" if told else message
        ctx.solver.require(Check(low, relation, high, "NL0420", shown, labels))  # type: ignore[arg-type]
    return True


_RELATIONS: dict[str, Callable[[SizeExpr, SizeExpr], tuple[SizeExpr, str, SizeExpr]]] = {
    "==": lambda a, b: (a, "==", b),
    "!=": lambda a, b: (a, "!=", b),
    ">=": lambda a, b: (a, ">=", b),
    "<=": lambda a, b: (b, ">=", a),
    ">": lambda a, b: (a, ">=", b + 1),
    "<": lambda a, b: (b, ">=", a + 1),
}


def _plain(message: str) -> str:
    """The user's text with braces doubled: messages of checks are formats."""
    return message.replace("{", "{{").replace("}", "}}")


def _return(ctx: Context, statement: tree.Return, env: Environment) -> Evaluated:
    found = [ctx.evaluate(value, env) for value in statement.values]
    if len(found) == 1 and isinstance(found[0], (Value, Static, Several)):
        return found[0]
    values = tuple(
        one if isinstance(one, Static) else ctx.value(one, node.span)
        for one, node in zip(found, statement.values, strict=True)
    )
    return values[0] if len(values) == 1 else Several(values, statement.span)


def _if(ctx: Context, statement: tree.If, env: Environment) -> Evaluated | None:
    hint = "`where(condition, then, otherwise)` chooses at each coordinate"
    taken = _truth(ctx, statement.condition, env, "the condition of an `if`", hint)
    before = set(env.values)
    found = run(ctx, statement.body if taken else statement.otherwise, env)
    if found is None:
        body, otherwise = _assigned(statement.body), _assigned(statement.otherwise)
        declared = {one.name for one in (*statement.body, *statement.otherwise) if isinstance(one, tree.Declare)}
        # A branch that returns assigns nothing that could be seen afterwards.
        if not (_returns(statement.body) or _returns(statement.otherwise)):
            for name in sorted((body ^ otherwise) - before - declared):
                env.undefined[name] = statement.condition.span
                env.values.pop(name, None)
    return found


def _truth(ctx: Context, condition: tree.Expr, env: Environment, what: str, hint: str) -> bool:
    """A condition that is known while compiling."""
    found = ctx.static(condition, env, what, hint)
    if isinstance(found, (str, tuple, SizeExpr)):
        raise ArgumentError(
            "NL0230", f"a condition is true or false, and this is {described(found)}", Label(condition.span),
            hint=f"compare it: `{condition.span.text} == …`",
        )  # fmt: skip
    return bool(found)


def _assigned(body: tuple[tree.Statement, ...]) -> set[str]:
    names: set[str] = set()
    for statement in body:
        if isinstance(statement, tree.Assign):
            names |= {target.name for target in statement.targets}
        elif isinstance(statement, tree.If):
            names |= _assigned(statement.body) & _assigned(statement.otherwise)
        elif isinstance(statement, (tree.Repeat, tree.Scan)):
            names |= _assigned(statement.body)
    return names


def _returns(body: tuple[tree.Statement, ...]) -> bool:
    return any(
        isinstance(one, tree.Return) or (isinstance(one, tree.If) and _returns(one.body) and _returns(one.otherwise))
        for one in body
    )


_STATEMENTS: dict[type, Callable[..., Evaluated | None]] = {
    tree.Assign: _assign,
    tree.Equation: _equation,
    tree.Require: _require,
    tree.Return: _return,
    tree.If: _if,
    tree.Repeat: repeat,
    tree.Scan: scan,
    tree.Declare: declare,
}
