"""The sizes of a call: every symbol of a program from the shapes of its inputs, or the error that says what is wrong.

In: a program and the shapes of its inputs. Out: the integer of every symbol. What always holds: when this returns,
every input has its rank and its sizes, and every check of the program holds. This is the slow and careful way, which
the reference takes always and a compiled function only once its fast checks have failed.
"""

from __future__ import annotations

from collections.abc import Mapping

from namedlayers.errors import ArgumentError, AxisError, FormulaError, Label, SizeError, Span
from namedlayers.program.program import Check, Input, Program, Recipe
from namedlayers.program.size import SizeExpr, Symbol
from namedlayers.program.solver import fill_in, filled

Shapes = Mapping[str, tuple[int, ...]]


def solve_sizes(program: Program, shapes: Shapes, known: Mapping[str, int] | None = None) -> dict[str, int]:
    """The sizes of a call, `known` ones among them. Raises ArgumentError, SizeError or AxisError, as the first thing
    that is wrong asks."""
    for given in program.inputs:
        _check_rank(given, shapes[given.name])
    _check_what_is_plain(program, shapes)
    sizes = dict(known or {})
    for recipe in program.recipes:
        sizes[recipe.symbol] = _follow(program, recipe, shapes, sizes)
    for given in program.inputs:
        for axis in range(len(given.axes)):
            _check_axis(program, given, axis, shapes, sizes)
    for check in program.checks:
        _check_condition(program, check, sizes)
    return sizes


def error_class(code: str) -> type[FormulaError]:
    """The class of a call's error, by the range of its code."""
    return _CLASSES.get(code[:4], FormulaError)


_CLASSES: dict[str, type[FormulaError]] = {"NL03": AxisError, "NL04": SizeError, "NL05": ArgumentError}


# --- the steps --------------------------------------------------------------------------------------------------------


def _check_rank(given: Input, shape: tuple[int, ...]) -> None:
    if len(shape) == len(given.axes):
        return
    axes = ", ".join(name for name, _ in given.axes)
    wanted = f"{_count(len(given.axes))} [{axes}]" if given.axes else "no axes"
    raise ArgumentError(
        "NL0581",
        f"`{given.called}` has {wanted}, but the tensor given has {_count(len(shape))}: its shape is {_tuple(shape)}",
        Label(given.span, "declared here"),
        hint="" if len(shape) < len(given.axes) else "extra axes are matched by name: see `named`",
    )


def _check_what_is_plain(program: Program, shapes: Shapes) -> None:
    """First what needs no solving: one axis in two inputs, and conditions on sizes that axes have by themselves.

    They tell best what is wrong; that a division leaves a rest, or that a solved size is another, follows from them.
    """
    plain = {r.symbol: shapes[r.input][r.axis] for r in program.recipes if r.factor == 1 and r.rest == 0}
    for given in program.inputs:
        for axis, (name, size) in enumerate(given.axes):
            origin = _origin(program, size)
            if origin is not None and name == _input(program, origin.input).axes[origin.axis][0]:
                _check_axis(program, given, axis, shapes, plain)
    for check in program.checks:
        if check.left.symbols | check.right.symbols <= plain.keys():
            _check_condition(program, check, plain)


def _follow(program: Program, recipe: Recipe, shapes: Shapes, sizes: Mapping[str, int]) -> int:
    given = _input(program, recipe.input)
    name, _ = given.axes[recipe.axis]
    found = shapes[recipe.input][recipe.axis]
    rest, factor = recipe.rest.evaluate(sizes), recipe.factor.evaluate(sizes)
    labels = (Label(_place(program, recipe), f"axis `{name}` has size {found} here"), *recipe.labels[1:])
    if factor == 0:
        raise SizeError("NL0482", f"the size {recipe.factor} that axis `{name}` is divided by is 0", *labels)
    whole, over = divmod(found - rest, factor)
    reason = _reason(program, recipe)
    if over and reason is not None:
        names = {"left": over, "right": 0, **sizes}
        places = (*fill_in(reason.labels, names), labels[0], *_sources(program, reason, sizes))
        raise error_class(reason.code)(reason.code, filled(reason.message, names), *places, hint=reason.hint)
    if over:
        minus = f" less {_valued(recipe.rest, rest)}" if rest else ""
        raise SizeError(
            "NL0481",
            f"axis `{name}` of `{given.called}` has size {found}, which{minus} is not a multiple of "
            f"{_valued(recipe.factor, factor)}",
            *labels,
        )
    if whole < 0:
        raise SizeError(
            "NL0483",
            f"axis `{name}` of `{given.called}` has size {found}, which is less than {_valued(recipe.rest, rest)}",
            *labels,
        )
    return whole


