"""Program → numbers, slowly and by definition: what every fast path is checked against."""

from namedlayers.reference.interpreter import Trace, evaluate, trace

__all__ = ["Trace", "evaluate", "trace"]
