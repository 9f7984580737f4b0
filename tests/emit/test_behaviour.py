"""What surrounds the operations: compilers, transforms, precisions, printing, modules, failures."""

from __future__ import annotations

import copy
import inspect
import traceback

import numpy as np
import pytest
import torch

import namedlayers as nl
from namedlayers.emit.build import Compiled, emit
from namedlayers.errors import ArgumentError, FormulaError, SizeError
from namedlayers.program.numbering import number
from tests.emit.harness import WAYS, compiled, program_of, run, run_with_hash_seed, tensors
from tests.emit.test_operations import TABLE, arrays_of, finite

SOME = (
    "attention", "attention, causal", "attention over images", "conv1d, strided", "conv2d, groups", "softmax over two",
    "standardize", "embedding of two", "filled", "index-add", "coordinates", "windows", "tiles", "logsumexp",
    "max pool", "with data", "many groups", "pad round", "cross entropy", "where", "fold",
)  # fmt: skip
"""Of the table of operations, one of each sort, for what takes long."""


def made_of(name: str, way: str = "planned") -> tuple[Compiled, list[torch.Tensor]]:
    text, inputs = TABLE[name]
    arrays = arrays_of(text, inputs)
    made = WAYS[way](text, arrays)
    return made, tensors(made, arrays)


# --- compilers and transforms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SOME)
def test_compile(name: str) -> None:
    """Without a graph break; the backend that traces gradients too."""
    made, args = made_of(name)
    function = torch.compile(made.function, fullgraph=True, dynamic=True, backend="aot_eager")
    found = function(*args)
    torch.testing.assert_close(found if isinstance(found, tuple) else (found,), run(made, args))


@pytest.mark.parametrize("name", SOME)
def test_export(name: str) -> None:
    """With every size dynamic; what is exported runs at other sizes."""
    made, args = made_of(name)
    module = made.modules[made.select(*args)]
    shapes = tuple(dict.fromkeys(range(arg.ndim), torch.export.Dim.AUTO) for arg in args)
    exported = torch.export.export(module, tuple(args), dynamic_shapes=shapes, strict=False).module()
    found = exported(*args)
    torch.testing.assert_close(found if isinstance(found, tuple) else (found,), run(made, args))


def test_exported_sizes_are_not_baked() -> None:
    made, _ = made_of("attention")
    shapes = ({0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO},) * 3
    args = torch.randn(3, 4), torch.randn(5, 4), torch.randn(5, 2)
    exported = torch.export.export(made.modules[0], args, dynamic_shapes=shapes).module()
    others = torch.randn(7, 6), torch.randn(2, 6), torch.randn(2, 3)
    torch.testing.assert_close(exported(*others), made.function(*others))


@pytest.mark.parametrize("name", TABLE)
def test_vmap(name: str) -> None:
    made, args = made_of(name)
    pairs = [torch.stack([arg, arg]) for arg in args]
    found = torch.func.vmap(made.function)(*pairs)
    for got, want in zip(found if isinstance(found, tuple) else (found,), run(made, args), strict=True):
        torch.testing.assert_close(got[1], want, equal_nan=True)


@pytest.mark.parametrize("name", SOME)
def test_second_derivatives(name: str) -> None:
    made, args = made_of(name)
    args = [arg.requires_grad_() if arg.is_floating_point() else arg for arg in args]
    if any(one.requires_grad for one in run(made, args)):
        assert torch.autograd.gradgradcheck(
            lambda *given: finite(run(made, list(given))), args, atol=1e-4, fast_mode=True
        )


@pytest.mark.parametrize("name", SOME)
def test_forward_mode(name: str) -> None:
    made, args = made_of(name)
    free = [k for k, arg in enumerate(args) if arg.is_floating_point()]

    def function(*given: torch.Tensor) -> torch.Tensor:
        full = list(args)
        for k, one in zip(free, given, strict=True):
            full[k] = one
        return made.function(*full)

    given = tuple(args[k] for k in free)
    found, _ = torch.func.jvp(function, given, tuple(map(torch.ones_like, given)))
    torch.testing.assert_close(found, made.function(*args))


# --- precisions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", (torch.bfloat16, torch.float16, torch.float32))
@pytest.mark.parametrize("name", TABLE)
def test_precision(name: str, dtype: torch.dtype) -> None:
    """A real result has the precision of the real inputs, and is near the result in float64."""
    made, args = made_of(name)
    if any(arg.is_complex() for arg in args) or not any(arg.is_floating_point() for arg in args):
        return
    found = run(made, [arg.to(dtype) if arg.is_floating_point() else arg for arg in args])
    rough = 0.1 if dtype is torch.bfloat16 else 0.02
    for got, want in zip(found, run(made, args), strict=True):
        assert got.dtype == dtype or not got.is_floating_point() or name == "fft"  # which torch has in float32
        if want.dtype.is_floating_point:
            torch.testing.assert_close(got.double(), want, rtol=rough, atol=2 * rough)


