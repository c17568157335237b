"""The counts of networks next to the published ones: in a terminal, in a notebook, as a DataFrame and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from repro.comparison.published import PublishedCounts
from repro.console import stdout
from repro.counting.conventions import Convention
from repro.counting.count import Count, ModuleCount
from repro.frames import Dtype, frame_of
from repro.models.options import OptionValue, Shape, shape_text
from repro.models.typed import typed_name, typed_options
from repro.report.cells import MATCH
from repro.report.grid import Grid, Heading, Line, Shown
from repro.report.notes import Note
from repro.tables import Cell

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import RenderableType

COLUMNS = {
    "table": Dtype.TEXT,
    "row": Dtype.TEXT,
    "params": Dtype.INTEGER,
    "flops": Dtype.INTEGER,
    "flops_convention": Dtype.TEXT,
    "params_published": Dtype.TEXT,
    "flops_published": Dtype.TEXT,
    "params_match": Dtype.FLAG,
    "flops_match": Dtype.FLAG,
}
"""The columns of the frame."""


@dataclass(frozen=True, kw_only=True, repr=False)
class CountReport:
    """Exact counts of one network for one image. A notebook shows it as HTML, and `repr` is what a terminal shows."""

    model: str
    """Its name; for a network that was built elsewhere, its class."""
    options: Mapping[str, OptionValue]
    dataset: str | None
    """The dataset whose images and classes the network is for; None for others."""
    input: Shape
    """C, H, W of an image."""
    classes: int | None
    """None for a network that was built elsewhere."""
    counts: Count
    conventions: tuple[Convention, ...]
    """Those of the FLOPs that are shown."""
    small: bool
    """Whether the network has the form for small images, which the paper does not have."""
    reason: str = ""
    """Why the options have these values, if they are defaults that depend on the dataset."""
    published: tuple[PublishedCounts, ...] = ()
    modules: tuple[ModuleCount, ...] = ()
    """Every module, if they were asked for; the first one is the network."""

    @property
    def params(self) -> int:
        """Exact number of parameters."""
        return self.counts.params

    @property
    def flops(self) -> int:
        """FLOPs in the convention `flops_convention`."""
        return self.counts.flops[self.flops_convention]

    @property
    def flops_convention(self) -> Convention:
        """The convention of `flops`: the first one that is shown."""
        return self.conventions[0]

    @property
    def macs(self) -> int:
        """Multiply-adds of convolutions and linear layers."""
        return self.counts.flops[Convention.MACS]

    def to_json(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        answer: dict[str, Any] = {key: getattr(self, key) for key in ("model", "options", "dataset")}
        answer["input"] = shape_text(self.input)
        for key in ("classes", "params", "flops", "flops_convention", "macs", "small"):
            answer[key] = getattr(self, key)
        if len(self.conventions) > 1:
            answer["flops_by_convention"] = self.counts.flops
        answer["published"] = list(map(asdict, self.published))
        return answer | ({"modules": list(map(asdict, self.modules))} if self.modules else {})

    def to_frame(self) -> DataFrame:
        """Return our counts in the first row, whose table is missing, and a row for each published row.

        With several conventions of FLOPs, our counts have a row for each.

        The `params` and `flops` of a published row are the printed numbers, whose digits are those of the text.
        """
        ours = [
            {"row": "ours", "params": self.params, "flops": self.counts.flops[each], "flops_convention": each.value}
            for each in self.conventions
        ]
        return frame_of([*ours, *map(_line, self.published)], COLUMNS)

    @property
    def title(self) -> str:
        """The network and its options, as typed."""
        if self.classes is None:
            return self.model
        return f"{typed_name(self.model)} {typed_options(self.model, self.options)}".strip()

    @property
    def notes(self) -> list[Note]:
        """What was counted, and how."""
        classes = "" if self.classes is None else f", {self.classes} {'class' if self.classes == 1 else 'classes'}"
        dataset = f" ({self.dataset})" if self.dataset else ""
        notes = {
            "Input": f"{shape_text(self.input)}{classes}{dataset}",
            "Default": self.reason,
            "Small-image variant": "as used in CIFAR repositories; the paper has no such model" if self.small else "",
        }
        return [*(Note(heading, (text,)) for heading, text in notes.items() if text), convention_note(self.conventions)]

    @property
    def grid(self) -> Grid:
        """Our counts and, below them, the counts of every published row of the network that prints some."""
        return counts_grid(self.title, {"ours": self})

    @property
    def module_grid(self) -> Grid:
        """The counts of every module."""
        labels = "Parameters", f"FLOPs ({self.flops_convention})", "Share of FLOPs"
        headings = (Heading("Module"), Heading("Type"), *(Heading(each, numeric=True) for each in labels))
        return Grid("Modules", headings, tuple(self._module(each) for each in self.modules), sortable=False)

    def _module(self, each: ModuleCount) -> Line:
        share = f"{100 * each.flops / self.flops:.2f} %" if self.flops else ""
        cells = (each.name or "(all)", each.kind, f"{each.params:,}", f"{each.flops:,}", share)
        return Line(tuple(map(Shown, cells)))

    def rich(self) -> RenderableType:
        """Return what a terminal shows below the title."""
        from repro.report.formats.terminal import count_rich

        return count_rich(self.grid, self.notes, self.module_grid if self.modules else None)

    def __repr__(self) -> str:
        from repro.report.formats.terminal import plain

        return f"{self.title}\n{plain(self.rich(), stdout().width)}".rstrip()

    def _repr_html_(self) -> str:
        from repro.report.formats.html import notebook_html

        return notebook_html([self.grid, *([self.module_grid] if self.modules else [])], self.notes)


@dataclass(frozen=True)
class CountReports:
    """The counts of several networks in one table."""

    reports: Sequence[CountReport]

    def to_json(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        return {"counts": [each.to_json() for each in self.reports]}

    @property
    def notes(self) -> list[Note]:
        """What was counted, and how: the notes of each network, with equal ones once."""
        found: dict[Note, list[str]] = {}
        for report in self.reports:
            for note in report.notes:
                found.setdefault(note, []).append(typed_name(report.model))
        shared = [note for note, names in found.items() if len(names) == len(self.reports)]
        own = [
            Note(f"{note.heading} of {', '.join(names)}", note.lines)
            for note, names in found.items()
            if note not in shared
        ]
        return [*own, *shared]

    def rich(self) -> RenderableType:
        """Return what a terminal shows."""
        from repro.report.formats.terminal import count_rich

        return count_rich(counts_grid("", self._by_label()), self.notes, None)

    def _by_label(self) -> dict[str, CountReport]:
        """Return the counts by the title of the network, with its images if networks of one title have several."""
        images = [(each.title, each.dataset or shape_text(each.input), each) for each in self.reports]
        titles = [title for title, _ in {(title, where) for title, where, _ in images}]
        return {f"{title} ({where})" if titles.count(title) > 1 else title: each for title, where, each in images}


def convention_note(conventions: Sequence[Convention]) -> Note:
    """Return what the conventions of FLOPs mean."""
    heading = "FLOPs convention" if len(conventions) == 1 else "FLOPs conventions"
    return Note(heading, tuple(f"{each}, {each.meaning}" for each in conventions))


def counts_grid(title: str, reports: Mapping[str, CountReport]) -> Grid:
    """Return our counts of networks, by label, and below each the published rows that print counts of it."""
    conventions = next(iter(reports.values())).conventions
    shown = conventions if Convention.MACS in conventions else (*conventions, Convention.MACS)
    labels = ["Parameters", *(f"FLOPs ({each})" for each in conventions)]
    headings = (Heading(""), *(Heading(each, numeric=True) for each in labels))
    if shown != conventions:
        headings += (Heading("Multiply-adds", numeric=True),)
    lines = [line for label, each in reports.items() for line in _lines(label, each, shown)]
    return Grid(title, headings, tuple(lines), sortable=False)


def _lines(label: str, report: CountReport, shown: Sequence[Convention]) -> list[Line]:
    ours = (report.params, *(report.counts.flops[each] for each in shown))
    published = [each for each in report.published if each.params or each.flops]
    return [
        Line((Shown(label), *(Shown(f"{each:,}") for each in ours))),
        *(_published(each, report.conventions, len(shown)) for each in published),
    ]


def _published(row: PublishedCounts, conventions: Sequence[Convention], columns: int) -> Line:
    """Return a published row; its FLOPs are compared in the convention of its table, if that is shown."""
    flops = [_printed(row.flops, row.flops_match) if each == row.flops_convention else Shown() for each in conventions]
    if row.flops and row.flops_convention not in conventions:
        flops[0] = Shown(f"{row.flops} (as {row.flops_convention})")
    others = (Shown(),) * (columns - len(conventions))
    return Line((Shown(f"{row.table}: {row.row}"), _printed(row.params, row.params_match), *flops, *others))


def _printed(text: str | None, match: bool | None) -> Shown:
    return Shown() if text is None or match is None else Shown(text, tags=(MATCH[match],))


def _line(row: PublishedCounts) -> dict[str, Any]:
    """Return a published row as a line of the frame."""
    numbers = {key: text and round(Cell(text).number) for key, text in (("params", row.params), ("flops", row.flops))}
    published = {"params_published": row.params, "flops_published": row.flops}
    return {**vars(row), **numbers, **published}
