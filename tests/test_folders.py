"""Checks of the folders that a command reads and writes."""

import io
from pathlib import Path

import pytest

from repro.errors import UserError
from repro.paths import FolderUse, checked_folders


def test_a_folder_of_results_to_show_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        checked_folders(results=tmp_path / "missing", use=FolderUse.SHOW_RESULTS)
    assert checked_folders(results=tmp_path / "missing", use=FolderUse.WRITE_RUNS).results == tmp_path / "missing"
    assert checked_folders(results=Path("results"), use=FolderUse.SHOW_RESULTS).results == Path("results")


@pytest.mark.parametrize("name", ["runs", "results"])
def test_an_unwritable_folder_is_refused_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"--{name} .*file/below is not a folder: .*file is a file"):
        checked_folders(**{name: tmp_path / "file" / "below"})

    def refuse(dir: Path) -> io.BytesIO:
        if dir == tmp_path:
            raise PermissionError
        return io.BytesIO()

    monkeypatch.setattr("repro.paths.TemporaryFile", refuse)  # root may write everywhere
    checked_folders(**{name: tmp_path / "below"})
    with pytest.raises(UserError, match=f"--{name} .*below is not writable"):
        checked_folders(**{name: tmp_path / "below"}, use=FolderUse.WRITE_RUNS)
