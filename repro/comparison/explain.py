"""Which cells differ from the printed ones, and what a reader may try: in what our runs may differ from the paper's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from repro.comparison.counts import CountCell
from repro.comparison.join import ComparedRow, Comparison, ErrorCell
from repro.comparison.match import is_of
from repro.recipes import recipe
from repro.recipes.recipe import INFERRED
from repro.recipes.values import values_of
from repro.store.results import Record
from repro.tables import Column, Row, Table

COUNTED_OTHERWISE = "Counted otherwise than printed"


@dataclass(frozen=True)
class Reasons:
    """What may explain that rows differ; the same of all of them."""

    rows: tuple[str, ...]
    """Their labels."""
    lines: tuple[str, ...]
    measured: bool
    """Whether an error differs: a count is exact, and what it rests on stands in the table's notes."""

    @property
    def heading(self) -> str:
        """To which rows the lines belong."""
        rows = "; ".join(self.rows)
        return f"Why {rows} may differ" if self.measured else f"{COUNTED_OTHERWISE}: {rows}"


def off_cells(comparison: Comparison) -> list[str]:
    """Return a line for every shown cell that is off: where it is, the printed figure and ours."""
    column = comparison.table.column
    return [
        f"{comparison.table.name}, {comparison.table.called(each.row)}, {column[key].label}: {_beside(cell)}"
        for each in comparison.rows
        for key, cell in each.off.items()
    ]


def why(comparison: Comparison, compared: ComparedRow) -> list[str]:
    """Return what may explain the cells of a row that differ from the printed ones, a line for each reason."""
    table, lines = comparison.table, []
    for key, cell in compared.differing.items():
        column = table.column[key]
        if isinstance(cell, CountCell):
            lines.append(f"{column.label}: {_beside(cell)}")
        else:
            lines += [f"{column.label}: {each}" for each in _reasons(comparison, compared.row, column, cell)]
    return lines


def has_error_differing(compared: ComparedRow) -> bool:
    """Whether an error of a row differs, not counts alone."""
    return any(isinstance(cell, ErrorCell) for cell in compared.differing.values())


def reasons(comparison: Comparison) -> list[Reasons]:
    """Return what may explain the rows that differ, rows with the same reasons together."""
    found: dict[tuple[tuple[str, ...], bool], list[str]] = {}
    for compared in comparison.rows:
        if lines := why(comparison, compared):
            key = tuple(lines), has_error_differing(compared)
            found.setdefault(key, []).append(comparison.table.called(compared.row))
    return [Reasons(tuple(rows), lines, measured) for (lines, measured), rows in found.items()]


def inferred(name: str) -> dict[str, list[str]]:
    """Return the values of a recipe that are inferred, wholly or in part, as `epochs = 300`, by where they are from."""
    chosen, found = recipe(name), defaultdict(list)
    for each in values_of(chosen):
        if each.inferred:
            place = each.place if each.origin == INFERRED else chosen.origins[each.name]
            found[place].append(f"{each.name} = {each.words}")
    return dict(found)


def _beside(cell: CountCell | ErrorCell) -> str:
    """Return the printed figure and ours in words."""
    if isinstance(cell, CountCell):
        return f"printed {cell.published}, ours {cell.shown} ({cell.exact:,})"
    digits = cell.digits
    spread = f" ± {cell.std:.{digits}f}" if cell.std is not None else ""
    ours = f"{cell.value:.{digits}f}{spread} (n = {cell.n}), margin {cell.margin:.{digits}f}"
    return f"printed {cell.published}, ours {ours}: {cell.verdict}"


def _reasons(comparison: Comparison, row: Row, column: Column, cell: ErrorCell) -> list[str]:
    """Return what an error rests on that the paper does not print, and the runs of it that were not counted."""
    table = comparison.table
    name = table.recipe(row, column)
    assert name
    lines = [f"inferred: {', '.join(values)} ({place})" for place, values in inferred(name).items()]
    lines = lines or ["not the recipe, of which every value is printed or read in the authors' code"]
    return [*lines, *_runtimes(cell.runs), *_deviating(table, row, column, comparison.deviating)]


def _runtimes(runs: Sequence[Record]) -> list[str]:
    """Return how our runs were computed otherwise than in fp32 by one process."""
    lines = []
    for precision in sorted({run.precision for run in runs} - {"fp32"}):
        lines.append(f"{_seeds(run for run in runs if run.precision == precision)} trained in {precision}")
    shared = [run for run in runs if run.runtime.get("processes", 1) > 1]
    if shared:
        lines.append(f"{_seeds(shared)} trained by several processes, which normalise by their share alone")
    return lines


def _seeds(runs: Iterable[Record]) -> str:
    seeds = [str(run.seed) for run in runs]
    return f"seed {seeds[0]} was" if len(seeds) == 1 else f"seeds {', '.join(seeds)} were"


def _deviating(table: Table, row: Row, column: Column, deviating: Sequence[Record]) -> list[str]:
    found = [(run, getattr(run, column.metric)) for run in deviating if row.model and is_of(run, table, row, column)]
    return [
        f"not counted: seed {run.seed} with {', '.join(run.deviations)}: {value:.2f}"
        for run, value in found
        if value is not None
    ]
