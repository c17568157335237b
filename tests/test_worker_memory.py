"""Worker processes take no memory that the run has freed, and run only when their variant of bench is measured."""

import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from repro.benchmark.pausing import continue_workers, workers_running
from repro.benchmark.variants import Variant, VariantKind
from repro.runtime import Runtime
from repro.training.machine.device_memory import keep_freed_memory
from repro.training.tasks.stream import stream

pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc"),
]
ONE_WORKER = Runtime(device="cpu", workers=1)


def resident_mebibytes(process: int | str = "self") -> int:
    """Return the memory that a process has in RAM, with what it shares."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096 // 2**20


class Memory(Dataset[Any]):
    """The memory of the process that reads."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.zeros(1), resident_mebibytes()


def memory_of_a_worker() -> int:
    """Return the mebibytes of a new worker."""
    (batch,) = stream(Memory(), [[0]], ONE_WORKER, torch.device("cpu"))
    return int(batch[1])


def test_workers_do_not_share_memory_that_the_run_has_freed() -> None:
    keep_freed_memory()
    before = memory_of_a_worker()
    blocks = [torch.ones(2**18) for _ in range(300)]
    held = memory_of_a_worker()
    del blocks
    assert held > before + 250
    assert memory_of_a_worker() < before + 50


class Counted(Dataset[Any]):
    """Counts in shared memory what is read."""

    def __init__(self) -> None:
        self.read = torch.zeros(1).share_memory_()

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self.read += 1
        time.sleep(0.005)
        return torch.zeros(1), index


def test_workers_run_only_while_their_variant_is_measured() -> None:
    views = Counted()
    batches = stream(views, ([index] for index in range(10_000)), ONE_WORKER, torch.device("cpu"))

    def steps() -> Iterator[int]:
        for _ in batches:
            yield 1

    variant, other = (Variant(VariantKind.INPUT, None, each) for each in (steps(), iter([1, 1])))
    with workers_running(variant):
        next(variant.steps)
    paused = float(views.read)
    with workers_running(other):
        next(other.steps)
        time.sleep(0.1)
    assert len(variant.workers) == 1
    assert not other.workers
    assert float(views.read) == paused < 20
    with workers_running(variant):
        assert sum(next(variant.steps) for _ in range(20)) == 20
    continue_workers([variant, other])
    batches.close()  # type: ignore[attr-defined]
    assert not variant.workers & {each.pid for each in multiprocessing.active_children()}
