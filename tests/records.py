"""Records that tests write as the end of a training does."""

from pathlib import Path

from repro.store.results import RUNS, Record, put_record
from repro.store.writing import locked_results


def append_record(record: Record, results: Path) -> None:
    """Add a record to a folder of results."""
    with locked_results(results / RUNS):
        put_record(record, results)
