"""The source of a loop whose steps write into what the first one allocated.

In: a step, as its fx graph, and its `Loop`. Out: the text of a function, and the globals that it needs. What always
holds: what is the same at all steps is computed before them; a value that a later step may still need is never written
over; what cannot be written into a given tensor is allocated at each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import fx

from namedlayers.emit.expressions import GLOBALS, expression
from namedlayers.emit.loops.carried_views import carried_views
from namedlayers.emit.loops.joined_values import joined, parts_of
from namedlayers.emit.loops.memory import Memory, at_once, over
from namedlayers.emit.loops.rewritten_steps import for_writing, writer, written
from namedlayers.emit.loops.roles import Roles, roles
from namedlayers.emit.loops.rooms import alike, begun, rest, steady
from namedlayers.emit.loops.seen_sequences import Seen, seen, seen_of_all
from namedlayers.emit.loops.step_values import FINE, RELIES, given_precision, of_one_fine_precision, of_one_precision
from namedlayers.emit.loops.writers import SYMMETRIC, turned
from namedlayers.emit.names import Names
from namedlayers.emit.printer import note

if TYPE_CHECKING:
    from namedlayers.emit.bodies import BodyFunction
    from namedlayers.emit.loops.scanning import Loop


def source(
    name: str, step: BodyFunction, graph: fx.Graph, loop: Loop, owned: frozenset[int]
) -> tuple[str, dict[str, Any]]:  # fmt: skip
    """The text of the function, and the globals that it needs."""
    graph = for_writing(graph, loop, step.algebraic)
    further = seen(graph, loop)
    inputs = [node for node in graph.nodes if node.op == "placeholder" and "size" not in node.meta]
    entire = owned
    owned |= {inputs.index(one.made) for one in further if one.alone and inputs.index(one.of) in owned}
    loop = replace(loop, scanned=(*loop.scanned, *(True for _ in further)))
    text = Text(name, graph, roles(graph, loop, step.sizes, owned, entire), loop, further)
    code = text.printed()
    return code, {**GLOBALS, **text.globals}


class Text:
    """The lines of one function. `globals` grows by the functions that they call."""

    def __init__(self, name: str, graph: fx.Graph, roles: Roles, loop: Loop, further: Sequence[Seen]) -> None:
        self.name, self.graph, self.roles, self.loop, self.further = name, graph, roles, loop, further
        self.globals: dict[str, Any] = {
            "begun": begun, "rest": rest, "steady": steady, "alike": alike, "of_one_precision": of_one_precision,
            "of_one_fine_precision": of_one_fine_precision, "turned": turned, "parts_of": parts_of,
        }  # fmt: skip
        self.taken = frozenset(node.name for node in graph.nodes)
        self.names = names = Names({name, *self.taken, *self.globals})
        self.turned: dict[Memory, str] = {}
        self.joined = joined(roles.inner, roles.memory, roles.made)
        self.copies = {
            part: names.fresh(f"{part.name}_part")
            for one in self.joined.values() for part in one.parts if part not in one.written
        }  # fmt: skip
        self.walking: list[tuple[str, str]] = []
        self.arguments = [
            names.fresh(f"{node.name}_all") if is_ else node.name
            for node, is_ in zip(roles.inputs, loop.scanned, strict=True)
        ]
        # A sequence of which only views are needed is not gone through itself.
        self.walked = [k for k, node in enumerate(roles.inputs) if loop.scanned[k] and node.users]
        self.steps, self.each = names.fresh("steps"), names.fresh("each")
        within = {number: self.arguments[roles.inputs.index(of)] for number, of in roles.within.items()}
        self.stacks = within | {
            number: names.fresh(f"{roles.made[number].name}_all") for number in roles.stacked if number not in within
        }
        straight = set(roles.straight.values())
        self.places = {
            number: roles.made[number].name if number in straight else names.fresh(f"{roles.made[number].name}_now")
            for number in roles.stacked
        }

        self.following = self._following()
        self.views = {
            name: one for name, one in carried_views(roles, loop.carries).items()
            if self.following.keys().isdisjoint((one.taken, one.of, one.left))
        }  # fmt: skip
        self.left_out = {node for one in self.views.values() for node in (one.taken, one.left)}
        own = [node for node in roles.inner if node in roles.memory and roles.memory[node].home == "sequence"]
        self.every = [node for node in own if node.args == (roles.memory[node].known_by,) and at_once(node)]

    def printed(self) -> str:
        roles, loop = self.roles, self.loop
        carried = [node.name for node in roles.inputs[: loop.carries]]
        steps = [node for node in roles.inner if node not in roles.before]
        now = [roles.inputs[number].name for number in self.walked]
        moved = self._moved(carried)
        before = [node for node in roles.inner if node in roles.before]
        lines = self._asked()
        lines += [self._line(node) for node in before if not (node.meta.get("inline") and len(node.users) == 1)]
        names = dict(zip(roles.inputs, self.arguments, strict=True))
        for one in self.further:
            given = ", ".join(map(repr, one.args))
            lines.append(f"{names[one.made]} = {names[one.of]}.{one.target}({given})")
        lines += [f"{self.each} = {self._sequences()}", f"{', '.join(now)} = next({self.each})"] if now else []
        lines += [self._line(node) for node in steps]
        if moved:
            olds, news = (", ".join(side) for side in zip(*moved, strict=True))
            lines += [f"if not steady([{olds}], [{news}]):", "    return None"]
        if pairs := self._merged():
            ones, others = (", ".join(side) for side in zip(*pairs, strict=True))
            lines += [f"if not alike([{ones}], [{others}]):", "    return None"]
        for group in self.joined.values():
            same = ", ".join(part.name for part in (group.node, *group.parts))
            lines += [f"if not of_one_precision({same}):", "    return None"]
        for number, dim in roles.stacked.items():
            value, whole = roles.made[number].name, self.stacks[number]
            lines.append(
                f"{whole}[{-1 if loop.reverse else 0}].copy_({value})" if number in roles.within
                else f"{whole} = begun({value}, {self.steps}, {dim}, {loop.reverse})"
            )  # fmt: skip
        on = self._handed_on(moved)
        for node, memory in roles.memory.items():  # from here on they are called by what they lie in
            node.name = memory.known_by.name
        lines += [self._over_all(node) for node in self.every]
        lines += self._parts()
        turns = self._turns()
        lines += [f"{self.turned[one]} = turned({one.known_by.name})" for one in turns if one.home == "kept"]
        again = [text for node in steps if (text := self._again(node))]
        straight = set(roles.straight.values())
        again += [f"{self.places[k]}.copy_({roles.made[k].name})" for k in roles.stacked if k not in straight]
        further = self._handed_on(self._moved(carried))
        after = [f"{node.name} = {name}" for node, (name, _) in self._looked_at()]
        lines += [*on, *(self._line(node) for node in self.following), self._head(now)]
        lines += [f"    {line}" for line in [*again, *further, *after] or ["pass"]]
        lines += [f"{name} = {expression(one.left, self.globals, self.taken)}" for name, one in self.views.items()]
        lines.append(f"return {', '.join(self._result(*one) for one in loop.results)}")
        arguments = self.arguments[: len(self.arguments) - len(self.further)]
        header = f"def {self.name}({', '.join((*arguments, self.steps, *(n.name for n in roles.sizes)))}):"
        return "\n".join([header, *(f"    {line}" for line in lines), ""])

    def _moved(self, carried: Sequence[str]) -> list[tuple[str, str]]:
        """Which carried names become which."""
        becoming = [node.name for node in self.roles.made[: self.loop.carries]]
        return [(old, new) for old, new in zip(carried, becoming, strict=True) if old != new]

    def _handed_on(self, moved: Sequence[tuple[str, str]]) -> list[str]:
        """The statement that makes the next step's values of what a step has made, if there are any."""
        views = {old: (one.taken.name, one.of.name) for old, one in self.views.items()}
        pairs = [pair for old, new in moved for pair in (views.get(old, (old, new)),) if pair[0] != pair[1]]
        return [f"{', '.join(old for old, _ in pairs)} = {', '.join(new for _, new in pairs)}"] if pairs else []

    def _parts(self) -> list[str]:
        """Where the parts of what is put together lie; those of a result are another at each step."""
        lines = []
        for node, one in self.joined.items():
            number = self.roles.straight.get(node, -1)
            along = self.roles.stacked.get(number, -1)
            places = [self.copies.get(part, part.name) for part in one.parts]
            names = [self.names.fresh(f"{place}_all") for place in places] if number >= 0 else places
            whole = self.stacks[number] if number >= 0 else node.name
            given = ", ".join(part.name for part in one.parts)
            lines.append(f"{', '.join(names)} = parts_of({whole}, {one.dim}, [{given}], {along})")
            if number >= 0:
                rests = (f"rest({name}, {along}, {self.loop.reverse})" for name in names)
                self.walking += zip(places, rests, strict=True)
        return lines

    def _asked(self) -> list[str]:
        """Whether the inputs have one precision, where that is relied on."""
        names = dict(zip(self.roles.inputs, self.arguments, strict=True))
        made = {one.made for one in self.further}
        given = [names[node] for node in given_precision(self.graph) if node not in made]
        fine = any(node.meta.get(RELIES) is FINE for node in self.graph.nodes)
        relied = fine or (any(RELIES in node.meta for node in self.graph.nodes) and len(given) > 1)
        asked = of_one_fine_precision if fine else of_one_precision
        return [f"if not {asked.__name__}({', '.join(given)}):", "    return None"] if relied else []

    def _merged(self) -> list[tuple[str, str]]:
        """The values of the first step that lie in one memory at later ones."""
        pairs = [(one.known_by.name, node.name) for node, one in self.roles.memory.items() if one.known_by is not node]
        return list(dict.fromkeys(pairs))

    def _line(self, node: fx.Node) -> str:
        return f"{node.name} = {expression(node, self.globals, self.taken)}{note(node)}"

    def _again(self, node: fx.Node) -> str:
        """What a later step does for a node, if anything."""
        if node in self.roles.views or node in self.following or node in self.every or node in self.left_out:
            return ""
        if node in self.joined:
            copied = [part for part in self.joined[node].parts if part in self.copies]
            return "; ".join(f"{self.copies[part]}.copy_({part.name})" for part in copied)
        memory, how = self.roles.memory.get(node), writer(node)
        if memory is None or how is None or (memory.home == "fresh" and memory.known_by is node):
            return self._line(node)
        if over(node, self.roles.memory):
            told = {} if isinstance(how.over, str) else {"inplace": True}
            op = "call_method" if isinstance(how.over, str) else "call_function"
            return self._called(node, op, how.over, node.args, {**node.kwargs, **told})
        if memory in self.turned and node.target is F.gelu:
            at = self.turned[memory]
            options = "".join(f"{key}={value!r}, " for key, value in node.kwargs.items())
            return f"F.gelu({at}, {options}out={at}){note(node)}"
        found = written(node)
        assert found is not None
        other = found[1][1] if found[0] in SYMMETRIC and not node.kwargs else None
        if other is not None and (other in memory.nodes or other is memory.known_by):  # it is called in less time so
            return self._called(node, "call_method", how.over, found[1][::-1], {})
        return self._called(node, "call_function", *found, {**node.kwargs, "out": node})

    def _over_all(self, node: fx.Node) -> str:
        """A call that does at once, over a sequence, what all steps but the first do."""
        number = self.roles.inputs.index(self.roles.memory[node].known_by)
        at = ":-1" if self.loop.reverse else "1:"
        how = writer(node)
        assert how is not None
        return f"{self.arguments[number]}[{at}].{how.over}(){note(node)}"

    def _called(self, node: fx.Node, op: str, target: Any, args: tuple[Any, ...], options: dict[str, Any]) -> str:
        """The statement of a call that stands for a node's."""
        call = self.graph.create_node(op, target, args, options)
        text = expression(call, self.globals, self.taken)
        self.graph.erase_node(call)
        return text + note(node)

    def _sequences(self) -> str:
        """What of the sequences is seen at each step."""
        listed = [f"{self.arguments[number]}.unbind()" for number in self.walked]
        listed = [f"reversed({one})" for one in listed] if self.loop.reverse else listed
        if len(listed) > 1:
            return f"zip({', '.join(listed)})"
        return listed[0] if self.loop.reverse else f"iter({listed[0]})"

    def _head(self, now: list[str]) -> str:
        """The head of the loop over all steps but the first."""
        pairs = [(now[0] if len(now) == 1 else f"({', '.join(now)})", self.each)] if now else []
        for number, dim in self.roles.stacked.items():
            if number in self.roles.within:
                continue  # its places are the sequence's
            pairs.append((self.places[number], f"rest({self.stacks[number]}, {dim}, {self.loop.reverse})"))
        for _, (name, whole) in self._looked_at():
            pairs.append((name, f"rest({whole}, 0, {self.loop.reverse})"))
        pairs += self.walking
        for memory, name in self.turned.items():
            if memory.home == "sequence":
                whole = self.arguments[self.roles.inputs.index(memory.known_by)]
                pairs.append((name, f"rest(turned({whole}, 1), 0, {self.loop.reverse})"))
        if not pairs:
            return f"for _ in range({self.steps} - 1):"
        if len(pairs) == 1:
            return f"for {pairs[0][0].strip('()')} in {pairs[0][1]}:"
        return f"for {', '.join(at for at, _ in pairs)} in zip({', '.join(over for _, over in pairs)}):"

    def _turns(self) -> list[Memory]:
        """The memories in which a GELU is computed in place: seen turned round, it is called in less time."""
        found = []
        for node, memory in self.roles.memory.items():
            first = node.args[0] if node.args else None
            if node.target is F.gelu and first in memory.nodes and memory.home in ("kept", "sequence"):
                if memory not in self.turned:
                    self.turned[memory] = self.names.fresh(f"{memory.known_by.name}_turned")
                    found.append(memory)
        return found

    def _following(self) -> dict[fx.Node, tuple[str, str]]:
        """The views of what the step before has made and put in its place: seen of all places at once. Each with the
        name of the next one and the view of all."""
        found: dict[fx.Node, tuple[str, str]] = {}
        places = {self.roles.made[k]: self.stacks[k] for k in self.roles.straight.values() if not self.roles.stacked[k]}
        old = self.roles.inputs[: self.loop.carries]
        wholes = {one: places[new] for one, new in zip(old, self.roles.made, strict=False) if new in places}
        for node in self.roles.inner:
            of = node.args[0] if node.args else None
            text = seen_of_all(node, wholes[of], of in old) if isinstance(of, fx.Node) and of in wholes else None
            if text is not None:
                wholes[node] = text
                found[node] = self.names.fresh(f"{node.name}_next"), text
        return found

    def _looked_at(self) -> list[tuple[fx.Node, tuple[str, str]]]:
        """Those of them that are needed as such, and not for further views only."""
        return [
            (node, one)
            for node, one in self.following.items()
            if any(user not in self.following for user in node.users)
        ]

    def _result(self, number: int, dim: int) -> str:
        """All steps of a value, or the last one's: what is carried is by then called as its input."""
        if dim >= 0:
            return self.stacks[number]
        return self.roles.inputs[number].name if number < self.loop.carries else self.roles.made[number].name
