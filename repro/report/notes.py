"""The notes that a reader needs to understand a table, each under a heading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from shlex import quote

from repro.comparison.explain import inferred
from repro.comparison.join import Comparison
from repro.comparison.rule import t_of_equivalence, t_of_margin
from repro.comparison.spread import Spread
from repro.comparison.times import TimeCell
from repro.comparison.verdict import Verdict
from repro.recipes.library import naming_papers
from repro.report.view import ALL, View
from repro.store.command_text import command_with
from repro.store.results import is_shipped
from repro.tables import Column, ColumnKind, PrintedError, Statistic, Table, table_as_typed
from repro.tables.column import OTHERS, WEIGHTS
from repro.text import number_of

RECIPES = "Recipes"


@dataclass(frozen=True)
class Note:
    """Lines under one heading."""

    heading: str
    lines: tuple[str, ...]


def notes_of(comparison: Comparison, view: View = ALL) -> tuple[Note, ...]:
    """Return the notes of a table, from its source to the best epochs, without those on what is not shown."""
    table, shown = comparison.table, view.of_comparison(comparison)
    counts = [each for each in table.of_kind(ColumnKind.PARAMS, ColumnKind.FLOPS) if view.shows(each.key)]
    has_flops = any(each.kind == ColumnKind.FLOPS for each in counts)
    notes = {
        "Source": [table.source],
        "FLOPs": [f"{table.flops_convention.meaning} ({table.flops_convention.value!r})"] if has_flops else [],
        "Counts": [f"{each.label}: {each.remark}" for each in counts if each.remark],
        RECIPES: [f"{name}, {_inferred(name)}" for name in recipe_names(shown)],
        "Errors": [*_protocols(shown), *_without_recipe(shown)],
        "Times": time_lines(shown),
        "Records": _repeated(shown),
        "Others": _others(comparison, view),
        "Weights": _weights(comparison, view),
        "Notes": list(table.notes),
        "Marks": _marks(shown),
        "Verdicts": _figures_of_the_rule(shown),
        "For information": _best_epochs(shown),
    }
    return tuple(Note(heading, tuple(lines)) for heading, lines in notes.items() if lines)


def recipe_names(comparison: Comparison) -> list[str]:
    """Return the names of the recipes of a table, without repetitions."""
    names = [cell.printed.recipe for row in comparison.rows for cell in row.errors.values()]
    return list(dict.fromkeys(name for name in names if name))


def _inferred(name: str) -> str:
    """Return which values of a recipe are not printed in its paper."""
    names = [each.name for values in inferred(name).values() for each in values]
    return f"inferred: {', '.join(names)}" if names else "every value is printed or read in the authors' code"


def _protocols(comparison: Comparison) -> Iterator[str]:
    """Yield the statistic and the protocol of the printed errors; columns that agree share a line."""
    found: dict[str, list[str]] = {}
    printed = {key for each in comparison.rows for key in each.errors}
    columns = [each for each in comparison.table.of_kind(ColumnKind.ERROR) if each.key in printed]
    for column in columns:
        found.setdefault(_protocol(comparison, column), []).append(column.label)
    for protocol, labels in found.items():
        yield protocol if len(columns) == 1 else f"{'; '.join(labels)}: {protocol}"


def _without_recipe(comparison: Comparison) -> Iterator[str]:
    """Yield why rows have no recipe; rows with the same reason share a line."""
    found: dict[str, list[str]] = {}
    for each in comparison.rows:
        if each.row.no_recipe and each.errors:
            found.setdefault(each.row.no_recipe, []).append(comparison.table.called(each.row))
    for reason, labels in found.items():
        yield f"{', '.join(labels)}: {Verdict.NO_RECIPE}: {reason}"


def _protocol(comparison: Comparison, column: Column) -> str:
    """Return the statistic of a column's errors, how the test images are shown, and whether there is a recipe."""
    cells = [row.errors[column.key] for row in comparison.rows if column.key in row.errors]
    without = Verdict.NO_RECIPE if not any(cell.printed.recipe for cell in cells) else ""
    tested = _tested(column, [cell.printed for cell in cells])
    words = (_statistic(column, [cell.printed for cell in cells]), tested, column.remark, without)
    return "; ".join(each for each in words if each)


def _tested(column: Column, errors: Sequence[PrintedError]) -> str:
    """Return the test protocol of a column's errors on image files, and that of rows that differ."""
    differing = [f"{each.table.called(each.row)}: {each.protocol}" for each in errors if each.row.protocol]
    usual = [str(column.protocol)] if column.protocol and len(differing) < len(errors) else []
    return "; ".join([*usual, *differing])


def _statistic(column: Column, errors: Sequence[PrintedError]) -> str:
    """Return which statistic a column's errors are, such as `median of 5 runs`, and that of rows that differ."""
    differing = [each for each in errors if each.row.statistic or each.row.runs]
    statistics = ((each, statistic_of_runs(each.statistic, each.printed_runs)) for each in differing)
    words = [f"{each.table.called(each.row)}: {text}" for each, text in statistics]
    if len(differing) < len(errors):
        words.insert(0, statistic_of_runs(column.statistic or Statistic.LAST, column.runs))
    return "; ".join(words)


def statistic_of_runs(statistic: Statistic, runs: int | None) -> str:
    """Return a statistic of the paper's runs, such as `median of 5 runs`; their number is None if it is not printed."""
    if runs is None:
        unknown = "number of runs not printed, taken as one"
        return unknown if statistic == Statistic.LAST else f"{statistic}, {unknown}"
    return "one run" if runs == 1 else f"{statistic} of {runs} runs"


