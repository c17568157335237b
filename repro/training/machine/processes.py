"""Several processes that train one run together, started by torchrun. With one process none of this has an effect."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from repro.errors import UserError
from repro.torchrun import check_meeting, process_count

T = TypeVar("T")

AGREE_EVERY = 10
"""Steps between two agreements on whether to save or stop; to agree, the processes wait for their devices."""

WAIT = timedelta(hours=12)
"""Longest wait for another process: the first one may unpack ImageNet. If one dies, torchrun ends the others."""


def join(device: torch.device) -> None:
    """Connect to the other processes of this run, if there are any and they are not connected yet.

    Raises:
        UserError: the processes cannot connect.
    """
    if process_count() == 1 or dist.is_initialized():
        return
    check_meeting()
    on_gpu = device.type == "cuda"
    try:
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=WAIT, device_id=device if on_gpu else None)
    except (ValueError, dist.DistError) as error:
        raise UserError(
            f"WORLD_SIZE is set, but the processes cannot connect ({error}); start them with torchrun"
        ) from error
    atexit.register(dist.destroy_process_group)


def count() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def share(n: int) -> range:
    """Return the places of this process's share of n items."""
    return range(n * rank() // count(), n * (rank() + 1) // count())


def parallel(network: nn.Module) -> nn.Module:
    """Return the network; with several processes it averages its gradients over them."""
    return nn.parallel.DistributedDataParallel(network) if count() > 1 else network


def total(values: Tensor) -> Tensor:
    """Return the sum over all processes."""
    if count() == 1:
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values


def greatest(value: int, device: torch.device) -> int:
    """Return the largest value of all processes."""
    if count() == 1:
        return value
    shared = torch.tensor(value, device=device)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return int(shared)


def of_all(values: list[Tensor]) -> list[Tensor]:
    """Return the tensors of all processes in the order of their ranks."""
    if count() == 1:
        return values
    gathered: list[list[Tensor]] = [[] for _ in range(count())]
    dist.all_gather_object(gathered, values)
    return [each for values in gathered for each in values]


def of_first(value: T) -> T:
    """Return the first process's value, which can be pickled."""
    shared = [value]
    if count() > 1:
        dist.broadcast_object_list(shared, 0)
    return shared[0]


def by_first(make: Callable[[], T]) -> T:
    """Return what `make` returns in the first process, where alone it runs; all raise its UserError."""
    if count() == 1:
        return make()
    made: tuple[T, None] | tuple[None, str] | None = None
    if rank() == 0:
        try:
            made = make(), None
        except UserError as error:
            made = None, str(error)
    value, mistake = cast(tuple[T, str | None], of_first(made))
    if mistake is not None:
        raise UserError(mistake)
    return value


def as_the_first(*networks: nn.Module) -> None:
    """Give every process the BatchNorm statistics of the first one, which a run keeps; networks may be repeated."""
    if count() > 1:
        for network in dict.fromkeys(networks):  # in the same order in every process
            for buffer in network.buffers():
                dist.broadcast(buffer, 0)


@contextmanager
def first_alone() -> Iterator[None]:
    """Let the first process run a block before the others, which then find it done."""
    if rank() != 0:
        dist.barrier()
    yield
    if rank() == 0 and count() > 1:
        dist.barrier()
