"""What is shown, in words: the marks of verdicts, and where a recipe's values are from."""

from __future__ import annotations

from collections.abc import Collection

from repro.comparison.verdict import Verdict
from repro.recipes.recipe import CODE, INFERRED, PRINTED

ORIGINS = {PRINTED: "printed", CODE: "authors' code", INFERRED: "inferred"}


def marks(verdicts: Collection[Verdict]) -> str:
    """Return what the marks of some verdicts mean, once each."""
    return ", ".join(f"{each.mark} {each}" for each in Verdict if each in verdicts)
