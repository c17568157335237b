"""The registry of models: plain data, so that names and options are known without loading torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from repro.models.options import OptionValue

OPTIONS: dict[str, tuple[type, str]] = {
    "depth": (int, "Number of layers (DenseNet, WRN)."),
    "k": (int, "Growth rate (DenseNet) or widening factor (WRN)."),
    "N": (int, "Number of earlier feature maps that a gate combines (DenseResNet)."),
    "shortcut": (str, "Shortcut: A (zero padding) or B (projection) (ResNet)."),
    "bottleneck": (bool, "Put a 1x1 convolution before each 3x3 convolution (DenseNet)."),
    "compression": (float, "Fraction of the feature maps that a transition keeps (DenseNet)."),
    "block": (str, 'Kernel sizes of a block, such as "B(3,3)" (WRN).'),
    "width": (float, "Width multiplier (WRN-18 and WRN-34, also with FPN; MobileNet v1 and v2)."),
    "pyramid": (int, "Feature maps of each level of the pyramid (WRN with FPN)."),
    "l": (int, "Deepening factor: number of 3x3 convolutions in a block (WRN)."),
    "padded": (bool, "Pad the convolutions, so that the output has the size of the input (U-Net)."),
    "base": (int, "Feature maps of the first level (U-Net; 64 in the paper)."),
    "dropout": (float, "Dropout rate within a block (WRN)."),
}
"""Type and meaning of every option of every model."""
LARGEST: Mapping[str, float] = {
    "depth": 2000,
    "k": 10_000,
    "N": 1000,
    "l": 100,
    "width": 100,
    "pyramid": 10_000,
    "base": 10_000,
}
"""The largest value of an option, far beyond every paper: larger networks would only fill the memory."""


@dataclass(frozen=True)
class ModelSpec:
    """Where a model is built, and its options."""

    summary: str
    builder: str
    """`file:function` or `file:class` in this package."""
    dataset: str
    """Dataset on which the model's paper trains it; empty for a network from outside the package."""
    fixed: Mapping[str, OptionValue] = field(default_factory=dict)
    """Arguments that the name implies, such as `depth` in resnet20."""
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """Options that a user may choose, with their defaults."""
    options_on: Mapping[str, Mapping[str, OptionValue]] = field(default_factory=dict)
    """Defaults that differ on some datasets."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why the options have their defaults, by dataset; that of '' is for the others."""
    dropout: bool = False
    """Whether the model has dropout layers whose rate a recipe may set."""
    auxiliary: bool = False
    """Whether the builder has a form, `auxiliary=True`, with auxiliary classifiers: its training output is
    (B, classifiers, classes), the main one first."""
    small: bool = False
    """Whether the builder has a form, `small=True`, for images of at most SMALL pixels per side."""
    saves_memory: bool = False
    """Whether the file has `save_memory(network)`."""
    gates: bool = False
    """Whether the model weights earlier feature maps by gates, and has `mean_gate_weights`."""

    def defaults(self, dataset: str) -> dict[str, OptionValue]:
        """Return the options with their defaults on a dataset."""
        return {**self.options, **self.options_on.get(dataset, {})}


def _resnet_cifar(depth: int) -> ModelSpec:
    return ModelSpec(
        f"ResNet-{depth} for 32x32 images",
        "resnet:resnet_cifar",
        "cifar10",
        fixed={"depth": depth},
        options={"shortcut": "A"},
        # On CIFAR-100 the printed network is that of the DenseResNet paper, whose parameter count implies option B.
        options_on={"cifar100": {"shortcut": "B"}},
        reasons={
            "": "shortcut A, zero padding without parameters, as the ResNet paper uses on CIFAR-10 (section 4.2)",
            "cifar100": "shortcut B, projections, as the parameters that the DenseResNet paper prints imply",
        },
    )


def _imagenet(summary: str, builder: str, *, dropout: bool = False, **fixed: OptionValue) -> ModelSpec:
    return ModelSpec(summary, builder, "imagenet", fixed=fixed, small=True, dropout=dropout)


def _mobilenet(summary: str, builder: str) -> ModelSpec:
    return ModelSpec(summary, builder, "imagenet", options={"width": 1.0}, small=True, dropout=True)


def _detector(depth: int) -> ModelSpec:
    return ModelSpec(
        f"Faster R-CNN with FPN on Wide ResNet-{depth}",
        "detector:resnet_detector",
        "coco",
        fixed={"depth": depth},
        options={"width": 2.0, "pyramid": 256},
    )


CLASSIC = "classics:torchvision_classic"

