"""Results of the checks and measurements, shown as lines and a table and kept as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class CheckResult:
    """Whether two ways of computing the same thing agree."""

    name: str
    passed: bool
    difference: float | None
    """Largest relative difference; None if the check failed to give one, or it is not finite."""
    limit: float
    """Largest difference that passes."""
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class TimeResult:
    """How long a training step takes."""

    name: str
    network: str
    seeds: int
    """Number of seeds trained in one step."""
    milliseconds: float | None
    """Median time of a step over the windows, for all seeds; None if the measurement failed."""
    spread: float | None
    """Time of the slowest window divided by that of the fastest."""
    gibibytes: float | None
    """Peak of reserved GPU memory; None on a CPU."""
    steps: int
    """Steps of the whole recipe."""
    seconds: float
    note: str = ""

    @property
    def per_seed(self) -> float:
        """Milliseconds of a step divided by the seeds; infinite if the measurement failed."""
        return math.inf if self.milliseconds is None else self.milliseconds / self.seeds

    @property
    def hours(self) -> float:
        """Hours that the recipe's steps take for one seed."""
        return self.per_seed * self.steps / 3_600_000


@dataclass(frozen=True)
class FactResult:
    """One figure about the device or the cost around the steps."""

    name: str
    value: float | None
    """The figure; None if the measurement failed."""
    unit: str
    seconds: float
    note: str = ""


Result = CheckResult | TimeResult | FactResult


@dataclass
class CheckReport:
    """All results so far; written after each one, so that a killed process loses nothing."""

    path: Path
    """The JSON file."""
    machine: Mapping[str, str]
    results: list[Result] = field(default_factory=list)

    @property
    def failed(self) -> list[str]:
        """The checks that did not pass, including those that did not run."""
        return [each.name for each in self._checks() if not each.passed]

    def add(self, result: Result) -> None:
        """Keep a result, print it, and write all of them."""
        self.results.append(result)
        print(_line(result), flush=True)
        content = {
            "machine": dict(self.machine),
            "failed": self.failed,
            "checks": [asdict(each) for each in self._checks()],
            "times": [asdict(each) for each in self._times()],
            "facts": [asdict(each) for each in self._facts()],
        }
        self.path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")

    def table(self) -> str:
        """Return all results as text: failed checks first, fast variants first."""
        lines = [
            "\n== Machine",
            *(f"{name}: {value}" for name, value in self.machine.items()),
            "\n== Checks",
            *map(_line, sorted(self._checks(), key=lambda each: each.passed)),
            "\n== Step times, the fastest variant of each network first",
            *map(_line, sorted(self._times(), key=lambda each: (each.network, each.per_seed))),
            "\n== Device, and costs outside the steps",
            *map(_line, self._facts()),
        ]
        return "\n".join(lines)

    def _checks(self) -> list[CheckResult]:
        return [each for each in self.results if isinstance(each, CheckResult)]

    def _times(self) -> list[TimeResult]:
        return [each for each in self.results if isinstance(each, TimeResult)]

    def _facts(self) -> list[FactResult]:
        return [each for each in self.results if isinstance(each, FactResult)]


def _line(result: Result) -> str:
    """Return a result as one line."""
    note = f"; {result.note}" if result.note else ""
    return f"{_figures(result)}  {result.name} ({result.seconds:.1f} s{note})"


def _figures(result: Result) -> str:
    """Return the numbers of a result, in columns."""
    match result:
        case CheckResult():
            found = "-" if result.difference is None else f"{result.difference:.3g}"
            return f"{'passed' if result.passed else 'FAILED'}  {found:>9} <= {result.limit:<7g}"
        case TimeResult() if result.milliseconds is None:
            return "FAILED"
        case TimeResult():
            memory = "" if result.gibibytes is None else f"  {result.gibibytes:5.1f} GiB"
            figures = f"{result.milliseconds:9.3f} ms a step {result.per_seed:9.3f} a seed {result.hours:7.2f} h a run"
            return f"{figures}  spread {result.spread:.2f}{memory}"
        case FactResult():
            return "FAILED" if result.value is None else f"{result.value:9.3f} {result.unit:8}"
