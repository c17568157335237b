"""Memory of the device that is too small: one line, which names what needs less."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from unittest import mock

import pytest
import torch
from gpu.stand_in import stand_in
from watching import Silent, assert_same, train_one, weights

from repro import memory
from repro.counting.count import Subject
from repro.counting.demand import demand_of
from repro.errors import RunFailed, UserError, explained, is_out_of_memory
from repro.experiment import Experiment, experiment_for
from repro.paths import Folders
from repro.runtime import Runtime
from repro.training.engine.graphs import GraphedStep
from repro.training.estimate import WORKSPACE
from repro.training.machine import device_memory, processes
from repro.training.runs import memory as module
from repro.training.runs.memory import needed_bytes, too_small, warn_if_short, with_memory_choice
from repro.training.runs.train import train

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
    runtime = replace(CPU, graph=True, together="stacked" if several else None)
    with stand_in(), mock.patch("torch.cuda.graph", FullCapture), pytest.raises(RunFailed) as failed:
        train(seeds, runtime, folders, Silent())
    names = ", ".join(each.name for each in seeds)
    ways = "--together off (one run at a time) or --save-memory" if several else "--save-memory"
    line = f"the device's memory is too small for {names}; what helps: {ways}"
    assert str(failed.value) == line


@pytest.mark.usefixtures("small_digits")
def test_another_error_during_a_capture_stays_an_error(tiny: Make, folders: Folders) -> None:
    fails = mock.Mock(side_effect=RuntimeError("operation not permitted when stream is capturing"))
    with stand_in(), mock.patch("torch.cuda.graph", fails), pytest.raises(RuntimeError, match="not permitted"):
        train_one(tiny(), replace(CPU, graph=True), folders, Silent())


def test_what_helps_depends_on_model_and_switches() -> None:
    def line(model: str, seeds: int, on_gpu: bool, **switches: bool) -> str:
        group = [experiment_for(model, {}, seed=seed, dataset="cifar10") for seed in range(seeds)]
        return too_small(group, replace(CPU, **switches), Path("runs"), on_gpu=on_gpu).split("; ")[-1]

    assert line("resnet20", 1, False) == "what helps: a machine with more memory"
    assert line("resnet20", 1, True) == "what helps: torchrun on more GPUs (a smaller share of each batch)"
    assert "torchrun on more GPUs, without --graph and --fused (" in line("resnet20", 1, True, graph=True, fused=True)
    assert line("densenet-bc", 3, True, compile=True).startswith(
        "what helps: --together off (one run at a time), --save-memory without --compile or torchrun on more GPUs ("
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


@pytest.mark.usefixtures("small_digits")
def test_where_memory_is_short_activations_are_recomputed_with_the_same_results(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = replace(folders, runs=folders.runs / "short", results=folders.results / "short")
    watchers, records = [Silent(), Silent()], []
    for free, watcher, places in zip((2**50, 2**22), watchers, (folders, elsewhere), strict=True):
        monkeypatch.setattr(module, "free_memory_of", lambda device, free=free: free)
        records.append(train_one(tiny(epochs=1), CPU, places, watcher))
    assert [each.runtime["save_memory"] for each in records] == [False, True]
    assert_same(weights(folders, tiny(epochs=1)), weights(elsewhere, tiny(epochs=1)))
    assert not any("memory is short" in line for line in watchers[0].said)
    chosen, warning, *_ = [line for line in watchers[1].said if "memory" in line]
    size = r"[\d.]+ [MG]iB"
    assert re.fullmatch(
        rf"memory is short \(about {size} needed, 4.0 MiB free\), so activations are recomputed in the backward pass, "
        r"with the same results; --no-save-memory keeps them",
        chosen,
    )
    assert re.fullmatch(
        rf"warning: training needs about {size} of memory and 4.0 MiB are free, so it may fail; "
        r"what helps: a machine with more memory",
        warning,
    )


@pytest.mark.usefixtures("small_digits")
def test_the_user_overrides_the_choice(tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "free_memory_of", lambda device: 2**22)
    watcher = Silent()
    record = train_one(tiny(epochs=1), replace(CPU, save_memory=False), folders, watcher)
    assert record.runtime["save_memory"] is False
    (line,) = [line for line in watcher.said if "memory" in line]
    assert line.endswith("so it may fail; what helps: --save-memory")


@pytest.mark.parametrize("order", [1, -1])
def test_the_network_that_needs_most_decides(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "free_memory_of", lambda device: 2**30)
    sizes = ({"depth": 7, "k": 4}, {"depth": 40, "k": 24})
    made = [experiment_for("densenet", each, seed=0, dataset="cifar10") for each in sizes][::order]
    assert with_memory_choice(made, CPU, torch.device("cpu"), Silent()).save_memory


def test_the_process_with_the_least_free_memory_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_memory, "free_host_memory", lambda: 2**50)
    monkeypatch.setattr(processes, "greatest", lambda value, device: max(value, -(2**22)))
    experiment = experiment_for("densenet", {"depth": 7, "k": 4}, seed=0, dataset="digits")
    assert with_memory_choice([experiment], CPU, torch.device("cpu"), Silent()).save_memory


def test_seeds_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = mock.Mock(return_value=1)
    monkeypatch.setattr(module, "needed_bytes", measured)
    monkeypatch.setattr(module, "free_memory_of", lambda device: 2**30)
    seeds = [experiment_for("densenet", {"depth": 7, "k": 4}, seed=seed, dataset="digits") for seed in range(3)]
    with_memory_choice(seeds, CPU, torch.device("cpu"), Silent())
    assert measured.call_count == 1


def test_runs_at_once_need_their_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    device, pair = torch.device("cpu"), [experiment_for("resnet20", {}, seed=seed) for seed in range(2)]
    each = needed_bytes(pair[0], CPU, device)
    monkeypatch.setattr(module, "free_memory_of", lambda device: round(1.5 * each))
    alone, both = Silent(), Silent()
    warn_if_short(pair[:1], CPU, device, alone)
    warn_if_short(pair, CPU, device, both)
    assert (len(alone.said), len(both.said)) == (0, 1)


def test_what_helps_a_network_from_outside(tmp_path: Path) -> None:
    file = tmp_path / "nets.py"
    file.write_text(
        "from torch import nn\ndef net(classes): return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))"
    )
    group = [experiment_for(f"{file}:net", {}, seed=0, dataset="digits", recipe_name="digits")]
    assert too_small(group, CPU, tmp_path, on_gpu=False).endswith("what helps: a machine with more memory")


def test_the_memory_of_a_run_depends_on_how_it_is_trained() -> None:
    densenet = experiment_for("densenet", {"depth": 22, "k": 12}, seed=0, dataset="cifar10")

    def needed(device: str, **switches: object) -> int:
        return needed_bytes(densenet, replace(CPU, **switches), torch.device(device))  # type: ignore[arg-type]

    plain = needed("cpu")
    assert needed("cpu", save_memory=True) < 0.5 * plain
    assert needed("cpu", precision="bf16") == pytest.approx(plain / 2, rel=0.05)
    alone, shared = (needed("cuda", processes=processes) - WORKSPACE for processes in (1, 4))
    assert shared == pytest.approx(alone / 4, rel=0.05)
    assert needed("cpu", processes=4) == plain


def test_free_memory_is_the_least_of_the_machine_and_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.free_host_memory() is None
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable: 500 kB\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_host_memory() == 500 * 1024
    for name, content in (("max", "9000\n"), ("current", "7000\n"), ("stat", "anon 1\ninactive_file 3000\n")):
        (tmp_path / f"memory.{name}").write_text(content)
    assert memory.free_host_memory() == 5000


def test_a_network_that_does_not_accept_the_images_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"densenet does not accept an input of 3x2x2 \(CxHxW\): "):
        demand_of(Subject("densenet", {"depth": 40, "k": 12}, (3, 2, 2), 10))
