"""Several processes that train one run together, as torchrun starts them; alone, all of this does nothing."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from repro.errors import UserError

AGREE_EVERY = 10
"""Steps between two agreements on whether to save or to stop, which have to wait for the device."""

WAIT = timedelta(hours=12)
"""For each other, since the first process may unpack ImageNet meanwhile; torchrun ends those whose fellow has died."""


def join(device: torch.device) -> None:
    """Meet the other processes of this run, if it has any and they have not met.

    Raises:
        UserError: they cannot meet.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        return
    on_gpu = device.type == "cuda"
    try:
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=WAIT, device_id=device if on_gpu else None)
    except (ValueError, dist.DistError) as error:
        raise UserError(
            f"WORLD_SIZE is set, but the processes cannot meet ({error}); start them with torchrun"
        ) from error
    atexit.register(dist.destroy_process_group)


def count() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def share(n: int) -> slice:
    """Return this process's part of n things."""
    return slice(n * rank() // count(), n * (rank() + 1) // count())


def parallel(network: nn.Module) -> nn.Module:
    """Return the network, in several processes with its gradients averaged over them."""
    return nn.parallel.DistributedDataParallel(network) if count() > 1 else network


def total(values: Tensor) -> Tensor:
    """Return the sum over all processes."""
    if count() == 1:
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values


def greatest(value: int, device: torch.device) -> int:
    """Return the greatest of all processes' values."""
    if count() == 1:
        return value
    shared = torch.tensor(value, device=device)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return int(shared)


def of_all(values: list[Tensor]) -> list[Tensor]:
    """Return the tensors of all processes, in their order."""
    if count() == 1:
        return values
    gathered: list[list[Tensor]] = [[] for _ in range(count())]
    dist.all_gather_object(gathered, values)
    return [each for values in gathered for each in values]


def as_the_first(network: nn.Module) -> None:
    """Give every process the first one's BatchNorm statistics, which are those of a run."""
    if count() > 1:
        for buffer in network.buffers():
            dist.broadcast(buffer, 0)


@contextmanager
def first_alone() -> Iterator[None]:
    """Let the first process do something before the others, who then find it done."""
    if rank() != 0:
        dist.barrier()
    yield
    if rank() == 0 and count() > 1:
        dist.barrier()
