"""The way from a definition to its program: names, axes and sizes are resolved, sizes solved, and then terms built.

In: a definition, the namespace it stands in, and a `Spec` of what the call gives. Out: a `Program`. What always holds:
axis inference and the solver finish before any term is built; the same arguments give the same program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal, TypeVar

from namedlayers.errors import ArgumentError, AxisError, FormulaSyntaxError, Label, Span, near_miss
from namedlayers.program import terms
from namedlayers.program.elaboration import values as v
from namedlayers.program.elaboration.builtins import BUILTINS
from namedlayers.program.elaboration.context import Context
from namedlayers.program.elaboration.definitions import (
    axis_parameters,
    declared_axes,
    inputs_of,
    options_of,
)
from namedlayers.program.elaboration.expressions import evaluate, find_callee
from namedlayers.program.elaboration.inputs import bind_inputs, bind_options, check_clashes
from namedlayers.program.elaboration.layers import enter, sized_names
from namedlayers.program.elaboration.places import axis_in_signature, head
from namedlayers.program.elaboration.reading import WantsInteger
from namedlayers.program.elaboration.results import check_results, signature_axes
from namedlayers.program.elaboration.stars import mentioned
from namedlayers.program.elaboration.state import Source
from namedlayers.program.elaboration.statements import run
from namedlayers.program.elaboration.values import DraftStatement, Environment, Evaluated, Several, Static, Value
from namedlayers.program.namespace import Namespace
from namedlayers.program.owning import finish_structure, state_output
from namedlayers.program.program import Check, Input, Kind, Output, Program, Statement
from namedlayers.program.size import SizeExpr, const, symbol
from namedlayers.program.solver import Dimension, Undetermined
from namedlayers.program.spec import Given, NeedsStatic, Spec
from namedlayers.program.structure import Structure
from namedlayers.syntax import tree


def elaborate(namespace: Namespace, definition: tree.Definition, spec: Spec) -> Program:
    """The program of a definition for what a call gives; of a layer, with what it owns as the last inputs.

    Raises FormulaError, and NeedsStatic where options or sizes must be known that the spec leaves open.
    """
    return _told(_Elaboration(namespace, definition, spec), _Elaboration.program)


def structure(namespace: Namespace, definition: tree.Definition, spec: Spec) -> Structure:
    """What a layer owns, for what a call gives, and how its sizes follow from the data alone. Raises as `elaborate`."""
    return _told(_Elaboration(namespace, definition, spec), _Elaboration.structure)


Made = TypeVar("Made")

_NOTHING = Spec()


def _told(elaboration: _Elaboration, make: Callable[[_Elaboration], Made]) -> Made:
    """What `make` makes, with errors in the words of a call."""
    definition, spec = elaboration.definition, elaboration.spec
    try:
        return make(elaboration)
    except Undetermined as error:
        axis = next((name for name in sized_names(definition) if f"`{name}`" in error.message), None)
        if definition.kind == "def" or axis is None:
            raise
        hint = f"give it when the module is made: `{definition.name}({axis}=…)`"
        raise Undetermined(error.code, error.message, *error.labels, hint=hint) from None
    except NeedsStatic as needs:
        axes = elaboration.axes_behind(needs.axes)
        if not needs.options and not axes:  # no call says it
            elaboration.ctx.solver.undetermined(symbol(min(needs.axes)), set())
        raise NeedsStatic(needs.options, axes) from None
    except WantsInteger as wanted:
        given = dict(spec.given)
        name = _not_integer(given, wanted)
        if name is None:
            raise wanted.error from None
        raise ArgumentError(
            "NL0509", f"`{name}` is used as an index, so it holds integers, but it is {_WORDS[given[name].kind]}",
            Label(_input(definition, name).span),
        ) from None  # fmt: skip


def default_spec(namespace: Namespace, definition: tree.Definition, options: tuple = ()) -> Spec:
    """What a plain call gives; see `default_program`."""
    return default_program(namespace, definition, Spec(options=options))[0]


def default_program(
    namespace: Namespace, definition: tree.Definition, settled: Spec = _NOTHING
) -> tuple[Spec, Program | None]:
    """What a plain call gives: all inputs that it must give, with exactly their axes; reals, or integers to index with.

    `settled` has the options, sizes and stars that are known before; any other star stands for one axis of its own
    name. And the program of it; None where it needs sizes that only a call knows.
    """
    return _default(namespace, definition, settled, _Elaboration.program)


def default_structure(
    namespace: Namespace, definition: tree.Definition, settled: Spec = _NOTHING
) -> tuple[Spec, Structure | None]:
    """The same for what a layer owns."""
    return _default(namespace, definition, settled, _Elaboration.structure)


def _default(
    namespace: Namespace, definition: tree.Definition, settled: Spec, make: Callable[[_Elaboration], Made]
) -> tuple[Spec, Made | None]:
    stars = dict(settled.stars)
    given = {
        parameter.name: Given(
            Kind.REAL,
            tuple(
                axis
                for node in declared_axes(parameter)
                for axis in (stars.get(node.name, (node.name,)) if node.star else (node.name,))
            ),
        )
        for parameter in inputs_of(definition)
        if parameter.default is None
    }
    fixed = dict(settled.options)
    while True:
        numbers = {
            option.name: _literal_kind(option.default)
            for option in options_of(definition)
            # A layer's options belong to its modules, and are known when one is made.
            if option.name not in fixed and option.default is not None and definition.kind == "def"
        }
        scalars = tuple((name, kind) for name, kind in numbers.items() if kind is not None)
        spec = Spec(tuple(given.items()), tuple(fixed.items()), scalars, settled.sizes, settled.stars)
        try:
            made = make(_Elaboration(namespace, definition, spec))
        except WantsInteger as wanted:
            name = _not_integer(given, wanted)
            if name is None:
                raise wanted.error from None
            given[name] = replace(given[name], kind=Kind.INT)
        except NeedsStatic as needs:
            if not needs.options:
                return spec, None
            for name in needs.options:
                fixed[name] = literal_default(definition, name)
        except Undetermined:
            if definition.kind == "def":
                raise
            return spec, None  # whoever makes the module gives it
        else:
            return spec, made


def literal_default(definition: tree.Definition, name: str) -> bool | int | float | str | None:
    """The default of an option where it is a literal."""
    default = next(option.default for option in options_of(definition) if option.name == name)
    return _literal(default)


def check_definition(namespace: Namespace, definition: tree.Definition) -> None:
    """Raise FormulaError for what is wrong with a definition whatever it is called with."""
    names = {parameter.name for parameter in inputs_of(definition)}
    listed = [p.name for p in (*definition.data, *definition.parameters)]
    for k, parameter in enumerate((*definition.data, *definition.parameters)):
        if parameter.name in listed[:k]:
            first = (*definition.data, *definition.parameters)[listed.index(parameter.name)]
            raise ArgumentError(
                "NL0224",
                f"`{parameter.name}` is declared twice",
                Label(parameter.span),
                Label(first.span, "first here"),
            )
    body = mentioned(definition.body) | mentioned(definition.data) | mentioned(definition.parameters)
    body |= mentioned(definition.results or ())
    seen: set[str] = set()
    for node in axis_parameters(definition):
        if node.name in seen:
            raise AxisError("NL0303", f"axis parameter `{node.name}` is named twice", Label(node.span))
        seen.add(node.name)
        if node.name not in body:
            raise AxisError(
                "NL0317", f"axis parameter `{node.name}` is never used", Label(node.span),
                hint=near_miss(node.name, body - names) or "take it away, or use it in an input or in the body",
            )  # fmt: skip


TRAINING = "training"
"""The option that every definition has without declaring it."""


def _places(parameter: tree.Parameter, axes: tuple[str, ...]) -> tuple[Span, ...]:
    """Where the signature names each of an input's axes; the whole input, where it does not."""
    named = {node.name: node.span for node in declared_axes(parameter)}
    return tuple(named.get(axis, parameter.span) for axis in axes)


