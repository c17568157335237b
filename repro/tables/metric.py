"""What runs measure and columns print."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Metric(StrEnum):
    """A figure of a run; the value is the name of its field in a record."""

    heading: str
    """The heading of a column of figures."""
    axis: str
    """The label of an axis of figures on the test images."""
    decimals: int
    """Those that people read: two of a figure in %, four of a share."""

    ERROR = "error", "Error %", "test error (%)", 2
    """Top-1 error in %."""
    ERROR5 = "error5", "Top-5 error %", "top-5 test error (%)", 2
    """Top-5 error in %."""
    IOU = "iou", "Mean IoU", "test mean IoU", 4
    """Intersection over union of a segmentation, mean over the classes, from 0 to 1."""
    ISBI_PIXEL = "isbi_pixel", "Pixel error", "test pixel error", 4
    """Pixel error of the ISBI 2012 challenge at its best threshold, from 0 to 1."""
    ISBI_RAND = "isbi_rand", "Rand error", "test Rand error", 4
    """Rand error of the ISBI 2012 challenge at its best threshold, from 0 to 1."""
    AP = "ap", "AP %", "test AP (%)", 2
    """Average precision of COCO in %."""
    AP50 = "ap50", "AP50 %", "test AP50 (%)", 2
    """Average precision of COCO at an overlap of 0.50, in %."""

    def __new__(cls, field: str, heading: str, axis: str, decimals: int) -> Metric:
        metric = str.__new__(cls, field)
        metric._value_, metric.heading, metric.axis, metric.decimals = field, heading, axis, decimals
        return metric

    @property
    def more_is_better(self) -> bool:
        """Whether a larger figure is the better one."""
        return self in (Metric.IOU, Metric.AP, Metric.AP50)

    @property
    def judged(self) -> bool:
        """Whether figures get verdicts: they are errors in %, of images that are right or wrong."""
        return self in (Metric.ERROR, Metric.ERROR5)

    @property
    def of_epoch(self) -> str:
        """The field of an epoch's line."""
        return f"test_{self}" if self.judged else self.value

    def shown(self, value: float) -> str:
        """Return a figure as people read it."""
        return f"{value:.{self.decimals}f}"


SHARES = {
    Metric.IOU: "IoU {}",
    Metric.ISBI_PIXEL: "pixel error {} (best threshold)",
    Metric.ISBI_RAND: "Rand error {} (best threshold)",
}
"""The figures of a segmentation in words."""


def shares_text(figures: Mapping[str, Any]) -> str:
    """Return the figures of a segmentation in words, from figures by their fields; empty for another task."""
    values = {metric: figures.get(metric) for metric in SHARES}
    return ", ".join(SHARES[metric].format(metric.shown(each)) for metric, each in values.items() if each is not None)
