"""What is shown in encodings that lack the marks."""

import io
import sys

import pytest
from commands import repro

from repro.comparison.verdict import Verdict
from repro.console import stdout
from repro.encoding import legible, never_fail
from repro.report.cells import MATCH
from repro.report.formats.fitted import Fitted, empty_grid
from repro.report.formats.latex import SPELLINGS


class Terminal(io.TextIOWrapper):
    """A stream that is a terminal or not, in an encoding."""

    def __init__(self, encoding: str, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    @property
    def content(self) -> bytes:
        self.flush()
        written = self.buffer
        assert isinstance(written, io.BytesIO)
        return written.getvalue()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1"])
def test_different_marks_stay_different(encoding: str) -> None:
    marks = [each.mark for each in Verdict]
    assert len({legible(each, encoding) for each in marks}) == len(marks)
    matches = [legible(MATCH[each].mark, encoding) for each in (True, False)]
    assert "?" not in matches
    assert len(set(matches)) == 2


def test_signs_of_figures_become_their_usual_spelling() -> None:
    assert legible("−0.08 ± 0.5, ≤ 1, 5: 6.2–7.1", "ascii") == "-0.08 +- 0.5, <= 1, 5: 6.2-7.1"
    assert legible("−0.08 ± 0.5, 6.2–7.1", "cp1252") == "-0.08 ± 0.5, 6.2–7.1"
    assert all(sign.isascii() or "?" not in legible(sign, "ascii") for sign in SPELLINGS)


@pytest.mark.parametrize(("format", "shown"), [("csv", "yes"), ("md", "✓"), ("json", "true"), ("latex", r"$\surd$")])
def test_files_and_pipes_are_in_utf_8(
    format: str, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = Terminal("cp1252", terminal=False)
    monkeypatch.setattr(sys, "stdout", pipe)
    repro(capsys, "table", "imagenet", "--format", format)
    text = pipe.content.decode("utf-8")
    assert shown in text
    assert "?" not in text.splitlines()[2]


def test_a_terminal_keeps_its_encoding(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal("cp1252", terminal=True)
    monkeypatch.setattr(sys, "stdout", terminal)
    repro(capsys, "table", "imagenet", "--format", "md")
    assert b"21.80M = |" in terminal.content


def test_no_cell_of_a_terminal_with_ascii_only_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = empty_grid()
    for _ in range(2):
        grid.add_column("Error", no_wrap=True)
    grid.add_row("22.6 ± 0.25", "≤ 10 … 25")
    terminal = Terminal("ascii", terminal=True)
    monkeypatch.setattr(sys, "stdout", terminal)
    stdout().print(Fitted(grid))
    assert b"22.6 +- 0.25" in terminal.content
    assert b"<= 10 ... 25" in terminal.content


def test_a_stream_that_cannot_be_set_up_is_left_alone() -> None:
    never_fail(io.StringIO())
