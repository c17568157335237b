"""What the console writes: JSON without NaN, messages, and how Ctrl-C ends it."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from repro import console
from repro.bars import with_bar
from repro.console import loading


def test_json_never_has_nan() -> None:
    """JSON has no such numbers; jq and JavaScript refuse the whole text."""
    text = console.json_text({"loss": float("nan"), "rows": [{"error": float("inf")}, (1.5, -float("inf"))]})
    assert json.loads(text) == {"schema": console.SCHEMA, "loss": None, "rows": [{"error": None}, [1.5, None]]}


def test_everything_that_writes_json_refuses_nan() -> None:
    """Hashes of JSON are not read as JSON."""
    package = Path(console.__file__).parent
    calls = [line for file in package.rglob("*.py") for line in file.read_text().splitlines() if "json.dump" in line]
    assert len(calls) > 8
    assert not [line for line in calls if "allow_nan=False" not in line and "sort_keys=True).encode" not in line]


def test_only_the_first_of_several_processes_prints_the_content_of_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        console.print_file("error\n8.41\n")
        console.print_json({"error": 8.41})
    assert capsys.readouterr().out == 'error\n8.41\n{\n  "schema": 1,\n  "error": 8.41\n}\n'


def test_ctrl_c_waits_until_torch_is_loaded() -> None:
    done, before = [], signal.getsignal(signal.SIGINT)

    def load() -> None:
        with loading():
            signal.raise_signal(signal.SIGINT)
            done.append("loaded")

    with pytest.raises(KeyboardInterrupt):
        load()
    assert done == ["loaded"]
    assert signal.getsignal(signal.SIGINT) is before


def test_work_that_takes_long_is_shown_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with console.waiting("counting", seconds=True):
        pass
    assert capsys.readouterr().err == ""
    shown = threading.Event()
    monkeypatch.setattr(console, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(console, "note", lambda line: (print(line), shown.set()))
    with console.waiting("counting", seconds=True):
        assert shown.wait(10)
    assert capsys.readouterr().out == "counting ...\n"


def test_progress_that_cannot_be_written_is_dropped() -> None:
    code = "from repro.console import note, problem; note('one'); problem('two'); note('three'); print('answer')"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, text=True)
    assert (done.returncode, done.stdout) == (0, "answer\n")


@pytest.mark.usefixtures("new_stderr")
def test_a_file_has_no_cursor_codes_even_with_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert console.stderr().is_terminal
    assert list(with_bar([1, 2], "working")) == [1, 2]
    assert capsys.readouterr().err == "working ...\n"
