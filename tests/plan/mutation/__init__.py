"""Many spellings of one definition: by laws of algebra, by cutting, by other names and orders of axes, by more axes.

In: a text. Out: `Mutant`s, each a text with the laws that made it. `singles` applies each law at each place by itself,
so that a failure names its cause; `mixtures` applies several at random and rewrites all the rest. What always holds:
a mutant computes the same values from the same inputs (`writing` says how these are laid out), which the tests check.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from namedlayers.syntax import parse, tree
from tests.plan.mutation.cutting import applied, bound, cuttable, joined, reused
from tests.plan.mutation.laws import LAWS, respellings
from tests.plan.mutation.trees import NEW, Place, in_order, places, put
from tests.plan.mutation.writing import Writing, shuffled, written

__all__ = ["LAWS", "Mutant", "Writing", "mixtures", "singles"]

ONE_OF = ("identity", "real identity")

Definitions = tuple[tree.Definition, ...]


@dataclass(frozen=True)
class Mutant:
    text: str
    laws: tuple[str, ...]
    writing: Writing

    def __str__(self) -> str:
        return f"# {', '.join(self.laws) or 'renamed'}\n{self.text}"


def singles(text: str, without: Collection[str] = ()) -> Iterator[Mutant]:
    """Each law at each place where it gives something, and each cut."""
    for definitions, law in _singles(_parsed(text), without):
        if all(map(in_order, definitions)):
            yield Mutant(written(definitions, Writing()), (law,), Writing())


def mixtures(
    text: str, count: int, seed: str, without: Collection[str] = (), lifts: tuple[str, ...] = ()
) -> Iterator[Mutant]:
    """`count` mutants in which several laws were applied, one after the other, all axes renamed and put in other
    orders; in some of them an axis more stands on the inputs that one of `lifts` lists ("Q K V")."""
    main = joined(_parsed(text))
    for k in range(count):
        source = random.Random(f"{seed} {k}")
        definitions, laws = next(found for found in _mixed(main, source, without) if all(map(in_order, found[0])))
        lifted = tuple(source.choice(lifts).split()) if lifts and source.random() < 0.5 else ()
        writing = shuffled(main, source, lifted)
        yield Mutant(written(definitions, writing), laws, writing)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _parsed(text: str) -> tree.Definition:
    (definition,) = parse(text).items
    assert isinstance(definition, tree.Definition)
    return definition


def _singles(main: tree.Definition, without: Collection[str]) -> Iterator[tuple[Definitions, str]]:
    for k, place in enumerate(places(main)):
        for law in LAWS:
            if law.name not in without:
                options = respellings(place, law)
                # There are many ways to change nothing, and one is enough at each place.
                for found in options if law.name not in ONE_OF else options[k % len(options) :][:1] if options else ():
                    yield (put(main, place.path, found),), law.name
        if cuttable(place):
            yield (bound(main, place, NEW),), "statement"
            helper = applied(main, place, NEW)
            if helper is not None:
                yield helper[::-1], "definition"


def _mixed(
    main: tree.Definition, source: random.Random, without: Collection[str]
) -> Iterator[tuple[Definitions, tuple[str, ...]]]:
    while True:
        laws, changed = [], main
        if "inline" not in without and source.random() < 0.3:
            changed = _written_out(main)
            laws.append("all inlined")
        for _ in range(source.randint(1, 4)):
            step = _step(changed, source, without)
            if step is not None:
                changed = step[0]
                laws.append(step[1])
        yield _cut(changed, source), tuple(laws)


def _step(main: tree.Definition, source: random.Random, without: Collection[str]) -> tuple[tree.Definition, str] | None:
    """One law at one place and at all that are equal: every law is as likely as the others, however many places it
    has. What stands twice in a text is written alike, as by an author; by itself, a law changes one place alone."""
    found: dict[str, list[tuple[Place, tree.Expr]]] = {}
    for place in places(main):
        for law in LAWS:
            if law.name not in without:
                found.setdefault(law.name, []).extend((place, new) for new in respellings(place, law))
    names = sorted(name for name, options in found.items() if options)
    if not names:
        return None
    law = source.choice(names)
    place, new = source.choice(found[law])
    for other in reversed(list(places(main))):
        if (other.expr, other.role, other.scope) == (place.expr, place.role, place.scope):
            main = put(main, other.path, new)
    return main, law


def _written_out(main: tree.Definition) -> tree.Definition:
    """Without any definition that is one expression."""
    (inline,) = (law for law in LAWS if law.name == "inline")
    found: tuple[Place, tree.Expr] | None = None
    while True:
        found = next(((place, new) for place in places(main) for new in respellings(place, inline)), None)
        if found is None:
            return main
        main = put(main, found[0].path, found[1])


def _cut(main: tree.Definition, source: random.Random) -> Definitions:
    """Some expressions as statements, some as definitions, some names used twice."""
    helpers: list[tree.Definition] = []
    for k in range(source.randint(0, 3)):
        options = [place for place in places(main) if cuttable(place)]
        if not options:
            break
        place, new = source.choice(options), f"{NEW}{k}"
        found = applied(main, place, new) if source.random() < 0.4 else None
        if found is not None:
            main, helper = found
            helpers.append(helper)
        else:
            main = bound(main, place, new)
    return (*helpers, reused(main, source))
