"""Packages that are missing: what can be answered without them, and the line that names them."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from repro.comparison.counts import subject_of
from repro.comparison.join import compare
from repro.comparison.summary import summarise
from repro.counting.cache import counted
from repro.errors import PackageMissing
from repro.paths import cache_folder
from repro.report import Report, ReportFormat
from repro.tables import read_table
from repro.training.progress.tensorboard import check_log


def without(packages: tuple[str, ...], *arguments: str, cwd: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run the program in a process in which some packages cannot be imported."""
    hidden = "".join(f"sys.modules[{each!r}] = None; " for each in packages)
    code = f"import sys; {hidden}from repro.__main__ import main; main({list(arguments)!r})"
    environment = {**os.environ, "REPRO_CACHE": str(cache)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


GPU_MACHINE = ("fvcore", "platformdirs")
LINE = "counting FLOPs needs the package fvcore, which is not installed: pip install fvcore"


def test_a_table_is_shown_where_fvcore_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path / "cache"))
    printed = read_table("wrn-blocks")
    known, *_ = [each for each in printed.rows if each.model]
    exact = counted(subject_of(printed, known)).params
    command = ("table", "wrn-blocks", "--check", "--format", "json")
    done = without(GPU_MACHINE, *command, cwd=tmp_path, cache=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("fvcore, which is not installed") == 1
    assert f"models are left out: {LINE}" in done.stderr
    rows = {each["label"]: each for each in json.loads(done.stdout)["rows"]}
    assert rows[known.label]["measured"]["params"] == exact
    others = [each for label, each in rows.items() if label != known.label and "params" in each["measured"]]
    assert others
    assert all(each["measured"]["params"] is each["matches"]["params"] is None for each in others)


def test_an_unknown_count_is_a_dash_and_no_mismatch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REPRO_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "fvcore", None)
    monkeypatch.setitem(sys.modules, "fvcore.nn", None)
    comparison = compare(read_table("wrn-blocks"), [])
    assert not any(row.mismatches for row in comparison.rows)
    assert summarise([comparison]).counts == 0
    report = Report([comparison], [], summary=False)
    for format in (ReportFormat.MARKDOWN, ReportFormat.CSV, ReportFormat.JSON):
        assert "✗" not in report.text(format)
    assert "not as printed" not in report.text(ReportFormat.HTML)
    assert "–" in report.text(ReportFormat.MARKDOWN)


def test_a_count_without_fvcore_is_one_line(tmp_path: Path) -> None:
    for more in ([], ["--by-module"]):
        done = without(GPU_MACHINE, "count", "resnet20", *more, cwd=tmp_path, cache=tmp_path / "cache")
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {LINE}\n")


def test_the_cache_folder_without_platformdirs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("REPRO_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with_package = cache_folder()
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert cache_folder() == tmp_path / ".cache" / "repro"
    if sys.platform == "linux":
        assert with_package == cache_folder()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
        assert cache_folder() == tmp_path / "own" / "repro"


@pytest.mark.parametrize("package", ["msgspec", "typer"])
def test_a_package_that_is_missing_when_the_program_is_loaded_is_one_line(tmp_path: Path, package: str) -> None:
    done = without((package,), "--help", cwd=tmp_path, cache=tmp_path)
    line = f"error: the package {package} is not installed: pip install {package}\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


def test_the_package_of_a_log_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repro.training.progress.tensorboard.find_spec", lambda name: None)
    with pytest.raises(PackageMissing, match=r"^--log tensorboard needs the package tensorboard,"):
        check_log("tensorboard")


def test_a_module_of_the_program_that_is_missing_is_a_traceback(tmp_path: Path) -> None:
    done = without(("repro.cli.app",), "--help", cwd=tmp_path, cache=tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_the_command_is_the_module() -> None:
    """Installed, the command starts where a missing package is reported."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"repro": "repro.__main__:main"}
