"""One line for each rule: a formula in which it fires, one in which it nearly does, and what is said then.

`KERNELS` are rules that put a kernel in the place of a formula, or what leads to one: who writes nearly such a formula
is told why it is none. `TIDYING` are those that put one spelling in the place of others, or that apply to nearly
everything of their kind: where they do not there is nothing to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from namedlayers.plan.planner import Numerics


@dataclass(frozen=True)
class Row:
    """`fires` and `misses` are expressions, or statements, over inputs `given`; `reason` is a part of what `explain`
    says of the second."""

    given: str
    fires: str
    misses: str
    reason: str = ""
    numerics: Numerics = "default"


QKV = "Q[t, key], K[s, key], V[s, val]"
CONV = "X[c, x]; W[o, c, k], b[o], B[o, x]"
FOLD = "X[c, x], Y[c, x, k]; W[c, o, k], V[c, o]"
PLANE = "X[c, x, y]; W[c, o, k, l]"
ROWS = "X[i, j], Y[i, j]; g[j], a[i], A[i, j]"
CLASSES = "Z[b, c], T[b], B[b], U[b, d, c], S[b, d]; w[c]"
DIFFERENCES = "X[i, c], Y[i, c]"
PAIRS = "X[i, c], Y[j, c]"

KERNELS: dict[str, Row] = {
    # --- contractions, windows ---
    "factors of both sides": Row(
        "X[i, c], Y[j, c]; a[i], b[j], A[i, j]", "X @[c] Y / (a * b)", "a * (X @[c] Y) / A", "along axes of both sides",
    ),
    "log product": Row("X[i, j], Y[k, j]", "log(exp(X) @[j] exp(Y))", "log(exp(X) @[j] Y)", "may be negative"),
    "extreme product": Row(
        "X[i, j], Y[j, k], Z[k, l]", "max[j, k](exp(X) * exp(Y) * exp(Z))", "max[j, k](exp(X) * exp(Y) * Z)",
        "may be negative",
    ),
    "sum of rows that are read": Row(
        "X[p, d], near[m, k]", "mean[k](X[p = near])", "mean[d](X[p = near])", "not what the index has",
    ),
    "product with matrices that are read": Row(
        "X[t, d], W[x, d, o], I[t]", "X @[d] W[x = I]", "(X @[d] W[x = I]) + sum[d](W[x = I])", "used elsewhere too",
    ),
    "sum of chosen rows that are read": Row(
        "X[p, d], near[m, k], B[m, k], C[m, k, d]", "sum[k](where(B > 0, X[p = near], 0))",
        "sum[k](where(C > 0, X[p = near], 0))", "left out in part",
    ),
    "sampling between grid points": Row(
        "X[c, i], u[p]", "sum[i](X * relu(1 - abs(u - i)))", "sum[i](X * relu(1 - abs(u - i) / 2))",
        "the weights are not",
    ),
    "neighbours that are read": Row(
        "X[c, i], u[p]", "X[i = int(floor(u))] * (1 - u % 1) + X[i = int(floor(u)) + 1] * (u % 1)",
        "X[i = int(floor(u))] * (1 - u % 1) + X[i = minimum(int(floor(u)) + 1, |i| - 1)] * (u % 1)",
        "clipped at one end only",
    ),
    "fast Fourier transform": Row(
        "X[b, t], Y[f]", "|f| = |t|\nreturn Y * sum[t](X * exp(-2j * pi * index[f] * index[t] / |t|))",
        "|f| = |t|\nreturn Y * sum[t](X * cos(0.3 * index[f] * index[t]))", "no whole part of a turn",
    ),
    "mean by an outer softmax": Row(
        "X[i, j], Y[k, j], V[j, k]", "softmax[j](X + Y) @[j] V", "softmax[j](X + Y) @[j] exp(V + X)",
        "axes of both sides",
    ),
    "squared distances": Row(PAIRS, "sum[c]((X - Y) ^ 2)", "sum[c]((X - Y) ^ 4)", "the exponent is not 2"),
    "distances": Row(PAIRS, "norm[c](X - Y)", "norm[c](X + Y)", "the norm is of a sum"),
    "convolution": Row(CONV, "W @[c, k] unroll[x, k](X)", "W @[c, k] X[x = x + k][x = 0:2]", "not all that fit"),
    "product with windows": Row(
        "X[c, x, y], W[k, l, x, y]", "sum[k, l](W * unroll[x, y, k, l](X; padding = 1))",
        "sum[k](W * unroll[x, y, k, l](X; padding = 1))", "some taps are summed over",
    ),
    "transposed convolution": Row(
        FOLD, "fold[x, k](W @[c] X)", "fold[x, k](V @[c] Y)", "each factor has to have one",
    ),
    "transposed convolution over more space": Row(
        PLANE, "fold[x, y, k, l](W @[c] X)", "fold[y, l](fold[x, k](W @[c] X); output_padding = 1)",
        "is not one that the kernel makes",
    ),
    "bias in the kernel": Row(CONV, "W @[c, k] unroll[x, k](X) + b", "W @[c, k] unroll[x, k](X) + B", "no summand has"),
    "min pool": Row(
        "X[c, x]", "min[k](unroll[x, k = 3](X))", "min[k](unroll[x, k = 3](X)[x = 0:2])", "not all that fit",
    ),
    "max pool": Row(
        "X[c, x]", "max[k](unroll[x, k = 3](X))", "max[k](unroll[x, k = 3](X)[x = 0:2])",
        "not all that fit",
    ),
    "mean pool": Row(
        "X[c, x]", "mean[k](pool[x, k = 2](X))", "mean[k](unroll[x, k = 3](X; dilation = 2))",
        "no dilation",
    ),
    "sum pool": Row("X[c, x]", "sum[k](pool[x, k = 2](X))", "sum[k](unroll[x, k = 3](X; dilation = 2))", "no dilation"),
    "mean pool without its padding": Row(
        "X[c, x], Y[c, x]",
        "mean[k](unroll[x, k = 3](X; padding = 1)) / mean[k](unroll[x, k = 3](ones[x]; padding = 1))",
        "mean[k](unroll[x, k = 3](X; padding = 1)) / mean[k](unroll[x, k = 3](Y; padding = 1))",
        "not those of ones",
    ),
    "cumulative": Row(
        "X[b, i]",
        "|j| = |i|\nreturn sum[j](where(index[j] <= index[i], X[i -> j], 0))",
        "|j| = |i|\nreturn sum[j](where(index[j] <= index[i] + 2, X[i -> j], 0))",
        "not at it or one before",
    ),
    "prefix product": Row(
        QKV, "where(s <= t, Q @[key] K, 0) @[s] V", "where(s <= t, exp(Q @[key] K), 0) @[s] V",
        "a factor is no product, which depends on t and s both",
    ),
    # --- statistics, norms ---
    "mean": Row(ROWS, "sum[j](X) / |j|", "sum[j](X) / |i|", "divided by |i|"),
    "variance": Row(
        ROWS, "sum[j]((X - mean[j](X)) ^ 2) / |j|", "sum[j]((X - mean[j](X)) ^ 2) / |i|", "not the number of values",
    ),
    "standard deviation": Row(ROWS, "sqrt(var[j](X))", "sqrt(var[j](X) + 1)", "added to the variance"),
    "norm": Row(ROWS, "sqrt(sum[j](X ^ 2))", "sum[j](X ^ 2) ^ 0.25", "the exponent is not"),
    "standardize": Row(
        ROWS, "(X - mean[j](X)) / sqrt(var[j](X) + 1e-5)", "(X - mean[j](X)) / sqrt(var[j](X; ddof = 1) + 1e-5)",
        "ddof 1",
    ),
    "rms_norm": Row(ROWS, "X / sqrt(mean[j](X ^ 2) + 1e-6)", "X / sqrt(sum[j](X ^ 2) + 1e-6)", "and not averaged"),
    "norm with weight and bias": Row(
        "X[b, c, d, e]; g[c, d], h[d]", "standardize[d](X) * h", "standardize[b](X) * g", "lies along c, d",
    ),
    "group norm": Row(
        "X[b, c = 6, x]", "standardize[m, x](X[c -> (n = 2, m)])[(n, m) -> c]",
        "standardize[n, x](X[c -> (n = 2, m)])[(n, m) -> c]", "the second part is to be normalised",
    ),
    # --- softmax ---
    "softmax": Row(ROWS, "exp(X) / sum[j](exp(X))", "exp(X) / sum[j](exp(Y))", "not what is exponentiated"),
    "softmax divided later": Row(
        "X[i, j], V[j, k]", "exp(X) @[j] V / sum[j](exp(X))", "exp(X) @[j] V / sum[j](exp(2 * X))",
        "not those of the values",
    ),
    "softmax without its shift": Row(
        ROWS, "softmax[j](X - max[j](X))", "softmax[j](X - max[j](Y))", "maximum that is subtracted",
    ),
    "log_softmax": Row(ROWS, "X - logsumexp[j](X)", "X - logsumexp[j](Y)", "something else than what it is"),
    "logsumexp": Row(ROWS, "log(sum[j](exp(X)))", "log(sum[j](exp(X)) + 1e-9)", "a number is added to the sum"),
    "log_softmax of a sum": Row(
        ROWS, "X + (Y - logsumexp[j](X + Y))", "X + (A - logsumexp[j](X + Y))", "is not the sum that stands before it",
    ),
    "attention": Row(
        QKV, "softmax[s](Q @[key] K) @[s] V", "softmax[t](Q @[key] K) @[s] V", "not those that the values are summed",
    ),
    "Fourier transform of reals": Row(
        "X[t]", "real(ifft[f -> t](fft[t -> f](X)))",
        "real(ifft[f -> t](fft[t -> f](X) * 1j))", "not made of transforms",
    ),
    # --- losses ---
    "loss of a class": Row(
        CLASSES, "logsumexp[c](Z) - Z[c = T]", "logsumexp[c](Z) - one_hot[c](T) @[c] Z", "read as 0",
    ),
    "weighted loss of a class": Row(
        CLASSES, "w[c = T] * -log_softmax[c](Z)[c = T]", "B * -log_softmax[c](Z)[c = T]", "read too",
    ),
    "cross entropy": Row(
        CLASSES, "-log_softmax[c](Z)[c = T]", "-log_softmax[b](Z)[c = T]", "not over the axis of the classes",
    ),
    "losses of all targets": Row(
        CLASSES, "-sum[b](Z[c = T])", "sum[b](-log_softmax[c](U)[c = S])", "some axes of the targets are left",
    ),
    "mean of losses": Row(CLASSES, "-sum[b](Z[c = T]) / |b|", "-sum[b](Z[c = T]) / |c|", "another size than"),
    "weighted mean of losses": Row(
        CLASSES, "-sum[b](w[c = T] * Z[c = T]) / sum[b](w[c = T])", "-sum[b](w[c = T] * Z[c = T]) / sum[c](w)",
        "not those of the targets",
    ),
    "loss of targets that count": Row(
        CLASSES, "where(T == 0, 0, -log_softmax[c](Z)[c = T])", "where(T == 0, 1, -log_softmax[c](Z)[c = T])",
        "the loss is not 0",
    ),
    "loss of a smoothed target": Row(
        CLASSES, "-0.75 * log_softmax[c](Z)[c = T] - 0.25 * mean[c](log_softmax[c](Z))",
        "-0.75 * log_softmax[c](Z)[c = T] - 0.35 * mean[c](log_softmax[c](Z))", "add up to 1",
    ),
    "losses together": Row(DIFFERENCES, "mean[i, c]((X - Y) ^ 2)", "mean[c]((X - Y) ^ 2)", "some axes of the losses"),
    "square of a difference": Row(DIFFERENCES, "(X - Y) ^ 2", "(X - Y) ^ 3", "the exponent is not 2"),
    "huber of a difference": Row(
        DIFFERENCES, "clip(X - Y, -2, 2) * (X - Y - clip(X - Y, -2, 2) / 2)",
        "clip(X - Y, -2, 2) * (X - Y - clip(X - Y, -2, 2) / 3)", "a number is not that",
    ),
    "cross entropy of a logit": Row(
        DIFFERENCES, "softplus(-X) + (1 - Y) * X", "softplus(-X) + (2 - Y) * X", "not 1 - Y",
    ),
    "gated half": Row(
        "X[layer = 6]", "X[layer = 0:3] * sigmoid(X[layer = 3:6])", "X[layer = 3:6] * sigmoid(X[layer = 0:3])",
        "the first half by the second",
    ),
    "rotation": Row(
        "P[i, two = 2], c[i], s[i]",
        "stack[two](P[two = 0] * c - P[two = 1] * s, P[two = 0] * s + P[two = 1] * c)",
        "stack[two](P[two = 0] * c - P[two = 1] * s, P[two = 0] * s - P[two = 1] * c)",
        "the signs are not those",
    ),
    # --- elementwise ---
    "interpolation": Row("A[i], C[i], w[i]", "(1 - w) * A + w * C", "(2 - w) * A + w * C", "do not add up to 1"),
    "slices that drop out": Row(
        "X[b, c]", "X * (bernoulli[b, c](0.7) / 0.7)", "X * (bernoulli[b, c](0.7) / 0.3)",
        "not divided by the probability",
    ),
    "relu": Row("X[i]", "maximum(X, 0)", "maximum(X, 1)", "the bound is not 0"),
    "sigmoid": Row("X[i]", "1 / (1 + exp(-X))", "1 / (2 + exp(-X))", "is not 1"),
    "silu": Row("X[i]", "X * sigmoid(X)", "X * sigmoid(1.702 * X)", "a multiple of what"),
    "gelu": Row(
        "X[i]", "0.5 * X * (1 + erf(X / sqrt(2)))", "0.5 * X * (1 + erf(X / 1.4))", "a number is not that",
    ),
    "softplus": Row("X[i]", "log(1 + exp(X))", "log(2 + exp(X))", "is not 1"),
    "clip": Row("X[i]", "clip(X, -1, 2)", "maximum(minimum(X, -1), 2)", "lower bound is above"),
    "leaky relu": Row("X[i], Y[i]", "where(X > 0, X, 0.1 * X)", "where(X > 0, X, 0.1 * Y)", "no multiple of the same"),
    "prelu": Row(
        ROWS, "relu(X) + g * minimum(X, 0)", "relu(X) + A * minimum(X, 0)", "do not lie along one axis",
    ),
    "elu": Row("X[i]", "where(X > 0, X, exp(X) - 1)", "where(X > 0, X, exp(X) - 2)", "not a multiple of `exp(X) - 1`"),
    "selu": Row(
        "X[i]", "1.0507009873554805 * where(X > 0, X, 1.6732632423543772 * expm1(X))",
        "1.05 * where(X > 0, X, 1.67 * expm1(X))", "self-normalising",
    ),
    "softshrink": Row("X[i]", "X - clip(X, -1, 1)", "X - clip(X, -1, 2)", "not opposite"),
    "hardshrink": Row("X[i]", "where(abs(X) > 1, X, 0)", "where(abs(X) >= 1, X, 0)", "at the bound"),
    "threshold": Row("X[i]", "where(X > 2, X, 7)", "where(X >= 2, X, 7)", "at the bound"),
    "hardswish": Row("X[i]", "X * clip(X + 3, 0, 6) / 6", "X * clip(X + 2, 0, 6) / 6", "a number is not that"),
    "hardsigmoid": Row("X[i]", "clip(X + 3, 0, 6) / 6", "clip(X + 3, 0, 5) / 6", "a number is not that"),
    "mish": Row("X[i]", "X * tanh(softplus(X))", "X * tanh(softplus(2 * X))", "a multiple of what"),
    "log sigmoid": Row("X[i]", "log(sigmoid(X))", "log(sigmoid(X) + 1e-6)", "added to the sigmoid"),
}  # fmt: skip

MERGED = "X[a]; W[k = 6]"
STEPS = """scan t with h = X[t = 0]:
    h = tanh(sum[k](pad[c](h; before = 1, after = 1)[c = c + k] * {}))
