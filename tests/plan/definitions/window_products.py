"""Products with windows that no convolution takes: weights of each place, comparisons with neighbours."""

from __future__ import annotations

from tests.plan.definitions.table import Case

SIZES = {"x": 7, "y": 6, "z": 4, "k": 3, "l": 3, "m": 3, "p": 2, "c": 2, "g": 2}


def _case(name: str, signature: str, body: str, *ops: str, lifts: str = "X W") -> Case:
    return Case(name, signature, body, ops or ("window_product",), (lifts,), SIZES)


CASES = (
    _case("dynamic convolution", "X[c, x], W[x, k]", "W @[k] unroll[x, k](X; padding = 1)"),
    _case("dynamic convolution by an index", "X[c, x], W[x, k]", "sum[k](W * pad[x](X; before = 2)[x = x + k])"),
    _case("of softmaxed weights", "X[c, x], W[x, k]", "softmax[k](W) @[k] unroll[x, k](X; padding = 1)",
          "softmax", "window_product"),
    _case("involution", "X[g, c, x, y], W[g, x, y, k, l]", "W @[k, l] unroll[x, y, k, l](X; padding = 1)"),
    _case("along three axes", "X[x, y, z], W[x, y, z, k, l, m]",
          "W @[k, l, m] unroll[x, y, z, k, l, m](X; padding = 1)"),
    _case("strided and dilated", "X[c, x]; W[p, k]", "sum[k](W * X[x = 2 * p + 2 * k])"),
    _case("comparison with neighbours", "X[c, x], W[c, x]; A[k]", "W @[c] unroll[x, k](X; padding = 1) + A",
          "add", "window_product"),
    _case("correlation", "X[c, x, y], W[c, x, y]; A[k, l]",
          "mean[c](W * unroll[x, y, k, l](X; padding = 1)) + A", "add", "div", "window_product"),
    _case("attention to neighbours", "X[c, x], W[c, x], V[d, x]",
          "softmax[k](W @[c] unroll[x, k = 3](X; padding = 1)) @[k] unroll[x, k](V; padding = 1)",
          "softmax", "window_product", "window_product", lifts="X W V"),
)  # fmt: skip
