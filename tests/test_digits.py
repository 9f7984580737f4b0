"""The example as a user runs it: real digits, the whole training, what it prints."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

import namedlayers as nl
from namedlayers.syntax import format_module, parse

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_lenet_learns_the_digits(capsys: pytest.CaptureFixture[str]) -> None:
    accuracy = digits().main(["--seed", "0"])
    printed = capsys.readouterr().out
    assert accuracy >= 0.97
    assert f"Accuracy on 360 test images: {accuracy:.2%}" in printed
    assert (EXAMPLES / "lenet.nl").read_text() in printed
    assert "torch.conv2d(" in printed and "torch.max_pool2d(" in printed


def test_training_repeats_itself(capsys: pytest.CaptureFixture[str]) -> None:
    module = digits()
    first, second = (module.main(["--epochs", "1", "--seed", "3"]) for _ in range(2))
    assert first == second
    assert module.main(["--epochs", "1", "--seed", "4"]) != first
    assert "Accuracy" in capsys.readouterr().out


def test_lenet_is_what_torch_computes() -> None:
    module = digits()
    random = torch.Generator().manual_seed(0)
    p = {name: module.initial(axes, random) for name, axes in module.PARAMETERS.items()}
    images = torch.rand(5, 1, 8, 8, generator=random)
    hidden = torch.conv2d(images, p["W1"], p["b1"], padding=1).relu()
    hidden = torch.conv2d(torch.max_pool2d(hidden, 2), p["W2"], p["b2"], padding=1).relu()
    hidden = torch.max_pool2d(hidden, 2).permute(0, 2, 3, 1).flatten(1)  # height, width, chans
    hidden = (hidden @ p["V1"].T + p["c1"]).relu()
    expected = (hidden @ p["V2"].T + p["c2"]).log_softmax(-1)
    torch.testing.assert_close(nl.load(EXAMPLES / "lenet.nl").lenet(images, **p), expected)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.nl")), ids=lambda path: path.name)
def test_formulas_of_the_examples_are_in_the_canonical_layout(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert format_module(parse(text)) == text


def digits() -> ModuleType:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("digits", EXAMPLES / "digits.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
