"""The command line: what it prints and writes, and that whatever is wrong is one readable error with status 1."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import namedlayers as nl
from namedlayers.cli import main
from namedlayers.codes import CODES

ATTENTION = """\
def scores(Q[key], K[seq, key]) -> [seq] = Q @[key] K / sqrt(|key|)

def attention(Q[key], K[seq, key], V[seq, val]; scale = 1) -> [val]:
    return softmax[seq](scale * scores(Q, K)) @[seq] V
"""
TWO = "def two(X[a]) -> [], [a]:\n    return sum[a](X), 2 * X\n"
LINEAR = """\
layer Linear[input -> output](X[input]; bias = True) -> [output]:
    param W[output, input] ~ kaiming_uniform(input)
    Y = W @[input] X
    if bias:
        param b[output] ~ zeros
        Y = Y + b
    return Y
"""
WRONG = "def wrong(X[a]) = sum[b](X)\n"
UNFORMATTED = "def  f( X[a] )=sum[a]( X )   # a comment\n"


class Outcome:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


class Shell:
    """Runs commands in a folder of their own that holds the files above and some tensors."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys

    def __call__(self, *arguments: str) -> Outcome:
        try:
            status = main(arguments)
        except SystemExit as stop:  # argparse's own errors, --help and --version
            status = int(stop.code or 0)
        out, err = self.capsys.readouterr()
        return Outcome(status, out, err)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    texts = {
        "attention.nl": ATTENTION,
        "two.nl": TWO,
        "linear.nl": LINEAR,
        "wrong.nl": WRONG,
        "ugly.nl": UNFORMATTED,
        "broken.nl": "def (",
    }
    for name, text in texts.items():
        Path(name).write_text(text)
    Path("binary.nl").write_bytes(b"def f(X[a]) =\xff\xfe X")
    Path("folder.nl").mkdir()
    random = np.random.default_rng(0)
    q, k, v = (random.standard_normal(shape).astype(np.float32) for shape in ((3,), (4, 3), (4, 2)))
    np.save("q.npy", q)
    np.savez("kv.npz", K=k, V=v)
    torch.save(torch.from_numpy(k), "k.pt")
    torch.save(torch.from_numpy(k).to("meta"), "meta.pt")
    torch.save([1, 2], "list.pt")
    torch.save({"K": torch.from_numpy(k), "V": torch.from_numpy(v)}, "kv.pt")
    save_file({"V": torch.from_numpy(v)}, "v.safetensors")
    save_file({"W": torch.from_numpy(k), "b": torch.ones(4)}, "linear.safetensors")
    return Shell(tmp_path, capsys)


# --- check ------------------------------------------------------------------------------------------------------------


def test_check_accepts_what_is_right(shell: Shell) -> None:
    done = shell("check", "attention.nl", "two.nl")
    assert (done.status, done.err) == (0, "")
    assert done.out == "attention.nl: 2 definitions, no errors\ntwo.nl: 1 definition, no errors\n"


def test_check_reports_every_file_and_every_definition(shell: Shell) -> None:
    Path("several.nl").write_text("def f(X[a]) = sum[b](X)\n\ndef g(X[a]) = X\n\ndef h(X[a]) = Y\n")
    done = shell("check", "several.nl", "attention.nl", "broken.nl")
    assert done.status == 1
    assert "--> several.nl:1:" in done.err and "--> several.nl:5:" in done.err and "--> broken.nl:1:" in done.err
    assert done.err.endswith("3 errors\n")
    assert done.out == "attention.nl: 2 definitions, no errors\n"


def test_check_reads_standard_input(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, WRONG)
    done = shell("check", "-")
    assert done.status == 1 and "--> <stdin>:1:" in done.err


# --- show -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["program", "graph", "code", "explain", "latex", "html", "svg"])
def test_show_prints_each_view_of_the_last_definition(shell: Shell, view: str) -> None:
    done = shell("show", "attention.nl", "--as", view)
    assert (done.status, done.err) == (0, "")
    assert done.out.strip()
    assert shell("show", "attention.nl:attention", "--as", view).out == done.out
    assert shell("show", "attention.nl:scores", "--as", view).out != done.out


def test_show_prints_what_the_function_has(shell: Shell) -> None:
    function = nl.load("attention.nl").attention
    assert shell("show", "attention.nl", "--as", "program").out.rstrip() == str(function.program).rstrip()
    assert shell("show", "attention.nl").out.rstrip() == function.code.rstrip()


