"""What a function remembers, what it shows, and that threads, copies and pickles change nothing."""

from __future__ import annotations

import copy
import math
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.call import packing, specialise
from namedlayers.call.specialise import Specialisations
from namedlayers.call.steps import Steps
from namedlayers.program.spec import Spec
from tests.call.formulas import FORMULAS, TEXT, softmax_attention


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Spec]:
    """The specs of the programs that are made while a test runs."""
    specs: list[Spec] = []
    make = Specialisations._make

    def counted(self: Specialisations, spec: Spec) -> Any:
        specs.append(spec)
        return make(self, spec)

    monkeypatch.setattr(Specialisations, "_make", counted)
    return specs


# --- what is made, and what is remembered -----------------------------------------------------------------------------


def test_sizes_dtypes_and_numbers_compile_nothing(made: list[Spec]) -> None:
    norm = nl.compile(TEXT, "norm")
    for size in (1, 2, 5, 64):
        for dtype in (torch.float64, torch.float32, torch.bfloat16):
            norm(torch.randn(size, dtype=dtype))
    assert len(made) == 1
    norm(torch.randn(3), eps=0.1)
    assert len(made) == 2  # an option that was left to its default is given now
    for eps in (0.2, 0.3, 1.5):
        x = torch.randn(4)
        torch.testing.assert_close(norm(x, eps=eps), (x - x.mean()) / (x.var(correction=0) + eps).sqrt())
    assert len(made) == 2


def test_static_options_make_programs_and_only_they(made: list[Spec]) -> None:
    power = nl.compile(TEXT, "power")
    for n in (0, 1, 3, 1, 3, 0):
        torch.testing.assert_close(power(torch.full((2,), 2.0), n=n), torch.full((2,), 2.0**n))
    assert len([spec for spec in made if spec.options]) == 3
    assert {dict(spec.options)["n"] for spec in made if spec.options} == {0, 1, 3}


def test_sizes_that_a_repeat_counts_make_programs() -> None:
    for rows in (1, 4, 2, 4):
        x = torch.randn(rows, 3)
        torch.testing.assert_close(FORMULAS.total(x), x.sum(0))
        torch.testing.assert_close(FORMULAS.total(nl.named(x, "a b")).align("b"), x.sum(0))


def test_one_and_true_are_different_options() -> None:
    power = nl.compile(TEXT, "power")
    assert power(torch.full((1,), 2.0), n=1) == 2.0
    with pytest.raises(nl.FormulaError):
        power(torch.full((1,), 2.0), n=1.0)


SELECT = """
def select(X[a], Y[a]; n = 1, by = 2.0, way = "sum") -> [a]:
    if way == "sum":
        Z = X + Y
    else:
        Z = X - Y
    repeat n as i:
        Z = Z * by
    return Z
"""


def test_arguments_by_name_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    select = nl.compile(SELECT)
    x, y = torch.randn(3), torch.randn(3)
    options: tuple[dict[str, Any], ...] = (
        {},
        {"n": 2},
        {"n": 0, "by": 3.0},
        {"by": 0.5, "n": 3},
        {"by": 3},
        {"way": "difference", "n": 2},
        {"n": 2, "way": "sum"},
    )
    for _ in range(2):
        for given in options:
            sign = -1 if given.get("way") == "difference" else 1
            expected = (x + sign * y) * given.get("by", 2.0) ** given.get("n", 1)
            for found in (
                select(x, y, **given),
                select(x, Y=y, **given),
                select(x, **given, Y=y),
                select(X=x, Y=y, **given),
                select(**given, Y=y, X=x),
            ):
                torch.testing.assert_close(found, expected)
        # The second time all of them take the straight way.
        monkeypatch.setattr(Steps, "run_quickly", None)


def test_equal_numbers_of_different_types_stay_apart() -> None:
    kind = nl.compile("def kind(X[a]; k = 1) -> [a]:\n    repeat k as i:\n        X = X + k\n    return X")
    x = torch.zeros(2)
    for _ in range(3):
        torch.testing.assert_close(kind(x, k=1), torch.ones(2))
        torch.testing.assert_close(kind(X=x, k=2), torch.full((2,), 4.0))
        for wrong in (True, 1.0, float("nan"), "1"):
            with pytest.raises(nl.FormulaError):
                kind(x, k=wrong)
            with pytest.raises(nl.FormulaError):
                kind(k=wrong, X=x)


