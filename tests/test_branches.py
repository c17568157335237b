"""Runs that share a device as branches of one CUDA graph, with a stand-in for it: each has the bits of itself alone."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from unittest import mock

import msgspec
import pytest
import torch
from gpu.stand_in import stand_in
from watching import Silent, stop_at

from repro.api.selection import select
from repro.benchmark.random_images import random_data
from repro.benchmark.variants import in_memory_variants
from repro.campaign import training as command
from repro.cli.options.runtime import runtime_of
from repro.data import Images
from repro.errors import Diverged, NetworkFailed, OneRunFailed, Stopped, UserError
from repro.experiment import Experiment, experiment_for
from repro.locks import locked
from repro.paths import Folders
from repro.runtime import Log, Precision, Runtime, Together, switches_today
from repro.store.results import every_record
from repro.store.run_folders import LOCK
from repro.tables import AS_PUBLISHED
from repro.training.checkpoints import checkpoint
from repro.training.engine import graphs
from repro.training.engine.engine import Engine
from repro.training.initialise import network_of
from repro.training.progress.course import Course, SharedCourse
from repro.training.runs import saver
from repro.training.runs.grouping import chosen_sharing, groups_of
from repro.training.runs.memory import needed_bytes
from repro.training.runs.train import train

ALONE = Runtime(device="cpu", together="off")
BRANCHES = Runtime(device="cpu", together="branches", at_once=3)
TIMES = {"seconds", "started", "sessions", "runtime"}
"""What differs between two trainings of one run."""


def small(seed: int = 0, k: int = 2, **changes: object) -> Experiment:
    found = experiment_for("densenet", {"depth": 7, "k": k}, seed=seed, dataset="digits", epochs=2)
    return replace(found, recipe=replace(found.recipe, **{"dropout": 0.0, "batch": 16, **changes}))


RUNS = [small(0), small(1, k=3, epochs=3), small(2, batch=32, ema=0.9)]
"""Two networks; the second run is longer, and the third one has other batches and ends first."""


IMAGES, TESTED = 75, 20
"""An epoch has five steps, the last one of 11 images, and three steps in the third run."""


@pytest.fixture(scope="module", autouse=True)
def _random_images() -> Iterator[None]:
    """Let tasks find a few random images in place of the digits."""
    data = random_data("digits", IMAGES)
    pixels = data.train.pixels[:, :, :8, :8].contiguous()
    few = Images(pixels, data.train.labels)
    tested = Images(pixels[:TESTED], few.labels[:TESTED])
    with mock.patch("repro.training.tasks.kinds.load", return_value=replace(data, train=few, test=tested)):
        yield


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The folders of the runs, each trained alone without a graph."""
    root = tmp_path_factory.mktemp("alone")
    folders = Folders(data=root, runs=root / "runs", results=root / "results")
    for each in RUNS:
        train([each], ALONE, folders, Silent())
    return folders


def assert_same_run(experiment: Experiment, one: Folders, other: Folders) -> None:
    """Compare checkpoints, records and curves of a run bit for bit, except for times."""
    saved = [checkpoint.load(each.runs / experiment.name / checkpoint.NEWEST) for each in (one, other)]
    tensors = [
        {**each.tested, **prefixed("trained", each.network), **momenta(each), "sums": each.sums, "rng": each.rng[0]}
        for each in saved
    ]
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    curves = [[{**asdict(row), "seconds": 0} for row in each.history] for each in saved]
    assert curves[0] == curves[1]
    assert record_of(experiment, one) == record_of(experiment, other)


def record_of(experiment: Experiment, folders: Folders) -> dict[str, object]:
    (record,) = (each for each in every_record(folders.results) if each.id == experiment.id)
    return {name: value for name, value in asdict(record).items() if name not in TIMES}


def prefixed(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix} {name}": each for name, each in tensors.items()}


def momenta(saved: checkpoint.Checkpoint) -> dict[str, torch.Tensor]:
    return {f"momentum {key}": each["momentum_buffer"] for key, each in saved.optimizer["state"].items()}


