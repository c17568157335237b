"""The progress of a training: what is shown, and that nobody needs to see it."""

import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from commands import repro
from rich.console import Console
from watching import Silent, engine_of, stop_at, train_one

from repro.cli.app import main
from repro.console import stdout
from repro.errors import Stopped
from repro.experiment import Experiment
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store.curves import curve_of
from repro.store.results import RUNS, EpochRow, read_records
from repro.text import clock
from repro.training.machine import signals
from repro.training.machine.signals import StopRequest
from repro.training.progress import watcher as progress
from repro.training.progress.course import Course
from repro.training.progress.watcher import Bar
from repro.training.runs import running_loss
from repro.training.runs.train import train

CPU = Runtime(device="cpu")
Make = Callable[..., Experiment]
pytestmark = pytest.mark.usefixtures("small_digits")


class Losses(Silent):
    """Keeps the loss that is shown after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[float | None] = []

    def step(self, step: int, loss: float | None) -> None:
        self.shown.append(loss)
        super().step(step, loss)


def test_the_loss_is_the_mean_of_the_epoch_so_far(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the last step of an epoch it is the recorded training loss, resumed or not."""
    monkeypatch.setattr(running_loss, "READ_SECONDS", 0.0)
    watcher = Losses()
    with pytest.raises(Stopped):
        train_one(tiny(), CPU, folders, stop_at(3))
    record = train_one(tiny(), CPU, folders, watcher)
    recorded = [each.train_loss for each in curve_of(record, [folders.results])]
    assert len(watcher.shown) == 2 * 6 - 3  # after the steps 4 to 12
    assert [watcher.shown[2], watcher.shown[-1]] == pytest.approx(recorded, rel=1e-5)
    assert watcher.shown[3] != pytest.approx(recorded[0], rel=1e-3)  # the first of an epoch is its own loss


