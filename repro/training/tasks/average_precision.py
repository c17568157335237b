"""The average precision of COCO, computed by pycocotools, the reference code of its authors."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from typing import Any, NamedTuple

import torch
from torch import Tensor

from repro.console import waiting
from repro.data.files.annotations import Scene
from repro.errors import PackageMissing

MANY = 1000
"""Images whose AP takes more than about two seconds."""
AP, AP50 = 0, 1
"""The places of two figures in what pycocotools computes."""


class Detections(NamedTuple):
    """The objects that a detector finds in an image, in pixels of its file."""

    boxes: Tensor
    """(n, 4): x1, y1, x2, y2."""
    labels: Tensor
    """(n,) int64, from 1."""
    scores: Tensor
    """(n,): confidences from 0 to 1."""


def check_installed() -> None:
    """Raise PackageMissing without pycocotools."""
    try:
        import pycocotools.cocoeval  # noqa: F401
    except ImportError as error:
        raise PackageMissing("pycocotools", "computing AP") from error


def average_precision(scenes: Sequence[Scene], found: Sequence[Detections]) -> tuple[float, float]:
    """Return AP over the overlaps 0.50, 0.55, ..., 0.95, and AP at 0.50, both in %.

    Args:
        scenes: the images with their objects; detections in crowds count neither way.
        found: the detections in each image.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    detections = [line for image, each in enumerate(found, 1) for line in _lines(image, each)]
    if not detections:  # pycocotools refuses an empty list
        return 0.0, 0.0
    truth = COCO()
    truth.dataset = _truth(scenes)
    with waiting("computing AP", seconds=len(scenes) < MANY), redirect_stdout(io.StringIO()):  # it prints what it does
        truth.createIndex()
        compared = COCOeval(truth, truth.loadRes(detections), "bbox")
        compared.evaluate()
        compared.accumulate()
        compared.summarize()
    return 100 * float(compared.stats[AP]), 100 * float(compared.stats[AP50])


def _truth(scenes: Sequence[Scene]) -> dict[str, Any]:
    """Return the objects as pycocotools reads them; IDs begin with 1, since it takes 0 for no match."""
    annotations = [
        {
            "image_id": image,
            "category_id": each.label,
            "bbox": list(each.box),
            "area": each.area,
            "iscrowd": int(each.crowd),
        }
        for image, scene in enumerate(scenes, 1)
        for each in scene.objects
    ]
    labels = {each.label for scene in scenes for each in scene.objects}
    return {
        "images": [{"id": image} for image in range(1, len(scenes) + 1)],
        "annotations": [{"id": number, **each} for number, each in enumerate(annotations, 1)],
        "categories": [{"id": label} for label in sorted(labels)],
    }


def _lines(image: int, found: Detections) -> Iterator[dict[str, Any]]:
    """Yield the detections in an image as pycocotools reads them: boxes with left, top, width and height."""
    boxes = torch.cat([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]], 1)
    for box, label, score in zip(boxes.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True):
        yield {"image_id": image, "category_id": label, "bbox": box, "score": score}
