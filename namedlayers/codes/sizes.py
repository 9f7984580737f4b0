"""The codes of sizes that disagree, or that nothing determines: NL04, and what makes a formula too large: NL06."""

from __future__ import annotations

from namedlayers.codes.table import Code, table

SIZES = table(
    Code(
        "NL0401",
        "a size that nothing determines",
        "Sizes are solved from the shapes of inputs, from sizes that are given, and from equations. None of them says "
        "how long this axis is.",
        "def f(X[seq]) -> [seq, kernel] = unroll[seq, kernel](X)",
        "Give the size where the axis is introduced (`kernel = 3`), or state it: `|kernel| = …`.",
    ),
    Code(
        "NL0402",
        "sizes that disagree where values meet",
        "Two values have an axis of the same name, and there it has two sizes. The message shows both values, and "
        "where their sizes come from. Nothing is broadcast, an axis of size 1 neither.",
        "def f(X[seq]) = X + X[seq = 1:]",
        "Make them equally long (a slice, a padding), or give one axis another name.",
    ),
    Code(
        "NL0403",
        "a size that is given twice",
        "An axis of the signature has one size in the whole definition, and the text or the tensor says another one.",
        "def f(X[chans = 3]) -> [chans] = X * ones[chans = 4]",
        "Leave one of them away, or use another name.",
    ),
    Code(
        "NL0404",
        "a size that differs by value",
        "`|n|` asks for one size, and values have different ones along `n`.",
        "def f(X[]) -> []:\n    A = X * ones[n = 3]\n    B = X * ones[n = 4]\n    return sum[n](A) + sum[n](B) / |n|",
        "Ask one value: `size[n](B)`; or use two names.",
    ),
    Code(
        "NL0405",
        "a division by 0",
        "`//` and `%` of integers and sizes have no result where the divisor is 0.",
        "def f(X[seq]) = X / (|seq| // 0)",
        "Divide by another number; `/` of reals gives inf or nan.",
    ),
    Code(
        "NL0406",
        "a slice that leaves its axis",
        "Both ends of a slice lie within the axis; unlike in Python, nothing is cut short silently.",
        "def f(X[seq = 3]) = X[seq = 1:5]",
        "Slice less, or pad first: `pad[seq](X; after = 2)`.",
    ),
    Code(
        "NL0407",
        "two new axes in one index",
        "An index that makes two axes does not say how long each of them is.",
        "def f(X[seq]) -> [out, kernel] = X[seq = out + kernel]",
        "Give one a size before (`|kernel| = 3`), or use the indexed axis's own name for the other: `X[seq = seq + "
        "kernel]`.",
    ),
    Code(
        "NL0408",
        "an index that does not move",
        "The axis's own name is multiplied by 0, so that nothing says how long the new axis is. A stride is at least "
        "1.",
        "def f(X[seq]) = max[kernel](unroll[seq, kernel = 2](X; stride = 0))",
        "Write another stride; for one element, `X[seq = 1]`.",
    ),
    Code(
        "NL0409",
        "a window that is longer than its axis",
        "A window reaches over so many elements that not even one fits into the axis.",
        "def f(X[seq = 2]) = max[kernel](unroll[seq, kernel = 5](X))",
        'Use a smaller window, or pad: `unroll[…](X; padding = "same")`.',
    ),
    Code(
        "NL0410",
        "an index outside of its axis",
        "A computed index can reach a coordinate that is not there.",
        "def f(X[seq]) = X[seq = seq - 1]",
        "Say what is read there (`X[seq = seq - 1; fill = 0]`), or pad first.",
    ),
    Code(
        "NL0411",
        "a split with two unknown parts",
        "At most one part of a split has a size that is left to be solved.",
        "def f(X[layer]) -> [heads, key] = X[layer -> (heads, key)]",
        "Give the others a size: `X[layer -> (heads = 8, key)]`.",
    ),
    Code(
        "NL0412",
        "a split that leaves something over",
        "The size of an axis must be a multiple of what it is split by.",
        "def f(X[layer]) -> [heads, key] = X[layer -> (heads = 8, key)]",
        "Change the factor, or give a tensor whose size is a multiple.",
        "f(torch.ones(12))",
    ),
    Code(
        "NL0413",
        "a split whose parts do not make the whole",
        "The parts of a split, multiplied, are the axis that is split.",
        "def f(X[layer = 10]) -> [heads, key] = X[layer -> (heads = 2, key = 4)]",
        "Leave one part to be solved, or correct a size.",
    ),
    Code(
        "NL0414",
        "the position in an empty axis",
        "The place of the largest or smallest element is asked of an axis that has none.",
        "def f(X[seq]) = argmax[seq](X)",
        "Give a tensor that is not empty along this axis.",
        "f(torch.ones(0))",
    ),
    Code(
        "NL0415",
        "a negative padding",
        "Padding adds elements.",
        "def f(X[seq]) = pad[seq](X; before = -1)",
        "To take elements away, slice: `X[seq = 1:]`.",
    ),
    Code(
        "NL0416",
        "a padding with more elements than there are",
        'The modes "reflect", "circular" and "replicate" pad an axis with its own elements.',
        'def f(X[seq = 4]) = pad[seq](X; before = 4, mode = "reflect")',
        "Pad by less, or with a value.",
    ),
    Code(
        "NL0417",
        "windows that cannot be folded",
        "The stride and the dilation of `fold` are at least 1, and its padding takes away less than there is.",
        "def f(X[seq, kernel]) = fold[seq, kernel](X; stride = 0)",
        "Use the numbers with which the windows were made.",
    ),
    Code(
        "NL0418",
        "a matrix that is not square",
        "`inv`, `det`, `solve`, `cholesky` and `eigh` take as many rows as columns.",
        "def f(A[i = 2, j = 3]) = inv[i, j](A)",
        "Name the two axes of a square matrix.",
    ),
    Code(
        "NL0419",
        "an equation of sizes that does not hold",
        "`|key| = |layer| // |heads|` states a size that is known already, and it is another one.",
        "def f(X[chans = 3]):\n    |chans| = 4\n    return X",
        "Correct the equation, or give a tensor that fits it.",
    ),
    Code(
        "NL0420",
        "a requirement that is not met",
        "A `require` in a definition says what its sizes and options must be. The message is that of the definition.",
        'def f(X[chans = 3]):\n    require |chans| % 2 == 0, "channels come in pairs"\n    return X',
        "Do as the message says.",
    ),
    Code(
        "NL0421",
        "a size that was fixed otherwise",
        "A program that was made for one size of an axis, because a `repeat` counts it, is asked for another.",
        "a program of `def f(X[n = 3]) = …` that is to be made for n = 4",
        "Make it anew for the other size.",
        told=True,
    ),
    Code(
        "NL0422",
        "a negative size",
        "The text gives an axis a size that is less than 0, or that can be for the tensors of a call.",
        "def f(X[seq]) -> [seq, k] = X * ones[k = -1]",
        "Give a size that is at least 0.",
    ),
)

