"""docs/support.md, made from the rows of `features.py` and the columns of `columns.py`.

In: nothing but the data. Out: the text of the page. What always holds: equal data give equal text.
"""

from __future__ import annotations

from tests.support.columns import COLUMNS
from tests.support.features import GROUPS, Feature

TOP = """\
# What works where

A compiled formula is torch operations on torch tensors, so what torch offers for a function applies to it. This table says
for what formulas do, and for each way of using them, whether that is so. Every cell is a test: ✓ is tested to work, with
values compared; a number is tested to fail, for the reason below the table. The page is written from the data of these
tests (`pytest tests/support --update-golden`), with the versions of torch and onnxruntime in `constraints.txt`.

"""

NOTES = '''\
## Worth knowing

**torch.compile.** With `dynamic=True` one compilation serves all sizes, with two exceptions that are torch's own: it treats
the sizes 0 and 1 as special and compiles once more for them, and dimensions that are equal in the first call by chance are
first taken to be equal always, and compiled once more where they turn out not to be. `fullgraph=True` holds everywhere: no
formula breaks the graph. A wrong size is an error while compiling too, with the formula's error code. The tests compile with
`backend="aot_eager"`, which traces and checks everything and leaves only the generation of kernels out; a few rows are
compiled to kernels too.

```python
import torch
import namedlayers as nl

attention = nl.compile("""
    def attention(Q[query, key], K[seq, key], V[seq, val]) -> [query, val]:
        return softmax[seq](Q @[key] K / sqrt(|key|)) @[seq] V
""")
q, k, v = torch.randn(3, 4), torch.randn(5, 4), torch.randn(5, 6)
fast = torch.compile(attention, fullgraph=True, dynamic=True, backend="aot_eager")
torch.testing.assert_close(fast(q, k, v), attention(q, k, v))
```

**torch.export** takes a module; dimensions stay dynamic where you say so. An exported program holds *one* variant: a formula
may have several, picked by sizes at a call (a kernel for ordinary sizes, another way for empty axes), and the sizes of the
examples pick the one that is exported. `specialize` says which: `.variant` is its number, `.graph` the graph. Dimensions
that are dynamic are at least 2 in the exported program (torch again, unless `torch.export.Dim` is given another minimum).
A causal sum of products (linear attention, retention) over a dimension that is dynamic is exported as the matrix of all
pairs, in quadratic time: torch cannot prove that blocks cover it. With that length static, it is exported in blocks.

```python
class Attention(torch.nn.Module):
    def forward(self, q, k, v):
        return attention(q, k, v)


shapes = ({0: torch.export.Dim.AUTO}, {0: torch.export.Dim.AUTO}, {0: torch.export.Dim.AUTO})
program = torch.export.export(Attention(), (q, k, v), dynamic_shapes=shapes)
more = torch.randn(7, 4), torch.randn(9, 4), torch.randn(9, 6)
torch.testing.assert_close(program.module()(*more), attention(*more))
assert attention.specialize(q, k, v).variant == attention.specialize(*more).variant
```

**ONNX** goes through the exported program, `torch.onnx.export(program, dynamo=True)`, and needs `onnx` and `onnxscript`; the
tests run the result with `onnxruntime`. What does not work there is what torch or ONNX has no translation for.

**Second derivatives of attention.** `scaled_dot_product_attention`, to which attention compiles, picks a fused kernel, of
which torch has no second derivative and no tangents. Where these are asked for, by autograd or by transforms, the same
formula is gone through in differentiable operations instead, so they cost the memory of all weights; the first derivatives
cost what they always do. Under autocast, and on devices, a second derivative by autograd is torch's error: compile with
`numerics="strict"`, and the formula runs as it is written.

```python
q, k, v = (torch.randn(size, 4) for size in (3, 5, 5))
curvature = torch.func.hessian(lambda q: attention(q, k, v).sum())(q)
assert curvature.shape == (3, 4, 3, 4)
_, slope = torch.func.jvp(lambda q: attention(q, k, v), (q,), (torch.ones_like(q),))
assert slope.shape == (3, 4)
```

**torch.func.functionalize** takes whatever runs as torch's own operations. Log products and linear scans have gradients
of their own (`torch.autograd.Function`), for which torch has no rule there: it says `NYI: Functionalize rule for
custom_function_call`, with any function that has one. `torch.compile` and `torch.export` functionalize otherwise, and take
all formulas. **torch.jit.trace**, which torch has deprecated, records what runs
for its examples: what depends on sizes or numbers (which variant, a row that is all -inf, an index out of range) stays as
it was there. Use `torch.export`.

**Scans** are loops over the steps in plain calls. Traced by `torch.compile`, or exported with a number of steps that is
dynamic, a scan is one operator, `namedlayers::scan`, so that one graph serves all lengths; a fixed number of steps is
exported step by step. The operator finds what a step does in a table of the process: a program that `torch.export.load`
reads in another process needs the formula compiled there first (NL0440 says so). Random numbers inside follow from one
number that is drawn outside, so they are not those of a plain call with the same seed, and the backward pass draws the same
ones again. torch cannot compile `torch.func.grad` of an operator that is made in Python; `torch.autograd` it can.

```python
wander = nl.compile("""
    def wander(X[time, i]; W[i, i']) -> [time, i]:
        scan time with h = X[time = 0]:
            h = sin((W @[i] h)[i' -> i]) + X
        return h
""")
fast = torch.compile(wander, fullgraph=True, dynamic=True, backend="aot_eager")
for steps in (5, 9):
    x, w = torch.randn(steps, 3), torch.randn(3, 3)
    torch.testing.assert_close(fast(x, w), wander(x, w))
```

**Blocks in a repeat** are one function each, called for every round. `checkpoint` names those that keep nothing but their
inputs for the backward pass and are computed again there, with the same random numbers: `model.checkpoint("block")`.

**Gradients at ties.** Where several elements are the maximum, a `max` reduction gives each an equal part of the gradient; a
max *pool* gives all of it to the first, as torch's pools do. `argmax` and `topk` name the first, `sort` is stable.

```python
largest = nl.compile("def largest(X[seq]) = max[seq](X)")
pooled = nl.compile("def pooled(X[seq]) -> [seq] = max[k](pool[seq, k = 2](X))")
x = torch.ones(2)
assert torch.func.grad(largest)(x).tolist() == [0.5, 0.5]
assert torch.func.grad(lambda x: pooled(x).sum())(x).tolist() == [1.0, 0.0]
```

**Precision.** float16, bfloat16, float32 and float64 go in and come out, and torch's kernels accumulate as they always do;
what torch has not in half precision (linear algebra, say) is computed in float32 and rounded. Inputs of different precisions
meet as in torch: bfloat16 with float32 is float32, in contractions too. Numbers and coordinates take the precision that they
meet. Where no real input takes part (coordinates divided by a size, say), float32 is the least. Under autocast, torch chooses
the precision of each operation, so results may be bfloat16 where inputs are float32.

```python
product = nl.compile("def product(A[i, j], B[j, k]) -> [i, k] = A @[j] B")
assert product(torch.ones(2, 3).bfloat16(), torch.ones(3, 4)).dtype is torch.float32
```

**Complex numbers** go wherever no order is needed: `max`, `sort`, `<` and what is made of them are errors (NL0211). The
gradient is torch's convention (the conjugate Wirtinger derivative).

**Finite differences** stand behind the three columns of derivatives: each is compared along a random direction in float64.
'''


