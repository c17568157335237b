"""What runs measure and columns print."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class _Facts(NamedTuple):
    heading: str
    axis: str
    in_percent: bool = False
    more_is_better: bool = False


class Metric(StrEnum):
    """A figure of a run; the value is the name of its field in a record."""

    ERROR = "error"
    """Top-1 error in %."""
    ERROR5 = "error5"
    """Top-5 error in %."""
    IOU = "iou"
    """Intersection over union of a segmentation, mean over the classes, from 0 to 1."""
    ISBI_PIXEL = "isbi_pixel"
    """Pixel error of the ISBI 2012 challenge at its best threshold, from 0 to 1."""
    ISBI_RAND = "isbi_rand"
    """Rand error of the ISBI 2012 challenge at its best threshold, from 0 to 1."""
    AP = "ap"
    """Average precision of COCO in %."""
    AP50 = "ap50"
    """Average precision of COCO at an overlap of 0.50, in %."""

    @property
    def heading(self) -> str:
        """The heading of a column of figures."""
        return _FACTS[self].heading

    @property
    def axis(self) -> str:
        """The label of an axis of figures on the test images."""
        return _FACTS[self].axis

    @property
    def more_is_better(self) -> bool:
        """Whether a larger figure is the better one."""
        return _FACTS[self].more_is_better

    @property
    def judged(self) -> bool:
        """Whether figures get verdicts: they are errors in %, of images that are right or wrong."""
        return self in (Metric.ERROR, Metric.ERROR5)

    @property
    def of_epoch(self) -> str:
        """The field of an epoch's line."""
        return f"test_{self}" if self.judged else self.value

    def shown(self, value: float) -> str:
        """Return a figure as people read it: one in % with two decimals, a share with four."""
        return f"{value:.{2 if _FACTS[self].in_percent else 4}f}"


_FACTS = {
    Metric.ERROR: _Facts("Error %", "test error (%)", in_percent=True),
    Metric.ERROR5: _Facts("Top-5 error %", "top-5 test error (%)", in_percent=True),
    Metric.IOU: _Facts("Mean IoU", "test mean IoU", more_is_better=True),
    Metric.ISBI_PIXEL: _Facts("Pixel error", "test pixel error"),
    Metric.ISBI_RAND: _Facts("Rand error", "test Rand error"),
    Metric.AP: _Facts("AP %", "test AP (%)", in_percent=True, more_is_better=True),
    Metric.AP50: _Facts("AP50 %", "test AP50 (%)", in_percent=True, more_is_better=True),
}
