"""Text to tree: what a formula says, before anything is known about its names."""

from namedlayers.syntax.formatter import format_expr, format_module
from namedlayers.syntax.parser import parse

__all__ = ["format_expr", "format_module", "parse"]
