"""Wide ResNet: Zagoruyko & Komodakis, arXiv 1605.07146v4."""

from __future__ import annotations

from typing import Any

from repro.recipes.recipe import CODE, INFERRED, PRINTED, Recipe, of_bytes

REPOSITORY = "szagoruyko/wide-residual-networks ae6d0d0"
LUA = f"{CODE}: {REPOSITORY}, train.lua"
MAY_2016 = f"{CODE}: 06e84a4 of May 2016, whose README prints 4.17 and 20.5"
"""The code of the tables with whitened images. One crop per image came with 730d723, fan-in with ea02518."""


def wrn_cifar(dataset: str, zca: bool) -> Recipe:
    """Wide ResNet on CIFAR: arXiv 1605.07146v4, section 3; the authors' Lua code.

    For WRN-28-10 on CIFAR-10 the paper prints 4.17 % with whitened images, as in its Tables 2 to 4, and 4.00 % with
    normalised ones, as in its Tables 5 and 6; Table 9 is of these too, by the authors' README. The former are of May
    2016, when the code drew one crop for a whole batch, mirrored half of it and initialised by fan-out.
    """
    early = {"crop_draw": "batch", "flip_half": True, "init": "conv-fan-out-batchnorm-uniform"} if zca else {}
    mean, std = ((), ()) if zca else (of_bytes(125.3, 123.0, 113.9), of_bytes(63.0, 62.1, 66.7))
    return _wrn(
        name=f"wrn-{dataset}{'-zca' if zca else ''}",
        dataset=dataset,
        epochs=200,
        lr=0.1,
        milestones=(59 / 200, 119 / 200, 159 / 200),
        gamma=0.2,
        crop_padding=4,
        padding_mode="reflect",
        flip=True,
        preprocessing="zca" if zca else "",
        mean=mean,
        std=std,
        origins={
            "milestones": f"{PRINTED}: 60, 120 and 160 epochs; at the start of those, counted from 1: {LUA}",
            "crop_padding": PRINTED,
            "crop_draw": f"{MAY_2016}: one for a batch" if zca else f"{LUA}: one for every image",
            "flip_half": f"{MAY_2016}: half of a batch" if zca else f"{LUA}: every image by its own chance",
            **({"init": f"{MAY_2016}, models/utils.lua: fan-out; BatchNorm: Torch7"} if zca else {}),
            **dict.fromkeys(("padding_mode", "flip"), PRINTED),
            "preprocessing": f"{PRINTED}; by pylearn2's make_cifar10_gcn_whitened.py: {CODE}: {REPOSITORY}, README",
            **dict.fromkeys(("mean", "std"), f"{LUA}; the same for CIFAR-100"),
        },
        **early,
    )


def wrn_svhn() -> Recipe:
    """Wide ResNet on SVHN: the same, section 3; the authors' scripts/train_svhn.sh.

    The paper prints 1.64 % for WRN-16-4 with a dropout of 0.4, trained on the training and the extra images.
    """
    return _wrn(
        name="wrn-svhn",
        dataset="svhn",
        epochs=160,
        lr=0.01,
        milestones=(79 / 160, 119 / 160),
        gamma=0.1,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        init="conv-fan-out-batchnorm-uniform",
        origins={
            "init": f"{INFERRED}: fan-out, since scripts/train_svhn.sh (5ed3b72, 2016-08-20) is older than fan-in "
            "(ea02518, 2016-09-08); BatchNorm: Torch7",
            "milestones": f"{PRINTED}: 80 and 120 epochs; at the start of those, counted from 1: {LUA}",
            **dict.fromkeys(("crop_padding", "flip"), f"{PRINTED}: none"),
            **dict.fromkeys(("mean", "std"), f"{PRINTED}: divided by 255 alone"),
        },
    )


def _wrn(origins: dict[str, str], **own: Any) -> Recipe:
    """Return a recipe with what is alike on all data sets."""
    values: dict[str, Any] = {"init": "conv-fan-in-batchnorm-uniform", **own}
    return Recipe(
        paper="Wide ResNet, Zagoruyko & Komodakis, arXiv 1605.07146v4",
        batch=128,
        drop_last=True,
        schedule="steps",
        momentum_reset=True,
        nesterov=True,
        weight_decay=5e-4,
        origins={
            **dict.fromkeys(("epochs", "batch", "lr", "schedule", "gamma", "momentum", "nesterov"), PRINTED),
            "drop_last": f"{LUA}; the authors' PyTorch port keeps the last batch, and has no Nesterov momentum",
            "momentum_reset": LUA,
            "weight_decay": f"{PRINTED}; on every parameter: {LUA}",
            "init": f"{CODE}: {REPOSITORY}, models/utils.lua: fan-in; BatchNorm: Torch7",
            "dropout": f"{PRINTED}: 0.3 on CIFAR and 0.4 on SVHN in some rows: an option of the network here",
            "reported": f"{INFERRED}: the end of training, as in the authors' README and logs",
            **origins,
        },
        **values,
    )