def test_the_loss_is_read_rarely_and_never_waits(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on its way from a GPU is shown when it has arrived."""
    now, arrived = 0.0, [False]
    monkeypatch.setattr(running_loss.time, "monotonic", lambda: now)
    engine = engine_of(tiny())
    loss = running_loss.RunningLoss(engine)
    monkeypatch.setattr(running_loss.Reading, "is_there", lambda _: arrived[0])
    engine.step, engine.sums[0, 0] = 1, 2.0 * engine.recipe.batch
    assert loss.so_far() is None
    engine.step, engine.sums[0, 0] = 2, 8.0 * engine.recipe.batch
    arrived[0] = True
    assert loss.so_far() == 2.0
    assert loss.so_far() == 2.0
    now += running_loss.READ_SECONDS
    assert loss.so_far() == 4.0


def test_one_of_several_processes_stands_for_the_others_since_the_resume(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(tiny())
    engine.step, engine.sums[0, 0] = 1, 2.0 * engine.recipe.batch  # of both processes
    loss = running_loss.RunningLoss(engine)
    monkeypatch.setattr(running_loss.processes, "count", lambda: 2)
    engine.step, engine.sums[0, 0] = 2, 5.0 * engine.recipe.batch
    assert loss.so_far() == (2.0 + 2 * 3.0) / 2


def test_a_long_test_reports_its_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", -1.0)
    watcher = Silent()
    watcher.now = 0
    watcher.say("started")
    assert list(watcher.testing(range(0, 3, 1))) == [0, 1, 2]
    assert watcher.said[1:] == ["testing 2/3 · 0:00 left", "testing 3/3 · 0:00 left"]


def test_the_first_step_is_left_out_of_the_time_estimate(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    watcher, experiment = Silent(), tiny(epochs=100)
    course = progress.Course("a run", experiment.recipe, images=1280, runs=1, step=40)
    with watcher.run(course):
        for step, seconds in ((41, 100.0), (42, 61.0), (43, 61.0)):
            now += seconds
            watcher.step(step, 1.196)
    each = experiment.recipe.batch / 61
    assert watcher.said[1] == "epoch   9/100 · step 1/5 · loss 1.196"
    assert watcher.said[3] == f"epoch   9/100 · step 3/5 · {each:.0f} img/s · loss 1.196 · {clock(61 * 457)} left"


@pytest.mark.parametrize(("width", "parts"), [(80, 5), (60, 4), (40, 3), (16, 1)])
def test_a_terminal_shows_one_line_that_fits(
    tiny: Make, monkeypatch: pytest.MonkeyPatch, width: int, parts: int
) -> None:
    """A step may take longer than the time over which the rate is averaged."""
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    bar, experiment = Bar(Console(file=io.StringIO(), force_terminal=True, width=width)), tiny(epochs=100)
    course = progress.Course("a run", experiment.recipe, images=1280, runs=1, step=0)
    with bar.run(course):
        for step in (1, 2, 3):
            now += 61.0
            bar.step(step, 1.196)
        whole = ["epoch   1/100", "step 3/5", f"{experiment.recipe.batch / 61:5.0f} img/s", "loss 1.196"]
        shown = bar._line().plain
        assert len(shown) < width
        assert len(shown.split(" · ")) == parts
        assert shown.endswith(f"{clock(61 * 497)} left")
        assert parts < 5 or shown.split(" · ")[:4] == whole
        assert ["testing 1/2" in bar._line().plain for _ in bar.testing(range(2))] == [parts > 3, False]


def test_a_line_on_a_terminal_is_removed_at_the_end(tiny: Make, folders: Folders) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    train([tiny()], CPU, folders, Bar(console))
    assert console.file.getvalue().endswith("\x1b[2K")  # type: ignore[attr-defined]


@pytest.mark.parametrize("live", [True, False])
def test_ctrl_c_leaves_no_line_that_was_drawn_before(
    live: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(signals, "is_live", lambda: live)
    with StopRequest():
        signal.raise_signal(signal.SIGINT)
    assert capfd.readouterr().err.startswith("\r\x1b[2Kstopping" if live else "stopping")


def test_a_stop_after_the_last_epoch_does_not_ask_to_resume(tiny: Make, folders: Folders) -> None:
    class Stops(Silent):
        def epoch(self, rows: object, epochs: int, name: str = "") -> None:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Stopped, match="finished and recorded") as stopped:
        train([tiny(epochs=1)], CPU, folders, Stops())
    assert stopped.value.after == "the same command shows the record, and trains what is left"


def test_one_step_is_singular(tiny: Make) -> None:
    course = Course(name="run", recipe=tiny(epochs=1, batch=64).recipe, images=64, runs=1, step=0)
    assert course.opening == ["run: starting, 1 step in all"]


def test_a_run_that_was_trained_meanwhile_is_not_said_to_resume(tiny: Make, folders: Folders) -> None:
    """By another process, or by one that was killed before it wrote the record."""
    train([tiny(epochs=1)], CPU, folders, Silent())
    (folders.results / RUNS).unlink()
    watcher = Silent()
    train([tiny(epochs=1)], CPU, folders, watcher)
    assert watcher.said[-1].startswith(f"{tiny(epochs=1).name}: already trained, ")
    assert not any("resuming" in line for line in watcher.said)


def test_a_training_begins_with_everything_and_ends_with_where_it_is(
    folders: Folders, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders.data.parent)
    words = ["train", "densenet", "--depth", "7", "--k", "4", "--dataset", "digits", "--epochs", "1", "--device", "cpu"]
    status, *printed = repro(capsys, *words, "--seeds", 2, "--log", "tensorboard")
    assert status == 0
    out, err = (each.splitlines() for each in printed)
    name = next(line for line in err if "seed 0" in line).partition(":")[0]
    network = r"densenet --depth 7 --k 4 --no-bottleneck --compression 1\.0 \(4,122 parameters\) on digits"
    how = r"recipe digits, 1 epoch, seed 0, fp32 on CPU .+, 1 thread, in runs/" + name
    assert re.fullmatch(rf"{name}: starting, 23 steps in all; {network}, {how}", err[1])
    assert err[-3:] == [
        "saved: records in results/runs.csv, curves in results/curves, checkpoints in runs",
        "curves: tensorboard --logdir runs",
        "next: repro list runs",
    ]
    errors = [each.error for each in read_records([folders.results])]
    middle, half = sum(errors) / 2, abs(errors[0] - errors[1]) / 2**0.5
    spread = f"densenet, 2 seeds: test error {middle:.2f} ± {half:.2f} % (mean ± standard deviation)"
    assert (len(out), out[-1]) == (3, spread)


@contextmanager
def kept(*descriptors: int) -> Iterator[None]:
    """Give file descriptors back at the end."""
    copies = {each: os.dup(each) for each in descriptors}
    yield
    for each, copy in copies.items():
        os.dup2(copy, each)
        os.close(copy)


def trained_by_command(folders: Folders) -> int:
    """Return the exit status of a training, which is recorded."""
    words = ["train", "densenet", "--depth", "7", "--k", "4", "--dataset", "digits", "--epochs", "1", "--device", "cpu"]
    with pytest.raises(SystemExit) as end:
        main([*words, "--runs", str(folders.runs), "--results", str(folders.results)])
    assert len(read_records([folders.results])) == 1
    return int(end.value.code or 0)


def test_a_training_with_a_closed_stderr_is_recorded(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """`2>&-`: Python has no stderr then, and the next file that is opened would be in its place."""
    with kept(2):
        os.close(2)
        monkeypatch.setattr(sys, "stderr", None)
        assert trained_by_command(folders) == 0
        assert os.path.samestat(os.fstat(2), os.stat(os.devnull))


@pytest.mark.parametrize(("name", "descriptor", "status"), [("stderr", 2, 0), ("stdout", 1, 1)])
def test_a_training_whose_reader_has_ended_is_recorded(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, name: str, descriptor: int, status: int
) -> None:
    """`2>&1 | head -1` and `| true`; only an answer that could not be printed is an error."""
    with kept(descriptor):
        read, write = os.pipe()
        os.close(read)
        os.dup2(write, descriptor)
        os.close(write)
        with open(descriptor, "w", encoding="utf-8", closefd=False) as stream:
            monkeypatch.setattr(sys, name, stream)
            assert trained_by_command(folders) == status
            monkeypatch.undo()
    stdout.cache_clear()  # Rich prints nothing more on a console without a reader


def test_an_epoch_fits_a_terminal_of_eighty_columns() -> None:
    row = EpochRow(
        epoch=100,
        step=39_100,
        lr=0.001,
        train_loss=0.1234,
        train_error=12.34,
        test_loss=0.4567,
        test_error=23.45,
        seconds=150.2,
    )
    whole = progress.epoch_line([row], 164, width=100)
    assert whole == progress.epoch_line([row], 164)
    assert "train loss 0.123 error 12.34 %" in whole
    short = progress.epoch_line([row], 164, width=80)
    assert "train 0.123 12.34 %  test 0.457 23.45 %" in short
    assert len(short) <= 80