MODELS: dict[str, ModelSpec] = {
    **{f"resnet{depth}": _resnet_cifar(depth) for depth in (20, 32, 44, 56, 110, 1202)},
    **{f"resnet{depth}": _imagenet(f"ResNet-{depth}", "resnet:resnet_imagenet", depth=depth) for depth in (18, 34)},
    **{
        f"resnet{depth}": _imagenet(f"ResNet-{depth}", "resnet:resnet_bottleneck", depth=depth)
        for depth in (50, 101, 152)
    },
    "resnext50": _imagenet("ResNeXt-50 32x4d", "resnet:resnet_bottleneck", depth=50, groups=32, base=4),
    "resnext101": _imagenet("ResNeXt-101 32x4d", "resnet:resnet_bottleneck", depth=101, groups=32, base=4),
    "resnext101-64x4d": _imagenet("ResNeXt-101 64x4d", "resnet:resnet_bottleneck", depth=101, groups=64, base=4),
    "densenet": ModelSpec(
        "DenseNet for 32x32 images",
        "densenet:densenet_cifar",
        "cifar10",
        options={"depth": 40, "k": 12, "bottleneck": False, "compression": 1.0},
        dropout=True,
        saves_memory=True,
    ),
    "densenet-bc": ModelSpec(
        "DenseNet-BC for 32x32 images",
        "densenet:densenet_cifar",
        "cifar10",
        fixed={"bottleneck": True, "compression": 0.5},
        options={"depth": 100, "k": 12},
        dropout=True,
        saves_memory=True,
    ),
    **{
        f"densenet{depth}": ModelSpec(
            f"DenseNet-{depth}",
            "densenet:densenet_imagenet",
            "imagenet",
            fixed={"depth": depth},
            small=True,
            saves_memory=True,
        )
        for depth in (121, 161, 169, 201, 264)
    },
    **{
        f"preresnet{depth}": ModelSpec(
            f"Pre-activation ResNet-{depth} for 32x32 images",
            "preact_resnet:preresnet_cifar",
            "cifar10",
            fixed={"depth": depth},
            saves_memory=True,
        )
        for depth in (164, 1001)
    },
    **{
        f"wrn{depth}": ModelSpec(
            f"Wide ResNet-{depth}",
            "resnet:resnet_imagenet",
            "imagenet",
            fixed={"depth": depth},
            options={"width": 2.0},
            small=True,
        )
        for depth in (18, 34)
    },
    **{f"wrn{depth}-fpn": _detector(depth) for depth in (18, 34)},
    "wrn50-2-bottleneck": _imagenet("WRN-50-2, bottleneck", "resnet:resnet_bottleneck", depth=50, base=128),
    "wrn": ModelSpec(
        "Wide ResNet for 32x32 images",
        "wide_resnet:wrn_cifar",
        "cifar10",
        options={"depth": 28, "k": 10, "block": "B(3,3)", "l": 2, "dropout": 0.0},
    ),
    "denseresnet34": ModelSpec(
        "DenseResNet-34", "dense_resnet:denseresnet34", "imagenet", options={"N": 4}, small=True, gates=True
    ),
    "denseresnet110": ModelSpec(
        "DenseResNet-110 for 32x32 images",
        "dense_resnet:denseresnet_cifar",
        "cifar100",
        fixed={"depth": 110},
        options={"N": 4},
        gates=True,
    ),
    "mobilenetv1": _mobilenet("MobileNet", "mobilenet:MobileNetV1"),
    "mobilenetv2": _mobilenet("MobileNetV2", "mobilenet:MobileNetV2"),
    "mobilenetv3-large": _imagenet("MobileNetV3-Large 1.0", CLASSIC, dropout=True, name="mobilenet_v3_large"),
    "mobilenetv3-small": _imagenet("MobileNetV3-Small 1.0", CLASSIC, dropout=True, name="mobilenet_v3_small"),
    "densemobilenetv2": ModelSpec(
        "DenseMobileNet-v2",
        "dense_resnet:densemobilenet_v2",
        "imagenet",
        options={"N": 4},
        small=True,
        gates=True,
    ),
    "alexnet-two-towers": _imagenet("AlexNet, two towers", "alexnet:alexnet_two_towers", dropout=True),
    "alexnet": _imagenet("AlexNet, one tower", CLASSIC, dropout=True, name="alexnet"),
    "vgg16": _imagenet("VGG-16 (D)", CLASSIC, dropout=True, name="vgg16"),
    "vgg16-bn": _imagenet("VGG-16 (D) with BatchNorm", CLASSIC, dropout=True, name="vgg16_bn"),
    "googlenet": ModelSpec(
        "GoogLeNet with BatchNorm",
        CLASSIC,
        "imagenet",
        fixed={"name": "googlenet"},
        dropout=True,
        auxiliary=True,
        small=True,
    ),
    "xception": ModelSpec("Xception", "xception:Xception", "imagenet-299", dropout=True, small=True),
    "unet": ModelSpec("U-Net", "unet:UNet", "isbi2012", options={"padded": False, "base": 64}, dropout=True),
}

TORCHVISION = {
    **{f"resnet{depth}": f"resnet{depth}" for depth in (18, 34, 50, 101, 152)},
    "resnext50": "resnext50_32x4d",
    "resnext101-64x4d": "resnext101_64x4d",
    "wrn50-2-bottleneck": "wide_resnet50_2",
    "mobilenetv2": "mobilenet_v2",
    "mobilenetv3-large": "mobilenet_v3_large",
    "mobilenetv3-small": "mobilenet_v3_small",
    **{f"densenet{depth}": f"densenet{depth}" for depth in (121, 161, 169, 201)},
    "alexnet": "alexnet",
    "vgg16": "vgg16",
    "vgg16-bn": "vgg16_bn",
    "googlenet": "googlenet",
}
"""Our networks for which torchvision has ImageNet-1K weights, and their names in torchvision."""
IMAGENET = "imagenet"
"""The dataset of torchvision's weights."""
TIMM = {
    "resnext101": "resnext101_32x4d",
    "mobilenetv1": "mobilenetv1_100",
    "mobilenetv2": "mobilenetv2_100",
    "mobilenetv3-large": "mobilenetv3_large_100",
    "mobilenetv3-small": "mobilenetv3_small_100",
    "xception": "legacy_xception",
}
"""Our networks that timm has under a name that torchvision does not use."""
