"""A picture of a segmentation: a test slice, its label, and the network's prediction."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from torch import nn

from repro.atomic import write_atomically
from repro.errors import unwritten
from repro.training.tasks.segmentation import Segmentation

SLICE = 0
"""Number of the test slice."""
GAP, CAPTION = 8, 16
"""Pixels between the panels, and height in pixels of the caption above them."""


def draw_prediction(task: Segmentation, network: nn.Module, path: Path) -> None:
    """Write a PNG with a test slice, its label, and the predicted probability of being inside a cell, side by side.

    Args:
        task: provides the test slice.
        network: the network on the task's device, in evaluation mode.
        path: the PNG file.

    Raises:
        UserError: the file cannot be written.
    """
    from PIL import Image, ImageDraw

    images = task.test_images
    inside = task.predict(network, images.pixels[SLICE])[1]
    panels = {
        f"test slice {SLICE}": images.pixels[SLICE].float().mean(0).round(),
        "label": 255 * images.labels[SLICE],
        "probability of being inside a cell": (255 * inside).round(),
    }
    height, width = inside.shape
    canvas = Image.new("L", (len(panels) * (width + GAP) - GAP, CAPTION + height), 255)
    for column, (caption, panel) in enumerate(panels.items()):
        left = column * (width + GAP)
        ImageDraw.Draw(canvas).text((left, 2), caption, fill=0)
        canvas.paste(Image.fromarray(panel.cpu().byte().numpy()), (left, CAPTION))

    def save(file: BinaryIO) -> None:
        canvas.save(file, "PNG")

    try:
        write_atomically(path, save)
    except OSError as error:
        raise unwritten(f"{path} cannot be written ({error.strerror})", error, "choose another --picture") from error
