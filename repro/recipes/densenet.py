"""DenseNet: Huang et al., arXiv 1608.06993."""

from __future__ import annotations

from repro.recipes.recipe import CODE, PRINTED, Recipe, of_bytes


def densenet_cifar(dataset: str, augmented: bool) -> Recipe:
    """DenseNet on CIFAR: arXiv 1608.06993, section 4.2; github.com/liuzhuang13/DenseNet, commit e3d24fb.

    The paper prints 4.10 % on C10+ for k = 12, L = 100: 300 epochs, one run a cell, the error at the end.
    Without augmentation (C10, C100) a dropout of 0.2 follows every convolution but the first.
    """
    code = f"{CODE}: liuzhuang13/DenseNet e3d24fb"
    mean, std = {
        "cifar10": (of_bytes(125.3, 123.0, 113.9), of_bytes(63.0, 62.1, 66.7)),
        "cifar100": (of_bytes(129.3, 124.1, 112.4), of_bytes(68.2, 65.4, 70.4)),
    }[dataset]
    return Recipe(
        name=f"densenet-{dataset}{'+' if augmented else ''}",
        paper="DenseNet, Huang et al., arXiv 1608.06993",
        dataset=dataset,
        epochs=300,
        batch=64,
        lr=0.1,
        schedule="steps",
        milestones=(0.5, 0.75),
        nesterov=True,
        weight_decay=1e-4,
        init="conv-fan-out",
        dropout=0.0 if augmented else 0.2,
        crop_padding=4 if augmented else 0,
        flip=augmented,
        mean=mean,
        std=std,
        origins={
            "epochs": PRINTED,
            "batch": PRINTED,
            "lr": PRINTED,
            "schedule": PRINTED,
            "milestones": f"{PRINTED}: at 50 % and 75 % of the epochs (the authors' code: one epoch earlier)",
            "gamma": PRINTED,
            "momentum": PRINTED,
            "nesterov": PRINTED,
            "weight_decay": f"{PRINTED}; on every parameter: {code}",
            "init": f"{PRINTED}: as He et al.; fan-out: {code}",
            "dropout": PRINTED,
            "crop_padding": PRINTED,
            "padding_mode": code,
            "flip": PRINTED,
            "mean": code,
            "std": code,
            "reported": "printed: the error at the end of training",
        },
    )