def test_show_writes_a_file(shell: Shell) -> None:
    shown = shell("show", "attention.nl", "--as", "code").out
    done = shell("show", "attention.nl", "--as", "code", "-o", "code.py")
    assert (done.status, done.out) == (0, "")
    assert Path("code.py").read_text() == shown
    compile(shown, "code.py", "exec")


def test_show_takes_options_and_sizes(shell: Shell) -> None:
    Path("pool.nl").write_text("def halve[seq](X[seq]; k) = max[part](pool[seq, part = k](X))\n")
    assert shell("show", "pool.nl").err.startswith("NL0501")
    done = shell("show", "pool.nl", "--option", "k=2", "--size", "seq=8", "--as", "graph")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[0].split() == ["value", "axes", "operation", "operands", "rule", "computes"]


def test_show_shows_layers(shell: Shell) -> None:
    made = nl.load("linear.nl").Linear
    assert shell("check", "linear.nl").out == "linear.nl: 1 definition, no errors\n"
    assert shell("show", "linear.nl", "--as", "program").out.rstrip() == str(made.program).rstrip()
    done = shell("show", "linear.nl", "--size", "input=3", "--size", "output=4")
    assert done.out.rstrip() == made(input=3, output=4).specialize(torch.zeros(3)).code.rstrip()
    assert "bias" not in shell("show", "linear.nl", "--option", "bias=False", "--as", "program").out


# --- run --------------------------------------------------------------------------------------------------------------

INPUTS = {
    "npz": ("K=kv.npz:K", "V=kv.npz:V"),
    "pt and safetensors": ("K=k.pt", "V=v.safetensors"),
    "pt with keys": ("K=kv.pt:K", "V=kv.pt:V"),
}


@pytest.mark.parametrize("files", INPUTS.values(), ids=INPUTS)
def test_run_reads_each_kind_of_file(shell: Shell, files: tuple[str, str]) -> None:
    arguments = [argument for file in ("Q=q.npy", *files) for argument in ("--input", file)]
    done = shell("run", "attention.nl", *arguments, "--option", "scale=2", "-o", "out.npy")
    assert (done.status, done.out, done.err) == (0, "", "")
    np.testing.assert_allclose(np.load("out.npy"), attention(scale=2), rtol=1e-5)


def test_run_prints_results_without_a_file(shell: Shell) -> None:
    np.save("x.npy", np.array([1.0, 2.0]))
    done = shell("run", "two.nl", "--input", "X=x.npy")
    assert (done.status, done.err) == (0, "")
    assert "tensor(3., dtype=torch.float64)" in done.out and "tensor([2., 4.], dtype=torch.float64)" in done.out


@pytest.mark.parametrize("ending", [".npz", ".pt", ".safetensors"])
def test_run_writes_several_results(shell: Shell, ending: str) -> None:
    np.save("x.npy", np.array([1.0, 2.0]))
    done = shell("run", "two.nl", "--input", "X=x.npy", "-o", f"out{ending}")
    assert (done.status, done.out, done.err) == (0, "", "")
    total, doubled = written(Path(f"out{ending}")).values()
    np.testing.assert_array_equal(total, 3.0)
    np.testing.assert_array_equal(doubled, [2.0, 4.0])


def test_run_of_a_layer_takes_weights(shell: Shell) -> None:
    arguments = ("run", "linear.nl", "--input", "X=q.npy", "--size", "output=4")
    done = shell(*arguments, "--weights", "linear.safetensors", "-o", "out.npy")
    assert (done.status, done.out, done.err) == (0, "", "")
    np.testing.assert_allclose(np.load("out.npy"), np.load("kv.npz")["K"] @ np.load("q.npy") + 1, rtol=1e-5)
    first, again, other = (shell(*arguments, "--seed", seed).out for seed in ("3", "3", "4"))
    assert first == again != other


