"""What docs/running.md promises for the case that something goes wrong: what is kept, what is said, how to resume."""

import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from forked import SERVER
from watching import Silent, shrink_digits, stop_at, train_one

from repro.__main__ import main
from repro.errors import Stopped, UserError
from repro.experiment import Experiment
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store.results import every_record
from repro.training.checkpoints import checkpoint
from repro.training.engine import engine
from repro.training.machine.signals import SIGNALS
from repro.training.runs.saver import AFTER_EPOCH_SECONDS

CPU = Runtime(device="cpu")
Make = Callable[..., Experiment]
pytestmark = pytest.mark.usefixtures("small_digits")


def raising(number: int, at: int) -> Silent:
    """Return a watcher that sends a signal to this process after a step."""
    return Silent(lambda step: signal.raise_signal(number) if step == at else None)


def never() -> Silent:
    return Silent(lambda step: pytest.fail("trained again"))


@pytest.fixture
def hangup_kept() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def test_the_page_has_a_line_for_each_signal() -> None:
    page = (Path(__file__).parents[1] / "docs" / "running.md").read_text(encoding="utf-8")
    section = page[page.index("## When something goes wrong") : page.index("## What is left to train")]
    for each in (*SIGNALS[1:], signal.SIGKILL):
        assert each.name in section
        assert each == signal.SIGKILL or str(128 + each) in section


def test_checkpoints_are_written_as_often_as_the_page_says() -> None:
    page = (Path(__file__).parents[1] / "docs" / "running.md").read_text(encoding="utf-8")
    says = "A checkpoint is written every minute, and after an epoch if the last one is at least ten seconds old."
    assert says in " ".join(page.split())
    assert (Runtime().checkpoint_seconds, AFTER_EPOCH_SECONDS) == (60, 10)


@pytest.mark.usefixtures("hangup_kept")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_saves_the_state_after_the_step(tiny: Make, folders: Folders, number: signal.Signals) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with pytest.raises(Stopped, match=r"^saved at epoch 1, step 2 of 6$") as stopped:
        train_one(tiny(epochs=1), CPU, folders, raising(number, 2))
    assert stopped.value.exit_status == 128 + number
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
    watcher = Silent()
    train_one(tiny(epochs=1), CPU, folders, watcher)
    assert any("resuming from step 2" in line for line in watcher.said)


@pytest.mark.usefixtures("hangup_kept")
def test_under_nohup_a_run_goes_on(tiny: Make, folders: Folders) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert train_one(tiny(epochs=1), CPU, folders, raising(signal.SIGHUP, 2)).sessions == 1


def in_the_background(words: list[str]) -> None:
    """Start a command as a shell does with `&`, and end; nobody reads what it says."""
    reader, writer = os.pipe()
    if os.fork():
        os._exit(0)
    os.close(reader)
    os.dup2(writer, 2)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", closefd=False)
    shrink_digits()
    main(words)


def test_a_run_in_the_background_goes_on_when_its_shell_ends(folders: Folders) -> None:
    folders.results.mkdir()
    words = ["train", "densenet", "--depth", "7", "--k", "4", "--dataset", "digits", "--epochs", "1", "--device", "cpu"]
    places = ["--threads", "1", "--runs", str(folders.runs), "--results", str(folders.results)]
    shell = SERVER.Process(target=in_the_background, args=([*words, *places],))
    shell.start()
    shell.join()
    end = time.monotonic() + 60
    while not every_record(folders.results) and time.monotonic() < end:
        time.sleep(0.05)
    assert [each.epochs for each in every_record(folders.results)] == [1]


def test_a_folder_that_is_removed_is_made_again(tiny: Make, folders: Folders, elsewhere: Folders) -> None:
    folder = folders.runs / tiny().name
    first = train_one(tiny(), CPU, elsewhere, Silent())
    record = train_one(tiny(), CPU, folders, Silent(lambda step: shutil.rmtree(folder) if step == 8 else None))
    assert (record.error, record.loss) == (first.error, first.loss)
    assert checkpoint.load(folder / checkpoint.NEWEST).finished
    assert train_one(tiny(), CPU, folders, never()) == record


def test_a_clock_that_goes_back_changes_no_time_of_a_run(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Earlier(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime(2001, 2, 3, tzinfo=UTC)

    with pytest.raises(Stopped):
        train_one(tiny(), CPU, folders, stop_at(7))
    saved = checkpoint.load(folders.runs / tiny().name / checkpoint.NEWEST)
    monkeypatch.setattr(engine, "datetime", Earlier)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    record = train_one(tiny(), CPU, folders, Silent())
    assert (record.started, record.sessions) == (saved.started, 2)
    assert record.seconds > saved.seconds > 0
    assert all(row.seconds > 0 for row in checkpoint.load(folders.runs / tiny().name / checkpoint.NEWEST).history)


def test_a_record_that_could_not_be_written_is_written_from_the_checkpoint(tiny: Make, folders: Folders) -> None:
    path = folders.results / "runs.csv"
    with pytest.raises(UserError, match=re.escape(f"{path}, line 2")):
        train_one(tiny(), CPU, folders, Silent(lambda step: path.write_text("id\n1,2\n") if step == 12 else None))
    path.unlink()
    assert every_record(folders.results) == []
    record = train_one(tiny(), CPU, folders, never())
    assert every_record(folders.results) == [record]