def test_each_run_equals_itself_alone(alone: Folders, folders: Folders) -> None:
    watcher = Silent()
    with stand_in() as made:
        records = train(RUNS, BRANCHES, folders, watcher)
    assert [each.id for each in records] == [each.id for each in RUNS]
    for each in RUNS:
        assert_same_run(each, alone, folders)
    assert sum(each.replays for each in made) > 0
    switches = {(each.runtime["together"], each.runtime["at_once"], each.runtime["graph"]) for each in records}
    assert switches == {("branches", 3, True)}
    assert sum(line.startswith(f"{RUNS[1].name}  epoch") for line in watcher.said) == 3


def test_runs_that_were_stopped_together_resume_as_if_they_had_not(alone: Folders, folders: Folders) -> None:
    """The third run has ended by then; one is resumed alone for an epoch, so that the others are at other steps."""
    with stand_in():
        with pytest.raises(Stopped, match=r"saved at epoch 2, step 4 of 5 \(densenet-.*\), and 1 other run$"):
            train(RUNS, BRANCHES, folders, stop_at(9))
        assert len(every_record(folders.results)) == 1
        with pytest.raises(Stopped):
            train(RUNS[1:2], BRANCHES, folders, stop_at(11))
        train(RUNS, BRANCHES, folders, Silent())
    for each in RUNS:
        assert_same_run(each, alone, folders)


def test_a_run_that_shared_the_device_is_not_recorded_as_alone(folders: Folders) -> None:
    """Its wall time is in part that of several runs."""
    with stand_in():
        with pytest.raises(Stopped):
            train(RUNS[:2], BRANCHES, folders, stop_at(3))
        (record,) = train(RUNS[:1], BRANCHES, folders, Silent())
    assert (record.runtime["together"], record.runtime["at_once"]) == ("branches", 1)


class Killed(BaseException):
    """Ends the training at once, as SIGKILL does: nothing further is saved."""


@pytest.mark.slow
@pytest.mark.parametrize("kills", [(2,), (4, 1), (7, 5, 2), (1, 1, 13)])
def test_runs_that_were_killed_between_their_checkpoints_resume_as_if_they_had_not(
    alone: Folders, folders: Folders, monkeypatch: pytest.MonkeyPatch, kills: Sequence[int]
) -> None:
    """The runs are then at other steps, or one has tested an epoch and the others have not."""
    saves = 0

    def save(content: checkpoint.Checkpoint, folder: Path) -> None:
        nonlocal saves
        saves -= 1
        checkpoint.save(content, folder)
        if not saves:
            raise Killed

    monkeypatch.setattr(saver, "save", save)
    often = replace(BRANCHES, checkpoint_seconds=0.0)
    reached = set()
    with stand_in():
        for number in kills:
            saves = number
            with pytest.raises(Killed):
                train(RUNS, often, folders, Silent())
            paths = [folders.runs / each.name / checkpoint.NEWEST for each in RUNS]
            reached.add(len({checkpoint.load(each).reached if each.exists() else (0, 0) for each in paths}))
        train(RUNS, often, folders, Silent())
    assert max(reached) > 1
    for each in RUNS:
        assert_same_run(each, alone, folders)


