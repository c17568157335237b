"""Several records of one experiment: which one is used, and keeping only one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repro.errors import UserError
from repro.store.curves import curve_path, curve_paths, is_curve_of
from repro.store.gates import gates_path
from repro.store.removal import delete_records
from repro.store.results import RUNS, Record, every_record, is_shipped, result_folders, without_tests
from repro.store.run_names import run_named
from repro.store.writing import locked_results
from repro.text import number_of


@dataclass(frozen=True)
class FoundRecord:
    """A record and the folder of results that it is in."""

    record: Record
    folder: Path

    @property
    def shipped(self) -> bool:
        """Whether it comes with the program and is never deleted."""
        return is_shipped(self.folder)


def records_of(run: str, results: Path) -> list[FoundRecord]:
    """Return the different records of a run; the first one is used.

    Args:
        run: name, prefix or ID.
        results: the folder of the user's records; the shipped ones come first.

    Raises:
        UserError: no run or several runs match, or a line is not a record.
    """
    folders = result_folders(results)
    found = [FoundRecord(record, folder) for folder in folders for record in every_record(folder)]
    name = run_named(run, dict.fromkeys(each.record.name for each in found), folders)
    once: list[FoundRecord] = []
    for each in found:
        facts = without_tests(each.record)
        if each.record.name == name and all(facts != without_tests(other.record) for other in once):
            once.append(each)
    return once


def others_of(records: Sequence[FoundRecord], number: int) -> list[FoundRecord]:
    """Return the records that are deleted if one is kept.

    Args:
        records: of one run.
        number: of the record to keep, from 1.

    Raises:
        UserError: there is no such record, or another one is in the folder that is shipped with the program.
    """
    name = records[0].record.name
    if not 1 <= number <= len(records):
        raise UserError(f"--record {number}: {name} has {number_of(len(records), 'record')}")
    shipped = [each.folder for each in records if each.shipped]
    if len(shipped) > 1:
        raise UserError(
            f"{shipped[0]} is the folder of the records that come with the program, and no command deletes them; "
            f"remove the line of {shipped[0] / RUNS} by hand, or record elsewhere with --results"
        )
    if shipped and number != 1:
        raise UserError(
            f"record 1 of {name} is shipped with the program, so it is used and never deleted; keep that one, or train "
            "another --seed"
        )
    return [each for place, each in enumerate(records, 1) if place != number]


def delete_others(others: Sequence[FoundRecord], kept: FoundRecord) -> None:
    """Delete records, their curves and their gate weights; the kept record's curve gets the name of the run."""
    name, unwanted = kept.record.name, [each.record for each in others]
    for folder in dict.fromkeys(each.folder for each in others):
        with locked_results(folder / RUNS):  # so that no other process writes a curve meanwhile
            first = next((each for each in every_record(folder) if each.name == name), None)
            left = [without_tests(each) for each in delete_records(unwanted, folder)]
            if first and without_tests(first) not in left:  # the gate weights are those of the first record
                gates_path(folder, name).unlink(missing_ok=True)
            for curve in curve_paths(folder, name):
                if is_curve_of(curve, kept.record):
                    curve.replace(curve_path(folder, name))
                elif any(is_curve_of(curve, each) for each in unwanted):
                    curve.unlink()
