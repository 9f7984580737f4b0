"""The operations that rules introduce: what each means, and which attributes it has.

In: nothing; this is the vocabulary between the rules (which write it) and the emission (which lowers it). Beside these
a planned graph has the operations of `program/graph.py`. Roles of axes follow from where they occur: an axis of the
index space beyond `rank` is consumed; -1 in an `Arg` marks an operand's axis that an attribute speaks of. In
attributes, positions are positions in the index space of the node unless they are said to be the operand's own.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OperationSpec:
    attrs: tuple[str, ...]
    meaning: str


OPERATIONS: dict[str, OperationSpec] = {
    "contract": OperationSpec(
        ("path",),
        "operands of any number: the sum over the consumed axes of the product of all. `path` is the order of "
        "pairwise contractions, as opt_einsum's linear paths ((i, j), …) are (operands i, j are taken out, the "
        "result appended)",
    ),
    "log_contract": OperationSpec(
        ("linear", "lefts"),
        "operands, the first `lefts` of which added up are A, the others B; all consumed axes are in both. The result: "
        "log(sum over the consumed axes of exp(A + B)). An operand that is `linear` (a truth value each) is w in the "
        "place of log(w), and A or B by itself",
    ),
    "extreme_contract": OperationSpec(
        ("op", "join"),
        "operands A, B, each with an axis that the other lacks; all consumed axes are in both, and none is empty (the "
        "guards say so). The result: the max or min (`op`) over the consumed axes of A + B or A * B (`join`: add, mul)",
    ),
    "outer_mean": OperationSpec(
        (),
        "operands A, B, V, the consumed axes in each: the sum over them of softmax(A + B) * V, the softmax being over "
        "them jointly; 0 for a row of -inf. V has none of the axes that A has and B lacks; A and B each have one that "
        "the other lacks",
    ),
    "linear": OperationSpec(
        (),
        "operands X, W, b: contract(X, W) + b. b has exactly the result axes that W has, and X has none of them; or b "
        "has all result axes, X and W have none in common, and one of them has just one",
    ),
    "extreme": OperationSpec(
        ("op",),
        "as reduce with op max or min, but no consumed axis is empty (the guards say so)",
    ),
    "softmax": OperationSpec(("axes",), "operand X; over `axes` (positions) jointly; a row of -inf only gives 0"),
    "log_softmax": OperationSpec(("axes",), "operand X; X - logsumexp over `axes`"),
    "lerp": OperationSpec((), "operands A, B, w: A + w * (B - A)"),
    "relu": OperationSpec((), "max(X, 0); gradient 0 at 0"),
    "sigmoid": OperationSpec((), "1 / (1 + exp(-X))"),
    "silu": OperationSpec((), "X * sigmoid(X)"),
    "gelu": OperationSpec(("approximate",), "X * Phi(X); approximate `none` or `tanh`"),
    "softplus": OperationSpec((), "log(1 + exp(X))"),
    "activation": OperationSpec(
        ("function",),
        "operands X, numbers: clip (lo, hi), leaky_relu (slope), elu (alpha), softshrink (bound), "
        "hardshrink (bound), threshold (least, value), selu, hardswish, hardsigmoid, mish, log_sigmoid, as torch "
        "defines them",
    ),
    "glu": OperationSpec(
        ("axis",),
        "operand X, of which one axis (-1 in its Arg) has two halves: the first times the sigmoid of the second, along "
        "`axis` (a position)",
    ),
    "rotation": OperationSpec(
        ("axis",),
        "operands P, of which one axis (-1 in its Arg) has the two parts x and y, C and S: along `axis` (a position) "
        "x * C - y * S and x * S + y * C",
    ),
    "wave": OperationSpec(
        ("axis", "parts"),
        "operands A[, r, n]: of the angle A (+ r * n, n whole numbers, in double precision) the functions `parts` "
        "(cos, sin, -sin) along `axis` (a position), which no operand has",
    ),
    "slice_dropout": OperationSpec(
        ("axes", "site"),
        "operands X, q (a number): for each coordinate of `axes` (positions) all of X is 0 with probability 1 - q, "
        "else X / q, drawn apart",
    ),
    "slope": OperationSpec(
        ("function",),
        "operands X, numbers: the derivative at X of silu, gelu, gelu_tanh, lgamma or one of the functions of "
        "`activation`, as torch has it; or of relu, sigmoid or tanh where its value is X",
    ),
    "inverse_share": OperationSpec(
        (),
        "operands A, B, R, all axes of A and of B among those of R: exp(A + B - R), 0 where R is -inf. If it is too "
        "large somewhere to be multiplied by, there is no result (what it is part of is computed otherwise)",
    ),
    "behind": OperationSpec(
        ("axis", "reverse"),
        "operands A, which lacks the axis at position `axis`, and X, which has all: along it A, then X but for its end "
        "(reverse: X but for its beginning, then A)",
    ),
    "slope_times": OperationSpec(("function",), "operands G, X, numbers: G * slope(X, numbers), in one pass"),
    "prelu": OperationSpec((), "operands X, a, which lies along one axis: X above 0, a * X below"),
    "difference": OperationSpec(
        ("function", "reduction"),
        "operands X, Y, with all axes, and numbers; reduction none, or mean or sum over all axes, which are consumed. "
        "function square, (X - Y)^2; huber (delta), half of that where it is below "
        "delta^2 / 2, else delta * (|X - Y| - delta / 2); entropy [(w)], softplus(-X) * (1 + (w - 1) * Y) + (1 - Y) * "
        "X, where w (1 without it) is a number or a tensor along some of the axes",
    ),
    "distance": OperationSpec(
        ("measure",),
        "operands X, Y, each with result axes that the other lacks, which share the consumed axes: measure square, the "
        "sum over these of (X - Y)^2; norm, its root, whose slope is 0 where it is 0; magnitude, the sum of |X - Y|",
    ),
    "nearest": OperationSpec(
        ("op", "root"),
        "operands X, which has all result axes, and Y, which share consumed axes (features); of the other consumed "
        "ones, which Y alone has, op index: the coordinate (there is one such axis, the last) of the least, op value: "
        "the least itself, of the sums over features of (X - Y)^2, or their roots",
    ),
    "statistic": OperationSpec(
        ("op", "ddof"),
        "op mean, var, std or norm (root of the sum of squared magnitudes) over the consumed axes; ddof for var and "
        "std",
    ),
    "standardize": OperationSpec(
        ("axes", "affine"),
        "operands X, eps[, weight][, bias]: (X - mean) / sqrt(var + eps) over `axes` jointly (ddof 0), then * "
        "weight, + bias as the tuple `affine` says (some of `weight`, `bias`, in this order); both have exactly "
        "`axes`, or both the one axis that is not among `axes` (a channel; it is not empty, the guards say so)",
    ),
    "batch_norm": OperationSpec(
        ("axes", "affine", "rate"),
        "operands X, eps, mean, var[, weight][, bias], all but X and eps along the one axis that is not among `axes`. "
        "rate None: (X - mean) / sqrt(var + eps), then as `affine` says; else standardize, of at least two values, "
        "which keeps running statistics: see `running`. No gradient flows into mean and var",
    ),
    "group_norm": OperationSpec(
        ("axes", "channel", "groups", "affine"),
        "operands X, eps[, weight][, bias]: standardize over `axes` and over each of `groups` (a size) equal parts of "
        "the axis at position `channel`, which is not among them and along which the parameters lie. No axis is empty",
    ),
    "running": OperationSpec(
        ("which",),
        "operand a batch_norm with a rate, at its channels, its other axes being -1: (1 - rate) times its mean (which "
        "mean) or var (which var) plus rate times that of X, the latter with ddof 1. No gradient flows out of it",
    ),
    "rms_norm": OperationSpec(("axes", "affine"), "operands X, eps[, weight]: X / sqrt(mean(X^2) + eps) over `axes`"),
    "conv": OperationSpec(
        ("space", "bias"),
        "operands X, W[, b if bias]: sum over the consumed axes of W * windows of X (cross-correlation). space: for "
        "each space axis (X's own axis number, result position, kernel position, stride, dilation, before, after), "
        "the last two being zero padding; X's space axes are -1 in its Arg. Consumed axes other than kernels are "
        "input channels; axes in X, W and the result are groups; in W and the result output channels; in X and the "
        "result batch. b has exactly the result axes that W has. No axis of the convolution is empty, batch axes "
        "aside (the guards say so)",
    ),
    "window_product": OperationSpec(
        ("space",),
        "operands X, W: the sum over the consumed axes of W * windows of X. space: as of conv, but that positions and "
        "taps may be axes of W, and taps axes of the result; all taps are consumed, and nothing else is, or none is. "
        "X's space axes are -1 in its Arg; other axes that X and W share are aligned",
    ),
    "long_conv": OperationSpec(
        ("space", "bias", "around", "turned"),
        "as conv, of one axis of space with stride and dilation 1, where nothing but the kernel is consumed. turned: W "
        "is read from its end. around: before and after are not padded, but what lies at the other end of X, so that "
        "the result is as long as X; neither is longer (the guards say so)",
    ),
    "conv_transpose": OperationSpec(
        ("space", "bias"),
        "operands X, W[, b if bias]: W times X at each position, added up at stride * position + dilation * kernel - "
        "padding. space: for each space axis (X's own axis number, result position, kernel position, stride, dilation, "
        "padding, how much longer the result is than the windows less the padding at both ends: less than stride or "
        "dilation); X's space axes are -1 in its Arg. Roles of the other axes, and what may be empty, as in conv",
    ),
    "pool": OperationSpec(
        ("op", "space", "ceil", "counted"),
        "operand X; op max or mean over windows. space: (X's own axis number, result position, kernel size, stride, "
        "dilation, before, after) each; padding counts as -inf for max and as 0 for mean, of all if `counted`, else of "
        "what is no padding; kernel axes are not in the index space. ceil: where windows that begin within X or before "
        "it reach beyond its padding, that is padding too. Neither the result's space axes nor the kernels are empty; "
        "2 * before <= kernel, before = after; dilation is 1 for mean",
    ),
    "rfft": OperationSpec(
        ("axis", "into"),
        "operand X, real: its discrete Fourier transform along the consumed `axis`, of n, at the frequencies up to "
        "n // 2, along `into` (positions). No axis is empty (the guards say so)",
    ),
    "irfft": OperationSpec(
        ("axis", "into"),
        "operand A, an rfft or made of such: the n reals along `into` of which the frequencies along the consumed "
        "`axis` are. No axis is empty (the guards say so)",
    ),
    "harmonics": OperationSpec(
        ("axis", "into", "wave", "sign", "moved", "period"),
        "operand X: the sum over the consumed `axis`, t, of X times the wave (exp, of i times the angle, cos or sin) "
        "of the angle sign * 2 pi (t + moved[0]) (f + moved[1]) / period (a size), f being the coordinate of `into` "
        "(positions). Neither axis is longer than the period; for cos and sin, X is real",
    ),
    "triangle": OperationSpec(
        ("row", "column", "diagonal"),
        "operand X: X where the coordinate of `column` is at most that of `row` (positions) plus `diagonal` (a size), "
        "else 0",
    ),
    "prefix_product": OperationSpec(
        ("row", "column", "diagonal", "decays"),
        "operands Q, K[, V] and those of `decays`: the sum over the consumed axes of the product of all, of which "
        "those coordinates s of `column` (a position, consumed, in K and V) count that are at most t, that of `row` "
        "(in Q and the result) plus `diagonal` (a size). All other consumed axes are in Q and K, and in no decay. "
        "Decays, in turn: power (b), b ^ (t - s); rate (r), exp(r * (t - s)); between (A, along `row`, B, along "
        "`column`), exp(A - B)",
    ),
    "prefix_sum": OperationSpec(
        ("row", "column", "diagonal", "decays"),
        "operand X: its sum over `column`, as in prefix_product. X has no `row`",
    ),
    "pad_around": OperationSpec(
        ("space", "mode"),
        "operand X; mode circular, reflect or replicate, as pad, along up to three axes. space: (X's own axis number, "
        "-1 in its Arg, position, before, after) each. No axis is empty, circular padding at most as long as its axis, "
        "reflection shorter (the guards say so)",
    ),
    "adaptive_max": OperationSpec(
        ("cells",),
        "operand X; cells: (X's own axis number, -1 in its Arg, position) each: the largest of cell i of m along an "
        "axis of n, from floor(i n / m) to before ceil((i + 1) n / m). No axis is empty (the guards say so)",
    ),
    "adaptive_mean": OperationSpec(("cells",), "as adaptive_max, with the mean of each cell"),
    "attention": OperationSpec(
        ("roles", "causal"),
        "operands as `roles` say: query, key, value[, mask][, allow][, scale]: contract(softmax(scale * "
        "contract(query, key) + mask), value). mask is added, allow is boolean (false: -inf), scale is a scalar (1 "
        "without it). Consumed axes in query and key only are features; the other consumed ones, in key and value, "
        "are positions (the softmax's). A result axis in value only is a value axis; one in query only is a query "
        "axis; all others are batch. causal: empty, or the pair (a query axis, the one position axis) of which "
        "positions after the query's are left out (aligned at the top left)",
    ),
    "sample": OperationSpec(
        ("axes", "edge"),
        "operands X, then for each of X's own `axes` (-1 in its Arg) u, a place along it: the sum over these axes of X "
        "times max(0, 1 - abs(u - i)), i being the coordinates along u's axis. edge zeros: just that; border: X is "
        "continued by its ends, at which the slope is 0; inside: what is not between the first and the last is an "
        "error, as is the last. Other axes that X and u share are aligned. No axis is empty (the guards say so); at a "
        "whole number, the slope is that of the step behind it",
    ),
    "take": OperationSpec(
        ("axis", "fill"),
        "operands X, I: X at its own axis number `axis` (-1 in its Arg) = I, integers. fill False: I is in range, "
        "proved; fill True: 0 where I is out of range, negative or beyond the end. Other axes that X and I share "
        "are aligned",
    ),
    "roll": OperationSpec(
        ("space",),
        "operand X; space: (X's own axis number, -1 in its Arg, position, offset, a size) each: X at (coordinate of "
        "position + offset) modulo the size of the axis",
    ),
    "arrange": OperationSpec(
        ("space",),
        "operand X; space: (X's own axis number, -1 in its Arg, position, how, first, times) each: X at i = coordinate "
        "of position + first (a size), brought back: held, to 0 or the last place if it is beyond; each, to i // times "
        "(a size), which is in range or an error; around, to i modulo the size of the axis",
    ),
    "embedding": OperationSpec(
        ("axis", "row"),
        "operands E, of two axes, and I, integers: E at its own axis number `axis` (-1 in its Arg) = I, which is in "
        "range or an error; no gradient flows into `row`, which is one of that axis (the guards say so)",
    ),
    "class_loss": OperationSpec(
        ("axis", "logits", "reduction", "roles", "within"),
        "operands X, T and what `roles` say: ignored (a number) or kept (a boolean), weight, smoothing (a number). "
        "-W * L at X's own axis `axis` (-1 in its Arg) = T, integers, where L is X or, if `logits`, log_softmax(X) "
        "along that axis, and W the weight (of one axis, -1 in its Arg) at T, else 1; with smoothing s, (1 - s) of "
        "that less s times the mean of weight * L along the axis. 0 where T is `ignored` or not `kept`, and if "
        "`within` where T is out of range, which is an error elsewhere. Axes of X and T are the same but for classes. "
        "reduction none, sum or mean over all, which are consumed: mean is the sum over that of W where targets count, "
        "as those do that are out of range. "
        "There are classes if targets may be left out (the guards say so)",
    ),
    "row_sums": OperationSpec(
        ("axis", "op"),
        "operands X, I[, w]: the sum (op sum; or mean) over the consumed axes of X at its own axis number `axis` (-1 "
        "in its Arg) = I, integers, which is in range or an error, times w, whose axes are of I. The consumed axes are "
        "of I and not of X; other axes that both have are aligned; X has an axis that I lacks",
    ),
    "grouped_product": OperationSpec(
        ("fill",),
        "operands W, I, X: the sum over the consumed axes of X times W at its own axis (-1 in its Arg) = I, "
        "integers, which is in range or an error; or, where `fill` is True, 0 if it is not. The consumed axes are "
        "those that X and W share; W has no axis of I, and one of the result; X has an axis of I",
    ),
    "chosen_row_sums": OperationSpec(
        ("axis",),
        "operands X, I, as in row_sums, and B, a condition along axes of I: the sum of the rows where it holds",
    ),
    "row_products": OperationSpec(
        ("axis", "op"),
        "operands X, I, W[, w]: contract(row_sums(X, I[, w]), W), where the consumed axes that I lacks, which are all "
        "but one of X's, are those of W that the result lacks; W and X have no axis of I",
    ),
    "put": OperationSpec(
        ("axis",),
        "operands X, I: the sum over the consumed axes of X where I, integers, equals the coordinate of the result "
        "axis at position `axis`, which neither operand has; values of I out of range count nowhere (an index-add)",
    ),
    "pulled_back": OperationSpec(
        ("number", "places", "region"),
        "operands as the inputs of the region, and what comes back to its one result: what comes back to the input "
        "`number` alone. places: for each operand, for each axis of its node, which axis of the input (of the result) "
        "it is",
    ),
    "standardize_back": OperationSpec(
        ("axes",),
        "operands G, X, mean, s[, weight]: s * (V - mean(V) - Z * mean(V * Z)) over `axes` jointly, where V is G "
        "(times the weight, which has exactly `axes`) and Z is (X - mean) * s",
    ),
    "moment": OperationSpec(
        ("which",),
        "operands X, eps, a number, over the consumed axes jointly: the mean of X (which mean), or 1 / sqrt(var + eps) "
        "with ddof 0 (which inverse)",
    ),
    "standard": OperationSpec(("axes",), "operands X, eps, a number: standardize without affine, along with moments"),
    "final": OperationSpec(
        ("number",),
        "operand the bundle of a scan: its output `number` after the step that is made last, without the scanned axis; "
        "there is such a step",
    ),
    "recurrence": OperationSpec(
        ("axis", "reverse"),
        "operands a, b, h0: along `axis` (a position), h = a * h + b step by step, from the value h0, which lacks that "
        "axis; from the end if `reverse`. The result is h after every step; operands may lack axes along which they "
        "are the same",
    ),
    "rnn": OperationSpec(
        ("act", "axis", "hidden", "inner", "reverse"),
        "operands X, h0, W, U[, b, c], weights as torch stores them: along `axis`, step by step, h = act(W X + b + U h "
        "+ c), act tanh or relu. `hidden` are the result's positions of a state's axes, `inner` the consumed positions "
        "that they have in U; the other consumed axes, in X and W, are features; all other axes are batch. The rows of "
        "W, U, b and c are -1 in their Args: all of `hidden` in this order, the last varying fastest. No axis is "
        "empty, batch axes aside (the guards say so)",
    ),
    "gru": OperationSpec(
        ("axis", "hidden", "inner", "reverse"),
        "as rnn, with three gates in the rows, before `hidden`: r, z (sigmoid) and n = tanh(W X + b + r * (U h + c)); "
        "h = (1 - z) * n + z * h",
    ),
    "lstm": OperationSpec(
        ("axis", "hidden", "inner", "reverse"),
        "operands X, h0, c0, W, U[, b, c]: as rnn, with four gates in the rows, before `hidden`: i, f (sigmoid), g "
        "(tanh), o (sigmoid); cell = f * cell + i * g, h = o * tanh(cell). The result is h",
    ),
    "cell": OperationSpec((), "operand an `lstm`, whose axis of steps is -1 in its Arg: its cell after the last step"),
    "piece": OperationSpec(
        ("axis", "number", "sizes"),
        "operand X, of which the axis that is -1 in its Arg is cut into pieces of these sizes (all there are): piece "
        "`number`, along the position `axis`; axis -1: the pieces are single coordinates, and the axis goes",
    ),
    "ordered": OperationSpec(("axes",), "operand X as it is; its axes should lie in the order of the positions `axes`"),
    "cast": OperationSpec(("kind",), "the operand as another kind"),
}
