"""Hostile inputs get one line or a right answer, and never a traceback."""

import json
import os
from pathlib import Path

import pytest
from attacks import ATTACKS
from fuzzing import Attack, Figures, run

SECONDS, NIGHTLY_SECONDS = 1.0, 300.0
MOST, NIGHTLY_MOST = 100, 20_000
every_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: each.name.split()[0])


@every_attack
def test_some_hostile_inputs_are_answered(attack: Attack) -> None:
    figures = Figures()
    run(attack, seconds=SECONDS, examples=MOST, figures=figures)
    assert figures.tries


@pytest.mark.nightly
@every_attack
def test_many_hostile_inputs_are_answered(attack: Attack) -> None:
    figures = Figures()
    try:
        run(attack, seconds=NIGHTLY_SECONDS, examples=NIGHTLY_MOST, figures=figures)
    finally:
        if where := os.environ.get("REPRO_ATTACKS"):
            file = Path(where)
            known = json.loads(file.read_text("utf-8")) if file.exists() else {}
            file.write_text(json.dumps({**known, attack.name: vars(figures)}, indent=1) + "\n", "utf-8")