def test_real_numbers_that_compiling_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    shrunk = nl.compile("def shrunk(X[a]; k = 1.0) -> [a]:\n    if k > 0.5:\n        X = X * 2\n    return X / k")
    x = torch.ones(2)

    def check(*numbers: float) -> None:
        for k in numbers:
            torch.testing.assert_close(shrunk(x, k=k), (2 * x if k > 0.5 else x) / k, equal_nan=True)

    for _ in range(2):
        check(0.0, -0.0, 0.25, 0.75, 0.25, float("nan"), 0.25, 0.25)
    monkeypatch.setattr(Steps, "run_quickly", None)
    check(0.25, 0.75, 0.25)  # zeros, which are equal and not alike, never take the straight way
    with pytest.raises(TypeError):
        check(-0.0)


def test_one_function_for_changing_dtypes_and_ranks() -> None:
    attention = nl.compile(TEXT, "attention")
    for _ in range(2):  # the second time all of them take the straight way
        for lead in ((), (2,), (3, 2), ()):
            for dtype in (torch.float32, torch.float64):
                q, k, v = (torch.randn(*lead, *shape, dtype=dtype) for shape in ((2, 4), (3, 4), (3, 5)))
                torch.testing.assert_close(attention(q, k, v), softmax_attention(q, k, v))


@pytest.mark.parametrize("owns", (False, True), ids=("function", "layer"))
def test_ranks_that_the_function_itself_finds_out(owns: bool) -> None:
    """A call of the form of the one before goes by types; other numbers of axes are found where shapes are read."""
    if owns:
        made = nl.loads("layer f(X[row, i]) -> [row]:\n    param w[i] ~ ones\n    return X @[i] w")
        f: Any = made.f(i=3)
    else:
        f = nl.compile("def f(X[row, i]; w[i]) -> [row] = X @[i] w")
    w = () if owns else (torch.ones(3),)
    x = torch.arange(24.0).view(2, 4, 3)
    refused = {"NL0506": x[0, 0], "NL0421" if owns else "NL0485": x[0, :, :2], "NL0513": x[0].to_sparse()}
    for _ in range(2):
        for code, wrong in refused.items():
            torch.testing.assert_close(f(x[0], *w), x[0].sum(-1))
            with pytest.raises(nl.FormulaError) as error:
                f(wrong, *w)
            assert error.value.code == code
        torch.testing.assert_close(f(x, *w), x.sum(-1))  # lifted


