"""The operations that stay whole: what each means, and which attributes it has.

In: nothing; this is the table that the elaborator writes from, and that the reference interpreter, the numbering and
the emission read. Local axis names: an operand's axes bear the names in its `Ref`; axes of one name in several operands
are the same axis (they have one size, except where said); the result's axes are named among them or are new.
Axes of an operand that an operation does not mention pass through to the result ("lifting").

`SizeExpr`s stand in attributes as `Size`.

A `call` or `scan` runs a `Body` and makes a *bundle*: several values, of which each `part` takes one. Of the axes of
its operands the body's inputs speak, by position.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PrimitiveSpec:
    """`attrs` names the attributes; `meaning` defines the result."""

    attrs: tuple[str, ...]
    meaning: str


PRIMITIVES: dict[str, PrimitiveSpec] = {
    "where": PrimitiveSpec((), "operands c, a, b; elementwise: a where c is true (not 0), else b"),
    "expand": PrimitiveSpec(
        ("axes",),
        "operand A over more axes, `axes` ((name, size), …) that it lacks: the same value at every coordinate",
    ),
    "index": PrimitiveSpec(
        ("entries",),
        "operand A; entries ((axis, coefficients, offset), …), sorted by axis, with coefficients ((axis', c), …): at "
        "the result's coordinates, A at axis = sum(c * axis') + offset. An axis' that A has and that is not itself "
        "indexed is A's own (a diagonal). All indices are in range",
    ),
    "gather": PrimitiveSpec(
        ("axes", "fill"),
        "operands A, I1 … In[, value]; axes (a1 … an): A at a_k = I_k; axes of A that an I has too, and that are not "
        "indexed, are aligned. fill False: indices are in range, else an error at the call; fill True: where any index "
        "is out of range (negative too) the result is `value`, the last operand",
    ),
    "merge": PrimitiveSpec(
        ("axes", "into"), "operand A; axes (h, w, …) become one axis `into`, the last varying fastest"
    ),
    "split": PrimitiveSpec(
        ("axis", "into"), "operand A; axis becomes `into` ((name, size), …), the last varying fastest"
    ),
    "pad": PrimitiveSpec(
        ("axis", "before", "after", "mode"),
        "operands A, value; `before` and `after` elements more at the ends of axis. mode constant (value), circular, "
        "reflect (without the edge), replicate; for the last three the value is not used",
    ),
    "fold": PrimitiveSpec(
        ("axis", "kernel", "stride", "dilation", "padding", "size"),
        "operand A with axis (windows) and kernel; the adjoint of windows: the result's axis (same name) has `size`; "
        "at t the sum of A[axis = s, kernel = k] over s, k with t = stride * s + dilation * k - padding",
    ),
    "concat": PrimitiveSpec(("axis",), "operands that all have axis, joined along it in order; other axes broadcast"),
    "stack": PrimitiveSpec(("axis",), "operands that lack axis, at its coordinates 0, 1, …; other axes broadcast"),
    "cumulative": PrimitiveSpec(
        ("axis", "op"), "operand A; op sum, prod, max, min, logsumexp of the elements up to and including this one"
    ),
    "argreduce": PrimitiveSpec(
        ("axis", "op"), "operand A; op max or min: the first coordinate at which it is attained"
    ),
    "sort": PrimitiveSpec(("axis", "descending"), "operand A; sorted along axis, stable; NaN counts as largest"),
    "argsort": PrimitiveSpec(("axis", "descending"), "operand A; the coordinates that sort it, ties to the first"),
    "fft": PrimitiveSpec(
        ("axis", "into", "inverse"), "operand A; the discrete Fourier transform, unscaled (inverse: 1/n)"
    ),
    "inv": PrimitiveSpec(("row", "column"), "operand A; at (row, column) the entry (row, column) of the inverse"),
    "solve": PrimitiveSpec(("row", "column"), "operands A, b[row]; x[column] with sum over column of A * x = b"),
    "cholesky": PrimitiveSpec(("row", "column"), "operand A, positive definite; lower L with L L^H = A"),
    "eigenvalues": PrimitiveSpec(("row", "column", "into"), "operand A, Hermitian; eigenvalues ascending along `into`"),
    "eigenvectors": PrimitiveSpec(
        ("row", "column", "into"),
        "operand A, Hermitian; along `row` the unit eigenvectors, numbered by `into`; no column",
    ),
    "det": PrimitiveSpec(("row", "column"), "operand A; the determinant"),
    "finfo": PrimitiveSpec(("which",), "operand A; which = eps: the machine epsilon of A's dtype, a scalar"),
    "random": PrimitiveSpec(
        ("axes", "distribution", "site"),
        "independent draws over `axes` ((name, size), …), exactly the result's. distribution uniform (0 to 1) and "
        "normal (mean 0, deviation 1) have no operand, bernoulli has p, whose axes are among them: True with "
        "probability p. `site` is another number at each draw, so that no two are ever taken for one value",
    ),
    "categorical": PrimitiveSpec(
        ("axes", "axis", "site"),
        "operand A, log weights along `axis`; for each coordinate of `axes`, exactly the result's, one coordinate of "
        "`axis`, drawn with probability softmax(A)",
    ),
    "dropout": PrimitiveSpec(
        ("site",), "operands A, p (a scalar); each element is 0 with probability p, else A / (1 - p), drawn apart"
    ),
    "call": PrimitiveSpec(
        ("body",),
        "operands as the inputs of `body` (a `Body`), in order and with their axes in the inputs' order; the bundle "
        "of its outputs: a value without axes that only `part` takes",
    ),
    "scan": PrimitiveSpec(
        ("axis", "body", "carries", "reverse", "size"),
        "operands as the inputs of `body` (a `Body`). The first `carries` are start values of the carried inputs, and "
        "the first `carries` outputs are what these become at each step. An operand that has `axis` (of length "
        "`size`) is seen by the body at the current step, without that axis; any other is the same at all steps. "
        "Steps go from 0 to size - 1, or back if `reverse`. The bundle of all outputs, each along `axis`, at its own "
        "step",
    ),
    "part": PrimitiveSpec(
        ("number",),
        "operand a bundle; its output `number`. The result's axes are, in this order, for a scan the scanned axis, and "
        "then those of the body's output, in the order of that `Output`",
    ),
}
