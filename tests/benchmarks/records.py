"""The figures of all runs, kept as JSON: the page is written without a run, and a part of a run updates its rows.

In: rows as `running` makes them. Out: `Records`. What always holds: every row says on what it was measured; a file that
was written is read back equal.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

Row = dict[str, Any]

PACKAGES = ("torch", "einops", "einx", "pykeops", "tensorgrad", "opt_einsum")


@dataclass
class Records:
    """`rows` by the name of the workload; `parts`: figures that are no comparison of sides, by the name of the part."""

    rows: dict[str, Row] = field(default_factory=dict)
    parts: dict[str, Row] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Records:
        """What a file holds; nothing if there is none."""
        if not path.is_file():
            return cls()
        held = json.loads(path.read_text("utf-8"))
        return cls(held["rows"], held["parts"])

    def write(self, path: Path) -> None:
        held = {"rows": self.rows, "parts": self.parts}
        path.write_text(json.dumps(_rounded(held), indent=1, ensure_ascii=False) + "\n", "utf-8")


def where(device: str, threads: int, busy: bool) -> dict[str, str]:
    """What figures are measured on: nothing that tells one machine of a kind from another."""
    on = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else processor()
    clock = "processor time" if busy else "time"
    return {
        "machine": f"{on}, {os.cpu_count()} cores, {platform.system()}",
        "versions": ", ".join([f"Python {platform.python_version()}", *_versions()]),
        "manner": f"{threads} thread{'s' * (threads > 1)}, {clock}",
    }


def processor() -> str:
    """The processor's name as its maker gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


# --- helpers ----------------------------------------------------------------------------------------------------------


def _versions() -> list[str]:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return found


def _rounded(held: Any) -> Any:
    """Four digits: more are noise, and make every line of the file another one."""
    if isinstance(held, dict):
        return {key: _rounded(value) for key, value in held.items()}
    return float(f"{held:.4g}") if isinstance(held, float) else held
