"""Text to tree: what a formula says, before anything is known about its names."""

from namedlayers.syntax.parser import parse

__all__ = ["parse"]
