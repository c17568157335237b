"""A printed table: columns, rows and their cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from repro.counting.conventions import Convention
from repro.data import DATASETS
from repro.data.inputs.protocol import ONE_CROP, Protocol
from repro.errors import Place, UserError, WrongFiles
from repro.experiment import Experiment, experiment_for
from repro.models import OptionValue, resolve_options
from repro.tables.cell import Cell
from repro.tables.column import Column, ColumnKind, Statistic
from repro.tables.metric import Metric
from repro.tables.replications import Replication


@dataclass(frozen=True)
class Row:
    """A printed line: a network, its options, and the printed cells by column."""

    label: str
    """What the paper calls it."""
    cells: Mapping[str, Cell]
    """The printed cells, by the key of the column."""
    model: str | None = None
    """Its network; none for a row that the paper quotes from elsewhere."""
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """Options of the network."""
    dataset: str | None = None
    """The dataset of its errors, if it differs from the column's and the table's."""
    recipe: str | None = None
    """Its recipe, if it differs from the column's."""
    statistic: Statistic | None = None
    """Its statistic, if it differs from the column's."""
    runs: int | None = None
    """The number of the paper's runs, if it differs from the column's."""
    protocol: Protocol | None = None
    """Its test protocol, if it differs from the column's."""
    no_recipe: str = ""
    """Why its errors have no recipe: what is not known of their training."""
    count_only: bool = False
    """Whether the network is implemented although the paper quotes the row's errors: it is counted and timed, but no
    run is compared with the errors."""
    replications: tuple[Replication, ...] = ()
    """What others report for its errors; not a key of the row, but a file of its own."""

    @property
    def quoted(self) -> bool:
        """Whether the paper quotes the row's errors from elsewhere."""
        return self.model is None or self.count_only


@dataclass(frozen=True)
class RunsPerRow:
    """The runs that are trained for each printed error."""

    seeds: int | None = None
    """How many, with the seeds 0, 1, ... (default: as many as the paper ran)."""
    epochs: int | None = None
    """Epochs of each (default: the recipe's)."""


AS_PUBLISHED = RunsPerRow()


@dataclass(frozen=True)
class PrintedError:
    """A printed error of a network, and how it was obtained."""

    row: Row
    column: Column
    dataset: str
    recipe: str | None
    """None if there is no recipe for it."""
    statistic: Statistic
    """The statistic over the paper's runs that the cell is."""
    runs: int
    """The number of the paper's runs: see `printed_runs`."""
    protocol: Protocol
    """The test protocol of image files."""
    cell: Cell
    table: Table = field(compare=False, repr=False)

    @property
    def label(self) -> str:
        """The row, with its column if the table has several columns of errors."""
        columns = [self.column.label] if len(self.table.of_kind(ColumnKind.ERROR)) > 1 else []
        return ", ".join([self.table.called(self.row), *columns])

    @property
    def options(self) -> dict[str, OptionValue]:
        """Every option of the network, as in `Table.options`."""
        return self.table.options(self.row)

    @property
    def replications(self) -> list[Replication]:
        """What others report for it, in the file of its table."""
        return [each for each in self.row.replications if each.reported.column == self.column.key]

    @property
    def images(self) -> int:
        """The number of test images."""
        return DATASETS[self.dataset].test_images

    @property
    def printed_runs(self) -> int | None:
        """The number of the paper's runs; None if it does not say, which is taken as one."""
        return self.row.runs or self.column.runs

    @property
    def judgeable(self) -> bool:
        """Whether its runs get a verdict: there is a recipe, and the column is comparable."""
        return self.recipe is not None and self.column.comparable

    def is_of_network(self, model: str, options: Mapping[str, OptionValue], dataset: str, protocol: Protocol) -> bool:
        """Whether this is a top-1 error of a network, with all its options, tested on a dataset by a protocol."""
        own = (self.row.model, self.dataset, self.column.metric, self.protocol)
        return own == (model, dataset, Metric.ERROR, protocol) and self.options == options

    def experiment(self, seed: int, epochs: int | None = None, overrides: Sequence[str] = ()) -> Experiment:
        """Return the experiment of an error with a recipe; UserError if `epochs` is below 1.

        `overrides` replace values of the recipe, as for `experiment_for`.
        """
        assert self.row.model
        assert self.recipe
        return experiment_for(
            self.row.model, self.options, seed=seed, recipe_name=self.recipe, epochs=epochs, overrides=overrides
        )


