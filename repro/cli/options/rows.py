"""What the user asked for of the rows of tables: the options of a command that trains their runs, or plans them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from repro.cli.options.runtime import runtime_of
from repro.paths import Folders, FolderUse, checked_folders
from repro.runtime import Runtime
from repro.tables import RunsPerRow

DeviceName = Annotated[
    str | None,
    typer.Option(
        "--device-name",
        metavar="NAME",
        help="Estimate for a device elsewhere, by a part of its name in records, such as H100 (default: this "
        "machine's).",
    ),
]


@dataclass(frozen=True, kw_only=True)
class RowOptions:
    """The options as they were given."""

    rows: str
    per_row: RunsPerRow
    data: Path | None
    results: Path
    runs: Path | None
    switches: Mapping[str, Any]
    """Those of the runtime, by name."""
    device_name: str | None
    """The device that is planned for, if it is elsewhere."""

    @property
    def runtime(self) -> Runtime:
        """How the runs are trained."""
        return runtime_of(self.switches)

    def folders(self, use: FolderUse = FolderUse.READ) -> Folders:
        """Return the folders, which are checked for their use; errors as in `checked_folders`."""
        return checked_folders(self.data, self.runs, self.results, use)

    @property
    def of_training(self) -> dict[str, Any]:
        """Those that a command which trains takes, by name; None for those that were not given."""
        paths = {"data": self.data, "results": self.results, "runs": self.runs}
        return {"rows": self.rows, **vars(self.per_row), **paths, **self.switches}
