"""The memory of this machine, which data must fit into."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Files with the memory limit of a container, cgroup versions 2 and 1."""


def host_memory() -> int | None:
    """Return the bytes of the memory that this process may use; None if unknown."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    for path in CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # the file is missing, or says "max"
            limits.append(int(path.read_text()))
    return min(limits, default=None)
