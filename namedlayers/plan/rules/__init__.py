"""All rules, in the order in which they run.

Each phase runs until nothing changes; a later phase may rely on what an earlier one recognised, and on knowing which
nodes are still needed. `RECOGNISING` finds what each part is, `SUMMING` the sums of exponentials that no softmax has
taken in, `ATTENDING` what stands on softmax and contraction, `MERGING` joins what contractions are left, `READING`
finds those that only read, `FINISHING` adds what kernels do besides.
"""

from __future__ import annotations

from namedlayers.plan.rule import Rule
from namedlayers.plan.rules.arithmetic import (
    activations,
    conditions,
    differences,
    elementwise,
    gates,
    identity,
    lerp,
    reductions,
    rotations,
    slopes,
)
from namedlayers.plan.rules.contractions import (
    contraction,
    extreme_products,
    log_products,
    outer_sums,
    products_of_differences,
    pulled,
    sharing,
)
from namedlayers.plan.rules.joining import last_step, sums
from namedlayers.plan.rules.losses import classes, entropies, weighted_losses
from namedlayers.plan.rules.normalising import attention, groups, norms, outer_means, regrouped, softmax, statistics
from namedlayers.plan.rules.places import fourier, harmonics, triangles
from namedlayers.plan.rules.reading import (
    distances,
    gather,
    grouped,
    nearest,
    neighbours,
    read_rows,
    row_sums,
    sampling,
)
from namedlayers.plan.rules.windows import (
    adaptive,
    around,
    arrangements,
    convolution,
    long,
    padding,
    pooling,
    products,
    shifts,
    sources,
    transposed,
    uncounted,
)

RECOGNISING: tuple[Rule, ...] = (
    *identity.RULES,
    *conditions.RULES,
    *gather.RULES,
    *around.RULES,
    *triangles.RULES,
    *distances.RULES,
    *nearest.RULES,
    *contraction.FORMING,
    *sources.RULES,
    *convolution.RULES,
    *transposed.RULES,
    *statistics.RULES,
    *norms.RULES,
    *groups.RULES,
    *softmax.RULES,
    *regrouped.RULES,
    *classes.RULES,
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
    *grouped.RULES,
    *row_sums.RULES,
    *products_of_differences.RULES,
    *products.RULES,
)
MERGING: tuple[Rule, ...] = (*contraction.MERGING, *products.RULES, *sharing.RULES, *read_rows.RULES)
_SIGNS = frozenset({"double negation", "factor -1", "negations in a product", "constant factors"})
READING: tuple[Rule, ...] = (
    *sampling.RULES,
    *neighbours.RULES,
    *contraction.MERGING,
    *(rule for rule in identity.RULES if rule.name in _SIGNS),
)
FINISHING: tuple[Rule, ...] = (
    *convolution.BIASES,
    *long.RULES,
    *fourier.RULES,
    *padding.RULES,
    *shifts.RULES,
    *arrangements.RULES,
    *triangles.LAST,
    *pooling.LAST,
    *uncounted.LAST,
    *softmax.LEFT_OVER,
    *classes.LAST,
    *entropies.LAST,
    *gates.RULES,
    *rotations.RULES,
    *row_sums.RULES,
    *differences.RULES,
    *reductions.RULES,
    *slopes.RULES,
)
SUMMING: tuple[Rule, ...] = (*triangles.RULES, *outer_sums.RULES, *log_products.RULES, *extreme_products.RULES)
PHASES: tuple[tuple[Rule, ...], ...] = (RECOGNISING, SUMMING, ATTENDING, MERGING, READING, FINISHING)

JOINING: tuple[Rule, ...] = (*lerp.RULES, *row_sums.LAST, *sums.RULES)
"""What is left of sums at the very end joins other kernels."""

ORDERED: tuple[Rule, ...] = last_step.RULES
"""And once orders are known, the last step of a contraction."""