def page() -> str:
    """The text of docs/support.md."""
    every = (no for group in GROUPS.values() for feature in group for no in feature.no.values())
    reasons = list(dict.fromkeys(no.reason for no in every))
    table = [_line("", *(column.title for column in COLUMNS.values())), "| --- |" + " :-: |" * len(COLUMNS)]
    for title, features in GROUPS.items():
        table.append(_line(f"**{title}**", *[""] * len(COLUMNS)))
        table += [_row(feature, reasons) for feature in features]
    listed = [f"{number}. {reason[0].upper()}{reason[1:]}." for number, reason in enumerate(reasons, 1)]
    means = ["| column | what is tested |", "| --- | --- |", *(_line(c.title, c.means) for c in COLUMNS.values())]
    parts = ["\n".join(lines) for lines in (means, table, ["Where a number stands:", "", *listed], [_formulas()])]
    return TOP + "\n\n".join(parts) + "\n\n" + NOTES


# --- helpers ----------------------------------------------------------------------------------------------------------


def _row(feature: Feature, reasons: list[str]) -> str:
    cells = [str(reasons.index(feature.no[key].reason) + 1) if key in feature.no else "✓" for key in COLUMNS]
    return _line(feature.name, *cells)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _formulas() -> str:
    """What stands behind each row."""
    texts = [f"# {feature.name}\n{feature.formula}\n" for group in GROUPS.values() for feature in group]
    return "<details><summary>The formulas of the rows</summary>\n\n```\n" + "\n".join(texts) + "```\n\n</details>"
