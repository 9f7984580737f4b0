"""The codes of names, and of what stands where another kind of thing is needed: NL02."""

from __future__ import annotations

from namedlayers.codes.table import Code, table

NAMES = table(
    Code(
        "NL0201",
        "a name that is not defined",
        "A value is looked up among the inputs, the options and what was assigned on lines before; where none of them "
        "has the name, it means the coordinates of an axis, a constant or a definition. Nothing here is called so.",
        "def attention(Q[key], K[seq, key]) -> [seq]:\n    scores = Q @[key] K\n    return softmax[seq](score)",
        "Correct the name, declare an input, or assign the value on a line before.",
    ),
    Code(
        "NL0202",
        "a definition that is there twice",
        "Two definitions of a text have one name, so that the first one could never be used.",
        "def f(X) = X + 1\n\ndef f(X) = X + 2",
        "Rename one of them.",
    ),
    Code(
        "NL0203",
        "a module that is not there",
        "An import looks for `name.nl` beside the file and then in the library. Before a dot stands a module that the "
        "text imports; values have no attributes and no methods.",
        "from preludes import softmax\n\ndef f(X[seq]) = softmax[seq](X)",
        "Correct the name; before using `norm.layer_norm`, write `import norm`.",
    ),
    Code(
        "NL0204",
        "a definition that its module lacks",
        "The module is there, but defines nothing of this name.",
        "from prelude import softmx\n\ndef f(X[seq]) = softmx[seq](X)",
        "Use one of the names that the module defines.",
    ),
    Code(
        "NL0205",
        "modules that import each other",
        "A file imports a file that imports it, directly or through others.",
        "a file `a.nl` with `import b`, and a file `b.nl` with `import a`",
        "Move what both need to a third file.",
        told=True,
    ),
    Code(
        "NL0206",
        "a definition that uses itself",
        "There is no recursion, so that every formula terminates. The message names the definitions in between.",
        "def power(X; n = 3) = X * power(X; n = n - 1)",
        "Use `repeat n:` to apply a block several times.",
    ),
    Code(
        "NL0207",
        "a name that only one branch assigns",
        "After an `if`, only names that every branch assigns are defined, so that no option decides which names there "
        "are.",
        "def f(X[seq]; bias = True) -> [seq]:\n    if bias:\n        Y = X + 1\n    return Y",
        "Assign the name in the other branch too, or before the `if`.",
    ),
    Code(
        "NL0208",
        "a definition that is not there",
        "Before `(…)` and `[…](…)` stands a definition of the text, an imported one, or an operation of the language.",
        "def f(X[seq]) = sofmax[seq](X)",
        "Correct the name, import the definition, or write it.",
    ),
    Code(
        "NL0210",
        "what this version does not compile",
        "The text is a formula, but it has layers, `param`, `state` or `scan`, which this version reads and does not "
        "run.",
        "layer Linear[input -> output](X[input]) -> [output]:\n    param W[output, input] ~ zeros\n    return W "
        "@[input] X",
        "Write a `def` that takes its parameters after the `;`: `def linear(X[input]; W[output, input]) -> [output] = "
        "…`.",
    ),
    Code(
        "NL0211",
        "complex numbers in order",
        "Complex numbers are neither smaller nor larger than others, so that nothing compares, sorts or rounds them.",
        "def f(X[seq]) = max[seq](X * 1j)",
        "Take `abs`, `real` or `imag` first.",
    ),
    Code(
        "NL0212",
        "arithmetic with what is no number",
        "Strings and tuples are values of options; they can be compared and handed on, not computed with.",
        'def f(X[seq]) = X + "one"',
        "Write a number.",
    ),
    Code(
        "NL0213",
        "a different number of results",
        "A definition with several results gives one to each name, and stands alone on the right of `=`.",
        "def f(A[i, j]) -> [i]:\n    l, U, V = eigh[i, j -> e](A)\n    return sum[e](U * l)",
        "Write as many names as there are results: `l, U = eigh[i, j -> e](A)`.",
    ),
    Code(
        "NL0214",
        "a definition where a value is needed",
        "A definition is applied, or given for an option; by itself it has no elements.",
        "def f(X[seq]) = X + relu",
        "Apply it: `relu(X)`.",
    ),
    Code(
        "NL0215",
        "what must be known before the tensors are",
        "Sizes, counts, slices and the conditions of `if` and `require` decide which program there is. They may depend "
        "on options and sizes, and not on the elements of tensors.",
        "def f(X[seq]):\n    if sum[seq](X) > 0:\n        return X\n    return -X",
        "Choose elementwise with `where(condition, then, otherwise)`; make a number an option: `def f(X[seq]; n)`.",
    ),
    Code(
        "NL0216",
        "a size that is no integer",
        "A size, a count or an end of a slice is an integer.",
        "def f(X[layer]) -> [heads, key] = X[layer -> (heads = |layer| / 64, key)]",
        "Divide sizes with `//`.",
    ),
    Code(
        "NL0217",
        "a value that is applied",
        "Before parentheses stands a definition, and this is a tensor or a number.",
        "def f(X[seq], W[seq]) = W(X)",
        "To multiply, write `*`; to contract, `@[seq]`.",
    ),
    Code(
        "NL0218",
        "a body without a result",
        "Every way through the body of a definition ends in `return`.",
        "def f(X[seq]):\n    Y = 2 * X",
        "End the body in `return Y`.",
    ),
    Code(
        "NL0219",
        "an option that is not there",
        "What is called has no input and no option of this name.",
        "def f(X[seq]) -> [seq, k] = unroll[seq, k = 3](X; strid = 2)",
        "Use one of its names; the hint lists them.",
    ),
    Code(
        "NL0220",
        "a tensor for an option",
        "An option, `fill` and the `value` of a padding are single numbers, without axes.",
        "def f(X[seq], Y[seq]) = X[seq = seq - 1; fill = Y]",
        "Give a number; to choose by place, use `where`; to take a tensor, declare an input: `eps[chans]`.",
    ),
    Code(
        "NL0221",
        "a slice with a step of 0",
        "The step of a slice is an integer, negative to run backwards, and not 0.",
        "def f(X[seq]) = X[seq = ::0]",
        "Write another step; for one element, `X[seq = 0]`.",
    ),
    Code(
        "NL0222",
        "an index that is no integer",
        "What indexes an axis is computed to be a real number or a truth value.",
        "def f(X[seq], p[seq]) = X[seq = p > 0]",
        "Compute with `//` instead of `/`; to choose by a condition, use `where`.",
    ),
    Code(
        "NL0223",
        "a different number of values",
        "An operation of the language takes a fixed number of values.",
        "def f(X[seq]) = where(X > 0, X)",
        "Give as many as the message says: `where(condition, then, otherwise)`.",
    ),
    Code(
        "NL0224",
        "a name that is given twice",
        "An input or option is declared twice, or given twice in one call.",
        "def f(X[seq]) = pad[seq](X; before = 1, before = 2)",
        "Take one away; the second place shown is the first of them.",
    ),
    Code(
        "NL0225",
        "an argument that is missing",
        "A definition is called without an input or option that has no default.",
        "def scale(X, by) = X * by\n\ndef f(X[seq]) = scale(X)",
        "Give it, or declare a default.",
    ),
    Code(
        "NL0226",
        "a padding mode that is not there",
        "`mode` says what stands outside of an axis.",
        'def f(X[seq]) = pad[seq](X; before = 1, mode = "reflection")',
        'Choose "zeros", "constant", "circular", "reflect" or "replicate".',
    ),
    Code(
        "NL0227",
        "a padding that is not understood",
        'The `padding` of windows is an integer, a pair (before, after), "same" or "valid".',
        'def f(X[seq]) -> [seq, k] = unroll[seq, k = 3](X; padding = "full")',
        "Write one of these, or a tuple with one for each axis.",
    ),
    Code(
        "NL0228",
        "too many arguments without names",
        "Before the `;` of a call stand inputs, in the signature's order; after it, parameters and options.",
        "def scale(X, by) = X * by\n\ndef f(X[seq]) = scale(X, 2, 3)",
        "Take it away, or say what it is for: `name = value`.",
    ),
    Code(
        "NL0229",
        "results that differ in number from what is stated",
        "`-> [seq], []` states two results; the body returns another number of them.",
        "def f(X[seq]) -> [seq], []:\n    return X",
        "Return as many as are stated: `return X, sum[seq](X)`.",
    ),
    Code(
        "NL0230",
        "a condition that is neither true nor false",
        "A string, a tuple or a size stands alone after `if`.",
        'def f(X[seq]; mode = "sum"):\n    if mode:\n        return X\n    return -X',
        'Compare it: `mode == "sum"`.',
    ),
    Code(
        "NL0231",
        "a block that repeats too often",
        "A `repeat` is written out when the formula is compiled, and runs 0 to 10000 times.",
        "def f(X[seq]):\n    repeat 1000000 as i:\n        X = X + i\n    return X",
        "Compute over an axis instead: `sum[step](…)`, `cumsum[step](…)`.",
    ),
    Code(
        "NL0232",
        "a tuple of another length than the axes",
        "An option that differs by axis is a tuple with one item for each axis in the brackets.",
        "def f(X[h, w]) = pad[h, w](X; before = (1, 2, 3))",
        "Give one number for all axes, or a tuple with one for each.",
    ),
)
