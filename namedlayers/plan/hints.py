"""What is left of a planned graph that is nearly a kernel's formula: a table of such remains, and what to change.

In: a graph after all rules. Out: events of near misses, which `explain` shows. What always holds: a hint is a pattern
of what its rule would have taken away had the formula been right, so where it is seen the rule has not fired; looking
changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from namedlayers.plan.pattern import Num, Op, Pattern, Product, Sum, Var, match
from namedlayers.plan.plan import Event
from namedlayers.plan.rule import Numerics, root_key
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Graph, Node
from namedlayers.program.program import Kind


@dataclass(frozen=True, slots=True)
class Hint:
    """`remains` of a formula that `rule` does not recognise, why, and what to write instead."""

    rule: str
    numerics: Numerics
    remains: Pattern
    reason: str
    cure: str


def hints(graph: Graph, events: Sequence[Event]) -> Iterator[Event]:
    """A near miss for each place where something is left of a kernel's formula and `events` do not say so already."""
    said = {(event.rule, event.spans) for event in events}
    # What digits were given up for is what was wanted, not what is left of something else.
    given_up = {event.spans for event in events if event.numerics == "conditioned" and not event.near}
    for node in graph.live():
        if node.kind is not Kind.REAL or not node.args or node.spans in given_up:
            continue
        for hint in _BY_ROOT.get(root_key(node), ()):
            if (hint.rule, node.spans) not in said and _looks_like(graph, node, hint):
                said.add((hint.rule, node.spans))
                yield Event(hint.rule, hint.numerics, node.spans, f"{hint.reason}: {hint.cure}")


# --- the table --------------------------------------------------------------------------------------------------------

X, Y, Z = Var("x"), Var("y"), Var("z")
ANY = Num(None)


def _exp(inner: Pattern) -> Op:
    return Op("exp", (inner,))


def _total(op: str, inner: Pattern) -> Op:
    return Op(f"reduce {op}", (inner,))


_VARIANCE = Op("statistic", (Y,), "var")
_SQUARES = (Op("contract", (Y, Y)), _total("sum", Op("pow", (Y, Num(2)))))
_DIFFERENCE = Op("sub", (X, Y))
_SQUARED = Op("pow", (_DIFFERENCE, Num(2)))
_CLIPPED = Op("activation", (_DIFFERENCE, ANY, ANY), "clip")
_LOSS = Op("class_loss", (X, Y))
_MEAN_SQUARE = Op("statistic", (Op("pow", (Y, Num(2))),), "mean")