def _check_axis(program: Program, given: Input, axis: int, shapes: Shapes, sizes: Mapping[str, int]) -> None:
    name, expected = given.axes[axis]
    found, wanted = shapes[given.name][axis], _evaluate(expected, sizes, Label(given.span))
    if found == wanted:
        return
    here = Label(given.places[axis] if given.places else given.span, f"axis `{name}` has size {found} here")
    origin = _origin(program, expected)
    if origin is None:
        shown = _valued(expected, wanted)
        raise SizeError(
            "NL0484", f"axis `{name}` of `{given.called}` must have size {shown}, but has size {found}", here
        )
    of = _input(program, origin.input)
    other, (other_name, _) = of.called, of.axes[origin.axis]
    message = (
        f"axis `{name}` has size {wanted} in `{other}` and size {found} in `{given.called}`"
        if name == other_name
        else f"axis `{name}` of `{given.called}` must be as long as axis `{other_name}` of `{other}`, {wanted}, but "
        f"has size {found}"
    )
    there = Label(_place(program, origin), f"axis `{other_name}` has size {wanted} here")
    raise SizeError("NL0485", message, here, there)


def _check_condition(program: Program, check: Check, sizes: Mapping[str, int]) -> None:
    try:
        if check.holds(sizes):
            return
        left, right = check.left.evaluate(sizes), check.right.evaluate(sizes)
    except ZeroDivisionError:
        raise _division(check.labels) from None
    names = {"left": left, "right": right, **sizes}
    labels = (*fill_in(check.labels, names), *_sources(program, check, sizes))
    raise error_class(check.code)(check.code, filled(check.message, names), *labels, hint=check.hint)


# --- helpers ----------------------------------------------------------------------------------------------------------


def _input(program: Program, name: str) -> Input:
    return next(given for given in program.inputs if given.name == name)


def _place(program: Program, recipe: Recipe) -> Span:
    return recipe.labels[0].span if recipe.labels else _input(program, recipe.input).span


def _sources(program: Program, check: Check, sizes: Mapping[str, int]) -> list[Label]:
    """Where the sizes in a condition come from, one label a place, without the places that it names itself."""
    found: dict[Span, dict[str, None]] = {}
    for recipe in program.recipes:
        place = _place(program, recipe)
        concerns = recipe.symbol in (check.left.symbols | check.right.symbols) & sizes.keys()
        if concerns and place not in {one.span for one in check.labels}:
            name, _ = _input(program, recipe.input).axes[recipe.axis]
            size = recipe.factor.evaluate(sizes) * sizes[recipe.symbol] + recipe.rest.evaluate(sizes)
            found.setdefault(place, {})[f"axis `{name}` has size {size}"] = None
    return [Label(place, f"{', '.join(texts)} here") for place, texts in found.items()]


def _origin(program: Program, size: SizeExpr) -> Recipe | None:
    """The recipe that reads `size` off an axis, if it is one symbol that some axis has."""
    symbol = _only_symbol(size)
    return next((r for r in program.recipes if r.symbol == symbol and r.factor == 1 and r.rest == 0), None)


def _reason(program: Program, recipe: Recipe) -> Check | None:
    """The condition for which an axis is divided into equal parts: that nothing is left over."""
    return next(
        (
            check
            for check in program.checks
            if check.relation == "==" and recipe.symbol in check.right.symbols - check.left.symbols
        ),
        None,
    )


def _only_symbol(size: SizeExpr) -> str | None:
    match size.terms:
        case (((Symbol(name),), 1),):
            return name
    return None


def _evaluate(size: SizeExpr, sizes: Mapping[str, int], *labels: Label) -> int:
    try:
        return size.evaluate(sizes)
    except ZeroDivisionError:
        raise _division(labels) from None


def _division(labels: tuple[Label, ...]) -> SizeError:
    return SizeError("NL0482", "a size is divided by a size that is 0", *labels)


def _valued(size: SizeExpr, value: int) -> str:
    """`12`, or `|heads| * |key| = 12`."""
    return str(value) if size.value is not None else f"{size} = {value}"


def _count(axes: int) -> str:
    return "no axes" if axes == 0 else "1 axis" if axes == 1 else f"{axes} axes"


def _tuple(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
