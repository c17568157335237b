"""Results of the checks and measurements, as lines and as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class CheckResult:
    """Whether two ways of computing the same thing agree."""

    name: str
    passed: bool | None
    """None if it did not run to its end for lack of time."""
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
    """Number of seeds trained in one step, or at once as branches of a graph."""
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
    """All results so far."""

    machine: Mapping[str, str]
    results: list[Result] = field(default_factory=list)

    @property
    def checks(self) -> list[CheckResult]:
        """The checks, those that failed first, then those that did not run."""
        found = (each for each in self.results if isinstance(each, CheckResult))
        return sorted(found, key=lambda each: (False, None, True).index(each.passed))

    @property
    def times(self) -> list[TimeResult]:
        """The step times, the fastest variant of each network first."""
        found = (each for each in self.results if isinstance(each, TimeResult))
        return sorted(found, key=lambda each: (each.network, each.per_seed))

    @property
    def facts(self) -> list[FactResult]:
        """The figures of the device."""
        return [each for each in self.results if isinstance(each, FactResult)]

    @property
    def failed(self) -> list[str]:
        """The checks that failed."""
        return [each.name for each in self.checks if each.passed is False]

    @property
    def not_run(self) -> list[str]:
        """The checks that did not run to their end for lack of time."""
        return [each.name for each in self.checks if each.passed is None]

    def to_json(self) -> dict[str, object]:
        """Return everything as plain data."""
        return {
            "machine": dict(self.machine),
            "failed": self.failed,
            "not_run": self.not_run,
            "checks": [asdict(each) for each in self.checks],
            "times": [asdict(each) for each in self.times],
            "facts": [asdict(each) for each in self.facts],
        }


def line_of(result: Result) -> str:
    """Return a result as one line."""
    note = f"; {result.note}" if result.note else ""
    return f"{_figures(result)}  {result.name} ({result.seconds:.1f} s{note})"


def _figures(result: Result) -> str:
    """Return the numbers of a result, in columns."""
    match result:
        case CheckResult(passed=None):
            return "not run"
        case CheckResult():
            found = "-" if result.difference is None else f"{result.difference:.3g}"
            return f"{'passed' if result.passed else 'FAILED'}  {found:>9} <= {result.limit:<7g}"
        case TimeResult() if result.milliseconds is None:
            return "not measured"
        case TimeResult():
            memory = "" if result.gibibytes is None else f"  {result.gibibytes:5.1f} GiB"
            times = f"{result.milliseconds:9.3f} ms per step {result.per_seed:9.3f} per seed"
            return f"{times} {result.hours:7.2f} h per run  spread {result.spread:.2f}{memory}"
        case FactResult():
            return "not measured" if result.value is None else f"{result.value:9.3f} {result.unit:8}"
