"""The registry of models: plain data, so that names and options are known without loading torch.

`build` imports the file of a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from repro.errors import UserError
from repro.models.options import EXPECTED, Shape
from repro.models.options import OptionValue as OptionValue
from repro.models.options import as_typed as as_typed
from repro.models.outside import HERE, find_outside, outside
from repro.models.outside import is_outside as is_outside
from repro.text import choose

if TYPE_CHECKING:
    from torch import nn

SMALL = 64
"""Largest side of an image in pixels for which ImageNet models take the form that is usual in CIFAR repositories: the
first layers keep height and width, and heads for 7x7 maps are left out. The papers have no such networks."""

OPTIONS: dict[str, tuple[type, str]] = {
    "depth": (int, "Number of layers (DenseNet, WRN)."),
    "k": (int, "Growth rate (DenseNet) or widening factor (WRN)."),
    "N": (int, "Number of earlier feature maps that a gate combines (DenseResNet)."),
    "shortcut": (str, "Shortcut: A (zero padding) or B (projection) (ResNet)."),
    "bottleneck": (bool, "Put a 1x1 convolution before each 3x3 convolution (DenseNet)."),
    "compression": (float, "Fraction of the feature maps that a transition keeps (DenseNet)."),
    "block": (str, 'Kernel sizes of a block, such as "B(3,3)" (WRN).'),
    "width": (float, "Width multiplier (WRN-18 and WRN-34)."),
    "l": (int, "Deepening factor: number of 3x3 convolutions in a block (WRN)."),
    "padded": (bool, "Pad the convolutions, so that the output has the size of the input (U-Net)."),
    "base": (int, "Feature maps of the first level (U-Net; 64 in the paper)."),
    "dropout": (float, "Dropout rate within a block (WRN)."),
}
"""Type and meaning of every option of every model."""


@dataclass(frozen=True)
class ModelSpec:
    """Where a model is built, and its options."""

    summary: str
    builder: str
    """`file:function` in this package."""
    dataset: str
    """Data set on which the model's paper trains it; empty for a network from outside the package."""
    fixed: Mapping[str, OptionValue] = field(default_factory=dict)
    """Arguments that the name implies, such as `depth` in resnet20."""
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """Options that a user may choose, with their defaults."""
    options_on: Mapping[str, Mapping[str, OptionValue]] = field(default_factory=dict)
    """Defaults that differ on some data sets."""
    dropout: bool = False
    """Whether the model has dropout layers whose rate a recipe may set."""
    small: bool = False
    """Whether the builder has a form, `small=True`, for images of at most SMALL pixels per side."""
    saves_memory: bool = False
    """Whether the file has `save_memory(network)`."""
    gates: bool = False
    """Whether the model weights earlier feature maps by gates, and has `mean_gate_weights`."""


def _resnet_cifar(depth: int) -> ModelSpec:
    return ModelSpec(
        f"ResNet-{depth} for 32x32 images",
        "resnet:resnet_cifar",
        "cifar10",
        fixed={"depth": depth},
        options={"shortcut": "A"},
        # On CIFAR-100 the printed network is that of the DenseResNet paper, whose parameter count implies option B.
        options_on={"cifar100": {"shortcut": "B"}},
    )


def _imagenet(summary: str, builder: str, *, dropout: bool = False, **fixed: OptionValue) -> ModelSpec:
    return ModelSpec(summary, builder, "imagenet", fixed=fixed, small=True, dropout=dropout)


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
    "mobilenetv1": _imagenet("MobileNet 1.0", "mobilenet:mobilenet_v1"),
    "mobilenetv2": _imagenet("MobileNetV2 1.0", "mobilenet:mobilenet_v2", dropout=True),
    "mobilenetv3-large": _imagenet("MobileNetV3-Large 1.0", CLASSIC, name="mobilenet_v3_large"),
    "mobilenetv3-small": _imagenet("MobileNetV3-Small 1.0", CLASSIC, name="mobilenet_v3_small"),
    "densemobilenetv2": ModelSpec(
        "DenseMobileNet-v2",
        "dense_resnet:densemobilenet_v2",
        "imagenet",
        options={"N": 4},
        small=True,
        gates=True,
    ),
    "alexnet": _imagenet("AlexNet, one tower", CLASSIC, dropout=True, name="alexnet"),
    "vgg16": _imagenet("VGG-16 (D)", CLASSIC, dropout=True, name="vgg16"),
    "vgg16-bn": _imagenet("VGG-16 (D) with BatchNorm", CLASSIC, dropout=True, name="vgg16_bn"),
    "googlenet": _imagenet("GoogLeNet with BatchNorm", CLASSIC, name="googlenet"),
    "xception": ModelSpec("Xception", "xception:xception", "imagenet-299", small=True),
    "unet": ModelSpec("U-Net", "unet:unet", "isbi2012", options={"padded": False, "base": 64}, dropout=True),
}


