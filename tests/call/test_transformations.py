"""Functions under torch's transformations: compiled without a graph break, mapped, differentiated, exported.

`backend="eager"` makes torch.compile trace, guard and check as ever, and only leaves out the generation of kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.func import grad, hessian, jvp, vmap
from torch.fx.experimental.proxy_tensor import make_fx

import namedlayers as nl
from tests.call.formulas import TEXT, softmax_attention

SHAPES = ((2, 4), (3, 4), (3, 5))


def tensors(*lead: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(*lead, *shape, dtype=torch.float64) for shape in SHAPES)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    torch._dynamo.reset()
    return torch.compile(function, fullgraph=True, backend="eager")


def named_attention(space: nl.Namespace) -> Callable[..., Any]:
    def call(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        axes = ("query key", "seq key", "seq val")
        result = space.attention(*(nl.named(tensor, names) for tensor, names in zip((q, k, v), axes, strict=True)))
        return result.align("query val")

    return call


# Ways of calling from code that torch.compile traces; each is made from a namespace in which nothing is compiled yet.
WAYS: dict[str, Callable[[nl.Namespace], Callable[..., Any]]] = {
    "the function itself": lambda space: space.attention,
    "user code": lambda space: lambda q, k, v: torch.relu(space.attention(q.tanh(), k, v)) + 1,
    "by name": lambda space: lambda q, k, v: space.attention(K=k, V=v, Q=q),
    "mask": lambda space: lambda q, k, v: space.attention(q, k, v, M=q @ k.mT),
    "twice": lambda space: lambda q, k, v: space.attention(space.attention(q, k, k), k, v),
    "two functions": lambda space: lambda q, k, v: space.double(space.attention(q, k, v)),
    "number": lambda space: lambda q, k, v: space.scale(q, 2.5, by=3.5),
    "static option": lambda space: lambda q, k, v: space.power(q, n=3),
    "size that a repeat counts": lambda space: lambda q, k, v: space.total(q),
    "list": lambda space: lambda q, k, v: space.fuse([q, 2 * q], q[:, 0]),
    "mixed precision": lambda space: lambda q, k, v: space.matmul(q, k.mT.float()),
    "named tensors": named_attention,
    "several results": lambda space: lambda q, k, v: space.two(q[0], q[1]),
    "mapped": lambda space: vmap(space.attention),
    "differentiated": lambda space: grad(lambda q, k, v: space.attention(q, k, v).square().sum()),
}


@pytest.mark.parametrize("way", WAYS)
def test_compiled_cold_and_warm(way: str) -> None:
    args = tensors(2) if way == "mapped" else tensors()
    expected = WAYS[way](nl.loads(TEXT))(*args)
    space = nl.loads(TEXT)
    cold = compiled(WAYS[way](space))(*args)
    torch.testing.assert_close(cold, expected)
    warm = compiled(WAYS[way](space))(*args)
    torch.testing.assert_close(warm, expected)


def test_compiled_for_other_sizes_and_numbers() -> None:
    space = nl.loads(TEXT)
    call = compiled(lambda x, by, n: space.power(space.scale(x, by=by), n=n))
    for size, by, n in ((2, 2.0, 1), (3, 2.5, 1), (4, 3.5, 2), (5, 3.5, 3), (2, 2.0, 1)):
        x = torch.randn(size)
        torch.testing.assert_close(call(x, by, n), (x * by) ** n)


def test_compiled_for_other_static_numbers() -> None:
    space = nl.loads(TEXT)
    call = compiled(lambda x, p, flag: space.gate(x, p=p, flag=flag))
    for p, flag in ((0.5, False), (0.7, False), (0.1, True), (0.2, True), (0.9, False)):
        x = torch.randn(2)
        torch.testing.assert_close(call(x, p, flag), (x * p if p > 0.25 else -x) + flag)


def test_no_formula_counts_against_another() -> None:
    """Of one code torch.compile keeps eight forms, and says nothing when it leaves the ninth uncompiled."""
    torch._dynamo.reset()
    functions = [nl.compile(f"def f{n}(X[i]) = X * {n}") for n in range(10)]
    types = [nl.compile(f"layer F{n}(X[i]):\n    param w[i] ~ ones\n    return w * X * {n}") for n in range(10)]
    alike = [nl.compile("def f(X[i]; n) = X * n").with_options(n=n) for n in range(10)]
    x = torch.randn(3)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for callables in (functions, [made(i=3) for made in types], alike):
            for number, function in enumerate(callables):
                torch.testing.assert_close(torch.compile(function, fullgraph=True, backend="eager")(x), x * number)


def test_a_compiled_formula_is_called_as_the_formula() -> None:
    function = nl.compile("def double(X[i]) = 2 * X")
    compiled = torch.compile(function, backend="eager")
    assert (compiled.__name__, compiled.__doc__) == ("double", function.__doc__)


def test_compiled_with_gradients() -> None:
    space = nl.loads(TEXT)
    args = [tensor.requires_grad_() for tensor in tensors()]
    found = torch.autograd.grad(compiled(space.attention)(*args).sum(), args)
    torch.testing.assert_close(found, torch.autograd.grad(softmax_attention(*args).sum(), args))


def test_named_tensors_go_in_and_out_of_compiled_code() -> None:
    space = nl.loads(TEXT)
    x = nl.named(torch.randn(2, 3), "batch seq")
    result = compiled(lambda one: space.double(one))(x)
    assert result.axes == ("batch", "seq")
    torch.testing.assert_close(result.tensor, 2 * x.tensor)


def test_errors_while_compiling_bear_the_message() -> None:
    space = nl.loads(TEXT)
    q, k, _ = tensors()
    with pytest.raises(Exception, match="NL0501: attention\\(\\) needs `V`"):
        compiled(space.attention)(q, k)
    with pytest.raises(Exception, match="NL0485"):
        compiled(space.attention)(q, k, torch.randn(4, 5, dtype=torch.float64))


def test_vmap_is_lifting() -> None:
    attention = nl.compile(TEXT, "attention")
    args = tensors(6)
    torch.testing.assert_close(vmap(attention)(*args), attention(*args))
    q, k, v = args
    torch.testing.assert_close(vmap(attention, in_dims=(0, None, 0))(q, k[0], v), attention(q, k[0].expand_as(k), v))
    torch.testing.assert_close(vmap(vmap(attention))(*tensors(2, 3)).shape, torch.Size((2, 3, 2, 5)))


def test_grad_jvp_and_second_derivatives() -> None:
    attention = nl.compile(TEXT, "attention")
    args, tangents = tensors(), tensors()

    def loss(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        return lambda q, k, v: function(q, k, v).square().sum()

    torch.testing.assert_close(grad(loss(attention))(*args), grad(loss(softmax_attention))(*args))
    torch.testing.assert_close(jvp(attention, args, tangents), jvp(softmax_attention, args, tangents))
    torch.testing.assert_close(hessian(loss(attention))(*args), hessian(loss(softmax_attention))(*args))


def test_named_tensors_under_grad() -> None:
    space = nl.loads(TEXT)
    x = nl.named(torch.randn(2, 3), "batch seq")
    found = grad(lambda one: space.double(one).tensor.square().sum())(x)
    assert found.axes == ("batch", "seq")
    torch.testing.assert_close(found.tensor, 8 * x.tensor)


def test_exported_with_dynamic_sizes() -> None:
    class Attend(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nl.compile(TEXT, "attention")

        def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return self.attention(q, k, v)

    query, seq = torch.export.Dim("query", min=1), torch.export.Dim("seq", min=2)
    shapes = {"q": {0: query}, "k": {0: seq}, "v": {0: seq}}
    exported = torch.export.export(Attend(), tensors(), dynamic_shapes=shapes).module()
    q, k, v = torch.randn(7, 4).double(), torch.randn(9, 4).double(), torch.randn(9, 5).double()
    torch.testing.assert_close(exported(q, k, v), softmax_attention(q, k, v))


def test_the_graph_is_exported() -> None:
    args = tensors()
    module = nl.compile(TEXT, "attention").specialize(*args).graph
    torch.testing.assert_close(torch.export.export(module, args).module()(*args), softmax_attention(*args))


UNSEEN = {
    "a log product": ("def f(X[b, i]; W[i, o]) -> [b, o] = logsumexp[i](X + W)\n", ((4, 3), (3, 5))),
    "a linear scan": (
        "def f(X[t, h]; A[t, h]) -> [t, h]:\n    scan t with s = 0:\n        s = A * s + X\n    return s\n",
        ((6, 3), (6, 3)),
    ),
    "a linear scan from the end": (
        "def f(X[t, h]; A[t, h]) -> [h]:\n    scan t reversed with s = 1:\n        s = A * s + X\n"
        "    return s[t = 0]\n",
        ((6, 3), (6, 3)),
    ),
    "a scan": (
        "def f(X[t, h]; W[h, h']) -> [t, h]:\n    scan t with s = zeros[h]:\n"
        "        s = sin((W @[h] s)[h' -> h] + X)\n    return s\n",
        ((6, 3), (3, 3)),
    ),
    "attention": ("def f(Q[q, d]; K[k, d]) -> [q, d] = softmax[k](Q @[d] K) @[k] K\n", ((4, 3), (5, 3))),
}
"""Where calls look at numbers, or write into memory, if nobody minds."""


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_jit_trace_records_a_chain_in_one_order() -> None:
    chain = nl.compile("def f(A[a, b], B[b, c], C[c, d], D[d, e]) -> [a, e] = A @[b] B @[c] C @[d] D")
    given = [torch.randn(shape, dtype=torch.float64) for shape in ((3, 4), (4, 5), (5, 6), (6, 2))]
    traced = torch.jit.trace(lambda *matrices: chain(*matrices), given)
    other = [torch.randn_like(one) for one in given]
    torch.testing.assert_close(traced(*other), torch.linalg.multi_dot(other))


def test_functionalize_takes_what_has_no_gradient_of_its_own() -> None:
    text, shapes = UNSEEN["attention"]
    function, given = nl.compile(text), [torch.randn(shape) for shape in shapes]
    torch.testing.assert_close(torch.func.functionalize(function)(*given), function(*given))
    text, shapes = UNSEEN["a log product"]
    with pytest.raises(RuntimeError, match="NYI: Functionalize rule for custom_function_call"):
        torch.func.functionalize(nl.compile(text))(*(torch.randn(shape) for shape in shapes))


@pytest.mark.parametrize("name", UNSEEN)
def test_calls_where_there_are_no_numbers(name: str) -> None:
    text, shapes = UNSEEN[name]
    function, given = nl.compile(text), [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    expected = function(*given)
    assert function(*(one.to("meta") for one in given)).shape == expected.shape
    with FakeTensorMode() as mode:
        assert function(*map(mode.from_tensor, given)).shape == expected.shape
    other = [torch.randn_like(one) for one in given]
    for way in ("real", "symbolic"):
        torch.testing.assert_close(make_fx(function, tracing_mode=way)(*given)(*other), function(*other))
    slope = torch.func.grad(lambda x, y: function(x, y).sin().sum(), argnums=(0, 1))
    torch.testing.assert_close(make_fx(slope)(*given)(*other), slope(*other))
    _, along = torch.func.linearize(function, *given)
    torch.testing.assert_close(along(*other), torch.func.jvp(function, tuple(given), tuple(other))[1])


@pytest.mark.parametrize("name", UNSEEN)
def test_gradients_of_several_slopes_at_once(name: str) -> None:
    text, shapes = UNSEEN[name]
    function, given = nl.compile(text), [torch.randn(one, dtype=torch.float64, requires_grad=True) for one in shapes]
    slopes = torch.randn(3, *function(*given).shape, dtype=torch.float64)
    found = torch.autograd.grad(function(*given), given, slopes, is_grads_batched=True)
    each = [torch.autograd.grad(function(*given), given, slope) for slope in slopes]
    torch.testing.assert_close(found, tuple(map(torch.stack, zip(*each, strict=True))))