def test_a_run_that_diverges_leaves_the_others_as_they_are(
    alone: Folders, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Engine.steps

    def with_nan(engine: Engine) -> Iterator[int]:
        for step in steps(engine):
            if engine.experiments == RUNS[:1]:
                next(engine.networks.parameters()).data.fill_(torch.nan)
            yield step

    monkeypatch.setattr(Engine, "steps", with_nan)
    watcher = Silent()
    with stand_in(), pytest.raises(Diverged, match=f"^{RUNS[0].name}: the training loss is nan in epoch 1"):
        train(RUNS, BRANCHES, folders, watcher)
    assert any(line.endswith("the other runs continue") for line in watcher.said)
    assert {each.id for each in every_record(folders.results)} == {each.id for each in RUNS[1:]}
    for each in RUNS[1:]:
        assert_same_run(each, alone, folders)


def test_a_network_that_fails_leaves_the_others_as_they_are(
    alone: Folders, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Engine.steps

    def failing(engine: Engine) -> Iterator[int]:
        for step in steps(engine):
            if engine.experiments == RUNS[1:2] and step == 7:
                raise NetworkFailed("nets.py:Net: ValueError: too many calls")
            yield step

    monkeypatch.setattr(Engine, "steps", failing)
    watcher = Silent()
    with stand_in(), pytest.raises(OneRunFailed, match=r"^nets.py:Net: ValueError: too many calls$"):
        train(RUNS, BRANCHES, folders, watcher)
    assert watcher.said.count("one of 3 runs trained together failed; training them one at a time") == 1
    assert {each.id for each in every_record(folders.results)} == {RUNS[0].id, RUNS[2].id}
    for each in (RUNS[0], RUNS[2]):
        assert_same_run(each, alone, folders)


def test_a_full_memory_lowers_the_number_of_branches(
    alone: Folders, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_all, watcher = graphs.take_all, Silent()

    def limited(ready: Sequence[graphs.Ready]) -> None:
        if len(ready) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        take_all(ready)

    monkeypatch.setattr(graphs, "take_all", limited)
    with stand_in():
        train(RUNS, BRANCHES, folders, watcher)
    line = "the memory of cpu is too small for 3 runs at once; training 2 at once"
    assert watcher.said.count(f"{line} (next time, --at-once 2 skips this attempt)") == 1
    for each in RUNS:
        assert_same_run(each, alone, folders)


def test_a_table_trains_runs_of_different_networks_together(
    alone: Folders, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that another process trains is left to it, and does not keep the others from sharing the device."""
    monkeypatch.setattr(command, "missing", lambda *_: RUNS)
    monkeypatch.setattr(command, "count_networks", lambda selections: None)
    (folders.runs / RUNS[0].name).mkdir(parents=True)
    with stand_in(), locked(folders.runs / RUNS[0].name / LOCK):
        command.train_missing(select("cifar100", "N = 4"), AS_PUBLISHED, BRANCHES, folders)
    records = every_record(folders.results)
    assert {each.id: each.runtime["at_once"] for each in records} == {each.id: 2 for each in RUNS[1:]}


def test_runs_on_a_gpu_share_it_unless_something_excludes_that() -> None:
    """Seeds are stacked only if that is asked for, or several processes or files exclude branches."""
    gpu, auto = torch.device("cuda"), Runtime()

    def sharing_mode(runtime: Runtime, *experiments: Experiment, device: torch.device = gpu) -> tuple[str, list[str]]:
        watcher = Silent()
        with torch.device("meta"):
            networks = {each.shared_id: network_of(each) for each in experiments}
        return chosen_sharing(experiments, networks, runtime, device, watcher).value, watcher.said

    dropout = [small(seed, dropout=0.1) for seed in (0, 1)]
    assert sharing_mode(auto, *RUNS) == ("branches", [])
    assert sharing_mode(auto, *RUNS, device=torch.device("cpu")) == ("off", [])
    assert sharing_mode(auto, RUNS[0]) == ("off", [])
    assert sharing_mode(replace(auto, processes=2), *RUNS) == ("stacked", [])
    assert sharing_mode(replace(auto, fused=True), *RUNS) == ("branches", [])
    assert sharing_mode(auto, *dropout) == ("off", ["The model uses dropout, so runs are trained one after another."])
    stacked = replace(auto, together="stacked", fused=True)
    assert sharing_mode(stacked, *RUNS) == (
        "off",
        ["--fused supports one network at a time, so runs are trained one after another."],
    )


def test_seeds_are_stacked_and_other_runs_are_not() -> None:
    stacked = replace(ALONE, together="stacked")
    seeds = [small(seed) for seed in range(3)]
    cpu = torch.device("cpu")
    assert groups_of([*seeds, RUNS[1]], stacked, cpu) == [[seeds], [[RUNS[1]]]]
    assert groups_of(seeds, replace(stacked, at_once=2), cpu) == [[seeds[:2]], [seeds[2:]]]
    assert groups_of(seeds, replace(BRANCHES, at_once=2), cpu) == [[[seeds[0]], [seeds[1]]], [[seeds[2]]]]


def test_as_many_runs_share_a_gpu_as_its_free_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [small(seed) for seed in range(7)]
    asked, gpu = Runtime(together="branches"), torch.device("cuda")
    one = needed_bytes(runs[0], asked, gpu)
    for fit, size in ((0, 1), (1, 1), (2, 2), (5, 3)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, fit=fit: (int((fit + 0.5) * one), 99 * one))
        groups = groups_of(runs, asked, gpu)
        assert {len(each) for each in groups[:-1]} == {size}


def test_switches_are_chosen_before_training_and_only_for_what_is_missing(folders: Folders) -> None:
    asked: list[Sequence[Experiment]] = []

    def choose(experiments: Sequence[Experiment], runtime: Runtime) -> Runtime:
        asked.append(experiments)
        return replace(runtime, channels_last=False)

    for _ in range(2):
        (record,) = train(RUNS[:1], runtime_of({"device": "cpu"}), folders, Silent(), choose)
    assert asked == [RUNS[:1]]
    assert record.runtime["channels_last"] is False
    assert "unset" not in record.runtime


@pytest.mark.parametrize(
    ("runtime", "line"),
    [
        (
            Runtime(device="cpu", together="branches"),
            "--together branches needs a GPU .CUDA graphs., and this run uses",
        ),
        (Runtime(device="cpu", graph=True), "--graph needs a GPU"),
    ],
)
def test_what_needs_a_gpu_is_refused_on_a_cpu(runtime: Runtime, line: str, folders: Folders) -> None:
    with pytest.raises(UserError, match=line):
        train(RUNS, runtime, folders, Silent())
    assert not folders.runs.exists()


def test_a_way_to_share_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UserError, match="unknown --together 'beside'; known: stacked, branches, off"):
        Runtime(together="beside")


def test_progress_of_runs_together_counts_the_images_of_all() -> None:
    courses = [Course(each.name, each.recipe, IMAGES, 1, step) for each, step in zip(RUNS, (5, 0, 2), strict=True)]
    shared = SharedCourse("three", courses)
    assert (shared.step, shared.total, shared.start) == (0, 15, "starting")
    assert shared.shown(0) == IMAGES + 64
    assert shared.shown(15) == IMAGES * (2 + 3 + 2)
    assert shared.epoch(6) == (2, 3)


def test_older_records_and_checkpoints_say_how_seeds_were_trained() -> None:
    assert switches_today({"side_by_side": True, "graph": True}) == {"together": "stacked", "graph": True}
    assert switches_today({"side_by_side": False}) == {"together": "off"}
    assert switches_today({"side_by_side": None}) == {}
    assert switches_today({"together": "branches"}) == {"together": "branches"}


def test_a_runtime_is_read_from_its_values_of_any_version() -> None:
    runtime = Runtime(precision="bf16", together="branches", log="tensorboard", processes=2)
    values = runtime.values()
    assert {type(value) for value in values.values()} <= {str, bool, int, float, type(None)}
    assert Runtime.from_values(values) == runtime
    older = Runtime.from_values({"side_by_side": True})
    assert (older.together, older.precision, older.processes) == (Together.STACKED, Precision.FP32, 1)
    with pytest.raises(msgspec.ValidationError, match="runtime has an unknown key turbo"):
        Runtime.from_values({"turbo": True})
    assert Runtime.from_values({"turbo": True}, ignore_unknown=True) == Runtime.from_values({})


def test_text_in_a_runtime_becomes_the_member_that_it_names() -> None:
    runtime = Runtime(precision="tf32", together="stacked", log="tensorboard")
    assert (runtime.precision, runtime.together, runtime.log) == (Precision.TF32, Together.STACKED, Log.TENSORBOARD)
    assert isinstance(runtime.precision, Precision)
    assert json.dumps([runtime.precision]) == msgspec.json.encode([runtime.precision]).decode() == '["tf32"]'


def test_bench_measures_branches_where_it_measures_graphs() -> None:
    """A step shows a batch to each run; the last one of an epoch is smaller."""
    data, cpu = random_data("digits", IMAGES), torch.device("cpu")
    with stand_in():
        made = in_memory_variants(RUNS[0], Runtime(device="cpu", graph=True), ["fp32"], 1, data, cpu)
        assert [each.name for each in made[3:]] == [f"repro, fp32, {n} branches, graph" for n in (2, 3, 4, 6)]
        assert [next(made[4].steps) for _ in range(6)] == [48, 48, 48, 48, 33, 48]
