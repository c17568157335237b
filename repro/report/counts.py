"""The counts of one network next to the published ones: in a terminal, in a notebook, as a DataFrame and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from repro.comparison.published import PublishedCounts
from repro.console import stdout
from repro.counting.conventions import Convention
from repro.counting.count import ModuleCount
from repro.frames import Dtype, frame_of
from repro.models.options import OptionValue, Shape
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
    params: int
    flops: int
    """In the convention `flops_convention`."""
    flops_convention: Convention
    macs: int
    """Multiply-adds of convolutions and linear layers."""
    small: bool
    """Whether the network has the form for small images, which the paper does not have."""
    published: tuple[PublishedCounts, ...] = ()
    modules: tuple[ModuleCount, ...] = ()
    """Every module, if they were asked for; the first one is the network."""

    def data(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        input, published = "x".join(map(str, self.input)), list(map(asdict, self.published))
        answer = {**vars(self), "input": input, "published": published}
        modules = {"modules": list(map(asdict, self.modules))} if self.modules else {}
        del answer["modules"]
        return answer | modules

    def to_frame(self) -> DataFrame:
        """Return our counts in the first row, whose table is missing, and a row for each published row.

        The `params` and `flops` of a published row are the printed numbers, whose digits are those of the text.
        """
        ours = {"params": self.params, "flops": self.flops, "flops_convention": self.flops_convention.value}
        return frame_of([{"row": "ours", **ours}, *map(_line, self.published)], COLUMNS)

    @property
    def title(self) -> str:
        """The network and its options, as typed."""
        if self.classes is None:
            return self.model
        return f"{typed_name(self.model)} {typed_options(self.model, self.options)}".strip()

    @property
    def notes(self) -> list[Note]:
        """What was counted, and how."""
        classes = "" if self.classes is None else f", {self.classes} classes"
        dataset = f" ({self.dataset})" if self.dataset else ""
        convention = self.flops_convention
        notes = {
            "Input": f"{'x'.join(map(str, self.input))}{classes}{dataset}",
            "FLOPs convention": f"{convention!s}, {convention.meaning}",
            "Small-image variant": "as used in CIFAR repositories; the paper has no such model" if self.small else "",
        }
        return [Note(heading, (text,)) for heading, text in notes.items() if text]

    @property
    def grid(self) -> Grid:
        """Our counts and, below them, the counts of every published row of the network."""
        labels = "Parameters", f"FLOPs ({self.flops_convention})", "Multiply-adds"
        headings = (Heading(""), *(Heading(each, numeric=True) for each in labels))
        ours = Line((Shown("ours"), *(Shown(f"{each:,}") for each in (self.params, self.flops, self.macs))))
        lines = (ours, *(self._published(each) for each in self.published))
        return Grid(self.title, headings, lines, sortable=False)

    def _published(self, row: PublishedCounts) -> Line:
        """Return a published row; FLOPs are compared only in the convention of the table."""
        flops = _printed(row.flops, row.flops_match)
        if row.flops and row.flops_convention != self.flops_convention:
            flops = Shown(f"{row.flops} (as {row.flops_convention})")
        return Line((Shown(f"{row.table}: {row.row}"), _printed(row.params, row.params_match), flops, Shown()))

    @property
    def module_grid(self) -> Grid:
        """The counts of every module."""
        labels = "Parameters", "FLOPs", "Share of FLOPs"
        headings = (Heading("Module"), Heading("Type"), *(Heading(each, numeric=True) for each in labels))
        return Grid("Modules", headings, tuple(self._module(each) for each in self.modules), sortable=False)

    def _module(self, each: ModuleCount) -> Line:
        share = f"{100 * each.flops / self.flops:.2f} %" if self.flops else ""
        cells = (each.name or "(all)", each.kind, f"{each.params:,}", f"{each.flops:,}", share)
        return Line(tuple(map(Shown, cells)))

    def rich(self) -> RenderableType:
        """Return what a terminal shows below the title."""
        from repro.report.terminal import count_rich

        return count_rich(self.grid, self.notes, self.module_grid if self.modules else None)

    def __repr__(self) -> str:
        from repro.report.terminal import plain

        return f"{self.title}\n{plain(self.rich(), stdout().width)}".rstrip()

    def _repr_html_(self) -> str:
        from repro.report.html import notebook_html

        return notebook_html([self.grid, *([self.module_grid] if self.modules else [])], self.notes)


def _printed(text: str | None, match: bool | None) -> Shown:
    return Shown() if text is None or match is None else Shown(text, tags=(MATCH[match],))


def _line(row: PublishedCounts) -> dict[str, Any]:
    """Return a published row as a line of the frame."""
    numbers = {key: text and round(Cell(text).number) for key, text in (("params", row.params), ("flops", row.flops))}
    published = {"params_published": row.params, "flops_published": row.flops}
    return {**vars(row), **numbers, **published}
