"""The precision of products at the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from namedlayers.cli import main

TEXT = "def f(X[i, j]; W[j, k]) -> [i, k] = X @[j] W\n"


@pytest.fixture
def arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    monkeypatch.chdir(tmp_path)
    Path("f.nl").write_text(TEXT)
    generator = np.random.default_rng(0)
    found = {"X": generator.standard_normal((3, 40), np.float32), "W": generator.standard_normal((40, 2), np.float32)}
    for name, array in found.items():
        np.save(f"{name}.npy", array)
    return found


def _rounded(arrays: dict[str, np.ndarray]) -> torch.Tensor:
    x, w = (torch.from_numpy(arrays[name]).bfloat16() for name in "XW")
    return (x @ w).float()


def test_show(arrays: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "f.nl", "--precision", "bfloat16"]) == 0
    assert "torch.bfloat16" in capsys.readouterr().out


def test_run(arrays: dict[str, np.ndarray]) -> None:
    given = ["--input", "X=X.npy", "--input", "W=W.npy", "-o", "out.npy"]
    assert main(["run", "f.nl", *given, "--precision", "bfloat16"]) == 0
    found = torch.from_numpy(np.load("out.npy"))
    torch.testing.assert_close(found, _rounded(arrays))
    assert not torch.equal(found, torch.from_numpy(arrays["X"] @ arrays["W"]))


def test_export(arrays: dict[str, np.ndarray]) -> None:
    sizes = ["--size", "i=3", "--size", "j=40", "--size", "k=2"]
    assert main(["export", "f.nl", *sizes, "--precision", "bfloat16", "-o", "f.pt2"]) == 0
    found = torch.export.load("f.pt2").module()(*map(torch.from_numpy, arrays.values()))
    torch.testing.assert_close(found, _rounded(arrays))


def test_there_are_two(arrays: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["show", "f.nl", "--precision", "int8"])
    assert caught.value.code == 2 and "bfloat16" in capsys.readouterr().err
