"""Formulas as files: what is written gives what the formula gives, for other sizes too."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import torch._inductor

import namedlayers as nl
from namedlayers.cli import main
from namedlayers.errors import FormulaError
from namedlayers.exporting import FORMS, export, exported

ATTENTION = """
def attention(Q[query, key], K[seq, key], V[seq, val]; M[query, seq] = 0) -> [query, val]:
    return softmax[seq](Q @[key] K / sqrt(|key|) + M) @[seq] V
"""
NET = """
from linear import Linear

layer Net[input](X[batch, input]) -> [batch, classes]:
    return Linear[hidden -> classes = 3](relu(Linear[input -> hidden = 8](X)))
"""
SIZES = {"query": 4, "key": 8, "seq": 6, "val": 5}


def _inputs(query: int = 4, seq: int = 6) -> tuple[torch.Tensor, ...]:
    return torch.randn(query, 8), torch.randn(seq, 8), torch.randn(seq, 5)


def test_a_program_of_torch_for_open_sizes(tmp_path: Path) -> None:
    attention = nl.compile(ATTENTION)
    export(attention, SIZES, tmp_path / "a.pt2", dynamic=["query", "seq"])
    loaded = torch.export.load(tmp_path / "a.pt2").module()
    for inputs in (_inputs(), _inputs(3, 9)):
        torch.testing.assert_close(loaded(*inputs), attention(*inputs))


def test_a_model_of_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attention = nl.compile(ATTENTION)
    said: list[logging.LogRecord] = []
    monkeypatch.setattr(logging.Logger, "callHandlers", lambda self, record: said.append(record))
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        export(attention, SIZES, tmp_path / "a.onnx", "onnx", dynamic=["seq"])
    assert not [one for one in said if one.levelno >= logging.WARNING]
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    assert [one.name for one in session.get_inputs()] == ["Q", "K", "V"]
    inputs = _inputs(seq=9)
    (found,) = session.run(None, {name: one.numpy() for name, one in zip("QKV", inputs, strict=True)})
    np.testing.assert_allclose(found, attention(*inputs).numpy(), rtol=1e-4, atol=1e-5)


def test_operators_of_ours_are_written_out_for_onnx(tmp_path: Path) -> None:
    mix = nl.compile("def mix(X[a, b]; W[b, c]) -> [a, c] = X @[b] W", semiring="log", backend="cudagraph")
    plain = nl.compile("def mix(X[a, b]; W[b, c]) -> [a, c] = X @[b] W", semiring="log")
    export(mix, {"a": 3, "b": 4, "c": 2}, tmp_path / "m.onnx", "onnx", dynamic=["a"])
    x, w = torch.randn(5, 4) * 300, torch.rand(4, 2)
    (found,) = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(None, {"X": x.numpy(), "W": w.numpy()})
    np.testing.assert_allclose(found, plain(x, w).numpy(), rtol=1e-5, atol=1e-4)


def test_a_module_with_its_weights() -> None:
    net = nl.loads(NET).Net(input=4).eval()
    program = exported(net, {"batch": 2, "input": 4}, ["batch"])
    x = torch.randn(7, 4)
    torch.testing.assert_close(program.module()(x), net(x))


def test_at_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    formula, out = tmp_path / "net.nl", tmp_path / "net.pt2"
    formula.write_text(NET)
    weights = tmp_path / "net.pt"
    net = nl.load(formula).Net(input=4).eval()
    torch.save(net.state_dict(), weights)
    arguments = ["export", str(formula), "--size", "input=4", "--size", "batch=2", "--dynamic", "batch"]
    assert main([*arguments, "--weights", str(weights), "-o", str(out)]) == 0
    x = torch.randn(5, 4)
    torch.testing.assert_close(torch.export.load(out).module()(x), net(x))
    assert main(["export", str(formula), "--size", "input=4", "-o", str(out)]) == 1
    assert "the size of axis `batch` of `X` is not given" in capsys.readouterr().err


def test_what_is_wrong(tmp_path: Path) -> None:
    attention = nl.compile(ATTENTION)
    with pytest.raises(FormulaError, match="no input of `attention` has an axis `sequence`"):
        export(attention, SIZES, tmp_path / "a.pt2", dynamic=["sequence"])
    with pytest.raises(FormulaError, match="NL0616: .* there is no folder"):
        export(attention, SIZES, tmp_path / "no" / "folder.pt2")


@pytest.mark.parametrize("size", [0, 1])
def test_an_open_axis_needs_an_example_that_is_not_its_only_size(size: int) -> None:
    with pytest.raises(FormulaError, match=f"NL0660: axis `query` .* size {size}"):
        exported(nl.compile(ATTENTION), {**SIZES, "query": size}, ["query"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def f(X[i = 4, j]) -> [j] = sum[i](X)", "`i = 4`"),
        ("def f(X[i, j]) -> [a, j] = sum[b](X[i -> (a = 2, b)])", r"`i = 2\*_i`"),
    ],
)
def test_a_size_that_the_formula_fixes_is_not_open(text: str, told: str) -> None:
    with pytest.raises(FormulaError, match=f"NL0660: .*{told}"):
        exported(nl.compile(text), {"i": 4, "j": 3}, ["i"])


WINDOWS = {
    # name: (formula, the least length in the file, one that is asked of it)
    "a convolution": ("def f(X[t]; w[k = 3]) -> [t] = w @[k] unroll[t, k](X)", 4, 11),
    "with strides": ("def f(X[t]; w[k = 3]) -> [t] = w @[k] unroll[t, k](X; stride = 2, padding = 1)", 3, 4),
    "a slice": ("def f(X[t]; w[k = 3]) -> [t] = sum[k](w) * X[t = 2:]", 4, 5),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_an_axis_is_open_from_the_least_size_on_that_the_formula_takes(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, least, length = WINDOWS[name]
    formula, out = tmp_path / "f.nl", tmp_path / "f.pt2"
    formula.write_text(text)
    sizes = ["--size", "t=9", "--size", "k=3"]
    assert main(["export", str(formula), *sizes, "--dynamic", "t", "-o", str(out)]) == 0
    assert f"`t` has any size from {least} on" in capsys.readouterr().err
    loaded = torch.export.load(out).module()
    w = torch.randn(3)
    for x in (torch.randn(least), torch.randn(length)):
        torch.testing.assert_close(loaded(x, w), nl.compile(text)(x, w))


def test_axes_whose_names_are_alike_for_torch() -> None:
    outer = nl.compile("def f(X[i', i_prime]) -> [i', i_prime] = 2 * X")
    program = exported(outer, {"i'": 3, "i_prime": 4}, ["i'", "i_prime"])
    assert program.module()(torch.ones(5, 6)).shape == (5, 6)


ENDINGS = {
    ("f.pt2", None): "pt2", ("f.onnx", None): "onnx", ("f.ONNX", "onnx"): "onnx", ("f.pt2", "aoti"): "aoti",
    ("f.xyz", None): "ends in `.pt2` or `.onnx`", ("f", None): "ends in `.pt2` or `.onnx`",
    ("f.pt2", "onnx"): "ends in `.onnx`", ("f.so", "aoti"): "ends in `.pt2`",
}  # fmt: skip


@pytest.mark.parametrize(("name", "form"), ENDINGS, ids=str)
def test_the_ending_of_a_file_says_what_it_is(
    name: str, form: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    for one, how in FORMS.items():
        monkeypatch.setitem(FORMS, one, replace(how, write=lambda *_, one=one: written.append(one)))
    double, expected = nl.compile("def double(X[i]) -> [i] = 2 * X"), ENDINGS[name, form]
    if expected in FORMS:
        export(double, {"i": 3}, tmp_path / name, form)
        assert written == [expected]
    else:
        with pytest.raises(FormulaError, match=f"NL0616: .*{expected}"):
            export(double, {"i": 3}, tmp_path / name, form)
        assert not written


def test_a_package_compiled_for_this_machine(tmp_path: Path) -> None:
    scale = nl.compile("def scale(X[seq]) -> [seq] = tanh(2 * X)")
    export(scale, {"seq": 3}, tmp_path / "scale.pt2", "aoti", dynamic=["seq"])
    x = torch.randn(5)
    torch.testing.assert_close(torch._inductor.aoti_load_package(str(tmp_path / "scale.pt2"))(x), scale(x))
