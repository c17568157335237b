"""The files that `repro new` writes. Those of a paper are in `paper/`, with `NAME` in their names for its name."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from string import Template

PAPER = Path(__file__).parent / "paper"
"""The template of a paper."""
SUFFIXES = (".md", ".py", ".toml")
"""The files of the template; Python may have compiled one of them next to it."""


def paper_files(name: str, folder: Path, *, found: bool) -> dict[Path, bytes]:
    """Return the files of a new paper, by their path within its folder.

    Args:
        name: the name of its table and its recipe.
        folder: its folder as the user typed it, which the commands in its README name.
        found: whether commands find the folder without `--papers`.
    """
    shell = quote(str(folder))
    given = {
        "name": name,
        "folder": shell,
        "network": quote(f"{folder}/nets.py:small_net"),
        "papers": "" if found else f" --papers {shell}",
    }
    files = [each for each in sorted(PAPER.rglob("*")) if each.suffix in SUFFIXES]
    return {
        Path(str(each.relative_to(PAPER)).replace("NAME", name)): Template(each.read_text("utf-8"))
        .substitute(given)
        .encode()
        for each in files
    }
