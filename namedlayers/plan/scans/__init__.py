"""Scans: what leaves the loop, what needs none, and which cells have kernels."""

from namedlayers.plan.scans.opening import Opened, open_scans

__all__ = ["Opened", "open_scans"]
