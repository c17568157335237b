"""Programmatic dependent launch: a kernel's programs are placed while those of the kernel before it still run."""

import triton
import triton.language as tl

ON = False


@triton.jit
def wait(early: tl.constexpr):
    """Wait until everything before this kernel is written, and let the next kernel's programs be placed."""
    if early:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
