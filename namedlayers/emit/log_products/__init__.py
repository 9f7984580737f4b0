"""The matrix product of the semiring `log`: for small numbers and for any, for compilers, and as Triton kernels."""
