"""Commands of the program, run in this process: each new process takes seconds to import torch."""

import io
import os
import shlex
from collections.abc import Mapping
from contextlib import chdir, redirect_stdout
from pathlib import Path

import pytest

from repro.__main__ import main


def printed(command: str, folder: Path) -> str:
    """Return what `repro ...` prints in a folder; AssertionError if its exit status is not 0."""
    program, *words = shlex.split(command)
    assert program == "repro"
    with chdir(folder), redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit) as end:
        main(words)
    assert not end.value.code, f"{command}: exit status {end.value.code}"
    return out.getvalue()


def set_environment(variables: Mapping[str, str]) -> None:
    """Set environment variables of this process."""
    os.environ.update(variables)


def repro(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run a command; return exit status, stdout and stderr."""
    from repro.cli.app import main as run

    with pytest.raises(SystemExit) as end:
        run([str(each) for each in arguments])
    captured = capsys.readouterr()
    return int(end.value.code or 0), captured.out, captured.err


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the line with which a command is refused; it has written nothing."""
    before = sorted(Path().rglob("*"))
    status, out, err = repro(capsys, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert sorted(Path().rglob("*")) == before
    return err.strip()
