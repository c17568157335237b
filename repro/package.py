"""Where the files of the program are."""

from pathlib import Path

PACKAGE = Path(__file__).parent
"""The folder of the package."""


def shipped_folder(name: str) -> Path:
    """Return the folder of the shipped tables or results: in a checkout beside the package, in a wheel inside it."""
    inside = PACKAGE / "shipped" / name
    return inside if inside.is_dir() else PACKAGE.parent / name
