"""The codes of axes that are missing, doubled, unused or in the wrong place: NL03."""

from __future__ import annotations

from namedlayers.codes.table import Code, table

_ATTENTION = "def attention(Q[key], K[seq, key], V[seq, val]) -> [val] = softmax[seq](Q @[key] K) @[seq] V\n\n"

AXES = table(
    Code(
        "NL0301",
        "an axis that the value lacks",
        "A reduction, a contraction, a rename or an index names an axis that the value does not have; of a "
        "contraction, both sides must have it. The second place shown is the value, with the axes that it has.",
        "def f(Q[query, key], K[seq, dim]) = Q @[key] K",
        "Name an axis that the value has, or rename one: `K[dim -> key]`.",
    ),
    Code(
        "NL0302",
        "an axis that is not there",
        "No input, axis parameter or line before names an axis so.",
        "def f(X[batch, channel]) = sum[channels](X)",
        "Correct the name; a star must be an axis parameter: `def f[*space](X[*space])`.",
    ),
    Code(
        "NL0303",
        "an axis that is named twice",
        "A value has each axis once, and a list of axes names each once.",
        "def f(X[seq, seq]) = X",
        "Give the second one another name: `X[seq, seq']`.",
    ),
    Code(
        "NL0304",
        "a name that is taken",
        "A rename, a split or a new axis would give a value two axes of one name.",
        "def f(X[seq, key]) = X[seq -> key]",
        "Choose a name that the value does not have.",
    ),
    Code(
        "NL0305",
        "an argument without an axis that the input names",
        "A definition's input has at least the axes that the signature writes after its name.",
        _ATTENTION + "def f(Q[dim], K[seq, dim], V[seq, val]) -> [val] = attention(Q, K, V)",
        "Rename the axis that is meant: `attention(Q[dim -> key], …)`.",
    ),
    Code(
        "NL0306",
        "lifting over a name that the signature uses",
        "A definition is applied once for every coordinate of the axes that its signature does not give an input. Such "
        "an extra axis may not bear a name that the signature uses elsewhere: whether both are meant to be one axis "
        "would be a guess.",
        _ATTENTION + "def self_attention(X[seq, key]) -> [seq, key] = attention(X, X, X[key -> val])[val -> key]",
        "Rename the extra axis: `attention(X[seq -> seq'], …)`.",
    ),
    Code(
        "NL0307",
        "a result with an axis that the signature does not name",
        "An axis that the body introduces and that reaches the result must be known to callers.",
        "def windows(X[seq]) = unroll[seq, kernel = 3](X)",
        "State it (`-> [seq, kernel]`), make it an axis parameter, or reduce over it.",
    ),
    Code(
        "NL0308",
        "a result without an axis that is stated",
        "`-> […]` is checked: the result has these axes, and none is added silently.",
        "def f(X[seq, key]) -> [seq, key] = sum[key](X)",
        "Correct the stated axes, or keep the axis in the body.",
    ),
    Code(
        "NL0309",
        "a star where there is one axis, or one axis where there is a star",
        "`*ax` stands for a set of axes, and is written with its star wherever all of them are meant.",
        "def total[*ax](X[*ax]) = sum[ax](X)",
        "Write `*ax`; where a single axis is needed, make it one of its own: `def total[ax]`.",
    ),
    Code(
        "NL0310",
        "brackets that do nothing",
        "After a value, each entry between brackets renames an axis or indexes it. The axes that a value has are not "
        "written where it is used.",
        "def f(X[seq]) = 2 * X[seq]",
        "Leave the brackets away, or say what to do: `X[seq -> seq']`, `X[seq = 0]`.",
    ),
    Code(
        "NL0311",
        "a coordinate that a value hides",
        "In an index, a name means the coordinates of an axis, and here a value has the same name.",
        "def f(X[seq, hidden], hidden[]) -> [seq, hidden] = X[seq = seq + hidden] * hidden",
        "Write `index[hidden]` for the coordinates, or rename the value.",
    ),
    Code(
        "NL0313",
        "stars of different lengths",
        "Where two stars stand in one expression, they go together axis by axis, so both are equally many.",
        "def windows[*ax, *k](X[*ax]) = X[*ax = ax + k]\n\ndef f(X[h, w]) -> [h, w, k] = windows[(h, w), (k = 3)](X)",
        "Name as many axes for one as for the other: `windows[(h, w), (k = 3, l = 3)]`.",
    ),
    Code(
        "NL0314",
        "a group where single axes are needed",
        "Parentheses make a group of axes that are merged or split, or belong to one star.",
        "def f(X[h, w]) = sum[(h, w)](X)",
        "Name the axes one by one: `sum[h, w](X)`.",
    ),
    Code(
        "NL0315",
        "brackets that are missing",
        "An operation over axes names them. There is no default, and `sum[](X)` is `X`.",
        "def f(X[h, w]) = sum(X)",
        "Name the axes: `sum[h, w](X)`.",
    ),
    Code(
        "NL0316",
        "a different number of axes",
        "An operation or definition takes as many axes as its signature has axis parameters, and elementwise ones take "
        "none.",
        "def f(X[h, w]) = argmax[h, w](X)",
        "Name as many as the message says; several axes are made one by a merge: `X[(h, w) -> pixel]`.",
    ),
    Code(
        "NL0317",
        "an axis parameter that is not used",
        "An axis parameter stands in an input, in the body or in the result.",
        "def f[seq, kernel](X[seq]) = 2 * X",
        "Take it away, or correct the name.",
    ),
)
