"""The error codes of `namedlayers bench`."""

from __future__ import annotations

from namedlayers.codes.table import Code, told

MEASURING = told(
    Code(
        "NL0650",
        "ways of running that give different numbers",
        "`namedlayers bench` compares ways that compute the same. For the random numbers that it takes, an inner "
        "result of one way overflows.",
        "`namedlayers bench f.nl --size i=4` with `def f(X[i]) -> [i] = exp(1e4 * X) / sum[i](exp(1e4 * X))`",
        "Scale the formula, while it is timed, so that nothing overflows.",
    ),
    Code(
        "NL0651",
        "a device that is not there",
        "`--device` is a device of torch, as it is installed on this machine.",
        "`namedlayers bench f.nl --size i=4 --device cuda` where torch has no CUDA",
        "Leave it out for the CPU, or install a torch that supports the device.",
    ),
)
