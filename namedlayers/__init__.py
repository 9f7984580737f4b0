"""Neural network layers as text formulas over named axes, compiled to PyTorch."""

# A plain literal: setup.cfg reads it without importing the package.
__version__ = "0.1.0"
