"""Reproduce the published tables of CNN papers, and say honestly whether they were reproduced."""

TYPE_CHECKING = False  # that of typing, which need not be loaded before Ctrl-C is handled
__version__ = "0.1.0"
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

if TYPE_CHECKING:
    from repro.api import (
        UserError,
        build,
        compare,
        count,
        curve,
        list_datasets,
        list_models,
        list_recipes,
        list_tables,
        results,
        runs,
        table,
    )
else:

    def __getattr__(name: str) -> object:
        """Return what `repro.api` has of the name; nothing is imported before the first use."""
        if name not in __all__:
            raise AttributeError(f"module 'repro' has no attribute {name!r}")
        from repro import api

        return getattr(api, name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
