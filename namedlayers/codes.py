"""Every error code: what it means, an example that causes it, and its cure.

`namedlayers explain NL0301` and docs/errors.md are made from this table. Ranges: NL01 syntax, NL02 names, NL03 axes,
NL04 sizes, NL05 arguments of a call, NL06 limits and files. A code is never reused for another meaning.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """`example` is a text that raises the code when it is checked, or a sentence where only a call can."""

    code: str
    title: str
    meaning: str
    example: str
    cure: str


def _table(*codes: Code) -> dict[str, Code]:
    table = {code.code: code for code in codes}
    assert len(table) == len(codes), "a code is listed twice"
    return table


# One table a range; whoever raises a code lists it here.
SYNTAX = _table()
NAMES = _table()
AXES = _table()
SIZES = _table()
ARGUMENTS = _table()
LIMITS = _table(
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
        "The folder is not there or may not be written to, the ending is of no known kind, or that kind cannot hold the "
        "results: .npy holds one tensor, and numpy has no bfloat16.",
        "`namedlayers run f.nl --input X=x.npy -o out.npy` where f has two results",
        "Write .npz for several results, .pt for any kind of number.",
    ),
)

CODES: dict[str, Code] = {**SYNTAX, **NAMES, **AXES, **SIZES, **ARGUMENTS, **LIMITS}
