"""Ten mistakes, made in three libraries.

In: einops and einx, where they are installed. Out: what each library answers. The answers of the others are kept in
rivals.json, so that the page can be made without them; `python -m tests.errors.page --rivals` asks them anew.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import namedlayers as nl

KEPT = Path(__file__).parent / "rivals.json"
LIBRARIES = ("einx", "einops")


@dataclass(frozen=True)
class Mistake:
    """One mistake: here a text and a call of it, there an expression each. `remark` compares the answers, fairly."""

    title: str
    remark: str
    text: str
    call: str
    einx: str
    einops: str


MISTAKES = (
    Mistake(
        "Two tensors disagree about the size of an axis",
        "einx shows the equations of both tensors, and the axis that disagrees is for the reader to find. "
        "einops hands the tensors on, so that the message is the array library's, which knows no names.",
        "def scores(Q[query, key], K[seq, key]) -> [query, seq] = Q @[key] K",
        "f(z(5, 64), z(7, 32))",
        'einx.dot("query key, seq key -> query seq", z(5, 64), z(7, 32))',
        'einops.einsum(z(5, 64), z(7, 32), "query key, seq key -> query seq")',
    ),
    Mistake(
        "A contraction over an axis that one side lacks",
        "einops reads it as two sums, over `key` and over `dim`, as numpy's einsum would, and answers with "
        "a result. einx refuses, and marks both axes.",
        "def scores(Q[query, key], K[seq, dim]) -> [query, seq] = Q @[key] K",
        "f(z(5, 64), z(7, 64))",
        'einx.dot("query key, seq dim -> query seq", z(5, 64), z(7, 64))',
        'einops.einsum(z(5, 64), z(7, 64), "query key, seq dim -> query seq")',
    ),
    Mistake(
        "A misspelled axis",
        "einx takes the word for a new axis and asks for its size. einops says that it is unexpected. "
        "Here the nearest name is suggested.",
        "def total(X[batch, channel]) = sum[chanel](X)",
        "f(z(8, 3))",
        'einx.sum("batch channel -> batch chanel", z(8, 3))',
        'einops.reduce(z(8, 3), "batch channel -> batch chanel", "sum")',
    ),
    Mistake(
        "A split that does not divide",
        "All three name the sizes; einops says it in the fewest words.",
        "def split(X[seq, layer]) -> [heads, seq, key] = X[layer -> (heads = 8, key)]",
        "f(z(5, 60))",
        'einx.id("seq (heads key) -> heads seq key", z(5, 60), heads=8)',
        'einops.rearrange(z(5, 60), "seq (heads key) -> heads seq key", heads=8)',
    ),
    Mistake(
        "A split into two parts, of which neither has a size",
        "All three name both parts, and einx marks them.",
        "def split(X[layer]) -> [heads, key] = X[layer -> (heads, key)]",
        "f(z(60))",
        'einx.id("(heads key) -> heads key", z(60))',
        'einops.rearrange(z(60), "(heads key) -> heads key")',
    ),
    Mistake(
        "Parts that do not make the whole",
        "einops gives the two numbers without the axis, einx the equations without the product.",
        "def split(X[layer]) -> [heads, key] = X[layer -> (heads = 8, key = 8)]",
        "f(z(60))",
        'einx.id("(heads key) -> heads key", z(60), heads=8, key=8)',
        'einops.rearrange(z(60), "(heads key) -> heads key", heads=8, key=8)',
    ),
    Mistake(
        "A tensor with too few axes",
        "All three give both numbers, and einops and einx the whole shape as well.",
        "def pool(X[batch, chans, seq]) -> [batch, chans] = mean[seq](X)",
        "f(z(8, 100))",
        'einx.mean("batch chans seq -> batch chans", z(8, 100))',
        'einops.reduce(z(8, 100), "batch chans seq -> batch chans", "mean")',
    ),
    Mistake(
        "An axis that is forgotten in the result",
        "All three name the axis.",
        "def copy(X[batch, chans]) -> [batch] = X",
        "f(z(8, 3))",
        'einx.id("batch chans -> batch", z(8, 3))',
        'einops.rearrange(z(8, 3), "batch chans -> batch")',
    ),
    Mistake(
        "An operation that is not there",
        "einops lists what there is. einx has a function for each operation, and the message is Python's.",
        "def average(X[batch, chans]) -> [batch] = meen[chans](X)",
        "f(z(8, 3))",
        'einx.meen("batch chans -> batch", z(8, 3))',
        'einops.reduce(z(8, 3), "batch chans -> batch", "meen")',
    ),
    Mistake(
        "A parenthesis that is not closed",
        "einx points at the parenthesis that was opened; here that is the second place.",
        "def split(X[layer]) -> [heads, key] = X[layer -> (heads = 6, key]",
        "f(z(60))",
        'einx.id("(heads key -> heads key", z(60), heads=6)',
        'einops.rearrange(z(60), "(heads key -> heads key", heads=6)',
    ),
)


def ours(mistake: Mistake) -> str:
    """What this package reports; a mistake in the text needs no call."""
    try:
        f = nl.compile(mistake.text)
        eval(mistake.call, {"f": f, "z": torch.zeros})
    except nl.FormulaError as error:
        return str(error)
    raise AssertionError(f"{mistake.title}: no error")


def installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def ask(library: str) -> dict[str, Any]:
    """The version of an installed library, and its answers by title."""
    names = {library: importlib.import_module(library), "z": lambda *shape: np.zeros(shape)}
    answers = {one.title: _answer(getattr(one, library), names) for one in MISTAKES}
    return {"version": importlib.metadata.version(library), "answers": answers}


def kept() -> dict[str, dict[str, Any]]:
    """What the other libraries answered when they were asked last."""
    return json.loads(KEPT.read_text(encoding="utf-8"))


def keep() -> None:
    """Ask the libraries that are installed, and keep their answers."""
    known = kept() if KEPT.exists() else {}
    known |= {library: ask(library) for library in LIBRARIES if installed(library)}
    KEPT.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _answer(expression: str, names: dict[str, Any]) -> str:
    try:
        found = eval(expression, dict(names))
    except Exception as error:  # whatever another library raises is what its user sees
        lines = [line.rstrip() for line in f"{type(error).__name__}: {error}".strip().splitlines()]
        return re.sub(r"\{('[^{}:]*')\}", _sorted, "\n".join(lines))
    return f"no error: a result of shape {found.shape}"


def _sorted(found: re.Match[str]) -> str:
    """A set, which prints in an order that changes from run to run."""
    return "{" + ", ".join(sorted(found[1].split(", "))) + "}"
