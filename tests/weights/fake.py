"""A module with declared parameters, without a layer behind it."""

from __future__ import annotations

import re

import torch
from torch import nn

from namedlayers.errors import Source, Span
from namedlayers.program.program import Kind
from namedlayers.program.size import SizeExpr, const, symbol
from namedlayers.program.structure import Declared, Initial


class Fake(nn.Module):
    """Made of declarations, one a line: `param block.0.W[(heads = 2, key = 3), layer = 4]`, `state seen[] int`.

    A size without a number is a symbol, which makes the parameter lazy.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        source = Source(text, "fake.nl")
        found = re.finditer(r"(param|state) (\S+?)\[(.*)\]( int)?$", text, re.M)
        self.declared = tuple(_declared(source, one) for one in found)
        for one in self.declared:
            owner: nn.Module = self
            *above, name = one.path.split(".")
            for part in above:
                if part not in dict(owner.named_children()):
                    owner.add_module(part, nn.Module())
                owner = owner.get_submodule(part)
            tensor = torch.zeros([size.evaluate({}) for size in one.sizes], dtype=_DTYPES[one.element])
            if one.kind == "state":
                owner.register_buffer(name, tensor)
            else:
                owner.register_parameter(name, nn.Parameter(tensor))


_DTYPES = {Kind.REAL: torch.float32, Kind.INT: torch.int64}


def _declared(source: Source, found: re.Match[str]) -> Declared:
    groups = re.findall(r"\(([^)]*)\)|([^,()]+)", found[3])
    dimensions = tuple(
        tuple(_axis(a) for a in (merged or single).split(","))
        for merged, single in groups
        if (merged or single).strip()
    )
    kind = "param" if found[1] == "param" else "state"
    span = Span(source, found.start(), found.end())
    return Declared(found[2], kind, dimensions, Kind.INT if found[4] else Kind.REAL, Initial("zeros", (), None), span)


def _axis(text: str) -> tuple[str, SizeExpr]:
    name, _, size = (part.strip() for part in text.partition("="))
    return name, const(int(size)) if size else symbol(name)
