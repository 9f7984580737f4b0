"""The benchmarks of a device, on the stand-in: do they run? Figures of it mean nothing.

In: what `python -m tests.benchmarks` takes. Out: its exit status. KeOps, which has kernels of its own, is left out.
"""

from __future__ import annotations

import sys

from tests.device import plugin as plugin

sys.modules["pykeops"] = None  # type: ignore[assignment]

from namedlayers.inspect.roofline import Machine  # noqa: E402
from tests.benchmarks import __main__ as command  # noqa: E402

command.measured = lambda device: Machine(1e9, 1e9)  # what is measured on a device is too much for a CPU

if __name__ == "__main__":
    sys.exit(command.main(["--device", "cuda", "--quick", "--rounds", "1", *sys.argv[1:]]))