def test_run_does_not_run_what_is_in_files(shell: Shell) -> None:
    for name in ("evil.npy", "evil.npz", "evil.pt", "evil.safetensors"):
        Path(name).write_bytes(pickle.dumps(Evil()))
        done = shell("run", "two.nl", "--input", f"X={name}")
        assert done.status == 1 and done.err.startswith("NL0614"), name
    torch.save(Evil(), "evil.pt")
    np.save("evil.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    for name in ("evil.npy", "evil.pt"):
        done = shell("run", "two.nl", "--input", f"X={name}")
        assert done.status == 1 and done.err.startswith("NL0614"), name
    assert not Path("executed").exists()


def test_a_seed_that_torch_does_not_take(shell: Shell) -> None:
    done = shell("run", "linear.nl", "--input", "X=q.npy", "--size", "output=2", "--seed", str(2**64))
    assert done.status == 2 and "--seed" in done.err


def test_a_name_where_a_file_holds_one_tensor(shell: Shell) -> None:
    done = shell("run", "attention.nl", "--input", "Q=q.npy:key", "--input", "K=k.pt", "--input", "V=v.safetensors:V")
    assert done.status == 1
    assert done.err.endswith(
        "`q.npy` holds no tensor called `key`\n  hint: it holds one tensor, without a name: `q.npy`\n"
    )


# --- fmt --------------------------------------------------------------------------------------------------------------


def test_fmt_rewrites_in_place_once(shell: Shell) -> None:
    assert shell("fmt", "--check", "ugly.nl").status == 1
    assert Path("ugly.nl").read_text() == UNFORMATTED
    assert shell("fmt", "ugly.nl").status == 0
    assert Path("ugly.nl").read_text() == "def f(X[a]) = sum[a](X)  # a comment\n"
    done = shell("fmt", "--check", "ugly.nl")
    assert (done.status, done.out) == (0, "")


def test_fmt_check_shows_the_difference(shell: Shell) -> None:
    done = shell("fmt", "--check", "ugly.nl", "attention.nl")
    assert done.status == 1
    assert "-def  f( X[a] )" in done.out and "+def f(X[a])" in done.out


def test_fmt_of_standard_input_goes_to_standard_output(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, UNFORMATTED)
    assert shell("fmt", "-").out == "def f(X[a]) = sum[a](X)  # a comment\n"


def test_fmt_leaves_broken_files_alone(shell: Shell) -> None:
    done = shell("fmt", "broken.nl")
    assert done.status == 1 and done.err.startswith("NL01")
    assert Path("broken.nl").read_text() == "def ("


# --- explain and the rest ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES)
def test_explain_knows_every_code(shell: Shell, code: str) -> None:
    done = shell("explain", code.lower())
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"{code}: {CODES[code].title}\n")


def test_explain_without_a_code_lists_all(shell: Shell) -> None:
    assert [line.split()[0] for line in shell("explain").out.splitlines()] == list(CODES)


def test_version(shell: Shell) -> None:
    assert shell("--version").out == f"namedlayers {nl.__version__}\n"


