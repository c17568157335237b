"""Reproduce the published tables of CNN papers, and say honestly whether they were reproduced."""

TYPE_CHECKING = False  # that of typing, which need not be loaded before Ctrl-C is handled
__version__ = "0.1.0"
_MODULES = {
    "UserError": "repro.errors",
    "build": "repro.api.networks",
    "compare": "repro.api.tables",
    "count": "repro.api.counts",
    "curve": "repro.api.records",
    "list_datasets": "repro.api.listing",
    "list_models": "repro.api.listing",
    "list_recipes": "repro.api.listing",
    "list_tables": "repro.api.listing",
    "load_weights": "repro.api.networks",
    "plan": "repro.api.plans",
    "results": "repro.api.records",
    "runs": "repro.api.records",
    "table": "repro.api.tables",
}
"""Where each name of the Python API is defined."""
__all__ = list(_MODULES)

if TYPE_CHECKING:
    from repro.api.counts import count as count
    from repro.api.listing import list_datasets as list_datasets
    from repro.api.listing import list_models as list_models
    from repro.api.listing import list_recipes as list_recipes
    from repro.api.listing import list_tables as list_tables
    from repro.api.networks import build as build
    from repro.api.networks import load_weights as load_weights
    from repro.api.plans import plan as plan
    from repro.api.records import curve as curve
    from repro.api.records import results as results
    from repro.api.records import runs as runs
    from repro.api.tables import compare as compare
    from repro.api.tables import table as table
    from repro.errors import UserError as UserError
else:

    def __getattr__(name: str) -> object:
        """Return what the API has of the name; nothing is imported before the first use."""
        if name not in _MODULES:
            raise AttributeError(f"module 'repro' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_MODULES[name]), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
