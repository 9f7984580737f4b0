"""Random formulas: compiled functions against the reference interpreter, values and gradients."""
