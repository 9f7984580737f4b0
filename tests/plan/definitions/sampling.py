"""Readings between grid points, by hat functions."""

from __future__ import annotations

from collections.abc import Mapping

from tests.plan.definitions.table import Case


def _case(
    name: str, signature: str, body: str, *lifts: str, more: tuple[str, ...] = (),
    without: Mapping[str, str] | None = None,
) -> Case:  # fmt: skip
    return Case(name, signature, body, tuple(sorted(("sample", *more))), lifts, without=without or {})


CASES = (
    _case("linear", "X[c, i], u[p]", "sum[i](X * relu(1 - abs(u - i)))", "X", "X u"),
    _case(
        "linear, by choice", "X[c, i], u[p]", "sum[i](X * where(abs(u - i) < 1, 1 - abs(u - i), 0))", "X", "X u",
    ),
    _case("linear, by the smaller of two", "X[c, i], u[p]", "X @[i] relu(minimum(1 - u + i, 1 + u - i))", "X"),
    _case("linear, of what is left of 1", "X[c, i], u[p]", "X @[i] (1 - minimum(abs(i - u), 1))", "X"),
    _case(
        "bilinear", "X[c, i, j], u[p], v[p]", "sum[i, j](X * relu(1 - abs(u - i)) * relu(1 - abs(v - j)))", "X",
        "X u v",
    ),
    _case(
        "bilinear on a grid", "X[c, i, j], u[p], v[q]",
        "X @[i] clip(1 - abs(u - i), 0, 1) @[j] clip(1 - abs(v - j), 0, 1)", "X",
    ),
    _case(
        "trilinear", "X[i, j, k], u[p], v[p], w[p]",
        "sum[i, j, k](X * relu(1 - abs(u - i)) * relu(1 - abs(v - j)) * relu(1 - abs(w - k)))", "X",
    ),
    _case(
        "linear, by neighbours", "X[c, i], u[p]",
        "t = u - floor(u)\n"
        "return X[i = int(floor(u)); fill = 0] * (1 - t) + X[i = int(floor(u)) + 1; fill = 0] * t", "X",
    ),
    _case(
        "linear, from one neighbour to the other", "X[c, i], u[p]",
        "a = X[i = int(floor(u)); fill = 0]\nreturn a + (X[i = int(floor(u)) + 1; fill = 0] - a) * (u % 1)", "X",
    ),
)  # fmt: skip
