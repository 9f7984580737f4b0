"""The stand-in takes the place of CUDA in a torch that is built without it, where Triton and a compiler are there."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

import torch

collect_ignore = []
if torch.version.cuda or torch.version.hip or not find_spec("triton") or not shutil.which("g++"):
    collect_ignore.append("test_device.py")
