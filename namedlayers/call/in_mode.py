"""The programs of a layer in one mode: in training, in evaluation, or with some parts in the other.

In: a settled layer and what every call in this mode has. Out: specialisations. What always holds: a program that is the
same in two modes is compiled once; an option of a call changes what is computed, never what a module owns.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from namedlayers.call.specialise import Specialisation, Specialisations
from namedlayers.errors import ArgumentError, Label
from namedlayers.program.elaborate import structure
from namedlayers.program.program import Program
from namedlayers.program.spec import TRAINING, Spec

if TYPE_CHECKING:
    from namedlayers.call.settled import Settled


class InMode(Specialisations):
    """The specialisations of a layer in one mode. Programs that are equal in both modes are compiled once."""

    def __init__(self, settled: Settled, spec: Spec, compiled: dict[object, Specialisation]) -> None:
        layer = settled.layer
        super().__init__(layer.namespace, layer.definition, spec, layer.manner, settled.checkpoint)
        self._compiled = compiled
        self._of = settled

    def _program(self, spec: Spec) -> Program:
        program = super()._program(spec)
        settled = dict(self.settled.options)
        called = [name for name, _ in (*spec.options, *spec.scalars) if name not in settled]
        if called:
            self._check_called(called, spec)
        for one in program.owned:
            if one.path not in self._of.declared:
                raise ArgumentError(
                    "NL0537", f"`{one.path}` is declared in evaluation only, and a module has what it has in training",
                    Label(one.span), hint="declare it before the `if`",
                )  # fmt: skip
        return program

    def _compile(self, program: Program) -> Specialisation:
        roles = tuple((one.name, one.role, one.kind, one.path) for one in program.inputs)
        key = str(program), roles, program.writes
        found = self._compiled.get(key)
        if found is None:
            found = self._compiled[key] = super()._compile(program)
        return found

    def _check_called(self, called: list[str], spec: Spec) -> None:
        """An option that a call gives may change what is computed, not what the module owns."""
        trained = tuple((name, True if name == TRAINING else value) for name, value in spec.options)
        own = structure(self.namespace, self.definition, replace(spec, options=trained))
        if [str(one) for one in own.declared] == [str(one) for one in self._of.structure.declared]:
            return
        label = next((one.span for one in self._of.signature.options if one.name in called), self._of.signature.span)
        raise ArgumentError(
            "NL0504", f"`{called[0]}` decides what `{self.definition.name}` owns, so it is settled when that is made",
            Label(label), hint=f"`{self.definition.name}({called[0]}=…)`",
        )  # fmt: skip
