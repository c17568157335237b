"""Everything that is found in some papers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.data import declarations
from repro.errors import Mistake, collecting
from repro.models import is_outside
from repro.models.outside.location import bare, outside
from repro.papers import Paper
from repro.recipes import RECIPES, Recipe, current_library
from repro.tables import Table, parse_table
from repro.tables.replication_files import orphans
from repro.validation.datasets import dataset_findings
from repro.validation.files import file_findings
from repro.validation.findings import Finding, Level, errors
from repro.validation.networks import network_findings
from repro.validation.recipes import recipe_findings
from repro.validation.tables import table_findings


@dataclass(frozen=True)
class Validated:
    """What was checked, and what was found."""

    papers: tuple[Paper, ...]
    findings: tuple[Finding, ...]
    tables: int
    """Tables that could be read."""
    recipes: int
    """Recipes that could be read."""
    datasets: int
    """Declarations of datasets that could be read."""

    def number_of(self, level: Level) -> int:
        """Return how many findings have a level."""
        return sum(each.level is level for each in self.findings)


def validate(papers: Sequence[Paper], *, whole: bool = True) -> Validated:
    """Return everything that is found in papers of the current library, which must be lenient.

    Args:
        papers: what is checked.
        whole: whether they have all their files, so that what none of these uses is found too.
    """
    files = {file for paper in papers for file in (*paper.tables, *paper.recipes, *paper.datasets)}
    declared = declarations(current_library())
    mistakes = [each for each in (*declared.mistakes, *current_library().mistakes) if each.file in files]
    named = [file for paper in papers for file in paper.tables]
    tables = _read(named, mistakes)
    mistakes += orphans(named) if whole else ()
    recipes = [each for each in RECIPES.values() if each.file in files]
    complete = whole and len(tables) == len(named)
    datasets = [each for each in declared.datasets.values() if each.file in files]
    using = [*tables, *_read(_other_tables(files), [])] if complete else None
    used = None if using is None else _used_datasets(using)
    found = [
        *errors(mistakes),
        *dataset_findings(datasets, used),
        *_found(papers, tables, recipes, whole=whole, using=using),
    ]
    order = sorted(dict.fromkeys(found), key=lambda each: str(each.mistake.file))  # as found within a file
    return Validated(tuple(papers), tuple(order), len(tables), len(recipes), len(datasets))


def _other_tables(files: Collection[Path]) -> list[Path]:
    """Return the tables of the library's other papers, which may use what is in the checked `files`."""
    own = (paper for paper in current_library().papers if not paper.shipped)
    return [file for paper in own for file in paper.tables if file not in files]


def _used_datasets(tables: Sequence[Table]) -> set[str]:
    """Return the datasets of tables and of all recipes."""
    of_tables = {table.dataset for table in tables} | {row.dataset for table in tables for row in table.rows}
    of_errors = {each.dataset for table in tables for each in table.errors()}
    return {each.dataset for each in RECIPES.values()} | {each for each in of_tables if each} | of_errors


def _used_recipes(tables: Sequence[Table]) -> set[str]:
    return {each.recipe for table in tables for each in table.errors() if each.recipe}


def _read(files: Sequence[Path], mistakes: list[Mistake]) -> list[Table]:
    """Return the tables that can be read, and add the mistakes of the others."""
    tables = list[Table]()
    for file in files:
        with collecting(mistakes):
            tables.append(parse_table(file))
    return tables


def _found(
    papers: Sequence[Paper],
    tables: Sequence[Table],
    recipes: Sequence[Recipe],
    *,
    whole: bool,
    using: Sequence[Table] | None,
) -> Iterator[Finding]:
    """Yield what is found in files that can be read, and which files nobody reads.

    Args:
        papers: what is checked.
        tables: those that can be read.
        recipes: likewise.
        whole: as for `validate`.
        using: the tables that may use their recipes and networks; None if not all tables of the papers could be read.
    """
    reading = current_library().reading
    yield from recipe_findings(recipes, None if using is None else {*_used_recipes(using), *reading.extends.values()})
    files = {file for paper in papers for file in paper.recipes}
    yield from (Finding(Level.WARNING, each) for each in reading.borrowings if each.file in files)
    for table in tables:
        yield from table_findings(table)
    yield from network_findings(tables)
    networks = list(_network_files(papers, using, recipes)) if using is not None else None
    for paper in papers:
        if whole and not paper.shipped:
            yield from file_findings(paper, networks, current_library().papers)


def _network_files(papers: Sequence[Paper], tables: Sequence[Table], recipes: Sequence[Recipe]) -> Iterator[Path]:
    """Yield the Python files that tables and the defaults of recipes name."""
    for row in (row for table in tables for row in table.rows):
        if row.model and is_outside(row.model) and (file := outside(row.model).file):
            yield file
    for name in (name for each in recipes for name in each.default_for if is_outside(name)):
        yield from (file for paper in papers for file in paper.folder.rglob(bare(name).rpartition(":")[0]))
