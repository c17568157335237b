"""DenseNet: Huang et al., arXiv 1608.06993."""

from __future__ import annotations

from typing import Any

from repro.recipes.recipe import CODE, IMAGENET, INFERRED, PRINTED, Recipe, of_bytes

LUA = f"{CODE}: liuzhuang13/DenseNet e3d24fb"


def densenet_cifar(dataset: str, augmented: bool) -> Recipe:
    """DenseNet on CIFAR: arXiv 1608.06993, section 4.2; github.com/liuzhuang13/DenseNet, commit e3d24fb.

    The paper prints 4.10 % on C10+ for k = 12, L = 100: 300 epochs, one run a cell, the error at the end.
    Without augmentation (C10, C100) a dropout of 0.2 follows every convolution but the first.
    """
    mean, std = {
        "cifar10": (of_bytes(125.3, 123.0, 113.9), of_bytes(63.0, 62.1, 66.7)),
        "cifar100": (of_bytes(129.3, 124.1, 112.4), of_bytes(68.2, 65.4, 70.4)),
    }[dataset]
    return _densenet(
        name=f"densenet-{dataset}{'+' if augmented else ''}",
        dataset=dataset,
        epochs=300,
        batch=64,
        milestones=(149 / 300, 224 / 300),
        dropout=0.0 if augmented else 0.2,
        crop_padding=4 if augmented else 0,
        flip=augmented,
        mean=mean,
        std=std,
        origins={
            "milestones": f"{PRINTED}: at 50 % and 75 % of the epochs; at the start of epochs 150 and 225: {LUA}",
            **dict.fromkeys(("dropout", "crop_padding", "flip"), PRINTED),
            **dict.fromkeys(("padding_mode", "mean", "std"), LUA),
            "reported": f"{PRINTED}: the error at the end of training",
        },
    )


def densenet_svhn() -> Recipe:
    """DenseNet on SVHN: the same, section 4.2; the authors' code has no SVHN.

    The paper prints 1.59 % for k = 24, L = 100: the test error in the epoch of the lowest error on 6,000 validation
    images, which are not trained on.
    """
    like_cifar = f"{INFERRED}: as on CIFAR"
    sibling = f"{INFERRED}: yueatsprograms/Stochastic_Depth 88bcc69, which shares authors"
    return _densenet(
        name="densenet-svhn",
        dataset="svhn",
        epochs=40,
        batch=64,
        milestones=(19 / 40, 29 / 40),
        dropout=0.2,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        validation_images=6000,
        reported="lowest-validation",
        origins={
            "milestones": f"{PRINTED}: at 50 % and 75 % of the epochs; at the start of epochs 20 and 30: {like_cifar}",
            "dropout": PRINTED,
            **dict.fromkeys(("crop_padding", "flip"), f"{PRINTED}: none"),
            **dict.fromkeys(("mean", "std"), f"{PRINTED}: divided by 255 alone"),
            "validation_images": f"{PRINTED}; 400 training and 200 extra images a class: {sibling}",
            "reported": f"{PRINTED}; once per epoch: {INFERRED}",
        },
    )


def densenet_imagenet() -> Recipe:
    """DenseNet on ImageNet: the same, section 4.3; the authors' code, which is that of fb.resnet.torch.

    The paper prints 25.02 % top-1 error for DenseNet-121, with one crop.
    """
    return _densenet(
        name="densenet-imagenet",
        dataset="imagenet",
        epochs=90,
        batch=256,
        milestones=(30 / 90, 60 / 90),
        flip=True,
        scaled_crop=224,
        resize=256,
        test_crop=224,
        interpolation="bicubic",
        color_jitter=0.4,
        lighting=0.1,
        mean=IMAGENET[0],
        std=IMAGENET[1],
        origins={
            "milestones": f"{PRINTED}: at epochs 30 and 60; after so many: {LUA}",
            "dropout": f"{LUA}: none",
            "flip": f"{PRINTED}: as fb.resnet.torch; {LUA}",
            **dict.fromkeys(("color_jitter", "lighting"), f"{PRINTED}: as fb.resnet.torch; {LUA}"),
            "scaled_crop": f"{PRINTED}: as fb.resnet.torch; its sides' ratio is drawn uniformly there: {LUA}; of its "
            f"logarithm here: {INFERRED}",
            **dict.fromkeys(("resize", "test_crop", "interpolation", "mean", "std"), LUA),
            "reported": f"{INFERRED}: the error at the end of training",
        },
    )


def _densenet(origins: dict[str, str], **own: Any) -> Recipe:
    """Return a recipe with what is alike on all data sets."""
    return Recipe(
        paper="DenseNet, Huang et al., arXiv 1608.06993",
        lr=0.1,
        schedule="steps",
        nesterov=True,
        weight_decay=1e-4,
        init="conv-fan-out",
        origins={
            **dict.fromkeys(("epochs", "batch", "lr", "schedule", "gamma", "momentum", "nesterov"), PRINTED),
            "weight_decay": f"{PRINTED}; on every parameter: {LUA}",
            "init": f"{PRINTED}: as He et al.; fan-out: {LUA}",
            **origins,
        },
        **own,
    )
