"""A plan for a terminal, for a notebook, as a DataFrame, as CSV and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from repro.console import json_text, stdout
from repro.frames import Columns, Dtype, frame_of
from repro.planning.deciding import ENOUGH
from repro.planning.plan import Plan, PlannedRow, PlannedRun
from repro.recipes import Library, current_library, within
from repro.report import GRID_FORMATS, ReportFormat
from repro.report.formats.csv import csv_text
from repro.report.grid import DASH, Grid, Heading, Line, Shown
from repro.report.notes import Note
from repro.store.run_state import RunState
from repro.text import choose, duration, number_of, size

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import RenderableType

SHARE = f"{ENOUGH:.0%}".replace("%", " %")
MEANING = (
    f"the total number, including those so far, that decides the verdict with a probability of {SHARE} if there is no "
    "true difference."
)
"""The meaning of the column of seeds."""
COLUMNS: Columns = {
    **dict.fromkeys(("table", "row", "column", "published"), Dtype.TEXT),
    **{each.value: Dtype.INTEGER for each in RunState},
    "seconds": Dtype.NUMBER,
    "basis": Dtype.TEXT,
    "guess": Dtype.FLAG,
    "disk_bytes": Dtype.INTEGER,
    "memory_bytes": Dtype.INTEGER,
    "memory_basis": Dtype.TEXT,
    "judged": Dtype.FLAG,
    "deciding_seeds": Dtype.INTEGER,
}
"""The columns of the CSV file and of the frame: the data of a row without its runs."""


@dataclass(frozen=True, repr=False)
class PlanReport:
    """What is shown of a plan. A notebook shows it as HTML, and `repr` is what a terminal shows."""

    plan: Plan
    library: Library = field(default_factory=current_library)
    """The library that the plan is of; the IDs of its runs depend on its datasets."""

    @cached_property
    def grid(self) -> Grid:
        """A line for each printed error."""
        with within(self.library):
            return _grid(self.plan)

    def rich(self) -> RenderableType:
        """Return what a terminal shows: a line for each printed error, the runs that others train, and the totals."""
        from rich.console import Group
        from rich.text import Text

        from repro.report.formats import terminal

        with within(self.library):
            lines = list(map(Text, [*_held(self.plan), *summary(self.plan)]))
        return Group(terminal.grid_rich(self.grid), *lines, Text(f"Seeds: {MEANING}", style="dim"))

    def text(self, format: ReportFormat | str) -> str:
        """Return the plan for a terminal, as CSV or as JSON, with a newline at the end."""
        chosen = choose("format", format, [*GRID_FORMATS])
        if chosen == ReportFormat.RICH:
            from repro.report.formats import terminal

            return terminal.plain(self.rich())
        if chosen == ReportFormat.CSV:
            return csv_text([_row_data(row) for row in self.plan.rows], [*COLUMNS])
        with within(self.library):  # the IDs of runs depend on the library's datasets
            rows = [{**_row_data(row), "runs": list(map(_run_data, row.runs))} for row in self.plan.rows]
            totals = _totals(self.plan)
        return json_text({"device": self.plan.device, "rows": rows, "totals": totals})

    def to_frame(self) -> DataFrame:
        """Return a row for each printed error; its runs are counted by their state."""
        return frame_of(map(_row_data, self.plan.rows), COLUMNS)

    def __repr__(self) -> str:
        from repro.report.formats import terminal

        return terminal.plain(self.rich(), stdout().width).rstrip()

    def _repr_html_(self) -> str:
        from repro.report.formats.html import notebook_html

        with within(self.library):
            notes = (Note("Runs", tuple(summary(self.plan))), Note("Seeds", (MEANING,)))
        return notebook_html([self.grid], notes)


def summary(plan: Plan) -> list[str]:
    """Return the totals of a plan, each run counted once."""
    states = [f"{plan.states[each]} {each}" for each in RunState if plan.states[each]]
    first = ": ".join(filter(None, [number_of(len(plan.runs), "run"), ", ".join(states)]))
    if plan.without_recipe:
        first += f"; no recipe is implemented for {number_of(plan.without_recipe, 'result')}"
    left = plan.to_train
    if left.memory is None:
        return [f"{first}. There is nothing to train."]
    part = "all" if left.guessed == left.seconds else duration(left.guessed)
    guessed = f", {part} of it guessed" if left.guessed else ""
    untimed = f", and {number_of(left.untimed, 'run')} of unknown time" if left.untimed else ""
    return [
        f"{first}.",
        f"To train: {duration(left.seconds)} of device time on {plan.device}{guessed}{untimed}.",
        f"Needed: {size(left.disk)} for checkpoints, at most {size(left.memory.bytes)} of memory ({left.memory.text}).",
    ]


def _grid(plan: Plan) -> Grid:
    """Return a line for each printed error."""
    several = len({row.table.name for row in plan.rows}) > 1
    headings = (
        *([Heading("Table")] if several else []),
        Heading("Row"),
        Heading("Paper", numeric=True),
        Heading("Runs"),
        Heading("Time left", numeric=True),
        Heading("Memory", numeric=True),
        Heading("Estimated from"),
        Heading("Seeds", numeric=True),
    )
    return Grid("Runs that are needed", headings, tuple(_line(row, several) for row in plan.rows))


def _line(row: PlannedRow, several: bool) -> Line:
    """Return the line of a row, which names its table if the plan has several."""
    error, data = row.error, _row_data(row)
    states = "; ".join(_state(row, each) for each in RunState if row.count(each))
    seconds, memory = data["seconds"], data["memory_bytes"]
    cells = (
        *([row.table.name] if several else []),
        error.label,
        error.cell.text,
        states,
        DASH if seconds is None else duration(seconds),
        DASH if memory is None else size(memory),
        data["basis"] or DASH,
        _seeds(row),
    )
    return Line(tuple(map(Shown, cells)))


def _state(row: PlannedRow, state: RunState) -> str:
    """Return how many runs are in a state, and how far those with checkpoints are."""
    steps = [run.status for run in row.runs if run.status.state is state and run.status.step]
    far = ", ".join(f"step {each.step:,} of {each.steps:,}" for each in steps)
    return f"{row.count(state)} {state}{f' ({far})' if far else ''}"


def _seeds(row: PlannedRow) -> str:
    if not row.error.judgeable:
        return DASH
    return "never" if row.seeds is None else str(row.seeds)


def _row_data(row: PlannedRow) -> dict[str, Any]:
    """Return a row as plain data, with exact figures."""
    left, memory = row.to_train, row.to_train.memory
    return {
        "table": row.table.name,
        "row": row.table.called(row.error.row),
        "column": row.error.column.key,
        "published": row.error.cell.text,
        **{each.value: row.count(each) for each in RunState},
        "seconds": left.seconds if left.untimed < len(left.runs) else None,
        "basis": "; ".join(dict.fromkeys(each.image_time.text for each in left.runs if each.image_time)),
        "guess": any(each.image_time.basis.guess for each in left.runs if each.image_time),
        "disk_bytes": left.disk,
        "memory_bytes": memory and memory.bytes,
        "memory_basis": memory and memory.text,
        "judged": row.error.judgeable,
        "deciding_seeds": row.seeds,
    }


def _run_data(run: PlannedRun) -> dict[str, Any]:
    status = run.status
    return {
        "id": status.experiment.id,
        "name": status.experiment.name,
        "seed": status.experiment.seed,
        "state": status.state.value,
        "step": status.step,
        "steps": status.steps,
        "holder": status.holder,
        "seconds": run.seconds,
        "basis": run.image_time and run.image_time.text,
    }


def _totals(plan: Plan) -> dict[str, Any]:
    left, memory = plan.to_train, plan.to_train.memory
    return {
        **{each.value: plan.states[each] for each in RunState},
        "without_recipe": plan.without_recipe,
        "device_hours": left.seconds / 3600,
        "device_hours_guessed": left.guessed / 3600,
        "runs_of_unknown_time": left.untimed,
        "disk_bytes": left.disk,
        "memory_bytes": memory and memory.bytes,
        "memory_basis": memory and memory.text,
    }


def _held(plan: Plan) -> list[str]:
    """Return the runs that other processes train, a line for each."""
    held = (each.status for each in plan.runs if each.status.holder)
    return [f"{each.experiment.name} is being trained by {each.holder}" for each in held]