@dataclass(frozen=True)
class Table:
    """A printed table."""

    name: str
    title: str
    """What the paper calls it, such as `Table 2`."""
    caption: str
    """What it shows."""
    paper: str
    """The name of the paper in lists."""
    source: str
    """Where it is printed: authors, paper, identifier and place."""
    dataset: str
    """The dataset of its errors, unless a column or a row has another one; see `repro list datasets`."""
    flops_convention: Convention
    """How the paper counts FLOPs: `paper`, `fvcore` or `macs`, as `repro count --help` explains."""
    columns: tuple[Column, ...]
    """The printed columns, in their order."""
    rows: tuple[Row, ...]
    """The printed lines, in their order."""
    notes: tuple[str, ...] = ()
    """What a reader should know besides the cells, such as contradictions in the paper."""
    file: Path = field(default=Path(), compare=False)
    """The file that gives it."""

    @cached_property
    def column(self) -> Mapping[str, Column]:
        """The columns by key."""
        return {column.key: column for column in self.columns}

    def of_kind(self, *kinds: ColumnKind) -> list[Column]:
        """Return the columns of some kinds."""
        return [column for column in self.columns if column.kind in kinds]

    def errors(self, rows: Sequence[Row] | None = None) -> list[PrintedError]:
        """Return the printed errors of some rows, or of all; rows with quoted errors have none."""
        shown = self.rows if rows is None else rows
        columns = self.of_kind(ColumnKind.ERROR)
        return [
            self._error(row, column)
            for row in shown
            for column in columns
            if not row.quoted and column.key in row.cells
        ]

    def _error(self, row: Row, column: Column) -> PrintedError:
        return PrintedError(
            row=row,
            column=column,
            dataset=row.dataset or column.dataset or self.dataset,
            recipe=None if row.no_recipe else row.recipe or column.recipe,
            statistic=row.statistic or column.statistic or Statistic.LAST,
            runs=row.runs or column.runs or 1,
            protocol=row.protocol or column.protocol or ONE_CROP,
            cell=row.cells[column.key],
            table=self,
        )

    def matching(self, pattern: str) -> tuple[Row, ...]:
        """Return the rows that are `like` a pattern; UserError if no row is."""
        if rows := self.like(pattern):
            return rows
        called = " | ".join(map(self.called, self.rows))
        raise UserError(f"no row of {self.name} matches {pattern!r}; its rows: {called}")

    def like(self, pattern: str) -> tuple[Row, ...]:
        """Return the rows with a label, or else those whose label matches a pattern; empty if no row does.

        A row may also be named as `called` returns it. Case and spaces are ignored; `*` matches any characters and `?`
        one. Without these, a part of the label is enough.
        """
        wanted = _plain(pattern)
        part = (wanted if any(sign in pattern for sign in "*?") else f"*{wanted}*").replace("[", "[[]")
        names = [(row, (_plain(row.label), _plain(self.called(row)))) for row in self.rows]
        exactly = tuple(row for row, own in names if wanted in own)
        return exactly or tuple(row for row, own in names if any(fnmatchcase(each, part) for each in own))

    def called(self, row: Row) -> str:
        """Return the label of a row, with what distinguishes it from rows of the same label."""
        if [each.label for each in self.rows].count(row.label) == 1:
            return row.label
        context = [f"{c.label} {row.cells[c.key].text}" for c in self.of_kind(ColumnKind.CONTEXT) if c.key in row.cells]
        return ", ".join([row.label, *context])

    @property
    def time(self) -> Column | None:
        """The column of times, if the table prints them."""
        return next(iter(self.of_kind(ColumnKind.TIME)), None)

    def is_timed(self, row: Row) -> bool:
        """Whether a row has a printed time and a network."""
        return bool(self.time and row.model and self.time.key in row.cells)

    def dataset_of(self, row: Row) -> str:
        """Return the dataset with whose images and classes a row's network is counted and timed."""
        return row.dataset or self.dataset

    def where(self, row: Row) -> str:
        """Return the number and the label of a row, as mistakes name it."""
        return where_of(next(index for index, each in enumerate(self.rows, 1) if each is row), row.label)

    def place(self, row: Row) -> Place:
        """Return the place of a row in the file."""
        return Place(self.file, self.where(row))

    def refused(self, row: Row, error: UserError) -> WrongFiles:
        """Return why a row's network is refused, with the place in the file."""
        return self.place(row).refused(f"model: {error}")

    def options(self, row: Row) -> dict[str, OptionValue]:
        """Return every option of a row's network, defaults included; this runs code from outside the package.

        Raises:
            WrongFiles: the network has no such option, or cannot be imported; the mistake names file and row.
        """
        assert row.model
        try:
            return resolve_options(row.model, row.options, self.dataset_of(row))
        except UserError as error:
            raise self.refused(row, error) from error


def where_of(index: int, label: object) -> str:
    """Return how mistakes name row 1, 2, ... of a table."""
    return f"row {index} ({label})"


def _plain(label: str) -> str:
    """Return a label in lower case without spaces, so that `N=4` matches `DenseResNet-110, N = 4`."""
    return label.lower().replace(" ", "")
