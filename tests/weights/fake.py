"""A module with the tensors of a layer, and no more, all zeros."""

from __future__ import annotations

import torch
from torch import nn

from namedlayers.program.elaborate import default_spec, structure
from namedlayers.program.namespace import load_text
from namedlayers.program.program import Kind


class Fake(nn.Module):
    """Made of the last layer of a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        space = load_text(text, "net.nl")
        definition = list(space.definitions.values())[-1]
        self.declared = structure(space, definition, default_spec(space, definition)).declared
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
