"""Commands that are killed again and again at random moments, until one is left to end: nothing is lost or half done.

`pytest -m nightly tests/test_kills.py` kills a thousand times. The bits of killed runs are those of test_killed.py and
test_branches.py.
"""

from __future__ import annotations

import io
import random
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch
from forked import SERVER, ended
from gpu.stand_in import stand_in
from watching import Silent

from repro.api.selection import select
from repro.benchmark.random_images import random_data
from repro.campaign import training as command
from repro.counting.cache import counted_parameters
from repro.counting.count import Subject
from repro.data import Images
from repro.data.files import ilsvrc
from repro.experiment import Experiment, experiment_for
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store.curves import curve_path, read_curve
from repro.store.results import every_record
from repro.store.step_times import StepTime, append_times, read_times
from repro.tables import AS_PUBLISHED
from repro.training.checkpoints import checkpoint
from repro.training.runs.train import train
from repro.training.tasks import kinds

Act = Callable[[Path, Connection], None]
"""What is killed: it works in a folder, sends when it has started, and goes on where an earlier one was killed."""
OPEN: list[Connection] = []
"""The ends at which processes are heard; a closed one would end them."""
EVERY_STEP = Runtime(device="cpu", checkpoint_seconds=0.0)


def experiment(seed: int) -> Experiment:
    found = experiment_for("densenet", {"depth": 7, "k": 2}, seed=seed, dataset="digits", epochs=3)
    return replace(found, recipe=replace(found.recipe, dropout=0.0, batch=16))


RUNS = [experiment(seed) for seed in range(3)]
SUBJECTS = [Subject("resnet20", {"shortcut": shortcut}, (3, 32, 32), 10) for shortcut in ("A", "B")]
WNIDS = [f"n{number:08}" for number in range(6)]
PICTURES = 40


def places(root: Path) -> Folders:
    return Folders(data=root / "data", runs=root / "runs", results=root / "results")


def shrink() -> None:
    """Let tasks find a few random images in place of the digits; a process has one thread."""
    torch.set_num_threads(1)
    data = random_data("digits", 40)
    pixels = data.train.pixels[:, :, :8, :8].contiguous()
    few = replace(data, train=Images(pixels, data.train.labels), test=Images(pixels[:10], data.train.labels[:10]))
    kinds.load = lambda name, root: few


def trains(root: Path, started: Connection, runtime: Runtime) -> None:
    shrink()
    train(RUNS, runtime, places(root), Silent(started.send))


def stacked(root: Path, started: Connection) -> None:
    trains(root, started, replace(EVERY_STEP, together="stacked"))


def branches(root: Path, started: Connection) -> None:
    with stand_in():
        trains(root, started, replace(EVERY_STEP, together="branches", at_once=3))


def table(root: Path, started: Connection) -> None:
    shrink()
    command.missing = lambda *_: RUNS
    command.count_networks = lambda selections: None
    started.send(0)
    command.train_missing(select("cifar100", "N = 4"), AS_PUBLISHED, EVERY_STEP, places(root))


def counts(root: Path, started: Connection) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPRO_CACHE", str(root / "cache"))
        started.send(0)
        counted_parameters(SUBJECTS)


def unpacks(root: Path, started: Connection) -> None:
    started.send(0)
    ilsvrc.unpack(root)


def times(root: Path, started: Connection) -> None:
    """Add as many measurements as are missing; several processes may do so."""
    started.send(0)
    while (number := len(read_times([root]))) < 40:
        append_times([measured(number)], root)


def measured(number: int) -> StepTime:
    figures = {"seconds": 1.0, "fastest": 1.0, "slowest": 1.0, "batch": 1, "windows": 1, "threads": 1}
    texts = ("table", "row", "model", "dataset", "device", "precision", "torch", "version", "commit")
    started = "2026-01-31T12:00:00+00:00"
    return StepTime(measurement=f"m{number}", options={}, started=started, **figures, **dict.fromkeys(texts, "x"))


