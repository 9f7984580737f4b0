"""Calling: Python arguments, bound to a definition's inputs, become one call of a compiled program.

In: the arguments of a call. Out: results, or an error that points at the signature. What always holds: the modules are
used in this order. `named` has the tensors that carry axis names; `forms` says what an argument is, as far as programs
depend on it; `fits` and `bind` put arguments to inputs; `supply` makes the tensors that run; `owned` has what a module
supplies; `specialise` makes programs; `steps` remembers the way from a call to its program; `function` is what the user
holds of a `def`.

Of a `layer`: `settings` reads how a module is wanted; `settled` has what all modules that are made alike share,
`in_mode` their programs, `modes` the parts that are in another mode; `checkpoint` says what does not fit, `owner`
holds tensors, `module` is the torch module, `lazy` one that waits for sizes, `classes` its class; `making` builds the
tree and `initialise` fills it; `layer` is what the user holds.
"""