def test_a_value_that_torch_refuses_is_refused_where_ranks_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only other numbers of axes send a call elsewhere: what else is a ValueError stays one."""
    f = nl.compile("def f(X[row, i]; w[i]) -> [row] = X @[i] w")
    x, w = torch.ones(2, 3), torch.ones(3)
    f(x, w)

    def refuse(*_: Any) -> None:
        raise ValueError("refused")

    monkeypatch.setattr(torch, "matmul", refuse)
    with pytest.raises(ValueError, match="refused"):
        f(x, w)


def test_parameters_and_subclasses_are_tensors() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    FORMULAS.double(weight).sum().backward()
    torch.testing.assert_close(weight.grad, torch.full((3,), 2.0))


def test_old_programs_are_forgotten_and_made_again(monkeypatch: pytest.MonkeyPatch, made: list[Spec]) -> None:
    monkeypatch.setattr(specialise, "MOST", 2)
    power = nl.compile(TEXT, "power")
    for n in (1, 2, 3, 4, 1):
        assert power(torch.full((1,), 2.0), n=n) == 2.0**n
    assert len(power._specialisations._made) == 2


# --- what it shows ----------------------------------------------------------------------------------------------------


def test_views() -> None:
    attention = nl.compile(TEXT, "attention")
    assert attention.name == "attention"
    assert attention.source == TEXT
    assert attention.signature.startswith("def attention(Q[query, key],")
    assert attention.inputs[:2] == (("Q", ("query", "key")), ("K", ("seq", "key")))
    assert [port.axes for port in attention.outputs] == [("query", "val")]
    assert "softmax" in attention.explain() or "attention" in attention.explain()
    assert "def attention(Q, K, V)" in attention.code
    assert str(attention.program).startswith("def attention")
    assert "attention" in repr(attention)
    assert "return softmax[seq]" in (attention.__doc__ or "")
    q, k, v = torch.randn(2, 4), torch.randn(3, 4), torch.randn(3, 5)
    torch.testing.assert_close(attention.graph(q, k, v), attention(q, k, v))


def test_views_of_particular_arguments() -> None:
    with pytest.raises(nl.ArgumentError, match="specialize"):
        _ = FORMULAS.power.code
    shown = nl.compile(TEXT, "power").specialize(torch.ones(2), n=2)
    torch.testing.assert_close(shown.graph(torch.full((2,), 3.0)), torch.full((2,), 9.0))
    batched = nl.compile(TEXT, "attention").specialize(torch.ones(7, 2, 4), torch.ones(3, 4), torch.ones(3, 5))
    assert [axis for axis, _ in batched.program.inputs[0].axes] == ["batch", "query", "key"]


def test_the_reference_takes_the_same_calls() -> None:
    q, k, v = torch.randn(2, 4), torch.randn(3, 4), torch.randn(3, 5)
    expected = softmax_attention(q.double(), k.double(), v.double())
    torch.testing.assert_close(FORMULAS.attention.reference(q, K=k, V=v), expected)
    named = FORMULAS.attention.reference(nl.named(q, "query key"), nl.named(k, "seq key"), nl.named(v, "seq val"))
    torch.testing.assert_close(named.align("query val"), expected)
    assert FORMULAS.attention.reference(q, k, v, dtype=np.float32).dtype is torch.float32
    assert FORMULAS.double.reference(torch.ones(2, dtype=torch.bfloat16, requires_grad=True)).tolist() == [2.0, 2.0]
    total, product = FORMULAS.two.reference(torch.ones(3), torch.ones(3))
    assert (total.tolist(), product.item()) == ([2.0, 2.0, 2.0], 3.0)


# --- compiling and loading --------------------------------------------------------------------------------------------


def test_compile_takes_the_last_definition_or_the_named_one() -> None:
    assert nl.compile(TEXT).name == "norm"
    assert nl.compile(TEXT, "fuse").name == "fuse"


def test_options_may_be_settled() -> None:
    cube = nl.compile(TEXT, "power", n=3)
    assert cube(torch.full((1,), 2.0)) == 8.0
    assert cube.code


def test_mistakes_show_when_a_definition_is_compiled() -> None:
    with pytest.raises(nl.AxisError):
        nl.compile("def f(X[seq]) = sum[sek](X)")
    with pytest.raises(nl.FormulaSyntaxError):
        nl.compile("def f(X[seq]) = (X")


def test_namespaces() -> None:
    space = nl.loads(TEXT, "shared.nl")
    assert list(space)[:2] == ["attention", "conv"]
    assert len(space) == len(list(space))
    assert "fuse" in space
    assert "fuze" not in space
    assert space["fuse"] is space.fuse
    assert "fuse" in dir(space)
    assert hasattr(space, "fuse")
    assert not hasattr(space, "fuze")
    assert repr(nl.loads("def f(x[]) = x")) == "<namedlayers definitions f>"


def test_a_definition_is_compiled_when_it_is_first_used() -> None:
    space = nl.loads("def good(x[]) = x\ndef bad(X[seq]) = sum[sek](X)")
    assert space.good(1.0) == 1.0
    with pytest.raises(nl.AxisError):
        _ = space.bad


def test_files(tmp_path: Path) -> None:
    (tmp_path / "parts.nl").write_text("def double(X[]) -> [] = 2 * X\n")
    (tmp_path / "whole.nl").write_text("from parts import double\ndef quadruple(X[i]) -> [i] = double(double(X))\n")
    whole = nl.load(tmp_path / "whole.nl")
    assert whole.quadruple(torch.ones(1)) == 4.0
    with pytest.raises(nl.FormulaError, match="NL0611: there is no file"):
        nl.load(tmp_path / "hole.nl")


# --- one object, wherever it goes -------------------------------------------------------------------------------------


def test_pickles_hold_texts_and_need_no_files(tmp_path: Path) -> None:
    (tmp_path / "parts.nl").write_text("def double(X[]) -> [] = 2 * X\n")
    (tmp_path / "whole.nl").write_text(
        "import parts\nfrom parts import double\ndef power(X[i]; n) -> [i] = parts.double(double(X)) * n\n"
    )
    function = nl.load(tmp_path / "whole.nl").power
    assert function(torch.ones(1), n=2) == 8.0
    settled = nl.compile(TEXT, "power", n=3)
    pickled = pickle.dumps((function, settled, nl.loads(TEXT)))
    for file in tmp_path.iterdir():
        file.unlink()
    again, settled_again, space = pickle.loads(pickled)
    assert again(torch.ones(1), n=2) == 8.0
    assert settled_again(torch.full((1,), 2.0)) == 8.0
    assert space.plus(1.0, 2.0) == 3.0
    assert b"Definition" not in pickled


LIBRARY = {
    # what was pickled: what another version's library has not
    "a module": (lambda: nl.load("activation"), "NL0203: there is no module `activation`"),
    "a definition of a module": (lambda: nl.load("linear").Linear, "NL0204: .* has no definition `Linear`"),
    "an imported definition": (
        lambda: nl.loads("from linear import Linear\ndef f(X[i]) = X").f, "NL0204: .* has no definition `Linear`",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LIBRARY)
def test_a_pickle_of_another_version_says_what_is_not_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, told = LIBRARY[name]
    pickled = pickle.dumps(made())
    there = packing.load_library

    def without(module: str) -> Any:
        space = there(module)
        return None if module == "activation" or space is None else replace(space, definitions={})

    monkeypatch.setattr(packing, "load_library", without)
    with pytest.raises(nl.FormulaError, match=told) as caught:
        pickle.loads(pickled)
    assert "another version" in caught.value.hint


def test_copies_are_the_function_itself() -> None:
    attention = FORMULAS.attention
    assert copy.copy(attention) is attention
    assert copy.deepcopy({"f": attention})["f"] is attention


@pytest.mark.parametrize("view", ["program", "specialisation"])
def test_views_are_copied_as_they_are_and_pickled_by_what_makes_them(view: str) -> None:
    made = FORMULAS.scale.specialize(torch.ones(3), by=2)
    shown = made.program if view == "program" else made
    assert copy.deepcopy([shown])[0] is copy.copy(shown) is shown
    with pytest.raises(TypeError, match="the program of `scale` is not pickled: pickle the function"):
        pickle.dumps(shown)


def test_modules_that_hold_functions_copy_and_save(tmp_path: Path) -> None:
    class Scale(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f = FORMULAS.scale
            self.b = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.f(x, self.b)

    module = copy.deepcopy(Scale())
    assert module(torch.ones(1)).item() == 2.0


def test_threads_get_one_program_and_the_right_results(made: list[Spec]) -> None:
    attention = nl.compile(TEXT, "attention")
    inputs = [tuple(torch.randn(*shape) for shape in ((n, 4), (n + 1, 4), (n + 1, 5))) for n in range(1, 17)]

    def run(tensors: tuple[torch.Tensor, ...]) -> torch.Tensor:
        q, k, v = tensors
        if q.shape[0] % 2:
            return attention(q, k, v)
        named = attention(nl.named(q, "query key"), nl.named(k, "seq key"), nl.named(v, "seq val"))
        return named.align("query val")

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(run, inputs))
    for tensors, result in zip(inputs, results, strict=True):
        torch.testing.assert_close(result, softmax_attention(*tensors))
    assert len(made) == 1


def test_threads_compile_different_definitions() -> None:
    space = nl.loads(TEXT)
    with ThreadPoolExecutor(8) as pool:
        functions = list(pool.map(space.__getitem__, [*space] * 2))
    for name, function in zip([*space] * 2, functions, strict=True):
        assert function is space[name]


IMPORTS = """
import sys, torch, funsor
before = set(sys.modules)
import namedlayers
light = {"namedlayers", *sys.stdlib_module_names}
print(sorted(name for name in set(sys.modules) - before if name.partition(".")[0] not in light))
namedlayers.compile
print(sorted({"opt_einsum", "rich", "sympy", "torch._dynamo"} & (set(sys.modules) - before)))
"""


def test_importing_the_package_imports_nothing_heavy() -> None:
    """The errors do without anything; what plans, shows and traces comes when something is planned, shown or traced."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", IMPORTS]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert run.stdout == "[]\n[]\n"


