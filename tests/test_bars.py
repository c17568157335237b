"""Bars on a terminal, and lines elsewhere."""

import io
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from repro import bars
from repro.bars import bar, bytes_done, items_done, open_with_bar, time_left, with_bar
from repro.text import clock


@pytest.mark.usefixtures("new_stderr")
def test_lines_show_the_time_left_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(bars, "time", SimpleNamespace(monotonic=lambda: next(now)))
    assert list(with_bar([*"abcde"], "working")) == [*"abcde"]
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["working ...", "working: 1/5 · 1:20 left", "working: 3/5 · 0:27 left"]


@pytest.mark.usefixtures("new_stderr")
def test_lines_show_the_progress_of_a_long_file_without_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "archive.tar"
    path.write_bytes(bytes(range(256)) * 400)
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(bars, "time", SimpleNamespace(monotonic=lambda: next(now)))
    with open_with_bar(path, "unpacking") as file:
        read = b"".join(iter(lambda: file.read(25_600), b""))
    lines = capsys.readouterr().err.splitlines()
    assert read == path.read_bytes()
    matches = [re.fullmatch(r"unpacking: (\d+) % · 0:\d\d left", line) for line in lines[1:]]
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


def test_the_time_left_assumes_a_constant_rate() -> None:
    assert time_left(25, 100, 60.0) == "3:00 left"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(42.4, "0:42"), (600, "10:00"), (3600 + 62, "1:01:02"), (90061, "1 d 1:01:01")]
)
def test_a_time_to_the_second(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("done", "total", "shown"),
    [(items_done, 82, "41/82 · 0:41 left"), (bytes_done, 82 * 2**20, "41.0 MiB/82.0 MiB · 1.0 MiB/s · 0:41 left")],
)
def test_a_bar_never_breaks_its_numbers(width: int, done: bars.Done, total: int, shown: str) -> None:
    """In the same order as a training shows them: how much, how fast, and the time left."""
    screen = Console(file=io.StringIO(), force_terminal=True, width=width, legacy_windows=False)
    progress, now = bar(screen, done), 0.0
    progress.get_time = lambda: now
    task = progress.add_task("measuring the switches for wrn --depth 28 --k 10 --dropout 0.3", total=total)
    for _ in range(41):
        now += 1.0
        progress.advance(task, total / 82)
    with screen.capture() as captured:
        screen.print(progress.get_renderable())
    (line,) = re.sub(r"\x1b\[[\d;]*m", "", captured.get()).splitlines()
    assert line.startswith("measuring")
    assert line.rstrip().endswith(f" {shown}")
