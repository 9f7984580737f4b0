"""Plans: what each part of a program is, and in which order it is computed. `plan` makes one, `explain` tells it."""

from namedlayers.plan.explain import explain
from namedlayers.plan.planner import plan

__all__ = ["explain", "plan"]