@pytest.mark.parametrize("name", TABLE)
def test_autocast(name: str) -> None:
    made, args = made_of(name)
    singles = [arg.float() if arg.is_floating_point() else arg for arg in args]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = run(made, singles)
    for got, want in zip(found, run(made, args), strict=True):
        if want.dtype.is_floating_point:
            torch.testing.assert_close(got.double(), want.double(), rtol=0.1, atol=0.2)


def test_tables_are_computed_in_float32_at_least() -> None:
    """Coordinates beyond 256 are not integers of bfloat16: the table must not be computed in it."""
    made = compiled("def f(X[s]) = X * sin(s / 7)", {"X": np.zeros(600)})
    found = made.function(torch.ones(600, dtype=torch.bfloat16))
    want = torch.sin(torch.arange(600) / 7).to(torch.bfloat16)
    assert found.dtype == torch.bfloat16 and torch.equal(found, want)


def test_float64_tables() -> None:
    made = compiled("def f(X[s]) = X * where(s > 3, 0.1, 1 / 3)", {"X": np.zeros(6)})
    found = made.function(torch.ones(6, dtype=torch.float64))
    assert found[5].item() == 0.1 and found[0].item() == 1 / 3


# --- promises ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    (
        ("def f(X[s]) = softmax[s](X)", 0.0),
        ("def f(X[s]) = logsumexp[s](X)", -torch.inf),
        ("def f(X[s]) = logcumsumexp[s](X)", -torch.inf),
        ("def f(X[s]) = logaddexp(X, -inf)", -torch.inf),
    ),
)
def test_nothing_but_minus_infinity(text: str, value: float) -> None:
    """Gives no NaN, and the gradient 0."""
    made = compiled(text, {"X": np.zeros(3)})
    x = torch.full((3,), -torch.inf, dtype=torch.float64, requires_grad=True)
    found = made.function(x)
    assert (found == value).all()
    (gradient,) = torch.autograd.grad(torch.exp(found).sum(), x)
    assert torch.equal(gradient, torch.zeros(3, dtype=torch.float64))


def test_a_masked_row_of_attention() -> None:
    text = "def f(Q[q, k], K[s, k], V[s, v], M[q, s]) = softmax[s](Q @[k] K / sqrt(|k|) + M) @[s] V"
    arrays = {"Q": np.ones((2, 3)), "K": np.ones((4, 3)), "V": np.ones((4, 2)), "M": np.zeros((2, 4))}
    made = compiled(text, arrays)
    args = [arg.requires_grad_() for arg in tensors(made, arrays)]
    args[3].data[1] = -torch.inf
    found = made.function(*args)
    assert (found[1] == 0).all() and (found[0] == 1).all()
    assert all(torch.isfinite(gradient).all() for gradient in torch.autograd.grad(found.sum(), args[:3]))


def test_gradients_at_zero() -> None:
    of_windows = "def f(X[s]) -> [] = sum[s](std[part](pool[s, part = 3](X)))"
    for text in ("def f(X[s]) = std[s](X)", of_windows, "def f(X[s]) = norm[s](X)", "def f(X[s]) = sum[s](relu(X))"):
        x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(compiled(text, {"X": np.zeros(3)}).function(x), x)
        assert torch.equal(gradient, torch.zeros(3, dtype=torch.float64)), text


# --- what is printed --------------------------------------------------------------------------------------------------


def test_modules_run_the_body_of_the_function() -> None:
    """One printer: the lines of a module are the function's, header aside."""
    made, _ = made_of("cross entropy")
    (module,) = made.modules
    assert module.code.strip().splitlines()[1:] == made.code.strip().splitlines()[1:]


def test_source_is_there() -> None:
    made, _ = made_of("attention")
    assert inspect.getsource(made.function).strip() == made.code.strip()