MISTAKES = {
    ("check", "nothing.nl"): "NL0611: there is no file `nothing.nl`",
    ("check", "atention.nl"): "did you mean `attention.nl`?",
    ("check", "folder.nl"): "NL0612: `folder.nl` cannot be read: it is a folder",
    ("check", "binary.nl"): "NL0613: `binary.nl` is not UTF-8 text: line 1, byte 13 is 0xff",
    ("check", "\0.nl"): "NL0612",
    ("fmt", "nothing.nl"): "NL0611",
    ("show", "nothing.nl"): "NL0611",
    ("show", "attention.nl:atention"): "did you mean `attention`?",
    ("show", "wrong.nl"): "--> wrong.nl:1:",
    ("show", "two.nl", "-o", "no/folder"): "NL0616",
    ("show", "two.nl", "--size", "a=2", "--size", "a=3"): "NL0617",
    ("show", "attention.nl", "--size", "kye=2"): "did you mean `key`?",
    ("show", "attention.nl", "--size", "key=2"): "NL0617: the size of axis `seq` of `K` is not given",
    ("show", "attention.nl", "--option", "sclae=2"): "did you mean `scale`?",
    ("run", "nothing.nl", "--input", "X=q.npy"): "NL0611",
    ("run", "two.nl", "--input", "X=nothing.npy"): "NL0611",
    ("run", "two.nl", "--input", "X=folder.nl"): "NL0612",
    ("run", "two.nl", "--input", "X=two.nl"): "NL0614",
    ("run", "two.nl", "--input", "X=meta.pt"): "holds no dense tensor, but a tensor on the device `meta`",
    ("run", "two.nl", "--input", "X=kv.npz"): "choose one of them: `kv.npz:K`, `kv.npz:V`",
    ("run", "two.nl", "--input", "X=kv.npz:W"): "NL0615: `kv.npz` holds no tensor called `W`",
    ("run", "two.nl", "--input", "X=q.npy", "--input", "X=q.npy"): "NL0617",
    ("run", "two.nl", "--input", "X=q.npy", "-o", "out.npy"): "write `out.npz` instead",
    ("run", "two.nl", "--input", "X=q.npy", "-o", "out.txt"): "NL0616",
    ("run", "two.nl", "--input", "X=q.npy", "-o", "no/out.npz"): "NL0616",
    ("run", "two.nl", "--input", "Y=q.npy"): "NL05",
    ("run", "two.nl"): "NL05",
    ("run", "two.nl", "--input", "X=q.npy", "--size", "a=3"): "NL0617: --size is for layers",
    ("run", "two.nl", "--input", "X=q.npy", "--weights", "k.pt"): "NL0617: --weights is for layers",
    ("run", "linear.nl", "--input", "X=q.npy"): "NL0527: the size of axis `output` of `Linear` must be given",
    ("run", "linear.nl", "--input", "X=q.npy", "--size", "outptu=4"): "did you mean `output`?",
    ("run", "linear.nl", "--input", "X=q.npy", "--size", "output=4", "--weights", "v.safetensors"): "NL0534",
    ("run", "linear.nl", "--input", "X=q.npy", "--size", "output=5", "--weights", "linear.safetensors"): "NL0533",
    ("run", "linear.nl", "--size", "output=4", "--weights", "k.pt"): "holds one tensor, without a name, and no dict",
    ("run", "linear.nl", "--size", "output=4", "--weights", "list.pt"): "NL0614: `list.pt` holds a Python list, and no",
    ("show", "linear.nl", "--size", "inptu=4"): "did you mean `input`?",
    ("show", "linear.nl", "--size", "output=4"): "NL0617: the size of axis `input` of `X` is not given",
    ("export", "two.nl", "--size", "a=2", "-o", "two.txt"): "NL0616: `two.txt` cannot be written",
    ("explain", "NL9999"): "NL0617: there is no error code `NL9999`\n  hint: `namedlayers explain` lists all codes\n",
    ("explain", "nl301"): "hint: did you mean `NL0301`?",
    ("bench", "two.nl", "--size", "a=3", "--device", "meta"): "NL0651: nothing runs on the device `meta`",
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_mistakes_are_errors_with_status_1(shell: Shell, arguments: tuple[str, ...]) -> None:
    done = shell(*arguments)
    assert done.status == 1
    assert done.err.startswith("NL") and MISTAKES[arguments] in done.err


@pytest.mark.parametrize(
    "arguments",
    [(), ("shwo",), ("check",), ("show", "two.nl", "--as", "poem"), ("show", "two.nl", "--size", "a=x"),
     ("run", "two.nl", "--input", "q.npy"), ("bench", "two.nl", "--rounds", "0"),
     ("bench", "two.nl", "--threads", "-1"), ("bench", "two.nl", "--seconds", "nan")],
)  # fmt: skip
def test_misuse_of_the_command_shows_its_usage(shell: Shell, arguments: tuple[str, ...]) -> None:
    done = shell(*arguments)
    assert done.status == 2 and done.err.startswith("usage: namedlayers")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rounds", "-1"), "`-1` is not a count: a whole number, 1 or more"),
        (("--rounds", "1.5"), "`1.5` is not a count"),
        (("--threads", "99999999999"), "at most 2147483647"),
        (("--seconds", "nan"), "`nan` is not a time: a number of seconds, more than 0"),
        (("--seed", "x"), "`x` is not a seed: a whole number from -2^63 to 2^64 - 1"),
        (("--size", "a=-1"), "in `a=-1`, `-1` is not a size: a whole number, 0 or more"),
    ],
)
def test_a_number_that_does_not_fit_is_told_what_does(shell: Shell, arguments: tuple[str, str], said: str) -> None:
    done = shell("bench", "two.nl", *arguments)
    assert done.status == 2 and said in done.err


