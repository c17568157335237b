"""The page on Python and the notebook: their code works, in an empty folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"<!-- run -->\n```python\n(.*?)```", (ROOT / "docs/python.md").read_text("utf-8"), re.DOTALL)
NOTEBOOK = ROOT / "docs/notebook.ipynb"


def test_the_code_of_the_page_prints_what_it_says(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("REPRO_PAPERS", None)
    command = [sys.executable, "-c", "\n".join(BLOCKS)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.startswith("2230868 262911040 253637888\ncifar100 DenseResNet-110, N = 4 2.23M True\n314\n")
    for line in (
        "DenseResNet-110, N = 8 22.95 0 ○ not measured",
        "WideResNet 175066",
        "--papers papers/narrow is not a folder; name the folder of a paper",
    ):
        assert f"\n{line}\n" in done.stdout
    assert re.search(r"\n163 +164 +8.15\n", done.stdout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is missing; pip install -e '.[test]' installs it")
    pytest.importorskip("ipykernel", reason="ipykernel is missing; pip install -e '.[test]' installs it")
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute(env={**os.environ, "PYTHONPATH": str(ROOT)})
    outputs = {cell["id"]: cell["outputs"] for cell in notebook.cells if cell.cell_type == "code"}
    assert "2,230,868" in outputs["count-one"][-1]["data"]["text/html"]
    assert "not measured" in outputs["table-shown"][-1]["data"]["text/html"]
    assert "densenet-depth7-k4-digits" in outputs["results-digits"][-1]["data"]["text/html"]
    assert "image/png" in outputs["curve"][-1]["data"]
    errors = [each for found in outputs.values() for each in found if each.get("name") == "stderr"]
    assert not any("Error" in each["text"] or "\x1b" in each["text"] for each in errors)


def test_the_notebook_is_committed_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)
