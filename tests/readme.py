"""What the README shows between markers, made anew; `python tests/readme.py` writes it."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from simulation import power_table

README = Path(__file__).parents[1] / "README.md"
MARKED = re.compile(r"(?<=<!-- made by: )(?P<maker>.+?) -->\n(?P<shown>.*?)(?=<!-- end -->)", re.DOTALL)


def made_by(maker: str) -> str:
    """Return what stands behind a marker: the output of a command on the shipped results alone, or the simulation."""
    if maker == "tests/simulation.py":
        return power_table()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", *maker.split()]
        return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def renewed(text: str) -> str:
    """Return the README with everything between markers made anew."""
    return MARKED.sub(lambda found: f"{found['maker']} -->\n{made_by(found['maker'])}\n\n", text)


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
