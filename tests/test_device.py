"""Preparation of a process for training."""

import platform
import subprocess
import sys

import pytest
import torch
from watching import Silent

from repro.data import DATASETS
from repro.errors import UserError
from repro.experiment import experiment_for
from repro.models import MODELS, build, resolve_options
from repro.paths import Folders
from repro.runtime import Runtime
from repro.training.machine.device import check_deterministic
from repro.training.runs import train as run
from repro.training.runs.session import Session

SCRIPT = """
import resource
import torch
from repro.runtime import Runtime
from repro.training.machine.device import prepare

def faults(steps):
    "Count the pages that steps get from the system; each step fills 64 MiB, more than glibc keeps by default."
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        torch.empty(1 << 24).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(5))
prepare(Runtime(device="cpu"))
faults(20)
print(faults(5))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_freed_memory_is_kept_for_the_next_step() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 1000
    assert after < 100


@pytest.mark.parametrize("model", ["alexnet", "vgg16", "vgg16-bn"])
def test_a_pooling_without_deterministic_kernel_is_refused_before_the_training(
    model: str, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "prepare", lambda runtime: torch.device("cuda:0"))
    monkeypatch.setattr(Session, "task_of", lambda *arguments: pytest.fail("read data"))
    experiment = experiment_for(model, {}, seed=0, dataset="imagenet", recipe_name=f"torchvision-{model}")
    with pytest.raises(UserError, match=rf"^--deterministic: .* of {model} \(avgpool, to \(\d, \d\)\); leave it out"):
        run.train([experiment], Runtime(deterministic=True), folders, Silent())


def test_deterministic_is_refused_for_no_other_network() -> None:
    """On a CPU every pooling is deterministic; so is a pooling to 1x1, which all networks for small images have."""
    gpu, cpu, asked = torch.device("cuda:0"), torch.device("cpu"), Runtime(deterministic=True)
    pooled = torch.nn.AdaptiveAvgPool2d((6, 6))
    check_deterministic("any", pooled, asked, cpu)
    check_deterministic("any", pooled, Runtime(), gpu)
    refused = []
    with torch.device("meta"):
        for name, spec in MODELS.items():
            for dataset in {"cifar10", spec.dataset} if spec.small else {spec.dataset}:
                shape = DATASETS[dataset].input
                network = build(name, resolve_options(name, {}, dataset), classes=10, input=shape)
                try:
                    check_deterministic(name, network, asked, gpu)
                except UserError:
                    refused.append((name, dataset))
    assert refused == [(name, "imagenet") for name in ("alexnet", "vgg16", "vgg16-bn")]
