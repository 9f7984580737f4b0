"""The codes of a text that is no formula: NL01, and those of NL06 that limit how long and how deep a text may be.

Every example is a text; reading it raises the code that it stands under, unless it says that it is longer than can be
shown.
"""

from __future__ import annotations

from namedlayers.codes.table import Code, table, told

SYNTAX = table(
    Code(
        "NL0101",
        "an empty text",
        "A text holds at least one definition or import; this one holds blanks or comments only.",
        "# nothing here",
        "Write a definition: `def double(X) = 2 * X`.",
    ),
    Code(
        "NL0102",
        "a character that has no meaning",
        "A sign stands outside of strings and comments that the language does not use: a typographic minus or quote, "
        "`&`, `{`, a superscript. Letters of all scripts are fine in names.",
        "def f(X) = X − 1",
        "Type the sign that the hint names.",
    ),
    Code(
        "NL0103",
        "a string that is not closed",
        "A string ends on the line on which it begins, with the quote with which it begins.",
        'def f(X) = unroll[a, k](X; mode = "circular)',
        "Close the string.",
    ),
    Code(
        "NL0104",
        "an escape that stands for no character",
        "After a backslash in a string stands one of the escapes that Python has for single characters.",
        'def f(X) = g(X; mode = "a\\q")',
        "Write `\\\\` for a backslash.",
    ),
    Code(
        "NL0105",
        "not a number",
        "What begins with a digit is a number, and written as in Python: no leading zeros, single underscores between "
        "digits, and no name right after it. A number is not larger than a 64-bit float can be.",
        "def f(X) = 2X",
        "Write the product as `2 * X`; write `inf` for infinity.",
    ),
    Code(
        "NL0106",
        "a reserved name",
        "Names with `__BOUND` in them are made by the compiler.",
        "def f(X__BOUND_1) = X__BOUND_1",
        "Choose another name.",
    ),
    Code(
        "NL0107",
        "a bracket that is never closed",
        "A bracket is open, and a new line or a sign that stands in no bracket shows that its end is missing.",
        "def f(X[a], Y[a]):\n    Z = exp(X + Y\n    return Z",
        "Close the bracket; the second place shown is where it was opened.",
    ),
    Code(
        "NL0108",
        "a bracket that closes another one, or none",
        "Brackets close in the order in which they were opened, each by its own kind.",
        "def f(X[a]) = exp(X[a = 0)]",
        "Look at both places: one of the brackets is too many, too few or of the other kind.",
    ),
    Code(
        "NL0109",
        "an indentation that does not fit",
        "The lines of a block begin in the same column; only a line that ends in `:` begins a further block.",
        "def f(X):\n    Y = X\n        return Y",
        "Indent the line as the other lines of its block. In brackets, lines may begin anywhere.",
    ),
    Code(
        "NL0110",
        "tabs and spaces mixed",
        "A line begins with other characters than the lines before it, so that its depth would depend on the width "
        "of a tab.",
        "def f(X):\n\tY = X\n        return Y",
        "Indent by spaces only, or by tabs only.",
    ),
    Code(
        "NL0111",
        "a block that is missing",
        "After a line that ends in `:` stands a block, indented further than the line; comments alone are none.",
        "def f(X):\n    # to be written\n",
        "Indent the statements that belong there.",
    ),
    Code(
        "NL0112",
        "a colon that is missing",
        "The first line of a definition, an `if`, a `repeat` or a `scan` ends in `:` before its block.",
        "def f(X[a]) -> [a]\n    return X",
        "End the line in `:`, or write a definition in one line: `def f(X[a]) -> [a] = X`.",
    ),
    Code(
        "NL0113",
        "`=` and `==` mistaken for each other",
        "`=` gives a name to a value, once in a statement; `==` compares.",
        "def f(X; k = 1):\n    if k = 2:\n        X = X + 1\n    return X",
        "Use the other one.",
    ),
    Code(
        "NL0114",
        "a contraction without axes",
        "Axes have no order, so a contraction says over which of them it sums.",
        "def f(A[i, j], B[j, k]) = A @ B",
        "Name the axes: `A @[j] B`.",
    ),
    Code(
        "NL0115",
        "a sign that is written otherwise",
        "`=>`, `=<`, `<>` and `===` are no signs of the language, and an arrow `->` stands in brackets or before the "
        "axes of a result.",
        "def f(X[a]) => [a] = X",
        "Write `->`, `>=`, `<=`, `!=` or `==`.",
    ),
    Code(
        "NL0116",
        "a general loop",
        "There is no `for` and no `while`: every formula terminates, and its loops can be planned.",
        "def f(X[a]):\n    for i in range(3):\n        X = X + i\n    return X",
        "Work on whole axes. `repeat 3 as i:` does a block three times, `scan a with h = 0:` goes along an axis.",
    ),
    Code(
        "NL0117",
        "an anonymous function",
        "Functions are definitions and have names.",
        "def f(X) = g(X; act = lambda y: y * y)",
        "Write `def square(Y) = Y * Y` and give its name: `act = square`.",
    ),
    Code(
        "NL0118",
        "a statement of another language",
        "A formula has no classes, exceptions, decorators or output.",
        "def f(X):\n    print(X)\n    return X",
        "Leave it out, or do it in the Python program that calls the formula. What must hold is said by `require`.",
    ),
    Code(
        "NL0119",
        "a choice that is written otherwise",
        "Values are chosen elementwise by `where`; blocks by `if`, `elif` and `else`, where an `if` begins.",
        "def f(X) = X if X > 0 else 0",
        "Write `where(X > 0, X, 0)`, or an `if` block on an option.",
    ),
    Code(
        "NL0120",
        "a keyword where a name should be",
        "`def return if elif else and or not` name axes only, never values.",
        "def f(X):\n    Y = else\n    return Y",
        "Choose another name.",
    ),
    Code(
        "NL0121",
        "a line that is no statement",
        "A statement gives a name to a value or returns one. Nothing else has an effect: values never change.",
        "def f(X[a]):\n    X[a = 0] = 1\n    return X",
        "Make a new value: `Y = where(a == 0, 1, X)`.",
    ),
    Code(
        "NL0122",
        "an assignment that updates",
        "There is no `+=` and the like.",
        "def f(X):\n    X += 1\n    return X",
        "Write `X = X + 1`.",
    ),
    Code(
        "NL0123",
        "a value that is missing",
        "An operator, a comma or an opening bracket stands where a value should come after it.",
        "def f(X) = X * / 2",
        "Write the value, or take the sign away.",
    ),
    Code(
        "NL0124",
        "an operator or a comma that is missing",
        "Two values, axes or inputs stand side by side with nothing between them.",
        "def f(A, B) = A B",
        "Write `A * B`, `A @[axis] B` or `A, B`.",
    ),
    Code(
        "NL0125",
        "brackets without the names of axes",
        "Axes have names and no order; each item in square brackets begins with the name of the axis that it is about.",
        "def f(X[seq]) = X[0]",
        "Write `X[seq = 0]`.",
    ),
    Code(
        "NL0126",
        "bars around something other than axes",
        "`|seq|` is the size of an axis, `|h, w|` a product of sizes. Bars mean nothing else.",
        "def f(X, Y) = |X - Y|",
        "Write `abs(X - Y)`, or `norm[axes](X - Y)`.",
    ),
    Code(
        "NL0127",
        "result axes without brackets",
        "After `->` the axes of each result stand in square brackets.",
        "def f(X[a]) -> a = X",
        "Write `-> [a]`, for several results `-> [a, b], [c]`.",
    ),
    Code(
        "NL0128",
        "a definition whose first line is incomplete",
        "A definition has a name and, in parentheses, its inputs: names with axes in brackets, before a `;` the data, "
        "after it parameters and options.",
        "def f = 3",
        "Write `def f() = 3`, `def f(X[a]; W[b, a], k = 2) -> [b]:`.",
    ),
    Code(
        "NL0129",
        "something outside of definitions",
        "Only definitions and imports begin in the first column.",
        "k = 3\ndef f(X) = k * X",
        "Make it an option, `def f(X; k = 3)`, or a definition, `def k() = 3`.",
    ),
    Code(
        "NL0130",
        "a definition inside a definition",
        "Definitions do not nest.",
        "def f(X):\n    def g(Y) = Y\n    return g(X)",
        "Put it beside the other one; what it needs of the other's values are its inputs.",
    ),
    Code(
        "NL0131",
        "a parameter that is not complete",
        "A `param` or `state` names its axes in brackets and says after `~` how its values begin.",
        "layer L(X[a]):\n    param W[a] = zeros\n    return W * X",
        "Write `param W[a] ~ zeros`; a single number is `param w[] ~ ones`.",
    ),
    Code(
        "NL0132",
        "a `repeat` or `scan` that is written otherwise",
        "The forms are `repeat n:`, `repeat n as i:`, `scan time with h = h0:`, `scan time reversed with h = h0:` and "
        "`scan step = 10 with x = x0:`; several states are parted by commas.",
        "def f(X):\n    repeat i in 3:\n        X = X + i\n    return X",
        "Use one of these forms.",
    ),
    Code(
        "NL0133",
        "an import that is written otherwise",
        "`import norm` makes `norm.LayerNorm` known, `from conv import conv1d, conv2d` the names themselves. "
        "Formulas are imported, never Python; nothing is renamed.",
        "import numpy as np",
        "Use one of these forms, one module a line.",
    ),
    Code(
        "NL0134",
        "an argument without a name after one with a name",
        "Arguments are matched by place until the first with a name; after it, places say nothing.",
        "def f(X) = g(k = 1, X)",
        "Put it first, or give it its name.",
    ),
    Code(
        "NL0135",
        "a semicolon too many",
        "In brackets one `;` parts data from parameters and options, or axes from settings.",
        "def f(X; k; m) = k * m * X",
        "Part the others by commas.",
    ),
    Code(
        "NL0136",
        "a string as a statement",
        "A string by itself does nothing; there are no documentation strings.",
        'def f(X):\n    "twice X"\n    return 2 * X',
        "Write a comment: `# twice X`.",
    ),
    Code(
        "NL0137",
        "an operator of another language",
        "Booleans are joined by `and`, `or` and `not`, compared by `==`.",
        "def f(A, B) = A | B",
        "Write the word.",
    ),
    Code(
        "NL0138",
        "several statements on a line",
        "A line holds one statement; `;` stands in brackets only.",
        "def f(X):\n    Y = X; Z = Y\n    return Z",
        "Write each on a line of its own.",
    ),
    Code(
        "NL0139",
        "a list",
        "There are no lists. An option that differs by axis is a tuple; tensors are joined along a named axis.",
        "def f(X) = g(X; stride = [1, 2])",
        "Write `(1, 2)`, or `stack[axis](A, B)`.",
    ),
    Code(
        "NL0140",
        "a size that is not stated plainly",
        "A line that begins with `|axis|` says what that size is: `|key| = |layer| // |heads|`.",
        "def f(X[a, b]):\n    |a| == 2 * |b|\n    return X",
        "Write `=`, with one size on the left; a condition is `require |a| == 2 * |b|`.",
    ),
    Code(
        "NL0199",
        "something that does not fit",
        "At this place the grammar expects something else; the message lists what.",
        "def f(X[a]) -> [a] -> [b] = X",
        "Write one of the things listed, or look at what stands before.",
    ),
)

READING = told(
    Code(
        "NL0601",
        "a text that is too long",
        "At most 500,000 characters are read as one text.",
        "a text of 10 MB",
        "Divide it into files that import one another.",
    ),
    Code(
        "NL0602",
        "a text that is nested too deeply",
        "At most 200 brackets, 200 blocks and 200 parts of a formula may lie within one another. A sum of over 200 "
        "terms nests too: each term but the first is one level.",
        "def f(X) = ((((…X…)))) with 20,000 parentheses",
        "Give parts of it names, on lines of their own; reduce over an axis instead of writing out the terms.",
    ),
    Code(
        "NL0603",
        "a number that is too long",
        "At most 100 characters are read as one number.",
        "a number of 100,000 digits",
        "Write it with an exponent: `1e30`.",
    ),
)
