"""Every error code: what it means, an example that causes it, and its cure.

`namedlayers explain NL0301` and docs/errors.md are made from this table. Ranges: NL01 syntax, NL02 names, NL03 axes,
NL04 sizes, NL05 arguments of a call, NL06 limits and files. A code is never reused for another meaning.
"""

from __future__ import annotations

from namedlayers.codes.axes import AXES
from namedlayers.codes.backends import BACKENDS
from namedlayers.codes.call import ARGUMENTS, ENTRANCES
from namedlayers.codes.layers import LAYERS
from namedlayers.codes.measuring import MEASURING
from namedlayers.codes.modules import MODULES
from namedlayers.codes.names import NAMES
from namedlayers.codes.sizes import EXTENT, SIZES, SIZES_AT_CALL
from namedlayers.codes.syntax import READING, SYNTAX
from namedlayers.codes.table import Code
from namedlayers.codes.table import told as _told
from namedlayers.codes.weights import WEIGHTS

__all__ = ["CODES", "Code"]

# Whoever raises a code lists it in the table of its range.
ARGUMENTS_AT_CALL = _told(
    Code(
        "NL0581",
        "a tensor with the wrong number of axes",
        "A bare tensor carries exactly the axes that the signature states, in that order.",
        "a call of `def f(Q[key], K[seq, key]) = …` with a vector for `K`",
        "Give all axes; with extra axes, name them (see `named`).",
    ),
    Code(
        "NL0582",
        "an index that is out of range",
        "An index computed from the data reads where the axis has no element.",
        "a call of `def f(E[vocab], I[]) = E[vocab = I]` with an index that is not in 0 … |vocab|-1",
        "Correct the index, or say what is read there: `E[vocab = I; fill = 0]`.",
    ),
    Code(
        "NL0583",
        "an input that is missing, or one that is not there",
        "The definition that everything is compared with, `namedlayers.reference.evaluate`, takes every input of the "
        "program that has no default, and no others. In a call it is NL0501 or NL0503.",
        '`evaluate(f.program, {"X": x})` with `def f(X[seq], Y[seq]) = …`',
        "Give the inputs that the message lists.",
    ),
    Code(
        "NL0584",
        "a value of the wrong kind",
        "`namedlayers.reference.evaluate` is given numbers of another kind than the program is made for. A call makes "
        "a program for the kinds that it is given, and what has no meaning for complex numbers is NL0211 there.",
        '`evaluate(f.program, {"X": 1j * x})` with `def f(X[seq]) = floor(X)`',
        "Take the real part, or give numbers of the other kind.",
    ),
    Code(
        "NL0585",
        "an integer divided by 0",
        "`//` and `%` of integers have no result where the divisor is 0; those of reals give inf or nan.",
        "a call of `def f(I[seq], J[seq]) = I // J` with a 0 in `J`",
        "Keep the divisor away from 0, or make it a real: `I // (1.0 * J)`.",
    ),
    Code(
        "NL0586",
        "linear algebra without a result",
        "The matrix is singular, or not positive definite, so that it has no inverse, solution or Cholesky factor.",
        "a call of `def f(A[i, j]) = inv[i, j](A)` with a matrix of zeros",
        "Give a matrix that has a result, for example after adding a small multiple of `eye[i, j]`.",
    ),
    Code(
        "NL0587",
        "an integer that is too large",
        "Integers have 64 bits; a literal that is larger is a real number.",
        "a call of `def f(X[i]) = X + |i| * |i| * |i| * |i| * |i| * |i| * |i|` with 1000 elements",
        "Make it a real number: `1.0 * |i| * …`.",
    ),
    Code(
        "NL0588",
        "a probability that is none",
        "Probabilities lie between 0 and 1; of log weights to draw by, at least one is finite, and none is inf or NaN.",
        "a call of `def f(X[seq]; p = 0.1) = dropout(X; p = p)` with `p = 1.5`",
        "Give a probability, or log weights that are numbers or -inf.",
    ),
)
LIMITS = _told(
    Code(
        "NL0611",
        "a file that is not there",
        "A formula, or an input of `namedlayers run`, is looked for under this path, and nothing is there.",
        "`namedlayers check atention.nl` where the file is called `attention.nl`",
        "Correct the path; relative ones start in the current folder.",
    ),
    Code(
        "NL0612",
        "a file that cannot be read",
        "The path is a folder, may not be read, or is far too long to be a formula (4 MiB is the most).",
        "`namedlayers check examples/`",
        "Name a file, or change its permissions.",
    ),
    Code(
        "NL0613",
        "a file that is not text",
        "A formula is UTF-8 text. The message says which byte of the file is not.",
        "`namedlayers check weights.npz`",
        "Save the file as UTF-8, or name the formula's file.",
    ),
    Code(
        "NL0614",
        "a file that holds no tensors",
        "Inputs are read from .npy, .npz, .pt and .safetensors files, and nothing in them is ever run: pickled Python "
        "objects, text, and files that are cut short or altered are refused.",
        "`namedlayers run f.nl --input X=x.npy` where x.npy holds pickled objects",
        "Save the tensor anew with numpy.save, torch.save or safetensors.torch.save_file.",
    ),
    Code(
        "NL0615",
        "a tensor that is not in its file",
        "A file with several tensors needs the name of one, as in `weights.npz:W`, and it must be among them.",
        "`namedlayers run f.nl --input W=weights.npz:w` where the file holds `W`",
        "Use one of the names that the message lists.",
    ),
    Code(
        "NL0616",
        "a file that cannot be written",
        "The folder is not there or may not be written to, the ending is of no known kind, or that kind cannot hold "
        "the results: .npy holds one tensor, and numpy has no bfloat16.",
        "`namedlayers run f.nl --input X=x.npy -o out.npy` where f has two results",
        "Write .npz for several results, .pt for any kind of number.",
    ),
    Code(
        "NL0617",
        "an argument of the command line that does not fit",
        "An input, option or size is given twice, or an error code that is asked for is not in the list.",
        "`namedlayers run f.nl --input X=a.npy --input X=b.npy`",
        "Give each once; `namedlayers explain` lists the codes.",
    ),
    Code(
        "NL0618",
        "a formula that torch cannot export",
        "What is written is made by `torch.export`, `torch.onnx` or the inductor; the message is theirs.",
        "`namedlayers export` of a formula with a feature that ONNX has not",
        "See docs/support.md for what each of them takes, or choose another format.",
    ),
    Code(
        "NL0661",
        "a drawing without the package that places it",
        "`show --as svg` draws the graph; which box stands where is found by igraph, which is not installed.",
        "`namedlayers show f.nl --as svg` without igraph",
        '`pip install "namedlayers[svg]"`, or `--as dot` for Graphviz; `--as html` then shows a table.',
    ),
    Code(
        "NL0660",
        "an exported axis that cannot be open",
        "`--dynamic` says that an axis may have any size where the file is run, from the least one on that the formula "
        "takes. torch learns that from an example of size two or more. Sizes that are fixed or split are not open.",
        "`namedlayers export f.nl --size seq=1 --dynamic seq -o f.pt2`",
        "Give a larger size as the example, or leave `--dynamic` out for this axis.",
    ),
)

CODES: dict[str, Code] = {
    **SYNTAX, **NAMES, **AXES, **SIZES, **SIZES_AT_CALL, **ENTRANCES, **ARGUMENTS, **BACKENDS, **ARGUMENTS_AT_CALL,
    **MODULES, **LAYERS, **WEIGHTS, **READING, **EXTENT, **LIMITS, **MEASURING,
}  # fmt: skip
