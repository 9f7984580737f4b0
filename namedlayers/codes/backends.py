"""What is wrong with a back end or a precision for the device at hand."""

from __future__ import annotations

from namedlayers.codes.table import Code, told

BACKENDS = told(
    Code(
        "NL0570",
        "a CUDA graph without a CUDA device",
        '`backend="cudagraph"` records what a CUDA device does in a call, and there is none that torch could use.',
        '`nl.compile(text, backend="cudagraph")(torch.ones(3))` on a machine without one',
        "Leave `backend` out; `inductor` works on every device.",
    ),
    Code(
        "NL0571",
        "a CUDA graph of tensors that are elsewhere",
        "A recording holds the work of one CUDA device, so all tensors that a call takes must lie there.",
        '`nl.compile(text, backend="cudagraph")(torch.ones(3))`',
        'Move them: `x.to("cuda")`, `module.to("cuda")`.',
    ),
    Code(
        "NL0572",
        "a call that cannot be recorded",
        "A CUDA graph replays kernels. What waits for their results, as a size or a branch that depends on data does, "
        "cannot be part of it.",
        "a formula for which torch refuses to capture some operation",
        "Compile the formula without `cudagraph`.",
    ),
    Code(
        "NL0573",
        "a precision that products cannot have",
        "Matrix products, convolutions and attention are computed in the `precision`: `bfloat16` or `float16`.",
        '`nl.compile(text, precision="bf16")`',
        "Use one of these, or leave it out: products then have the precision of their operands.",
    ),
    Code(
        "NL0574",
        "the gradient of a recorded call that drew random numbers, too late",
        "A recording keeps what one call needs for its gradient, once. If another call of its kind comes in between, "
        "the first is run again, which would draw other random numbers.",
        '`a = f(x); b = f(y); (a + b).sum().backward()` with dropout and `backend="cudagraph"`',
        "Compute the gradient after each call, or compile the formula without `cudagraph`.",
    ),
)
