"""The error codes of calling and compiling: what is said of arguments before a size is looked at."""

from __future__ import annotations

from namedlayers.codes.table import Code, told

_ATTENTION = "`def attention(Q[key], K[seq, key], V[seq, val]) -> [val] = …`"

ARGUMENTS = told(
    Code(
        "NL0501",
        "an argument that is missing",
        "Every input and option without a default must be given.",
        f"`attention(q, k)` with {_ATTENTION}",
        "Give what the message names, by position or by name; or declare a default, as in `M[seq] = 0`.",
    ),
    Code(
        "NL0502",
        "too many arguments",
        "Tensors may be given by position, one for each input; options are given by name.",
        "`pool(x, 2)` with `def pool(X[seq]; k) = …`",
        "Leave the last ones out, or give options by name: `pool(x, k=2)`.",
    ),
    Code(
        "NL0503",
        "an argument with a name that is not in the signature",
        "A keyword is the name of an input or of an option.",
        f"`attention(Q=q, K=k, W=v)` with {_ATTENTION}",
        "Use a name of the signature.",
    ),
    Code(
        "NL0504",
        "an argument that is given twice",
        "A value is given by position and by name, or an option was settled when the function was compiled.",
        f"`attention(q, k, v, Q=q)` with {_ATTENTION}",
        "Give it once.",
    ),
    Code(
        "NL0505",
        "an argument that is no tensor",
        "Inputs are torch tensors, named tensors, numpy arrays, numbers, or lists of tensors.",
        f"`attention(q, k, None)` with {_ATTENTION}",
        "Make a tensor of it, as by `torch.tensor(…)`; leave an input out for its default.",
    ),
    Code(
        "NL0506",
        "a bare tensor with a wrong number of axes",
        "A bare tensor has the axes of the signature, in its order; data (before the `;`) may have more in front.",
        f"`attention(q, k, v)` with {_ATTENTION}, where `k` is a vector",
        "Give the axes that the signature names; for other orders and further axes, name them: `nl.named(tensor, …)`.",
    ),
    Code(
        "NL0507",
        "leading axes that do not match",
        "Bare data that have more axes than the signature names are taken to have the same ones in front, so their "
        "numbers must agree. Which axes of one tensor belong to which of another is never guessed.",
        f"`attention(q, k, v)` with {_ATTENTION}, where `q` has two leading axes and `k` one",
        'Name the axes: `attention(nl.named(q, "batch heads key"), nl.named(k, "batch seq key"), …)`.',
    ),
    Code(
        "NL0508",
        "a set of axes that is not the same everywhere",
        "A star in the signature stands for the same axes wherever it occurs.",
        "a call of `def add[*ax](X[*ax], Y[*ax]) = X + Y` with a matrix and a vector",
        "Give tensors with equally many axes, or name them.",
    ),
    Code(
        "NL0509",
        "an index that is not an integer",
        "An input that indexes an axis holds integers.",
        "a call of `def embed(E[vocab, d], I[n]) = E[vocab = I]` with a float tensor for `I`",
        "Convert it: `.long()`.",
    ),
    Code(
        "NL0510",
        "a definition that is not there, given by name",
        "An option whose default is a definition takes the name of another definition as a string.",
        'a call of `def layer(X[seq]; act = relu) = act(X)` with `act="rellu"`',
        "Use the name of a definition that the text sees.",
    ),
    Code(
        "NL0511",
        "a named tensor that lacks an axis",
        "An input has at least the axes that the signature gives it; a named tensor must name them all.",
        f'`attention(nl.named(q, "query dim"), …)` with {_ATTENTION}',
        "Name the tensor's axes as the signature does.",
    ),
    Code(
        "NL0512",
        "an element type that formulas do not compute with",
        "Formulas compute with booleans, signed integers, uint8, float16, bfloat16, float32, float64, complex64 and "
        "complex128.",
        f"`attention(q.to(torch.float8_e5m2), k, v)` with {_ATTENTION}",
        "Convert the tensor with `.to(dtype)`, or `.dequantize()` it.",
    ),
    Code(
        "NL0513",
        "a tensor that is not dense",
        "Sparse and nested tensors are not supported.",
        f"`attention(q.to_sparse(), k, v)` with {_ATTENTION}",
        "Make it dense with `.to_dense()`.",
    ),
    Code(
        "NL0514",
        "named and bare tensors in one call",
        "Which axis of a bare tensor belongs to which of a named one is never guessed. Scalars go with both.",
        f'`attention(nl.named(q, "key"), k, v)` with {_ATTENTION}',
        "Name all tensors of the call, or none.",
    ),
    Code(
        "NL0515",
        "a string that does not name axes",
        "Axes are named by different identifiers, separated by spaces or commas.",
        '`nl.named(x, "batch batch")`',
        "Give each axis a name of its own: `batch'` is another name than `batch`.",
    ),
    Code(
        "NL0516",
        "more or fewer names than axes",
        "A named tensor has one name for each of its axes.",
        '`nl.named(torch.zeros(2, 3), "batch")`',
        "Name all axes, in the order of the tensor's shape.",
    ),
    Code(
        "NL0517",
        "axes to align that are not the tensor's",
        "`align` puts the axes of a named tensor into an order; it needs exactly these.",
        '`nl.named(torch.zeros(2, 3), "batch seq").align("seq")`',
        "Name every axis of the tensor once.",
    ),
    Code(
        "NL0518",
        "a named tensor inside a transformation that hides an axis",
        "`torch.func.vmap` takes an axis away that a named tensor still names; which one, nothing says.",
        '`torch.func.vmap(lambda x: f(x))(nl.named(x, "batch seq"))`',
        "Let the function lift over the axis, as it does over all; or give bare tensors and name them inside.",
    ),
    Code(
        "NL0519",
        "tensors on different devices",
        "All tensors of a call lie on one device.",
        f"`attention(q.cuda(), k, v)` with {_ATTENTION}",
        "Move them with `.to(device)`.",
    ),
    Code(
        "NL0520",
        "an empty list",
        "A list of tensors is stacked; the sizes of an empty one are not known.",
        "`fuse([], w=w)` with `def fuse(A[i, x]; w[i]) = w @[i] A`",
        "Give at least one tensor, or a tensor with an axis of size 0.",
    ),
    Code(
        "NL0521",
        "an uneven list",
        "The tensors of a list have one shape.",
        "`fuse([torch.zeros(2), torch.zeros(3)], w=w)` with `def fuse(A[i, x]; w[i]) = w @[i] A`",
        "Make the shapes equal.",
    ),
    Code(
        "NL0522",
        "a list for an input that cannot be one",
        "A list is stacked along the first axis that the signature gives the input, which its tensors do not have yet.",
        "`scale(x, b=[b1, b2])` with `def scale(X[seq]; b[]) = b * X`",
        "Give one tensor.",
    ),
    Code(
        "NL0523",
        "an option that is given what it cannot be",
        "Options are numbers, strings, or tuples of numbers; `training` is True or False.",
        "`pool(x, k=torch.tensor(2))` with `def pool(X[seq]; k) = …`",
        "Give a number (`.item()`); to take a tensor, declare an input: `k[]`.",
    ),
    Code(
        "NL0524",
        "a semiring that there is not",
        "There are `sum-product` (the ordinary one), `log`, `complex-log`, `max-plus`, `min-plus`, `max-product`, "
        "`min-product` and `boolean`.",
        '`nl.compile(text, semiring="tropical")`',
        "Use one of these: the tropical semirings are `max-plus` and `min-plus`.",
        told=True,
    ),
    Code(
        "NL0547",
        "an amount of memory that is none",
        "`max_memory` is a positive number of bytes, or a string with a unit: B, KB, MB, GB, TB, KiB, MiB, GiB, TiB.",
        '`nl.compile(text, max_memory="2 gigs")`',
        'Write `max_memory="2GiB"`.',
        told=True,
    ),
    Code(
        "NL0548",
        "a semiring's value that is no input",
        "`semiring_inputs` lists the inputs whose elements are values of the semiring, by name.",
        '`nl.compile("def f(X[i]) = sum[i](X)", semiring="log", semiring_inputs=["Y"])`',
        "Correct the name.",
        told=True,
    ),
    Code(
        "NL0549",
        "a back end that there is not",
        "There are `python`, the generated code as it is, `inductor`, which has torch compile it further, and "
        "`cudagraph`, which records what it does on a CUDA device and replays that.",
        '`nl.compile(text, backend="jit")`',
        "Use one of these.",
        told=True,
    ),
    Code(
        "NL0526",
        "an integer that is too large",
        "Integers have 64 bits.",
        "`scale(x, by=2**70)` with `def scale(X[seq]; by = 1) = X * by`",
        "Give a real number: `float(2**70)`.",
    ),
    Code(
        "NL0525",
        "numerics that there are none of",
        "`default` may reorder sums and products, `strict` may not, `fast` may also lose digits.",
        '`nl.compile(text, numerics="fsat")`',
        "Choose one of these.",
    ),
)

ENTRANCES = told(
    Code(
        "NL0440",
        "a scan that is not compiled in this process",
        "A graph that torch exported keeps a scan as one operator, which finds the body by the hash of what it "
        "computes. The table of bodies fills when formulas are compiled.",
        "a program loaded by `torch.export.load` whose formula was not compiled yet",
        "Compile the formula first: look at its `.code`, or call it once. A scan with a fixed number of steps is "
        "exported step by step, and needs no formula.",
    ),
    Code(
        "NL0241",
        "a text without definitions",
        "There is nothing to compile.",
        '`nl.compile("# nothing yet")`',
        "Begin with `def name(…) = …`.",
    ),
    Code(
        "NL0242",
        "a definition that is not there",
        "The text, file or module has no definition of this name.",
        '`nl.load("lenet.nl").lenett`',
        "Use one of the names that it defines.",
    ),
    Code(
        "NL0426",
        "a size that only a call says",
        "The program itself depends on this size, because a `repeat` counts it, and there is no call that says it.",
        "`f.program` with `def f(X[a, b]): …` that has `repeat |a|`",
        "Give examples of the arguments: `f.specialize(…)`.",
    ),
)
