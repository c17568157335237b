"""The check for a GPU, run on the CPU with a stand-in for CUDA graphs: it passes, and it can fail."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import repro
from gpu.stand_in import GRAPHED, Call, Graph, Recorder, WithStandIn, stand_in
from torch import Tensor

from repro.check.correctness import FORWARD, GRADIENT, LARGE, ROUNDED, Check, checks, graph_and_eager, one_step
from repro.check.jobs import Quiet, outcome
from repro.check.results import CheckResult, FactResult, TimeResult
from repro.check.run import jobs_on, run_check, setting_of
from repro.check.setting import (
    CPU,
    GPU,
    SHORT,
    STEPS,
    difference,
    engine,
    experiments,
    forward,
    gradient,
    states,
    trained,
)
from repro.check.timing import StepTiming, facts, step_timings
from repro.check.worker import Deadline, Worker, run_jobs
from repro.recipes import RECIPES
from repro.runtime import Runtime
from repro.training.checkpoints import checkpoint
from repro.training.engine import engine as engines
from repro.training.engine.engine import Engine
from repro.training.engine.graphs import Captured, GraphedStep
from repro.training.engine.stacked import Stacked
from repro.training.runs.saver import Saver

TRAIN = Path(__file__).parent / "gpu" / "train.sh"
CHECKS = {each.name: each for each in checks(GRAPHED)}
EXACT = [name for name, each in CHECKS.items() if each.limit == 0]


@pytest.fixture(autouse=True)
def _torch_as_it_was() -> Iterator[None]:
    """Restore the global switches of torch that the checks set."""
    benchmark, filled = torch.backends.cudnn.benchmark, torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.backends.cudnn.benchmark = benchmark
    torch.utils.deterministic.fill_uninitialized_memory = filled
    torch.use_deterministic_algorithms(False)


def result_of(check: Check) -> CheckResult:
    """Run a check as a worker does, with the stand-in."""
    result, _ = outcome(WithStandIn(check), lambda: None)
    assert isinstance(result, CheckResult)
    return result


def named(part: str) -> Check:
    """Return the only check with this text in its name."""
    (name,) = (name for name in CHECKS if part in name)
    return CHECKS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_every_check_passes_with_the_stand_in(name: str) -> None:
    result = result_of(CHECKS[name])
    assert result.passed, result
    assert result.difference is not None
    assert result.difference == 0 or name not in EXACT


def test_graph_checks_and_resumed_runs_are_exact() -> None:
    assert len([name for name in EXACT if "graph" in name]) == 6
    assert named("resumed and uninterrupted: resnet20, eager").name in EXACT


@pytest.fixture
def graphed() -> Iterator[tuple[Engine, list[Graph]]]:
    """A ResNet-20 that took its steps with one graph, and the graphs that were made."""
    with stand_in() as graphs:
        started = engine("cpu", experiments(CPU.small, **SHORT), CPU.images(), graph=True)
        yield trained(started, STEPS), graphs


def test_a_step_is_captured_once_and_replayed(graphed: tuple[Engine, list[Graph]]) -> None:
    """Of nine steps three warm up, and the fifth has a smaller batch, which has its own warm-up."""
    _, graphs = graphed
    assert [each.replays for each in graphs] == [5]


def test_the_smaller_last_batch_of_an_epoch_has_its_own_graph() -> None:
    group = experiments(CPU.small, **SHORT | {"epochs": 5})
    ends = []
    with stand_in() as graphs:
        for graph in (True, False):
            ends.append(trained(engine("cpu", group, CPU.images(), graph=graph), 24))
        graphed = ends[0].take_step
    assert isinstance(graphed, GraphedStep)
    assert [each.steps[0].inputs.shape[0] for each in graphed.graphs.captured.values()] == [16, 7]
    assert [each.replays for each in graphs] == [17, 1]  # 20 full batches and 4 smaller ones, of which 3 warm up
    assert difference(*(states(each) for each in ends)) == 0


def test_a_replay_reads_inputs_and_rate_where_they_were_captured(graphed: tuple[Engine, list[Graph]]) -> None:
    ended, (graph,) = graphed
    step = ended.take_step
    assert isinstance(step, GraphedStep)
    inputs, captured = graph.read[0]
    (captured_step,) = (each.steps[0] for each in step.graphs.captured.values())
    assert inputs is captured_step.inputs
    assert inputs.shape == captured.shape == (16, 3, CPU.side, CPU.side)
    batches = list(ended.task.batches(ended.experiments[0].seed, 1, 0))
    assert torch.equal(inputs, batches[3].inputs)  # of the ninth step, the fourth of the second epoch
    assert not torch.equal(inputs, captured)
    ((rate, first),) = rates(graph)
    assert rate is step.lr
    assert float(rate) == pytest.approx(ended.lr)
    assert float(first) != pytest.approx(ended.lr)


def test_counters_and_sums_count_replays_and_not_the_capture(graphed: tuple[Engine, list[Graph]]) -> None:
    ended, _ = graphed
    counters = [each for name, each in ended.networks.state_dict().items() if "num_batches" in name]
    assert counters
    assert all(int(each) == STEPS for each in counters)
    _, wrong = ended.sums[0].tolist()
    assert 0 < wrong <= 4 * 16
    assert wrong == int(wrong)


def rates(graph: Graph) -> list[tuple[Tensor, Tensor]]:
    """Return the scalar floats that a graph read: only the learning rate."""
    return [each for each in graph.read if each[0].dim() == 0 and each[0].is_floating_point()]


class StaleInputs(Graph):
    """Repeats the images of the capture."""

    def replay(self) -> None:
        inputs, captured = self.read[0]
        inputs.copy_(captured)
        super().replay()


class StaleRate(Graph):
    """Always uses the learning rate of the capture."""

    def replay(self) -> None:
        for rate, captured in rates(self):
            rate.copy_(captured)
        super().replay()


class Uncounted(Graph):
    """Counts no batches."""

    def replay(self) -> None:
        self.calls = [each for each in self.calls if not self.counts(each)]
        super().replay()

    @staticmethod
    def counts(call: Call) -> bool:
        return "add_" in str(call.operator) and call.args[0].dtype == torch.int64


class Twice(Graph):
    """Replays every step twice."""

    def replay(self) -> None:
        super().replay()
        super().replay()


@pytest.mark.parametrize("kind", [StaleInputs, StaleRate, Uncounted, Twice])
def test_a_wrong_replay_is_caught(kind: type[Graph]) -> None:
    with stand_in(kind):
        found = graph_and_eager(CPU, network=CPU.small)
    assert found > 0


def forget_elsewhere(optimizer: torch.optim.SGD) -> None:
    for state in optimizer.state.values():
        state["momentum_buffer"] = torch.zeros_like(state["momentum_buffer"])


def without_smaller_batches(take: Callable[..., None]) -> Callable[..., None]:
    def taken(step: GraphedStep, batches: Any, *others: Any) -> None:
        if len(batches[0].targets) == step.batch:
            take(step, batches, *others)

    return taken


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "name", "fault", "check"),
    [
        (Recorder, "undo", lambda recorder: None, "graph and eager: resnet20, momentum reset"),
        (engines, "reset_momentum", forget_elsewhere, "graph and eager: resnet20, momentum reset"),
        (GraphedStep, "__call__", without_smaller_batches(GraphedStep.__call__), "graph and eager: resnet20, momentum"),
        (engines, "load_optimizer_states", lambda *_: None, "resumed and uninterrupted: resnet20, graph"),
        (Captured, "replay", lambda captured, ready: captured.graph.replay(), "branches and alone"),
        (Stacked, "state_of", lambda stacked, seed, of=Stacked.state_of: of(stacked, 0), "together and alone"),
    ],
    ids=[
        "a capture that runs",
        "a reset elsewhere",
        "smaller batches left out",
        "momentum lost",
        "branches with old batches",
        "seeds mixed up",
    ],
)
def test_a_wrong_step_is_caught(
    place: Any, name: str, fault: Callable[..., object], check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, name, fault)
    result = result_of(named(check))
    assert not result.passed
    assert result.difference is not None, result.note
    assert result.difference > result.limit


def test_a_signal_that_saves_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained again from the last epoch, the run ends the same, but it did not resume where it stopped."""
    save = Saver.save

    def after_epochs(saver: Saver) -> None:
        if saver.engine.steps_of_epoch == 0:
            save(saver)

    monkeypatch.setattr(Saver, "save", after_epochs)
    result = result_of(named("SIGTERM"))
    assert not result.passed
    assert result.note == "RuntimeError: stopped after step 7, resumed from step 5"


