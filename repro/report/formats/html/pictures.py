"""Forest plots, curves and gates as pictures of the page, in both themes, with their numbers."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from repro.comparison.join import Comparison
from repro.report.grid import Grid, Heading, Line, Shown
from repro.store.gates import latest_gates
from repro.store.results import Record

if TYPE_CHECKING:
    from repro.figures import Curves, Figure, Forest, Gates
    from repro.figures.curves import Band, Panel
    from repro.figures.forest import ForestRow

EPOCHS = 24
"""Approximate number of epochs in the table of a curve's numbers."""


@dataclass(frozen=True)
class Picture:
    """A picture, its description and its numbers."""

    alt: str
    caption: str
    light: str
    """A data: URI for the light theme; `dark` likewise."""
    dark: str
    numbers: Grid


def curve_pictures(comparison: Comparison, folders: Sequence[Path]) -> list[Picture]:
    """Return the curves of a table's runs, if there are any; runs that deviate are marked in the picture."""
    from repro.figures import curves_of

    errors = [cell.printed for row in comparison.rows for cell in row.errors.values()]
    curves = curves_of(comparison.table, _runs(comparison), folders, errors=errors)
    return [_curves_picture(curves)] if curves else []


def forest_pictures(comparison: Comparison) -> list[Picture]:
    """Return the evidence on a table's printed errors, if there is more than what is printed."""
    from repro.figures import forest_of

    forest = forest_of(comparison)
    return [_forest_picture(forest)] if forest and any(map(_has_evidence, _rows(forest))) else []


def gate_pictures(comparison: Comparison, folders: Sequence[Path]) -> list[Picture]:
    """Return the gates of those of a table's runs that have recorded gates."""
    from repro.figures import gates_of

    paths = (latest_gates(folders, run.name) for run in _runs(comparison))
    return [_gates_picture(gates_of(path)) for path in paths if path]


def _runs(comparison: Comparison) -> list[Record]:
    return [*comparison.runs, *comparison.deviating]


def _rows(forest: Forest) -> list[ForestRow]:
    return [row for panel in forest.panels for row in panel.rows]


def _has_evidence(row: ForestRow) -> bool:
    return len(row.points) > 1


def _forest_picture(forest: Forest) -> Picture:
    rows, known = _rows(forest), [row for row in _rows(forest) if _has_evidence(row)]
    return _picture(
        forest,
        alt=f"Forest plot of {forest.table.name}: for each row the printed error with its margin, what others report, "
        f"published weights and our runs. {len(known)} of {len(rows)} printed errors have any; their numbers follow.",
        caption="The printed error and its margin, what others report, published weights tested here, and our runs. "
        "Verdicts use our runs only.",
        numbers=_forest_numbers(forest),
    )


def _forest_numbers(forest: Forest) -> Grid:
    headings = ("Column", "Row", "Evidence", "Note")
    figures = ("Error %", "From", "To")
    lines = [
        Line(
            (
                *map(Shown, (panel.column.label, row.label, point.kind.value, point.note)),
                *(Shown(f"{each:.2f}") for each in (point.error, point.low, point.high)),
            )
        )
        for panel in forest.panels
        for row in panel.rows
        for point in row.points
    ]
    numeric = (Heading(each, numeric=True) for each in figures)
    return Grid(f"{forest.table.name}: all errors", (*map(Heading, headings), *numeric), tuple(lines))


def _curves_picture(curves: Curves) -> Picture:
    shown = [(panel, curve) for panel in curves.panels for curve in panel.curves]
    last = "; ".join(f"{panel.label}, {curve.label}: {_figure(panel, curve.test[-1])}" for panel, curve in shown)
    return _picture(
        curves,
        alt=f"Line chart of {curves.name}: the test metric after every epoch. After the last epoch: {last}.",
        caption="Tested after every epoch. Runs that deviate from the recipe are drawn if a row has no others.",
        numbers=_curve_numbers(curves),
    )


def _curve_numbers(curves: Curves) -> Grid:
    """Return the median after the first and last epoch and at regular intervals, a line for each epoch."""
    shown = [(panel, curve) for panel in curves.panels for curve in panel.curves]
    longest = max(panel.epochs for panel in curves.panels)
    step = -(-longest // EPOCHS)
    epochs = sorted({1, *range(step, longest + 1, step), *(len(curve.test) for _, curve in shown)})
    headings = (Heading(curve.label, f"{panel.label}, {curve.dataset}", numeric=True) for panel, curve in shown)
    medians = [[_figure(panel, band) for band in curve.test] for panel, curve in shown]
    return Grid(
        f"{curves.name}: the median of the seeds {_which(step)}",
        (Heading("Epoch", numeric=True), *headings),
        tuple(Line((Shown(f"{epoch}"), *(Shown(_at(each, epoch)) for each in medians))) for epoch in epochs),
        sortable=False,
    )


def _which(step: int) -> str:
    if step == 1:
        return "after every epoch"
    return f"after every {step} epochs; all epochs are in curves/ of the results folder"


def _at(curve: Sequence[str], epoch: int) -> str:
    return curve[epoch - 1] if epoch <= len(curve) else ""


def _figure(panel: Panel, band: Band) -> str:
    """Return the median over the seeds."""
    return panel.metric.shown(band.median)


def _gates_picture(gates: Gates) -> Picture:
    (block, distance), greatest = max(gates.means.items(), key=lambda each: each[1])
    nearest = [mean for (_, back), mean in gates.means.items() if back == 1]
    return _picture(
        gates,
        alt=f"Heat map of the gates of {gates.run}, {gates.reached}: blocks in columns, maps back in rows. "
        f"The largest mean weight is {greatest:.2f}, of block {block} for the map {distance} back; "
        f"the mean weight of the nearest maps over the blocks is {sum(nearest) / len(nearest):.2f}.",
        caption=f"Mean gate weight of each block for the maps before it, {gates.reached}: {gates.run}.",
        numbers=_gate_numbers(gates),
    )


def _gate_numbers(gates: Gates) -> Grid:
    """Return the mean weights: one line per block, one column per distance."""
    distances = range(1, gates.most + 1)

    def line(block: int) -> Line:
        means = (gates.means.get((block, distance)) for distance in distances)
        return Line((Shown(f"{block}"), *(Shown("" if mean is None else f"{mean:.3f}") for mean in means)))

    return Grid(
        f"Mean gate weights of {gates.run}",
        (Heading("Block", numeric=True), *(Heading(f"{each}", "Maps back", numeric=True) for each in distances)),
        tuple(line(block) for block in range(1, gates.blocks + 1)),
        sortable=False,
    )


def _picture(figure: Figure, alt: str, caption: str, numbers: Grid) -> Picture:
    """Return a figure in both themes."""
    return Picture(alt, caption, _uri(figure, "light"), _uri(figure, "dark"), numbers)


def _uri(figure: Figure, theme: str) -> str:
    from repro.figures import draw

    return f"data:image/svg+xml;base64,{b64encode(slim(draw(figure, 'svg', theme))).decode()}"


def slim(svg: bytes) -> bytes:
    """Return a smaller picture: long paths cut to tenths of a point, without most fallback fonts and indents."""
    svg = re.sub(rb' d="[^"]{500,}"', lambda path: re.sub(rb"(\.\d)\d+| (?=\n)", rb"\1", path[0]), svg)
    svg = re.sub(rb"'DejaVu Sans', [^;\"]*, sans-serif", b"'DejaVu Sans', Verdana, sans-serif", svg)
    return re.sub(rb"\n +<", b"\n<", svg)