_WORDS = {Kind.BOOL: "boolean", Kind.INT: "integer", Kind.REAL: "real", Kind.COMPLEX: "complex"}


def _not_integer(given: Mapping[str, Given], wanted: WantsInteger) -> str | None:
    """The first input by which the index is no integer."""
    return next((name for name in wanted.inputs if name in given and given[name].kind is not Kind.INT), None)


def _input(definition: tree.Definition, name: str) -> tree.Parameter:
    return next(p for p in inputs_of(definition) if p.name == name)


def _literal(expr: tree.Expr | None) -> bool | int | float | str | None:
    if isinstance(expr, tree.Number) and not isinstance(expr.value, complex):
        return expr.value
    if isinstance(expr, tree.String):
        return expr.value
    if isinstance(expr, tree.Name) and expr.name in ("True", "False"):
        return expr.name == "True"
    if isinstance(expr, tree.Unary) and expr.op == "-":
        inner = _literal(expr.operand)
        return -inner if isinstance(inner, (int, float)) else None
    return None


def _literal_kind(expr: tree.Expr | None) -> Kind | None:
    """The kind of a default that is a plain number, so that a call may give another number without compiling anew."""
    value = _literal(expr)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return Kind.INT if isinstance(value, int) else Kind.REAL


class _Elaboration:
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
        checked, extras = self._elaborated()
        return self._finish(checked, extras)

    def _structure(self) -> Structure:
        self._elaborated()
        return finish_structure(self.ctx, self.env, self.definition, tuple(self.inputs), self.dimensions)

    def _elaborated(self) -> tuple[Evaluated, list[str]]:
        """What the body returns, checked, and the axes over which it is lifted."""
        definition, ctx, env = self.definition, self.ctx, self.env
        check_definition(self.namespace, definition)
        self._reserve()
        args = self._arguments()
        ctx.calling = (definition,)
        if definition.kind == "layer":
            env.path, env.given = (), {name: const(size) for name, size in self.spec.sizes}
        bound = bind_inputs(ctx, definition, args, env, None, definition.span)
        self._results_axes()
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

    def _results_axes(self) -> None:
        for result in self.definition.results or ():
            for node in result.axes:
                if node.star and node.name not in self.env.axes:
                    raise AxisError("NL0302", f"`*{node.name}` is not an axis parameter", Label(node.span))

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

    # --- the program --------------------------------------------------------------------------------------------------

    def _finish(self, found: Evaluated, extras: list[str]) -> Program:
        ctx, solver = self.ctx, self.ctx.solver
        owned = self._owned()
        values = found.values if isinstance(found, Several) else (found,)
        outputs = []
        for k, one in enumerate(values):
            value = ctx.value(one, one.span)
            value = ctx.materialise(value, value.virtual)
            order = self._order(value, k, extras)
            outputs.append(Output(self._named(value), order))
        written = [one for one in ctx.owned.in_order() if ".".join(one.path) in ctx.owned.written]
        outputs += [state_output(ctx, one) for one in written]
        symbols, recipes, checks = solver.finish(self.dimensions)
        known = set(symbols)
        bodies: set[v.DraftBody] = set()
        for statement in ctx.statements.values():
            for size in (*statement.axes.values(), *v.sizes_of(statement.draft, bodies)):
                solver.undetermined(size, known)
        statements = self._build()
        return Program(
            self.definition.name,
            tuple(
                replace(one, axes=tuple((a, solver.normal(s)) for a, s in one.axes)) for one in (*self.inputs, *owned)
            ),
            statements,
            tuple(outputs),
            symbols,
            recipes,
            checks,
            self.definition.span,
            tuple(".".join(one.path) for one in written),
        )

    def _owned(self) -> list[Input]:
        """What the layer owns, as inputs whose shapes a call knows."""
        found = []
        for one in self.ctx.owned.in_order():
            path = ".".join(one.path)
            found.append(
                Input(one.input, tuple(one.stored.items()), one.kind, one.element, one.span, 0, one.places, path)
            )
            for k, ((axis, size), place) in enumerate(zip(one.stored.items(), one.places, strict=True)):
                shown = self.ctx.display.get(axis, axis)
                label = Label(place, f"axis `{shown}` of `{path}`")
                self.dimensions.append(Dimension(one.input, k, shown, size, label))
        return found

    def _named(self, value: Value) -> str:
        """The name of a result; a literal, or a value whose axes were renamed, becomes a statement."""
        ctx = self.ctx
        value = ctx.let(value, "result")
        if value.draft.form == "leaf":
            name, axes = value.draft.parts
            if name in ctx.statements:
                own = tuple(ctx.statements[name].axes)
            else:
                own = tuple(ctx.sources[name].axes)
            if own == tuple(axis for axis, _ in axes):
                return name
        name = ctx.new_name("result")
        ctx.statements[name] = DraftStatement(name, value.real_axes, value.kind, value.draft, value.span, ())
        return name

    def _order(self, value: Value, k: int, extras: list[str]) -> tuple[str, ...]:
        """Lifted axes first, then those that `->` states, or the signature's in order of first appearance."""
        lifted = [axis for axis in extras if axis in value.axes]
        results = self.definition.results
        if results is not None:
            stated = [axis for node in results[k].axes for axis in self._axes(node.name)]
        else:
            stated = list(dict.fromkeys(axis for axes in signature_axes(self.definition, self.env) for axis in axes))
        rest = [axis for axis in stated if axis in value.axes and axis not in lifted]
        return (*lifted, *rest)

    def _axes(self, name: str) -> tuple[str, ...]:
        found = self.env.axes[name]
        return found if isinstance(found, tuple) else (found,)

    def _build(self) -> tuple[Statement, ...]:
        with terms.building():
            return v.build_statements(self.ctx.statements.values(), self.ctx.solver.normal)
