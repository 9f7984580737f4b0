"""Weights of other models: names and axes are translated by a mapping, nothing by guessing."""

from __future__ import annotations

from namedlayers.weights.loading import foreign_weights, load_weights
from namedlayers.weights.report import Loaded, LoadReport

__all__ = ["LoadReport", "Loaded", "foreign_weights", "load_weights"]