return h"""
CURVED = """scan t with h = a:
    h = {}
return h"""
LAST = """scan time with h = zeros[i]:
    h = tanh(h + b) * sum[d](X) + a
return {}"""

CELLS = """|cell| = n
first = index[cell] * |x| // n
last = -(-({}) * |x| // n)
return max[x](where(first <= index[x] < last, X, -inf))[cell -> x]"""
MEANS = """|cell| = n
first = index[cell] * |x| // n
last = -(-(index[cell] + 1) * |x| // n)
return ((first <= index[x] < last) / ({}) @[x] X)[cell -> x]"""

TIDYING: dict[str, Row] = {
    "addition theorem": Row(
        QKV, "((Q @[key] K) * cos(pi / 2 * (t - s) / |t|)) @[s] V", "((Q @[key] K) * cos(0.1 * t * s)) @[s] V",
    ),
    "addition theorem, in error by up to 4 eps of what the wave is multiplied by": Row(
        "A[t, d], B[s, d], V[s, val]", "mean[d](cos(A - B)) @[s] V", "mean[d](cos(A * B)) @[s] V", numerics="fast",
    ),
    "long convolution by transforms, in error by up to eps log n norm(x) norm(h)": Row(
        "X[c, t], H[c, lag]", "sum[lag](H * X[t = t - lag; fill = 0])", "sum[lag](H * X[t = t - 2 * lag; fill = 0])",
        numerics="fast",
    ),
    "squared distances as a product, in error by up to 2 eps (|x - c| + |y - c|)^2, c the mean of y": Row(
        PAIRS, "sum[c]((X - Y) ^ 2)", "sum[c]((X + Y) ^ 2)", numerics="fast",
    ),
    "distances by magnitudes": Row(PAIRS, "sum[c](abs(X - Y))", "sum[c](abs(X + Y))"),
    "product of a difference as a difference of products, in error by up to n eps sum |a| (|x| + |c|)": Row(
        "A[n, k], X[n, d], C[k, d]", "sum[n](A * (X - C))", "sum[n](A * (X * C))", numerics="fast",
    ),
    "weighted sum of rows that are read": Row(
        "X[p, d], J[m, k], A[m, k], C[m, k, d]", "sum[k](A * X[p = J])", "sum[k](C * X[p = J])",
    ),
    "log_softmax of a quotient": Row(
        ROWS, "log(softmax[j](X) / softmax[j](Y))", "log(softmax[j](X) / (softmax[j](Y) + 1e-9))",
    ),
    "mean of losses": Row(
        DIFFERENCES, "mean[i, c](clip(X - Y, -2, 2) * (X - Y - clip(X - Y, -2, 2) / 2))",
        "sum[i, c](clip(X - Y, -2, 2) * (X - Y - clip(X - Y, -2, 2) / 2))",
    ),
    "terms that are summed alone": Row(
        "X[i, j], Y[j, k]", "logsumexp[i, j](X + Y)", "logsumexp[i, j](X + sum[k](Y))",
    ),
    "known number": Row("X[i]", "X / sqrt(4)", "X / sqrt(|i|)"),
    "neutral operand": Row("X[i]", "X * 1", "X * 2"),
    "double negation": Row("X[i]", "--X", "-X"),
    "neutral condition": Row("X[i]", "where(X > 0 and True, X, 2)", "where(X > 0 and X < 1, X, 2)"),
    "settled choice": Row("X[i]", "where(True, X, 2)", "where(X > 1, X, 2)"),
    "factor -1": Row("X[i]", "X * -1", "X * -2"),
    "factor 1 / y": Row("X[i], Y[i]", "X * (1 / Y)", "X * (2 / Y)"),
    "negated summand": Row("X[i], Y[i]", "X + -Y", "X + -2 * Y"),
    "negated difference": Row("X[i], Y[i]", "-(X - Y)", "-(X + Y)"),
    "negations in a product": Row("X[i], Y[i]", "-X * -Y", "-X * Y"),
    "nothing less x": Row("X[i]", "0 - X", "1 - X"),
    "root or inverse": Row("X[i]", "X ^ 0.5", "X ^ 0.25"),
    "root of an inverse": Row("X[i]", "sqrt(1 / X)", "sqrt(2 / X)"),
    "constant factors": Row("X[i]", "2 * X / 3", "exp(2 * X) / 3"),
    "reduction of a reduction": Row(ROWS, "max[i](max[j](X))", "max[i](sum[j](X))"),
    "expansion that the other operand makes": Row(MERGED, "max[k]((X * ones[i = 2, j = 3])[(i, j) -> k] + W)", "X + 1"),
    "expansion in parts": Row(MERGED, "max[k]((X * ones[i = 2, j = 3])[(i, j) -> k] + W)", "X + 1"),
    "comparison of coordinates": Row(QKV, "where(s - t <= 0, 1.0, 0) @[s] V", "where(s <= t, 1.0, 0) @[s] V"),
    "negated comparison": Row(QKV, "where(not s <= t, 1.0, 0) @[s] V", "where(not V > 0, V, 2)"),
    "choice by a negated condition": Row("X[i]", "where(not X > 1, X, 3)", "where(X > 1, X, 3)"),
    "sum of a constant axis": Row("A[i, j]", "sum[k](A * ones[k = 3])", "sum[i](A)"),
    "contraction": Row("A[i, j], B[j, k]", "sum[j](A * B)", "sum[j](A + B)"),
    "contraction of two": Row("A[i, j], B[j, k]", "sum[j](A * B)", "sum[j](2 * A)", numerics="strict"),
    "gather": Row("E[v = 3, e], I[t]", "one_hot[v](I) @[v] E", "exp(one_hot[v](I)) @[v] E"),
    "index-add": Row("X[t, e], I[t]; Y[v = 3, e]", "Y + X @[t] one_hot[v](I)", "Y + X @[t] exp(one_hot[v](I))"),
    "product of sums of rows": Row(
        "X[p, d], near[m, k], W[o, d], V[o, d, m]", "W @[d] mean[k](X[p = near])", "V @[d] mean[k](X[p = near])",
    ),
    "product of rows before their sums": Row(
        "X[p, d], near[m, k], W[o, d], V[o, d, p]", "sum[k]((W @[d] X)[p = near])", "sum[k]((V @[d] X)[p = near])",
    ),
    "weights of one-hot vectors": Row(
        "X[t, e], I[t], w[t]; Y[v = 3, e]", "Y + sum[t](w * one_hot[v](I) * X)",
        "Y + sum[t](w * exp(one_hot[v](I)) * X)",
    ),
    "nearest point": Row(PAIRS, "argmin[j](sum[c]((X - Y) ^ 2))", "argmax[j](sum[c]((X - Y) ^ 2))"),
    "nearest point by its order": Row(
        PAIRS, "argmax[j](2 * X @[c] Y - sum[c](Y ^ 2))", "argmax[j](2 * X @[c] Y + sum[c](Y ^ 2))",
    ),
    "distance of the nearest point": Row(PAIRS, "min[j](sum[c]((X - Y) ^ 2))", "max[j](sum[c]((X - Y) ^ 2))"),
    "gather of smoothed vectors": Row(
        CLASSES, "(0.9 * one_hot[c](T) - 0.25) @[c] Z", "(one_hot[c](T) + w) @[c] Z"
    ),
    "row without gradient": Row(
        "E[v, e], I[t]", "where(I == 0, detach(E[v = I]), E[v = I])", "where(I == 0, 2 * E[v = I], E[v = I])",
    ),
    "exponential below its maximum": Row(ROWS, "exp(X - max[j](X))", "exp(X - min[j](X))"),
    "common factor of a sum": Row(
        "W[i, j], V[i, j], x[j], z[j]", "W @[j] x + W @[j] z", "exp(W @[j] x) + W @[j] z",
    ),
    "sum in the kernel": Row("X[i, j]; W[o, j], C[i, o]", "W @[j] X + C", "exp(W @[j] X) + C"),
    "extremum": Row(ROWS, "max[j](X)", "sum[j](X)"),
    "sum pool of products": Row(
        "X[c, x], Y[c, x]", "sum[k](unroll[x, k = 3](X) * unroll[x, k = 3](Y))",
        "sum[k](unroll[x, k = 3](X) * unroll[x, k = 3](Y; padding = 1)[x = 0:-2])",
    ),
    "pool of norms": Row("X[c, x]", "norm[k](pool[x, k = 2](X))", "norm[k](unroll[x, k = 2](X)[x = 0:2])"),
    "a step before or after": Row("X[c, x]", "X[x = x - 1; fill = 0]", "X[x = 2 * x; fill = 0]"),
    "round the end": Row("X[c, x]", "X[x = (x + 3) % |x|]", "X[x = (2 * x + 3) % |x|]"),
    "pieces of an axis": Row("X[c, x]", "X[x = maximum(x - 1, 0)]", "X[x = maximum(x - 1, 1)]"),
    "padding around": Row("X[c, x]", 'pad[x](X; before = 1, mode = "circular")', "pad[x](X; before = 1)"),
    "adaptive max pool": Row("X[c, x]; n = 3", CELLS.format("index[cell] + 1"), CELLS.format("index[cell] + 2")),
    "adaptive mean pool": Row("X[c, x]; n = 3", MEANS.format("last - first"), MEANS.format("last + first")),
    "triangle": Row("A[i, j]", "where(index[j] <= index[i], A, 0)", "where(index[j] <= 2 * index[i], A, 0)"),
    "logaddexp": Row(ROWS, "log(exp(X) + exp(Y))", "log(exp(X) + Y)"),
    "weights masked twice": Row(
        "X[i, j], B[i, j]", "softmax[j](where(B, X, -inf)) * B", "softmax[j](where(B, X, -inf)) * (X > 1)",
    ),
    "mean of means": Row(ROWS, "mean[i](mean[j](X))", "mean[i](sum[j](X))"),
    "mean taken off with its factors": Row(ROWS, "X * a - mean[j](X) * a", "X * a - mean[j](X) * g"),
    "choice by conditions that are counted": Row(
        "A[i, j]", "where((i > 1) * (j > 2), A, 0)", "where((i > 1) * j, A, 0)",
    ),
    "logarithm of a condition": Row("A[i, j]", "A + log(i <= j)", "A + log(i - j)"),
    "end of what runs along": Row("X[i, j]", "cumsum[j](X)[j = -1]", "cumsum[j](X)[j = -2]"),
    "windows around the end": Row(
        "X[c, x]; W[c, k]", "W @[k] X[x = (x + k) % |x|]", "W @[k] X[x = (x + k) % (|x| - 1)]",
    ),
    "last step": Row("X[time, d, i], a[i], b[i]", LAST.format("h[time = -1]"), LAST.format("h[time = 1]")),
    "only the last step": Row(
        "X[time, d, i], a[i], b[i]", LAST.format("exp(h)[time = -1]"), LAST.format("exp(h)[time = 1]"),
    ),
    "what comes back from all steps": Row(
        "X[t, c], Q[k = 3], P[t, k = 3]", STEPS.format("Q"), STEPS.format("P"),
    ),
    "slope and factor": Row(
        "X[t, c], a[c]", CURVED.format("relu(a + h) * X"), CURVED.format("sin(a + h) * X"),
    ),
    "operation on rows that are read": Row(
        "X[p, d], near[p, k]; W[o, d]", "max[k](relu(W @[d] X[p = near]))", "relu(W @[d] X[p = near[k = 0]])",
    ),
    "contraction of contractions": Row(
        "A[i, j], B[j, k], C[k, l]", "A @[j] B @[k] C", "exp(A @[j] B) @[k] C",
    ),
    "convolution over more space": Row(
        PLANE, "sum[c, l](W @[k] unroll[x, k](unroll[y, l](X)))", "unroll[x, y, k, l](X) @[c, k, l] W",
    ),
    "sum over sources": Row(
        "X[x]; W[k]", "sum[s](X[x -> s] * W[k = s - x + 1; fill = 0])",
        "sum[s](X[x -> s] * W[k = s - x + 1; fill = 2])",
    ),
    "sum of a convolution": Row(CONV, "sum[c](W @[k] unroll[x, k](X))", "sum[o](W @[c, k] unroll[x, k](X))"),
    "fold of a multiple": Row(FOLD, "fold[x, k](-Y)", "fold[x, k](exp(Y))"),
}  # fmt: skip
