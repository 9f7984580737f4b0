"""docs/benchmarks.md, made from the figures and the prose of a template.

In: `Records` and the workloads. Out: the text of the page. What always holds: equal figures give equal text; every row
is on the page, whatever it says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from tests.benchmarks.records import Records, Row
from tests.benchmarks.sides import COMPILED, INDUCTOR, NAIVE, OURS
from tests.benchmarks.verdicts import Verdict, best, by_hand, by_hand_compiled, ratio, verdicts
from tests.benchmarks.workload import Workload
from tests.benchmarks.workloads.library import GROUP as LIBRARY

TEMPLATE = Path(__file__).with_name("template.md")
CUDA_TEMPLATE = Path(__file__).with_name("template-cuda.md")

NOT_MEASURED = "Not measured."

Rows = Sequence[tuple[Workload, Row]]


def page(records: Records, workloads: Sequence[Workload], template: str) -> str:
    """The page: in the template, `<!-- name -->` stands for what this module makes of the figures."""
    rows = [(workload, records.rows[workload.name]) for workload in workloads if workload.name in records.rows]
    compared = [(workload, row) for workload, row in rows if workload.group != LIBRARY]
    layers = [(workload, row) for workload, row in rows if workload.group == LIBRARY]
    parts = {
        "where": _where(records),
        "targets": _targets(rows),
        "times": _grouped(compared, _times),
        "memory": _memory(compared),
        "compiling": _compiling(compared),
        "others": _others(compared),
        "bounds": _bounds(compared),
        "library": _library(layers),
        "left out": _left_out(compared),
        **{name: _part(row) for name, row in records.parts.items()},
    }
    return re.sub(r"<!-- (.*?) -->", lambda found: parts.get(found[1], NOT_MEASURED), template)


# --- tables -----------------------------------------------------------------------------------------------------------


def _times(rows: Rows) -> str:
    head = ("workload", "best by hand", "formula", "by hand, compiled", "formula, inductor", "naive", "naive, compiled")
    return _table(head, [_times_row(workload, row) for workload, row in rows])


def _times_row(workload: Workload, row: Row) -> tuple[str, ...]:
    base = f"{_pair(lambda measure: by_hand(workload, row, measure), _seconds)}<br>{_fastest(workload, row)}"

    def over(found: Callable[[str], float | None]) -> str:
        return _pair(lambda measure: _quotient(found(measure), by_hand(workload, row, measure)), _ratio)

    def side(name: str) -> str:
        return _pair(lambda measure: ratio(workload, row, name, measure), _ratio)

    held_to = [one for one in verdicts(workload, row) if one.what.startswith("time")]
    ours = _marked(side(OURS), [one for one in held_to if one.side == OURS])
    inductor = _marked(side(INDUCTOR), [one for one in held_to if one.side == INDUCTOR])
    compiled = over(lambda measure: by_hand_compiled(workload, row, measure))
    return (
        f"{workload.name}<br>{_sizes(row)}",
        base,
        ours,
        compiled,
        inductor,
        side(NAIVE),
        side(f"{NAIVE}{COMPILED}"),
    )


def _memory(rows: Rows) -> str:
    found = []
    for workload, row in rows:
        base = _pair(lambda measure, w=workload, r=row: by_hand(w, r, f"{measure}_bytes"), _bytes)  # type: ignore[misc]
        sides = []
        for name in (OURS, INDUCTOR, NAIVE):
            sides.append(
                _pair(lambda measure, w=workload, r=row, n=name: ratio(w, r, n, f"{measure}_bytes"), _ratio)  # type: ignore[misc]
            )
        sides[0] = _marked(sides[0], [one for one in verdicts(workload, row) if one.what.startswith("memory")])
        found.append((workload.name, base, *sides))
    return _table(("workload", "best by hand", "formula", "formula, inductor", "naive"), found)


def _compiling(rows: Rows) -> str:
    found = []
    for workload, row in rows:
        times = [
            best(row, [OURS], "compile"),
            best(row, [INDUCTOR], "compile"),
            by_hand_compiled(workload, row, "compile"),
            best(row, [f"{NAIVE}{COMPILED}"], "compile"),
        ]
        found.append((workload.name, *("" if time is None else _seconds(time) for time in times)))
    head = ("workload", "formula, from text", "formula, inductor", "by hand, compiled", "naive, compiled")
    return _table(head, found)


def _others(rows: Rows) -> str:
    found = [
        (workload.name, name, _pair(lambda measure, w=workload, r=row, n=name: ratio(w, r, n, measure), _ratio))  # type: ignore[misc]
        for workload, row in rows
        for name in (*workload.by_hand, *workload.others)
        if name in row["sides"] and (name in workload.others or len(workload.by_hand) > 1)
    ]
    return _table(("workload", "side", "to the best by hand"), found)


def _bounds(rows: Rows) -> str:
    found = []
    for workload, row in rows:
        if bound := row.get("bound"):
            shares = [
                _share(bound["seconds"], best(row, [name], "forward")) for name in (OURS, INDUCTOR, *workload.by_hand)
            ]
            hand = max(shares[2:], key=lambda share: share or 0)
            cells = ["" if one is None else f"{one:.0%}" for one in (shares[0], shares[1], hand)]
            amounts = (f"{bound['flops'] / 1e9:.3g}", f"{bound['bytes'] / 1e6:.3g}", _seconds(bound["seconds"]))
            found.append((workload.name, *amounts, *cells))
    return _table(
        ("workload", "GFLOP", "MB moved", "bound", "formula's share", "inductor's share", "by hand's share"), found
    )


def _library(rows: Rows) -> str:
    found = []
    for workload, row in rows:
        ours = _pair(lambda measure, w=workload, r=row: ratio(w, r, OURS, measure), _ratio)  # type: ignore[misc]
        ours = _marked(ours, [one for one in verdicts(workload, row) if one.what.startswith("time")])
        base = _pair(lambda measure, w=workload, r=row: by_hand(w, r, measure), _seconds)  # type: ignore[misc]
        found.append((workload.name, base, ours))
    return _table(("layer", "torch", "formula"), found)


def _targets(rows: Rows) -> str:
    every = [one for workload, row in rows for one in verdicts(workload, row)]
    above = sorted((one for one in every if not one.met), key=_excess, reverse=True)
    if not above:
        return f"All {len(every)} targets are met."
    missed = [one for one in above if one.missed]
    told = (
        f"{len(every) - len(above)} of {len(every)} targets are met. {len(missed)} are missed (✗), and"
        f" {len(above) - len(missed)} are above by less than the noise (~: the intervals in which the medians lie with"
        f" 95 % confidence allow either).{_alike(every)} The worst first:\n"
    )
    cells = [
        (
            one.workload,
            one.side,
            one.what,
            one.against,
            f"{one.limit:g}",
            f"{one.ratio:.3g}" if one.ratio >= 10 else f"{one.ratio:.3f}",
            _mark(one),
        )
        for one in above
    ]
    return f"{told}\n{_table(('workload', 'side', 'what', 'against', 'at most', 'found', ''), cells)}"


def _alike(every: Sequence[Verdict]) -> str:
    """How many are met for there is nothing to compare, with what was measured there."""
    found = [one.ratio for one in every if one.alike]
    if not found:
        return ""
    return (
        f" {len(found)} of those that are met are since torch.compile makes the same kernels of both sides, called in"
        f" the same order: what was measured there, ratios from {min(found):.2f} to {max(found):.2f}, is noise."
    )


def _mark(verdict: Verdict) -> str:
    return "" if verdict.met else "✗" if verdict.missed else "~"


def _marked(text: str, held_to: Iterable[Verdict]) -> str:
    """Bold where a target is missed; the noise is told too."""
    marks = {_mark(one) for one in held_to}
    return f"**{text}** ✗" if "✗" in marks else f"{text} ~" if "~" in marks else text


def _left_out(rows: Rows) -> str:
    reasons: dict[str, list[str]] = {}
    for workload, row in rows:
        for side, why in row["left_out"].items():
            reasons.setdefault(why, []).append(f"{workload.name} ({side})")
    return "\n".join(f"- {why}: {'; '.join(which)}." for why, which in reasons.items())


def _where(records: Records) -> str:
    """On what was measured; where that was not the same for all rows, which ones."""
    places: dict[tuple[str, ...], list[str]] = {}
    for name, row in {**records.rows, **records.parts}.items():
        places.setdefault(tuple(row["where"].values()), []).append(name)
    ordered = sorted(places.items(), key=lambda place: -len(place[1]))
    lines = []
    for number, (place, names) in enumerate(ordered):
        of = "" if not number else f" ({', '.join(names)})"
        lines.append(f"{'; '.join(place)}{of}.")
    return "\n\n".join(lines)


def _part(row: Row) -> str:
    return _table(tuple(row["head"]), [tuple(line) for line in row["lines"]])


# --- helpers ----------------------------------------------------------------------------------------------------------


def _grouped(rows: Rows, table: Callable[[Rows], str]) -> str:
    """A table for each group, with the notes of its workloads below."""
    found = []
    for group, members in groupby(rows, key=lambda pair: pair[0].group):
        listed = list(members)
        found += [f"### {group}", table(listed)]
        notes = dict.fromkeys(workload.note for workload, _ in listed if workload.note)
        found += ["\n".join(f"- {note}" for note in notes)] if notes else []
    return "\n\n".join(found)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return NOT_MEASURED
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _pair(figure: Callable[[str], float | None], shown: Callable[[float], str]) -> str:
    """Forward / with backward."""
    found = [figure(measure) for measure in ("forward", "both")]
    return " / ".join(shown(one) for one in found if one is not None)


def _fastest(workload: Workload, row: Row) -> str:
    """The name of the form by hand that is fastest forward."""
    return min((row["sides"][name]["forward"], name) for name in workload.by_hand if name in row["sides"])[1]


def _quotient(found: float | None, base: float | None) -> float | None:
    return None if found is None or not base else found / base


def _share(bound: float, seconds: float | None) -> float | None:
    return None if not seconds else bound / seconds


def _excess(one: Verdict) -> float:
    return one.ratio / one.limit


def _ratio(found: float) -> str:
    return f"{found:.0f}" if found >= 100 else f"{found:.3g}" if found >= 10 else f"{found:.2f}"


def _sizes(row: Row) -> str:
    return ", ".join(f"{axis} {size:,}" for axis, size in row["sizes"].items())


def _seconds(seconds: float) -> str:
    """
    >>> [_seconds(one) for one in (2.5, 0.0123, 0.0000456)]
    ['2.50 s', '12.3 ms', '45.6 µs']
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds / size >= 10 else f"{seconds / size:.2f} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def _bytes(found: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if found >= size:
            return f"{found / size:.3g} {unit}"
    return f"{found:.0f} B"
