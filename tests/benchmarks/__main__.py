"""All benchmarks, one command: `python -m tests.benchmarks`.

In: the command line. Out: docs/benchmarks.md, its figures as JSON, its plot; for a GPU docs/benchmarks-cuda.*. What
always holds: figures of what did not run this time stay as they were.
"""

from __future__ import annotations

import argparse
import atexit
import fnmatch
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from namedlayers.inspect.roofline import measured
from tests.benchmarks.page import CUDA_TEMPLATE, TEMPLATE, page
from tests.benchmarks.parts import PARTS
from tests.benchmarks.plot import plot
from tests.benchmarks.records import Records, where
from tests.benchmarks.running import Effort, run
from tests.benchmarks.sides import OURS, missing
from tests.benchmarks.verdicts import ratio, verdicts
from tests.benchmarks.workload import Workload
from tests.benchmarks.workloads import WORKLOADS

DOCS = Path(__file__).parents[2] / "docs"

# With glibc's defaults large blocks go back to the system at every call, and what is timed is who asks first.
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "KINETO_LOG_LEVEL": "99",
}

HELP = """\
Runs every workload in turn in this process: the formula, the formula with backend="inductor", naive torch, the best
forms by hand, these under torch.compile, and what einx, einops, KeOps and tensorgrad can express, where installed. All
sides must agree, values and gradients, before anything is timed. Sides take turns within each round, medians are
compared. Measured are, forward and forward with backward, time and the most memory that is held; the time to compile;
the overhead of short calls; and the share of the bound by bytes and operations (.cost) that the machine reaches. Writes
benchmarks.json, benchmarks.md and benchmarks.svg into --out; with --device cuda benchmarks-cuda.*, whose table has each
workload's share of that roofline. Rows and parts that did not run keep their figures."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for and returns the exit status."""
    arguments = _parser().parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    chosen = [one for one in WORKLOADS if _wanted(arguments, one.name, one.group)]
    parts = {name: part for name, part in PARTS.items() if _wanted(arguments, name, "Parts")}
    if not (chosen or parts):
        patterns = " or ".join(arguments.only or arguments.skip)
        print(f"no workload is called like {patterns}; --list shows all names", file=sys.stderr)
        return 2
    if arguments.list:
        print("\n".join([*(f"{one.group}: {one.name}" for one in chosen), *(f"Parts: {name}" for name in parts)]))
        return 0
    paths = Paths(arguments.out, arguments.device)
    records = Records.read(paths.figures)
    effort = _effort(arguments)
    failures = 0
    if not arguments.page:
        fresh_cache()
        on = where(effort.device, torch.get_num_threads(), arguments.busy)
        machine = measured(effort.device)
        for workload in chosen:
            failures += _one(workload, effort, records, on, machine, paths)
        for name, part in parts.items():
            records.parts[name] = part(effort) | {"where": on}
            records.write(paths.figures)
    paths.page.write_text(page(records, WORKLOADS, paths.template.read_text("utf-8")), "utf-8")
    if not arguments.no_plot:
        plot(records, WORKLOADS, paths.plot)
    return 1 if failures else 0


def fresh_cache() -> None:
    """What torch.compile has made for earlier runs must not count as made by this one."""
    folder = tempfile.TemporaryDirectory(prefix="benchmarks-")
    atexit.register(folder.cleanup)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder.name


class Paths:
    """Where everything goes; figures of a GPU are apart."""

    def __init__(self, folder: Path, device: str) -> None:
        cuda = torch.device(device).type == "cuda"
        name = "benchmarks-cuda" if cuda else "benchmarks"
        folder.mkdir(parents=True, exist_ok=True)
        self.figures = folder / f"{name}.json"
        self.page = folder / f"{name}.md"
        self.plot = folder / f"{name}.svg"
        self.template = CUDA_TEMPLATE if cuda else TEMPLATE


# --- helpers ----------------------------------------------------------------------------------------------------------


def _one(
    workload: Workload, effort: Effort, records: Records, on: dict[str, str], machine: object, paths: Paths
) -> int:
    """Runs one workload and keeps its figures; 1 if its sides do not agree."""
    lacking = missing(workload)
    if lacking:
        print(f"{workload.name}: left out, without {', '.join(lacking)}", flush=True)
        return 0
    start = time.perf_counter()
    try:
        row = run(workload, effort, machine)  # type: ignore[arg-type]
    except AssertionError as error:
        print(f"{error}", file=sys.stderr, flush=True)
        return 1
    records.rows[workload.name] = row | {"where": on}
    records.write(paths.figures)
    found = [ratio(workload, row, OURS, measure) for measure in ("forward", "both")]
    ratios = " / ".join(f"{one:.2f}" for one in found if one is not None)
    missed = sum(not one.met for one in verdicts(workload, row))
    told = f"{missed} target{'s' * (missed > 1)} missed" if missed else "all targets met"
    print(f"{workload.name}: {ratios} of the best by hand, {told} ({time.perf_counter() - start:.0f} s)", flush=True)
    return 0


def _wanted(arguments: argparse.Namespace, name: str, group: str) -> bool:
    names = (name, group)
    return (not arguments.only or _called(names, arguments.only)) and not _called(names, arguments.skip or ())


def _called(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """A pattern is a part of a name, or has wildcards and is all of it."""
    return any(
        fnmatch.fnmatch(name, one) if set(one) & set("*?") else one in name for name in names for one in patterns
    )


def _effort(arguments: argparse.Namespace) -> Effort:
    return Effort(
        quick=arguments.quick,
        rounds=arguments.rounds or (5 if arguments.quick else 31),
        seconds=0.05 if arguments.quick else arguments.seconds,
        device=arguments.device,
        compiled=not (arguments.quick or arguments.no_compile),
        clock=time.process_time if arguments.busy else time.perf_counter,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--only",
        action="append",
        metavar="PATTERN",
        help="names or groups that contain this, or match it; repeatable",
    )
    add("--skip", action="append", metavar="PATTERN", help="leave these out")
    add("--list", action="store_true", help="show the names and stop")
    add("--quick", action="store_true", help="tiny sizes, few rounds, nothing compiled by torch: does everything run?")
    add("--threads", type=int, metavar="N", help="of torch (as many as there are cores)")
    add("--device", default="cpu", help="cpu or cuda (cpu)")
    add("--rounds", type=int, metavar="N", help="in each of which every side runs once (31; 5 with --quick)")
    add("--seconds", type=float, default=0.4, metavar="S", help="for each measure of a side, about (0.4)")
    add("--busy", action="store_true", help="count processor time: for a machine with more to do, with --threads 1")
    add("--no-compile", action="store_true", help="leave out the sides that torch.compile makes: minutes instead")
    add("--page", action="store_true", help="run nothing: write the page and the plot from the figures that there are")
    add("--no-plot", action="store_true", help="write no plot (which needs matplotlib)")
    add("--out", type=Path, default=DOCS, metavar="FOLDER", help="where figures, page and plot go (docs)")
    return parser


if __name__ == "__main__":
    if any(os.environ.get(name) is None for name in ENVIRONMENT):
        # The allocator reads its settings when the process begins.
        os.execve(sys.executable, [sys.executable, "-m", "tests.benchmarks", *sys.argv[1:]], ENVIRONMENT | os.environ)
    sys.exit(main())
