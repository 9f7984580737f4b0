"""Rules applied to a graph, bottom-up: every node is rebuilt on its operands' best forms, then replaced by its own.

In: a graph's results and a list of rules. Out: the results' best forms, in a graph that is added to, and what happened.
What always holds: a node is visited once, after its operands, however often it is used; a replacement has its root's
axes in their order; rules are tried in their order, so the outcome depends on the graph alone. Nothing is deleted:
what no result needs any more is simply not live.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from namedlayers.errors import Span
from namedlayers.plan.plan import Event
from namedlayers.plan.rule import Match, Near, Numerics, Outcome, Rule, root_key
from namedlayers.plan.view import Scope
from namedlayers.program.graph import Arg, Graph, Node

MOST_STEPS = 16
"""How often one node may be replaced in a row, should rules ever undo each other."""

MOST_PASSES = 6
"""How often a graph is gone through with the same rules; two or three times is what it takes."""


@dataclass(slots=True)
class Rewriter:
    """Rewrites graph after graph into `target`; `admit` may refuse a replacement (for the sizes that it needs)."""

    target: Graph
    admit: Callable[[Node], bool]
    events: list[Event] = field(default_factory=list)
    _seen: set[tuple[str, str, tuple[Span, ...]]] = field(default_factory=set)
    _admitted: set[int] = field(default_factory=set)

    def rewrite(self, outputs: Sequence[Arg], rules: Iterable[Rule]) -> Sequence[Arg]:
        """The best forms of `outputs` under `rules`, which are applied until nothing changes."""
        by_root: dict[str, list[Rule]] = {}
        for rule in rules:
            for root in rule.roots:
                by_root.setdefault(root, []).append(rule)
        settled: dict[int, tuple[int, ...]] = {}
        for _ in range(MOST_PASSES):
            before = outputs
            outputs = self._once_through(before, by_root, settled)
            if [a.node for a in outputs] == [a.node for a in before]:
                break
        return outputs

    def _once_through(
        self, outputs: Sequence[Arg], by_root: dict[str, list[Rule]], settled: dict[int, tuple[int, ...]]
    ) -> list[Arg]:
        """`settled`: nodes for which no rule applied, with how often their operands were used then."""
        live = live_nodes(outputs)
        if not any(root_key(node) in by_root for node in live) and all(map(self.target.has, live)):
            return list(outputs)
        old_uses = use_counts(live, outputs)
        best: dict[int, Node] = {}
        uses = _Uses()
        for node in live:
            replaced = self._rebuilt(node, best)
            needed = tuple([uses.of(arg.node) for arg in replaced.args])
            if settled.get(replaced.number) != needed:
                replaced = self._improved(replaced, by_root, uses)
                settled[replaced.number] = tuple([uses.of(arg.node) for arg in replaced.args])
            best[node.number] = replaced
            uses.add(replaced, old_uses[node.number])
            for arg in node.args:
                uses.remove(best[arg.node.number])
        return [Arg(best[arg.node.number], arg.axes) for arg in outputs]

    def _rebuilt(self, node: Node, best: dict[int, Node]) -> Node:
        if self.target.has(node) and all(best[arg.node.number] is arg.node for arg in node.args):
            return node
        return self.target.node(
            node.op,
            tuple([Arg(best[arg.node.number], arg.axes) for arg in node.args]),
            node.space,
            node.rank,
            node.kind,
            attrs=dict(node.attrs),
            weak=node.weak,
            names=node.names,
            spans=node.spans,
            rule=node.rule,
        )

    def _improved(self, node: Node, by_root: dict[str, list[Rule]], uses: _Uses) -> Node:
        """The node after as many replacements as there are."""
        for _ in range(MOST_STEPS):
            rules = by_root.get(root_key(node))
            step = self._step(node, rules, uses) if rules else None
            if step is None:
                break
            node = step
        return node

    def _step(self, node: Node, rules: Sequence[Rule], uses: _Uses) -> Node | None:
        scope = Scope(self.target, node, uses.of)
        for rule in rules:
            outcome = rule.match(scope, node)
            if isinstance(outcome, Near):
                self._note(rule, outcome.spans or node.spans, outcome.reason)
            elif isinstance(outcome, Match):
                scope.spans = merged_spans((node, *outcome.parts))
                scope.rule = rule.name
                built = rule.build(scope, node, outcome.found)
                if not _fits(built, node):
                    continue
                if not self._admissible(built.node):
                    self._note(rule, scope.spans, "its kernel needs sizes that this variant does not assume")
                    continue
                self._note(rule, scope.spans, "")
                return built.node
        return None

    def _admissible(self, node: Node) -> bool:
        """Whether all that a replacement is made of may be there."""
        new: dict[int, Node] = {}
        waiting = [node]
        while waiting:
            part = waiting.pop()
            if part.number not in self._admitted and part.number not in new:
                if not self.admit(part):
                    return False
                new[part.number] = part
                waiting += [arg.node for arg in part.args]
        self._admitted |= new.keys()
        return True

    def _note(self, rule: Rule, spans: tuple[Span, ...], near: str) -> None:
        key = (rule.name, near, spans)
        if key not in self._seen:
            self._seen.add(key)
            self.events.append(Event(rule.name, rule.numerics, spans, near))


@dataclass(slots=True)
class _Uses:
    """How many nodes and results need each node while a graph is gone through: those that have been seen by what
    became of them, the others as they were. What nothing needs any more needs nothing either."""

    counts: dict[int, int] = field(default_factory=dict)

    def of(self, node: Node) -> int:
        return self.counts.get(node.number, 1)

    def add(self, node: Node, more: int = 1) -> None:
        waiting = [(node, more)]
        while waiting:
            one, more = waiting.pop()
            before = self.counts.get(one.number, 0)
            self.counts[one.number] = before + more
            if not before:
                waiting += [(arg.node, 1) for arg in one.args]

    def remove(self, node: Node) -> None:
        waiting = [node]
        while waiting:
            one = waiting.pop()
            self.counts[one.number] -= 1
            if not self.counts[one.number]:
                waiting += [arg.node for arg in one.args]


def permitted(rules: Iterable[Rule], classes: Collection[Numerics]) -> list[Rule]:
    """The rules of these classes; conditioned ones that are of none of them stay to say where they would apply."""
    return [
        rule if rule.numerics in classes else _refused(rule)
        for rule in rules
        if rule.numerics in classes or rule.numerics == "conditioned"
    ]


def live_nodes(outputs: Iterable[Arg]) -> list[Node]:
    """The nodes that `outputs` need, in order."""
    needed: dict[int, Node] = {}
    waiting = [arg.node for arg in outputs]
    while waiting:
        node = waiting.pop()
        if node.number not in needed:
            needed[node.number] = node
            waiting += [arg.node for arg in node.args]
    return [needed[number] for number in sorted(needed)]


def use_counts(live: Iterable[Node], outputs: Iterable[Arg]) -> dict[int, int]:
    """For each live node's number how many operands and results it is."""
    counts: dict[int, int] = {}
    for node in live:
        counts.setdefault(node.number, 0)
        for arg in node.args:
            counts[arg.node.number] = counts.get(arg.node.number, 0) + 1
    for arg in outputs:
        counts[arg.node.number] = counts.get(arg.node.number, 0) + 1
    return counts


def merged_spans(nodes: Iterable[Node]) -> tuple[Span, ...]:
    """The spans of nodes, each once, without those that lie inside another."""
    spans = list(dict.fromkeys(span for node in nodes for span in node.spans))
    return tuple(s for s in spans if not any(_inside(s, other) for other in spans))


@cache
def _refused(rule: Rule) -> Rule:
    """The rule, as one that nearly applies wherever it would."""

    def match(scope: Scope, node: Node) -> Outcome:
        outcome = rule.match(scope, node)
        return Near(rule.refusal, merged_spans((node, *outcome.parts))) if isinstance(outcome, Match) else None

    return replace(rule, match=match)


def _inside(span: Span, other: Span) -> bool:
    if span is other or span.source is not other.source:
        return False
    return other.start <= span.start and span.end <= other.end and (other.start, other.end) != (span.start, span.end)


def _fits(built: Arg, node: Node) -> bool:
    """Whether the replacement has the root's axes in the root's order, and is another node."""
    return built.axes == tuple(range(node.rank)) and built.node is not node and built.node.kind == node.kind