def test_the_command_runs_as_a_program(shell: Shell) -> None:
    command = [sys.executable, "-m", "namedlayers", "check", "attention.nl", "wrong.nl"]
    environment = {**os.environ, "PYTHONPATH": str(Path(nl.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stdout == "attention.nl: 2 definitions, no errors\n"
    assert "--> wrong.nl:1:" in done.stderr


def test_what_a_file_imports_is_read_as_safely(shell: Shell) -> None:
    Path("imports.nl").write_text("from binary import f\n\ndef g(X) = f(X)\n")
    done = shell("check", "imports.nl")
    assert done.status == 1 and done.err.startswith("NL0613: `binary.nl` is not UTF-8 text")
    assert "--> imports.nl:1:6" in done.err


def test_graphs_as_data(shell: Shell) -> None:
    Path("loop.nl").write_text(
        "def f(X[t, k]; W[k', k]) -> [t, k]:\n    scan t with h = zeros[k]:\n"
        '        h = sin(W @[k] h)[k\' -> k] + X  # "quoted"\n    return h\n'
    )
    for file in "attention.nl", "loop.nl":
        graph = nl.load(file)[list(nl.load(file))[-1]].graph
        made = json.loads(shell("show", file, "--as", "json").out)
        graphs = {"": (graph, made)} | {name: (getattr(graph, name), one) for name, one in made["bodies"].items()}
        drawn = shell("show", file, "--as", "dot").out
        for prefix, (wanted, found) in graphs.items():
            assert [one["name"] for one in found["nodes"]] == [node.name for node in wanted.graph.nodes]
            for one in found["nodes"]:
                here = f"{prefix}.{one['name']}" if prefix else one["name"]
                assert f'"{here}" [label="{one["name"]}' in drawn
                for operand in one["operands"]:
                    assert f'"{f"{prefix}." if prefix else ""}{operand}" -> "{here}";' in drawn
    assert made["bodies"] and drawn.count("subgraph cluster_") == len(made["bodies"])
    assert drawn.count("{") == drawn.count("}") and drawn.replace('\\"', "").count('"') % 2 == 0


def test_pairs_without_their_flag_are_told_of_it(shell: Shell) -> None:
    done = shell("run", "attention.nl", "--input", "Q=q.npy", "K=k.npy")
    assert done.status == 2 and "`--input Q=q.npy --input K=k.npy`" in done.err


def test_an_output_that_is_full(shell: Shell) -> None:
    command = f"'{sys.executable}' -m namedlayers show attention.nl > /dev/full"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "NL0616: `<stdout>` cannot be written: no space left on device\n")


def test_an_output_that_is_closed(shell: Shell) -> None:
    command = f"'{sys.executable}' -m namedlayers show attention.nl >&-"
    assert subprocess.run(command, shell=True, capture_output=True).returncode == 0


def test_an_interrupt_is_no_traceback(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("namedlayers.cli.judging.load", stopped)
    assert (done := shell("check", "attention.nl")).status == 130 and done.err == ""


def test_a_pipe_is_read_once(shell: Shell) -> None:
    pipe = Path("pipe.nl")
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(ATTENTION,))
    writer.start()
    done = shell("check", "pipe.nl")
    writer.join()
    assert (done.status, done.out) == (0, "pipe.nl: 2 definitions, no errors\n")


# --- helpers ----------------------------------------------------------------------------------------------------------


class Evil:
    """Leaves a file behind if it is ever unpickled as Python would."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path("executed"),)


def give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Makes `text` the standard input."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def attention(scale: float) -> np.ndarray:
    q, kv = np.load("q.npy"), np.load("kv.npz")
    scores = scale * kv["K"] @ q / np.sqrt(3)
    weights = np.exp(scores) / np.exp(scores).sum()
    return weights @ kv["V"]


def written(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npz":
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    read = load_file if path.suffix == ".safetensors" else torch.load
    return {name: tensor.numpy() for name, tensor in read(path).items()}


def test_check_accepts_what_only_formulas_can_apply(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "eye.nl"
    file.write_text(
        "def eye[i, j]() = where(index[i] == index[j], 1.0, 0.0)\n\ndef windows[*ax, *k](X[*ax]) = X[*ax = ax + k]\n"
    )
    assert main(["check", str(file)]) == 0
    file.write_text("def wide(X[i]) -> [i, j] = X + zeros[j]\n")
    assert main(["check", str(file)]) == 1
    assert "NL0401" in capsys.readouterr().err
