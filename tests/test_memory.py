"""Memory of the device that is too small: one line, which names what needs less."""

from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from unittest import mock

import pytest
import torch
from gpu.stand_in import stand_in
from watching import Silent, train_one

from repro.errors import RunFailed, explained, is_out_of_memory
from repro.experiment import Experiment, experiment_for
from repro.paths import Folders
from repro.runtime import Runtime
from repro.training.memory import too_small
from repro.training.run import train
from repro.training.step import GraphedStep

CPU = Runtime(device="cpu")
Make = Callable[..., Experiment]


class FullCapture:
    """Replaces torch.cuda.graph: the memory runs out, and the end of the capture raises an error of its own."""

    def __init__(self, graph: object, **_: object) -> None:
        """Take what torch.cuda.graph takes."""

    def __enter__(self) -> None:
        raise_full = mock.Mock(side_effect=torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
        self.patch = mock.patch.object(GraphedStep, "take", raise_full)
        self.patch.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.patch.stop()
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture\nCompile with ...")


@pytest.mark.usefixtures("small_digits")
@pytest.mark.parametrize("several", [False, True])
def test_a_full_memory_behind_the_end_of_a_capture_is_one_line(tiny: Make, folders: Folders, several: bool) -> None:
    seeds = [tiny(seed=seed, dropout=0.0) for seed in range(2 if several else 1)]
    runtime = replace(CPU, graph=True, side_by_side=several)
    with stand_in(), mock.patch("torch.cuda.graph", FullCapture), pytest.raises(RunFailed) as failed:
        train(seeds, runtime, folders, Silent())
    names = ", ".join(each.name for each in seeds)
    ways = "--one-by-one (one seed at a time) or --save-memory" if several else "--save-memory"
    line = f"the device's memory is too small for {names}; the last checkpoint is kept; what helps: {ways}"
    assert str(failed.value) == line


@pytest.mark.usefixtures("small_digits")
def test_another_error_during_a_capture_stays_an_error(tiny: Make, folders: Folders) -> None:
    fails = mock.Mock(side_effect=RuntimeError("operation not permitted when stream is capturing"))
    with stand_in(), mock.patch("torch.cuda.graph", fails), pytest.raises(RuntimeError, match="not permitted"):
        train_one(tiny(), replace(CPU, graph=True), folders, Silent())


def test_what_helps_depends_on_model_and_switches() -> None:
    def line(model: str, seeds: int, on_gpu: bool, **switches: bool) -> str:
        group = [experiment_for(model, {}, seed=seed, dataset="cifar10") for seed in range(seeds)]
        return too_small("runs", group, replace(CPU, **switches), on_gpu=on_gpu).split("; ")[-1]

    assert line("resnet20", 1, False) == "what helps: a machine with more memory"
    assert line("resnet20", 1, True) == "what helps: torchrun on more GPUs (a smaller share of each batch)"
    assert "torchrun on more GPUs, without --graph and --fused (" in line("resnet20", 1, True, graph=True, fused=True)
    assert line("densenet-bc", 3, True, compile=True).startswith(
        "what helps: --one-by-one (one seed at a time), --save-memory without --compile or torchrun on more GPUs ("
    )
    assert "--save-memory" not in line("densenet-bc", 1, True, save_memory=True)


@pytest.mark.parametrize(
    "text",
    ["CUDA error: out of memory", "DefaultCPUAllocator: can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED when ..."],
)
def test_other_words_for_a_full_memory(text: str) -> None:
    hidden = ValueError("another")
    hidden.__cause__ = RuntimeError(text)
    assert is_out_of_memory(hidden)
    line = explained(RuntimeError(text))
    assert line is not None
    assert line.startswith("out of memory")
    assert not is_out_of_memory(RuntimeError("shapes differ"))
