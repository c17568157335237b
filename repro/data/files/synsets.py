"""The classes in meta.mat of ILSVRC 2012's development kit, parsed by a child process.

SciPy's reader ends the process with SIGSEGV on some damaged files, or takes all memory. This file is also the program
of the child, which reads meta.mat on stdin and writes {"ID": "wnid"} as JSON on stdout.
"""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys

CLASSES = 1000
"""IDs above are groups of classes."""
MEMORY = 4 << 30
"""Bytes of address space of the child."""
SECONDS = 60.0


def leaves_in(meta: bytes) -> dict[int, str]:
    """Return the wnids of the classes by ID, from the content of meta.mat; ValueError if it cannot be parsed."""
    command = [sys.executable, "-P", __file__]  # -P: nothing is imported from the folder of this file
    try:
        done = subprocess.run(command, input=meta, capture_output=True, timeout=SECONDS, check=True, env=_environment())
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise ValueError("meta.mat cannot be read") from error
    return {int(number): wnid for number, wnid in found.items()}


def _environment() -> dict[str, str]:
    """Return the environment of the child; a BLAS thread for each core would take more address space than MEMORY."""
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from scipy.io import loadmat

    synsets = loadmat(io.BytesIO(sys.stdin.buffer.read()), squeeze_me=True, variable_names=["synsets"])["synsets"]
    wnids = {int(each["ILSVRC2012_ID"]): str(each["WNID"]) for each in synsets}
    json.dump({number: wnid for number, wnid in wnids.items() if number <= CLASSES}, sys.stdout, allow_nan=False)


if __name__ == "__main__":
    _main()
