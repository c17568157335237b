"""The results of several machines joined into one folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import KW_ONLY, asdict, dataclass, field
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, TypeVar

from repro.atomic import write_atomically
from repro.bars import with_bar
from repro.errors import UserError
from repro.store.conflicts import UNMEASURED, Conflict, refuse
from repro.store.csv_rows import line_of, lines_of, read, read_with_lines, rewrite
from repro.store.curves import by_run, numbered, read_curve
from repro.store.gates import read_gates
from repro.store.protocol_tests import recorded_tests
from repro.store.results import RECORD, RUNS, ProtocolTest, Record, put_record, with_further_tests, without_tests
from repro.store.step_times import MEASURED_TIME, TIMES, StepTime
from repro.store.weights_tests import WEIGHTS, WEIGHTS_TEST, WeightsTest
from repro.store.writing import locked_results

Row = TypeVar("Row", Record, StepTime, WeightsTest)
FILES: Mapping[str, Callable[[Path], Sequence[Any]]] = {"curves": read_curve, "gates": read_gates}
"""The folders with a file for each run, and the readers of these files."""


@dataclass(frozen=True)
class Added:
    """How much a merge added, and how many records were there before."""

    records: int
    curves: int
    gates: int
    times: int
    weights: int
    tested: int
    """Runs that were there and got tests by further protocols."""
    present: int


def merge(sources: Sequence[Path], results: Path) -> Added:
    """Add the records, curves, gates, times and tests of weights of other folders to a folder of results.

    A run that is there already only gets tests by further protocols, so a second merge changes nothing.

    Args:
        sources: folders of results.
        results: the folder to extend; it is created if needed.

    Raises:
        UserError: a source is not a folder of results, a line is invalid, or two folders have different content for
            some runs, which the message names. Nothing is written then.
    """
    for source in sources:
        _check(source, results)
    results.mkdir(parents=True, exist_ok=True)
    with ExitStack() as locks:
        for name in (RUNS, TIMES, WEIGHTS):
            locks.enter_context(locked_results(results / name))
        runs = _run_lines(results)
        times = _Lines(results / TIMES, StepTime, MEASURED_TIME, name=_time, key=_time)
        key = attrgetter("key")
        weights = _Lines(results / WEIGHTS, WeightsTest, WEIGHTS_TEST, name=_weights, key=key, content=_with_outcome)
        files = {folder: _Files(results / folder, reader) for folder, reader in FILES.items()}
        for source in with_bar(sources, "reading results"):
            runs.add(source / RUNS)
            times.add(source / TIMES)
            weights.add(source / WEIGHTS)
            for folder, each in files.items():
                each.add(source / folder)
        refuse(_conflicts(runs, times, weights, files.values()))
        for each in files.values():  # first, so that no record is without its curve
            each.write()
        runs.write()
        for record in runs.joined:  # those that were tested further elsewhere
            put_record(record, results)
        times.write()
        weights.write()
    return Added(
        records=len(runs.new),
        curves=len(files["curves"].new),
        gates=len(files["gates"].new),
        times=len(times.new),
        weights=len(weights.new),
        tested=len({each.name for each in runs.joined} & {each.name for each in runs.present}),
        present=len(runs.present),
    )


def _run_lines(results: Path) -> _Lines[Record]:
    run = attrgetter("name")
    return _Lines(
        results / RUNS,
        Record,
        RECORD,
        name=run,
        key=run,
        content=without_tests,
        join=_with_tests_of,
        unmeasured=UNMEASURED,
    )


def _conflicts(
    runs: _Lines[Record], times: _Lines[StepTime], weights: _Lines[WeightsTest], files: Iterable[_Files]
) -> list[Conflict]:
    """Return all conflicts; not those of the files of a run whose records differ, which are removed with a record."""
    named = {each.name for each in runs.conflicts}
    of_files = (each for folder in files for run, each in folder.conflicts.items() if run not in named)
    return [*runs.conflicts, *of_files, *times.conflicts, *weights.conflicts]


def _check(source: Path, results: Path) -> None:
    if not any((source / name).exists() for name in (RUNS, TIMES, WEIGHTS, *FILES)):
        files = f"{RUNS}, {TIMES}, {WEIGHTS}, curves/ and gates/"
        raise UserError(f"{source} is not a folder of results: it has none of {files}")
    if source.resolve() == results.resolve():
        raise UserError(f"{source} is the folder that is merged into; choose another one with --results")


def _time(time: StepTime) -> str:
    return f"row {time.row} of table {time.table}, measurement {time.measurement}"


def _weights(test: WeightsTest) -> str:
    return f"the test of {test.file} ({test.sha256[:8]}) with {test.model} on {test.dataset}, {test.tested_by}"


def _with_outcome(test: WeightsTest) -> object:
    """Return what two tests must share to be the same."""
    return test.key, test.outcome


def _with_tests_of(record: Record, other: Record) -> Record | None:
    """Return a record with the tests of another one of the same run; None if both have different errors of a test.

    Their losses may differ: they depend on the device of the test.
    """
    tests = {each.protocol: _errors(each) for each in recorded_tests(record)}
    equal = all(tests.get(each.protocol, _errors(each)) == _errors(each) for each in recorded_tests(other))
    return with_further_tests(record, other.tests) if equal else None


def _errors(test: ProtocolTest) -> object:
    """Return the errors of a test; earlier versions recorded a top-5 error of 0 for five classes or fewer."""
    return test.error, test.error5 or None


@dataclass
class _Lines(Generic[Row]):
    """A CSV file with one line for each record, time or test, and the lines that a merge adds to it."""

    path: Path
    kind: type[Row]
    what: str
    """A line's name in error messages."""
    _: KW_ONLY
    name: Callable[[Row], str]
    """What a row is of, in error messages."""
    key: Callable[[Row], Hashable]
    """What a row is of: one file may have several rows of a key, but two files must not contradict each other."""
    content: Callable[[Row], object] = lambda row: row
    """What is equal in rows of a key that are the same."""
    join: Callable[[Row, Row], Row | None] = lambda row, other: row
    """Returns a row with what another one that is the same adds to it; None if the two contradict each other."""
    unmeasured: Collection[str] = ()
    """The columns that no measured value is in."""
    known: dict[Hashable, list[tuple[Row, Path]]] = field(init=False, default_factory=dict)
    """The rows of each key, and the files that they are in."""
    new: list[Mapping[str, Any]] = field(init=False, default_factory=list)
    joined: list[Row] = field(init=False, default_factory=list)
    """The rows to which others added something; a later one of a run has all that an earlier one has."""
    present: list[Row] = field(init=False, default_factory=list)
    """The rows of the other files that were in this one."""
    conflicts: list[Conflict] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        for row in read(self.path, self.kind, self.what):
            self.known.setdefault(self.key(row), []).append((row, self.path))

    def add(self, path: Path) -> None:
        """Plan to add the rows of another file; a conflict if the earlier rows of a key are all others there."""
        lines = read_with_lines(path, self.kind, self.what)
        contents = [self.content(row) for row, _ in lines]
        for row, line in lines:
            known = self.known.setdefault(self.key(row), [])
            if same := [place for place, (each, _) in enumerate(known) if self.content(row) == self.content(each)]:
                self._join(known, same, row, path)
                here = any(known[place][1] == self.path for place in same)
                if here and self.content(row) not in map(self.content, self.present):
                    self.present.append(row)
                continue
            # A run that was repeated on one machine has several records there, and other files may have some of them.
            if known and not any(self.content(each) in contents for each, _ in known):
                earlier, other = known[0]
                self._add_conflict(earlier, other, row, path)
                continue
            known.append((row, path))
            self.new.append({**line, **line_of(row)})

    def _join(self, known: list[tuple[Row, Path]], same: Sequence[int], row: Row, path: Path) -> None:
        """Add what another file, and other lines, have of a known row; a conflict if two contradict each other."""
        first, other = known[same[0]]
        joined, others = first, [known[place] for place in same[1:]]
        others.append((row, path))
        for each, place in others:
            more = self.join(joined, each)
            if more is None:
                self._add_conflict(joined, other, each, place)
                return
            joined = more
        if joined != first:
            known[same[0]] = joined, other
            self.joined.append(joined)

    def _add_conflict(self, row: Row, path: Path, other: Row, place: Path) -> None:
        rows = [(asdict(row), asdict(other))]
        self.conflicts.append(Conflict(self.name(row), path, place, rows, self.unmeasured))

    def write(self) -> None:
        """Write the file if there is something to add."""
        if self.new:
            rewrite(self.path, [*lines_of(self.path), *self.new], self.kind)


