"""A column of a printed table, and how its numbers were obtained."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from repro.data.inputs.protocol import Protocol
from repro.tables.metric import Metric

OTHERS, WEIGHTS, VERDICT = "others", "weights", "verdict"
"""The columns that are not printed ones: what others report, errors of published weights, and the verdict on a row."""
NOT_PRINTED = (OTHERS, "replications", WEIGHTS, VERDICT)
"""Their names in `--columns`, which no printed column has as its key or label."""


class ColumnKind(StrEnum):
    """What is compared with the cells of a column."""

    PARAMS = "params"
    FLOPS = "flops"
    ERROR = "error"
    TIME = "time"
    CONTEXT = "context"
    """Nothing."""


class Statistic(StrEnum):
    """What a printed figure is of the paper's runs."""

    LAST = "last"
    """The figure of one run."""
    MEDIAN = "median"
    MEAN = "mean"
    BEST = "best"


@dataclass(frozen=True)
class Column:
    """A printed column, and how its numbers were obtained."""

    key: str
    """Its name in `cells`, in `--columns` and in JSON."""
    label: str
    """Its heading."""
    kind: ColumnKind
    """What is compared with the printed cells: `params`, `flops`, `error`, `time`, or `context` for nothing."""
    metric: Metric = Metric.ERROR
    """Errors: what runs measure, a field of a record. `error`: top-1 error in %; `error5`: top-5 error in %.
    Segmentation: `iou`, the intersection over union, mean over the classes, from 0 to 1 (more is better), or
    `isbi_pixel` and `isbi_rand`, the pixel and the Rand error of the ISBI 2012 challenge, each at its best threshold
    (less is better). Detection: `ap`, the average precision of COCO in %, or `ap50`, at an overlap of 0.50 (more is
    better)."""
    dataset: str | None = None
    """Errors: the dataset (default: the table's)."""
    recipe: str | None = None
    """Errors: the recipe; a row may have a different one."""
    statistic: Statistic | None = None
    """The statistic over the paper's runs that a printed cell is: `last` of one run (default), `mean`, `median` or
    `best`."""
    runs: int | None = None
    """Number of the paper's runs for a printed cell (default: not said, which is taken as one)."""
    protocol: Protocol | None = None
    """Errors on image files: how the paper tests, such as `{ views = "ten-crop", averaged = "probabilities" }`
    (default: with one crop); a row may have a different one."""
    remark: str = ""
    """Errors and counts: what a reader should know about how they were measured or counted."""
    comparable: bool = True
    """Whether our test images are the paper's, and the figures are errors in % of images (default: `true`); otherwise
    both are shown, without a verdict."""
    batch: int | None = None
    """Times: the number of images of a step (default: the recipe's batch)."""
    reference: str | None = None
    """Times: the label of the row whose time is 1.00 (default: the first row with a printed time and a network)."""
