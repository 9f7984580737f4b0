"""Definition → statements: what each construct of the language means, found by walking the tree once.

`expressions` and `statements` go by the form of a node; `apply` puts a definition in place of its call, with
`brackets`, `inputs` and `results` for the three parts of a signature; `indexing` and `affine` are the brackets after a
value; `builtins`, `joining` and `matrices` are the operations that are not defined in the language. `context` is what
they share.
"""
