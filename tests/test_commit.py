"""The version of the program's files in a record."""

import shutil
from pathlib import Path

import pytest

from repro import commit as module
from repro.commit import PACKAGE, commit, hash_of_files


def test_outside_a_checkout_the_files_are_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(PACKAGE, tmp_path / "repro", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(module, "PACKAGE", copy)
    assert commit() == hash_of_files(PACKAGE)
    assert commit().startswith("sha256:")
    with (copy / "errors.py").open("a") as file:
        file.write("\n")
    assert commit() != hash_of_files(PACKAGE)


def test_a_moved_file_changes_the_hash(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("x = 1")
    before = hash_of_files(tmp_path)
    (tmp_path / "one.py").rename(tmp_path / "two.py")
    assert hash_of_files(tmp_path) != before
