"""Random layouts: what einops makes of a parameter is loaded as that parameter, and given back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import namedlayers as nl
from tests.weights.modules import zeros

AXES = ("batch", "heads", "key", "layer'")


@dataclass(frozen=True)
class Layout:
    """Axes with sizes, how they are stored, and how the other stores them; groups of axes are merged."""

    sizes: dict[str, int]
    stored: tuple[tuple[str, ...], ...]
    foreign: tuple[tuple[str, ...], ...]

    @property
    def declared(self) -> str:
        groups = [", ".join(f"{axis} = {self.sizes[axis]}" for axis in group) for group in self.stored]
        return f"layer L(X):\n    param W[{', '.join(f'({group})' for group in groups)}] ~ zeros\n    return X\n"

    @property
    def target(self) -> str:
        return f"W[{', '.join(' '.join(group) or '1' for group in self.foreign)}]"

    @property
    def pattern(self) -> str:
        sides = (" ".join(f"({' '.join(group)})" for group in one) for one in (self.stored, self.foreign))
        return " -> ".join(sides).replace("'", "_prime")

    @property
    def known(self) -> dict[str, int]:
        return {axis.replace("'", "_prime"): size for axis, size in self.sizes.items()}


def groups(axes: list[str], empty: bool) -> st.SearchStrategy[tuple[tuple[str, ...], ...]]:
    """The axes in some order, cut into groups; `empty`: into empty ones, too."""
    cuts = st.lists(st.integers(0, len(axes)), max_size=4)

    def cut(order: list[str], at: list[int]) -> tuple[tuple[str, ...], ...]:
        places = [0, *sorted(at), len(order)]
        pieces = [tuple(order[start:stop]) for start, stop in zip(places, places[1:], strict=False)]
        return tuple(piece for piece in pieces if piece or empty)

    return st.builds(cut, st.permutations(axes), cuts)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    axes = draw(st.lists(st.sampled_from(AXES), unique=True, max_size=4))
    sizes = {axis: draw(st.integers(1, 3)) for axis in axes}
    return Layout(sizes, draw(groups(axes, empty=False)), draw(groups(axes, empty=True)))


def filled(module: nn.Module, shape: torch.Size) -> torch.Tensor:
    return torch.arange(shape.numel(), dtype=torch.float32).reshape(shape)


@settings(max_examples=80, deadline=None)
@given(layouts())
def test_a_layout_is_what_einops_makes_of_it(layout: Layout) -> None:
    module = zeros(layout.declared)
    wanted = filled(module, module.W.shape)
    theirs = rearrange(wanted, layout.pattern, **layout.known)
    nl.load_weights(module, {"w": theirs}, f"w -> {layout.target}")
    assert torch.equal(module.W, wanted)
    assert torch.equal(nl.foreign_weights(module, f"w -> {layout.target}")["w"], theirs)


@settings(max_examples=50, deadline=None)
@given(layouts(), st.data())
def test_parts_follow_each_other_at_the_plus(layout: Layout, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(layout.foreign) - 1), "the dimension of the parts")
    before = data.draw(st.integers(0, len(layout.foreign[at])), "axes before the plus")
    head, param, end = layout.declared.splitlines()
    module = zeros("\n".join([head, *(param.replace("W", name) for name in "UVW"), end]))
    outer, inner = layout.foreign[at][:before], layout.foreign[at][before:]
    theirs = []
    for number, name in enumerate("UVW"):
        value = filled(module, module.W.shape) + 1000 * number
        # With a dimension of its own for the parts, and the axes around it apart from each other.
        pattern = (
            layout.pattern.split(" -> ")[0]
            + " -> "
            + " ".join(
                f"({' '.join(outer)}) ({' '.join(inner)})" if k == at else f"({' '.join(group)})"
                for k, group in enumerate(layout.foreign)
            ).replace("'", "_prime")
        )
        theirs.append(rearrange(value, pattern, **layout.known))
        setattr(module, f"wanted_{name}", value)
    packed = torch.cat(theirs, at + 1).flatten(at, at + 1)
    groups = [" ".join(g) or "1" for g in layout.foreign]
    groups[at] = " ".join((*outer, "+", *inner))
    mapping = "w -> " + ", ".join(f"{name}[{', '.join(groups)}]" for name in "UVW")
    nl.load_weights(module, {"w": packed}, mapping)
    assert all(torch.equal(getattr(module, name), getattr(module, f"wanted_{name}")) for name in "UVW")
    assert torch.equal(nl.foreign_weights(module, mapping)["w"], packed)


@settings(max_examples=50, deadline=None)
@given(layouts(), st.data())
def test_coordinates_of_an_axis_come_from_tensors_of_their_own(layout: Layout, data: st.DataObject) -> None:
    if not layout.sizes:
        return
    axis = data.draw(st.sampled_from(sorted(layout.sizes)))
    module = zeros(layout.declared)
    wanted = filled(module, module.W.shape)
    rest = tuple(tuple(a for a in group if a != axis) for group in layout.foreign)
    groups = [" ".join(g) or "1" for g in rest]
    pattern = layout.pattern.split(" -> ")[0] + f" -> {axis} " + " ".join(f"({' '.join(group)})" for group in rest)
    stacked = rearrange(wanted, pattern.replace("'", "_prime"), **layout.known)
    theirs = {f"part.{k + 1}": part for k, part in enumerate(stacked)}
    mapping = f"part.{{k}} -> W[{axis} = {{k - 1}}, {', '.join(groups)}]"
    nl.load_weights(module, theirs, mapping)
    assert torch.equal(module.W, wanted)
    back = nl.foreign_weights(module, mapping)
    assert back.keys() == theirs.keys() and all(torch.equal(back[key], theirs[key]) for key in back)
