"""Checks of the folders that a command reads and writes."""

from pathlib import Path

import pytest

from repro.errors import UserError
from repro.paths import FolderUse, checked_folders


def test_a_folder_of_results_to_show_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        checked_folders(results=tmp_path / "missing", use=FolderUse.SHOW_RESULTS)
    assert checked_folders(results=tmp_path / "missing", use=FolderUse.WRITE_RUNS).results == tmp_path / "missing"
    assert checked_folders(results=Path("results"), use=FolderUse.SHOW_RESULTS).results == Path("results")