def test_tracebacks_show_the_line() -> None:
    made = compiled("def f(A[i, j]) = inv[i, j](A)", {"A": np.eye(3)})
    with pytest.raises(torch.linalg.LinAlgError) as caught:
        made.function(torch.zeros(3, 3))
    assert "torch.linalg.inv(A" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("solve[i, j](A, b)", ((2, 2), (2, 0))),  # numpy solves nothing for no right-hand side
        ("cholesky[i, j](A) + sum[k](b)[i -> j]", ((1100, 1100), (1100, 1))),  # larger than what the reference looks at
    ],
)
def test_torch_refuses_a_matrix(text: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    function = nl.compile(f"def f(A[i, j], b[i, k]) = {text}\n")
    with pytest.raises(nl.ArgumentError, match="NL0586.*(singular|definite)") as caught:
        function(*map(torch.zeros, shapes))
    assert caught.value.spans and "^" * text.index("(") in str(caught.value)


def test_comments_say_what_a_line_computes() -> None:
    made = compiled(
        "def f(A[i, j], B[j]):\n    C = exp(A)\n    return C @[j] B", {"A": np.zeros((2, 3)), "B": np.zeros(3)}
    )
    assert made.code.startswith("def f(A, B):  # A[i, j], B[j] -> [i]\n")
    assert "C = torch.exp(A)  # exp(A)  [i, j]\n" in made.code


def test_text_cannot_leave_its_comment() -> None:
    """Lines, tabs and the like in a formula end nothing in the code."""
    made = compiled("def f(A[i]):\n    return (A +\n\n        \t1 # import os\n    )", {"A": np.zeros(2)})
    assert all(line.startswith(("def f(", "    ")) for line in made.code.splitlines())
    assert torch.equal(made.function(torch.zeros(2)), torch.ones(2))


@pytest.mark.parametrize("axis", ("seq'", "torch", "class_", "sum", "α", "日", "F", "fail", "assume", "self", "inf"))
def test_any_axis_name(axis: str) -> None:
    made = compiled(
        f"def f(A[{axis}], B[{axis}, b]) = sum[{axis}](A * B) + |{axis}|", {"A": np.ones(3), "B": np.ones((3, 2))}
    )
    assert torch.equal(made.function(torch.ones(3), torch.ones(3, 2)), torch.full((2,), 6.0))
    assert made.code.isascii() or axis in made.code


def test_the_same_code_for_every_hash_seed() -> None:
    printed = run_with_hash_seed("from tests.emit.test_behaviour import some_code\nprint(some_code())")
    assert printed == some_code() + "\n" and "def f(" in printed


def some_code() -> str:
    return "".join(made_of(name, way)[0].code for name in sorted(TABLE)[::6] for way in ("planned", "as written"))


# --- modules ----------------------------------------------------------------------------------------------------------


def test_nodes_know_where_they_come_from() -> None:
    made, _ = made_of("attention")
    node = next(n for n in made.modules[0].graph.nodes if n.name == "result" or n.meta.get("text"))
    assert node.meta["spans"] and node.meta["rule"] and node.meta["axes"] == ("query", "val")


def test_modules_copy_and_recompile() -> None:
    made, args = made_of("conv1d, strided")
    module = made.modules[made.select(*args)]
    twin = copy.deepcopy(module)
    twin.recompile()
    torch.testing.assert_close(twin(*args), made.function(*args))
    torch.testing.assert_close(torch.fx.Interpreter(twin).run(*args), made.function(*args))


def test_a_pass_over_the_graph() -> None:
    """Functions that others bring in are printed too."""
    made, args = made_of("aligned")
    module = copy.deepcopy(made.modules[0])
    (output,) = (node for node in module.graph.nodes if node.op == "output")
    with module.graph.inserting_before(output):
        doubled = module.graph.call_function(double, (output.args[0],))
    output.args = (doubled,)
    module.recompile()
    torch.testing.assert_close(module(*args), 2 * made.function(*args))


def double(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


def test_emit_alone() -> None:
    text, inputs = TABLE["softmax"]
    arrays = arrays_of(text, inputs)
    program = program_of(text, arrays)
    module = emit(number(program), program)
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(module(x), torch.softmax(x, 1))


# --- failures ---------------------------------------------------------------------------------------------------------


def test_sizes_that_disagree() -> None:
    made, _ = made_of("product")
    with pytest.raises(SizeError) as caught:
        made.function(torch.zeros(2, 3), torch.zeros(4, 5))
    assert caught.value.code == "NL0485"


def test_sizes_that_disagree_while_tracing() -> None:
    """The message is constant and bears the code."""
    made, _ = made_of("product")
    with pytest.raises(Exception, match="NL0485"):
        torch.compile(made.function, fullgraph=True, backend="eager")(torch.zeros(2, 3), torch.zeros(4, 5))


@pytest.mark.parametrize("index", (5, -1))
@pytest.mark.parametrize("text", ("def f(E[v, d], I[s]) = E[v = I]", "def f(E[d, v], I[d]) = E[v = I + 0]"))
def test_index_out_of_range(text: str, index: int) -> None:
    arrays = {"E": np.ones((5, 5)), "I": np.array([0, 1, 2, 3, index])}
    made = compiled(text, arrays)
    args = tensors(made, arrays)
    with pytest.raises((IndexError, RuntimeError)) as torchs:
        made.function(*args)
    with pytest.raises(ArgumentError) as caught:
        made.diagnose(tuple(args), torchs.value)
    assert caught.value.code == "NL0582"


def test_nothing_to_say() -> None:
    """An error of torch's that is not the formula's stays torch's."""
    made, args = made_of("product")
    assert made.diagnose(tuple(args), RuntimeError("out of memory")) is None


def test_every_check_fails_as_the_reference_fails() -> None:
    made = compiled("def f(X[s]) -> [s, k] = pool[s, k = 3](X)", {"X": np.zeros(9)})
    with pytest.raises(FormulaError):
        made.function(torch.zeros(8))
    assert made.function(torch.zeros(6)).shape == (2, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_what_comes_out_of_complex_numbers_has_the_precision_that_went_in(dtype: torch.dtype) -> None:
    function = nl.compile("def f(X[i, j], W[j, k]) -> [i, k] = (real(exp(1j * X)) + abs(1j * X)) @[j] W")
    assert function(torch.randn(2, 3).to(dtype), torch.randn(3, 4).to(dtype)).dtype is dtype
