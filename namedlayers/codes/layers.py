"""The codes of layers: parameters, states, instances, scans and random draws. They belong to NL02, NL03 and NL04."""

from __future__ import annotations

from namedlayers.codes.table import Code, table

_LINEAR = (
    "layer Linear[input -> output](X[input]) -> [output]:\n    param W[output, input] ~ xavier_uniform(input, output)\n"
    "    return W @[input] X\n\n"
)

LAYERS = table(
    Code(
        "NL0250",
        "a return inside a scan",
        "A scan runs through all of its axis. Nothing is returned on the way.",
        "def f(X[time]) -> []:\n    scan time with s = 0.0:\n        s = s + X\n        return s",
        "Return after the block; there `s[time = -1]` is the last value.",
    ),
    Code(
        "NL0251",
        "a carried name that is never assigned",
        "A name after `with` goes from step to step, so the block says what becomes of it.",
        "def f(X[time]) -> [time]:\n    scan time with s = 0.0, n = 1.0:\n        s = s + n * X\n    return s",
        "Assign it in the block, or assign it before the scan and leave it out of `with`.",
    ),
    Code(
        "NL0252",
        "a probability outside 0 to 1",
        "A probability is a number between 0 and 1.",
        "def f(X[i]) = X * bernoulli[i](1.5)",
        "Correct the number.",
    ),
    Code(
        "NL0253",
        "a parameter or state in a def",
        "`param` and `state` declare what a module owns. A `def` has no module.",
        "def linear(X[input]) -> [output]:\n    param W[output, input] ~ zeros\n    return W @[input] X",
        "Write `layer` in the place of `def`, or take the tensor as a parameter after the `;`.",
    ),
    Code(
        "NL0254",
        "a name that is declared or assigned already",
        "A parameter or state has its name for itself in the whole layer.",
        "layer Scale(X[i]) -> [i]:\n    param g[i] ~ ones\n    param g[i] ~ zeros\n    return g * X",
        "Give one of them another name.",
    ),
    Code(
        "NL0255",
        "a state that is written inside a scan",
        "States are written once, after the call. What changes from step to step is carried.",
        "layer Count(X[time]) -> [time]:\n    state n[] ~ 0.0\n    scan time:\n        n = n + X\n    return X",
        "Carry it: `scan time with m = n:`, and assign `n = m[time = -1]` after the block.",
    ),
    Code(
        "NL0256",
        "a layer that is written in a def",
        "A layer has parameters, which belong to the layer around it. A `def` has none.",
        _LINEAR + "def f(X[a]) -> [b] = Linear[a -> b = 3](X)",
        "Write `layer` in the place of `def`, or take the layer as an option: `def twice(X; f) = f(f(X))`.",
    ),
    Code(
        "NL0257",
        "an initialiser without its fans",
        "A fan is how many inputs or outputs a sum has. Axes are named, so it cannot be read off a layout.",
        "layer Linear[input -> output](X[input]) -> [output]:\n    param W[output, input] ~ xavier_uniform(input)\n"
        "    return W @[input] X",
        "Name the axes: `kaiming_uniform(input)`, `xavier_uniform(input, output)`; several in parentheses are one fan.",
    ),
    Code(
        "NL0258",
        "an initialiser that there is not",
        "After `~` stands an initialiser of `torch.nn.init` (without its underscore), or an expression.",
        "layer Scale(X[i]) -> [i]:\n    param g[i] ~ kaming_uniform(i)\n    return g * X",
        "Correct the name, or write an expression.",
    ),
    Code(
        "NL0259",
        "an initial value that depends on a tensor",
        "Parameters and states begin before any call, so only sizes, options, coordinates and draws are known.",
        "layer Scale(X[i]) -> [i]:\n    param g[i] ~ X\n    return g * X",
        "Begin with something that no call gives.",
    ),
    Code(
        "NL0260",
        "a state whose new value is of a wider kind",
        "A state keeps the kind of its first value: `~ 0` holds integers, `~ 0.0` and `~ zeros` hold reals.",
        "layer Total(X[i]) -> [i]:\n    state total[] ~ 0\n    total = total + sum[i](X)\n    return X",
        "Let it begin with a real.",
    ),
    Code(
        "NL0261",
        "an operation that values of a semiring have not",
        "Under a semiring its values are added, multiplied, summed and moved. What else a formula computes, "
        "it computes "
        "of parameters, options and literals, which are ordinary numbers.",
        "`sin(X)` of data `X` under the semiring `log`",
        "Compute it of a parameter, or say by `semiring_inputs` which inputs are values.",
        told=True,
    ),
    Code(
        "NL0318",
        "a scan inside a scan over the same axis",
        "Inside a scan there is only the current step of its axis, so it cannot be scanned once more.",
        "def f(X[time]) -> [time]:\n    scan time with s = 0.0:\n        scan time with t = s:\n            t = t + X\n"
        "        s = s + 1\n    return s",
        "Scan another axis, or put one scan after the other.",
    ),
    Code(
        "NL0319",
        "a start value along the scanned axis",
        "What is carried begins before the first step, so its start value has no steps.",
        "def f(X[time]) -> [time]:\n    scan time with s = X:\n        s = s + 1\n    return s",
        "Begin with one coordinate: `s = X[time = 0]`.",
    ),
    Code(
        "NL0320",
        "a carried name that loses an axis",
        "A carried name has the same axes at every step; the start value broadcasts to them.",
        "def f(X[time, h]; W[h, h'], h0[h]) -> [time, h]:\n    scan time with s = h0:\n        s = tanh(W @[h] s)\n"
        "    return s",
        "Rename the axis back at the end of the step: `tanh(W @[h] s)[h' -> h]`.",
    ),
    Code(
        "NL0321",
        "the scanned axis inside a scan",
        "Inside a scan every tensor is seen at the current step. What is assigned gets the axis after the block.",
        "def f(X[time]) -> [time]:\n    scan time with s = 0.0:\n        z = zeros[time]\n        s = s + X\n"
        "    return s",
        "Use another axis, or make the value before the scan.",
    ),
    Code(
        "NL0322",
        "a draw over fewer axes than its probability",
        "`bernoulli[i](p)` draws over exactly the axes in brackets, so p has no others.",
        "def f(P[i, j]) = bernoulli[i](P)",
        "Name all axes of p, or leave the brackets out: then the draw is over the axes of p.",
    ),
    Code(
        "NL0323",
        "a layer with a state that would be lifted",
        "A layer that writes a state cannot run once for each coordinate of an axis, as one of the values "
        "would be kept.",
        "layer Mean(X[i]) -> [i]:\n    state total[] ~ 0.0\n    total = total + sum[i](X)\n    return X - total\n\n"
        "layer Net(X[i, batch]) -> [i, batch]:\n    return Mean(X)",
        "Let the layer's signature name the axis: `X[i, batch]`, or `X[i, *ax]`, and reduce over it.",
    ),
    Code(
        "NL0324",
        "an instance over other axes",
        "An instance has its parameters once. Their axes are the same wherever it is applied.",
        "layer Scale[c, *ax](X[c, *ax]) -> [c, *ax]:\n    param g[c, *ax] ~ ones\n    return g * X\n\n"
        "layer Net(X[c, a], Y[c, b]) -> [c, a], [c, b]:\n    scale = Scale[c]\n    return scale(X), scale(Y)",
        "Rename the argument's axes, or write a second instance.",
    ),
    Code(
        "NL0325",
        "an initial value with further axes",
        "What stands after `~` has axes of the parameter only, and broadcasts over the others.",
        "layer Scale(X[i, j]) -> [i, j]:\n    param g[i] ~ j + 1\n    return g * X",
        "Reduce over the axis, or declare it.",
    ),
    Code(
        "NL0326",
        "a new state with further axes",
        "A state keeps the axes with which it is declared.",
        "layer Keep(X[i, j]) -> [i, j]:\n    state last[i] ~ zeros\n    last = X\n    return X",
        "Reduce over the axis: `last = mean[j](X)`.",
    ),
    Code(
        "NL0327",
        "an instance that is given axes again",
        "An instance has its axes and settings from where it is written.",
        _LINEAR + "layer Net(X[a]) -> [b]:\n    up = Linear[a -> b = 3]\n    return up[a -> b](X)",
        "Apply it with parentheses alone: `up(X)`.",
    ),
    Code(
        "NL0427",
        "a carried name that changes its size",
        "A carried name has the same sizes at every step.",
        "def f(X[time, i]) -> [time, i]:\n    scan time with s = X[time = 0]:\n        s = s[i = 1:]\n    return s",
        "Keep the size: pad what was cut, or index with `fill`.",
    ),
    Code(
        "NL0428",
        "an instance over other sizes",
        "An instance has its parameters once, so their axes have the same sizes wherever it is applied.",
        _LINEAR + "layer Net(X[a]) -> [b]:\n    up = Linear[a -> b = 3]\n    return up(X) + up(X[a = 1:])",
        "Write a second instance, or bring the arguments to one size.",
    ),
)
