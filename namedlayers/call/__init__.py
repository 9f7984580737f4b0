"""Calling: Python arguments, bound to a definition's inputs, become one call of a compiled program.

In: the arguments of a call. Out: results, or an error that points at the signature. What always holds: the modules are
used in this order. `named` has the tensors that carry axis names; `forms` says what an argument is, as far as programs
depend on it; `fits` and `bind` put arguments to inputs; `supply` makes the tensors that run; `specialise` makes
programs; `steps` remembers the way from a call to its program; `function` is what the user holds.
"""
