"""What a process is made ready with before it trains."""

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
    "Count the pages that steps get anew from the system; each fills 64 MiB, more than glibc keeps by itself."
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
def test_what_a_step_frees_is_kept_for_the_next() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 1000
    assert after < 100