SIZES_AT_CALL = table(
    Code(
        "NL0431",
        "a call that needs more memory than it may take",
        "With `max_memory`, a call whose intermediate values would take more is computed piece by piece, along an axis "
        "on whose coordinates and size nothing depends. There is none here, or its pieces are still too large.",
        '`cumsum[t](X)` of a million elements with `max_memory="1MiB"`',
        "Allow more, or leave `max_memory` out.",
        told=True,
    ),
    Code(
        "NL0481",
        "a size that is no multiple",
        "A tensor's axis must be a multiple of another size, and the text gives no reason of its own.",
        "a program with an input of size 2 * n, called with a tensor of size 3",
        "Give a tensor whose axis is a multiple.",
        told=True,
    ),
    Code(
        "NL0482",
        "a size that is divided by an empty axis",
        "A size is found by dividing by another one, which is 0 for the tensors given.",
        "def f(X[layer], Y[heads]) -> [heads, key] = X[layer -> (heads, key)] * Y",
        "Give tensors whose axes are not empty.",
        "f(torch.ones(12), torch.ones(0))",
    ),
    Code(
        "NL0483",
        "an axis that is too short",
        "A size is what is left of an axis when others are taken away, and less than nothing is left.",
        "a program with an input of size n + 9, called with a tensor of size 4",
        "Give a longer tensor.",
        told=True,
    ),
    Code(
        "NL0484",
        "an axis that has not the size it must have",
        "The sizes of other axes say how long this one is, and the text gives no reason of its own.",
        "a program with an input of size n + 1, called with a tensor that has size n",
        "Give a tensor of that size.",
        told=True,
    ),
    Code(
        "NL0485",
        "two inputs that disagree about an axis",
        "Axes of one name in the signature have one size. The message shows both inputs and both sizes.",
        "def dot(Q[key], K[key]) = Q @[key] K",
        "Check the order of both tensors' axes; if different axes are meant, give them different names.",
        "f(torch.ones(3), torch.ones(4))",
    ),
    Code(
        "NL0486",
        "an empty axis that needs an element",
        "The largest of no elements has no coordinate, and an empty axis cannot be padded with its own elements. "
        "What a text asks for is checked before, as NL0414 and NL0416; this is for programs made without these checks.",
        "a program with an `argmax` over an axis, and no check of its size, called with an empty tensor",
        "Give a tensor that is not empty along this axis.",
        told=True,
    ),
)

EXTENT = table(
    Code(
        "NL0604",
        "a formula that makes too many statements",
        "Blocks that repeat and definitions that use others are written out; at most 20000 statements are made.",
        "a block that repeats 1000 times in a block that repeats 1000 times",
        "Compute over an axis instead of repeating a block.",
        told=True,
    ),
    Code(
        "NL0605",
        "a number that is too large",
        "A size is below 2 ^ 62; a power of integers has at most some 1000 digits, and what is computed with is a "
        "64-bit float.",
        "def f(X) = X * 10 ^ 10000",
        "Write a real number: `1e300`.",
    ),
)
