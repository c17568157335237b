"""What the alternatives of inferred values do to a printed error that ours differs from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from repro.comparison.join import Comparison, ErrorCell
from repro.comparison.match import figure_of, measured_error
from repro.comparison.rule import Judgement, judge
from repro.experiment import Experiment
from repro.recipes import RECIPES
from repro.recipes.alternatives import Alternative, alternatives_of
from repro.recipes.recipe import Recipe, shown
from repro.store.results import Record
from repro.tables import AS_PUBLISHED, PrintedError, RunsPerRow

OF_LENGTH = ("epochs", "iterations", "tune_epochs", "tune_batch", "tune_lr")
"""The values of a recipe that mean something else, or nothing, in a run of another length."""


@dataclass(frozen=True)
class Trial:
    """One alternative for one printed error, and the runs that compare it with the recipe's value."""

    error: PrintedError
    alternative: Alternative
    seeds: tuple[int, ...]
    epochs: int | None
    """The number of epochs of all runs; None: the recipe's."""

    @property
    def recipe(self) -> Recipe:
        """The recipe of the printed error."""
        assert self.error.recipe
        return RECIPES[self.error.recipe]

    @property
    def own_text(self) -> str:
        """The recipe's value as people read it."""
        return shown(self.alternative.name, getattr(self.recipe, self.alternative.name))

    @property
    def with_recipe(self) -> list[Experiment]:
        """The runs with the recipe's value, one for each seed."""
        return [self.error.experiment(seed, self.epochs) for seed in self.seeds]

    @property
    def with_alternative(self) -> list[Experiment]:
        """The runs with the alternative; they deviate from the recipe, so that no verdict counts them."""
        changed = [self.alternative.override]
        return [self.error.experiment(seed, self.epochs, changed) for seed in self.seeds]

    def is_untried(self, deviating: Sequence[Record]) -> bool:
        """Whether a run with the alternative is not among these."""
        return not {each.id for each in self.with_alternative} <= {run.id for run in deviating}


@dataclass(frozen=True)
class TriedAlternative:
    """A trial with its figures, in % or points; None without a run."""

    trial: Trial
    own: float | None
    """Our error with the recipe, by the statistic of the printed one."""
    own_seeds: tuple[int, ...]
    changed: float | None
    """Our error with the alternative, by the same statistic."""
    changed_seeds: tuple[int, ...]
    difference: float | None
    """The error with the alternative minus the one with the recipe, over the seeds that both have."""
    judgement: Judgement | None
    """The margin of the runs with the alternative; its verdict is not one on the printed error."""

    @property
    def within(self) -> bool | None:
        """Whether the error with the alternative is within the margin of the printed one."""
        if self.changed is None or self.judgement is None:
            return None
        distance = self.changed - float(self.trial.error.cell.value) - self.judgement.expected
        return abs(distance) <= self.judgement.margin


def differing_cells(comparison: Comparison) -> list[ErrorCell]:
    """Return the errors that differ from the printed ones."""
    return [cell for row in comparison.rows for cell in row.errors.values() if cell.differs]


def trials_of(comparison: Comparison, per_row: RunsPerRow = AS_PUBLISHED) -> list[Trial]:
    """Return a trial for each alternative of each error that differs from the printed one.

    Args:
        comparison: a table, or some rows of it.
        per_row: the runs of each trial; without a number of seeds, those of the runs that the verdict uses. With a
            number of epochs, alternatives of OF_LENGTH are left out.
    """
    return [
        Trial(
            error=cell.printed,
            alternative=each,
            seeds=tuple(range(per_row.seeds)) if per_row.seeds else cell.seeds,
            epochs=per_row.epochs,
        )
        for cell in differing_cells(comparison)
        for each in alternatives_of(RECIPES[cell.printed.recipe or ""])
        if per_row.epochs is None or each.name not in OF_LENGTH
    ]


def tried(trial: Trial, comparison: Comparison, records: Mapping[str, Record]) -> TriedAlternative:
    """Return the figures of a trial.

    Args:
        trial: one of `comparison`.
        comparison: gives the spread between seeds and the number of errors that share the rate of false alarms.
        records: all records by ID.
    """
    assert comparison.spread
    error = trial.error
    own, changed = (_found(each, error, records) for each in (trial.with_recipe, trial.with_alternative))
    measured = measured_error(error, changed) if changed else None
    return TriedAlternative(
        trial,
        own=measured_error(error, own).value if own else None,
        own_seeds=tuple(run.seed for run in own),
        changed=measured.value if measured else None,
        changed_seeds=tuple(run.seed for run in changed),
        difference=_difference(error, own, changed),
        judgement=judge(measured, comparison.spread, comparison.cells) if measured else None,
    )


def _difference(error: PrintedError, own: Sequence[Record], changed: Sequence[Record]) -> float | None:
    """Return our error with the alternative minus the one with the recipe, over the seeds that both have."""
    shared = {run.seed for run in own} & {run.seed for run in changed}
    if not shared:
        return None
    before, after = ([run for run in runs if run.seed in shared] for runs in (own, changed))
    return measured_error(error, after).value - measured_error(error, before).value


def _found(experiments: Sequence[Experiment], error: PrintedError, records: Mapping[str, Record]) -> list[Record]:
    """Return the records of experiments that have the figure of the error's column."""
    found = [records[each.id] for each in experiments if each.id in records]
    return [each for each in found if figure_of(each, error) is not None]
