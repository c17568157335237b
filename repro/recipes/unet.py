"""U-Net: Ronneberger et al., arXiv 1505.04597."""

from __future__ import annotations

from dataclasses import replace

from repro.recipes.recipe import CODE, INFERRED, PRINTED, Recipe


def unet_isbi() -> Recipe:
    """U-Net on ISBI 2012: arXiv 1505.04597, sections 2 and 3; the authors' u-net-release-2015-10-02.

    The paper prints a warping error of 0.0003529 and a Rand error of 0.0382, from the organisers' server, after 10
    hours on a Titan. It prints neither the rate nor the iterations, and the release holds no solver: both are our own.
    The network is that of Figure 1, with 31,030,658 parameters. The release's phseg_v5-train.prototxt differs from it:
    a ReLU after each up-convolution, and 128 maps from the last one, which make 31,100,354.
    """
    code = f"{CODE}: phseg_v5-train.prototxt"
    return Recipe(
        name="unet-isbi",
        paper="U-Net, Ronneberger et al., arXiv 1505.04597",
        dataset="isbi2012",
        epochs=2400,
        batch=1,
        lr=0.001,
        schedule="steps",
        momentum=0.99,
        nesterov=False,
        weight_decay=0.0,
        init="all-fan-in",
        dropout=0.5,
        tile=388,
        margin=92,
        flip=True,
        turn=True,
        elastic=10.0,
        elastic_grid=3,
        color_jitter=0.1,
        class_balance=True,
        border_weight=10.0,
        border_sigma=5.0,
        origins={
            "epochs": f"{INFERRED}: 60,000 steps, about what a Titan does in the 10 hours that are printed",
            "batch": PRINTED,
            "lr": f"{INFERRED}: constant; stable beside the printed momentum",
            "schedule": f"{INFERRED}: none is printed",
            "momentum": PRINTED,
            "nesterov": f"{INFERRED}: the paper speaks of momentum alone",
            "weight_decay": f"{INFERRED}: none is printed",
            "init": f"{PRINTED}: variance 2 / N; N of an up-convolution, biases 0: {CODE}: its patched weight filler",
            "dropout": f"{PRINTED}: at the end of the contracting path; rate and places: {code}",
            "tile": f"{PRINTED}: Figure 1, 388 of 572 pixels",
            "margin": f"{PRINTED}: Figure 1; mirrored: Figure 2",
            "flip": f"{INFERRED}: the paper asks for shifts and rotations",
            "turn": f"{PRINTED}: rotations; by right angles: {INFERRED}",
            "elastic": PRINTED,
            "elastic_grid": f"{PRINTED}; spread over the tile with its margin: {INFERRED}",
            "color_jitter": f"{PRINTED}: grey value variations; how large: {INFERRED}",
            "class_balance": f"{PRINTED}; how: {INFERRED}",
            "border_weight": f"{PRINTED}; between cells alone: {INFERRED}, from Figure 3d",
            "border_sigma": f"{PRINTED}: about 5 pixels",
            "mean": f"{INFERRED}: of the training slices",
            "std": f"{INFERRED}: of the training slices",
            "reported": f"{INFERRED}: the end of training, on slices 25 to 29, held out by us",
        },
    )


def unet_isbi_padded() -> Recipe:
    """The same for padded networks, which see and give whole slices of 512 pixels; no paper stands behind it."""
    paper = unet_isbi()
    own = f"{INFERRED}: our own choice, for unet --padded"
    return replace(
        paper, name="unet-isbi-padded", tile=512, margin=0, origins={**paper.origins, "tile": own, "margin": own}
    )


def unet_segmentation() -> Recipe:
    """The same on slices and masks of one's own; no paper stands behind it."""
    own = f"{INFERRED}: as unet-isbi"
    paper = unet_isbi()
    return replace(
        paper,
        name="unet-segmentation",
        paper="none: unet-isbi on images of one's own",
        dataset="segmentation",
        origins=dict.fromkeys(paper.origins, own),
    )
