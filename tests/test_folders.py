"""Where things may lie."""

from pathlib import Path

import pytest

from repro.errors import UserError
from repro.paths import folders


def test_records_are_shown_from_a_folder_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there"):
        folders(results=tmp_path / "missing", shows=True)
    assert folders(results=tmp_path / "missing", trains=True).results == tmp_path / "missing"
    assert folders(results=Path("results"), shows=True).results == Path("results")
