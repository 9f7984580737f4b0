"""All rules, in the order in which they run.

Each phase runs until nothing changes; a later phase may rely on what an earlier one recognised, and on knowing which
nodes are still needed. `RECOGNISING` finds what each part is, `SUMMING` the sums of exponentials that no softmax has
taken in, `ATTENDING` what stands on softmax and contraction, `MERGING` joins what contractions are left, `READING`
finds those that only read, `FINISHING` adds what kernels do besides.
"""

from __future__ import annotations

from namedlayers.plan.rule import Rule
from namedlayers.plan.rules import (
    activations,
    adaptive,
    attention,
    conditions,
    contraction,
    convolution,
    differences,
    distances,
    elementwise,
    entropies,
    fourier,
    gates,
    gather,
    groups,
    harmonics,
    identity,
    interpolation,
    last_step,
    log_products,
    losses,
    nearest,
    neighbours,
    norms,
    outer_means,
    padding,
    pooling,
    products_of_differences,
    pulled,
    read_rows,
    reductions,
    regrouped,
    rotations,
    row_sums,
    sampling,
    sharing,
    shifts,
    slopes,
    softmax,
    statistics,
    sums,
    transposed,
    triangles,
    uncounted,
    weighted_losses,
)

RECOGNISING: tuple[Rule, ...] = (
    *identity.RULES,
    *conditions.RULES,
    *gather.RULES,
    *triangles.RULES,
    *distances.RULES,
    *nearest.RULES,
    *contraction.FORMING,
    *convolution.RULES,
    *transposed.RULES,
    *statistics.RULES,
    *norms.RULES,
    *groups.RULES,
    *softmax.RULES,
    *regrouped.RULES,
    *losses.RULES,
    *weighted_losses.RULES,
    *elementwise.RULES,
    *activations.RULES,
    *entropies.RULES,
    *adaptive.RULES,
    *pooling.RULES,
    *pulled.RULES,
)
ATTENDING: tuple[Rule, ...] = (
    *harmonics.RULES,
    *attention.RULES,
    *outer_means.RULES,
    *row_sums.RULES,
    *products_of_differences.RULES,
)
MERGING: tuple[Rule, ...] = (*contraction.MERGING, *sharing.RULES, *read_rows.RULES)
_SIGNS = frozenset({"double negation", "factor -1", "negations in a product", "constant factors"})
READING: tuple[Rule, ...] = (
    *sampling.RULES,
    *neighbours.RULES,
    *contraction.MERGING,
    *(rule for rule in identity.RULES if rule.name in _SIGNS),
)
FINISHING: tuple[Rule, ...] = (
    *convolution.BIASES,
    *fourier.RULES,
    *padding.RULES,
    *shifts.RULES,
    *triangles.LAST,
    *pooling.LAST,
    *uncounted.LAST,
    *softmax.LEFT_OVER,
    *losses.LAST,
    *entropies.LAST,
    *gates.RULES,
    *rotations.RULES,
    *row_sums.RULES,
    *differences.RULES,
    *reductions.RULES,
    *slopes.RULES,
)
SUMMING: tuple[Rule, ...] = (*triangles.RULES, *log_products.RULES)
PHASES: tuple[tuple[Rule, ...], ...] = (RECOGNISING, SUMMING, ATTENDING, MERGING, READING, FINISHING)

JOINING: tuple[Rule, ...] = (*interpolation.RULES, *row_sums.LAST, *sums.RULES)
"""What is left of sums at the very end joins other kernels."""

ORDERED: tuple[Rule, ...] = last_step.RULES
"""And once orders are known, the last step of a contraction."""
