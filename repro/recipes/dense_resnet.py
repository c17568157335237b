"""DenseResNet: Takeda, MIRU 2020."""

from __future__ import annotations

from dataclasses import replace

from repro.recipes.recipe import CIFAR10, CIFAR100, CODE, IMAGENET, INFERRED, PRINTED, Recipe


def miru2020(dataset: str) -> Recipe:
    """DenseResNet on CIFAR: Takeda, MIRU 2020, section 4; github.com/takedarts/DenseResNet, commit c1fa035.

    The paper prints 22.62 % error on CIFAR-100 for DenseResNet-110 with N = 4. It does not print the number of
    epochs: 300 is what the author's configuration of the following weeks says beside exactly the paper's batch,
    learning rate and weight decay.
    """
    mean, std = CIFAR100 if dataset == "cifar100" else CIFAR10
    code = f"{CODE}: takedarts/DenseResNet c1fa035"
    config = f"{INFERRED}: config/cifar100/resnet-110.txt of takedarts/DenseResNet 4cfca0f"
    scope = f"on every parameter: {code}; {INFERRED}, since the configuration behind the epochs leaves BatchNorm out"
    return Recipe(
        name=f"miru2020-{dataset}",
        paper="DenseResNet, Takeda, MIRU 2020",
        dataset=dataset,
        epochs=300,
        batch=64,
        lr=0.05,
        schedule="cosine",
        warmup_epochs=5,
        nesterov=True,
        weight_decay=5e-4,
        init="conv-and-classifier-fan-out",
        crop_padding=4,
        padding_mode="reflect",
        flip=True,
        mean=mean,
        std=std,
        origins={
            **dict.fromkeys(("batch", "lr", "momentum", "nesterov"), PRINTED),
            **dict.fromkeys(("epochs", "warmup_epochs", "dropout"), config),
            **dict.fromkeys(("init", "crop_padding", "padding_mode", "flip", "mean", "std", "reported"), code),
            "schedule": f"{PRINTED}: cosine; once per epoch: {code}",
            "weight_decay": f"{PRINTED}; {scope}",
        },
    )


def miru2020_imagenet(network: str) -> Recipe:
    """DenseResNet on ImageNet: Takeda, MIRU 2020, section 3.1; the author's code and configurations.

    The paper prints 23.34 % error for DenseResNet-34 with N = 6. ResNet-34 is trained at 160 pixels and tested
    at 224 with a single crop, MobileNet-v2 at 224 throughout. Nothing is tuned afterwards: the author's train.py
    validates at 224 pixels after every epoch and never calls Trainer.tune.
    """
    mobile = network == "mobilenetv2"
    config = "config/imagenet/mobilenetv2-1.0.txt of takedarts/DenseResNet 3ec9456"
    defaults = f"{INFERRED}: {config if mobile else 'defaults of takedarts/DenseResNet c1fa035'}"
    code = f"{CODE}: takedarts/DenseResNet c1fa035"
    scope = f"on every parameter: {code}"
    if mobile:
        scope += f"; {INFERRED}, since the configuration behind the epochs leaves BatchNorm and biases out"
    return Recipe(
        name=f"miru2020-imagenet-{network}",
        paper="DenseResNet, Takeda, MIRU 2020",
        dataset="imagenet",
        epochs=300,
        batch=64,
        lr=0.0125 if mobile else 0.025,
        schedule="cosine",
        warmup_epochs=5,
        nesterov=True,
        weight_decay=4e-5 if mobile else 1e-4,
        init="conv-and-classifier-fan-out",
        flip=True,
        scaled_crop=224 if mobile else 160,
        resize=256,
        test_crop=224,
        color_jitter=0.4,
        lighting=0.1,
        mean=IMAGENET[0],
        std=IMAGENET[1],
        origins={
            **dict.fromkeys(("batch", "lr", "momentum", "nesterov", "scaled_crop"), PRINTED),
            **dict.fromkeys(("epochs", "warmup_epochs", "dropout"), defaults),
            **dict.fromkeys(("init", "flip", "color_jitter", "lighting", "mean", "std"), code),
            "resize": code,
            "test_crop": f"{PRINTED}: a single crop of 224 pixels",
            "tune_epochs": f"{PRINTED}: none; nor does train.py: {code}",
            "reported": f"{PRINTED}: the final accuracy",
            "schedule": f"{PRINTED}: cosine; once per epoch: {code}",
            "weight_decay": f"{PRINTED}; {scope}",
        },
    )


def miru2020_imagenet_tuned(network: str) -> Recipe:
    """The same with its classifier tuned at 224 pixels in the end, which the paper does not do: a variant.

    The author's code has the step (Trainer.tune), on features of BatchNorm's kept statistics, and its optimizer
    (src/create.py: Nesterov, momentum 0.9, the training's weight decay), but no program that takes the steps.
    """
    paper, mobile = miru2020_imagenet(network), network == "mobilenetv2"
    config = "config/imagenet/mobilenetv2-1.0.txt of takedarts/DenseResNet 3ec9456"
    defaults = f"{INFERRED}: {config if mobile else 'defaults of takedarts/DenseResNet c1fa035'}"
    return replace(
        paper,
        name=f"{paper.name}-tuned",
        tune_epochs=60,
        tune_batch=256,
        tune_lr=0.002 if mobile else 0.004,
        origins={
            **paper.origins,
            **dict.fromkeys(("tune_epochs", "tune_batch"), defaults),
            "tune_lr": f"{defaults}; constant, images augmented as in the training: no code shows either",
        },
    )
