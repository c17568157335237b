"""Progress, with and without a terminal."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from repro import console
from repro.console import loading, open_with_bar, time_left, with_bar


def test_lines_show_the_time_left_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console.stderr.cache_clear()  # another test's stream
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: next(now)))
    assert list(with_bar([*"abcde"], "working")) == [*"abcde"]
    lines = capsys.readouterr().err.splitlines()
    console.stderr.cache_clear()
    assert lines == ["working ...", "working: 1/5  left 0:01:20", "working: 3/5  left 0:00:27"]


def test_lines_show_the_progress_of_a_long_file_without_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    console.stderr.cache_clear()
    path = tmp_path / "archive.tar"
    path.write_bytes(bytes(range(256)) * 400)
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: next(now)))
    with open_with_bar(path, "unpacking") as file:
        read = b"".join(iter(lambda: file.read(25_600), b""))
    lines = capsys.readouterr().err.splitlines()
    console.stderr.cache_clear()
    assert read == path.read_bytes()
    matches = [re.fullmatch(r"unpacking: (\d+) %  left 0:00:\d\d", line) for line in lines[1:]]
    shares = [int(each[1]) for each in matches if each]
    assert lines[0] == "unpacking ..."
    assert len(shares) == len(matches) > 1
    assert shares == sorted(shares)


def test_an_empty_file_can_be_read_without_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "empty.mat").touch()
    with open_with_bar(tmp_path / "empty.mat", "checking") as file:
        assert file.read(10) == b""


def test_nothing_is_printed_if_there_is_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(with_bar([], "working")) == []
    assert capsys.readouterr().err == ""


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


def test_the_time_left_assumes_a_constant_rate() -> None:
    assert time_left(25, 100, 60.0) == "left 0:03:00"


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


def test_progress_that_cannot_be_written_is_dropped() -> None:
    code = "from repro.console import note, problem; note('one'); problem('two'); note('three'); print('answer')"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, text=True)
    assert (done.returncode, done.stdout) == (0, "answer\n")


def test_a_file_has_no_cursor_codes_even_with_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    console.stderr.cache_clear()
    assert console.stderr().is_terminal
    assert list(with_bar([1, 2], "working")) == [1, 2]
    assert capsys.readouterr().err == "working ...\n"
    console.stderr.cache_clear()
