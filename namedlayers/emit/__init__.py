"""Planned graph → torch.fx graph → printed Python. `build` makes what runs; one module an idea, one emitter an
operation."""
