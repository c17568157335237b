"""Hostile inputs get one line or a right answer, and never a traceback."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attacks import ATTACKS
from file_attacks import FILE_ATTACKS
from fuzzing import Attack, Figures, run

from repro.locks import locked

NIGHTLY_SECONDS, NIGHTLY_MOST = 120.0, 20_000
every_attack = pytest.mark.parametrize("attack", [*ATTACKS, *FILE_ATTACKS], ids=lambda each: each.name.split()[0])


@every_attack
def test_some_hostile_inputs_are_answered(attack: Attack) -> None:
    figures = Figures()
    run(attack, examples=attack.examples, figures=figures)
    assert figures.tries >= attack.examples


@pytest.mark.nightly
@every_attack
def test_many_hostile_inputs_are_answered(attack: Attack) -> None:
    figures = Figures()
    try:
        run(attack, seconds=NIGHTLY_SECONDS, examples=NIGHTLY_MOST, figures=figures)
    finally:
        if where := os.environ.get("REPRO_ATTACKS"):
            add_figures(Path(where), attack, figures)


def add_figures(file: Path, attack: Attack, figures: Figures) -> None:
    """Write the figures of an attack into a file beside those of others, which other processes add."""
    with locked(file.with_name(f".{file.name}.lock")):
        known = json.loads(file.read_text("utf-8")) if file.exists() else {}
        known[attack.name] = {**vars(figures), "date": datetime.now(UTC).date().isoformat()}
        file.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", "utf-8")
