"""The Python API, for notebooks: `import repro` has it. The commands use the same functions."""

from repro.api.counts import count
from repro.api.listing import list_datasets, list_models, list_recipes, list_tables
from repro.api.networks import build
from repro.api.records import curve, results, runs
from repro.api.tables import compare, table
from repro.errors import UserError

__all__ = [
    "UserError",
    "build",
    "compare",
    "count",
    "curve",
    "list_datasets",
    "list_models",
    "list_recipes",
    "list_tables",
    "results",
    "runs",
    "table",
]
