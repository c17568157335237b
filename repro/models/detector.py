"""Faster R-CNN (Ren et al., arXiv 1506.01497) on a feature pyramid (Lin et al., arXiv 1612.03144), with Wide ResNets.

Proposals, heads and losses are torchvision's. Wide ResNet, arXiv 1605.07146v4, section 3.3, prints the average
precision of another detector, MultiPathNet with LocNet on proposals of AttractioNet.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from repro.models.resnet import IMAGENET_WIDTHS, ResNet, resnet_imagenet

LEVELS = ("0", "1", "2", "3")
"""The names of the pyramid's levels from which regions are pooled, as in torchvision."""
CELLS = 7
"""Side of a pooled region."""
HEAD = 4
"""Features of the box head per map of the pyramid: 1,024 for 256 maps in torchvision."""
IN_TRAINING, IN_TESTS = 512, 1000
"""Regions that the box head sees per image: sampled in training, and at most in tests (torchvision's defaults)."""


class Scenes(NamedTuple):
    """A batch of images of several sizes, and in training the objects in them."""

    images: list[Tensor]
    """Each (C, h, w), float32, normalised."""
    objects: list[dict[str, Tensor]]
    """For each image `boxes`, (n, 4) as x1, y1, x2, y2 in pixels, and `labels`, (n,) int64 from 1; empty in tests."""

    @property
    def device(self) -> torch.device:
        """The device of the images."""
        return self.images[0].device


class Pyramid(nn.Module):
    """The stages of a ResNet, and the feature pyramid on their outputs."""

    def __init__(self, network: ResNet, widths: Sequence[int], maps: int) -> None:
        from torchvision.ops import FeaturePyramidNetwork
        from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

        super().__init__()
        self.stem, self.stages = network.stem, network.stages
        self.fpn = FeaturePyramidNetwork(list(widths), maps, extra_blocks=LastLevelMaxPool())
        self.out_channels = maps

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.stem(x)
        outputs = OrderedDict[str, Tensor]()
        for level, stage in zip(LEVELS, self.stages.children(), strict=True):
            outputs[level] = x = stage(x)
        return self.fpn(outputs)


class Detector(nn.Module):
    """Faster R-CNN: (4,) losses of scenes in training, the objects found in scenes in tests."""

    def __init__(self, backbone: Pyramid, *, classes: int) -> None:
        from torchvision.models.detection import FasterRCNN
        from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead

        super().__init__()
        maps = backbone.out_channels
        self.rcnn = FasterRCNN(
            backbone,
            box_head=TwoMLPHead(maps * CELLS**2, HEAD * maps),
            box_predictor=FastRCNNPredictor(HEAD * maps, classes + 1),  # class 0 is the background
        )

    def forward(self, inputs: Scenes | Tensor) -> Any:
        """Return the losses in training, else for each image its `boxes`, `labels` and `scores`.

        For a tensor of images, (B, C, H, W), return the outputs of all layers as in `dense`.
        """
        from torchvision.models.detection.image_list import ImageList

        if isinstance(inputs, Tensor):
            return self.dense(inputs)
        sizes = [(int(each.shape[1]), int(each.shape[2])) for each in inputs.images]
        images = ImageList(self.rcnn.transform.batch_images(inputs.images), sizes)
        objects = inputs.objects if self.training else None
        maps = self.rcnn.backbone(images.tensors)
        proposals, of_proposals = self.rcnn.rpn(images, maps, objects)
        found, of_boxes = self.rcnn.roi_heads(maps, proposals, sizes, objects)
        return torch.stack([*of_proposals.values(), *of_boxes.values()]) if self.training else found

    def dense(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of every layer for images of one size, (B, C, H, W), and black regions.

        The number of regions is the largest possible one: how many a detector finds depends on its weights, and counts
        of parameters, FLOPs and memory must not.
        """
        maps = self.rcnn.backbone(images)
        scores, moves = self.rcnn.rpn.head(list(maps.values()))
        regions = len(images) * (IN_TRAINING if self.training else IN_TESTS)
        head = self.rcnn.roi_heads
        pooled = head.box_head(images.new_zeros(regions, self.rcnn.backbone.out_channels, CELLS, CELLS))
        return (*scores, *moves, *head.box_predictor(pooled))


def resnet_detector(*, depth: int, classes: int, channels: int = 3, width: float = 1.0, pyramid: int = 256) -> Detector:
    """Return Faster R-CNN on the stages of a ResNet with 18 or 34 layers and a pyramid of `pyramid` maps.

    Convolutions of the stages are initialised as in torchvision's ResNet, the other layers as in its Faster R-CNN.

    Args:
        depth: layers of the ResNet.
        classes: of objects, without the background.
        channels: of an image.
        width: multiplies the maps of the stages.
        pyramid: maps of each level of the pyramid.

    Raises:
        ValueError: the width gives a fractional number of maps, or the pyramid has none.
    """
    if pyramid < 1:
        raise ValueError(f"pyramid {pyramid} is invalid: each level has at least 1 map")
    network = resnet_imagenet(depth=depth, classes=classes, channels=channels, width=width)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    widths = [int(base * width) for base in IMAGENET_WIDTHS]
    return Detector(Pyramid(network, widths, pyramid), classes=classes)
