"""A paper of two small rows on the digits, whose recipe is short."""

from collections.abc import Callable
from pathlib import Path

RECIPE = """
[recipes.short]
extends = "digits"
summary = "One epoch on the digits."
paper = "Mine"
epochs = { value = 1, source = "printed", place = "section 3" }
"""
TABLE = """
title = "Table 1"
caption = "Test error on the digits"
paper = "Mine"
source = "Mine, Table 1"
dataset = "digits"
flops_convention = "macs"
columns = [
  { key = "params", label = "Params", kind = "params" },
  { key = "error", label = "Error %", kind = "error", recipe = "short" },
]
[[rows]]
label = "Narrow"
model = "densenet"
options = { depth = 7, k = 4 }
cells = { params = "4.1k", error = "87.0" }
[[rows]]
label = "Wide"
model = "densenet"
options = { depth = 7, k = 6 }
cells = { error = "10.0" }
"""
Write = Callable[..., Path]
"""Writes a paper into a folder of the working folder."""
