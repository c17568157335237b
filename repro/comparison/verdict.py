"""The verdicts, with everything that is shown: text, mark, tone and meaning."""

from __future__ import annotations

from enum import StrEnum

POSSIBLE = "a difference as large as the bound is not ruled out"
NOT_RULED_OUT = f"not beyond the margin, but {POSSIBLE}"
WIDER_MARGIN = "the margin is wider than the bound"
"""What too few runs means for several runs, and for one."""


class Verdict(StrEnum):
    """The verdict on a printed error, worst first; its value is the text. rule.py has the rule.

    Each verdict has a different mark, because colour alone does not reach every reader.
    """

    mark: str
    tone: str
    """`good`, `bad`, `better`, `unsure` or `none`: a class in page.css and a colour in the terminal."""
    meaning: str

    NOT_REPRODUCED = "not reproduced", "✗", "bad", f"our error is higher by more than the margin; {POSSIBLE}"
    NOT_CONSISTENT = "not consistent (one run)", "≠", "bad", "one run, higher by more than the margin"
    BETTER = "better than published", "↓", "better", f"our error is lower by more than the margin; {POSSIBLE}"
    LOWER = "not consistent (one run, lower)", "⇓", "better", "one run, lower by more than the margin"
    TOO_FEW = "too few runs", "?", "unsure", f"{NOT_RULED_OUT}; for one run, {WIDER_MARGIN}"
    CONSISTENT = (
        "consistent (one run)",
        "≈",
        "unsure",
        "one run, within the margin, which is no wider than the bound; one run cannot show more",
    )
    WITHIN_HIGHER = (
        "within the bound, but higher",
        "↗",
        "good",
        "our error is higher by more than the margin, but a difference as large as the bound is ruled out",
    )
    WITHIN_LOWER = (
        "within the bound, but lower",
        "↘",
        "good",
        "our error is lower by more than the margin, but a difference as large as the bound is ruled out",
    )
    REPRODUCED = (
        "reproduced",
        "✓",
        "good",
        "within the margin, and a difference as large as the bound is ruled out at the 5 % level",
    )
    DIFFERENT_IMAGES = (
        "different test images",
        "◇",
        "none",
        "our test images are not the paper's, or the metric is not an error in % of images: both figures are shown, "
        "without a verdict",
    )
    OTHER_PROTOCOL = (
        "tested by another protocol",
        "◈",
        "none",
        "our runs were not tested by the protocol of the printed error, such as ten crops; the command that trained a "
        "run, or repro table NAME --run, also tests it",
    )
    NOT_MEASURED = "not measured", "○", "none", "no run has followed the recipe yet"
    NO_RECIPE = "no recipe", "–", "none", "there is no recipe for the printed error"
    QUOTED = "quoted by the paper", "”", "none", "the paper quotes the error from elsewhere"

    def __new__(cls, text: str, mark: str, tone: str, meaning: str) -> Verdict:
        verdict = str.__new__(cls, text)
        verdict._value_, verdict.mark, verdict.tone, verdict.meaning = text, mark, tone, meaning
        return verdict

    def meaning_for(self, n: int) -> str:
        """Return the meaning of a verdict on n runs."""
        if self is Verdict.TOO_FEW:
            return WIDER_MARGIN if n == 1 else NOT_RULED_OUT
        return self.meaning

    @property
    def mismatch(self) -> bool:
        """Whether our error is higher than randomness explains, and possibly by more than the bound."""
        return self in (Verdict.NOT_REPRODUCED, Verdict.NOT_CONSISTENT)

    @property
    def differs(self) -> bool:
        """Whether our error is higher or lower than randomness explains."""
        return self.mismatch or self in (Verdict.BETTER, Verdict.LOWER, Verdict.WITHIN_HIGHER, Verdict.WITHIN_LOWER)

    @property
    def measured(self) -> bool:
        """Whether there are runs by the recipe and the protocol of the printed error."""
        return self.judged or self is Verdict.DIFFERENT_IMAGES

    @property
    def judged(self) -> bool:
        """Whether the rule gives this verdict."""
        return self.differs or self in (Verdict.TOO_FEW, Verdict.CONSISTENT, Verdict.REPRODUCED)
