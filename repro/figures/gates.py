"""The gates of a DenseResNet: Figure 4 of its paper, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from repro.errors import UserError
from repro.store.csv_rows import header_of, line_of
from repro.store.gates import GateRow, read_gates


@dataclass(frozen=True)
class Gates:
    """The mean of w_ik for every block i of a run and every map k before it that the block sees."""

    rows: tuple[GateRow, ...]

    COLUMNS = tuple(header_of(GateRow))
    """The columns of the CSV file."""

    @property
    def run(self) -> str:
        """The name of the run."""
        return self.rows[0].run

    @property
    def step(self) -> int:
        """The steps taken so far."""
        return self.rows[0].step

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return max(row.block for row in self.rows)

    @property
    def most(self) -> int:
        """The largest number of maps that a block sees: the paper's N."""
        return max(row.distance for row in self.rows)

    @cached_property
    def means(self) -> dict[tuple[int, int], float]:
        """The means by block, from 1, and distance, 1 for the nearest map."""
        return {(row.block, row.distance): row.mean for row in self.rows}

    @property
    def reached(self) -> str:
        """The progress of the run, such as `after step 200 of 782, epoch 1 of 300`."""
        at = self.rows[0]
        epoch = f"epoch {at.epoch} of {at.epochs}"
        whole = at.step_of_epoch == at.steps_of_epoch
        return f"after {epoch}" if whole else f"after step {at.step_of_epoch} of {at.steps_of_epoch}, {epoch}"

    @property
    def title(self) -> str:
        """The run, what the picture shows, and the deviations of the run."""
        at = self.rows[0]
        lines = [self.run, f"mean of wᵢₖ over {at.images:,} test images and all channels, {self.reached}"]
        if at.deviations:
            lines.append(f"deviates from its recipe: {', '.join(at.deviations)}")
        return "\n".join(lines)

    def lines(self) -> list[dict[str, Any]]:
        """Return a line for each block and map, as in the run's file."""
        return [line_of(row) for row in self.rows]


def gates_of(path: Path) -> Gates:
    """Return the mean gate weights in a run's file, results/gates/<run>.csv.

    Raises:
        UserError: the file has no weights, or they are incomplete.
    """
    gates = Gates(tuple(read_gates(path)))
    if not gates.rows:
        raise UserError(f"{path} has no mean gate weights; repro train and repro figure gates write them")
    seen = [min(block, gates.most) for block in range(1, gates.blocks + 1)]
    whole = [(block, distance) for block, n in enumerate(seen, 1) for distance in range(1, n + 1)]
    if sorted((row.block, row.distance) for row in gates.rows) != whole or len({row.step for row in gates.rows}) > 1:
        raise UserError(
            f"{path} does not have every block and map of one run exactly once; remove it, and it is written again"
        )
    return gates
