"""A paper of three small rows on the digits, for tests that train it."""

from __future__ import annotations

from pathlib import Path

TABLE = """
title = "Table 1"
caption = "Test error on the digits; the numbers are made up"
paper = "Narrow Networks"
source = "Narrow Networks, Table 1"
dataset = "digits"
flops_convention = "macs"
columns = [{ key = "error", label = "Error %", kind = "error", recipe = "narrow-digits", runs = 2, statistic = "mean" }]
rows = [
  { label = "k = 4", model = "densenet", options = { depth = 7, k = 4 }, cells = { error = "80.0" } },
  { label = "k = 6", model = "densenet", options = { depth = 7, k = 6 }, cells = { error = "70.0" } },
  { label = "k = 8", model = "nets.py:my_net", options = { width = 8 }, cells = { error = "60.0" } },
]
"""
RECIPE = """
[recipes.narrow-digits]
extends = "digits"
summary = "Made up."
paper = "Narrow Networks"
epochs = { value = EPOCHS, source = "printed", place = "section 4" }
batch = { value = 32, source = "printed", place = "section 4" }
"""
NETWORK = """
from torch import nn

def my_net(width: int = 4, *, classes: int, channels: int) -> nn.Module:
    layers = [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
"""


def write_paper(folder: Path, epochs: int) -> Path:
    """Write the paper into papers/narrow of a folder, and return its folder."""
    paper = folder / "papers" / "narrow"
    files = {"tables/narrow.toml": TABLE, "recipes/narrow.toml": RECIPE.replace("EPOCHS", str(epochs))}
    for file, text in {**files, "nets.py": NETWORK}.items():
        (paper / file).parent.mkdir(parents=True, exist_ok=True)
        (paper / file).write_text(text, encoding="utf-8")
    return paper
