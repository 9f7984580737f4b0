"""Emitters: a planned operation becomes calls of torch, or of `kernels`; one module a kind of operation."""
