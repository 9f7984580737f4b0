"""The operations that stay whole: what each means, and which attributes it has.

In: nothing; this is the table that the elaborator writes from, and that the reference interpreter, the numbering and
the emission read. Local axis names: an operand's axes bear the names in its `Ref`; axes of one name in several operands
are the same axis (they have one size, except where said); the result's axes are named among them or are new.
Axes of an operand that an operation does not mention pass through to the result ("lifting").

`SizeExpr`s stand in attributes as `Size`.
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
}