@pytest.mark.parametrize(("part", "limit"), [(forward, FORWARD), (gradient, GRADIENT)])
def test_products_of_less_precision_are_caught(part: Any, limit: float) -> None:
    exact = one_step(CPU, network=CPU.deep, part=part, channels_last=False)
    assert 0 < exact < limit / 2
    assert one_step(CPU, network=CPU.deep, part=part, precision="bf16") > 5 * limit


def test_a_wrong_gradient_of_a_large_batch_is_caught() -> None:
    large: dict[str, Any] = {"network": CPU.small, "part": gradient, "batch": LARGE}
    assert 0 < one_step(CPU, channels_last=False, **large) < ROUNDED / 10
    assert one_step(CPU, precision="bf16", **large) > ROUNDED


def test_the_kernels_are_checked_on_batches_of_the_papers() -> None:
    names = [each.name for each in checks(GPU) if f"batches of {LARGE}" in each.name]
    assert [each.split(":")[0] for each in names] == ["tf32, fused", "fp64, fused"]
    assert RECIPES["resnet-cifar10"].batch == LARGE


@pytest.mark.parametrize("broken", ["momentum_buffer", "nan"])
def test_a_checkpoint_that_is_not_the_run_is_caught(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load = checkpoint.load

    def damaged(path: Path) -> checkpoint.Checkpoint:
        saved = load(path)
        if broken == "nan":
            saved.sums.fill_(torch.nan)
        for state in saved.optimizer["state"].values():
            state["momentum_buffer"].zero_()
        return saved

    monkeypatch.setattr(checkpoint, "load", damaged)
    result = result_of(named("resumed and uninterrupted: resnet20, eager"))
    assert not result.passed
    assert (result.difference is None) == (broken == "nan")


def test_a_capture_changes_nothing_and_waits_for_nothing() -> None:
    held, random = torch.ones(3), torch.get_rng_state()
    with stand_in() as graphs:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            held.add_(1)
            doubled = 2 * held
            torch.rand(2)
        assert torch.equal(held, torch.ones(3))
        assert torch.equal(torch.get_rng_state(), random)
        assert doubled.isnan().all()
        held.fill_(4)
        graph.replay()
        assert (held[0], doubled[0]) == (5, 10)
        with pytest.raises(RuntimeError, match="not permitted when stream is capturing"), torch.cuda.graph(graph):
            held.sum().item()
        assert held[0] == 5
        assert graphs == [graph]


@pytest.mark.slow
def test_variants_and_figures_are_measured() -> None:
    variants = [outcome(WithStandIn(each), lambda: None)[0] for each in step_timings(GRAPHED)]
    assert [each.name for each in variants] == [
        "resnet20, fp32",
        "resnet20, fp32, graph",
        "resnet20, fp32, graph, 2 seeds",
        "resnet20, fp32, graph, 2 branches",
    ]
    for each in variants:
        assert isinstance(each, TimeResult)
        assert each.milliseconds is not None
        assert each.per_seed == each.milliseconds / each.seeds
        assert each.steps == 300 * 50_000 / 8
        assert each.hours == pytest.approx(each.per_seed * each.steps / 1000 / 3600)
    for figure in facts(CPU)[-3:]:
        found = figure.run(lambda: None)
        assert isinstance(found, FactResult)
        assert found.value is not None
        assert found.value > 0


def test_the_jobs_of_a_gpu_are_possible() -> None:
    jobs, beside = jobs_on(GPU)
    names = [each.name for each in (*jobs, *beside)]
    assert len(set(names)) == len(names)
    assert {each.name for each in checks(GPU)} < set(names)
    variants = [each for each in (*jobs, *beside) if isinstance(each, StepTiming)]
    assert {str(each.network) for each in variants} >= {"resnet110", "denseresnet110 --N 2"}
    assert any("compile" in each.name for each in variants)
    for each in variants:
        engine("cpu", experiments(each.network), CPU.images(), channels_last=each.switches.get("channels_last", True))
        assert each.without("", 0.0).steps == 300 * 782


@dataclass(frozen=True)
class Toy:
    """A job that ends in some way."""

    name: str
    needs: float = 0.0

    def run(self, quiet: Quiet) -> FactResult:
        """Return, raise, crash or hang, as the name says."""
        if self.name == "raises":
            raise ValueError("a reason\nand more")
        if self.name == "crashes":
            os._exit(7)
        if self.name == "hangs":
            time.sleep(100)
        if self.name == "measures":
            quiet()
        return FactResult(self.name, 1.0, "", 0.0)

    def without(self, note: str, seconds: float, *, failed: bool = True) -> FactResult:
        """Return a failure."""
        return FactResult(self.name, None, "", seconds, note)


@pytest.mark.slow
def test_jobs_that_raise_or_crash_lose_only_their_own_result() -> None:
    found: dict[str, FactResult] = {}

    def report(result: Any) -> None:
        found[result.name] = result

    names = ("raises", "crashes", "returns", "later")
    jobs = [Toy(each, needs=1e9 if each == "later" else 0.0) for each in names]
    run_jobs(jobs, [Toy("measures")], Deadline(time.monotonic() + 100), report)
    notes = {
        "raises": "ValueError: a reason",
        "crashes": "the process crashed, exit status 7",
        "returns": "",
        "later": "no time left",
        "measures": "",
    }
    assert {name: each.note for name, each in found.items()} == notes
    assert [name for name, each in found.items() if each.value] == [name for name in found if not notes[name]]


def test_a_job_that_hangs_is_stopped() -> None:
    worker = Worker()
    worker.begin(Toy("hangs"))
    process = worker.process
    assert worker.result(Deadline(math.inf), 0.2).note == "stopped: it took too long, exit status -9"
    assert process is not None
    assert not process.is_alive()


def test_a_check_that_the_deadline_stops_has_not_failed() -> None:
    worker = Worker()
    worker.begin(named("SIGTERM"))
    result = worker.result(Deadline(time.monotonic()))
    assert isinstance(result, CheckResult)
    assert (result.passed, result.note) == (None, "stopped: no time left")
    assert worker.process is None


def test_a_check_on_a_cpu_is_started_with_a_few_seconds_left() -> None:
    jobs, _ = jobs_on(CPU)
    assert {each.needs for each in jobs} == {3.0}
    assert {each.needs for each in jobs_on(GPU)[0]} == {8.0, 12.0, 15.0}


def test_without_time_everything_is_reported_as_not_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    status, out, err = repro(capsys, "bench", "--check", "--device", "cpu", "--seconds", 0, "--format", "json")
    assert status == 0
    content = json.loads(out)
    assert content["failed"] == []
    assert content["not_run"] == [each.name for each in checks(CPU)]
    assert {each["passed"] for each in content["checks"]} == {None}
    assert {each["note"] for each in content["times"]} == {"no time left"}
    assert err.count("not run  ") == len(content["checks"])
    assert "checks did not run: no time left; use a longer --seconds" in err
    assert err.count("not measured") == len(content["times"]) + len(content["facts"])


def test_the_report_on_a_cpu_names_the_threads_of_the_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.delenv("OMP_NUM_THREADS")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        report = run_check(CPU, 0.0, "", lambda result: None)
    finally:
        torch.set_num_threads(threads)
    assert report.machine["device"].endswith(", 1 thread")


def test_a_cpu_has_no_graphs_to_check() -> None:
    jobs, beside = jobs_on(CPU)
    assert not beside
    assert not [each.name for each in jobs if "graph" in each.name]
    assert {each.name for each in checks(CPU)} < {each.name for each in jobs}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "the model is missing: name one, such as resnet20, or add --check to check the device"),
        (["--seconds", "9"], "--seconds and --only require --check"),
        (["resnet20", "--check"], "--check measures networks and variants of its own; give it only --device"),
        (["--check", "--graph"], "--check measures networks and variants of its own; give it only --device"),
        (["--check", "--seeds", "1"], "--check measures networks and variants of its own; give it only --device"),
        (["--check", "--data", "x"], "--check measures networks and variants of its own; give it only --device"),
        (["--check", "--window", "2"], "--check measures networks and variants of its own; give it only --device"),
        (["--check", "--only", "nothing"], "--only nothing: no check has this in its name; they are: fp64: resnet20"),
    ],
)
def test_what_bench_refuses(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = repro(capsys, "bench", "--device", "cpu", *words)
    assert status == 2
    assert err.strip().splitlines()[-1].startswith(f"error: {line}")


def test_the_check_is_of_the_device_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert setting_of(Runtime(device="cuda:1")).device == "cuda:1"
    assert setting_of(Runtime(device="cpu")) == CPU


def without_packages(folder: Path, *names: str) -> dict[str, str]:
    """Return an environment in which some packages cannot be imported."""
    for name in names:
        (folder / f"{name}.py").write_text(f"raise ImportError({name!r})\n")
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{TRAIN.parents[2]}"}


@pytest.mark.slow
def test_the_check_needs_only_what_training_needs(tmp_path: Path) -> None:
    words = ["bench", "--check", "--device", "cpu", "--seconds", "100", "--only", "SIGTERM", "--format", "json"]
    environment = without_packages(tmp_path, "fvcore", "platformdirs")
    command = [sys.executable, "-m", "repro", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "passed          0 <= 0        SIGTERM saves" in done.stderr
    assert done.stderr.splitlines()[-1] == "next: repro bench resnet20"
    (check,) = json.loads(done.stdout)["checks"]
    assert check["passed"]
    assert check["difference"] == 0
    assert check["seconds"] > 0


@pytest.mark.slow
def test_a_training_in_pieces_is_joined_again(tmp_path: Path) -> None:
    """A second call with the pieces of the first one finds the run."""
    arguments = ["densenet", "--depth", "7", "--k", "4", "--dataset", "digits", "--device", "cpu", "--epochs", "1"]

    def call(name: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHON": sys.executable, **more}
        command = ["bash", TRAIN, tmp_path / name, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    first = call("first")
    second = call("second", FROM=str(tmp_path / "first"))
    assert second.stdout == first.stdout
    assert "epoch 1/1" in first.stderr
    assert "epoch 1/1" not in second.stderr
    assert [each.name for each in (tmp_path / "second").iterdir()] == ["state.tar.aa"]


def test_a_nan_in_any_part_is_no_agreement() -> None:
    one = {name: torch.ones(2) for name in "abcdefgh"}
    for name in one:
        assert math.isnan(difference([one], [{**one, name: torch.tensor([1.0, math.nan])}]))
