"""Modules on two processes: `DistributedDataParallel` and `fully_shard` on gloo give what one process gives."""

from __future__ import annotations

import copy
import os
import socket
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import namedlayers as nl
from tests.call.layers import made


def replicated(rank: int) -> None:
    torch.manual_seed(0)
    module, _ = made("Classifier")
    alone, x = copy.deepcopy(module), torch.randn(8, 3)
    module.eval(), alone.eval()
    wrapped = DistributedDataParallel(module)
    wrapped(x[4 * rank : 4 * rank + 4]).square().mean().backward()
    alone(x).square().mean().backward()
    torch.testing.assert_close([p.grad for p in module.parameters()], [p.grad for p in alone.parameters()])
    module.train()
    wrapped(x[4 * rank : 4 * rank + 4])
    wrapped(x)  # buffers are those of the first process at the start of each call
    first = [value.clone() for value in module.buffers()]
    for value in first:
        dist.broadcast(value, 0)
    torch.testing.assert_close(list(module.buffers()), first)


def sharded(rank: int) -> None:
    torch.manual_seed(0)
    module, _ = made("FeedForward")
    alone, x = copy.deepcopy(module), torch.randn(4, 3)
    fully_shard(module)
    optimizers = [torch.optim.SGD(one.parameters(), 0.1) for one in (module, alone)]
    for _ in range(3):
        results = [one(x) for one in (module, alone)]
        torch.testing.assert_close(*results)
        for result, optimizer in zip(results, optimizers, strict=True):
            optimizer.zero_grad()
            result.square().sum().backward()
            optimizer.step()
    full = [p.full_tensor() for p in module.parameters()]  # type: ignore[attr-defined]
    torch.testing.assert_close(full, list(alone.parameters()), rtol=1e-4, atol=1e-5)


def sharded_on_meta(rank: int) -> None:
    with torch.device("meta"):
        module, _ = made("FeedForward")
    fully_shard(module)
    module.to_empty(device="cpu")
    module.reset_parameters()
    assert module(torch.randn(4, 3)).isfinite().all()


def parts_are_not_sharded(rank: int) -> None:
    with pytest.raises(nl.ArgumentError, match="NL0532"):
        fully_shard(made("FeedForward")[0].block[0].up)


WORKS: tuple[Callable[[int], None], ...] = (replicated, sharded, sharded_on_meta, parts_are_not_sharded)


def run(rank: int, port: int) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    try:
        for work in WORKS:
            work(rank)
    finally:
        dist.destroy_process_group()


def test_on_two_processes() -> None:
    """All at once, as starting processes takes longer than what they do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(run, (port,), nprocs=2)
