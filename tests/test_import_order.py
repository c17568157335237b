"""The modules of the package import downward only."""

import subprocess
import sys
from pathlib import Path


def test_no_module_imports_one_above_it() -> None:
    """The order is in pyproject.toml, and a module that is not in it is refused."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", "pyproject.toml"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
