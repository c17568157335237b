"""Detection of objects in image files, trained and tested as torchvision's references/detection."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import data

from repro.data import DatasetKind
from repro.data.files.annotations import Scene
from repro.data.files.image_files import read
from repro.data.inputs.normalise import Normalise, with_declared
from repro.data.readers.coco import DetectionFolder, DetectionPart
from repro.errors import UserError
from repro.models.detector import Scenes
from repro.recipes import Recipe
from repro.runtime import Runtime
from repro.training.machine import one_process
from repro.training.machine.device import autocast
from repro.training.randomness import generator
from repro.training.schedule import images_per_epoch
from repro.training.tasks.average_precision import Detections, average_precision, check_installed
from repro.training.tasks.stream import stream
from repro.training.tasks.task import Batch, Metrics, Progress, check_task_values


class Detection:
    """The task of COCO and other folders in its format; images differ in size and are padded within a batch."""

    def __init__(self, recipe: Recipe, images: DetectionFolder, runtime: Runtime, device: torch.device) -> None:
        recipe = with_declared(recipe)
        check_task_values(recipe, DatasetKind.DETECTION)
        check_installed()  # before hours of training, not after the first epoch
        one_process.check_kind(DatasetKind.DETECTION, runtime)
        if runtime.compile or runtime.graph:
            raise UserError(
                "--compile and --graph need images of one size, and those of a detection differ; leave them out"
            )
        self.recipe, self.runtime, self.device = recipe, runtime, device
        self.part, self.test_part = images.train, images.test
        self.images, self.fingerprint = len(images.train), images.fingerprint
        self.normalise = Normalise(*(torch.tensor(each, device=device) for each in (recipe.mean, recipe.std)))

    def batches(self, seed: int, epoch: int, begin: int) -> Iterator[Batch]:
        """Yield the batches of an epoch from number `begin` on; images before it are not read."""
        size, end = self.recipe.batch, images_per_epoch(self.recipe, self.images)
        order = torch.randperm(self.images, generator=generator(seed, "order", epoch)).tolist()
        mirrored = torch.rand(self.images, generator=generator(seed, "augmentation", epoch)) < 0.5
        requests = [order[first : min(first + size, end)] for first in range(begin * size, end, size)]
        pictures = stream(DetectionImages(self.part), requests, self.runtime, self.device, collate=list)
        for request, pixels in zip(requests, pictures, strict=False):
            scenes = [self.part.scenes[index] for index in request]
            flips = [self.recipe.flip and bool(mirrored[index]) for index in request]
            yield self._batch(scenes, pixels, flips)

    def _batch(self, scenes: list[Scene], pixels: list[Tensor], flips: list[bool]) -> Batch:
        images = [self.scaled(each) for each in pixels]
        objects = [
            targets_of(scene, (image.shape[1], image.shape[2])) for scene, image in zip(scenes, images, strict=True)
        ]
        for number, image in enumerate(images):
            if flips[number]:
                images[number] = image.flip(-1)
                objects[number]["boxes"] = _mirrored(objects[number]["boxes"], image.shape[2])
        targets = [{name: each.to(self.device) for name, each in one.items()} for one in objects]
        numbers = torch.tensor([len(each["labels"]) for each in targets], device=self.device)
        return Batch(Scenes(images, targets), numbers)

    def scaled(self, pixels: Tensor) -> Tensor:
        """Return an image, (C, H, W) uint8, normalised and scaled to the recipe's `resize` within `resize_limit`."""
        height, width = pixels.shape[1:]
        scale = min(self.recipe.resize / min(height, width), self.recipe.resize_limit / max(height, width))
        size = max(1, int(height * scale)), max(1, int(width * scale))
        return F.interpolate(self.normalise(pixels[None]), size, mode="bilinear", align_corners=False)[0]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the sum of the four losses, each a mean over sampled regions; outputs (4,)."""
        return outputs.sum()

    def wrong(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return NaN: no image is simply right or wrong."""
        return outputs.new_full((), math.nan)

    @torch.inference_mode()
    def test(self, network: nn.Module, progress: Progress = iter) -> Metrics:
        """Return the average precision on the test images, each tested alone, so that padding plays no part."""
        network.eval()
        scenes = self.test_part.scenes
        found = list[Detections]()
        requests = [[index] for index in range(len(scenes))]
        pictures = stream(DetectionImages(self.test_part), requests, self.runtime, self.device, collate=list)
        for index, (pixels,) in zip(progress(range(len(scenes))), pictures, strict=False):
            image = self.scaled(pixels)
            with autocast(self.device, self.runtime):
                (objects,) = network(Scenes([image], []))
            found.append(_in_file(objects, scenes[index], image))
        ap, ap50 = average_precision(scenes, found)
        return Metrics(100 - ap, None, None, len(scenes), extra={"ap": ap, "ap50": ap50})


class DetectionImages(data.Dataset[Tensor]):
    """The pixels of a part's images by index, (3, H, W) uint8."""

    def __init__(self, part: DetectionPart) -> None:
        self.folder = part.folder
        self.files = [(each.name, each.height, each.width) for each in part.scenes]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        from torchvision.transforms.v2.functional import pil_to_tensor

        name, height, width = self.files[index]
        image = read(self.folder / name, as_published=True)  # annotations are of the image as it is stored
        if image.size != (width, height):
            stored = f"{image.size[0]}x{image.size[1]}"
            raise UserError(
                f"{self.folder / name} has {stored} pixels, and its annotation says {width}x{height}; restore the file"
            )
        return pil_to_tensor(image)


def targets_of(scene: Scene, size: tuple[int, int]) -> dict[str, Tensor]:
    """Return the boxes, (n, 4) as x1, y1, x2, y2, and labels, (n,), of an image that is scaled to (height, width).

    Boxes are cut at the borders of the image; those without area and crowds are left out.
    """
    kept = [each for each in scene.objects if each.trained_on]
    corners = torch.tensor([each.box for each in kept]).view(-1, 4)
    corners[:, 2:] += corners[:, :2]
    corners = _cut(corners, scene)
    inside = (corners[:, 2:] > corners[:, :2]).all(1)
    labels = torch.tensor([each.label for each in kept], dtype=torch.int64)
    return {"boxes": (corners * _scale(size, scene))[inside], "labels": labels[inside]}


def _cut(corners: Tensor, scene: Scene) -> Tensor:
    """Return boxes, (n, 4) in pixels of the file, cut at the borders of the image."""
    return corners.clamp(min=0).minimum(torch.tensor([scene.width, scene.height, scene.width, scene.height]))


def _mirrored(boxes: Tensor, width: int) -> Tensor:
    left, top, right, bottom = boxes.unbind(1)
    return torch.stack([width - right, top, width - left, bottom], 1)


def _scale(size: tuple[int, int], scene: Scene) -> Tensor:
    """Return the factors, (4,), that bring the corners of a box in a file to an image of (height, width)."""
    across, down = size[1] / scene.width, size[0] / scene.height
    return torch.tensor([across, down, across, down])


def _in_file(objects: dict[str, Any], scene: Scene, image: Tensor) -> Detections:
    """Return detected objects with their boxes in pixels of the file."""
    boxes = objects["boxes"].float().cpu() / _scale((image.shape[1], image.shape[2]), scene)
    return Detections(_cut(boxes, scene), objects["labels"].cpu(), objects["scores"].float().cpu())