HINTS: tuple[Hint, ...] = (
    Hint("softmax", "algebraic", Op("div", (_exp(X), _total("sum", _exp(Y)))),
         "what is exponentiated above is not what is exponentiated and summed below",
         "divide `exp(X)` by `sum[i](exp(X))` of the same X"),
    Hint("softmax divided later", "algebraic", Op("div", (Op("contract", (_exp(X), Z)), _total("sum", _exp(Y)))),
         "the weights that are summed below are not those of the values",
         "divide `exp(X) @[i] V` by `sum[i](exp(X))` of the same X"),
    Hint("softmax without its shift", "algebraic", Op("softmax", (Op("sub", (X, Op("extreme", (Y,), "max"))),)),
         "the maximum that is subtracted is of something else",
         "subtract the maximum of the same values, or nothing: a softmax subtracts it by itself"),
    Hint("log_softmax", "exact", Op("sub", (X, _total("logsumexp", Y))),
         "the logsumexp is of something else than what it is subtracted from",
         "write `X - logsumexp[i](X)` with the same X"),
    Hint("log_softmax of a sum", "algebraic", Sum(0, (X, Y, Product(-1, (_total("logsumexp", Z),)))),
         "what the logsumexp is of is not the sum that stands before it", "write `X + Y - logsumexp[i](X + Y)`"),
    Hint("softmax", "algebraic", Op("div", (_exp(X), Sum(None, (_total("sum", _exp(Y)),)))),
         "a number is added to the sum of the powers", "add nothing: a softmax never divides by 0"),
    Hint("softmax", "algebraic",
         Op("div", (Op("mul", (_exp(X), Z)), Sum(None, (_total("sum", Op("mul", (_exp(Y), Z))),)))),
         "a number is added to the sum of the powers, or the factor is no condition",
         "add nothing, and multiply by a condition: a softmax of which nothing is left is 0"),
    Hint("logsumexp", "algebraic", Op("log", (Sum(None, (_total("sum", _exp(X)),)),)),
         "a number is added to the sum of the powers", "add nothing: `logsumexp[i](X)` never takes log(0)"),
    Hint("standard deviation", "exact", Op("sqrt", (Sum(None, (_VARIANCE,)),)),
         "something is added to the variance below the root",
         "a standard deviation is `sqrt(var[i](X))`; to normalise, divide `X - mean[i](X)` of the same X by the root"),
    *(Hint("norm", "exact", Op("pow", (one, ANY)), "the exponent is not 1/2", "a norm is `sqrt(sum[i](X ^ 2))`")
      for one in _SQUARES),
    *(Hint("rms_norm", "algebraic", Op("div", (X, Op("sqrt", (Sum(None, (one,)),)))),
           "the squares are added up, and not averaged, or are those of something else",
           "divide X by `sqrt(mean[i](X ^ 2) + eps)` of the same X")
      for one in (*_SQUARES, _MEAN_SQUARE)),
    Hint("mean pool without its padding", "algebraic",
         Op("div", (Op("pool", (X,), "mean"), Op("pool", (Y,), "mean"))),
         "the means below are not those of ones", "divide by the mean of the same windows of `ones`"),
    Hint("relu", "exact", Op("maximum", (X, ANY)), "the bound is not 0", "a relu is `maximum(X, 0)`"),
    Hint("sigmoid", "algebraic", Op("div", (ANY, Sum(None, (_exp(X),)))),
         "the number beside the exponential is not 1", "a sigmoid is `1 / (1 + exp(-X))`"),
    Hint("silu", "algebraic", Product(1, (Op("sigmoid", (Product(None, (X,)),)), X)),
         "the sigmoid is of a multiple of what it is multiplied by", "a silu is `X * sigmoid(X)`"),
    Hint("gelu", "algebraic", Product(None, (Sum(None, (Op("erf", (Product(None, (X,)),)),)), X)),
         "a number is not that of the function", "a gelu is `0.5 * X * (1 + erf(X / sqrt(2)))`"),
    Hint("softplus", "algebraic", Op("log", (Sum(None, (_exp(X),)),)),
         "the number beside the exponential is not 1", "a softplus is `log(1 + exp(X))`"),
    Hint("softplus", "exact", Op("logaddexp", (X, ANY)), "the number is not 0", "a softplus is `logaddexp(X, 0)`"),
    Hint("clip", "algebraic", Op("maximum", (Op("minimum", (X, ANY)), ANY)),
         "the lower bound is above the upper one", "write `minimum(maximum(X, lo), hi)`"),
    Hint("leaky relu", "algebraic", Op("where", (Op("gt", (X, Num(0))), X, Product(None, (Y,)))),
         "below 0 it is no multiple of the same value", "write `where(X > 0, X, slope * X)`"),
    Hint("prelu", "algebraic", Sum(0, (Op("relu", (X,)), Product(1, (Op("minimum", (X, Num(0))), Y)))),
         "the slopes do not lie along one axis", "give the slopes one axis: `relu(X) + a * minimum(X, 0)`"),
    Hint("elu", "algebraic", Op("where", (Op("gt", (X, Num(0))), X, Sum(None, (Product(None, (_exp(X),)),)))),
         "below 0 it is not a multiple of `exp(X) - 1`", "write `where(X > 0, X, alpha * (exp(X) - 1))`"),
    Hint("selu", "algebraic", Product(None, (Op("activation", (X, ANY), "elu"),)),
         "the constants are not those of self-normalising networks",
         "write 1.0507009873554805 times an elu with alpha 1.6732632423543772"),
    Hint("softshrink", "algebraic", Op("sub", (X, Op("activation", (X, ANY, ANY), "clip"))),
         "the bounds of the clip are not opposite", "write `X - clip(X, -bound, bound)`"),
    Hint("hardshrink", "algebraic", Op("where", (Op("ge", (Op("abs", (X,)), ANY)), X, Num(0))),
         "the kernel leaves out what is at the bound", "write `where(abs(X) > bound, X, 0)`"),
    Hint("threshold", "algebraic", Op("where", (Op("ge", (X, ANY)), X, ANY)),
         "the kernel leaves out what is at the bound", "write `where(X > bound, X, value)`"),
    Hint("hardswish", "algebraic", Product(None, (Op("activation", (Sum(None, (X,)), ANY, ANY), "clip"), X)),
         "a number is not that of the function", "write `X * clip(X + 3, 0, 6) / 6`"),
    Hint("hardsigmoid", "algebraic", Product(None, (Op("activation", (Sum(3, (X,)), ANY, ANY), "clip"),)),
         "a number is not that of the function", "write `clip(X + 3, 0, 6) / 6`"),
    Hint("mish", "algebraic", Product(1, (Op("tanh", (Op("softplus", (Product(None, (X,)),)),)), X)),
         "the softplus is of a multiple of what it is multiplied by", "a mish is `X * tanh(softplus(X))`"),
    Hint("log sigmoid", "algebraic", Op("log", (Sum(None, (Op("sigmoid", (X,)),)),)),
         "a number is added to the sigmoid", "write `log(sigmoid(X))`, which needs none: it never takes log(0)"),
    Hint("interpolation", "algebraic",
         Sum(0, (Product(1, (Sum(None, (Product(-1, (Z,)),)), X)), Product(1, (Z, Y)))),
         "the two weights do not add up to 1", "write `(1 - w) * A + w * B`"),
    Hint("squared distances", "exact", _total("sum", Op("pow", (_DIFFERENCE, ANY))),
         "the exponent is not 2", "squared distances are `sum[i]((X - Y) ^ 2)`"),
    Hint("distances", "exact", Op("statistic", (Op("add", (X, Y)),), "norm"),
         "the norm is of a sum", "a distance is `norm[i](X - Y)`"),
    *(Hint("squared distances", "exact", Op("contract", one), "the differences are weighed",
           "weigh the points instead, `sqrt(w) * X` and `sqrt(w) * Y`, if digits that they have in common may be lost")
      for one in ((Z, _SQUARED), (_SQUARED, Z))),
    Hint("distances", "exact", Op("statistic", (Op("div", (_DIFFERENCE, Z)),), "norm"), "the differences are scaled",
         "scale the points instead, `X / s` and `Y / s`, if digits that they have in common may be lost"),
    Hint("square of a difference", "exact", _SQUARED,
         "the difference is needed elsewhere, too, or one side has axes that the other lacks",
         "nothing: it is computed as it is written"),
    Hint("square of a difference", "exact", Op("pow", (_DIFFERENCE, ANY)), "the exponent is not 2",
         "write `(X - Y) ^ 2`"),
    Hint("huber of a difference", "algebraic",
         Product(1, (_CLIPPED, Sum(0, (Product(None, (_CLIPPED,)), X, Product(-1, (Y,)))))),
         "a number is not that of the function", "write `c * (d - c / 2)` with `c = clip(d, -bound, bound)`"),
    Hint("cross entropy of a logit", "algebraic",
         Sum(0, (Op("softplus", (Op("neg", (X,)),)), Product(1, (Sum(None, (Product(-1, (Y,)),)), X)))),
         "the logit's factor is not 1 - Y", "write `softplus(-Z) + (1 - Y) * Z`"),
    Hint("cross entropy", "exact", Op("class_loss", (Op("log_softmax", (X,)), Y)),
         "the softmax is not over the axis of the classes alone", "take it over the axis that the target picks from"),
    Hint("losses of all targets", "algebraic", _total("sum", _LOSS),
         "some axes of the targets are left", "add up all losses at once, or write each axis's sum after the losses"),
    Hint("losses together", "exact", Op("statistic", (Op("difference", (X, Y)),), "mean"),
         "some axes of the losses are left", "take the mean over all axes to have it in the kernel"),
    Hint("mean of losses", "algebraic", Op("div", (_LOSS, Op("size", ()))),
         "the sum of the losses is divided by another size than that of their axes", "divide by the number of targets"),
    Hint("weighted mean of losses", "algebraic", Op("div", (Op("class_loss", (X, Y, Z)), _total("sum", Var("w")))),
         "the weights below are not those of the targets", "divide by `sum[i](w[c = T])`"),
    Hint("loss of targets that count", "exact", Op("where", (Z, ANY, _LOSS)),
         "where a target does not count, the loss is not 0", "write `where(T == ignored, 0, loss)`"),
    Hint("slices that drop out", "exact", Product(None, (Op("random", (ANY,)), X)),
         "what is kept is not divided by the probability of keeping it", "write `X * (bernoulli[i](p) / p)`"),
)  # fmt: skip


# --- helpers ----------------------------------------------------------------------------------------------------------


def _looks_like(graph: Graph, node: Node, hint: Hint) -> bool:
    scope = Scope(graph, node, lambda _: 1)
    return match(scope, hint.remains, scope.whole()) is not None


_ROOTS: dict[type, tuple[str, ...]] = {Product: ("mul", "div"), Sum: ("add", "sub")}


def _by_root() -> dict[str, tuple[Hint, ...]]:
    found: dict[str, tuple[Hint, ...]] = {}
    for hint in HINTS:
        pattern = hint.remains
        for root in (pattern.op,) if isinstance(pattern, Op) else _ROOTS[type(pattern)]:
            found[root] = (*found.get(root, ()), hint)
    return found


_BY_ROOT = _by_root()
