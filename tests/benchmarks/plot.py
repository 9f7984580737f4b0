"""docs/benchmarks.svg: every side of every workload, as a ratio to the best form by hand, on a logarithmic axis.

In: `Records` and the workloads. Out: an SVG file. What always holds: equal figures give an equal file, with one version
of matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.records import Records
from tests.benchmarks.sides import COMPILED, INDUCTOR, NAIVE, OURS
from tests.benchmarks.verdicts import by_hand, by_hand_compiled, ratio
from tests.benchmarks.workload import Workload
from tests.benchmarks.workloads.library import GROUP as LIBRARY

SIDES = {
    NAIVE: ("naive torch", "#b0b0b0", "o", 22),
    f"{NAIVE}{COMPILED}": ("naive, torch.compile", "#707070", "^", 22),
    "by hand": ("by hand, torch.compile", "#3b7dd8", "^", 26),
    INDUCTOR: ('formula, backend="inductor"', "#f0a030", "s", 26),
    OURS: ("formula", "#d62728", "o", 38),
}
"""Label, colour, marker and size; the last ones lie on top."""
ROW = 0.24
"""Inches."""


def plot(records: Records, workloads: Sequence[Workload], path: Path, measure: str = "both") -> None:
    """Draws the ratios of `measure`, and of the forward pass where there is no other."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    rows = [(w, records.rows[w.name]) for w in workloads if w.name in records.rows and w.group != LIBRARY][::-1]
    options = {"svg.hashsalt": "namedlayers", "svg.fonttype": "none", "font.size": 9}
    with matplotlib.rc_context(options):
        figure, axes = pyplot.subplots(figsize=(9, 1.4 + ROW * len(rows)), layout="constrained")
        for layer, (side, (label, colour, marker, size)) in enumerate(SIDES.items()):
            places = []
            for height, (workload, row) in enumerate(rows):
                of = measure if by_hand(workload, row, measure) else "forward"
                if side == "by hand":
                    compiled, base = by_hand_compiled(workload, row, of), by_hand(workload, row, of)
                    found = compiled / base if compiled and base else None
                else:
                    found = ratio(workload, row, side, of)
                if found is not None:
                    places.append((found, height))
            axes.scatter(
                [x for x, _ in places],
                [y for _, y in places],
                s=size,
                c=colour,
                marker=marker,
                label=label,
                zorder=3 + layer,
                linewidths=0,
            )
        axes.axvline(1, color="black", linewidth=1, zorder=2)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_yticks(range(len(rows)), [workload.name for workload, _ in rows])
        axes.set_ylim(-0.7, len(rows) - 0.3)
        axes.grid(axis="both", color="#e6e6e6", linewidth=0.6, zorder=0)
        axes.set_axisbelow(True)
        axes.set_xlabel("time over that of the best form by hand, forward and backward (left is faster)")
        axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1), ncols=3, frameon=False)
        for side_of_frame in ("top", "right", "left"):
            axes.spines[side_of_frame].set_visible(False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
