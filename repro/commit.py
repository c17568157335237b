"""The version of the program's files that is running."""

import hashlib
import subprocess
from pathlib import Path

from repro.package import PACKAGE

COMMIT_FILE = "COMMIT"
"""A file of a copied package with the commit of the checkout that it was copied from."""


def commit() -> str:
    """Return the commit of the program's checkout, with `+` if files have changed; without one, a hash of the files.

    A copy of the program states the commit of its original.
    """
    if (PACKAGE / COMMIT_FILE).is_file():
        return (PACKAGE / COMMIT_FILE).read_text().strip()
    checkout = PACKAGE.parent
    if not (checkout / ".git").exists():
        return hash_of_files(PACKAGE)
    command = ["git", "-C", str(checkout), "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return hash_of_files(PACKAGE)


def hash_of_files(package: Path) -> str:
    """Return `sha256:` and the first twelve digits of a hash of a package's Python files and their relative paths."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return f"sha256:{digest.hexdigest()[:12]}"