def _marks(comparison: Comparison) -> list[str]:
    """Return the meaning of the marks next to errors, if a table has several columns of them."""
    verdicts = {cell.verdict for row in comparison.rows for cell in row.errors.values() if cell.n}
    if not verdicts or len(comparison.table.of_kind(ColumnKind.ERROR)) == 1:
        return []
    return [", ".join(f"{each.mark} {each}" for each in Verdict if each in verdicts)]


def _figures_of_the_rule(comparison: Comparison) -> list[str]:
    """Return the figures that the rule of the verdicts uses for this table; nothing without verdicts."""
    spread, cells = comparison.spread, comparison.cells
    if spread is None:
        return []
    shared = f"a false-alarm rate of 5 % shared among {number_of(cells, 'error')}"
    return [f"{_spread(spread)}; {shared}; {_quantiles(spread, cells)}", *_own_spreads(comparison)]


def _own_spreads(comparison: Comparison) -> Iterator[str]:
    """Yield the figures of the errors that are judged by the spread of their own seeds."""
    why = "its seeds differ more than independent images explain, so it is judged by their spread alone"
    for each in comparison.rows:
        for key, cell in each.errors.items():
            if own := cell.own_spread:
                place = f"{comparison.table.called(each.row)}, {comparison.table.column[key].label}"
                yield f"{place}: {why}: {_spread(own)}; {_quantiles(own, comparison.cells)}"


def _spread(spread: Spread) -> str:
    degrees = f"{number_of(spread.degrees, 'degree')} of freedom"
    return f"spread between seeds {spread.phi:.2f} times the binomial one, {degrees}"


def _quantiles(spread: Spread, cells: int) -> str:
    """Return the quantiles of Student's t that the margin and the equivalence test use."""
    margin, equivalence = t_of_margin(spread.degrees, cells), t_of_equivalence(spread.degrees)
    return f"t = {margin:.2f} for the margin, {equivalence:.2f} for equivalence"


def _repeated(comparison: Comparison) -> list[str]:
    """Return the runs with several records, of which one is used, and how to keep one unless all are shipped."""
    return [
        f"{len(records)} records of seed {records[0].seed} "
        f"({', '.join(each.shown for each in records)}): the first is used"
        f"{'' if is_shipped(comparison.results) else f'; {_keeping(records[0].name, comparison)}'}"
        for records in comparison.repeated
    ]


def _keeping(run: str, comparison: Comparison) -> str:
    command = command_with(f"repro runs keep {quote(run)}", {"results": comparison.results})
    return f"{naming_papers(command)} lists them and keeps one"


def _others(comparison: Comparison, view: View) -> list[str]:
    """Return what the column of replications means; nothing without any."""
    reported = [each.reported.column for row in comparison.rows for each in row.replications]
    if not any(view.shows_of(OTHERS, column) for column in reported):
        return []
    what = "a cell such as 5: 6.2–7.1 means five replications, with errors from 6.2 to 7.1 %; no verdict uses them"
    listing = naming_papers(f"repro table {table_as_typed(comparison.table)} --format json")
    return [f"{what}; {listing} lists their sources and differences"]


def _weights(comparison: Comparison, view: View) -> list[str]:
    """Return what the column of weights means; nothing without any."""
    tested = [column for row in comparison.rows for column, cell in row.errors.items() if cell.weights]
    if not any(view.shows_of(WEIGHTS, column) for column in tested):
        return []
    return ["the error of published weights, tested here; no verdict uses it"]


def _best_epochs(comparison: Comparison) -> list[str]:
    """Return the errors of the best epochs, which no verdict uses."""
    table = comparison.table
    found = [
        f"{table.called(each.row)}, {table.column[key].label}: {cell.rounded(cell.best_epoch)}"
        for each in comparison.rows
        for key, cell in each.errors.items()
        if cell.best_epoch is not None
    ]
    what = "best-epoch error (chosen on the test set, mean over seeds; no verdict uses it)"
    return [f"{what}: {'; '.join(found)}"] if found else []


def time_lines(comparison: Comparison) -> list[str]:
    """Return which row the times are relative to, and how and where ours were measured."""
    table = comparison.table
    cells = [cell for each in comparison.rows for cell in each.times.values()]
    if table.time is None or not cells:
        return []
    reference = f"in parentheses, the ratio to {cells[0].reference}; it depends on the hardware, so there is no verdict"
    return [f"{table.time.label}: {each}" for each in (reference, *_ours(cells, table))]


def _ours(cells: list[TimeCell], table: Table) -> list[str]:
    ours = next((cell for cell in cells if cell.timing and cell.ratio == 1), None)
    if ours is None or ours.timing is None:
        return [f"ours not measured; {naming_papers(f'repro table {table_as_typed(table)} --time')} measures it"]
    timing = ours.timing
    unit = f"{ours.seconds:.3g} s for a step of {ours.batch} images of {ours.reference}"
    lines = [f"ours from {timing.how}; {unit}; {timing.device}, {timing.precision}, {timing.started[:10]}"]
    if not timing.steady:
        busy = f"the median window of a row took {timing.spread:.1f} times as long as its fastest"
        lines.append(f"ours measured on a busy machine: {busy}, so the ratios are unreliable; measure again")
    return lines
