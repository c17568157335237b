"""The memory of this machine, which data and training must fit into."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
"""The folder of a container's own cgroup, version 2; version 1 has one below it."""
MEMINFO = Path("/proc/meminfo")


def host_memory() -> int:
    """Return the bytes of the memory that this process may use."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in (CGROUP / "memory.max", CGROUP / "memory" / "memory.limit_in_bytes"):  # versions 2 and 1
        with suppress(OSError, ValueError):  # the file is missing, or says "max"
            limits.append(int(path.read_text()))
    return min(limits)


def free_host_memory() -> int | None:
    """Return the bytes that this process may still take without swapping; None if unknown, as outside Linux."""
    free = []
    with suppress(OSError, KeyError, ValueError):
        free.append(1024 * _fields(MEMINFO)["MemAvailable:"])
    with suppress(OSError, KeyError, ValueError):  # no container, or one without a limit
        limit, taken = (int((CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        cached = _fields(CGROUP / "memory.stat")["inactive_file"]  # the kernel drops these pages if it has to
        free.append(max(0, limit - taken + cached))
    return min(free, default=None)


def _fields(path: Path) -> dict[str, int]:
    """Return the numbers of a file with a name and a number in each line."""
    return {words[0]: int(words[1]) for words in map(str.split, path.read_text().splitlines()) if len(words) > 1}