def find(name: str, folders: Sequence[Path] = HERE) -> str:
    """Return the name of a network, as typed by a user.

    Args:
        name: a registered name in any spelling, or a network from outside the package, such as `nets.py:MyNet`.
        folders: where files are searched.

    Raises:
        UserError: there is none; the message has the nearest name.
    """
    return find_outside(name, folders) if is_outside(name) else choose("model", name, MODELS)


def spec_of(name: str) -> ModelSpec:
    """Return what is known of a network without building it."""
    return ModelSpec(name, "", "") if is_outside(name) else MODELS[name]


def resolve_options(name: str, given: Mapping[str, OptionValue], dataset: str) -> dict[str, OptionValue]:
    """Return all options of a model: the given values, and the defaults on `dataset` for the others.

    Raises:
        UserError: the model has no such option, or a value is of another type.
    """
    if is_outside(name):
        from repro.models.factory import resolved

        return resolved(outside(name), given)
    spec = MODELS[name]
    for option in given:
        if option not in spec.options:
            has = ", ".join(f"--{each}" for each in spec.options) or "none"
            raise UserError(f"{name} has no option --{option}; its options: {has}")
    chosen = {option: _canonical(name, option, value) for option, value in given.items()}
    return {**spec.options, **spec.options_on.get(dataset, {}), **chosen}


def _canonical(name: str, option: str, value: OptionValue) -> OptionValue:
    """Return a value as it is stored, in the type of its option: text such as `B(3,3)` in capitals without spaces."""
    kind = OPTIONS[option][0]
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise UserError(f"{name}: option {option} must be {EXPECTED[kind]}, not {value!r}")
    return value.upper().replace(" ", "") if isinstance(value, str) else value


def is_small(name: str, input: Shape) -> bool:
    """Whether a model takes the form of CIFAR repositories instead of its paper's for such images."""
    return spec_of(name).small and max(input[1:]) <= SMALL


def build(
    name: str,
    options: Mapping[str, OptionValue],
    *,
    classes: int,
    input: Shape = (3, 224, 224),
    dropout: float = 0.0,
) -> nn.Module:
    """Return the network, on torch's default device and with torch's default initialisation.

    Args:
        name: what `find` returned.
        options: the model's options, resolved or not.
        classes: outputs of the classifier.
        input: shape of an image, which selects an ImageNet model's own form or that for small images.
        dropout: the recipe's rate, for models with dropout layers.

    Raises:
        UserError: no such network exists with these options.
    """
    spec = spec_of(name)
    arguments: dict[str, OptionValue] = {**spec.options, **spec.fixed, **options}
    check_dropout(name, dropout)
    if dropout:
        arguments["dropout"] = dropout
    if is_outside(name):
        from repro.models.factory import built

        return built(outside(name), options, classes, input[0])
    if is_small(name, input):
        arguments["small"] = True
    function = getattr(_file(spec), spec.builder.split(":")[1])
    try:
        network: nn.Module = function(classes=classes, channels=input[0], **arguments)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
    except (OverflowError, RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{name} cannot be built with these options ({reason}); choose smaller values") from error
    return network


def check_dropout(name: str, dropout: float) -> None:
    """Raise UserError if a recipe sets a dropout rate and a network has no dropout layers whose rate it may set."""
    if dropout and not spec_of(name).dropout:
        raise UserError(f"{name} has no dropout layers, and the recipe needs dropout {dropout:g}")


def save_memory(name: str, network: nn.Module) -> None:
    """Make a network recompute some activations in the backward pass instead of saving them; results stay the same.

    Raises:
        UserError: the model does not support this.
    """
    spec = spec_of(name)
    if not spec.saves_memory:
        can = ", ".join(each for each, spec in MODELS.items() if spec.saves_memory)
        raise UserError(f"{name} does not support --save-memory; models that do: {can}")
    _file(spec).save_memory(network)


def _file(spec: ModelSpec) -> ModuleType:
    """Return the module with a model's builder."""
    return import_module(f"repro.models.{spec.builder.split(':')[0]}")
