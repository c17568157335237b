"""What is shown, in words: verdicts with the mark and the tone of each, and where a recipe's values are from.

No verdict is told by its colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from repro.compare import BETTER, CONSISTENT, LOWER, NOT_CONSISTENT, NOT_REPRODUCED, REPRODUCED, TOO_FEW
from repro.comparison import CONTEXT, NO_RECIPE, NOT_MEASURED, TESTED_OTHERWISE
from repro.recipes.recipe import CODE, INFERRED, PRINTED

ORIGINS = {PRINTED: "printed", CODE: "authors' code", INFERRED: "inferred"}


@dataclass(frozen=True)
class Sign:
    """How a verdict is shown."""

    mark: str
    tone: str
    """`good`, `bad`, `better`, `unsure` or `none`: a class of page.css."""
    meaning: str


SIGNS = {
    REPRODUCED: Sign("✓", "good", "within the margin, which is narrow enough to tell a difference that matters"),
    NOT_REPRODUCED: Sign("✗", "bad", "our error is higher by more than the margin"),
    BETTER: Sign("↓", "better", "our error is lower by more than the margin"),
    TOO_FEW: Sign("?", "unsure", "within the margin, which is too wide to tell a difference that matters"),
    CONSISTENT: Sign("≈", "unsure", "one run, within the margin"),
    NOT_CONSISTENT: Sign("≠", "bad", "one run, higher by more than the margin"),
    LOWER: Sign("⇓", "better", "one run, lower by more than the margin"),
    TESTED_OTHERWISE: Sign("◇", "none", "our test images are not the paper's: both are shown, nothing is judged"),
    NOT_MEASURED: Sign("○", "none", "no run followed the recipe yet"),
    NO_RECIPE: Sign("–", "none", "no recipe of the printed error is built yet, or none that tests by its protocol"),
    CONTEXT: Sign("”", "none", "the paper quotes the row from elsewhere"),
}


def marks(verdicts: Iterable[str]) -> str:
    """Return what the marks of some verdicts mean, once each."""
    return ", ".join(f"{SIGNS[each].mark} {each}" for each in SIGNS if each in set(verdicts))


def sign(verdict: str) -> Sign:
    """Return how a verdict is shown."""
    return SIGNS[verdict]
