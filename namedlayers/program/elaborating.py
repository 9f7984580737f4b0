"""One run of the elaborator, from what a call gives to the program, or to what a layer owns.

In: a definition, the namespace it stands in, a `Spec`. Out: a `Program` or a `Structure`. What always holds: axis
inference and the solver finish before any term is built.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

from namedlayers.errors import ArgumentError, FormulaSyntaxError, Label, Span, near_miss
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.builtins import BUILTINS
from namedlayers.program.elaboration.checking import check_definition
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.definitions import axis_parameters, declared_axes, inputs_of, options_of
from namedlayers.program.elaboration.expressions import evaluate, find_callee
from namedlayers.program.elaboration.inputs import bind_inputs, bind_options, check_clashes
from namedlayers.program.elaboration.layers import enter
from namedlayers.program.elaboration.places import axis_in_signature, head
from namedlayers.program.elaboration.results import check_results, check_stated
from namedlayers.program.elaboration.state import Source
from namedlayers.program.elaboration.statements import run
from namedlayers.program.elaboration.values import Environment, Evaluated, Static, Value
from namedlayers.program.finishing import finish_program
from namedlayers.program.namespace import Namespace
from namedlayers.program.owning import finish_structure
from namedlayers.program.program import Check, Input, Program
from namedlayers.program.size import SizeExpr, const
from namedlayers.program.solver import Dimension
from namedlayers.program.spec import TRAINING, NeedsStatic, Spec
from namedlayers.program.structure import Structure
from namedlayers.syntax import tree

Made = TypeVar("Made")


class Elaboration:
    """One run, from the inputs to the program."""

    def __init__(self, namespace: Namespace, definition: tree.Definition, spec: Spec) -> None:
        self.namespace, self.definition, self.spec = namespace, definition, spec
        self.given = dict(spec.given)
        self.ctx = Context(
            evaluate=self._evaluate, run=self._run, run_block=self._run_block, builtins=frozenset(BUILTINS),
            modes=dict(spec.modes),
        )  # fmt: skip
        self.env = Environment(namespace, definition)
        self.symbols: dict[str, SizeExpr] = {}
        self.inputs: list[Input] = []
        self.dimensions: list[Dimension] = []

    def _evaluate(self, expr: tree.Expr, env: Environment) -> Evaluated:
        self.ctx.step(expr.span)
        return evaluate(self.ctx, expr, env)

    def _run(self, body: tuple[tree.Statement, ...], env: Environment) -> Evaluated | None:
        found = run(self.ctx, body, env)
        if found is None:
            raise FormulaSyntaxError(
                "NL0218", f"`{env.definition.name}` ends without `return`", Label(head(env.definition)),
                hint="every way through the body must end in `return`",
            )  # fmt: skip
        return found

    def _run_block(self, body: tuple[tree.Statement, ...], env: Environment) -> Evaluated | None:
        return run(self.ctx, body, env)

    def program(self) -> Program:
        """The program. Raises NeedsStatic and WantsInteger, which tell what else to try, and FormulaError."""
        return self._guarded(self._program)

    def structure(self) -> Structure:
        """What the layer owns; raises as `program`."""
        return self._guarded(self._structure)

    def _guarded(self, make: Callable[[], Made]) -> Made:
        try:
            return make()
        except RecursionError:
            # How deep is too deep depends on who calls, as each level of the text is some calls of Python.
            place = Label(head(self.definition))
            raise FormulaSyntaxError("NL0602", "the formula is nested too deeply", place) from None

    def _program(self) -> Program:
        found, extras = self._elaborated()
        return finish_program(self.ctx, self.env, self.definition, self.inputs, self.dimensions, found, extras)

    def _structure(self) -> Structure:
        self._elaborated()
        return finish_structure(self.ctx, self.env, self.definition, tuple(self.inputs), self.dimensions)

    def _elaborated(self) -> tuple[Evaluated, list[str]]:
        """What the body returns, checked, and the axes over which it is lifted."""
        definition, ctx, env = self.definition, self.ctx, self.env
        check_definition(definition)
        self._reserve()
        args = self._arguments()
        ctx.calling = (definition,)
        if definition.kind == "layer":
            env.path, env.given = (), {name: const(size) for name, size in self.spec.sizes}
        bound = bind_inputs(ctx, definition, args, env, None, definition.span)
        check_stated(self.definition, self.env)
        if definition.kind == "layer":
            enter(ctx, env)
        for name, size in self.spec.sizes:
            self._fix(name, size)
        options = {name: self._static_option(name, value) for name, value in self.spec.options}
        options |= {name: value for name, value in args.items() if name in dict(self.spec.scalars)}
        env.values[TRAINING] = Static(False, definition.span)
        bind_options(ctx, definition, options, env, definition.span)
        check_clashes(ctx, bound, env, definition)
        extras = list(dict.fromkeys(axis for one in bound for axis in one.extras))
        ctx.lifted = {axis: one.value.axes[axis] for one in bound for axis in one.extras}
        found = ctx.run(definition.body, env)
        assert found is not None
        checked = check_results(ctx, definition, found, env, set(extras), None)
        return checked, extras

    def axes_behind(self, symbols: frozenset[str]) -> frozenset[str]:
        """The inputs' axes whose sizes decide these symbols."""
        normal = self.ctx.solver.normal
        return frozenset(axis for axis, size in self.symbols.items() if normal(size).symbols & symbols)

    # --- inputs -------------------------------------------------------------------------------------------------------

    def _reserve(self) -> None:
        """At the top, axes are named as the signature names them."""
        ctx, env = self.ctx, self.env
        parameters = (*self.definition.data, *self.definition.parameters)
        ctx.names |= {parameter.name for parameter in parameters}
        names = list(axis_parameters(self.definition))
        names += [node for p in inputs_of(self.definition) for node in declared_axes(p)]
        names += [node for result in self.definition.results or () for node in result.axes]
        for node in names:
            if not node.star:
                self._name_axis(node.name)
                env.axes.setdefault(node.name, node.name)
        for one in self.given.values():
            for axis in one.axes:
                self._name_axis(axis)
        for node in axis_parameters(self.definition):
            if node.star:
                env.axes[node.name] = self._star(node)

    def _name_axis(self, name: str) -> None:
        self.ctx.axes.add(name)
        self.ctx.display[name] = name

    def _star(self, star: tree.Axis) -> tuple[str, ...]:
        """The axes of a star: those of its first given input that the signature does not name otherwise."""
        settled = dict(self.spec.stars).get(star.name)
        if settled is not None:
            for axis in settled:
                self._name_axis(axis)
            return settled
        for parameter in inputs_of(self.definition):
            nodes = declared_axes(parameter)
            given = self.given.get(parameter.name)
            if given is not None and any(node.star and node.name == star.name for node in nodes):
                plain = {node.name for node in nodes if not node.star}
                return tuple(axis for axis in given.axes if axis not in plain)
        if not any(
            node.star and node.name == star.name for p in inputs_of(self.definition) for node in declared_axes(p)
        ):
            self._name_axis(star.name)  # no input has it: one axis of its own name
            return (star.name,)
        return ()

    def _arguments(self) -> dict[str, Evaluated]:
        ctx = self.ctx
        args: dict[str, Evaluated] = {}
        for parameter in inputs_of(self.definition):
            given = self.given.get(parameter.name)
            if given is None:
                continue
            axes = {}
            places = _places(parameter, given.axes)
            for k, axis in enumerate(given.axes):
                size = self.symbols.get(axis)
                label = Label(places[k], f"axis `{axis}` of `{parameter.name}`")
                if size is None:
                    size = self.symbols[axis] = ctx.solver.fresh(axis, label, given=True)
                axes[axis] = size
                self.dimensions.append(Dimension(parameter.name, k, axis, size, label))
            args[parameter.name] = Value(v.leaf(parameter.name, axes), axes, given.kind, parameter.span)
            role: Literal["data", "parameter"] = "data" if parameter in self.definition.data else "parameter"
            ctx.sources[parameter.name] = Source(axes, given.kind, role)
            declared = len(declared_axes(parameter))
            lifted = 0 if any(node.star for node in declared_axes(parameter)) else max(0, len(axes) - declared)
            self.inputs.append(
                Input(parameter.name, tuple(axes.items()), role, given.kind, parameter.span, lifted, places)
            )
        for name, kind in self.spec.scalars:
            if name == TRAINING:
                raise NeedsStatic(frozenset({TRAINING}))
            parameter = next(option for option in options_of(self.definition) if option.name == name)
            args[name] = Value(v.leaf(name, {}), {}, kind, parameter.span)
            ctx.scalars.add(name)
            ctx.sources[name] = Source({}, kind, "option")
            self.inputs.append(Input(name, (), "option", kind, parameter.span))
        return args

    def _fix(self, axis: str, size: int) -> None:
        name = self.env.axes.get(axis, axis)
        known = self.env.sizes.get(name) if isinstance(name, str) else None
        if known is None:
            known = self.symbols.get(axis)
        if known is None:
            self.env.sizes[axis if not isinstance(name, str) else name] = const(size)
            return
        self.ctx.solver.require(
            Check(
                known,
                "==",
                const(size),
                "NL0421",
                f"axis `{axis}` has size {{left}}, not {{right}}",
                (Label(axis_in_signature(self.definition, axis), "this axis"),),
            )
        )

    def _static_option(self, name: str, value: object) -> Evaluated:
        """A static option's value; the name of a definition where the default is one."""
        parameter = next((p for p in options_of(self.definition) if p.name == name), None)
        span = self.definition.span if parameter is None else parameter.span
        default = None if parameter is None else parameter.default
        if isinstance(value, str) and isinstance(default, (tree.Name, tree.Attribute)):
            if isinstance(self.ctx.evaluate(default, self.env), v.Callee):
                callee = find_callee(value, self.env, span)
                if callee is None:
                    raise ArgumentError(
                        "NL0510", f"`{name}` is a definition, and there is none called {value!r}", Label(span),
                        hint=near_miss(value, self.namespace.names()),
                    )  # fmt: skip
                return callee
        return Static(value, span)


def _places(parameter: tree.Parameter, axes: tuple[str, ...]) -> tuple[Span, ...]:
    """Where the signature names each of an input's axes; the whole input, where it does not."""
    named = {node.name: node.span for node in declared_axes(parameter)}
    return tuple(named.get(axis, parameter.span) for axis in axes)
