"""Shell programs that stand in for others."""

from pathlib import Path


def write_program(path: Path, code: str) -> None:
    """Write a shell program, which may be started."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{code}\n", encoding="utf-8")
    path.chmod(0o755)
