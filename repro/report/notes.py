"""The lines under a table: what must be known to read it."""

from __future__ import annotations

from repro.comparison.explain import inferred
from repro.comparison.join import Comparison
from repro.comparison.rule import RULE, t_of_equivalence, t_of_margin
from repro.comparison.times import TimeCell
from repro.counting.conventions import CONVENTIONS
from repro.report.legend import marks
from repro.text import number_of


def notes(comparison: Comparison) -> list[str]:
    """Return source, convention, recipes, protocol, times, the paper's own traps, and the rule of the verdicts."""
    table = comparison.table
    protocols = [column.protocol for column in table.of_kind("error") if column.protocol]
    lines = [f"Source: {table.source}"]
    flops = f"FLOPs: {table.flops_convention!r}, {CONVENTIONS[table.flops_convention]}"
    lines += [flops] if table.of_kind("flops") else []
    lines += [f"Recipe: {name}, {_inferred(name)}" for name in recipe_names(comparison)]
    lines += [f"Test: {protocol}" for protocol in dict.fromkeys(protocols)]
    errors = [cell.verdict for each in comparison.rows for cell in each.errors.values() if cell.n]
    lines += [f"Marks: {marks(errors)}"] if errors and len(table.of_kind("error")) > 1 else []
    lines += time_lines(comparison)
    lines += [f"Note: {note}" for note in table.notes]
    lines += best_epochs(comparison)
    return [*lines, *rule(comparison)]


def rule(comparison: Comparison) -> list[str]:
    """Return the rule of the verdicts, and what it takes here; nothing where nothing is judged."""
    spread, cells = comparison.spread, comparison.cells
    if spread is None:
        return []
    share = f"spread {spread.phi:.2f} of the binomial one, {spread.degrees} degrees of freedom"
    margin, equivalence = t_of_margin(spread.degrees, cells), t_of_equivalence(spread.degrees)
    shared = f"the 5 % shared among {number_of(cells, 'cell')}"
    return [RULE, f"Here: {share}; {shared}; t = {margin:.2f} for the margin, {equivalence:.2f} for equivalence"]


def deviating(comparison: Comparison) -> list[str]:
    """Return a line for every run that is not counted."""
    return [
        f"Not counted: {each.name}, {', '.join(each.deviations)}: {each.error:.2f} %, {each.precision}, {each.device}"
        for each in comparison.deviating
    ]


def recipe_names(comparison: Comparison) -> list[str]:
    """Return the names of the recipes behind a table, once each."""
    table = comparison.table
    names = [table.recipe(each.row, table.column[key]) for each in comparison.rows for key in each.errors]
    return list(dict.fromkeys(name for name in names if name))


def best_epochs(comparison: Comparison) -> list[str]:
    """Return the errors of the best epochs, which no verdict uses."""
    table = comparison.table
    found = [
        f"{table.called(each.row)}, {table.column[key].label}: {cell.best_epoch:.{cell.digits}f}"
        for each in comparison.rows
        for key, cell in each.errors.items()
        if cell.best_epoch is not None
    ]
    if not found:
        return []
    what = "Extra, used by no verdict: the lowest test error after any epoch, chosen on the test set, mean over seeds"
    return [f"{what}: {'; '.join(found)}"]


def time_lines(comparison: Comparison) -> list[str]:
    """Return what must be known of the times: to which row they are ratios, and how and where ours were measured."""
    table = comparison.table
    cells = [cell for each in comparison.rows for cell in each.times.values()]
    if table.time is None or not cells:
        return []
    lines = [f"{table.time.label}: (ratios) to {cells[0].reference}; they depend on the hardware, so none is judged"]
    return [*lines, *(f"{table.time.label}{line}" for line in _ours(cells, table.name))]


def _ours(cells: list[TimeCell], name: str) -> list[str]:
    ours = next((cell for cell in cells if cell.timing and cell.ratio == 1), None)
    if ours is None or ours.timing is None:
        return [f": ours not measured; repro table {name} --time"]
    timing, unit = ours.timing, f"{ours.seconds:.3g} s a step of {ours.batch} images for {ours.reference}"
    where = f"{timing.device}, {timing.precision}, {timing.started[:10]}"
    lines = [f", ours: {timing.how}; {unit}; {where}"]
    if not timing.steady:
        busy = f"a row's median window took {timing.spread:.1f} times its fastest, so that the ratios say little"
        lines.append(f", ours: measured on a busy machine: {busy}; measure again")
    return lines


def _inferred(name: str) -> str:
    """Return which values of a recipe are not printed in its paper."""
    values = [value.partition(" = ")[0] for place in inferred(name).values() for value in place]
    return f"inferred: {', '.join(values)}" if values else "every value printed or read in the authors' code"