@dataclass
class _Files:
    """A folder with a file for each run, and for each further record of it, and the files that a merge adds to it."""

    folder: Path
    reader: Callable[[Path], Sequence[Any]]
    new: dict[str, Path] = field(init=False, default_factory=dict)
    """Paths of the files to copy, by their names in this folder."""
    known: dict[str, list[Path]] = field(init=False)
    """The files of each run: those of this folder, and those to copy."""
    conflicts: dict[str, Conflict] = field(init=False, default_factory=dict)
    """By the name of the run."""

    def __post_init__(self) -> None:
        self.known = by_run(self.folder)

    def add(self, folder: Path) -> None:
        """Plan to add the files of another folder; a conflict if the earlier files of a run are all others there.

        The files of a run have other names in two folders if one of them got or kept its records in another order.
        """
        for run, paths in by_run(folder).items():
            known = self.known.setdefault(run, [])
            there, found = [self.reader(each) for each in known], [self.reader(each) for each in paths]
            if known and not any(rows in there for rows in found):
                pairs = [pair for one in there for other in found for pair in _differences(one, other)]
                pairs = [*(self.conflicts[run].rows if run in self.conflicts else ()), *pairs]
                self.conflicts[run] = Conflict(f"{folder.name}/{paths[0].name}", known[0], paths[0], pairs, UNMEASURED)
                continue
            for path, rows in zip(paths, found, strict=True):
                if rows not in there:
                    self.new[self._free_name(run, path)] = path
                    known.append(path)
                    there.append(rows)

    def _free_name(self, run: str, path: Path) -> str:
        """Return the name of another folder's file here, which is its own unless another file has that."""
        names = chain([path.name], (each.name for each in numbered(self.folder / f"{run}.csv")))
        return next(each for each in names if each not in self.new and not (self.folder / each).exists())

    def write(self) -> None:
        """Copy the planned files."""
        for name, path in self.new.items():
            write_atomically(self.folder / name, path.read_bytes())


def _differences(ours: Sequence[Any], theirs: Sequence[Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return the pairs of rows that differ, or the numbers of rows."""
    pairs = [(vars(one), vars(other)) for one, other in zip(ours, theirs, strict=False) if one != other]
    if len(ours) != len(theirs):
        pairs.append(({"lines": len(ours)}, {"lines": len(theirs)}))
    return pairs
