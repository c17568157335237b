"""Recipes compared with their papers and the authors' code, value by value; learning rates are in test_recipes.py."""

import pytest

from repro.models import build
from repro.recipes import RECIPES, default_recipe
from repro.training.schedule import lr_at

NESTEROV = {"momentum": 0.9, "nesterov": True}
SHIFTED = {"crop_padding": 4, "padding_mode": "zero", "flip": True}
AS_THEY_ARE = {"crop_padding": 0, "flip": False}

RESNET = {
    "batch": 128,
    "epochs": 164,
    "iterations": 64_000,
    "lr": 0.1,
    "gamma": 0.1,
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 1e-4,
    "decay_scope": "weights",
    "crop_padding": 4,
    "flip": True,
    "preprocessing": "mean-image",
    "mean": (),
    "std": (),
    "validation_images": 0,
}
DENSENET = {**NESTEROV, "lr": 0.1, "gamma": 0.1, "weight_decay": 1e-4, "init": "conv-fan-out"}
DENSENET_CIFAR = {**DENSENET, "batch": 64, "epochs": 300, "validation_images": 0, "reported": "last"}
VALIDATED = {"validation_images": 6000, "reported": "lowest-validation"}
MIRU = {
    **NESTEROV,
    "batch": 64,
    "drop_last": False,
    "epochs": 300,
    "schedule": "cosine",
    "warmup_epochs": 5,
    "init": "conv-and-classifier-fan-out",
    "flip": True,
    "reported": "last",
}
MIRU_CIFAR = {**MIRU, "lr": 0.05, "weight_decay": 5e-4, "crop_padding": 4, "padding_mode": "reflect"}
MIRU_IMAGENET = {**MIRU, "color_jitter": 0.4, "lighting": 0.1, "resize": 256, "test_crop": 224, "tune_epochs": 0}
IMAGES = {"scaled_crop": 224, "resize": 256, "test_crop": 224}
TUNED = {"tune_epochs": 60, "tune_batch": 256, "test_crop": 224}
WRN = {**NESTEROV, "batch": 128, "weight_decay": 5e-4}
WRN_CIFAR = {**WRN, "epochs": 200, "crop_padding": 4, "padding_mode": "reflect", "flip": True}
EARLY_WRN = {**WRN_CIFAR, "crop_draw": "batch", "flip_half": True, "init": "conv-fan-out-batchnorm-uniform"}
"""The code of May 2016, behind the tables with whitened images."""
LATER_WRN = {**WRN_CIFAR, "crop_draw": "image", "flip_half": False, "init": "conv-fan-in-batchnorm-uniform"}

PUBLISHED: dict[str, dict[str, object]] = {
    "resnet-cifar10": {**RESNET, "warmup_iterations": 0},
    "resnet-cifar10-warmup": {**RESNET, "warmup_iterations": 400, "warmup_lr": 0.01},
    "densenet-cifar10": {**DENSENET_CIFAR, **AS_THEY_ARE, "dropout": 0.2},
    "densenet-cifar10+": {**DENSENET_CIFAR, **SHIFTED, "dropout": 0.0},
    "densenet-cifar100": {**DENSENET_CIFAR, **AS_THEY_ARE, "dropout": 0.2},
    "densenet-cifar100+": {**DENSENET_CIFAR, **SHIFTED, "dropout": 0.0},
    "densenet-svhn": {**DENSENET, **AS_THEY_ARE, **VALIDATED, "batch": 64, "epochs": 40, "dropout": 0.2},
    "densenet-imagenet": {**DENSENET, **IMAGES, "batch": 256, "epochs": 90, "dropout": 0.0, "interpolation": "bicubic"},
    "miru2020-cifar100": MIRU_CIFAR,
    "miru2020-cifar10": MIRU_CIFAR,
    "miru2020-imagenet-resnet34": {**MIRU_IMAGENET, "lr": 0.025, "weight_decay": 1e-4, "scaled_crop": 160},
    "miru2020-imagenet-mobilenetv2": {**MIRU_IMAGENET, "lr": 0.0125, "weight_decay": 4e-5, "scaled_crop": 224},
    "miru2020-imagenet-resnet34-tuned": {**TUNED, "tune_lr": 0.004, "scaled_crop": 160},
    "miru2020-imagenet-mobilenetv2-tuned": {**TUNED, "tune_lr": 0.002, "scaled_crop": 224},
    **{f"wrn-{dataset}-zca": {**EARLY_WRN, "preprocessing": "zca"} for dataset in ("cifar10", "cifar100")},
    **{f"wrn-{dataset}": {**LATER_WRN, "preprocessing": ""} for dataset in ("cifar10", "cifar100")},
    "wrn-svhn": {**WRN, **AS_THEY_ARE, "epochs": 160, "init": "conv-fan-out-batchnorm-uniform", "preprocessing": ""},
    "unet-isbi": {"batch": 1, "momentum": 0.99},
    "faster-rcnn-coco": {"batch": 16, "lr": 0.02, "epochs": 26, "milestones": (16 / 26, 22 / 26), "weight_decay": 1e-4},
}


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items(), ids=PUBLISHED)
def test_a_recipe_is_as_published(name: str, published: dict[str, object]) -> None:
    chosen = RECIPES[name]
    assert {value: getattr(chosen, value) for value in published} == published


