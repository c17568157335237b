"""Preparation of a process for training."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import torch
from repro.runtime import Runtime
from repro.training.device import prepare

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_freed_memory_is_kept_for_the_next_step() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 1000
    assert after < 100
