"""Findings in the networks of tables: those that cannot be built or counted, and counts that do not match."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from repro.comparison.counts import count_cells, subject_of
from repro.console import with_bar
from repro.counting.cache import counted
from repro.counting.count import Subject
from repro.errors import Mistake, PackageMissing, UserError
from repro.experiment import check_network
from repro.models import is_outside
from repro.tables import Row, Table, where_of
from repro.validation.findings import Finding, errors, warning

Place = tuple[Path, Table, Row]


def network_findings(tables: Mapping[Path, Table]) -> Iterator[Finding]:
    """Count the networks of tables, which shows progress, and yield what is found."""
    places = [(file, table, row) for file, table in tables.items() for row in table.rows if row.model]
    subjects = dict[str, tuple[Subject, list[Place]]]()
    for place in places:
        try:
            subject = subject_of(*place[1:])
            subjects.setdefault(repr(subject), (subject, []))[1].append(place)
        except UserError as error:
            yield _refused(place, error)
    for subject, rows in with_bar(list(subjects.values()), "counting models"):
        yield from _counted(subject, rows)


def _counted(subject: Subject, rows: Sequence[Place]) -> Iterator[Finding]:
    """Count a network and yield the findings in its rows."""
    try:
        counted(subject)
    except PackageMissing as error:
        yield from (warning(file, where_of(table, row), f"not counted: {error}") for file, table, row in rows)
        return
    except UserError as error:
        yield from (_refused(place, error) for place in rows)
        return
    for place in rows:
        yield from _mismatches(*place)
        yield from _untrainable(place)


def _mismatches(file: Path, table: Table, row: Row) -> Iterator[Finding]:
    """Yield the printed counts that differ from ours, by the digits that are printed."""
    for key, cell in count_cells(table, row).items():
        if cell.mismatch:
            reason = f"{key} is printed as {cell.published}, and the network has {cell.shown} ({cell.exact:,})"
            yield warning(
                file, where_of(table, row), f"{reason}; correct the cell or the options, or explain it in notes"
            )


def _untrainable(place: Place) -> Iterator[Finding]:
    """Yield why a network from outside the package cannot be trained by its recipes."""
    _, table, row = place
    recipes = {each.recipe: each for each in table.errors([row]) if each.recipe and is_outside(row.model)}
    for each in recipes.values():
        try:
            check_network(each.experiment(0))
        except UserError as error:
            yield _refused(place, error)


def _refused(place: Place, error: UserError) -> Finding:
    file, table, row = place
    (finding,) = errors([Mistake(file, where_of(table, row), f"model: {error}")])
    return finding