def trained(root: Path) -> None:
    """Each run has one record, a finished checkpoint, and the curve of that one."""
    assert sorted(each.id for each in every_record(places(root).results)) == sorted(each.id for each in RUNS)
    for each in RUNS:
        saved = checkpoint.load(places(root).runs / each.name / checkpoint.NEWEST)
        assert saved.finished
        curve = read_curve(curve_path(places(root).results, each.name))
        assert [row.test_error for row in curve] == [row.test_error for row in saved.history]


def prepared(root: Path) -> None:
    """Write the archive of six classes, each of many images."""
    with tarfile.open(root / ilsvrc.TRAIN_ARCHIVE, "w") as outer:
        for wnid in WNIDS:
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as tar:
                for number in range(PICTURES):
                    add(tar, f"{wnid}_{number}.JPEG", b"pixels" * 100)
            add(outer, f"{wnid}.tar", inner.getvalue())


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def unpacked(root: Path) -> None:
    assert sorted(each.name for each in (root / "train").iterdir()) == WNIDS
    for wnid in WNIDS:
        assert {each.read_bytes() for each in (root / "train" / wnid).iterdir()} == {b"pixels" * 100}
        assert len(list((root / "train" / wnid).iterdir())) == PICTURES


def in_cache(root: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPRO_CACHE", str(root / "cache"))
        patch.setattr("repro.counting.cache.parameters_of", lambda network: pytest.fail("counted again"))
        assert counted_parameters(SUBJECTS) == [269_722, 272_474]


def all_measured(root: Path) -> None:
    append_times([measured(40)], root)  # the next process that writes removes what killed ones left
    assert {each.measurement for each in read_times([root])} == {f"m{number}" for number in range(41)}


def nothing(root: Path) -> None:
    """Need nothing to begin with."""


def started(act: Act, root: Path) -> ForkServerProcess:
    """Start a process, and return it when it has started or ended."""
    received, sent = SERVER.Pipe(duplex=False)
    process = SERVER.Process(target=act, args=(root, sent))
    process.start()
    sent.close()
    with suppress(EOFError):
        received.recv()
    OPEN.append(received)  # a training goes on sending its steps
    return process


KILLED: dict[str, tuple[Act, int, float, Callable[[Path], None], Callable[[Path], None]]] = {
    "seeds together": (stacked, 1, 0.4, nothing, trained),
    "branches": (branches, 1, 0.6, nothing, trained),
    "table --run in two processes": (table, 2, 0.6, nothing, trained),
    "count cache": (counts, 2, 0.01, nothing, in_cache),
    "unpacking": (unpacks, 1, 0.05, prepared, unpacked),
    "times.csv": (times, 2, 0.05, nothing, all_measured),
}
"""What is killed, in how many processes, within how many seconds, what it needs, and what must hold at its end."""


@pytest.mark.parametrize("kills", [2, pytest.param(167, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("name", KILLED)
def test_kills_lose_nothing(name: str, kills: int, tmp_path: Path) -> None:
    act, processes, seconds, prepare, check = KILLED[name]
    draws, killed = random.Random(f"{name} {kills}"), 0
    root = prepared_folder(tmp_path, prepare)
    while killed < kills:
        running = [started(act, root) for _ in range(processes)]
        for process in running:
            time.sleep(draws.uniform(0, seconds))
            killed += process.is_alive()
            process.kill()
            process.join()
        if all(process.exitcode == 0 for process in running):  # nothing was left to kill
            checked(root, check)
            root = prepared_folder(tmp_path, prepare)
    assert ended(started(act, root)) == 0
    checked(root, check)


def test_two_tables_in_one_folder_train_each_run_once(tmp_path: Path) -> None:
    running = [started(table, tmp_path) for _ in range(2)]
    assert [ended(each) for each in running] == [0, 0]
    checked(tmp_path, trained)


def prepared_folder(parent: Path, prepare: Callable[[Path], None]) -> Path:
    """Return a new folder with what is needed to begin."""
    root = Path(mkdtemp(dir=parent))
    prepare(root)
    return root


def checked(root: Path, check: Callable[[Path], None]) -> None:
    """Check what is left when the last process has ended."""
    check(root)
    assert not list(root.rglob(".*.part"))
