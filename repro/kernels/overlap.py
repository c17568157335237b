"""Launches that overlap with the end of the kernel before them: programmatic dependent launch, on GPUs since Hopper.

A kernel is launched as soon as all programs of the one before it run, and waits for its end before it reads anything.
That hides the time between two kernels.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from triton.language.extra import cuda  # type: ignore[import-untyped]

OVERLAPS = tl.constexpr(False)
"""Whether kernels are launched in this way. It has not been timed yet: `tests/gpu/launches.py --overlap` does so."""


@triton.jit
def wait_for_previous():
    """Wait for the end of the kernel before this one, and let the next one be launched."""
    if OVERLAPS:
        cuda.gdc_wait()
        cuda.gdc_launch_dependents()
