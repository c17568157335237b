"""How far runs are: their steps, epochs and images, as a watcher shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from repro.recipes import Recipe
from repro.text import number_of
from repro.training.schedule import (
    epoch_at,
    first_step_of_epoch,
    images_shown,
    phase_of_step,
    total_steps,
)


@dataclass(frozen=True)
class Course:
    """The facts about a run, or about several runs at once, that a watcher gets before the first step."""

    name: str
    recipe: Recipe
    images: int
    """Number of images trained on."""
    runs: int
    """Number of runs at once."""
    step: int
    """Steps taken already."""
    facts: str = ""
    """What is trained, and how, in words."""

    @property
    def start(self) -> str:
        """Whether the run starts, resumes or has all its steps, perhaps by another process meanwhile, in words."""
        if self.step == self.total:
            return "already trained"
        return f"resuming from step {self.step}" if self.step else "starting"

    @property
    def opening(self) -> list[str]:
        """The lines with which the training begins."""
        begins = f"{self.name}: {self.start}, {number_of(self.total, 'step')} in all"
        return [f"{begins}; {self.facts}" if self.facts else begins]

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return total_steps(self.recipe, self.images)

    def epoch(self, step: int) -> tuple[int, int]:
        """Return the epoch after `step` steps, and the number of epochs."""
        return epoch_at(self.recipe, step, self.images) + 1, self.recipe.all_epochs

    def within_epoch(self, step: int) -> tuple[int, int]:
        """Return the steps of the current epoch after `step` steps, and those of a whole one."""
        before = max(step - 1, 0)  # the last step of an epoch belongs to it
        first = first_step_of_epoch(self.recipe, epoch_at(self.recipe, before, self.images), self.images)
        return step - first, phase_of_step(self.recipe, before, self.images).recipe.steps_per_epoch(self.images)

    def shown(self, step: int) -> int:
        """Return the images shown to all runs in `step` steps; unlike steps, images are comparable between phases."""
        return self.runs * images_shown(self.recipe, step, self.images)


@dataclass(frozen=True)
class SharedCourse:
    """The courses of runs that take their steps at the same time; the steps are those of the longest one."""

    name: str
    courses: Sequence[Course]

    @property
    def longest(self) -> Course:
        """The course with the most steps left."""
        return max(self.courses, key=lambda each: each.total - each.step)

    @property
    def start(self) -> str:
        """Whether the longest run starts, resumes or has all its steps, in words."""
        return self.longest.start

    @property
    def opening(self) -> list[str]:
        """The lines with which the training begins: one for all, and one for each."""
        return [
            f"{self.name}: {self.start}, at most {self.total:,} steps",
            *(f"{each.name}: {each.facts}" for each in self.courses),
        ]

    @property
    def step(self) -> int:
        """Steps that the longest run has taken already."""
        return self.longest.step

    @property
    def total(self) -> int:
        """Steps of the longest run."""
        return self.longest.total

    def epoch(self, step: int) -> tuple[int, int]:
        """Return the epoch of the longest run after `step` steps, and the number of its epochs."""
        return self.longest.epoch(step)

    def within_epoch(self, step: int) -> tuple[int, int]:
        """Return the steps of the longest run's epoch after `step` steps, and those of a whole one."""
        return self.longest.within_epoch(step)

    def shown(self, step: int) -> int:
        """Return the images shown to all runs when the longest one has taken `step` steps."""
        taken = step - self.step
        return sum(each.shown(min(each.step + taken, each.total)) for each in self.courses)
