"""Which state of the program's files it is that runs."""

import subprocess
from pathlib import Path


def commit() -> str:
    """Return the commit of the program's checkout, with `+` if files differ from it; empty outside of one."""
    checkout = Path(__file__).parents[1]
    if not (checkout / ".git").exists():
        return ""
    command = ["git", "-C", str(checkout), "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
