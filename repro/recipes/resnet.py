"""ResNet: He et al., arXiv 1512.03385."""

from __future__ import annotations

from repro.recipes.recipe import INFERRED, PRINTED, Recipe

WARMUP = {
    "warmup_iterations": f"{PRINTED}: until the training error is below 80 %, about 400 iterations; exactly so many, "
    f"and for 1202 layers too: {INFERRED}",
    "warmup_lr": PRINTED,
}


def resnet_cifar10(warmup: bool) -> Recipe:
    """ResNet on CIFAR-10: arXiv 1512.03385, section 4.2.

    The paper prints 8.75 % for 20 layers: 64,000 iterations of 128 images, the rate divided by 10 at 32,000 and
    48,000. ResNet-110 starts with a rate of 0.01 until the training error is below 80 %, about 400 iterations; here
    so do 1202 layers, and for 400 iterations.
    """
    return Recipe(
        name="resnet-cifar10-warmup" if warmup else "resnet-cifar10",
        paper="ResNet, He et al., arXiv 1512.03385",
        dataset="cifar10",
        epochs=164,
        iterations=64_000,
        batch=128,
        lr=0.1,
        schedule="steps",
        milestones=(0.5, 0.75),
        warmup_iterations=400 if warmup else 0,
        warmup_lr=0.01 if warmup else 0.0,
        nesterov=False,
        weight_decay=1e-4,
        decay_scope="weights",
        init="conv-fan-out",
        crop_padding=4,
        flip=True,
        preprocessing="mean-image",
        origins={
            "epochs": f"{INFERRED}: 64,000 steps of 128 of 50,000 images",
            "iterations": PRINTED,
            "batch": PRINTED,
            "lr": PRINTED,
            "schedule": PRINTED,
            "milestones": f"{PRINTED}: 32,000 and 48,000 of 64,000 iterations",
            "gamma": PRINTED,
            **(WARMUP if warmup else {"warmup_iterations": f"{PRINTED}: none; it is for 110 layers"}),
            "momentum": PRINTED,
            "nesterov": f"{INFERRED}: the paper speaks of momentum alone",
            "weight_decay": PRINTED,
            "decay_scope": f"{INFERRED}: the README of fb.resnet.torch names decaying BatchNorm and biases too as its "
            "difference from the paper",
            "init": f"{PRINTED}: as He et al.; fan-out: {INFERRED}; Caffe's msra filler has fan-in by default",
            "batchnorm_images": f"{INFERRED}: the whole batch; the paper trained on two GPUs, of 64 images each",
            "batchnorm_statistics": f"{INFERRED}: running averages; of the authors' ImageNet models the README of "
            "KaimingHe/deep-residual-networks says that they are exact ones",
            "dropout": f"{PRINTED}: none",
            "crop_padding": PRINTED,
            "padding_mode": f"{INFERRED}: zeros, after the mean is subtracted",
            "flip": PRINTED,
            "preprocessing": f"{PRINTED}: the per-pixel mean is subtracted, and nothing else is done; pixels in 0..1, "
            "which BatchNorm makes the same as 0..255",
            "validation_images": f"{PRINTED}: none; the networks are trained on the training set, and the split of "
            "45,000 and 5,000 images only determined the iterations",
            "reported": f"{INFERRED}: the end of training",
        },
    )
