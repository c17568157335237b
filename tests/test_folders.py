"""Checks of the folders that a command reads and writes."""

from pathlib import Path

import pytest

from repro.errors import UserError
from repro.paths import checked_folders


def test_a_folder_of_results_to_show_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        checked_folders(results=tmp_path / "missing", shows=True)
    assert checked_folders(results=tmp_path / "missing", trains=True).results == tmp_path / "missing"
    assert checked_folders(results=Path("results"), shows=True).results == Path("results")