CALLS = """
import sys, torch, namedlayers as nl
nl.compile("def f(X[a, b]) = softmax[b](X)")(torch.ones(2, 3))
X = torch.ones(2, 3, requires_grad=True)
nl.compile("def f(X[a, b]):\\n    scan a with h = 0:\\n        h = tanh(X + h)\\n    return h")(X).sum().backward()
print("torch._dynamo" in sys.modules)
"""


def test_calls_import_no_compiler() -> None:
    """It takes longer than everything else in a process's first call."""
    run = subprocess.run([sys.executable, "-c", CALLS], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def test_a_static_real_keeps_its_sign() -> None:
    """0.0 equals -0.0, but the programs differ."""
    divided = nl.compile("def f(X[seq]; s = 1.0):\n    if s < 0.5:\n        X = X / s\n    return X\n")
    assert divided(torch.ones(1), s=0.0).item() == math.inf
    assert divided(torch.ones(1), s=-0.0).item() == -math.inf
    assert divided(torch.ones(1), s=0.0).item() == math.inf


def test_an_option_is_static_where_another_definition_reads_by_it() -> None:
    f = nl.compile("def f(X[seq]; hop = 2) -> [seq, k] = unroll[seq, k = 3](X; stride = hop)")
    x = torch.arange(10.0)
    torch.testing.assert_close(f(x, hop=3), x.unfold(0, 3, 3))
    torch.testing.assert_close(f(x), x.unfold(0, 3, 2))
    g = nl.compile("def g(X[seq]; hop = 2) -> [seq] = X[seq = hop // 2 * seq + hop - 1]")
    torch.testing.assert_close(g(x, hop=4), x[3::2])
