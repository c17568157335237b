"""Which cells differ from the printed ones, and possible reasons: how our runs may differ from the paper's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from repro.comparison.counts import CountCell
from repro.comparison.join import ComparedRow, Comparison, ErrorCell
from repro.comparison.match import figure_of, is_of
from repro.recipes import RECIPES, SourceKind
from repro.recipes.source import sources_text
from repro.recipes.values import Value, values_of
from repro.store.results import Record
from repro.tables import PrintedError


def mismatch_lines(comparison: Comparison) -> list[str]:
    """Return a line for every shown cell that is a mismatch: where it is, the printed figure and ours."""
    column = comparison.table.column
    return [
        f"{comparison.table.name}, {comparison.table.called(each.row)}, {column[key].label}: {_figures(cell)}"
        for each in comparison.rows
        for key, cell in each.mismatches.items()
    ]


def reasons(comparison: Comparison, compared: ComparedRow) -> list[str]:
    """Return what may explain the cells of a row that differ from the printed ones, a line for each reason."""
    lines = []
    for key, cell in compared.differing.items():
        label = comparison.table.column[key].label
        found = [_figures(cell)] if isinstance(cell, CountCell) else _reasons(cell, comparison.deviating)
        lines += [f"{label}: {each}" for each in found]
    return lines


def inferred(name: str) -> dict[str, list[Value]]:
    """Return the values of a recipe that are inferred, wholly or in part, by their source in words."""
    found = defaultdict[str, list[Value]](list)
    for each in values_of(RECIPES[name]):
        if each.inferred:
            source = each.detail if each.kind is SourceKind.INFERRED else sources_text(each.sources)
            found[source].append(each)
    return dict(found)


def _figures(cell: CountCell | ErrorCell) -> str:
    """Return the printed figure and ours in words."""
    if isinstance(cell, CountCell):
        assert cell.exact is not None
        return f"printed {cell.published}, ours {cell.shown} ({cell.exact:,})"
    assert cell.value is not None
    spread = "" if cell.std is None else f" ± {cell.rounded(cell.std)}"
    ours = f"{cell.rounded(cell.value)}{spread} (n = {cell.n}), {cell.margin_text}"
    return f"printed {cell.published}, ours {ours}: {cell.verdict}"


def _reasons(cell: ErrorCell, deviating: Sequence[Record]) -> list[str]:
    """Return the values behind an error that the paper does not print, and its runs that no verdict uses."""
    assert cell.printed.recipe
    lines = [
        f"inferred: {', '.join(f'{each.name} = {each.text}' for each in values)} ({place})"
        for place, values in inferred(cell.printed.recipe).items()
    ]
    lines = lines or ["the recipe is not a reason: every value is printed or read in the authors' code"]
    return [*lines, *_reduced(cell.runs), *_deviating(cell.printed, deviating)]


def _reduced(runs: Sequence[Record]) -> list[str]:
    """Return which of our runs were not trained in fp32, with torch's kernels, by one process."""
    lines = []
    for precision in sorted({run.precision for run in runs} - {"fp32"}):
        lines.append(f"{_seeds(run for run in runs if run.precision == precision)} trained in {precision}")
    if fused := [run for run in runs if run.trained_by.fused]:
        lines.append(f"{_seeds(fused)} trained with the kernels of --fused")
    if shared := [run for run in runs if run.trained_by.processes > 1]:
        lines.append(f"{_seeds(shared)} trained by several processes, each with its own BatchNorm statistics")
    return lines


def _seeds(runs: Iterable[Record]) -> str:
    seeds = [str(run.seed) for run in runs]
    return f"seed {seeds[0]} was" if len(seeds) == 1 else f"seeds {', '.join(seeds)} were"


def _deviating(error: PrintedError, deviating: Sequence[Record]) -> list[str]:
    found = [(run, figure_of(run, error)) for run in deviating if is_of(run, error)]
    return [
        f"not used: seed {run.seed} with {', '.join(run.deviations)}: {value:.2f}"
        for run, value in found
        if value is not None
    ]
