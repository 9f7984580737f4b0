"""What each form of expression means, elementwise: operators, comparisons, functions, constants, sizes, coordinates."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.helpers import Case, Named, case

COMPLEX = np.array([1 + 2j, -0.5 + 1j, 3 - 1j])
POSITIVE = np.array([0.3, 1.0, 2.5, 7.0])
REALS = np.array([-2.4, -1.2, -0.3, 0.4, 1.7, 2.2])
LOGICAL = np.array([True, False, True])
erf = np.vectorize(math.erf)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


CASES = {
    # --- operators, aligned by name
    "plus": case("def f(A[i, j], B[j]) = A + B", lambda A, B: A + B, A=(2, 3), B=(3,)),
    "minus": case("def f(A[i, j], B[i]) = A - B", lambda A, B: A - B[:, None], A=(2, 3), B=(2,)),
    "times, by name whatever the order": case(
        "def f(A[i, j], B[j, i]) = A * B", lambda A, B: A * B.T, A=(2, 3), B=(3, 2)
    ),
    "times, outer": case("def f(A[i], B[j]) = A * B", lambda A, B: np.multiply.outer(A, B), A=(2,), B=(3,)),
    "true division": case("def f(A[i], B[i]) = A / B", lambda A, B: A / B, A=[1, 2, 3], B=[2, 2, 2]),
    "division by zero": Case(
        "def f(A[i], B[i]) = A / B",
        lambda A, B: np.array([np.inf, -np.inf, np.nan]),
        {"A": [1.0, -1.0, 0.0], "B": [0.0, 0.0, 0.0]},
        settings={"gradients": False},
    ),
    "power": case("def f(A[i]) = A ^ 3", lambda A: A**3, A=(4,)),
    "power, Python's": case("def f(A[i]) = A ** 2", lambda A: A**2, A=(4,)),
    "power of tensors": case("def f(A[i], B[j]) = A ^ B", lambda A, B: A[:, None] ** B, A=POSITIVE, B=(2,)),
    "power binds tighter than minus": case("def f(A[i]) = -A ^ 2", lambda A: -(A**2), A=(4,)),
    "power is right-associative": case("def f(A[i]) = A ^ 2 ^ 3", lambda A: A**8, A=POSITIVE),
    "power of an integer": case("def f(A[i]) = A ^ 2", lambda A: A**2, A=[-2, 0, 3]),
    "a root": case("def f(A[i]) = A ^ 0.5", lambda A: np.sqrt(A), A=POSITIVE),
    "an integer to a negative power is real": case(
        "def f(A[i]) = A ^ -1 + A ^ -2", lambda A: 1 / A + 1 / A**2, A=[1, 2]
    ),
    "remainder has the divisor's sign": case("def f(A[i]) = A % 3", lambda A: A % 3, A=[-4, -3, 2, 5]),
    "remainder by a negative": case("def f(A[i]) = A % -3", lambda A: A % -3, A=[-4, -3, 2, 5]),
    "remainder of reals": case("def f(A[i]) = A % 0.7", lambda A: A % 0.7, A=REALS),
    "floor division": case("def f(A[i]) = A // 3", lambda A: A // 3, A=[-4, -3, 2, 5]),
    "floor division of reals": Case(
        "def f(A[i]) = A // 0.7", lambda A: A // 0.7, {"A": REALS}, settings={"gradients": False}
    ),
    "minus sign": case("def f(A[i]) = -A", lambda A: -A, A=(3,)),
    "plus sign": case("def f(A[i]) = +A", lambda A: A, A=(3,)),
    "precedence": case("def f(A[i], B[i]) = A + B * A - B / A", lambda A, B: A + B * A - B / A, A=POSITIVE, B=(4,)),
    "left-associative": case(
        "def f(A[i], B[i]) = A - B - A / B / 2", lambda A, B: A - B - A / B / 2, A=(4,), B=POSITIVE
    ),
    # --- comparisons
    "less": case("def f(A[i], B[i]) = A < B", lambda A, B: A < B, A=[1, 2, 3], B=[2, 2, 2]),
    "at most": case("def f(A[i], B[i]) = A <= B", lambda A, B: A <= B, A=[1, 2, 3], B=[2, 2, 2]),
    "greater": case("def f(A[i], B[j]) = A > B", lambda A, B: A[:, None] > B, A=[1, 2, 3], B=[2, 1]),
    "at least": case("def f(A[i], B[i]) = A >= B", lambda A, B: A >= B, A=[1, 2, 3], B=[2, 2, 2]),
    "equal": case("def f(A[i], B[i]) = A == B", lambda A, B: A == B, A=[1.0, 2.0, 3.0], B=[2, 2, 2]),
    "unequal": case("def f(A[i], B[i]) = A != B", lambda A, B: A != B, A=[1, 2, 3], B=[2, 2, 2]),
    "a chain": case("def f(A[i], B[i]) = 0 < A <= B", lambda A, B: (0 < A) & (A <= B), A=[-1, 1, 3], B=[2, 2, 2]),
    "a long chain": case("def f(A[i]) = 0 <= A < 2 != A", lambda A: (0 <= A) & (A < 2), A=[-1, 0, 1, 2]),
    "nan compares unequal": case("def f(A[i]) = A == A", lambda A: np.array([True, False]), A=[1.0, np.nan]),
    "and": case("def f(A[i], B[j]) = A and B", lambda A, B: A[:, None] & B, A=LOGICAL, B=[True, False]),
    "or": case("def f(A[i], B[j]) = A or B", lambda A, B: A[:, None] | B, A=LOGICAL, B=[True, False]),
    "not": case("def f(A[i]) = not A", lambda A: ~A, A=LOGICAL),
    "and binds tighter than or": case(
        "def f(A[i], B[i]) = A or B and not A", lambda A, B: A | (B & ~A), A=LOGICAL, B=[False, False, True]
    ),
    "not binds looser than a comparison": case("def f(A[i]) = not A < 2", lambda A: ~(A < 2), A=[1, 2, 3]),
    "a boolean counts as 0 or 1": case("def f(A[i]) = (A > 1) + (A > 2)", lambda A: np.array([0, 1, 2]), A=[1, 2, 3]),
    "a boolean and a boolean": case("def f(A[i], B[i]) = A + B", lambda A, B: A * 1 + B, A=LOGICAL, B=LOGICAL),
    "a boolean less a boolean": case("def f(A[i], B[i]) = A - B", lambda A, B: A * 1 - B, A=LOGICAL, B=~LOGICAL),
    "a boolean times a boolean": case(
        "def f(A[i], B[i]) = A * B", lambda A, B: A * 1 * B, A=LOGICAL, B=[True, True, False]
    ),
    "a boolean over a boolean": case("def f(A[i]) = A / (A + 1)", lambda A: A / 2, A=LOGICAL),
    "a power of a boolean": case("def f(A[i]) = A ^ 2 + A // 2 + A % 2", lambda A: 2 * A, A=LOGICAL),
    "abs of a boolean": case("def f(A[i]) = abs(A)", lambda A: A * 1, A=LOGICAL),
    "the greater boolean is one": case("def f(A[i]) = maximum(A, not A)", lambda A: A | ~A, A=LOGICAL),
    "numbers as conditions": case(
        "def f(A[i], B[i]) = A and not B", lambda A, B: (A != 0) & (B == 0), A=[0, 2, 3], B=[1.0, 0, 3]
    ),
    "a number chooses": case("def f(A[i]) = where(A, 1.5, 2.5)", lambda A: np.where(A, 1.5, 2.5), A=[0, 1, 2]),
    "a boolean times a real": case("def f(A[i]) = (A > 0) * A", lambda A: (A > 0) * A, A=REALS),
    "minus a boolean": case("def f(A[i]) = -(A > 1)", lambda A: np.array([0, -1]), A=[1, 2]),
    # --- kinds
    "an integer stays one": case("def f(A[i]) = 2 * A + 1", lambda A: 2 * A + 1, A=[1, 2]),
    "an integer and a real": case("def f(A[i], B[i]) = A + B", lambda A, B: A + B, A=[1, 2], B=(2,)),
    "an integer and a real literal": case("def f(A[i]) = A + 0.5", lambda A: A + 0.5, A=[1, 2]),
    "a real and an integer literal": case("def f(A[i]) = A + 1", lambda A: A + 1, A=(2,)),
    "a real and a complex": case("def f(A[i], B[i]) = A * B", lambda A, B: A * B, A=(3,), B=COMPLEX),
    "a complex number compared": case("def f(A[i]) = A == 1 + 2j", lambda A: A == 1 + 2j, A=COMPLEX),
    "an integer too large for 64 bits is real": case(
        "def f(A[i]) = A * 10000000000000000000000", lambda A: A * 1e22, A=(2,)
    ),
    "a result that is a literal": case("def f(X[i]) -> [] = 3", lambda X: np.array(3), X=(3,)),
    "a result of coordinates": case(
        "def f(X[i, j]) -> [i, j] = i * j", lambda X: np.multiply.outer(np.arange(2), np.arange(3)), X=(2, 3)
    ),
    "an imaginary literal": case("def f(A[i]) = A + 1j", lambda A: A + 1j, A=(3,)),
    # --- contraction
    "contraction": case("def f(A[i, j], B[j, k]) = A @[j] B", lambda A, B: A @ B, A=(2, 3), B=(3, 4)),
    "contraction, as the paper writes it": case(
        "def f(A[i, j], B[j, k]) = A ⊙[j] B", lambda A, B: A @ B, A=(2, 3), B=(3, 4)
    ),
    "contraction over two axes": case(
        "def f(A[i, j, k], B[k, j]) = A @[j, k] B", lambda A, B: np.einsum("ijk,kj->i", A, B), A=(2, 3, 4), B=(4, 3)
    ),
    "contraction over none is a product": case("def f(A[i], B[i]) = A @[] B", lambda A, B: A * B, A=(3,), B=(3,)),
    "shared axes are aligned": case(
        "def f(A[h, i, j], B[h, j]) = A @[j] B", lambda A, B: np.einsum("hij,hj->hi", A, B), A=(2, 3, 4), B=(2, 4)
    ),
    "contraction is left-associative, with the precedence of *": case(
        "def f(A[i, j], B[j, k], C[k]) -> [i] = 2 * A @[j] B @[k] C + 1",
        lambda A, B, C: 2 * A @ B @ C + 1,
        A=(2, 3),
        B=(3, 4),
        C=(4,),
    ),
    "contraction to a scalar": case("def f(A[i], B[i]) = A @[i] B", lambda A, B: A @ B, A=(3,), B=(3,)),
    "contraction of integers": case("def f(A[i], B[i]) = A @[i] B", lambda A, B: A @ B, A=[1, 2], B=[3, 4]),
    "contraction of booleans counts": case(
        "def f(A[i], B[i]) = A @[i] B", lambda A, B: np.array(2), A=[True, True, False], B=[True, True, True]
    ),
    "contraction of complex numbers does not conjugate": case(
        "def f(A[i], B[i]) = A @[i] B", lambda A, B: (A * B).sum(), A=COMPLEX, B=COMPLEX[::-1]
    ),
    "contraction of a function of an axis": case("def f(A[i, j]) = A @[j] j", lambda A: A @ np.arange(3), A=(2, 3)),
    # --- functions
    "exp, log, sqrt": case(
        "def f(A[i]) = exp(-A) + log(A) + sqrt(A)", lambda A: np.exp(-A) + np.log(A) + np.sqrt(A), A=POSITIVE
    ),
    "rsqrt, reciprocal": case("def f(A[i]) = rsqrt(A)", lambda A: 1 / np.sqrt(A), A=POSITIVE),
    "sigmoid": case("def f(A[i]) = sigmoid(A)", sigmoid, A=REALS),
    "sigmoid far out": Case("def f(A[i]) = sigmoid(A)", lambda A: np.array([0.0, 1.0]), {"A": [-1000.0, 1000.0]}),
    "tanh": case("def f(A[i]) = tanh(A)", np.tanh, A=REALS),
    "relu": case("def f(A[i]) = relu(A)", lambda A: np.maximum(A, 0), A=REALS),
    "relu of an integer": case("def f(A[i]) = relu(A)", lambda A: np.maximum(A, 0), A=[-1, 2]),
    "gelu": case("def f(A[i]) = gelu(A)", lambda A: A * (1 + erf(A / np.sqrt(2))) / 2, A=REALS),
    "gelu by tanh": case(
        'def f(A[i]) = gelu(A; approximate = "tanh")',
        lambda A: 0.5 * A * (1 + np.tanh(np.sqrt(2 / np.pi) * (A + 0.044715 * A**3))),
        A=REALS,
    ),
    "silu": case("def f(A[i]) = silu(A)", lambda A: A * sigmoid(A), A=REALS),
    "softplus": case("def f(A[i]) = softplus(A)", lambda A: np.log1p(np.exp(A)), A=REALS),
    "softplus far out": case("def f(A[i]) = softplus(A)", lambda A: np.array([0.0, 1000.0]), A=[-1000.0, 1000.0]),
    "erf": case("def f(A[i]) = erf(A)", erf, A=REALS),
    "sin, cos, tan": case(
        "def f(A[i]) = sin(A) * cos(A) + tan(A)", lambda A: np.sin(A) * np.cos(A) + np.tan(A), A=REALS
    ),
    "abs": case("def f(A[i]) = abs(A)", np.abs, A=REALS),
    "abs of a complex": case("def f(A[i]) = abs(A)", np.abs, A=COMPLEX),
    "sign": Case("def f(A[i]) = sign(A)", np.sign, {"A": REALS}),
    "sign of zero": Case("def f(A[i]) = sign(A)", np.sign, {"A": [-2, 0, 3]}),
    "floor, ceil": case("def f(A[i]) = floor(A) + 10 * ceil(A)", lambda A: np.floor(A) + 10 * np.ceil(A), A=REALS),
    "round, halves to even": case("def f(A[i]) = round(A)", np.round, A=[0.4, -1.4, 1.6]),
    "int, towards zero": case("def f(A[i]) = int(A)", lambda A: np.trunc(A).astype(int), A=[-1.9, -0.5, 0.5, 7.2]),
    "int of booleans": case("def f(A[i]) = int(A) - 2", lambda A: A.astype(int) - 2, A=LOGICAL),
    "int of integers": case("def f(A[i]) = int(A)", lambda A: A, A=[-4, 3]),
    "int of an expression of sizes": case(
        "def f(A[i, j]) = A * int(0.7 * |i| / |j|) + int(-2.5)", lambda A: A * 3 - 2, A=(10, 2)
    ),
    "int in an exponent": case("def f(A[i]) = A * 2 ^ int(log2(|i|))", lambda A: A * 4, A=(7,)),
    "int of what depends on sizes, as a size": case(
        "def f(A[i]) -> [i, k] = A + zeros[k = int(0.75 * |i|)]", lambda A: np.repeat(A[:, None], 4, 1), A=(6,)
    ),
    "real, imag": case("def f(A[i]) = real(A) - 2 * imag(A)", lambda A: A.real - 2 * A.imag, A=COMPLEX),
    "conj": case("def f(A[i]) = conj(A) * A", lambda A: np.conj(A) * A, A=COMPLEX),
    "conj of a real": case("def f(A[i]) = conj(A)", lambda A: A, A=REALS),
    "angle": case("def f(A[i]) = angle(A)", np.angle, A=COMPLEX),
    "exp and log of complex numbers": case("def f(A[i]) = log(exp(A) + 1)", lambda A: np.log(np.exp(A) + 1), A=COMPLEX),
    "isnan": case("def f(A[i]) = isnan(A)", np.isnan, A=[1.0, np.nan, np.inf]),
    "isinf": case("def f(A[i]) = isinf(A)", np.isinf, A=[1.0, np.nan, -np.inf]),
    "isfinite": case("def f(A[i]) = isfinite(A)", np.isfinite, A=[1.0, np.nan, np.inf]),
    "exp of an integer is real": case("def f(A[i]) = exp(A)", lambda A: np.exp(A), A=[0, 1]),
    "a function of an expression": case(
        "def f(A[i], B[j]) = exp(A - B)", lambda A, B: np.exp(A[:, None] - B), A=(2,), B=(3,)
    ),
    # --- choices
    "where": case(
        "def f(C[i], A[i, j], B[j]) -> [i, j] = where(C, A, B)",
        lambda C, A, B: np.where(C[:, None], A, B),
        C=LOGICAL,
        A=(3, 2),
        B=(2,),
    ),
    "where of literals": case("def f(C[i]) = where(C, 0, -inf)", lambda C: np.where(C, 0.0, -np.inf), C=LOGICAL),
    "where of integers": case("def f(C[i]) = where(C, 1, 2)", lambda C: np.where(C, 1, 2), C=LOGICAL),
    "where with a comparison": case(
        "def f(A[i]) = where(A > 0, A, 0.1 * A)", lambda A: np.where(A > 0, A, 0.1 * A), A=REALS
    ),
    "where guards its branch": case(
        "def f(A[i]) = where(A > 0, log(where(A > 0, A, 1)), 0)", lambda A: np.array([0.0, np.log(2)]), A=[-1.0, 2.0]
    ),
    "minimum": case("def f(A[i], B[j]) = minimum(A, B)", lambda A, B: np.minimum(A[:, None], B), A=(3,), B=(2,)),
    "maximum": case("def f(A[i]) = maximum(A, 0.5)", lambda A: np.maximum(A, 0.5), A=(4,)),
    "clip": case("def f(A[i]) = clip(A, -1, 1.5)", lambda A: np.clip(A, -1, 1.5), A=REALS),
    "clip by tensors": case(
        "def f(A[i], L[i], H[i]) = clip(A, L, H)",
        lambda A, L, H: np.clip(A, L, H),
        A=REALS,
        L=np.full(6, -1.0),
        H=np.full(6, 2.0),
    ),
    # --- constants
    "inf": case("def f(A[i]) = A + inf", lambda A: np.full(3, np.inf), A=[1.0, 2.0, 3.0]),
    "nan": case("def f(A[i]) = A * nan", lambda A: np.full(3, np.nan), A=[1, 2, 3]),
    "pi": case("def f(A[i]) = pi * A", lambda A: np.pi * A, A=(3,)),
    "True and False": case("def f(A[i]) = (A > 1 or True) and not False", lambda A: np.array([True, True]), A=[1, 2]),
    "exponents": case("def f(A[i]) = 1e-3 * A + 1_000 + .5", lambda A: 1e-3 * A + 1000.5, A=(3,)),
    "the resolution of the element type": Case(
        "def f(A[i]) = A + finfo_eps(A)",
        lambda A: A + np.finfo(np.float64).eps,
        {"A": (3,)},
        settings={"rtol": 0, "atol": 0},
    ),
    "the resolution alone": Case(
        "def f(A[i]) = finfo_eps(A)",
        lambda A: np.float64(np.finfo(np.float64).eps),
        {"A": (3,)},
        settings={"rtol": 1e-15, "atol": 0},
    ),
    # --- sizes and coordinates
    "a size": case("def f(A[i, j]) = A / |j|", lambda A: A / 3, A=(2, 3)),
    "a product of sizes": case("def f(A[i, j]) = A / |i, j|", lambda A: A / 6, A=(2, 3)),
    "the root of a size": case("def f(A[i]) = A / sqrt(|i|)", lambda A: A / np.sqrt(3), A=(3,)),
    "a size alone": case("def f(A[i, j]) = |j| - |i|", lambda A: np.array(1), A=(2, 3)),
    "arithmetic of sizes": case("def f(A[i, j]) = A * (|i| * |j| // 4 - |j| % 2)", lambda A: A * 0, A=(2, 3)),
    "coordinates": case("def f(A[i, j]) = A + j", lambda A: A + np.arange(3), A=(2, 3)),
    "coordinates, spelled out": case("def f(A[i, j]) = A + index[i]", lambda A: A + np.arange(2)[:, None], A=(2, 3)),
    "coordinates of a new axis": case(
        "def f(A[i]; n = 3) -> [i, band] = A * 2.0 ^ index[band = n]",
        lambda A: A[:, None] * 2.0 ** np.arange(3),
        A=(2,),
    ),
    "coordinates of an axis whose size they tell": case(
        "def f(A[i]) = A * index[i = 4]", lambda A: A * np.arange(4), A=(4,)
    ),
    "coordinates compared": case("def f(A[i, j]) = where(i <= j, A, 0)", lambda A: np.triu(A), A=(3, 3)),
    "coordinates are integers": case("def f(A[i]) = i // 2", lambda A: np.arange(5) // 2, A=(5,)),
    "coordinates in a function": case(
        "def f(A[i, j]) = A * sin(i / 10 ^ (2 * j / |j|))",
        lambda A: A * np.sin(np.arange(4)[:, None] / 10 ** (2 * np.arange(3) / 3)),
        A=(4, 3),
    ),
    "a causal mask": case(
        "def f(S[seq, seq']) = S + where(seq <= seq', 0, -inf)",
        lambda S: S + np.where(np.arange(4)[:, None] <= np.arange(4), 0, -np.inf),
        S=(4, 4),
    ),
    "the size of one value": case(
        "def f(A[i]):\n  B = A[i = 1:4]\n  return B * size[i](B) + size[i](A)", lambda A: A[1:4] * 3 + 6, A=(6,)
    ),
    "the size of several axes": case("def f(A[i, j]) = A * size[i, j](A)", lambda A: A * 6, A=(2, 3)),
    # --- layout of the text
    "lines that end as on Windows": case("def f(X[i]):\r\n  Y = X + 1\r\n  return Y\r\n", lambda X: X + 1, X=(3,)),
    "tabs": case("def f(X[i]):\n\tY = X + 1\n\treturn Y", lambda X: X + 1, X=(3,)),
    "blank lines": case("\n\n  \ndef f(X[i]):\n\n  Y = X + 1\n\n  # c\n\n  return Y\n\n", lambda X: X + 1, X=(3,)),
    "a comment": case("# before\ndef f(A[i]) = A # after\n# end", lambda A: A, A=(2,)),
    "lines join inside brackets": case("def f(A[i],\n  B[i]) = (A\n + # why\n B)", lambda A, B: A + B, A=(2,), B=(2,)),
    "an indented text": case("\n    def f(A[i]):\n        B = A + 1\n        return B\n    ", lambda A: A + 1, A=(2,)),
    "two definitions on their lines": case(
        "def g(A[i]) = A + 1\n\ndef f(A[i]) = 2 * g(A)", lambda A: 2 * (A + 1), A=(2,)
    ),
    "parentheses": case("def f(A[i]) = ((A) + (1)) * 2", lambda A: (A + 1) * 2, A=(2,)),
    "sizes 0": case("def f(A[i, j]) = A * 2 + j", lambda A: A * 2, A=np.zeros((2, 0))),
    "sizes 1": case("def f(A[i, j], B[j]) = A @[j] B + i", lambda A, B: A @ B, A=(1, 1), B=(1,)),
    "a scalar": case("def f(a[]) = a * 2 + 1", lambda a: a * 2 + 1, a=np.array(3.0)),
    "named arguments give a named result": case(
        "def f(A[i, j]) = A + j", lambda A: Named(A + np.arange(3)[:, None], "j i"), A=Named((3, 2), "j i")
    ),
}


BETWEEN = np.array([-0.9, -0.3, 0.2, 0.8])
FUNCTIONS = {
    "exp": (np.exp, REALS),
    "expm1": (np.expm1, REALS),
    "log": (np.log, POSITIVE),
    "log1p": (np.log1p, POSITIVE),
    "log2": (np.log2, POSITIVE),
    "sqrt": (np.sqrt, POSITIVE),
    "rsqrt": (lambda x: 1 / np.sqrt(x), POSITIVE),
    "sin": (np.sin, REALS),
    "cos": (np.cos, REALS),
    "tan": (np.tan, REALS),
    "asin": (np.arcsin, BETWEEN),
    "acos": (np.arccos, BETWEEN),
    "atan": (np.arctan, REALS),
    "sinh": (np.sinh, REALS),
    "cosh": (np.cosh, REALS),
    "tanh": (np.tanh, REALS),
    "asinh": (np.arcsinh, REALS),
    "acosh": (np.arccosh, POSITIVE + 1),
    "atanh": (np.arctanh, BETWEEN),
    "erf": (erf, REALS),
    "lgamma": (np.vectorize(math.lgamma), POSITIVE),
    "abs": (np.abs, REALS),
    "sign": (np.sign, REALS),
    "floor": (np.floor, REALS),
    "ceil": (np.ceil, REALS),
    "round": (np.round, REALS),
    "sigmoid": (sigmoid, REALS),
    "softplus": (lambda x: np.log1p(np.exp(x)), REALS),
    "detach": (lambda x: x, REALS),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_elementwise_functions(name: str) -> None:
    expected, x = FUNCTIONS[name]
    row = case(f"def f(X[i]) = {name}(X)", expected, X=x)
    row.settings = {"gradients": name != "detach"}
    row.check()


HALVES = {
    name: expected for name, (expected, _) in FUNCTIONS.items() if name in ("floor", "ceil", "round", "abs", "sign")
}


@pytest.mark.parametrize("name", HALVES)
def test_rounding_keeps_integers(name: str) -> None:
    case(f"def f(X[i]) = {name}(X)", lambda X: HALVES[name](X).astype(int), X=[-2, 0, 3]).check()


def test_round_goes_to_the_even_neighbour() -> None:
    row = case("def f(X[i]) = round(X)", np.round, X=[-1.5, -0.5, 0.5, 1.5, 2.5])
    row.settings = {"gradients": False}
    row.check()


TWO = {"atan2": np.arctan2, "logaddexp": np.logaddexp, "minimum": np.minimum, "maximum": np.maximum}


@pytest.mark.parametrize("name", TWO)
def test_functions_of_two(name: str) -> None:
    case(f"def f(X[i], Y[j]) = {name}(X, Y)", lambda X, Y: TWO[name](X[:, None], Y), X=REALS, Y=POSITIVE).check()


@pytest.mark.parametrize("row", CASES.values(), ids=CASES)
def test_expression(row: Case) -> None:
    row.check()


def test_detach_stops_gradients() -> None:
    row = case("def f(A[i]) = A * detach(A)", lambda A: A * A, A=[1.0, 2.0])
    row.settings = {"gradients": {"A": np.array([1.0, 2.0])}, "cotangents": {0: np.ones(2)}}
    row.check()


def test_the_helper_notices_a_wrong_value() -> None:
    with pytest.raises(AssertionError, match="by the reference"):
        case("def f(A[i]) = A + 1", lambda A: A + 1.001, A=(3,)).check()


def test_the_helper_notices_a_wrong_gradient() -> None:
    row = case("def f(A[i]) = A ^ 2", lambda A: A**2, A=[1.0, 2.0])
    row.settings = {"gradients": {"A": np.array([2.0, 4.1])}, "cotangents": {0: np.ones(2)}}
    with pytest.raises(AssertionError, match="the gradient of A"):
        row.check()
    with pytest.raises(AssertionError, match="finite differences"):
        case("def f(A[i]) = A * detach(A)", lambda A: A * A, A=[1.0, 2.0]).check()
