"""Calling: Python arguments, bound to a definition's inputs, become one call of a compiled program.

In: the arguments of a call. Out: results, or an error that points at the signature. What always holds: the modules are
used in this order. `named` has the tensors that carry axis names; `forms` says what an argument is, as far as programs
depend on it; `fits` and `bind` put arguments to inputs; `supply` makes the tensors that run; `owned` has what a module
supplies; `specialise` makes programs; `steps` remembers the way from a call to its program; `function` is what the user
holds of a `def`.

Of a `layer`: `settings` reads how a module is wanted; `settled` has what all modules that are made alike share, `modes`
what their parts may differ in; `module` is the torch module, `lazy` one that waits for sizes, `classes` its class;
`making` builds the tree and `initialise` fills it; `checkpoint` says what does not fit; `layer` is what the user holds.
"""