@pytest.mark.parametrize(
    ("name", "unit", "mean", "std", "within"),
    [
        ("miru2020-cifar100", 1, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), 1e-9),
        ("miru2020-cifar10", 1, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), 1e-9),
        ("densenet-cifar100", 255, (129.3, 124.1, 112.4), (68.2, 65.4, 70.4), 1e-9),
        ("densenet-cifar100+", 255, (129.3, 124.1, 112.4), (68.2, 65.4, 70.4), 1e-9),
        # The statistics of the channels, to a tenth of a grey level.
        ("densenet-cifar10", 1, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), 0.05 / 255),
        ("densenet-cifar10+", 1, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), 0.05 / 255),
        ("wrn-cifar10", 255, (125.3, 123.0, 113.9), (63.0, 62.1, 66.7), 1e-9),
        ("wrn-cifar100", 255, (125.3, 123.0, 113.9), (63.0, 62.1, 66.7), 1e-9),
    ],
)
def test_pixels_are_normalised_as_published(
    name: str, unit: int, mean: tuple[float, ...], std: tuple[float, ...], within: float
) -> None:
    chosen = RECIPES[name]
    assert chosen.preprocessing == ""
    assert [unit * each for each in chosen.mean] == pytest.approx(mean, rel=0, abs=within)
    assert [unit * each for each in chosen.std] == pytest.approx(std, rel=0, abs=within)


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_resnet_110_warms_up_and_smaller_ones_do_not(depth: int) -> None:
    name = default_recipe(f"resnet{depth}", "cifar10", {})
    assert name
    rates = [lr_at(RECIPES[name], step, 50_000) for step in (0, 399, 400)]
    assert rates == ([0.01, 0.01, 0.1] if depth == 110 else [0.1, 0.1, 0.1])


@pytest.mark.parametrize(
    ("network", "twin"),
    [
        ("alexnet", "alexnet"),
        ("vgg16", "vgg16"),
        ("vgg16-bn", "vgg16_bn"),
        ("resnet", "resnet50"),
        ("resnext50", "resnext50_32x4d"),
        ("mobilenetv2", "mobilenet_v2"),
    ],
)
def test_test_images_are_prepared_as_for_torchvisions_first_weights(network: str, twin: str) -> None:
    from torchvision.models import get_model_weights

    theirs = get_model_weights(twin)["IMAGENET1K_V1"].transforms()
    chosen = RECIPES[f"torchvision-{network}"]
    assert chosen.resize == 256
    assert ([chosen.resize], [chosen.test_crop]) == (theirs.resize_size, theirs.crop_size)
    assert (list(chosen.mean), list(chosen.std)) == (theirs.mean, theirs.std)


@pytest.mark.parametrize(("model", "rate"), [("alexnet", 0.5), ("vgg16", 0.5), ("mobilenetv2", 0.2), ("resnet", 0.0)])
def test_torchvisions_networks_have_its_dropout(model: str, rate: float) -> None:
    """The rates are those of the layers in torchvision's networks; its scripts do not set them."""
    import torchvision
    from torch import nn

    twin = torchvision.models.get_model({"mobilenetv2": "mobilenet_v2", "resnet": "resnet18"}.get(model, model))
    theirs = {each.p for each in twin.modules() if isinstance(each, nn.Dropout)} or {0.0}
    built = build("resnet18" if model == "resnet" else model, {}, classes=10, dropout=rate)
    ours = {each.p for each in built.modules() if isinstance(each, nn.Dropout)} or {0.0}
    assert RECIPES[f"torchvision-{model}"].dropout == rate
    assert theirs == ours == {rate}
