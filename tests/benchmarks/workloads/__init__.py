"""All workloads, in the order of the page."""

from __future__ import annotations

from tests.benchmarks.workload import Workload
from tests.benchmarks.workloads import (
    attention,
    blocks,
    channels,
    contractions,
    convolution,
    harmonics,
    library,
    log_semiring,
    norms,
    pairwise,
    recurrences,
    rows,
    sampling,
)

WORKLOADS: tuple[Workload, ...] = (
    *attention.WORKLOADS,
    *convolution.WORKLOADS,
    *channels.WORKLOADS,
    *norms.WORKLOADS,
    *contractions.WORKLOADS,
    *log_semiring.WORKLOADS,
    *pairwise.WORKLOADS,
    *harmonics.WORKLOADS,
    *sampling.WORKLOADS,
    *rows.WORKLOADS,
    *recurrences.WORKLOADS,
    *blocks.WORKLOADS,
    library.MINILM,
    *library.WORKLOADS,
)
